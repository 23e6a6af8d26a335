"""Two tables as they are looked at: what rows count for, which belong together, which are drawn."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import final

import numpy as np
from jaxtyping import Float, Int

from kullback._core.errors import InputError, UnsupportedError
from kullback._core.randomness import named
from kullback._core.tables import Cells, Table
from kullback.diagnostics._column_diff import Side
from kullback.diagnostics._joint_diff import Rows, joint_diff
from kullback.estimators import _clusters, _sampled
from kullback.estimators._independent import independent
from kullback.estimators._joint_kl import FEWEST_ROWS
from kullback.results._diff import ColumnDiff, JointDiff

Values = Float[np.ndarray, "_n"]
Groups = Int[np.ndarray, "_n"]
#: Rows of each table that are looked at with all columns together.
JOINT_ROWS = 10_000
_KEPT = 5
MIXED = "numbers in one table and names in the other"


@final
@dataclass(frozen=True)
class Options:
    """What was asked for; as in `diff`."""

    columns: tuple[str, ...]
    weights: str | None
    cluster: str | None
    order: str | None
    max_kl: float | None
    joint: bool
    like: str | None
    key: int
    progress: Callable[[str], None] | None

    @property
    def set_apart(self) -> tuple[str, ...]:
        """Columns that are not data."""
        return tuple(n for n in (self.weights, self.cluster, self.order) if n is not None)


@final
@dataclass(frozen=True, eq=False)
class Some:
    """A column in some rows of both tables; labels of codes, None where it has an order."""

    reference: Values
    current: Values
    labels: tuple[str, ...] | None


@final
class Drawn:
    """Tables as they are looked at: what rows count for, which belong together, which are drawn."""

    def __init__(self, given: tuple[Table, ...], options: Options) -> None:
        if options.cluster is not None and options.order is not None:
            raise InputError(
                f"cluster={options.cluster!r} and order={options.order!r}: rows belong together by one "
                "or the other, so give one of them"
            )
        self._tables = given
        self._weights = tuple(_weights(t, options.weights) for t in self._tables)
        self._order = tuple(_order(t, options.order) for t in self._tables)
        self._groups = tuple(_groups(t, options.cluster) for t in self._tables)
        self._blocks = [1, 1]
        # Weights and clusters leave fewer of these: more are kept to draw from.
        kept = JOINT_ROWS if options.weights is options.cluster is None else _KEPT * JOINT_ROWS
        self._index = tuple(
            np.sort(named(options.key, "rows", i).choice(t.rows, kept, replace=False))
            if t.rows > kept else np.arange(t.rows)
            for i, t in enumerate(self._tables)
        )  # fmt: skip
        self.notes = _notes(options, self._tables)

    def sides(self, name: str) -> tuple[Side, ...]:
        """Returns a column of the tables, codes of the same labels, with what its rows count for."""
        cells = tuple(t.read(name) for t in self._tables)
        copied = (1.0,) * len(cells)
        if len(cells) == 2:
            cells = alike(*cells)
            if cells[0].kind == "numbers":
                copied = _clusters.copies(*(c.values[np.isfinite(c.values)] for c in cells))
        return tuple(Side(c, self._worth(i, c, copied[i])) for i, c in enumerate(cells))

    def _worth(self, i: int, cells: Cells, copied: float) -> Values | None:
        """Returns what each row counts for: its weight, less what it shares with others."""
        weights, groups, levels = self._weights[i], self._groups[i], cells.kind == "levels"
        order, effect = self._order[i], copied
        if groups is not None or (weights is not None and not _clusters.whole(weights)):
            effect *= _clusters.design_effect(cells.values, groups, levels=levels, weights=weights)
        if order is not None:
            length = _clusters.blocks(cells.values[order], levels=levels)
            self._blocks[i] = max(self._blocks[i], length)
            effect *= length
        if effect == 1.0:
            return weights
        return (np.ones(len(cells.values)) if weights is None else weights) / effect

    def some(self, sides: tuple[Side, ...]) -> Some:
        """Returns the cells of a column in the rows that are looked at with all columns together."""
        cells = [side.cells for side in sides]
        values = [c.values[index] for c, index in zip(cells, self._index, strict=True)]
        return Some(values[0], values[-1], cells[0].labels if cells[0].kind == "levels" else None)

    def joint(
        self, found: Sequence[ColumnDiff], kept: Sequence[Some], options: Options
    ) -> JointDiff | None:
        """Returns how all columns together differ; None for one column, or too few rows."""
        if not options.joint or len(found) < 2:
            return None
        tables = (
            np.column_stack([s.reference for s in kept]),
            np.column_stack([s.current for s in kept]),
        )
        drawn = independent(
            tables, (self._worth_of(0), self._worth_of(1)), (self._together(0), self._together(1)),
            named(options.key, "independent"), JOINT_ROWS,
        )  # fmt: skip
        whole = tuple(min(len(index), JOINT_ROWS) for index in self._index)
        if tuple(len(rows) for rows in drawn) != whole:
            of = " and ".join(f"{len(rows):,}" for rows in drawn)
            self.notes = (*self.notes, f"together {of} rows are looked at that are independent")
        if min(len(rows) for rows in drawn) < FEWEST_ROWS:
            few = f"together not compared: it takes {FEWEST_ROWS} independent rows of each"
            self.notes = (*self.notes, few)
            return None
        if options.progress is not None:
            options.progress("all columns together")
        reference, current = (
            Rows(values[rows], index[rows])
            for values, index, rows in zip(tables, self._index, drawn, strict=True)
        )
        names, labels = tuple(c.name for c in found), tuple(s.labels for s in kept)
        return joint_diff(
            reference, current, names, labels, tuple(found), named(options.key, "joint")
        )

    def _worth_of(self, i: int) -> Values | None:
        weights = self._weights[i]
        return None if weights is None else weights[self._index[i]]

    def _together(self, i: int) -> Groups | None:
        groups, order, index = self._groups[i], self._order[i], self._index[i]
        if groups is not None:
            return groups[index]
        if order is None:
            return None
        place = np.empty(len(order), dtype=np.int64)
        place[order] = np.arange(len(order))
        return place[index] // (2 * self._blocks[i])


def alike(left: Cells, right: Cells) -> tuple[Cells, Cells]:
    """Returns two columns of one kind, codes of the same labels. Raises UnsupportedError if they are not."""
    if left.kind != right.kind:
        if "levels" in (left.kind, right.kind):
            empty = next((c for c in (left, right) if np.isnan(c.values).all()), None)
            if empty is None:
                raise UnsupportedError(MIXED)
        kind = left.kind if right.kind == "numbers" or np.isnan(right.values).all() else right.kind
        left, right = replace(left, kind=kind), replace(right, kind=kind)
    if left.kind != "levels":
        return left, right
    labels = tuple(dict.fromkeys((*left.labels, *right.labels)))
    return _recoded(left, labels), _recoded(right, labels)


def _recoded(cells: Cells, labels: tuple[str, ...]) -> Cells:
    if cells.labels == labels or not cells.labels:
        return replace(cells, labels=labels)
    place = {label: float(i) for i, label in enumerate(labels)}
    table = np.array([place[label] for label in cells.labels])
    codes = np.nan_to_num(cells.values).astype(np.int64)
    return Cells("levels", np.where(np.isnan(cells.values), np.nan, table[codes]), labels)


def _weights(table: Table, name: str | None) -> Values | None:
    if name is None:
        return None
    cells = table.read(name)
    bad = ~((cells.values >= 0.0) & np.isfinite(cells.values))
    if cells.kind != "numbers" or bad.any() or not cells.values.sum() > 0.0:
        row = int(np.argmax(bad)) + 1 if cells.kind == "numbers" and bad.any() else 0
        where = f", see row {row}" if row else ""
        raise InputError(
            f"{table.source}: column {name!r} holds no weights: they are numbers, finite, not "
            f"negative and not all 0{where}"
        )
    return _sampled.scaled(cells.values)


def _groups(table: Table, name: str | None) -> Groups | None:
    if name is None:
        return None
    values = _identities(table, name)
    # Rows without a cluster stand alone.
    alone = np.isnan(values)
    values = np.where(alone, np.nanmax(values, initial=0.0) + 1.0 + np.arange(len(values)), values)
    return np.unique(values, return_inverse=True)[1]


def _identities(table: Table, name: str) -> Values:
    try:
        return table.read(name).values
    except UnsupportedError as error:
        raise InputError(f"{table.source}: column {name!r} marks no clusters: {error}") from None


def _order(table: Table, name: str | None) -> Groups | None:
    return None if name is None else np.argsort(_identities(table, name), kind="stable")


def _notes(options: Options, both: tuple[Table, ...]) -> tuple[str, ...]:
    notes = []
    if options.joint and len(both) == 2 and max(t.rows for t in both) > JOINT_ROWS:
        notes.append(f"all columns together are compared on {JOINT_ROWS:,} rows drawn at random")
    if options.weights is not None:
        notes.append(f"rows count for what {options.weights!r} says")
    if options.cluster is not None:
        notes.append(f"rows with the same {options.cluster!r} are not taken for independent")
    if options.order is not None:
        notes.append(f"rows are ordered by {options.order!r}; errors allow for what lasts")
    return tuple(notes)
