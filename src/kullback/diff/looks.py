"""A column of two tables as it is looked at, in this process or on a worker that reads it for itself."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import final

import numpy as np

from kullback.core.errors import InputError, KullbackError, UnsupportedError
from kullback.core.executor import Executor, Workers, readable_there
from kullback.core.numerics import one_thread
from kullback.core.run import named, silent
from kullback.diff.column import WeightedColumn, column_diff, kl, picture_of
from kullback.diff.column import median as column_median
from kullback.diff.column import tallied as column_tallied
from kullback.diff.tables import DrawnTables, Options, Seen, Some, read_table
from kullback.results.diff import ColumnDiff
from kullback.tables.kinds import Kind

#: Whole numbers that are all different, of which no more than this share are in both tables, are no data.
_SHARED, _FEWEST = 0.01, 100


@final
@dataclass(frozen=True, eq=False)
class Elsewhere:
    """Workers that compare columns, and the paths where they read them."""

    executor: Executor
    paths: tuple[str, str]
    kinds: Mapping[str, Kind] | None

    def looks(self, names: Sequence[str], options: Options, tests: int) -> Iterator["Look"]:
        """Yields what is seen of each column, in their order."""
        quiet = replace(options, progress=None)
        task = partial(_look_there, self.paths, self.kinds, quiet, tests)
        return Workers(self.executor, silent).map(task, names)


def elsewhere_of(
    executor: Executor,
    reference: object,
    current: object,
    by: str | None,
    kinds: Mapping[str, Kind] | None,
) -> Elsewhere:
    """Returns workers that read both tables for themselves. Raises InputError where they cannot."""
    if by is not None:
        raise InputError(
            f"by={by!r}: parts of tables are compared in one process; leave executor out"
        )
    return Elsewhere(executor, (readable_there(reference), readable_there(current)), kinds)


@final
@dataclass(frozen=True, eq=False)
class Look:
    """What is seen of a column.

    Attributes:
        found: how it differs, or why it cannot be compared.
        some: its cells in the rows that are looked at with all columns together.
        key: whether it looks like an identifier.
        seen: what goes into the tables as they are looked at.
    """

    found: ColumnDiff | KullbackError
    some: Some | None
    key: bool
    seen: Seen


def look_at(drawn: DrawnTables, name: str, options: Options, tests: int) -> Look:
    """Returns what is seen of a column of both tables."""
    try:
        sides = drawn.sides(name)
        found = _column(name, sides, options, tests=tests)
    except (UnsupportedError, InputError) as error:
        return Look(error, None, key=False, seen=drawn.seen(name))
    return Look(found, drawn.some(sides), _is_key(sides), drawn.seen(name))


def _look_there(
    paths: tuple[str, str],
    kinds: Mapping[str, Kind] | None,
    options: Options,
    tests: int,
    name: str,
) -> Look:
    left, right = (
        read_table(p, n, "diff", kinds)
        for p, n in zip(paths, ("reference", "current"), strict=True)
    )
    with one_thread():
        return look_at(DrawnTables((left, right), options), name, options, tests)


def _column(
    name: str, sides: tuple[WeightedColumn, ...], options: Options, *, tests: int,
) -> ColumnDiff:  # fmt: skip
    left, right = sides
    tallied = column_tallied(left, right)
    kind = left.cells.scale
    medians = None
    if kind != "levels":
        medians = (column_median(left), column_median(right))
    independent = left.weights is None and right.weights is None
    found = column_diff(
        name, kind, tallied, rng=named(options.key, name), tests=tests,
        independent=independent, picture=picture_of(left, right, tallied),
        medians=medians, rows=len(left.cells.values) + len(right.cells.values),
    )  # fmt: skip
    if options.like == "evidently":
        number = kl(left.cells, right.cells)
        found = replace(found, like=(("evidently", number),))
    return found


def _is_key(sides: tuple[WeightedColumn, ...]) -> bool:
    """Whether a column holds whole numbers that are all different, and others in the other table."""
    left, right = (side.cells for side in sides)
    if left.scale != "numbers":
        return False
    for values in (left.values, right.values):
        few = values[: 10 * _FEWEST]
        if len(few) < _FEWEST or (few != np.floor(few)).any() or len(np.unique(few)) < len(few):
            return False
    distinct = [np.unique(cells.values) for cells in (left, right)]
    if any(len(d) < len(c.values) for d, c in zip(distinct, (left, right), strict=True)):
        return False
    if any((d != np.floor(d)).any() for d in distinct):
        return False
    return len(np.intersect1d(distinct[0], distinct[1])) <= _SHARED * min(len(d) for d in distinct)
