"""Data frames of any library to numbers, through narwhals. Loaded only where there is one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import narwhals as nw
import numpy as np
from jaxtyping import Float
from narwhals import exceptions

from kullback.core.errors import InputError
from kullback.tables.cells import Kind, Labels, check_labels, coded, leave_out, listed, resolve


@final
@dataclass(frozen=True, eq=False)
class Columns:
    """The columns of a data frame as numbers; NaN where a value is missing.

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


def read(
    given: object,
    *,
    names: Sequence[str] = (),
    weights: str | None = None,
    kinds: Sequence[Kind] | Mapping[str, Kind] = (),
    source: str = "samples",
) -> Columns:
    """Returns the columns of a data frame.

    Numbers are continuous, text, booleans and categories are categories.

    Args:
        given: a data frame or a series of pandas, polars, pyarrow ...
        names: the columns to take, in that order; all by default.
        weights: the column with the weights, which is not one of the data.
        kinds: of the columns, or of some by name, where they are not what they seem.
        source: what to call it in messages.

    Raises:
        InputError: a column that there is not, or one that is neither numbers nor categories.
    """
    frame = _frame(given, source)
    by_name = _by_name(frame, source)
    if weights is not None and weights not in by_name:
        raise InputError(f"{source}: there is no column {weights!r} for weights; {_have(by_name)}")
    wanted = chosen(list(by_name), names, weights, source)
    said = resolve(kinds, wanted)
    made = [_column(frame, by_name[n], n, said.get(n), source) for n in wanted]
    return Columns(
        tuple(wanted),
        np.column_stack([values for values, _, _ in made]),
        tuple(kind for _, kind, _ in made),
        tuple(labels for _, _, labels in made),
        None if weights is None else _numbers(frame.get_column(by_name[weights]), weights, source),
    )


def chosen(
    have: Sequence[str], names: Sequence[str], weights: str | None, source: str
) -> list[str]:
    """Returns the names of the columns to take. Raises InputError for names that there are not."""
    for i, name in enumerate(names):
        if name not in have:
            raise InputError(f"{source}: there is no column {name!r}; {_have(have)}")
        if name in names[:i]:
            raise InputError(f"{source}: column {name!r} is named twice")
        if name == weights:
            raise InputError(f"{source}: {name!r} holds the weights, so it is no column of data")
    wanted = list(names) or [name for name in have if name != weights]
    if not wanted:
        raise InputError(f"{source}: there are no columns of data in it")
    return wanted


def _have(names: Sequence[str] | Mapping[str, Any]) -> str:
    return f"it has {listed(tuple(names))}"


def _frame(given: object, source: str) -> Any:
    try:
        frame = nw.from_native(given, allow_series=True)  # pyright: ignore[reportArgumentType, reportCallIssue]
        if isinstance(frame, nw.Series):
            unnamed = frame.name is None or frame.name == ""
            frame = frame.alias("x0" if unnamed else str(frame.name)).to_frame()
        if isinstance(frame, nw.LazyFrame):
            raise InputError(
                f"{source}: this data frame is lazy; collect() it first, or read files that are "
                "bigger than memory by kullback.inputs.scan"
            )
        assert len(frame.columns) == len(set(frame.columns))
    except exceptions.DuplicateError as error:
        first = str(error).partition("- ")[2].partition("\n")[0]
        raise InputError(
            f"{source}: columns have the same name ({first.strip() or error}); rename one"
        ) from None
    except TypeError:
        kind = f"{type(given).__module__}.{type(given).__name__}"
        raise InputError(f"{source}: a {kind} is no data frame; give an array (n, d)") from None
    return frame


def _by_name(frame: Any, source: str) -> dict[str, Any]:
    """Returns the names as text, with what the library calls these columns."""
    found: dict[str, Any] = {}
    for name in frame.columns:
        if str(name) in found:
            raise InputError(f"{source}: two columns have the name {str(name)!r}; rename one")
        found[str(name)] = name
    return found


def _column(
    frame: Any, key: Any, name: str, said: Kind | None, source: str
) -> tuple[Float[np.ndarray, " n"], Kind, tuple[str, ...]]:
    series = frame.get_column(key)
    if series.dtype.is_numeric():
        values = _numbers(series, name, source)
        if said == "category":
            values, labels = coded(values, name, source)
            return values, "category", labels
        return values, said or "continuous", ()
    series = _categories(series, name, source)
    if said not in (None, "category"):
        raise InputError(f"{source}: column {name!r} is {series.dtype}, so it cannot be {said!r}")
    values, labels = _codes(series, name, source, said=said is not None)
    return values, "category", labels


def _numbers(series: Any, name: str, source: str) -> Float[np.ndarray, " n"]:
    if not (series.dtype.is_numeric() or series.dtype == nw.Boolean):
        raise InputError(f"{source}: column {name!r} is {series.dtype}, not numbers")
    return np.array(series.cast(nw.Float64).to_numpy(), dtype=np.float64)


def _categories(series: Any, name: str, source: str) -> Any:
    """Returns a series of text or booleans. Raises InputError for what is neither."""
    dtype = series.dtype
    if dtype in (nw.String, nw.Boolean):
        return series
    if dtype in (nw.Categorical, nw.Enum):
        return series.cast(nw.String)
    if dtype.is_temporal():
        remedy = f"make numbers of it, such as days since the first, or {leave_out(name)}"
    elif dtype in (nw.List, nw.Array, nw.Struct):
        remedy = f"give each part a column of its own, or {leave_out(name)}"
    else:
        remedy = f"convert it to numbers or text, or {leave_out(name)}"
    kind = "of no one type" if dtype == nw.Object else _native(series)
    raise InputError(f"{source}: column {name!r} is {kind}; {remedy}")


def _native(series: Any) -> str:
    if series.dtype == nw.Unknown:
        return f"of a type that cannot be used ({getattr(series.to_native(), 'dtype', 'unknown')})"
    return f"of type {series.dtype}"


def _codes(
    series: Any, name: str, source: str, *, said: bool
) -> tuple[Float[np.ndarray, " n"], tuple[str, ...]]:
    missing = np.asarray(series.is_null().to_numpy(), dtype=bool)
    if series.dtype == nw.Boolean:
        values = np.array(series.fill_null(value=False).cast(nw.Float64).to_numpy())
        values[missing] = np.nan
        return values, ("false", "true")
    found = sorted(series.drop_nulls().unique().to_list())
    check_labels(len(found), int((~missing).sum()), name, source, said=said)
    if not found:
        raise InputError(f"{source}: column {name!r} has no values; {leave_out(name)}")
    codes = series.fill_null(found[0]).replace_strict(
        found, [float(i) for i in range(len(found))], return_dtype=nw.Float64
    )
    values = np.array(codes.to_numpy(), dtype=np.float64)
    values[missing] = np.nan
    return values, tuple(found)
