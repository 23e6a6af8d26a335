"""What a path means: one file or many, here or elsewhere."""

import difflib
import glob
import itertools
import re
from pathlib import Path

from kullback.core.errors import InputError

#: What begins a path to another machine.
_ELSEWHERE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")


def is_elsewhere(path: str | Path) -> bool:
    """Whether a path leads to another machine, as s3://bucket/rows.parquet and https://host/rows.parquet do."""
    return _ELSEWHERE.match(str(path)) is not None


def is_web(path: str | Path) -> bool:
    """Whether a path is that of one file on the web, in which nothing is a pattern."""
    return str(path).lower().startswith(("http://", "https://"))


def is_parquet(path: str | Path) -> bool:
    """Whether the name of a file, or a pattern of names, ends as those of Parquet files do."""
    text = str(path).partition("?")[0] if is_web(path) else str(path)
    return text.lower().endswith(".parquet")


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


def is_many(path: str | Path) -> bool:
    """Whether a path means a directory or a pattern of files."""
    if is_elsewhere(path):
        text = str(path)
        return not is_web(text) and (text.endswith("/") or glob.has_magic(text))
    try:
        return Path(path).is_dir() or (not Path(path).exists() and glob.has_magic(str(path)))
    except (OSError, ValueError):
        return False
