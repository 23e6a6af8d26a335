"""Scores and draws to files: CSV, Parquet and npy, written whole or not at all."""

import contextlib
import errno
import io
import os
import secrets
import stat
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, final

import numpy as np
import polars as pl
from jaxtyping import Float
from polars.io.plugins import register_io_source

from kullback.core.errors import InputError

#: Rows of a piece.
_CHUNK = 2**17
#: A spreadsheet takes text that begins so for a formula.
_FORMULA = r"^[=+\-@\t\r]"


@final
class Spool:
    """Numbers on their way to a file: one column, of any length, in the order in which they come."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def write(self, numbers: Float[np.ndarray, " m"]) -> None:
        """Adds numbers."""
        self._file.write(np.ascontiguousarray(numbers, dtype=np.float64).data)

    def pieces(self) -> Iterator[Float[np.ndarray, " m"]]:
        """Yields all that was added."""
        self._file.seek(0)
        while data := self._file.read(8 * _CHUNK):
            yield np.frombuffer(data)


@contextmanager
def column(path: str | Path, name: str) -> Iterator[Spool]:
    """Yields what to give the numbers of a column to, and writes them to a file in the end.

    They wait in a file without a name beside it, so that neither memory nor a kill matters. NaN is
    written as an empty cell.

    Args:
        path: a .csv or .parquet file.
        name: of the column.

    Raises:
        InputError: it cannot be written, or is of another format.
    """
    path = Path(path)
    check_format(path, (".csv", ".parquet"))
    try:
        waiting = tempfile.TemporaryFile(dir=path.parent)  # noqa: SIM115 - closed below
    except OSError as error:
        raise InputError(f"{path}: this cannot be written: {error.strerror or error}") from None
    with waiting:
        spool = Spool(waiting)
        try:
            yield spool
        except OSError as error:
            raise InputError(f"{path}: this cannot be written: {error.strerror or error}") from None

        def frames(*_: Any) -> Iterator[pl.DataFrame]:
            for numbers in spool.pieces():
                yield pl.DataFrame({name: pl.Series(numbers).fill_nan(None)})

        lazy = register_io_source(frames, schema={name: pl.Float64})
        with opened(path) as file, _as_input_error(path):
            if path.suffix.lower() == ".csv":
                lazy.sink_csv(file)
            else:
                lazy.sink_parquet(file)


def write_columns(
    path: str | Path,
    names: Sequence[str],
    columns: Sequence[np.ndarray | list[str]],
    *,
    spreadsheet: bool = False,
) -> None:
    """Writes columns of numbers and of text; what was written is read back as it was.

    Args:
        path: a .csv, .parquet or .npy file; the last holds numbers only.
        names: of the columns.
        columns: all of the same length.
        spreadsheet: whether a .csv is for a spreadsheet: text that it would take for a formula then
            gets a quotation mark in front, and is read back with it.

    Raises:
        InputError: it cannot be written, or is of another format.
    """
    path = Path(path)
    check_format(path, (".csv", ".parquet", ".npy"))
    if path.suffix.lower() == ".npy":
        if any(isinstance(c, list) for c in columns):
            raise InputError(f"{path}: .npy holds no labels; write .csv or .parquet")
        part = io.BytesIO()
        np.lib.format.write_array(part, np.column_stack(columns), allow_pickle=False)
        with opened(path) as file:
            file.write(part.getbuffer())
        return
    frame = _frame(names, columns)
    with opened(path) as file, _as_input_error(path):
        if path.suffix.lower() == ".csv":
            (_safe(frame) if spreadsheet else frame).write_csv(file)
        else:
            frame.write_parquet(file)


def as_csv(
    names: Sequence[str],
    columns: Sequence[np.ndarray | list[str]],
    *,
    spreadsheet: bool = False,
) -> str:
    """Returns columns as the text of a CSV file; the arguments are those of `write_columns`."""
    frame = _frame(names, columns)
    return (_safe(frame) if spreadsheet else frame).write_csv()


def check_format(path: Path, endings: tuple[str, ...]) -> None:
    """Raises InputError if nothing can be written there in one of these formats."""
    check_place(path)
    if path.suffix.lower() not in endings:
        *first, last = endings
        raise InputError(
            f"{path}: the ending {path.suffix!r} names no format that is written here; "
            f"{', '.join(first)} and {last} are"
        )


def _frame(names: Sequence[str], columns: Sequence[np.ndarray | list[str]]) -> pl.DataFrame:
    return pl.DataFrame(dict(zip(names, columns, strict=True)))


def _safe(frame: pl.DataFrame) -> pl.DataFrame:
    """Returns a table in which no text is a formula: such text gets a quotation mark in front."""
    text = pl.col(pl.String)
    quoted = pl.when(text.str.contains(_FORMULA)).then(pl.concat_str(pl.lit("'"), text))
    made = frame.with_columns(quoted.otherwise(text).name.keep())
    formulas = {n: f"'{n}" for n in frame.columns if n[:1] in tuple("=+-@\t\r")}
    return made.rename(formulas)


@contextmanager
def _as_input_error(path: Path) -> Iterator[None]:
    try:
        yield
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{path}: this cannot be written: {reason}") from None


# Files written whole or not at all.

_DEVICES = ("/dev", "/dev/fd", "/proc")


def write_atomic(path: str | Path, data: bytes | str) -> None:
    """Writes a file so that it holds all of the data or stays as it was.

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
