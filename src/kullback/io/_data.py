"""Data sets that come with the package.

faithful: 272 eruptions of the Old Faithful geyser, their length and the wait for the next, both
in minutes (W. Haerdle, Smoothing Techniques, 1991; Azzalini and Bowman, Applied Statistics 39,
1990). Facts of nature, in the public domain.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib import resources
from pathlib import Path

from kullback._core.errors import InputError
from kullback.io._files import read_table
from kullback.io._table import Table

_NAMES = ("faithful",)


def dataset(name: str) -> Table:
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
    with resources.as_file(resources.files("kullback.io") / "data" / f"{name}.csv") as path:
        return replace(read_table(path), source=f"{name}.csv (comes with kullback)")


def find_table(path: str | Path) -> Table:
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
    with resources.as_file(resources.files("kullback.io") / "data" / name) as found:
        yield found


def _is_bundled(path: Path) -> bool:
    bare = path.name == str(path) and path.name.removesuffix(".csv") in _NAMES
    return bare and not path.exists()
