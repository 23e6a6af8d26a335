"""CSV to columns of numbers and of text, with the line of whatever is neither."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np
import polars as pl

from kullback._core.errors import InputError
from kullback._core.kinds import leave_out
from kullback._core.tables import BIG
from kullback.io._csv import read_fast
from kullback.io._layout import NO_VALUE, NUMBER, Text, number, open_text
from kullback.io._table import check_size

#: Names of columns to those that are wanted.
Pick = Callable[[Sequence[str]], list[str]]
_NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
_INFINITE = [cell for cell in NO_VALUE if "inf" in cell]
_NONE = [cell for cell in NO_VALUE if "inf" not in cell]
#: In columns of text the others are labels.
_NO_TEXT = ["", "na", "n/a", "#n/a", "nan", "null"]
_DATE = r"^\d{4}-\d{1,2}-\d{1,2}([T ].*)?$|^\d{1,2}[./]\d{1,2}[./]\d{2,4}( .*)?$"


@final
@dataclass(frozen=True, eq=False)
class Typed:
    """Columns of numbers, text, booleans or whatever else a file holds.

    Attributes:
        frame: the columns; null (or NaN) where a value is missing.
        source: the file.
        place: where a row, counted from 0, is found: "line 7".
    """

    frame: pl.DataFrame
    source: str
    place: Callable[[int], str]


def read_cells(path: Path, pick: Pick, *, dates: bool = False, whole: bool = False) -> Typed:
    """Returns the columns of a CSV file: numbers where every cell with a value is one, else text.

    Args:
        path: of the file.
        pick: the columns that are wanted.
        dates: read dates that are written as in ISO 8601, instead of refusing them.
        whole: columns of whole numbers that are too big for float64 become integers.

    Raises:
        InputError: the file cannot be read, a column mixes numbers and text, or holds dates; with
            the line.
    """
    text = open_text(path)
    wanted = pick(text.layout.columns)
    check_size(text.raw.count(b"\n"), len(wanted), text.source)
    index = [text.layout.columns.index(name) for name in wanted]

    def place(row: int) -> str:
        return f"line {next(itertools.islice(text.rows(), row, None))[0]}"

    values = read_fast(text)
    if values is not None and not (whole and (np.abs(values) >= BIG).any()):
        frame = pl.DataFrame({n: values[:, i] for n, i in zip(wanted, index, strict=True)})
        return Typed(frame, text.source, place)
    cells = _strings_fast(text)
    cells = _strings_carefully(text) if cells is None else cells
    _check_header(cells, text)
    made = [
        _column(cells.to_series(i).alias(name), text, place, dates=dates)
        for name, i in zip(wanted, index, strict=True)
    ]
    if whole:
        made = [_exact(v, cells.to_series(i)) for v, i in zip(made, index, strict=True)]
    return Typed(pl.DataFrame(made), text.source, place)


def _strings_fast(text: Text) -> pl.DataFrame | None:
    """Returns the cells, without blanks around them, if there is no doubt how they are separated."""
    body = text.body()
    if body is None:
        return None
    width = len(text.layout.columns)
    schema = {str(i): pl.String for i in range(width)}
    separator = text.layout.delimiter
    try:
        cells = pl.read_csv(body, has_header=False, separator=separator, schema=schema)
    except pl.exceptions.PolarsError:
        return None
    empty = cells.select(pl.any_horizontal(pl.all().is_null()).any()).item()
    # Polars fills short rows and blank lines with empty cells; here those are errors or nothing.
    whole = b'"' not in body and body.count(separator.encode()) == (width - 1) * len(cells)
    if empty and not (whole and width > 1):
        return None
    return cells.select(pl.all().fill_null("").str.strip_chars())


def _strings_carefully(text: Text) -> pl.DataFrame:
    schema = {str(i): pl.String for i in range(len(text.layout.columns))}
    return pl.DataFrame([row for _, row in text.rows()], schema=schema, orient="row")


def _column(cells: pl.Series, text: Text, place: Callable[[int], str], *, dates: bool) -> pl.Series:
    """Returns a column as numbers or as text, null where there is no value."""
    plain = cells.str.replace(",", ".", literal=True) if text.layout.decimal_comma else cells
    numeric = plain.str.contains(_NUMBER)
    if text.layout.decimal_comma:
        numeric &= ~cells.str.contains(".", literal=True)
    lower = cells.str.to_lowercase()
    infinite, missing = lower.is_in(_INFINITE), lower.is_in(_NONE)
    if not (numeric.any() or infinite.any()):
        return _text(cells, lower.is_in(_NO_TEXT), text.source, dates=dates)
    bad = ~(numeric | missing)
    if bad.any():
        raise InputError(_bad_cell(cells, bad, text.source, place))
    values = plain.set(~numeric, None).cast(pl.Float64, strict=False)
    odd = (values.is_null() & numeric).arg_true()
    if len(odd):  # a way of writing numbers that polars does not know
        values = values.scatter(odd, [number(cells[int(i)], text.layout) for i in odd])
    over = values.is_infinite().fill_null(value=False)
    if over.any():
        raise InputError(_bad_cell(cells, over, text.source, place))
    return values


def _exact(values: pl.Series, cells: pl.Series) -> pl.Series:
    """Returns integers instead of numbers that are whole and too big for float64."""
    if values.dtype != pl.Float64 or not (values.abs() >= BIG).any():
        return values
    for dtype in (pl.Int64, pl.UInt64):
        made = cells.cast(dtype, strict=False)
        if made.null_count() == values.null_count():
            return made.alias(values.name)
    return values


def _text(cells: pl.Series, missing: pl.Series, source: str, *, dates: bool) -> pl.Series:
    values = cells.set(missing, None)
    known = values.drop_nulls()
    if len(known) and known.str.contains(_DATE).all():
        moments = values.str.to_datetime(time_unit="us", strict=False) if dates else None
        if moments is not None and moments.null_count() == values.null_count():
            return moments
        raise InputError(
            f"{source}: column {cells.name!r} holds dates, such as {known[0]!r}; make numbers of them, "
            f"such as days since the first, or {leave_out(cells.name)}"
        )
    return values


def _bad_cell(cells: pl.Series, bad: pl.Series, source: str, place: Callable[[int], str]) -> str:
    count, row = int(bad.sum()), int(np.argmax(bad.to_numpy()))
    what = (
        "1 cell that is not a finite number,"
        if count == 1
        else f"{count:,} cells that are not finite numbers, the first"
    )
    return (
        f"{source}: column {cells.name!r} has {what} on {place(row)} ({cells[row]!r}); mend the "
        f"cells, or {leave_out(cells.name)}"
    )


def _check_header(cells: pl.DataFrame, text: Text) -> None:
    """Raises InputError if what was taken for names looks like every other row."""
    first = text.layout.columns
    if not text.layout.header or not any(NUMBER.fullmatch(name) for name in first):
        return
    alike = all(
        cells.to_series(i).str.contains(_NUMBER).any() == bool(NUMBER.fullmatch(name))
        for i, name in enumerate(first)
    )
    if alike:
        raise InputError(
            f"{text.source}, line {text.layout.first_line}: are these the names of the columns "
            f"({', '.join(first[:4])}) or a row? Begin the file with a line of names"
        )
