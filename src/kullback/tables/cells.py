"""Tables that are read a column at a time, so that they may be bigger than memory."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, final

import numpy as np
from jaxtyping import Float, Integer

from kullback.core.errors import IdentifierError, InputError, UnsupportedError

CellKind = Literal["numbers", "levels", "dates"]
#: Text of which more cells than this share differ, and that has more different ones than the second, names rows.
IDENTIFIER, _MOST_LABELS = 0.5, 1000
#: From here on float64 leaves out whole numbers.
BIG = 2**53
#: Of which NumPy has arrays.


@final
@dataclass(frozen=True, eq=False)
class Cells:
    """The cells of one column.

    Attributes:
        kind: numbers and dates have an order, levels have names.
        values: numbers, microseconds since 1970 of dates, codes of levels; NaN where one is missing.
        labels: of the codes.
        whole: the same as integers, where some are too big for float64; 0 where one is missing.
    """

    kind: CellKind
    values: Float[np.ndarray, " n"]
    labels: tuple[str, ...] = ()
    whole: Integer[np.ndarray, " n"] | None = None


@final
@dataclass(frozen=True, eq=False)
class Table:
    """A table that is read a column at a time.

    Attributes:
        names: of the columns.
        rows: how many there are.
        read: returns the cells of a column by name; raises UnsupportedError for what has no values to
            compare, such as lists.
        source: what it is, for messages.
    """

    names: tuple[str, ...]
    rows: int
    read: Callable[[str], Cells]
    source: str


def of_frame(frame: Any, source: str) -> Table:
    """Returns a table of a data frame of pandas, polars, pyarrow ...

    Raises:
        InputError: it is no data frame, or has no rows.
    """
    import narwhals as nw  # noqa: PLC0415 - arrays and expressions need none
    from narwhals import exceptions  # noqa: PLC0415

    try:
        made = nw.from_native(frame, allow_series=True)
    except exceptions.DuplicateError as error:
        first = str(error).partition("- ")[2].partition("\n")[0]
        raise InputError(
            f"{source}: columns have the same name ({first.strip() or error}); rename one"
        ) from None
    except TypeError:
        raise InputError(
            f"{source} is a {type(frame).__name__}: give a data frame, an array (n, d), Samples, or the "
            "path of a file"
        ) from None
    if isinstance(made, nw.Series):
        made = made.alias(str(made.name or "x0")).to_frame()
    if isinstance(made, nw.LazyFrame):
        made = made.collect()
    names = {str(name): name for name in made.columns}
    if len(names) != len(made.columns):
        raise InputError(f"{source}: two columns have the same name; rename one")
    if not len(made):
        raise InputError(f"{source}: there are no rows in it")
    return Table(
        tuple(names), len(made), lambda name: cells_of(made.get_column(names[name])), source
    )


def of_values(
    values: Float[np.ndarray, "n d"] | Integer[np.ndarray, "n d"], names: tuple[str, ...],
    labels: tuple[tuple[str, ...], ...], source: str,
) -> Table:  # fmt: skip
    """Returns a table of numbers, and of codes where there are labels."""
    whole = values.dtype.kind in "iu"

    def read(name: str) -> Cells:
        i = names.index(name)
        known = labels[i] if labels else ()
        if whole:
            return _of_integers(values[:, i], np.zeros(len(values), dtype=bool))
        return Cells("levels" if known else "numbers", values[:, i], known)

    return Table(names, len(values), read, source)


def cells_of(series: Any) -> Cells:
    """Returns the cells of a series.

    Raises:
        UnsupportedError: lists, objects, or text in which nearly every cell is different.
    """
    import narwhals as nw  # noqa: PLC0415 - arrays and expressions need none

    dtype = series.dtype
    if not dtype.is_numeric() and series.null_count() == len(series):
        # Whatever type a reader gave it: there is nothing but missing values.
        return Cells("numbers", np.full(len(series), np.nan))
    if dtype in (nw.Int64, nw.UInt64):
        missing = np.asarray(series.is_null().to_numpy(), dtype=bool)
        filled = series.fill_null(0) if missing.any() else series
        return _of_integers(np.asarray(filled.to_numpy()), missing)
    if dtype.is_numeric():
        return Cells("numbers", np.array(series.cast(nw.Float64).to_numpy(), dtype=np.float64))
    if dtype.is_temporal():
        return Cells("dates", _moments(series))
    if dtype == nw.Boolean:
        return _levels(series.cast(nw.Int8), ("false", "true"), (0, 1))
    if dtype in (nw.String, nw.Categorical, nw.Enum):
        text = series if dtype == nw.String else series.cast(nw.String)
        found = sorted(text.drop_nulls().unique().to_list())
        if len(found) > max(_MOST_LABELS, IDENTIFIER * len(series)):
            raise IdentifierError(
                f"{len(found):,} different values in {len(series):,} rows: they name rows, and no two "
                "tables share them"
            )
        return _levels(text, tuple(found), tuple(found))
    raise UnsupportedError(f"values of type {dtype} cannot be compared")


def _of_integers(values: np.ndarray, missing: np.ndarray) -> Cells:
    """Returns the cells of a column of whole numbers, those that are too big for float64 beside it."""
    numbers = np.array(values, dtype=np.float64)
    numbers[missing] = np.nan
    big = values.dtype.kind in "iu" and bool((np.abs(numbers) >= BIG).any())
    return Cells("numbers", numbers, whole=values if big else None)


def _moments(series: Any) -> Float[np.ndarray, " n"]:
    import narwhals as nw  # noqa: PLC0415 - arrays and expressions need none

    missing = np.asarray(series.is_null().to_numpy(), dtype=bool)
    if series.dtype == nw.Datetime:  # with or without a time zone: moments, not wall clocks
        whole = series.dt.timestamp("us")
    elif series.dtype == nw.Date:
        whole = series.cast(nw.Datetime("us")).dt.timestamp("us")
    elif series.dtype == nw.Duration:
        whole = series.dt.total_microseconds()
    else:
        raise UnsupportedError(f"values of type {series.dtype} cannot be compared")
    values = np.array(whole.cast(nw.Float64).to_numpy(), dtype=np.float64)
    values[missing] = np.nan
    return values


def _levels(series: Any, labels: tuple[str, ...], values: tuple[str | int, ...]) -> Cells:
    import narwhals as nw  # noqa: PLC0415 - arrays and expressions need none

    missing = np.asarray(series.is_null().to_numpy(), dtype=bool)
    if not values:
        return Cells("levels", np.full(len(missing), np.nan))
    codes = series.fill_null(values[0]).replace_strict(
        list(values), [float(i) for i in range(len(values))], return_dtype=nw.Float64
    )
    found = np.array(codes.to_numpy(), dtype=np.float64)
    found[missing] = np.nan
    return Cells("levels", found, labels)


# What the numbers of a column are, and whether they are that.

#: What the numbers of a column are: reals, numbers of events, or codes of categories.
Kind = Literal["continuous", "count", "category"]
Labels = tuple[tuple[str, ...], ...]
#: Where a row is found, in words.
Place = Callable[[int], str]
_KINDS = ("continuous", "count", "category")
#: More labels than this are no categories; up to the second, even if every row has its own.
MOST_LABELS = 1000
_ALWAYS = 20


def resolve(kinds: Sequence[Kind] | Mapping[str, Kind], names: Sequence[str]) -> dict[str, Kind]:
    """Returns the kinds that were said, by name of the column.

    Args:
        kinds: one for each column, or those of some columns by name.
        names: of all columns.

    Raises:
        InputError: a kind or a column that there is not, or too few kinds.
    """
    if isinstance(kinds, Mapping):
        said = dict(kinds)
    elif kinds and len(kinds) != len(names):
        raise InputError(f"there are {len(kinds)} kinds, but {len(names)} columns")
    else:
        said = dict(zip(names, kinds, strict=False))
    for name, kind in said.items():
        if name not in names:
            raise InputError(f"kinds: there is no column {name!r}; there is {listed(names)}")
        if kind not in _KINDS:
            raise InputError(f"kinds: {name!r} is {kind!r}; choose from {', '.join(_KINDS)}")
    return said


def coded(
    values: Float[np.ndarray, " n"], name: str, source: str
) -> tuple[Float[np.ndarray, " n"], tuple[str, ...]]:
    """Returns the codes 0, 1, ... of numbers that name categories, and the labels of the codes.

    Args:
        values: NaN where one is missing.
        name: of the column, for messages.
        source: for messages.

    Raises:
        InputError: there are too many.
    """
    known = np.isfinite(values)
    found, codes = np.unique(values[known], return_inverse=True)
    made = np.full(len(values), np.nan)
    made[known] = codes
    check_labels(len(found), int(known.sum()), name, source, said=True)
    return made, tuple(f"{v:.0f}" if v == np.floor(v) else repr(float(v)) for v in found)


def check_labels(labels: int, rows: int, name: str, source: str, *, said: bool = False) -> None:
    """Raises InputError for a column of text whose cells are no categories.

    Args:
        labels: how many different ones there are.
        rows: how many cells.
        name: of the column.
        source: for messages.
        said: the column was said to be one of categories.
    """
    if labels > MOST_LABELS:
        raise InputError(
            f"{source}: column {name!r} has {labels:,} different labels, more than {MOST_LABELS:,}: "
            f"these are no categories; {leave_out(name)}"
        )
    if not said and labels > _ALWAYS and 2 * labels > rows:
        raise InputError(
            f"{source}: column {name!r} is not numeric, and its {rows:,} cells have {labels:,} "
            f"different values, so they are no categories; {leave_out(name)}"
        )


def check_values(
    values: Float[np.ndarray, "n d"],
    names: Sequence[str],
    kinds: Sequence[Kind],
    labels: Labels,
    source: str,
    place: Place = "row {}".format,
) -> None:
    """Raises InputError for counts that are none and codes without a label; NaN is missing.

    Args:
        values: the table.
        names, kinds, labels: of its columns.
        source: for messages.
        place: where a row is found, for messages.
    """
    for i, kind in enumerate(kinds):
        if kind == "continuous":
            continue
        column = values[:, i]
        with np.errstate(invalid="ignore"):
            bad = (column < 0.0) | (column != np.floor(column))
            if kind == "category":
                bad |= column >= len(labels[i])
        bad &= ~np.isnan(column)
        if bad.any():
            row = int(np.argmax(bad))
            raise InputError(_not_of_kind(source, names[i], kind, float(column[row]), place(row)))


def _not_of_kind(source: str, name: str, kind: Kind, value: float, where: str) -> str:
    what = "a count, a whole number from 0 on" if kind == "count" else "the code of a label"
    return (
        f"{source}: column {name!r} is said to be of kind {kind!r}, but {value:g} on {where} "
        f"is not {what}"
    )


def leave_out(name: str) -> str:
    """Returns what to do about a column that cannot be used."""
    return f"leave {name!r} out: columns=(...) with the others"


def listed(names: Sequence[str]) -> str:
    """Returns the first few names."""
    more = f" and {len(names) - 8} more" if len(names) > 8 else ""
    return ", ".join(names[:8]) + more


# A table of numbers, and what is said of cells that are none.

#: More cells than this are refused: 1.6 GB of numbers.
MAX_CELLS = 200_000_000


@final
@dataclass(frozen=True, eq=False)
class NumberTable:
    """Rows of finite numbers under named columns.

    Attributes:
        columns: a name for each column.
        values: the numbers, one row an observation.
        source: the file they came from.
    """

    columns: tuple[str, ...]
    values: Float[np.ndarray, "n d"]
    source: str


def table(columns: Sequence[str], values: Float[np.ndarray, "n d"], source: str) -> NumberTable:
    """Returns a table that cannot be changed. Raises InputError if it has no cells."""
    if values.size == 0:
        raise InputError(f"{source}: there are no rows of numbers in it")
    values = np.ascontiguousarray(values, dtype=np.float64)
    values.flags.writeable = False
    return NumberTable(tuple(columns), values, source)


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


def check_finite(columns: Sequence[str], values: Float[np.ndarray, "n d"], source: str) -> None:
    """Raises InputError naming the first column with NaN or infinite cells, and the row, from 1."""
    bad = ~np.isfinite(values)
    if bad.any():
        column = int(np.argmax(bad.any(axis=0)))
        row = int(np.argmax(bad[:, column]))
        what = f"row {row + 1} ({values[row, column]:g})"
        raise InputError(not_finite(source, columns[column], int(bad[:, column].sum()), what))


def not_finite(source: str, column: str, count: int, first: str) -> str:
    """Returns what is said of a column with cells that are missing, NaN or infinite."""
    cells = (
        "1 cell that is not a finite number,"
        if count == 1
        else (f"{count:,} cells that are not finite numbers, the first")
    )
    return (
        f"{source}: column {column!r} has {cells} on {first}; "
        "drop such rows or fill the cells first"
    )
