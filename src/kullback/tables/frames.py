"""Objects that hold rows to tables: data frames of any library, relations, trees of draws."""

from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Float

from kullback.core.errors import IdentifierError, InputError, UnsupportedError
from kullback.tables.kinds import MOST_LABELS, Column, names_rows
from kullback.tables.lazy import LazyRows, lazy_rows
from kullback.tables.rows import Rows
from kullback.tables.table import Table, check_size, of_integers, of_values

#: Libraries whose objects are data frames or series.
FRAMES = {
    "pandas", "polars", "pyarrow", "modin", "cudf", "narwhals", "dask", "duckdb", "ibis", "pyspark"
}  # fmt: skip


def library(thing: object) -> str:
    """Returns the name of the library that an object comes from."""
    return type(thing).__module__.partition(".")[0].lstrip("_")


def is_tree(thing: object) -> bool:
    """Whether an object is a tree of draws, as ArviZ has it; a column of Spark has attributes of all names."""
    return (
        library(thing) not in FRAMES and hasattr(thing, "children") and hasattr(thing, "posterior")
    )


def holds_rows(thing: object) -> bool:
    """Whether an object is a data frame, a series, a relation or a tree of draws."""
    return library(thing) in FRAMES or isinstance(thing, LazyRows) or is_tree(thing)


def is_series(thing: object) -> bool:
    """Whether an object is one column of a data frame."""
    return library(thing) in FRAMES and not hasattr(type(thing), "columns")


def of_object(thing: Any, source: str) -> Table:
    """Returns a table of what `holds_rows`. Raises InputError if it has no rows, or names that repeat."""
    return _of_tree(thing, source) if is_tree(thing) else _of_frame(thing, source)


def _of_frame(given: Any, source: str) -> Table:
    import narwhals as nw  # noqa: PLC0415 - arrays and expressions need none
    from narwhals import exceptions  # noqa: PLC0415

    try:
        lazy = lazy_rows(given, source)
        if lazy is not None:
            check_size(lazy.rows, len(lazy.types), source)
            given = lazy.collected(tuple(lazy.types))
        frame: Any = nw.from_native(given, allow_series=True)
        if isinstance(frame, nw.Series):
            unnamed = frame.name is None or frame.name == ""
            frame = frame.alias("x0" if unnamed else str(frame.name)).to_frame()
        names = {str(name): name for name in frame.columns}
    except exceptions.DuplicateError as error:
        first = str(error).partition("- ")[2].partition("\n")[0]
        raise InputError(
            f"{source}: columns have the same name ({first.strip() or error}); rename one"
        ) from None
    except TypeError:
        kind = f"{type(given).__module__}.{type(given).__name__}"
        raise InputError(f"{source}: a {kind} is no data frame; give an array (n, d)") from None
    if len(names) != len(frame.columns):
        texts = [str(name) for name in frame.columns]
        twice = next(name for name in texts if texts.count(name) > 1)
        raise InputError(f"{source}: two columns have the name {twice!r}; rename one")
    if names and not len(frame):
        raise InputError(f"{source}: there are no rows in it")
    return Table(
        tuple(names), len(frame), lambda name: column_of(frame.get_column(names[name])), source
    )


def by_column(lazy: LazyRows) -> Table:
    """Returns a lazy frame as a table of which one column at a time is computed.

    For what looks at single columns only: the rows of two columns need not be in the same order.
    """

    def read(name: str) -> Column:
        _check_type(lazy.types[name])  # before anything is computed
        return column_of(lazy.collected([name]).get_column(name))

    return Table(tuple(lazy.types), lazy.rows, read, lazy.source)


def of_piece(frame: Any, source: str) -> Table:
    """Returns a data frame of narwhals that holds some of the rows of a lazy frame."""
    names = tuple(frame.columns)
    return Table(
        names, len(frame), lambda name: column_of(frame.get_column(name), whole=False), source,
        place=lambda row: "a row",
    )  # fmt: skip


def _of_tree(tree: Any, source: str) -> Table:
    """The posterior of an ArviZ tree, its chains one after another, a column for each coordinate."""
    columns: dict[str, np.ndarray] = {}
    shape: tuple[int, ...] = (1, 0)
    group = getattr(tree.posterior, "dataset", tree.posterior)
    for name in group.data_vars:
        values = np.asarray(group[name].values, dtype=np.float64)
        shape, event = values.shape[:2], values.shape[2:]
        flat = values.reshape(shape[0] * shape[1], -1)
        for i in range(flat.shape[1]):
            at = ",".join(str(k) for k in np.unravel_index(i, event)) if event else ""
            columns[f"{name}[{at}]" if at else str(name)] = flat[:, i]
    if not columns:
        raise InputError(f"{source}: the tree has no variables under its posterior")
    chains, draws = shape
    chain, draw = np.repeat(np.arange(chains), draws), np.tile(np.arange(draws), chains)
    made = of_values(np.column_stack(list(columns.values())), tuple(columns), source)
    return replace(made, account=Rows(cluster=chain, order=draw))


