"""Parquet files: which a path means, whether they are alike, and their columns, read one at a time."""

import difflib
import glob
import itertools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import narwhals as nw
import polars as pl

from kullback.core.errors import InputError
from kullback.tables.frames import column_of
from kullback.tables.kinds import Column, leave_out
from kullback.tables.table import Table


def check_exists(path: Path) -> None:
    """Raises InputError if there is no such file, or nothing in it."""
    if path.is_dir():
        raise InputError(f"{path}: this is a directory; give a file in it")
    if not path.exists():
        raise InputError(f"{path}: there is no such file{_near(path)}")
    if path.is_file() and path.stat().st_size == 0:
        raise InputError(f"{path}: the file is empty")


def _near(path: Path) -> str:
    if not path.parent.is_dir():
        return f", and no directory {path.parent}"
    names = [p.name for p in itertools.islice(path.parent.iterdir(), 1000)]
    near = difflib.get_close_matches(path.name, names, n=1, cutoff=0.75)
    return f"; did you mean {path.parent / near[0]}?" if near else f" in {path.parent.resolve()}"


@contextmanager
def reading(source: str) -> Iterator[None]:
    """Raises InputError for a file that is damaged or cannot be read."""
    try:
        yield
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{source}: this cannot be read as Parquet: {reason}") from None
    except OSError as error:
        raise InputError(f"{source}: this cannot be read: {error.strerror or error}") from None


def is_many(path: str | Path) -> bool:
    """Whether a path means a directory or a pattern of files."""
    try:
        return Path(path).is_dir() or (not Path(path).exists() and glob.has_magic(str(path)))
    except (OSError, ValueError):
        return False


def paths_of(path: str | Path) -> list[str]:
    """Returns the .parquet files that a directory, a pattern or a path means, in the order of their names."""
    place = Path(path)
    if place.is_dir():
        found = [p for p in place.rglob("*.parquet") if p.is_file() and p.name[0] not in "._"]
        if not found:
            raise InputError(f"{path}: there are no .parquet files in this directory")
    elif is_many(path):
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


def lazily(path: str) -> pl.LazyFrame:
    """Returns the rows of one file, of which nothing is read yet."""
    return pl.scan_parquet(path, glob=False, hive_partitioning=False)


def schema_of(path: str) -> Mapping[str, Any]:
    """Returns the names and types of the columns of one file."""
    with reading(path):
        return lazily(path).collect_schema()


def rows_in(path: str) -> int:
    """Returns how many rows one file has."""
    with reading(path):
        return int(lazily(path).select(pl.len()).collect().item())


def check_alike(
    paths: Sequence[str],
    schemas: Sequence[Mapping[str, Any]],
    needed: Sequence[str],
    *,
    everything: bool,
) -> None:
    """Raises InputError where files of one table lack a column, or have it in another type.

    Args:
        paths, schemas: of the files.
        needed: the columns that are read.
        everything: whether a file may have no others.
    """
    first = schemas[0]
    for path, schema in zip(paths, schemas, strict=True):
        for name in needed:
            if name not in schema:
                raise InputError(
                    f"{path}: there is no column {name!r}, but {paths[0]} has it; the files of one table "
                    "have the same columns: mend them, or give other files"
                )
            if _group(schema[name]) != _group(first[name]) and pl.Null not in (
                schema[name], first[name],
            ):  # fmt: skip
                raise InputError(
                    f"{path}: column {name!r} is {schema[name]}, but in {paths[0]} it is {first[name]}; the "
                    "files of one table have the same columns: mend them, or give other files"
                )
        more = [name for name in schema if name not in first]
        if everything and more:
            raise InputError(
                f"{path}: there is a column {more[0]!r}, but {paths[0]} has none; "
                f"{leave_out(more[0])}"
            )


def _group(dtype: Any) -> str:
    if dtype.is_numeric():
        return "numbers"
    return "text" if is_text(dtype) else str(dtype)


def is_text(dtype: Any) -> bool:
    """Whether a column holds text, or categories."""
    return isinstance(dtype, (pl.String, pl.Categorical, pl.Enum))


def read_parquet(path: str | Path) -> Table:
    """Returns a file, a directory of files or a pattern as a table whose columns are read one at a time.

    Raises:
        InputError: there are no such files, they are damaged, or their columns differ.
    """
    source, paths = str(path), paths_of(path)
    schemas = [schema_of(p) for p in paths]
    check_alike(paths, schemas, list(schemas[0]), everything=True)
    rows = sum(rows_in(p) for p in paths)

    def read(name: str) -> Column:
        text = any(is_text(schema[name]) for schema in schemas)
        cells = pl.col(name).cast(pl.String) if text else pl.col(name)
        with reading(source):
            parts = pl.concat([lazily(p).select(cells) for p in paths], how="vertical_relaxed")
            series = parts.collect(engine="streaming").to_series()
        return column_of(nw.from_native(series, series_only=True))

    return Table(tuple(schemas[0]), rows, read, source)
