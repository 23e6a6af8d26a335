"""Two tables that are read side by side: of what type their columns are, and integers that float64 cannot hold."""

from dataclasses import replace
from typing import final

import numpy as np
from jaxtyping import Integer

from kullback._core.errors import IdentifierError, UnsupportedError
from kullback._core.tables import BIG, IDENTIFIER, Cells, Table

Whole = Integer[np.ndarray, " n"]
Found = Cells | UnsupportedError
#: Types beside the kinds of cells: no value at all, text that names rows, and what cannot be compared.
EMPTY, ROW_NAMES, NOTHING = "empty", "row names", "nothing"
_TEXT = ("levels", ROW_NAMES)
_WORDS = {"levels": "names", ROW_NAMES: "text", NOTHING: "values that cannot be compared"}
MISSING = "missing in current"
_RANKED = "whole numbers beyond 2^53 are compared by rank: medians and regions are ranks, too"
_ROUNDED = (
    "whole numbers beyond 2^53 in one table, floats in the other: they are rounded to float64"
)
ROUNDED_IN_PROFILES = "whole numbers beyond 2^53 are rounded to float64 against a profile"


@final
class Pair:
    """Two tables that are read side by side.

    Attributes:
        reference, current: the tables, each read as `Table` is, the reference first.
        types: of the columns read so far, in reference and current.
        notes: what is to be said of a column.
    """

    def __init__(self, reference: Table, current: Table, *, weights: str | None) -> None:
        self._given = (reference, current)
        self._weights = weights
        self._held: tuple[str, Found] | None = None
        self.reference = replace(reference, read=self._left)
        self.current = replace(current, read=self._right)
        self.types: dict[str, tuple[str, str]] = {}
        self.notes: dict[str, str] = {}

    def _left(self, name: str) -> Cells:
        mine, other = (_tried(table, name) for table in self._given)
        self.types[name] = (type_of(mine), type_of(other))
        if isinstance(mine, Cells) and isinstance(other, Cells) and name != self._weights:
            mine, other = self._exactly(name, mine, other)
        self._held = (name, other)
        return _cells(mine)

    def _right(self, name: str) -> Cells:
        held, self._held = self._held, None
        return _cells(held[1] if held and held[0] == name else _tried(self._given[1], name))

    def _exactly(self, name: str, mine: Cells, other: Cells) -> tuple[Cells, Cells]:
        """Returns integers that float64 cannot hold as ranks among those of both: order is all that counts."""
        if (mine.whole is None and other.whole is None) or mine.kind != other.kind:
            return mine, other
        x, y = _integers(mine), _integers(other)
        if x is None or y is None:
            self.notes[name] = f"{name}: {_ROUNDED}"
            return mine, other
        self.notes[name] = f"{name}: {_RANKED}"
        both = np.concatenate(_of_one_type(x, y))
        ranks = np.unique(both, return_inverse=True)[1].reshape(-1).astype(np.float64)
        ranks[np.isnan(np.concatenate([mine.values, other.values]))] = np.nan
        return Cells("numbers", ranks[: len(x)]), Cells("numbers", ranks[len(x) :])


def type_of(found: Found) -> str:
    """Returns the type of a column, as far as two tables must agree on it."""
    if isinstance(found, UnsupportedError):
        return ROW_NAMES if isinstance(found, IdentifierError) else NOTHING
    if np.isnan(found.values).all():
        return EMPTY
    return ROW_NAMES if len(found.labels) > IDENTIFIER * len(found.values) else found.kind


def changed(types: tuple[str, str]) -> str:
    """Returns how the type of a column changed from reference to current, "" if it did not."""
    before, now = types
    if before == now or EMPTY in types or (before in _TEXT and now in _TEXT):
        return ""
    return f"{_WORDS.get(before, before)} in reference, {_WORDS.get(now, now)} in current"


def lost(types: tuple[str, str], reason: str) -> str:
    """Returns why a gate cannot be passed for a column of the reference, "" if it can.

    Args:
        types: of the column in reference and current.
        reason: why it was not compared, "" if it was.
    """
    before, now = types
    if now == EMPTY:
        return "" if before in (EMPTY, NOTHING) else "no value in current"
    if reason and (before, now) == ("levels", ROW_NAMES):
        return reason
    return changed(types)


def _tried(table: Table, name: str) -> Found:
    if name not in table.names:
        return UnsupportedError(f"{table.source}: there is no column {name!r}")
    try:
        return table.read(name)
    except UnsupportedError as error:
        return error


def _cells(found: Found) -> Cells:
    if isinstance(found, UnsupportedError):
        raise found
    return found


def _integers(cells: Cells) -> Whole | None:
    """Returns the cells as integers, 0 where one is missing; None if they are no integers, or not for certain."""
    if cells.whole is not None:
        return cells.whole
    values = np.where(np.isnan(cells.values), 0.0, cells.values)
    if (np.abs(values) > BIG).any() or (values != np.floor(values)).any():
        return None
    return values.astype(np.int64)


def _of_one_type(x: Whole, y: Whole) -> tuple[np.ndarray, np.ndarray]:
    """Returns arrays that NumPy does not make floats of when it joins them."""
    if x.dtype == y.dtype:
        return x, y
    return x.astype(object), y.astype(object)