def column_of(series: Any, *, whole: bool = True) -> Column:
    """Returns a series as a column.

    Args:
        series: of narwhals.
        whole: whether these are all rows, so that it can be told whether text names them.

    Raises:
        IdentifierError: text in which nearly every value is different.
        UnsupportedError: lists, objects, and whatever else cannot be compared.
    """
    import narwhals as nw  # noqa: PLC0415 - arrays and expressions need none

    dtype = series.dtype
    if not dtype.is_numeric() and series.null_count() == len(series):
        # Whatever type a reader gave it: there is nothing but missing values.
        return Column("numbers", np.full(len(series), np.nan))
    if dtype in (nw.Int64, nw.UInt64):
        missing = np.asarray(series.is_null().to_numpy(), dtype=bool)
        filled = series.fill_null(0) if missing.any() else series
        return of_integers(np.asarray(filled.to_numpy()), missing)
    if dtype.is_numeric():
        return Column("numbers", np.array(series.cast(nw.Float64).to_numpy(), dtype=np.float64))
    if dtype in (nw.Date, nw.Datetime, nw.Duration):
        return Column("dates", _moments(series), type=str(dtype))
    if dtype == nw.Boolean:
        return _levels(series.cast(nw.Int8), ("false", "true"), (0, 1), str(dtype))
    if is_name(dtype):
        text = series if dtype == nw.String else series.cast(nw.String)
        found = sorted(text.drop_nulls().unique().to_list())
        if whole:
            check_no_names(len(found), len(series))
        return _levels(text, tuple(found), tuple(found), str(dtype))
    _check_type(dtype)
    if dtype == nw.Object:
        raise UnsupportedError(
            "values of no one type cannot be compared or fitted: make numbers or text of them"
        )
    native = getattr(series.to_native(), "dtype", dtype) if dtype == nw.Unknown else dtype
    raise UnsupportedError(
        f"values of type {native} cannot be compared or fitted: make numbers or text of them"
    )


def is_name(dtype: Any) -> bool:
    """Whether a type of narwhals is one of names: text or categories."""
    import narwhals as nw  # noqa: PLC0415 - arrays and expressions need none

    return dtype in (nw.String, nw.Categorical, nw.Enum)


def _check_type(dtype: Any) -> None:
    import narwhals as nw  # noqa: PLC0415 - arrays and expressions need none

    if dtype in (nw.List, nw.Array, nw.Struct):
        raise UnsupportedError(
            f"values of type {dtype} cannot be compared or fitted: give each part a column of its own"
        )


def check_no_names(labels: int, rows: int) -> None:
    """Raises IdentifierError for so many different texts in so many rows that they name them."""
    if labels > MOST_LABELS and names_rows(labels, rows):
        raise IdentifierError(
            f"{labels:,} different values in {rows:,} rows: they name rows, and no two tables share them"
        )


def _moments(series: Any) -> Float[np.ndarray, " n"]:
    """Returns dates as microseconds since 1970, with a time zone or without."""
    import narwhals as nw  # noqa: PLC0415 - arrays and expressions need none

    missing = np.asarray(series.is_null().to_numpy(), dtype=bool)
    if series.dtype == nw.Duration:
        whole = series.dt.total_microseconds()
    else:
        dated = series.cast(nw.Datetime("us")) if series.dtype == nw.Date else series
        whole = dated.dt.timestamp("us")
    values = np.array(whole.cast(nw.Float64).to_numpy(), dtype=np.float64)
    values[missing] = np.nan
    return values


def _levels(
    series: Any, labels: tuple[str, ...], values: tuple[str | int, ...], of_type: str
) -> Column:
    import narwhals as nw  # noqa: PLC0415 - arrays and expressions need none

    missing = np.asarray(series.is_null().to_numpy(), dtype=bool)
    codes = series.fill_null(values[0]).replace_strict(
        list(values), [float(i) for i in range(len(values))], return_dtype=nw.Float64
    )
    found = np.array(codes.to_numpy(), dtype=np.float64)
    found[missing] = np.nan
    return Column("levels", found, labels, type=of_type)
