"""Reports to files."""

from pathlib import Path

from kullback._core.errors import InputError
from kullback.io import write_atomic


def check_place(path: Path | None, option: str = "--report") -> None:
    """Raises InputError if a file could not be written there: better now than after the work."""
    if path is None:
        return
    if path.is_dir():
        raise InputError(f"{option} {path}: this is a directory; give the name of a file in it")
    if not path.parent.is_dir():
        raise InputError(
            f"{option} {path}: there is no directory {path.parent}; create it, or write elsewhere"
        )


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
