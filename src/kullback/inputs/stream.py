"""Parquet files that may be bigger than memory to a stream of rows, read anew at every pass."""

import glob
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import final

import narwhals as nw
import numpy as np
import polars as pl
from jaxtyping import Float

from kullback.core.errors import InputError
from kullback.inputs.samples import (
    Missing,
    Read,
    check_missing,
    check_weights,
    no_value,
    parquet_names,
    picked,
)
from kullback.inputs.samples import read_rows as samples_read_rows
from kullback.tables import cells
from kullback.tables.cells import (
    BIG,
    Cells,
    Kind,
    Place,
    Table,
    cells_of,
    check_labels,
    check_size,
    check_values,
    leave_out,
    of_frame,
)
from kullback.tables.csv import Typed, open_text, read_cells
from kullback.tables.files import check_exists, find_file, read_file, read_npy
from kullback.targets import Stream

#: Cells of a piece, and the fewest and the most rows of one.
_CELLS = 2**20
_FEWEST, _MOST = 1024, 2**17
Pieces = Iterator[tuple[np.ndarray, np.ndarray | None]]


@final
@dataclass(frozen=True)
class _File:
    """A file of the stream, as it was when it was opened."""

    path: str
    rows: int
    size: int
    changed: int


@final
@dataclass(frozen=True, eq=False)
class _Parts:
    """What a pass reads."""

    files: tuple[_File, ...]
    columns: tuple[str, ...]
    kinds: tuple[Kind, ...]
    labels: tuple[tuple[str, ...], ...]
    weights: str | None
    missing: Missing
    source: str

    def __call__(self) -> Pieces:
        """Yields pieces of rows in the order of the files; raises InputError at a bad cell."""
        total = 0.0
        for file in self.files:
            _check_unchanged(file)
            first = 0
            for frame in self._frames(file):
                rows = frame.to_numpy(order="c")
                values, weights = self._checked(rows, file.path, first)
                first += len(rows)
                total += float(len(values) if weights is None else weights.sum())
                if len(values):
                    yield values, weights
        if total <= 0.0:
            what = "there are no rows in it" if self.weights is None else "all weights are 0"
            raise InputError(f"{self.source}: {what}")

    def _frames(self, file: _File) -> Iterator[pl.DataFrame]:
        wanted = [_as_number(*c) for c in zip(self.columns, self.labels, strict=True)]
        if self.weights is not None:
            wanted.append(pl.col(self.weights).cast(pl.Float64))
        size = min(max(_CELLS // len(wanted), _FEWEST), _MOST)
        with _as_input_error(file.path):
            yield from (
                pl.scan_parquet(file.path, glob=False, hive_partitioning=False)
                .select(wanted)
                .collect_batches(chunk_size=size, maintain_order=True, engine="streaming")
            )

    def _checked(
        self, rows: np.ndarray, source: str, first: int
    ) -> tuple[np.ndarray, np.ndarray | None]:
        def place(row: int) -> str:
            return f"row {first + row + 1:,}"

        d = len(self.columns)
        if not np.isfinite(rows).all():
            rows = self._without_missing(rows, source, place)
        values, weights = rows[:, :d], rows[:, d] if self.weights is not None else None
        check_values(values, self.columns, self.kinds, self.labels, source, place)
        if weights is None:
            return values, None
        check_weights(weights, str(self.weights), source, place)
        return np.ascontiguousarray(values), weights.copy()

    def _without_missing(self, rows: np.ndarray, source: str, place: Place) -> np.ndarray:
        """Returns the rows that may stay; raises InputError for infinite and for missing cells."""
        names = [*self.columns, *([] if self.weights is None else [self.weights])]
        for i, name in enumerate(names):
            infinite, bare = np.isinf(rows[:, i]), np.isnan(rows[:, i])
            if infinite.any():
                where = place(int(np.argmax(infinite)))
                raise InputError(
                    f"{source}: column {name!r} has {int(infinite.sum()):,} infinite value(s) in this "
                    f"piece, the first on {where}; mend the cells, or drop such rows"
                )
            if bare.any() and (
                self.missing is False or (name == self.weights and self.missing is True)
            ):
                raise InputError(
                    no_value(source, name, int(bare.sum()), place(int(np.argmax(bare))))
                )
        return rows[~np.isnan(rows).any(axis=1)] if self.missing == "drop" else rows


def scan(
    path: str | Path,
    *,
    columns: Sequence[str] | None = None,
    weights: str | None = None,
    counts: Sequence[str] = (),
    missing: Missing = False,
) -> Stream:
    """Returns the rows of Parquet files as a stream, for files that may be bigger than memory.

    Names and types of the columns are compared over all files at once; cells are looked at as they are
    read. A fit reads the files once for each of its passes.

    Args:
        path: a directory with .parquet files, at any depth; a pattern such as "2024-*.parquet"; or one
            file. Files are read in the order of their names.
        columns, weights, counts, missing: as of `read_samples`.

    Raises:
        InputError: there are no such files, they are damaged, or their columns differ. In a pass, for
            missing and infinite cells, with the file and the row.

    Example:
        >>> import tempfile
        >>> import polars
        >>> place = Path(tempfile.mkdtemp()) / "rows.parquet"
        >>> polars.DataFrame({"x": [1.0, 2.0], "y": [0.5, 0.5]}).write_parquet(place)
        >>> scan(place).columns
        ('x', 'y')
    """
    check_missing(missing)
    paths = parquet_paths(path)
    source = str(path)
    schemas = [_schema(p) for p in paths]
    wanted = picked(list(schemas[0]), columns, weights, counts, paths[0])
    needed = [*wanted, *([] if weights is None else [weights])]
    _check_alike(paths, schemas, needed, everything=columns is None)
    files = tuple(_opened(p) for p in paths)
    rows = sum(f.rows for f in files)
    if not rows:
        raise InputError(f"{source}: there are no rows in it")
    if weights is not None and not schemas[0][weights].is_numeric():
        raise InputError(f"{source}: column {weights!r} is {schemas[0][weights]}, not numbers")
    labels = tuple(_labels(name, schemas[0][name], paths, rows, source) for name in wanted)
    kinds: tuple[Kind, ...] = tuple(
        "count" if name in counts else "category" if known else "continuous"
        for name, known in zip(wanted, labels, strict=True)
    )
    for name, known in zip(wanted, labels, strict=True):
        if name in counts and known:
            raise InputError(f"{source}: column {name!r} is {schemas[0][name]}, so it is no count")
    parts = _Parts(files, tuple(wanted), kinds, labels, weights, missing, source)
    return Stream(parts, tuple(wanted), kinds, labels, missing is True, source)


def read_rows(
    path: str | Path,
    *,
    columns: Sequence[str] | None = None,
    weights: str | None = None,
    counts: Sequence[str] = (),
    missing: Missing = False,
) -> Read | Stream:
    """Returns samples, or a stream for a directory, a pattern, or a Parquet file that is too big."""
    given = {"columns": columns, "weights": weights, "counts": counts, "missing": missing}
    return scan(path, **given) if is_stream(path) else samples_read_rows(path, **given)


def stream_names(path: str | Path) -> tuple[str, ...]:
    """Returns the names of the columns of the first of the files."""
    return tuple(_schema(parquet_paths(path)[0]))


def is_stream(path: str | Path) -> bool:
    """Whether a path means files that are read in pieces."""
    try:
        if Path(path).is_dir():
            return True
        if not Path(path).exists():
            return glob.has_magic(str(path))
        if Path(path).suffix.lower() != ".parquet" or not Path(path).is_file():
            return False
    except (OSError, ValueError):
        return False
    return Path(path).stat().st_size > 0 and _cells(str(path)) > cells.MAX_CELLS


def _cells(path: str) -> int:
    try:
        return _opened(path).rows * len(_schema(path))
    except InputError:
        return 0  # what is wrong with it is said by who reads it


def parquet_paths(path: str | Path) -> list[str]:
    """Returns the .parquet files that a directory, a pattern or a path means, in the order of their names."""
    place = Path(path)
    if place.is_dir():
        found = [p for p in place.rglob("*.parquet") if p.is_file() and p.name[0] not in "._"]
        if not found:
            raise InputError(f"{path}: there are no .parquet files in this directory")
    elif not place.exists() and glob.has_magic(str(path)):
        matches = glob.glob(str(path), recursive=True)  # noqa: PTH207 - may be absolute
        found = [Path(p) for p in matches if Path(p).is_file()]
        if not found:
            raise InputError(f"{path}: no file has a name like this")
    else:
        found = [place]
    for file in found:
        check_exists(file)
        if file.suffix.lower() != ".parquet":
            raise InputError(
                f"{file}: only .parquet files are read in pieces; write it as Parquet, or, if it fits "
                "into memory, give this file alone"
            )
    return sorted(str(p) for p in found)


def _schema(path: str) -> pl.Schema:
    with _as_input_error(path):
        return pl.scan_parquet(path, glob=False, hive_partitioning=False).collect_schema()


def _opened(path: str) -> _File:
    with _as_input_error(path):
        lazy = pl.scan_parquet(path, glob=False, hive_partitioning=False)
        rows = lazy.select(pl.len()).collect().item()
    found = Path(path).stat()
    return _File(path, rows, found.st_size, found.st_mtime_ns)


def _check_unchanged(file: _File) -> None:
    try:
        found = Path(file.path).stat()
    except OSError as error:
        raise InputError(f"{file.path}: this cannot be read: {error.strerror}") from None
    if (found.st_size, found.st_mtime_ns) != (file.size, file.changed):
        raise InputError(f"{file.path}: this file has changed since it was opened; begin anew")


def _check_alike(
    paths: Sequence[str], schemas: Sequence[pl.Schema], needed: Sequence[str], *, everything: bool
) -> None:
    first = schemas[0]
    for path, schema in zip(paths, schemas, strict=True):
        for name in needed:
            if name not in schema:
                raise InputError(f"{path}: there is no column {name!r}, but {paths[0]} has it")
            if _group(schema[name]) != _group(first[name]):
                raise InputError(
                    f"{path}: column {name!r} is {schema[name]}, but in {paths[0]} it is {first[name]}"
                )
        more = [name for name in schema if name not in first]
        if everything and more:
            raise InputError(
                f"{path}: there is a column {more[0]!r}, but {paths[0]} has none; "
                f"{leave_out(more[0])}"
            )


def _group(dtype: pl.DataType) -> str:
    if dtype.is_numeric():
        return "numbers"
    return "text" if _is_text(dtype) else str(dtype)


def _is_text(dtype: pl.DataType) -> bool:
    return isinstance(dtype, (pl.String, pl.Categorical, pl.Enum))


def _labels(
    name: str, dtype: pl.DataType, paths: Sequence[str], rows: int, source: str
) -> tuple[str, ...]:
    """Returns the labels of a column over all files, () for numbers."""
    if dtype.is_numeric():
        return ()
    if isinstance(dtype, pl.Boolean):
        return ("false", "true")
    if not _is_text(dtype):
        raise InputError(
            f"{source}: column {name!r} is of type {dtype}; make numbers or text of it, or "
            f"{leave_out(name)}"
        )
    found: set[str] = set()
    distinct = pl.col(name).cast(pl.String).drop_nulls().unique()
    for path in paths:
        with _as_input_error(path):
            lazy = pl.scan_parquet(path, glob=False, hive_partitioning=False).select(distinct)
            found.update(lazy.collect(engine="streaming").to_series().to_list())
        check_labels(len(found), rows, name, source, said=path != paths[-1])
    if not found:
        raise InputError(f"{source}: column {name!r} has no values; {leave_out(name)}")
    return tuple(sorted(found))


def _as_number(name: str, labels: tuple[str, ...]) -> pl.Expr:
    column = pl.col(name)
    if not labels:
        return column.cast(pl.Float64)
    codes = [float(i) for i in range(len(labels))]
    return column.cast(pl.String).replace_strict(
        list(labels), codes, default=None, return_dtype=pl.Float64
    )


@contextmanager
def _as_input_error(path: str) -> Iterator[None]:
    try:
        yield
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{path}: this cannot be read as Parquet: {reason}") from None
    except OSError as error:
        raise InputError(f"{path}: this cannot be read: {error.strerror or error}") from None


# A look at data before they are used: the names of the columns, and a few rows of a stream.

Names = tuple[tuple[str, ...], bool]


def column_names(path: str | Path) -> Names:
    """Returns the names of the columns of a file or of files, and whether they are its own.

    Columns of .npy files, and of CSV files without a header, are called x0, x1 ...

    Raises:
        InputError: as `read_samples` and `scan`.
    """
    if is_stream(path):
        return stream_names(path), True
    with find_file(path) as found:
        return read_file(found, {".csv": _csv, ".tsv": _csv, ".parquet": _parquet, ".npy": _npy})


def some_rows(
    stream: Stream, most: int, rng: np.random.Generator
) -> tuple[Float[np.ndarray, "n d"], Float[np.ndarray, " n"] | None]:
    """Returns at most so many rows of a stream, each as likely as any other, with their weights."""
    keys = np.empty(0)
    rows: np.ndarray | None = None
    weights: np.ndarray | None = None
    for values, given in stream.read():
        drawn = rng.random(len(values))
        near = (
            np.flatnonzero(drawn < np.max(keys, initial=0.0)) if len(keys) == most else slice(None)
        )
        keys = np.concatenate([keys, drawn[near]])
        rows = values[near] if rows is None else np.concatenate([rows, values[near]])
        if given is not None:
            weights = given[near] if weights is None else np.concatenate([weights, given[near]])
        if len(keys) > most:
            kept = np.sort(np.argpartition(keys, most)[:most])
            keys, rows = keys[kept], rows[kept]
            weights = None if weights is None else weights[kept]
    assert rows is not None
    return rows, weights


def _csv(path: Path) -> Names:
    layout = open_text(path).layout
    return layout.columns, layout.header


def _parquet(path: Path) -> Names:
    return parquet_names(path), True


def _npy(path: Path) -> Names:
    return read_npy(path)[0], False


# Files to tables that are read a column at a time.


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
        typed = read_file(
            found, {".csv": _csv_table, ".tsv": _csv_table, ".npy": _npy_table, ".parquet": _never}
        )
    if not len(typed.frame):
        raise InputError(f"{path}: there are no rows in it")
    return of_frame(typed.frame, str(path))


def _csv_table(path: Path) -> Typed:
    return read_cells(path, list, dates=True, whole=True)


def _npy_table(path: Path) -> Typed:
    names, values = read_npy(path)
    check_size(values.shape[0], values.shape[1], str(path))
    if (np.abs(values) >= BIG).any():
        exact = np.load(path, allow_pickle=False)
        values = exact.reshape(values.shape) if exact.dtype.kind in "iu" else values
    frame = pl.DataFrame({name: values[:, i] for i, name in enumerate(names)})
    return Typed(frame, str(path), str)


def _never(path: Path) -> Typed:
    raise AssertionError(path)


def _of_parquet(source: str, paths: Sequence[str]) -> Table:
    with _table_input_error(source):
        lazy = _lazy(paths)
        names = tuple(lazy.collect_schema().names())
        rows = int(lazy.select(pl.len()).collect().item())
    if not rows:
        raise InputError(f"{source}: there are no rows in it")

    def read(name: str) -> Cells:
        with _table_input_error(source):
            series = lazy.select(pl.col(name)).collect(engine="streaming").to_series()
        return cells_of(nw.from_native(series, series_only=True))

    return Table(names, rows, read, source)


def _lazy(paths: Sequence[str]) -> pl.LazyFrame:
    """Returns the rows of all files. Raises InputError if their columns differ."""
    scans = [pl.scan_parquet(p, glob=False, hive_partitioning=False) for p in paths]
    schemas = []
    for path, one in zip(paths, scans, strict=True):
        with _table_input_error(path):
            schemas.append(one.collect_schema())
    if all(schema == schemas[0] for schema in schemas):
        return pl.scan_parquet(list(paths), glob=False, hive_partitioning=False)
    for path, schema in zip(paths, schemas, strict=True):
        _check_tables_alike(schemas[0], schema, paths[0], path)
    return pl.concat([one.select(list(schemas[0])) for one in scans], how="vertical_relaxed")


def _check_tables_alike(first: pl.Schema, schema: pl.Schema, *paths: str) -> None:
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
def _table_input_error(source: str) -> Iterator[None]:
    try:
        yield
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{source}: this cannot be read as Parquet: {reason}") from None
    except OSError as error:
        raise InputError(f"{source}: this cannot be read: {error.strerror or error}") from None
