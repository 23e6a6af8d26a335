"""Reports to files."""

import glob
from collections.abc import Iterable
from pathlib import Path

from kullback._core.errors import InputError
from kullback.io import write_atomic


def check_place(
    path: Path | None, option: str = "--report", *, inputs: Iterable[str | Path | None] = ()
) -> None:
    """Raises InputError if a file could not be written there: better now than after the work.

    Args:
        path: where to; None for nowhere.
        option: that said so.
        inputs: what is read, as typed: files, directories, patterns, or what is none of these.
    """
    if path is None:
        return
    if path.is_dir():
        raise InputError(f"{option} {path}: this is a directory; give the name of a file in it")
    if not path.parent.is_dir():
        raise InputError(
            f"{option} {path}: there is no directory {path.parent}; create it, or write elsewhere"
        )
    for given in inputs:
        if given is not None and _is_read(path, str(given)):
            raise InputError(
                f"{option} {path}: this would overwrite what is read from {given}; write elsewhere"
            )


def _is_read(path: Path, given: str) -> bool:
    """Whether a path is an input, or a file that belongs to one."""
    try:
        place = Path(given)
        if place.is_dir():
            return path.suffix.lower() == ".parquet" and path.resolve().is_relative_to(
                place.resolve()
            )
        if not path.exists():
            return False
        names = [given] if place.exists() else glob.glob(given, recursive=True)  # noqa: PTH207 - may be absolute
        return any(path.samefile(name) for name in names)
    except (OSError, ValueError):  # an expression, say
        return False


def save(path: Path, html: str) -> str:
    """Writes a report and returns the line that says where it is.

    Raises:
        InputError: it cannot be written; nothing was left behind.
    """
    write_atomic(path, html)
    return where("report", path)


def where(what: str, path: Path) -> str:
    """Returns the line that says where something was written."""
    return f"{what}: {path if path.is_absolute() or len(path.parts) > 1 else f'./{path}'}"
