"""Files to tables that are read a column at a time."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import narwhals as nw
import numpy as np
import polars as pl

from kullback._core import tables
from kullback._core.errors import InputError
from kullback._core.tables import Cells, Table
from kullback.io._cells import Typed, read_cells
from kullback.io._data import find_file
from kullback.io._files import read_file, read_npy
from kullback.io._scan import parquet_paths
from kullback.io._table import check_size


def open_table(path: str | Path) -> Table:
    """Returns a table of a file, of a directory of .parquet files, or of a pattern of their names.

    Parquet is read a column at a time when the column is asked for; other files at once.

    Args:
        path: .csv, .tsv, .parquet, .npy, a directory, or a pattern such as "2024-*.parquet".

    Raises:
        InputError: it is not there or cannot be read; with the line of a bad cell in CSV files.
    """
    place = Path(path)
    if (
        place.is_dir()
        or place.suffix.lower() == ".parquet"
        or (not place.exists() and "*" in str(path))
    ):
        return _of_parquet(str(path), parquet_paths(path))
    with find_file(path) as found:
        typed = read_file(found, {".csv": _csv, ".tsv": _csv, ".npy": _npy, ".parquet": _never})
    if not len(typed.frame):
        raise InputError(f"{path}: there are no rows in it")
    return tables.of_frame(typed.frame, str(path))


def _csv(path: Path) -> Typed:
    return read_cells(path, list, dates=True, whole=True)


def _npy(path: Path) -> Typed:
    names, values = read_npy(path)
    check_size(values.shape[0], values.shape[1], str(path))
    if (np.abs(values) >= tables.BIG).any():
        exact = np.load(path, allow_pickle=False)
        values = exact.reshape(values.shape) if exact.dtype.kind in "iu" else values
    frame = pl.DataFrame({name: values[:, i] for i, name in enumerate(names)})
    return Typed(frame, str(path), str)


def _never(path: Path) -> Typed:
    raise AssertionError(path)


def _of_parquet(source: str, paths: Sequence[str]) -> Table:
    with _as_input_error(source):
        lazy = _lazy(paths)
        names = tuple(lazy.collect_schema().names())
        rows = int(lazy.select(pl.len()).collect().item())
    if not rows:
        raise InputError(f"{source}: there are no rows in it")

    def read(name: str) -> Cells:
        with _as_input_error(source):
            series = lazy.select(pl.col(name)).collect(engine="streaming").to_series()
        return tables.cells_of(nw.from_native(series, series_only=True))

    return Table(names, rows, read, source)


def _lazy(paths: Sequence[str]) -> pl.LazyFrame:
    """Returns the rows of all files. Raises InputError if their columns differ."""
    scans = [pl.scan_parquet(p, glob=False, hive_partitioning=False) for p in paths]
    schemas = []
    for path, one in zip(paths, scans, strict=True):
        with _as_input_error(path):
            schemas.append(one.collect_schema())
    if all(schema == schemas[0] for schema in schemas):
        return pl.scan_parquet(list(paths), glob=False, hive_partitioning=False)
    for path, schema in zip(paths, schemas, strict=True):
        _check_alike(schemas[0], schema, paths[0], path)
    return pl.concat([one.select(list(schemas[0])) for one in scans], how="vertical_relaxed")


def _check_alike(first: pl.Schema, schema: pl.Schema, *paths: str) -> None:
    for name in (*first, *schema):
        if name not in first or name not in schema:
            have, lack = paths if name in first else paths[::-1]
            raise InputError(
                f"{lack}: there is no column {name!r}, but {have} has it; the files of one table have "
                "the same columns: mend them, or give other files"
            )
        one, other = first[name], schema[name]
        joined = (one.is_numeric() and other.is_numeric()) or pl.Null in (one, other)
        if one != other and not joined:
            raise InputError(
                f"{paths[1]}: column {name!r} is {other}, but in {paths[0]} it is {one}; the files of "
                "one table have the same columns: mend them, or give other files"
            )


@contextmanager
def _as_input_error(source: str) -> Iterator[None]:
    try:
        yield
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{source}: this cannot be read as Parquet: {reason}") from None
    except OSError as error:
        raise InputError(f"{source}: this cannot be read: {error.strerror or error}") from None
