"""Tables of lazy typed columns: what everything that holds rows becomes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import final

import numpy as np
from jaxtyping import Float, Integer

from kullback.core.errors import InputError, UnsupportedError
from kullback.tables.kinds import (
    BIG,
    Column,
    Kind,
    Labels,
    Place,
    check_labels,
    declare,
    leave_out,
    listed,
    resolve,
)

#: More cells than this are refused: 1.6 GB of numbers.
MAX_CELLS = 200_000_000
_BOOLEAN = ("false", "true")


def row_number(row: int) -> str:
    """Returns where a row is found, counted from 1."""
    return f"row {row + 1:,}"


@final
@dataclass(frozen=True, eq=False)
class Table:
    """A table that is read a column at a time, so that it may be bigger than memory.

    Attributes:
        names: of the columns.
        rows: how many there are.
        read: returns a column by name; raises UnsupportedError for what has no values to compare, such as
            lists, and InputError for cells that are no values.
        source: what it is, for messages.
        place: where a row is found, in words.
        headed: whether the columns have names of their own, not x0, x1 ...
    """

    names: tuple[str, ...]
    rows: int
    read: Callable[[str], Column]
    source: str
    place: Place = row_number
    headed: bool = True

    def declared(self, kinds: Sequence[Kind] | Mapping[str, Kind]) -> "Table":
        """Returns the table with the kinds of some columns declared. Raises InputError for kinds that are none."""
        said = resolve(kinds, self.names)
        if not said:
            return self

        def read(name: str) -> Column:
            column = self.read(name)
            if name not in said:
                return column
            return declare(column, said[name], name, self.source, self.place)

        return replace(self, read=read)

    def part(self, rows: np.ndarray, what: str) -> "Table":
        """Returns some of the rows."""
        return replace(
            self, rows=len(rows), read=lambda name: self.read(name).take(rows), source=what
        )


def of_values(
    values: Float[np.ndarray, "n d"] | Integer[np.ndarray, "n d"], names: tuple[str, ...],
    source: str, *, kinds: Sequence[Kind] = (), labels: Labels = (), headed: bool = True,
) -> Table:  # fmt: skip
    """Returns a table of numbers, and of codes where there are labels."""

    def read(name: str) -> Column:
        i = names.index(name)
        kind = kinds[i] if kinds else None
        if labels and labels[i]:
            return Column("levels", values[:, i], labels[i], declared=kind)
        if values.dtype.kind in "iu":
            found = of_integers(values[:, i], np.zeros(len(values), dtype=bool))
            return replace(found, declared=kind)
        return Column("numbers", np.asarray(values[:, i], dtype=np.float64), declared=kind)

    return Table(names, len(values), read, source, headed=headed)


def of_integers(values: np.ndarray, missing: np.ndarray) -> Column:
    """Returns a column of whole numbers, those that are too big for float64 beside it."""
    numbers = np.array(values, dtype=np.float64)
    numbers[missing] = np.nan
    big = values.dtype.kind in "iu" and bool((np.abs(numbers) >= BIG).any())
    return Column("numbers", numbers, whole=values if big else None)


def numbered(count: int) -> tuple[str, ...]:
    """Returns names for columns that have none: x0, x1, ... as those of an array have."""
    return tuple(f"x{i}" for i in range(count))


def check_size(rows: int, columns: int, source: str) -> None:
    """Raises InputError for more cells than are read."""
    if rows * columns > MAX_CELLS:
        raise InputError(
            f"{source}: {rows:,} rows of {columns:,} columns are too many; at most "
            f"{MAX_CELLS:,} cells are read. Take fewer columns or a sample of the rows"
        )


# A table as numbers: what a density can be fitted to.


@final
@dataclass(frozen=True, eq=False)
class Numbers:
    """Columns as numbers; NaN where a value is missing.

    Attributes:
        names, kinds, labels: of the columns; labels are () where there are none.
        values: the numbers, codes in columns of categories.
        weights: the column that was said to hold them.
    """

    names: tuple[str, ...]
    values: Float[np.ndarray, "n d"]
    kinds: tuple[Kind, ...]
    labels: Labels
    weights: Float[np.ndarray, " n"] | None


def numbers(
    table: Table,
    *,
    names: Sequence[str] = (),
    weights: str | None = None,
    kinds: Sequence[Kind] | Mapping[str, Kind] = (),
) -> Numbers:
    """Returns columns of a table as numbers: text, booleans and codes become codes with labels.

    Args:
        table: the table.
        names: the columns to take, in that order; all by default.
        weights: the column with the weights, which is not one of the data.
        kinds: of the columns, or of some by name, where they are not what they seem.

    Raises:
        InputError: a column that there is not, or one that is neither numbers nor categories.
    """
    wanted = chosen(table.names, names, weights, table.source)
    said = resolve(kinds, wanted)
    check_size(table.rows, len(wanted), table.source)
    declared = table.declared(said)
    made = [_column(declared, name, declared=name in said) for name in wanted]
    return Numbers(
        tuple(wanted),
        np.column_stack([column.values for column in made]),
        tuple("category" if column.labels else column.kind for column in made),
        tuple(column.labels for column in made),
        None if weights is None else _weights(table, weights),
    )


def chosen(
    have: Sequence[str], names: Sequence[str], weights: str | None, source: str
) -> list[str]:
    """Returns the names of the columns to take. Raises InputError for names that there are not."""
    if weights is not None and weights not in have:
        raise InputError(
            f"{source}: there is no column {weights!r} for weights; it has {listed(tuple(have))}"
        )
    for i, name in enumerate(names):
        if name not in have:
            raise InputError(f"{source}: there is no column {name!r}; it has {listed(tuple(have))}")
        if name in names[:i]:
            raise InputError(f"{source}: column {name!r} is named twice")
        if name == weights:
            raise InputError(f"{source}: {name!r} holds the weights, so it is no column of data")
    wanted = list(names) or [name for name in have if name != weights]
    if not wanted:
        raise InputError(f"{source}: there are no columns of data in it")
    return wanted


def _column(table: Table, name: str, *, declared: bool) -> Column:
    """Returns a column that a density can have. Raises InputError for all others, with what to do."""
    try:
        column = table.read(name)
    except UnsupportedError as error:
        raise InputError(f"{table.source}: column {name!r}: {error}; {leave_out(name)}") from None
    if column.kind == "empty":
        raise InputError(f"{table.source}: column {name!r} has no values; {leave_out(name)}")
    if column.scale == "dates":
        raise InputError(
            f"{table.source}: column {name!r} holds dates; make numbers of them, such as days since the "
            f"first, or {leave_out(name)}"
        )
    if column.declared == "identifier":
        raise InputError(
            f"{table.source}: column {name!r} is an identifier, which has no density; {leave_out(name)}"
        )
    if column.labels and column.labels != _BOOLEAN:
        known = int((~np.isnan(column.values)).sum())
        check_labels(len(column.labels), known, name, table.source, said=declared)
    return column


def _weights(table: Table, name: str) -> Float[np.ndarray, " n"]:
    try:
        column = table.read(name)
    except UnsupportedError as error:
        raise InputError(f"{table.source}: column {name!r}: {error}") from None
    if column.scale != "numbers" and column.labels != _BOOLEAN:
        raise InputError(f"{table.source}: column {name!r} is {column.type}, not numbers")
    return column.values
