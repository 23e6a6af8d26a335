"""How a CSV file is written: its delimiter, its decimals, its header; and its rows, with their lines."""

import csv
import io
import itertools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import final

import numpy as np
import polars as pl
from jaxtyping import Float

from kullback.core.errors import InputError
from kullback.core.interrupts import deferred
from kullback.tables.frames import column_of
from kullback.tables.kinds import BIG, Column, leave_out
from kullback.tables.table import Table, check_size, numbered

#: A row of cells and the line on which it starts.
Row = tuple[int, list[str]]

_MAX_BYTES = 4_000_000_000
#: How many rows, and how many characters, show how a file is written.
_SAMPLE = 1000
_SNIFFED = 20_000
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_COMMA_NUMBER = re.compile(r"[+-]?\d*,\d+([eE][+-]?\d+)?", re.ASCII)
_DIGITS = re.compile(r"\d+", re.ASCII)
_CODE = re.compile(r"0\d+", re.ASCII)
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(,\d{3})+", re.ASCII)
_BLANK = " \r\n"
NO_VALUE = {
    "",
    "na",
    "n/a",
    "#n/a",
    "nan",
    "-nan",
    "null",
    "none",
    "nil",
    "?",
    "-",
    ".",
    "inf",
    "+inf",
    "-inf",
    "infinity",
    "+infinity",
    "-infinity",
}


@final
@dataclass(frozen=True)
class Layout:
    """How a file is written; columns of codes hold digits with leading zeros, such as 02134."""

    delimiter: str
    decimal_comma: bool
    header: bool
    columns: tuple[str, ...]
    first_line: int
    codes: tuple[str, ...]


@final
@dataclass(frozen=True)
class CsvText:
    """A CSV file in memory: its bytes, its characters and how it is written."""

    raw: bytes
    text: str
    layout: Layout
    source: str

    def body(self) -> bytes | None:
        """Returns the rows as bytes; None where only `rows` reads them right."""
        raw, layout = self.raw, self.layout
        if layout.first_line > 1 or re.search(rb"\r(?!\n)", raw):
            return None
        start = raw.find(b"\n") + 1 if layout.header else 0
        body = raw[start:].rstrip(_BLANK.encode())
        if (layout.header and (not start or raw.count(b'"', 0, start) % 2)) or not body:
            return None
        return body

    def rows(self) -> Iterator[Row]:
        """Yields the rows of cells after the header; raises InputError for short and long ones."""
        width = len(self.layout.columns)
        start = self.layout.first_line + int(self.layout.header)
        for line, cells in _rows(self.text, self.layout.delimiter, self.source):
            if line < start or (cells == [""] and width > 1):
                continue
            if len(cells) != width:
                raise InputError(_ragged(self.source, line, len(cells), self.layout))
            yield line, cells


def open_text(path: Path) -> CsvText:
    """Returns a CSV file; the first row is a header if a cell of it is no number.

    Raises:
        InputError: it is empty, too large, no text, or nothing that can be told apart into columns.
    """
    source = str(path)
    if path.stat().st_size > _MAX_BYTES:
        raise InputError(f"{source}: more than 4 GB; write it as Parquet, or take a sample")
    raw = path.read_bytes().removeprefix(b"\xef\xbb\xbf")
    text = _decoded(raw, source)
    if not text.strip():
        raise InputError(f"{source}: the file is empty")
    return CsvText(raw, text, _layout(text, source), source)


def number(cell: str, layout: Layout) -> float:
    """Returns the number in a cell, NaN if there is none."""
    if layout.decimal_comma:
        return float(cell.replace(",", ".")) if _is_european(cell) else np.nan
    return float(cell) if NUMBER.fullmatch(cell) else np.nan


def _decoded(raw: bytes, source: str) -> str:
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in raw[:1000]:
        raise InputError(f"{source}: this is not UTF-8 text (UTF-16 or binary?); save it as UTF-8")
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise InputError(
            f"{source}, line {line}: byte 0x{raw[error.start]:02x} is not UTF-8; "
            "save the file as UTF-8"
        ) from None


def _layout(text: str, source: str) -> Layout:
    delimiter = _delimiter(text, source)
    filled = (row for row in _rows(text, delimiter, source) if any(row[1]))
    rows = list(itertools.islice(filled, _SAMPLE))
    if not rows:
        raise InputError(f"{source}: there are no rows in it")
    first_line, first = rows[0]
    header = any(not _is_datum(cell) for cell in first)
    decimal_comma = _has_decimal_comma(rows[1:] if header else rows, delimiter, source)
    columns = _named(first, first_line, source) if header else numbered(len(first))
    body = zip(*(row for _, row in rows[header:] if len(row) == len(columns)), strict=True)
    codes = tuple(name for name, cells in zip(columns, body, strict=False) if _are_codes(cells))
    return Layout(delimiter, decimal_comma, header, columns, first_line, codes)


