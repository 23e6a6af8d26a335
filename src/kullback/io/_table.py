"""A table of numbers, and what is said of cells that are none."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float

from kullback._core.errors import InputError

#: More cells than this are refused: 1.6 GB of numbers.
MAX_CELLS = 200_000_000


@final
@dataclass(frozen=True, eq=False)
class Table:
    """Rows of finite numbers under named columns.

    Attributes:
        columns: a name for each column.
        values: the numbers, one row an observation.
        source: the file they came from.
    """

    columns: tuple[str, ...]
    values: Float[np.ndarray, "n d"]
    source: str


def table(columns: Sequence[str], values: Float[np.ndarray, "n d"], source: str) -> Table:
    """Returns a table that cannot be changed. Raises InputError if it has no cells."""
    if values.size == 0:
        raise InputError(f"{source}: there are no rows of numbers in it")
    values = np.ascontiguousarray(values, dtype=np.float64)
    values.flags.writeable = False
    return Table(tuple(columns), values, source)


def numbered(count: int) -> tuple[str, ...]:
    """Returns names for columns that have none: x0, x1, ... as those of an array have."""
    return tuple(f"x{i}" for i in range(count))


def check_size(rows: int, columns: int, source: str) -> None:
    """Raises InputError for more cells than are read."""
    if rows * columns > MAX_CELLS:
        raise InputError(
            f"{source}: {rows:,} rows of {columns:,} columns are too many; at most "
            f"{MAX_CELLS:,} cells are read. Take fewer columns or a sample of the rows"
        )


def check_finite(columns: Sequence[str], values: Float[np.ndarray, "n d"], source: str) -> None:
    """Raises InputError naming the first column with NaN or infinite cells, and the row, from 1."""
    bad = ~np.isfinite(values)
    if bad.any():
        column = int(np.argmax(bad.any(axis=0)))
        row = int(np.argmax(bad[:, column]))
        what = f"row {row + 1} ({values[row, column]:g})"
        raise InputError(not_finite(source, columns[column], int(bad[:, column].sum()), what))


def not_finite(source: str, column: str, count: int, first: str) -> str:
    """Returns what is said of a column with cells that are missing, NaN or infinite."""
    cells = (
        "1 cell that is not a finite number,"
        if count == 1
        else (f"{count:,} cells that are not finite numbers, the first")
    )
    return (
        f"{source}: column {column!r} has {cells} on {first}; "
        "drop such rows or fill the cells first"
    )
