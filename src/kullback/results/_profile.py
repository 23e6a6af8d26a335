"""Counts of a table that stand for it where its rows cannot be had."""

from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float

Counts = Float[np.ndarray, "_c"]
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
class Profile:
    """Counts of the columns of a table; no rows are in it.

    Attributes:
        source: what it was made of.
        rows: how many there were.
        columns: the columns that can be compared.
    """

    source: str
    rows: int
    columns: tuple[ColumnProfile, ...]

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
