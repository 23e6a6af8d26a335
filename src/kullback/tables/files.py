"""Files to tables: CSV, Parquet, npy, and the data that come with the package."""

import tokenize
from collections.abc import Callable
from dataclasses import replace
from importlib import resources
from pathlib import Path

import numpy as np

from kullback.core.errors import InputError
from kullback.tables.csv import read_csv
from kullback.tables.parquet import read_parquet
from kullback.tables.paths import check_exists, is_elsewhere, is_many
from kullback.tables.table import Table, check_size, numbered, of_values

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
_BUNDLED = ("faithful",)


def open_table(path: str | Path) -> Table:
    """Returns a table of a file, of a directory of .parquet files, or of a pattern of their names.

    Parquet is read a column at a time when the column is asked for; other files at once.

    Args:
        path: .csv, .tsv, .parquet, .npy, a directory, or a pattern such as "2024-*.parquet"; .parquet files
            elsewhere, as "s3://bucket/rows.parquet"; "faithful.csv" is found anywhere.

    Raises:
        InputError: it is not there or cannot be read; with the line of a bad cell in CSV files.
    """
    try:
        if _is_bundled(Path(path)):
            return bundled(Path(path).name.removesuffix(".csv"))
        table = _opened(path)
    except OSError as error:
        raise InputError(f"{path}: this cannot be read: {error.strerror or error}") from None
    if not (table.rows and table.names):
        raise InputError(f"{path}: there are no rows in it")
    return table


def _opened(path: str | Path) -> Table:
    if is_many(path) or is_elsewhere(path):
        return read_parquet(path)
    check_exists(Path(path))
    ending = Path(path).suffix
    reader = _READERS.get(ending.lower())
    if reader is None:
        *first, last = _READERS
        what = f"the ending {ending!r}" if ending else "a name without an ending"
        raise InputError(
            f"{path}: {what} does not name a format; {', '.join(first)} and {last} are read"
        )
    return reader(Path(path))


def bundled(name: str) -> Table:
    """Returns a data set that comes with the package. Raises InputError if there is none of this name."""
    if name not in _BUNDLED:
        raise InputError(f"{name!r} is not a bundled data set; there is {', '.join(_BUNDLED)}")
    with resources.as_file(resources.files("kullback") / "data" / f"{name}.csv") as path:
        return replace(_opened(path), source=f"{name}.csv (comes with kullback)")


def _is_bundled(path: Path) -> bool:
    bare = path.name == str(path) and path.name.removesuffix(".csv") in _BUNDLED
    return bare and not path.exists()


def _read_npy(path: Path) -> Table:
    """Returns an .npy file. Raises InputError if it is damaged, or holds anything but real numbers."""
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
    whole = mapped.dtype.kind in "iu"
    values = np.array(mapped, dtype=mapped.dtype.newbyteorder("=") if whole else np.float64)
    return of_values(values.reshape(len(mapped), len(columns)), columns, source, headed=False)


_READERS: dict[str, Callable[[Path], Table]] = {
    ".csv": read_csv,
    ".tsv": read_csv,
    ".parquet": read_parquet,
    ".npy": _read_npy,
}
