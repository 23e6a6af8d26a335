"""Tables of lazy typed columns: what everything that holds rows becomes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import final

import numpy as np
from jaxtyping import Float, Int, Integer

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
from kullback.tables.rows import ALL_DATA, PLAIN, RowColumns, Rows

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
        account: what the rows stand for, as far as is said.
        partitions: columns that the names of directories hold; densities are of these only where they are named.
    """

    names: tuple[str, ...]
    rows: int
    read: Callable[[str], Column]
    source: str
    place: Place = row_number
    headed: bool = True
    account: Rows = PLAIN
    partitions: tuple[str, ...] = ()

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
            self, rows=len(rows), read=lambda name: self.read(name).take(rows), source=what,
            account=self.account.take(rows),
        )  # fmt: skip


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
            f"{MAX_CELLS:,} cells are read. Take fewer columns or a sample of the rows, or write .parquet files, which "
            "are read in pieces"
        )


# A table as numbers: what a density can be fitted to.


@final
@dataclass(frozen=True, eq=False)
class Numbers:
    """Columns as numbers; NaN where a value is missing.

    Attributes:
        names, kinds, labels: of the columns; labels are () where there are none.
        values: the numbers, codes in columns of categories.
        account: what the rows stand for.
    """

    names: tuple[str, ...]
    values: Float[np.ndarray, "n d"]
    kinds: tuple[Kind, ...]
    labels: Labels
    account: Rows


def numbers(
    table: Table,
    *,
    names: Sequence[str] = (),
    apart: RowColumns = ALL_DATA,
    kinds: Sequence[Kind] | Mapping[str, Kind] = (),
) -> Numbers:
    """Returns columns of a table as numbers: text, booleans and codes become codes with labels.

    Args:
        table: the table.
        names: the columns to take, in that order; all by default.
        apart: the columns that say what the rows stand for, which are none of the data.
        kinds: of the columns, or of some by name, where they are not what they seem.

    Raises:
        InputError: a column that there is not, or one that is neither numbers nor categories.
    """
    wanted = chosen(table.names, names, apart, table.source)
    said = resolve(kinds, wanted)
    check_size(table.rows, len(wanted), table.source)
    declared = table.declared(said)
    made = [_column(declared, name, declared=name in said) for name in wanted]
    return Numbers(
        tuple(wanted),
        np.column_stack([column.values for column in made]),
        tuple("category" if column.labels else column.kind for column in made),
        tuple(column.labels for column in made),
        table.account.joined(account_of(table, apart), table.source),
    )


def chosen(have: Sequence[str], names: Sequence[str], apart: RowColumns, source: str) -> list[str]:
    """Returns the names of the columns to take. Raises InputError for names that there are not."""
    for role in ("weights", "frequencies", "cluster", "order"):
        name = getattr(apart, role)
        if name is not None and name not in have:
            raise InputError(
                f"{source}: there is no column {name!r} for {role}; it has {listed(tuple(have))}"
            )
        if name is not None and name in names:
            raise InputError(f"{source}: {name!r} holds the {role}, so it is no column of data")
    for i, name in enumerate(names):
        if name not in have:
            raise InputError(f"{source}: there is no column {name!r}; it has {listed(tuple(have))}")
        if name in names[:i]:
            raise InputError(f"{source}: column {name!r} is named twice")
    wanted = list(names) or [name for name in have if name not in apart.names]
    if not wanted:
        raise InputError(f"{source}: there are no columns of data in it")
    return wanted


def account_of(table: Table, apart: RowColumns) -> Rows:
    """Returns what the columns of a table say of its rows; weights and frequencies may lack where a cell does.

    Raises:
        InputError: they say nothing of the kind.
    """
    weights, frequencies = (
        None if name is None else _numeric(table, name)
        for name in (apart.weights, apart.frequencies)
    )
    cluster, order = (
        None if name is None else _places(table, name) for name in (apart.cluster, apart.order)
    )
    return Rows(weights, frequencies, cluster, order)


def _places(table: Table, name: str) -> Int[np.ndarray, " n"]:
    """Returns the place of each value among those that differ; a row without one stands alone, at the end."""
    try:
        column = table.read(name)
    except UnsupportedError as error:
        raise InputError(f"{table.source}: column {name!r} marks no rows: {error}") from None
    values = column.values if column.whole is None else column.whole
    # In the order of the integers, which float64 would round together.
    places = np.unique(values, return_inverse=True)[1].reshape(-1)
    alone = np.isnan(column.values)
    return np.where(alone, places.max(initial=0) + 1 + np.arange(len(places)), places)


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


def _numeric(table: Table, name: str) -> Float[np.ndarray, " n"]:
    try:
        column = table.read(name)
    except UnsupportedError as error:
        raise InputError(f"{table.source}: column {name!r}: {error}") from None
    if column.scale != "numbers" and column.labels != _BOOLEAN:
        raise InputError(f"{table.source}: column {name!r} is {column.type}, not numbers")
    return column.values
