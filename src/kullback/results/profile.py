"""Counts of a table, which stand for it where its rows cannot be had."""

from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float

from kullback.core.errors import InputError
from kullback.results.serialise import Shown

Counts = Float[np.ndarray, "_c"]
#: The level of missing values.
MISSING = "missing"
#: Kinds of columns, in words.
PROFILED = {"numbers": "numbers", "levels": "names", "dates": "dates"}
#: The level that stands for those that are too rare, of too many, to be kept.
OTHERS = "(others)"


@final
@dataclass(frozen=True, eq=False)
class ColumnProfile:
    """Counts of one column.

    Attributes:
        name, kind: of the column.
        levels: counts by level; of numbers those of values that stand out, and of missing ones.
        edges: of numbers that are no level: the largest value in each cell, in order.
        counts: rows in each cell.
    """

    name: str
    kind: str
    levels: dict[str, float]
    edges: Counts
    counts: Counts

    @property
    def rows(self) -> float:
        """How many rows there are."""
        return sum(self.levels.values()) + float(self.counts.sum())


@final
@dataclass(frozen=True, eq=False)
class Profile(Shown):
    """Counts of the columns of a table; no rows are in it. Profiles add up.

    Attributes:
        source: what it was made of.
        rows: how many there were.
        columns: the columns that can be compared.

    Example:
        >>> from kullback import profile
        >>> x = np.random.default_rng(0).normal(size=(600, 1))
        >>> first = profile(x[:300])
        >>> (first + profile(x[300:], like=first)).rows
        600
    """

    source: str
    rows: int
    columns: tuple[ColumnProfile, ...]

    def __add__(self, other: "Profile") -> "Profile":
        """Returns the counts of both together; exact where their cells are the same.

        Where cells differ, they are cut at the edges of both, and the rows of a cell are spread evenly
        over its values.

        Raises:
            InputError: their columns, or the kinds of these, differ.
        """
        if not isinstance(other, Profile):
            return NotImplemented
        if set(self.names) != set(other.names):
            missing = set(self.names) ^ set(other.names)
            raise InputError(f"profiles of different columns: {', '.join(sorted(missing))}")
        columns = []
        for mine in self.columns:
            theirs = other.column(mine.name)
            check_kinds_of(mine, theirs, self.source, other.source)
            both = mine.levels | theirs.levels
            levels = {n: mine.levels.get(n, 0.0) + theirs.levels.get(n, 0.0) for n in both}
            edges, counts = _joined(mine, theirs)
            kind = theirs.kind if is_empty(mine) else mine.kind
            columns.append(ColumnProfile(mine.name, kind, levels, edges, counts))
        source = self.source if self.source == other.source else f"{self.source} + {other.source}"
        return Profile(source, self.rows + other.rows, tuple(columns))

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the columns."""
        return tuple(c.name for c in self.columns)

    def column(self, name: str) -> ColumnProfile:
        """Returns the counts of a column. Raises KeyError if there is none of this name."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(name)


def _joined(mine: ColumnProfile, theirs: ColumnProfile) -> tuple[Counts, Counts]:
    """Returns the edges of cells of both, and what is in them."""
    *of_mine, top = mine.edges.tolist() or [0.0]
    *of_theirs, other = theirs.edges.tolist() or [0.0]
    if of_mine and of_mine == of_theirs:
        # The same cells, but for how far up the last one reaches.
        return np.array([*of_mine, max(top, other)]), mine.counts + theirs.counts
    edges = np.union1d(mine.edges, theirs.edges)
    return edges, spread(mine, edges) + spread(theirs, edges)


def is_empty(column: ColumnProfile) -> bool:
    """Whether a column had no value at all, so that it is of any kind."""
    return not column.counts.size and set(column.levels) <= {MISSING}


def check_kinds_of(first: ColumnProfile, second: ColumnProfile, *sources: str) -> None:
    """Raises InputError where counts of a column cannot be added: numbers in one table, names in the other."""
    if first.kind != second.kind and not is_empty(first) and not is_empty(second):
        kinds = [PROFILED[c.kind] for c in (first, second)]
        raise InputError(
            f"column {first.name!r} is {kinds[0]} in {sources[0]}, {kinds[1]} in {sources[1]}: "
            "counts of the two cannot be added"
        )


def spread(column: ColumnProfile, edges: Counts) -> Counts:
    """Returns counts over other cells, that hold all edges of the column's own."""
    if not len(edges):
        return np.zeros(0)
    if not len(column.edges):
        return np.zeros(len(edges))
    own = len(column.edges)
    if np.array_equal(edges[:own], column.edges):
        return np.append(column.counts, np.zeros(len(edges) - own))
    below = np.interp(edges, column.edges, np.cumsum(column.counts), left=0.0)
    # Nothing is known of the values in the first cell but that they are not above its edge.
    below[edges < column.edges[0]] = 0.0
    return np.diff(below, prepend=0.0)
