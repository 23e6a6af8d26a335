"""Files to tables: CSV, Parquet, npy."""

import difflib
import itertools
import tokenize
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import TypeVar

import numpy as np
import polars as pl
from jaxtyping import Float

from kullback.core.errors import InputError
from kullback.tables.cells import NumberTable, check_finite, check_size, numbered, table
from kullback.tables.csv import read_csv

Result = TypeVar("Result")
#: What NumPy raises over a header that makes no sense.
_NOT_AN_ARRAY = (
    ValueError,
    TypeError,
    SyntaxError,
    tokenize.TokenError,
    EOFError,
    OverflowError,
    RecursionError,
    MemoryError,
)


def read_table(path: str | Path) -> NumberTable:
    """Returns the numbers in a file.

    Args:
        path: a .csv (or .tsv), .parquet or .npy file.

    Raises:
        InputError: it is not there, not readable, or holds anything but finite numbers; with
            the line (CSV) or row and the column.
    """
    return read_file(Path(path), _READERS)


def read_file(path: Path, readers: Mapping[str, Callable[[Path], Result]]) -> Result:
    """Returns what the reader for the ending of a file makes of it.

    Args:
        path: of the file.
        readers: by ending.

    Raises:
        InputError: there is no such file, it is empty, of no known format or cannot be read.
    """
    try:
        check_exists(path)
        return _reader(path, readers)(path)
    except OSError as error:
        raise InputError(f"{path}: this cannot be read: {error.strerror or error}") from None


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


def _reader(
    path: Path, readers: Mapping[str, Callable[[Path], Result]]
) -> Callable[[Path], Result]:
    reader = readers.get(path.suffix.lower())
    if reader is None:
        *first, last = readers
        ending = f"the ending {path.suffix!r}" if path.suffix else "a name without an ending"
        raise InputError(
            f"{path}: {ending} does not name a format; {', '.join(first)} and {last} are read"
        )
    return reader


def _read_parquet(path: Path) -> NumberTable:
    source = str(path)
    try:
        frame = pl.scan_parquet(path, glob=False, hive_partitioning=False)
        schema = frame.collect_schema()
        rows = frame.select(pl.len()).collect().item()
        check_size(rows, len(schema), source)
        for name, dtype in schema.items():
            if not dtype.is_numeric():
                raise InputError(
                    f"{source}: column {name!r} is not numeric ({dtype}); "
                    "leave it out or encode it as numbers"
                )
        values = frame.select(pl.all().cast(pl.Float64)).collect().to_numpy()
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{source}: this cannot be read as Parquet: {reason}") from None
    columns = tuple(schema.names())
    check_finite(columns, values, source)
    return table(columns, values, source)


def read_npy(path: Path) -> tuple[tuple[str, ...], Float[np.ndarray, "n d"]]:
    """Returns names for the columns of an .npy file and its numbers, finite or not.

    Raises:
        InputError: it is damaged, or holds anything but a table of real numbers.
    """
    source = str(path)
    with path.open("rb") as file:
        if file.read(6) != b"\x93NUMPY":
            raise InputError(f"{source}: this is not an .npy file; write it with numpy.save")
    try:
        mapped = np.load(path, mmap_mode="r", allow_pickle=False)
    except _NOT_AN_ARRAY as error:
        if "Python objects" in str(error):
            raise InputError(
                f"{source}: it holds Python objects, which are not read because reading them "
                "runs code; save an array of floats"
            ) from None
        raise InputError(f"{source}: this cannot be read as .npy: {error}") from None
    if mapped.dtype.kind not in "fiu":
        raise InputError(
            f"{source}: its numbers are of type {mapped.dtype}; save real ones, as float64"
        )
    if mapped.ndim not in (1, 2):
        raise InputError(f"{source}: its shape is {mapped.shape}; save (rows, columns) or (rows,)")
    columns = numbered(1 if mapped.ndim == 1 else mapped.shape[1])
    check_size(len(mapped), len(columns), source)
    return columns, np.array(mapped, dtype=np.float64).reshape(len(mapped), len(columns))


def _read_npy(path: Path) -> NumberTable:
    columns, values = read_npy(path)
    check_finite(columns, values, str(path))
    return table(columns, values, str(path))


_READERS: dict[str, Callable[[Path], NumberTable]] = {
    ".csv": read_csv,
    ".tsv": read_csv,
    ".parquet": _read_parquet,
    ".npy": _read_npy,
}


# Data sets that come with the package.

_NAMES = ("faithful",)


def dataset(name: str) -> NumberTable:
    """Returns a data set that comes with the package.

    Args:
        name: "faithful".

    Raises:
        InputError: there is none of this name.

    Example:
        >>> dataset("faithful").values.shape
        (272, 2)
    """
    if name not in _NAMES:
        raise InputError(f"{name!r} is not a bundled data set; there is {', '.join(_NAMES)}")
    with resources.as_file(resources.files("kullback") / "data" / f"{name}.csv") as path:
        return replace(read_table(path), source=f"{name}.csv (comes with kullback)")


def find_table(path: str | Path) -> NumberTable:
    """Returns the numbers in a file, or the bundled data set of that name if there is no file.

    Args:
        path: a file; "faithful.csv" is found anywhere.

    Raises:
        InputError: as `read_table`.
    """
    path = Path(path)
    return dataset(path.name.removesuffix(".csv")) if _is_bundled(path) else read_table(path)


@contextmanager
def find_file(path: str | Path) -> Iterator[Path]:
    """Yields a path, or that of the bundled data set of that name if there is no file."""
    path = Path(path)
    if not _is_bundled(path):
        yield path
        return
    name = f"{path.name.removesuffix('.csv')}.csv"
    with resources.as_file(resources.files("kullback") / "data" / name) as found:
        yield found


def _is_bundled(path: Path) -> bool:
    bare = path.name == str(path) and path.name.removesuffix(".csv") in _NAMES
    return bare and not path.exists()
