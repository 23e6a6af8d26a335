"""Files that are written whole or not at all."""

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from kullback.core.errors import InputError

# Files written whole or not at all.

_DEVICES = ("/dev", "/dev/fd", "/proc")


def write_atomic(path: str | Path, data: bytes | str) -> Path:
    """Writes a file so that it holds all of the data or stays as it was, and returns its path.

    The data go to a new file in the same directory, which then takes the name; a symbolic link
    is replaced, not followed. Devices and pipes are written straight.

    Args:
        path: where to; its directory must exist.
        data: text is written as UTF-8.

    Raises:
        InputError: it cannot be written; nothing was left behind.
    """
    content = data.encode() if isinstance(data, str) else data
    with opened(path) as file:
        file.write(content)
    return Path(path)


@contextlib.contextmanager
def opened(path: str | Path) -> Iterator[BinaryIO]:
    """Yields a file to write to, which takes its name only when all is written, as `write_atomic`.

    Args:
        path: where to; its directory must exist.

    Raises:
        InputError: it cannot be written; nothing was left behind.
    """
    path = Path(path)
    try:
        check_place(path)
        if _is_device(path):
            with path.open("wb") as file:
                yield file
        else:
            with _replacing(path) as file:
                yield file
    except OSError as error:
        raise InputError(
            f"{path}: this cannot be written: {error.strerror or error}; write elsewhere"
        ) from None


def check_place(path: Path) -> None:
    """Raises InputError if nothing can be written there: better now than after the work."""
    if path.is_dir():
        raise InputError(f"{path}: this is a directory; give the name of a file in it")
    if not path.parent.is_dir():
        raise InputError(
            f"{path}: there is no directory {path.parent}; create it, or write elsewhere"
        )


def _is_device(path: Path) -> bool:
    if str(path.parent) in _DEVICES:
        return True
    return path.exists() and not stat.S_ISREG(path.stat().st_mode)


@contextlib.contextmanager
def _replacing(path: Path) -> Iterator[BinaryIO]:
    if path.is_file() and not os.access(path, os.W_OK):
        raise PermissionError(errno.EACCES, "it is read-only")
    temporary = path.parent / f".kullback-{secrets.token_hex(8)}.tmp"
    try:
        with temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if path.is_file() and not path.is_symlink():
            temporary.chmod(stat.S_IMODE(path.stat().st_mode))
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    _sync_directory(path.parent)


def _sync_directory(directory: Path) -> None:
    """Makes the new name durable, where directories can be synchronised."""
    with contextlib.suppress(OSError):
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
