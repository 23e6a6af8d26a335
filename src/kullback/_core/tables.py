"""Tables that are read a column at a time, so that they may be bigger than memory."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, final

import narwhals as nw
import numpy as np
from jaxtyping import Float, Integer
from narwhals import exceptions

from kullback._core.errors import IdentifierError, InputError, UnsupportedError

CellKind = Literal["numbers", "levels", "dates"]
#: Text of which more cells than this share differ, and that has more different ones than the second, names rows.
IDENTIFIER, _MOST_LABELS = 0.5, 1000
#: From here on float64 leaves out whole numbers.
BIG = 2**53
#: Of which NumPy has arrays.
_INTEGERS = (nw.Int64, nw.UInt64)


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


def cells_of(series: nw.Series) -> Cells:
    """Returns the cells of a series.

    Raises:
        UnsupportedError: lists, objects, or text in which nearly every cell is different.
    """
    dtype = series.dtype
    if not dtype.is_numeric() and series.null_count() == len(series):
        # Whatever type a reader gave it: there is nothing but missing values.
        return Cells("numbers", np.full(len(series), np.nan))
    if dtype in _INTEGERS:
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


def _moments(series: nw.Series) -> Float[np.ndarray, " n"]:
    missing = np.asarray(series.is_null().to_numpy(), dtype=bool)
    if series.dtype in (nw.Date, nw.Datetime):
        whole = series.cast(nw.Datetime("us")).dt.timestamp("us")
    elif series.dtype == nw.Duration:
        whole = series.dt.total_microseconds()
    else:
        raise UnsupportedError(f"values of type {series.dtype} cannot be compared")
    values = np.array(whole.cast(nw.Float64).to_numpy(), dtype=np.float64)
    values[missing] = np.nan
    return values


def _levels(series: nw.Series, labels: tuple[str, ...], values: tuple[str | int, ...]) -> Cells:
    missing = np.asarray(series.is_null().to_numpy(), dtype=bool)
    if not values:
        return Cells("levels", np.full(len(missing), np.nan))
    codes = series.fill_null(values[0]).replace_strict(
        list(values), [float(i) for i in range(len(values))], return_dtype=nw.Float64
    )
    found = np.array(codes.to_numpy(), dtype=np.float64)
    found[missing] = np.nan
    return Cells("levels", found, labels)
