"""How a CSV file is written: its delimiter, its decimals, its header; and its rows, with their lines."""

import csv
import io
import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np

from kullback._core.errors import InputError
from kullback.io._table import numbered

#: A row of cells and the line on which it starts.
Row = tuple[int, list[str]]

_MAX_BYTES = 4_000_000_000
#: How many rows, and how many characters, show how a file is written.
_SAMPLE = 1000
_SNIFFED = 20_000
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_COMMA_NUMBER = re.compile(r"[+-]?\d*,\d+([eE][+-]?\d+)?", re.ASCII)
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
    """How a file is written."""

    delimiter: str
    decimal_comma: bool
    header: bool
    columns: tuple[str, ...]
    first_line: int


@final
@dataclass(frozen=True)
class Text:
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


def open_text(path: Path) -> Text:
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
    return Text(raw, text, _layout(text, source), source)


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
        raise InputError(f"{source}: there are no rows of numbers in it")
    first_line, first = rows[0]
    header = any(not _is_datum(cell) for cell in first)
    decimal_comma = _has_decimal_comma(rows[1:] if header else rows, delimiter, source)
    columns = _named(first, first_line, source) if header else numbered(len(first))
    return Layout(delimiter, decimal_comma, header, columns, first_line)


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
