"""Comma-separated values to a table, with the line of whatever is wrong."""

import csv
import io
import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np
import polars as pl
from jaxtyping import Float

from kullback._core.errors import InputError
from kullback.io._table import Table, check_size, not_finite, numbered, table

#: A row of cells and the line on which it starts.
Row = tuple[int, list[str]]

_MAX_BYTES = 4_000_000_000
#: How many rows, and how many characters, show how a file is written.
_SAMPLE = 1000
_SNIFFED = 20_000
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_COMMA_NUMBER = re.compile(r"[+-]?\d*,\d+([eE][+-]?\d+)?", re.ASCII)
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(,\d{3})+", re.ASCII)
_BLANK = " \r\n"
_NO_VALUE = {
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
class _Layout:
    """How a file is written."""

    delimiter: str
    decimal_comma: bool
    header: bool
    columns: tuple[str, ...]
    first_line: int


def read_csv(path: Path) -> Table:
    """Returns the numbers of a CSV file; the first row is a header if a cell of it is no number.

    Raises:
        InputError: naming the file, the line and the column of the first fault.
    """
    source = str(path)
    if path.stat().st_size > _MAX_BYTES:
        raise InputError(f"{source}: more than 4 GB; write it as Parquet, or take a sample")
    raw = path.read_bytes().removeprefix(b"\xef\xbb\xbf")
    text = _decoded(raw, source)
    if not text.strip():
        raise InputError(f"{source}: the file is empty")
    layout = _layout(text, source)
    check_size(raw.count(b"\n"), len(layout.columns), source)
    values = _read_fast(raw, layout)
    if values is None:
        values = _read_carefully(text, layout, source)
    return table(layout.columns, values, source)


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


def _layout(text: str, source: str) -> _Layout:
    delimiter = _delimiter(text, source)
    filled = (row for row in _rows(text, delimiter, source) if any(row[1]))
    rows = list(itertools.islice(filled, _SAMPLE))
    if not rows:
        raise InputError(f"{source}: there are no rows of numbers in it")
    first_line, first = rows[0]
    header = any(not _is_datum(cell) for cell in first)
    decimal_comma = _has_decimal_comma(rows[1:] if header else rows, delimiter, source)
    columns = _named(first, first_line, source) if header else numbered(len(first))
    return _Layout(delimiter, decimal_comma, header, columns, first_line)


def _is_datum(cell: str) -> bool:
    """Whether a cell of the first row is a number or the lack of one, not a name."""
    return bool(
        _NUMBER.fullmatch(cell) or _COMMA_NUMBER.fullmatch(cell) or cell.lower() in _NO_VALUE
    )


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
    points = [(line, cell) for line, cell in cells if "." in cell and _NUMBER.fullmatch(cell)]
    if commas and (points or all(_THOUSANDS.fullmatch(cell) for _, cell in commas)):
        line, cell = commas[0]
        raise InputError(
            f"{source}, line {line}: is {cell} a decimal number or one with thousands set off? "
            "Write numbers with a decimal point and nothing between thousands"
        )
    return bool(commas)


def _read_fast(raw: bytes, layout: _Layout) -> Float[np.ndarray, "n d"] | None:
    """Returns the numbers if every cell is a plain finite number, else None."""
    if layout.decimal_comma or layout.first_line > 1 or re.search(rb"\r(?!\n)", raw):
        return None
    start = raw.find(b"\n") + 1 if layout.header else 0
    body = raw[start:].rstrip(_BLANK.encode())
    if (layout.header and (not start or raw.count(b'"', 0, start) % 2)) or not body:
        return None
    try:
        frame = pl.read_csv(
            body,
            has_header=False,
            separator=layout.delimiter,
            schema={str(i): pl.Float64 for i in range(len(layout.columns))},
        )
    except pl.exceptions.PolarsError:
        return None
    values = frame.to_numpy()
    return values if np.isfinite(values).all() else None


def _read_carefully(text: str, layout: _Layout, source: str) -> Float[np.ndarray, "n d"]:
    """Returns the numbers cell by cell; raises InputError at what is none."""
    width = len(layout.columns)
    start = layout.first_line + int(layout.header)
    numbers: list[list[float]] = []
    faults: dict[int, list[tuple[int, str]]] = {}
    for line, cells in _rows(text, layout.delimiter, source):
        if line < start or (cells == [""] and width > 1):
            continue
        if len(cells) != width:
            raise InputError(_ragged(source, line, len(cells), layout))
        numbers.append([_number(cell, layout) for cell in cells])
        for i, value in enumerate(numbers[-1]):
            if not abs(value) < np.inf:
                faults.setdefault(i, []).append((line, cells[i]))
    if faults:
        column = min(faults)
        raise InputError(_faulty(source, layout.columns[column], faults[column], len(numbers)))
    return np.array(numbers).reshape(-1, width)


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


def _number(cell: str, layout: _Layout) -> float:
    if layout.decimal_comma:
        return float(cell.replace(",", ".")) if _is_european(cell) else np.nan
    return float(cell) if _NUMBER.fullmatch(cell) else np.nan


def _is_european(cell: str) -> bool:
    whole = "." not in cell and _NUMBER.fullmatch(cell)
    return bool(whole or _COMMA_NUMBER.fullmatch(cell))


def _ragged(source: str, line: int, cells: int, layout: _Layout) -> str:
    width = len(layout.columns)
    hint = "every row needs as many cells as the first"
    if width == 1 and layout.delimiter == ",":
        hint = "write numbers with a decimal point, not a comma"
    count = "1 cell" if cells == 1 else f"{cells} cells"
    return f"{source}, line {line}: {count} where the first row has {width}; {hint}"


def _faulty(source: str, column: str, faults: list[tuple[int, str]], rows: int) -> str:
    line, cell = faults[0]
    if len(faults) == rows and cell.lower() not in _NO_VALUE and not _NUMBER.fullmatch(cell):
        return (
            f"{source}: column {column!r} is not numeric (line {line}: {cell!r}); "
            "leave it out or encode it as numbers"
        )
    return not_finite(source, column, len(faults), f"line {line} ({cell!r})")
