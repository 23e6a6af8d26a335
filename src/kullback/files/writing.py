"""Scores and draws to files: CSV, Parquet and npy, written whole or not at all."""

import io
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, final

import numpy as np
import polars as pl
from jaxtyping import Float

from kullback.core.errors import InputError
from kullback.core.interrupts import deferred
from kullback.files.atomic import check_place, opened

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

    def read(self) -> Float[np.ndarray, " n"]:
        """Returns all that was added, of which memory holds what is looked at."""
        self._file.flush()
        if not os.fstat(self._file.fileno()).st_size:
            return np.zeros(0)
        return np.memmap(self._file, dtype=np.float64, mode="r")


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
            numbers = spool.read()
        except OSError as error:
            raise InputError(f"{path}: this cannot be written: {error.strerror or error}") from None

        lazy = pl.LazyFrame({name: numbers}).with_columns(pl.col(name).fill_nan(None))
        with opened(path) as file, _polars_writing(path):
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
    with opened(path) as file, _polars_writing(path):
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
def _polars_writing(path: Path) -> Iterator[None]:
    """Raises InputError where Polars cannot write; Ctrl-C waits until it has written."""
    try:
        with deferred():
            yield
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{path}: this cannot be written: {reason}") from None
