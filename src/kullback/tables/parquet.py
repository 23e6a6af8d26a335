"""Parquet files: which a path means, whether they are alike, and their columns, read one at a time.

A path may be elsewhere, as s3://bucket/rows/*.parquet: Polars reads it, with the credentials that it finds.
"""

import glob
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any, final
from urllib.parse import unquote

import narwhals as nw
import polars as pl

from kullback.core.errors import InputError
from kullback.core.interrupts import deferred
from kullback.tables.frames import column_of
from kullback.tables.kinds import Column, leave_out
from kullback.tables.paths import check_exists, is_elsewhere, is_many, is_parquet, is_web
from kullback.tables.table import Table


@contextmanager
def reading(source: str) -> Iterator[None]:
    """Raises InputError for a file that is damaged or cannot be read; Ctrl-C waits for the end of the block."""
    try:
        with deferred():
            yield
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        reason = str(error).splitlines()[0]
        if "expanded paths were empty" in reason:
            raise InputError(f"{source}: there are no files there") from None
        raise InputError(f"{source}: this cannot be read as Parquet: {reason}") from None
    except OSError as error:
        reason = error.strerror or str(error).splitlines()[0]
        raise InputError(f"{source}: this cannot be read: {reason}{_how(source)}") from None


def _how(source: str) -> str:
    if not is_elsewhere(source) or is_web(source):
        return ""
    return (
        "; Polars looks for credentials where the store's own tools do: for s3:// in AWS_ACCESS_KEY_ID, "
        "AWS_SECRET_ACCESS_KEY, AWS_REGION and AWS_ENDPOINT_URL, and in ~/.aws"
    )


def paths_of(path: str | Path) -> list[str]:
    """Returns the .parquet files that a directory, a pattern or a path means, in the order of their names."""
    if is_elsewhere(path):
        return _elsewhere(str(path))
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
        if not is_parquet(file):
            raise InputError(
                f"{file}: only .parquet files are read in pieces; write it as Parquet, or, if it fits "
                "into memory, give this file alone"
            )
    return sorted(str(p) for p in found)


def _elsewhere(path: str) -> list[str]:
    if not is_many(path):
        found = [path]
    else:
        with reading(path):
            files = pl.scan_parquet(
                path, include_file_paths=_FILE, hive_partitioning=False,
                missing_columns="insert", extra_columns="ignore",
            )  # fmt: skip
            found = (
                files.select(pl.col(_FILE).unique()).collect(engine="streaming")[_FILE].to_list()
            )
    for file in found:
        if not is_parquet(file):
            raise InputError(
                f"{file}: only .parquet files are read from elsewhere; download it, or write it as Parquet"
            )
    return sorted(found)


#: A name that no column has.
_FILE = "\0file"


#: What Hive calls a directory of rows without a value, and values that are whole numbers.
_NO_VALUE, _WHOLE = "__HIVE_DEFAULT_PARTITION__", re.compile(r"-?(0|[1-9]\d{0,17})")


@final
@dataclass(frozen=True)
class Partitions:
    """Columns that the names of directories hold, as in day=3/city=Rome/0.parquet.

    Attributes:
        root: the directory below which they are.
        types: of the columns.
    """

    root: str
    types: tuple[tuple[str, Any], ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the columns."""
        return tuple(name for name, _ in self.types)

    def columns(self, path: str) -> list[pl.Expr]:
        """Returns the columns of a file."""
        held = _keys(path, self.root)
        return [
            pl.lit(None if held[name] == _NO_VALUE else held[name], dtype=pl.String).cast(dtype).alias(name)
            for name, dtype in self.types
        ]  # fmt: skip


def partitions_of(path: str | Path, files: Sequence[str]) -> Partitions | None:
    """Returns the columns that the directories below a path name, where all name the same ones."""
    if is_elsewhere(path):
        root = str(path) if str(path).endswith("/") else ""
    else:
        root = str(Path(path).absolute()) if Path(path).is_dir() else ""
    if not root:
        return None
    held = [_keys(file, root) for file in files]
    own = schema_of(files[0])
    names = [name for name in held[0] if name not in own]
    if not names or any(list(keys) != list(held[0]) for keys in held):
        return None
    values = {name: {keys[name] for keys in held} - {_NO_VALUE} for name in names}
    whole = {name: all(map(_WHOLE.fullmatch, values[name])) for name in names}
    return Partitions(root, tuple((n, pl.Int64 if whole[n] else pl.String) for n in names))


def _keys(path: str, root: str) -> dict[str, str]:
    below = path if is_elsewhere(path) else str(Path(path).absolute())
    parts = PurePath(below.removeprefix(root)).parts[:-1]
    pairs = (part.partition("=") for part in parts if "=" in part)
    return {unquote(name): unquote(value) for name, _, value in pairs}


def lazily(path: str, partitions: Partitions | None = None) -> pl.LazyFrame:
    """Returns the rows of one file, of which nothing is read yet, with columns that its directories name."""
    found = pl.scan_parquet(path, glob=False, hive_partitioning=False)
    return found if partitions is None else found.with_columns(partitions.columns(path))


def schema_of(path: str, partitions: Partitions | None = None) -> Mapping[str, Any]:
    """Returns the names and types of the columns of one file, and of those that its directories name."""
    with reading(path):
        return lazily(path, partitions).collect_schema()


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
    partitions = partitions_of(path, paths)
    schemas = [schema_of(p, partitions) for p in paths]
    check_alike(paths, schemas, list(schemas[0]), everything=True)
    rows = sum(rows_in(p) for p in paths)

    def read(name: str) -> Column:
        text = any(is_text(schema[name]) for schema in schemas)
        cells = pl.col(name).cast(pl.String) if text else pl.col(name)
        with reading(source):
            each = [lazily(p, partitions).select(cells) for p in paths]
            parts = pl.concat(each, how="vertical_relaxed")
            series = parts.collect(engine="streaming").to_series()
        return column_of(nw.from_native(series, series_only=True))

    named = () if partitions is None else partitions.names
    return Table(tuple(schemas[0]), rows, read, source, partitions=named)
