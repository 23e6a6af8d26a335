"""Comma-separated numbers to a table, with the line of whatever is wrong."""

from pathlib import Path

import numpy as np
import polars as pl
from jaxtyping import Float

from kullback._core.errors import InputError
from kullback.io._layout import NO_VALUE, NUMBER, Text, number, open_text
from kullback.io._table import Table, check_size, not_finite, table


def read_csv(path: Path) -> Table:
    """Returns the numbers of a CSV file; the first row is a header if a cell of it is no number.

    Raises:
        InputError: naming the file, the line and the column of the first fault.
    """
    text = open_text(path)
    columns = text.layout.columns
    check_size(text.raw.count(b"\n"), len(columns), text.source)
    values = read_fast(text)
    return table(columns, _read_carefully(text) if values is None else values, text.source)


def read_fast(text: Text) -> Float[np.ndarray, "n d"] | None:
    """Returns the numbers if every cell is a plain finite number, else None."""
    body = None if text.layout.decimal_comma else text.body()
    if body is None:
        return None
    try:
        frame = pl.read_csv(
            body,
            has_header=False,
            separator=text.layout.delimiter,
            schema={str(i): pl.Float64 for i in range(len(text.layout.columns))},
        )
    except pl.exceptions.PolarsError:
        return None
    values = frame.to_numpy()
    return values if np.isfinite(values).all() else None


def _read_carefully(text: Text) -> Float[np.ndarray, "n d"]:
    """Returns the numbers cell by cell; raises InputError at what is none."""
    columns = text.layout.columns
    numbers: list[list[float]] = []
    faults: dict[int, list[tuple[int, str]]] = {}
    for line, cells in text.rows():
        numbers.append([number(cell, text.layout) for cell in cells])
        for i, value in enumerate(numbers[-1]):
            if not abs(value) < np.inf:
                faults.setdefault(i, []).append((line, cells[i]))
    if faults:
        column = min(faults)
        raise InputError(_faulty(text.source, columns[column], faults[column], len(numbers)))
    return np.array(numbers).reshape(-1, len(columns))


def _faulty(source: str, column: str, faults: list[tuple[int, str]], rows: int) -> str:
    line, cell = faults[0]
    if len(faults) == rows and cell.lower() not in NO_VALUE and not NUMBER.fullmatch(cell):
        return (
            f"{source}: column {column!r} is not numeric (line {line}: {cell!r}); "
            "leave it out or encode it as numbers"
        )
    return not_finite(source, column, len(faults), f"line {line} ({cell!r})")