def _are_codes(cells: tuple[str, ...]) -> bool:
    """Whether digits name something: numbers have no leading zeros."""
    written = [cell for cell in cells if cell]
    return any(_CODE.fullmatch(c) for c in written) and all(_DIGITS.fullmatch(c) for c in written)


def _is_datum(cell: str) -> bool:
    """Whether a cell of the first row is a number or the lack of one, not a name."""
    return bool(NUMBER.fullmatch(cell) or _COMMA_NUMBER.fullmatch(cell) or cell.lower() in NO_VALUE)


def _named(cells: list[str], line: int, source: str) -> tuple[str, ...]:
    for i, name in enumerate(cells):
        if not name:
            raise InputError(
                f"{source}, line {line}: column {i + 1} has no name; name it, or leave it out "
                "if it numbers the rows (pandas: index=False)"
            )
        if name in cells[:i]:
            raise InputError(
                f"{source}, line {line}: columns {cells.index(name) + 1} and {i + 1} are both "
                f"named {name!r}; rename one"
            )
    return tuple(cells)


def _delimiter(text: str, source: str) -> str:
    """Returns the delimiter that splits the first lines evenly; semicolons and tabs win."""
    lines = [line for line in text[:_SNIFFED].splitlines() if line.strip()]
    lines = lines[:-1] if len(text) > _SNIFFED and len(lines) > 1 else lines
    counts = {d: [len(r) for _, r in _sampled(lines, d)] for d in ";\t,"}
    for delimiter, widths in counts.items():
        if min(widths) == max(widths) > 1:
            return delimiter
    spaces = [len(line.split()) for line in lines]
    if max(max(widths) for widths in counts.values()) == 1 and min(spaces) > 1:
        raise InputError(f"{source}: the columns must be separated by commas, semicolons or tabs")
    return max(counts, key=lambda d: sorted(counts[d])[len(counts[d]) // 2])


def _sampled(lines: list[str], delimiter: str) -> list[Row]:
    return [(0, row) for row in csv.reader(lines, delimiter=delimiter)] or [(0, [""])]


def _has_decimal_comma(rows: list[Row], delimiter: str, source: str) -> bool:
    """Whether numbers are written 1,5; refuses when 1,234 could be either."""
    if delimiter == ",":
        return False
    cells = [(line, cell) for line, row in rows for cell in row]
    commas = [(line, cell) for line, cell in cells if _COMMA_NUMBER.fullmatch(cell)]
    points = [(line, cell) for line, cell in cells if "." in cell and NUMBER.fullmatch(cell)]
    if commas and (points or all(_THOUSANDS.fullmatch(cell) for _, cell in commas)):
        line, cell = commas[0]
        raise InputError(
            f"{source}, line {line}: is {cell} a decimal number or one with thousands set off? "
            "Write numbers with a decimal point and nothing between thousands"
        )
    return bool(commas)


def _rows(text: str, delimiter: str, source: str) -> Iterator[Row]:
    """Yields rows of stripped cells; a blank line has one, empty."""
    lines = io.StringIO(text.rstrip(_BLANK), newline=None)
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    line = 1
    try:
        for cells in reader:
            yield line, [cell.strip() for cell in cells] or [""]
            line = reader.line_num + 1
    except csv.Error as error:
        raise InputError(f"{source}, line {line}: this is not CSV: {error}") from None


def _is_european(cell: str) -> bool:
    whole = "." not in cell and NUMBER.fullmatch(cell)
    return bool(whole or _COMMA_NUMBER.fullmatch(cell))


def _ragged(source: str, line: int, cells: int, layout: Layout) -> str:
    width = len(layout.columns)
    hint = "every row needs as many cells as the first"
    if width == 1 and layout.delimiter == ",":
        hint = "write numbers with a decimal point, not a comma"
    count = "1 cell" if cells == 1 else f"{cells} cells"
    return f"{source}, line {line}: {count} where the first row has {width}; {hint}"


# CSV to columns, each read when it is asked for.

_NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
_INFINITE = [cell for cell in NO_VALUE if "inf" in cell]
_NONE = [cell for cell in NO_VALUE if "inf" not in cell]
#: In columns of text the others are labels.
_NO_TEXT = ["", "na", "n/a", "#n/a", "nan", "null"]
_DATE = r"^\d{4}-\d{1,2}-\d{1,2}([T ].*)?$|^\d{1,2}[./]\d{1,2}[./]\d{2,4}( .*)?$"


def read_csv(path: Path) -> Table:
    """Returns a CSV file: numbers where every cell with a value is one, dates as in ISO 8601, else text.

    Raises:
        InputError: the file cannot be read; with the line. Reading a column that mixes numbers and text
            raises it, too.
    """
    text = open_text(path)
    names = text.layout.columns
    check_size(text.raw.count(b"\n"), len(names), text.source)

    def place(row: int) -> str:
        return f"line {next(itertools.islice(text.rows(), row, None))[0]}"

    def table(rows: int, read: Callable[[int], Column]) -> Table:
        return Table(
            names,
            rows,
            lambda name: read(names.index(name)),
            text.source,
            place,
            text.layout.header,
        )

    values = None if text.layout.codes else _numbers(text)
    if values is not None and not (np.abs(values) >= BIG).any():
        return table(len(values), lambda i: Column("numbers", values[:, i]))
    cells = _strings_fast(text)
    cells = _strings_carefully(text) if cells is None else cells
    _check_header(cells, text)
    return table(len(cells), lambda i: _column(cells.to_series(i).alias(names[i]), text, place))


def _numbers(text: CsvText) -> Float[np.ndarray, "n d"] | None:
    """Returns the numbers if every cell is a plain finite number, else None."""
    body = None if text.layout.decimal_comma else text.body()
    if body is None:
        return None
    try:
        with deferred():
            frame = pl.read_csv(
                body,
                has_header=False,
                separator=text.layout.delimiter,
                schema={str(i): pl.Float64 for i in range(len(text.layout.columns))},
            )
            values = frame.to_numpy()
    except pl.exceptions.PolarsError:
        return None
    return values if np.isfinite(values).all() else None


def _column(cells: pl.Series, text: CsvText, place: Callable[[int], str]) -> Column:
    """Returns numbers, codes, dates or text."""
    import narwhals as nw  # noqa: PLC0415 - tables of numbers need none

    values = _typed(cells, text, place)
    found = column_of(nw.from_native(values, series_only=True))
    is_code = cells.name in text.layout.codes and found.scale == "levels"
    return replace(found, declared="code") if is_code else found


def _typed(cells: pl.Series, text: CsvText, place: Callable[[int], str]) -> pl.Series:
    """Returns a column as numbers, as dates or as text, null where there is no value."""
    plain = cells.str.replace(",", ".", literal=True) if text.layout.decimal_comma else cells
    numeric = plain.str.contains(_NUMBER)
    if text.layout.decimal_comma:
        numeric &= ~cells.str.contains(".", literal=True)
    lower = cells.str.to_lowercase()
    infinite, missing = lower.is_in(_INFINITE), lower.is_in(_NONE)
    if cells.name in text.layout.codes or not (numeric.any() or infinite.any()):
        return _text(cells, lower.is_in(_NO_TEXT), text.source)
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
    return _exact(values, cells)


def _strings_fast(text: CsvText) -> pl.DataFrame | None:
    """Returns the cells, without blanks around them, if there is no doubt how they are separated."""
    body = text.body()
    if body is None:
        return None
    width = len(text.layout.columns)
    schema = {str(i): pl.String for i in range(width)}
    separator = text.layout.delimiter
    try:
        with deferred():
            cells = pl.read_csv(body, has_header=False, separator=separator, schema=schema)
    except pl.exceptions.PolarsError:
        return None
    empty = cells.select(pl.any_horizontal(pl.all().is_null()).any()).item()
    # Polars fills short rows and blank lines with empty cells; here those are errors or nothing.
    whole = b'"' not in body and body.count(separator.encode()) == (width - 1) * len(cells)
    if empty and not (whole and width > 1):
        return None
    return cells.select(pl.all().fill_null("").str.strip_chars())


def _strings_carefully(text: CsvText) -> pl.DataFrame:
    schema = {str(i): pl.String for i in range(len(text.layout.columns))}
    return pl.DataFrame([row for _, row in text.rows()], schema=schema, orient="row")


def _exact(values: pl.Series, cells: pl.Series) -> pl.Series:
    """Returns integers instead of numbers that are whole and too big for float64."""
    if values.dtype != pl.Float64 or not (values.abs() >= BIG).any():
        return values
    for dtype in (pl.Int64, pl.UInt64):
        made = cells.cast(dtype, strict=False)
        if made.null_count() == values.null_count():
            return made.alias(values.name)
    return values


def _text(cells: pl.Series, missing: pl.Series, source: str) -> pl.Series:
    values = cells.set(missing, None)
    known = values.drop_nulls()
    if len(known) and known.str.contains(_DATE).all():
        moments = values.str.to_datetime(time_unit="us", strict=False)
        if moments.null_count() == values.null_count():
            return moments
        raise InputError(
            f"{source}: column {cells.name!r} holds dates, such as {known[0]!r}; write them as in ISO 8601, "
            f"2024-12-31, or {leave_out(cells.name)}"
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


def _check_header(cells: pl.DataFrame, text: CsvText) -> None:
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
