"""`diff`: two tables, column by column and together."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeVar, final

import numpy as np
from jaxtyping import Float, Int

from kullback._core.errors import InputError, UnsupportedError
from kullback._core.randomness import named
from kullback._core.tables import Cells, Table
from kullback.api import _profiles
from kullback.api._tables import table_of
from kullback.diagnostics import _column_diff
from kullback.diagnostics._column_diff import Side
from kullback.diagnostics._joint_diff import Rows, joint_diff
from kullback.estimators import _clusters, _difference, _evidently, _sampled
from kullback.estimators._joint_kl import FEWEST_ROWS
from kullback.results._diff import ColumnDiff, Diff, Gate, JointDiff, gate_of
from kullback.results._profile import Profile

Part = TypeVar("Part", ColumnDiff, JointDiff)
Values = Float[np.ndarray, " n"]
Groups = Int[np.ndarray, " n"]
#: Rows of each table that are looked at with all columns together, by default.
JOINT_ROWS = 10_000
#: Numbers with at most so many different values in both tables may be told apart by `by`.
_MOST_GROUPS = 50
_LEVEL = 0.05
_MIXED = "numbers in one table and names in the other"


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


def diff(
    reference: object,
    current: object,
    *,
    columns: Sequence[str] = (),
    weights: str | None = None,
    cluster: str | None = None,
    order: str | None = None,
    by: str | None = None,
    max_kl: float | None = None,
    joint: bool = True,
    like: Literal["evidently"] | None = None,
    key: int = 0,
    progress: Callable[[str], None] | None = None,
) -> Diff:
    """Returns how two tables differ by more than chance, where, and by how much.

    For each column KL(reference||current) and KL(current||reference), each with an interval, a bound, or
    unresolved; whether a difference is more than chance, corrected for all columns, so that at most 5 % of
    tables without a difference say so; and the same for all columns together.

    Args:
        reference, current: data frames of pandas, polars or pyarrow, arrays (n, d), `Samples`, or paths of
            files (.csv, .tsv, .parquet, .npy; directories and patterns of .parquet). The reference may
            be a `Profile`.
        columns: those to compare; all that both have by default.
        weights: a column with the number of rows that each stands for; fractions are weights of a survey.
        cluster: a column whose equal values mark rows that belong together.
        order: a column that orders the rows in time; errors then allow for rows that depend on those before.
        by: a column by whose values the tables are split, each pair compared by itself.
        max_kl: the largest KL(reference||current) allowed, in nats; see `Diff.gate`.
        joint: whether all columns together are compared, on up to 10,000 rows of each.
        like: print another tool's number beside ours.
        key: randomness, an int.
        progress: called with what is being done.

    Raises:
        InputError: what was given are no tables, or they have no column in common.

    Example:
        >>> import numpy as np
        >>> rng = np.random.default_rng(0)
        >>> found = diff(rng.normal(size=(500, 1)), rng.normal(0.5, 1.0, (500, 1)), joint=False)
        >>> found.finding, found.columns[0].name
        ('differs', 'x0')
    """
    began = time.monotonic()
    if like not in (None, "evidently"):
        raise InputError(f'like={like!r}: there is "evidently"')
    if max_kl is not None and not max_kl >= 0.0:
        raise InputError(f"max_kl={max_kl}: the largest KL allowed is 0 or more")
    options = Options(
        tuple(columns), weights, cluster, order, max_kl, joint, like, key, progress
    )  # fmt: skip
    right = table_of(current, "current")
    if isinstance(reference, Profile):
        if by is not None:
            raise InputError(
                f"by={by!r}: a profile has no rows to split; give the reference itself"
            )
        found = _with_profile(reference, right, options)
    else:
        left = table_of(reference, "reference")
        found = _compared(left, right, options) if by is None else _split(left, right, by, options)
    return replace(found, seconds=time.monotonic() - began)


def _compared(left: Table, right: Table, options: Options) -> Diff:
    names = _shared(left, right, options)
    drawn = _Drawn((left, right), options)
    found, kept, left_out = [], [], []
    for i, name in enumerate(names):
        if options.progress is not None:
            options.progress(f"column {i + 1} of {len(names)}: {name}")
        try:
            sides = drawn.sides(name)
            column = _column(name, sides, options, tests=len(names) + options.joint)
        except UnsupportedError as error:
            left_out.append((name, str(error)))
            continue
        found.append(column)
        kept.append(sides)
    if not found:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in left_out)
        raise InputError(f"there is no column to compare ({reasons})")
    together = drawn.joint(found, kept, options)
    columns, together = _corrected(found, together, options.max_kl)
    return Diff(
        left.source, right.source, (left.rows, right.rows), columns, together, tuple(left_out),
        tuple(n for n in left.names if n not in right.names),
        tuple(n for n in right.names if n not in left.names),
        options.max_kl, _gates(columns, together), notes=drawn.notes, key=options.key,
    )  # fmt: skip


def _with_profile(left: Profile, right: Table, options: Options) -> Diff:
    """Returns how a table differs from counts of another: column by column only."""
    names = _shared(left, right, options)
    drawn = _Drawn((right,), options)
    found, left_out = [], []
    for name in names:
        known = left.column(name)
        try:
            (side,) = drawn.sides(name)
            if (side.cells.kind == "levels") != (known.kind == "levels"):
                raise UnsupportedError(_MIXED)
        except UnsupportedError as error:
            left_out.append((name, str(error)))
            continue
        tallied = _profiles.tallied(known, side.cells, side.weights)
        medians = None
        if known.kind != "levels":
            medians = (_profiles.median(known), _column_diff.median(side))
        found.append(
            _column_diff.column_diff(
                name, known.kind, tallied, rng=named(options.key, name), tests=len(names),
                independent=side.weights is None,
                picture=_profiles.picture(tallied), medians=medians,
                rows=left.rows + right.rows,
            )
        )  # fmt: skip
    if not found:
        raise InputError(f"{left.source} and {right.source} have no column to compare")
    columns, _ = _corrected(found, None, options.max_kl)
    notes = (*drawn.notes, "a profile has no rows: all columns together are not compared")
    return Diff(
        left.source, right.source, (left.rows, right.rows), columns, None, tuple(left_out),
        tuple(n for n in left.names if n not in right.names),
        tuple(n for n in right.names if n not in left.names),
        options.max_kl, _worst([c.gate for c in columns]), notes=notes, key=options.key,
    )  # fmt: skip


def _shared(left: Table | Profile, right: Table, options: Options) -> list[str]:
    for table in (left, right):
        apart = () if isinstance(table, Profile) else options.set_apart
        for name in (*options.columns, *apart):
            if name not in table.names:
                have = ", ".join(table.names[:12])
                raise InputError(f"{table.source}: there is no column {name!r}; it has {have}")
    wanted = options.columns or left.names
    shared = [n for n in wanted if n in right.names and n not in options.set_apart]
    if not shared:
        raise InputError(
            f"{left.source} and {right.source} have no column in common: {', '.join(left.names[:6])} "
            f"against {', '.join(right.names[:6])}"
        )
    return shared


@final
class _Drawn:
    """Tables as they are looked at: what rows count for, which belong together, which are drawn."""

    def __init__(self, given: tuple[Table, ...], options: Options) -> None:
        self._tables = given
        self._weights = tuple(_weights(t, options.weights) for t in self._tables)
        self._order = tuple(_order(t, options.order) for t in self._tables)
        self._groups = tuple(_groups(t, options.cluster) for t in self._tables)
        self._blocks = [1, 1]
        self._index = tuple(
            np.sort(named(options.key, "rows", i).choice(
                t.rows, JOINT_ROWS, replace=False, p=None if w is None else w / w.sum()
            )) if t.rows > JOINT_ROWS else np.arange(t.rows)
            for i, (t, w) in enumerate(zip(self._tables, self._weights, strict=True))
        )  # fmt: skip
        self.notes = _notes(options, self._tables)

    def sides(self, name: str) -> tuple[Side, ...]:
        """Returns a column of the tables, codes of the same labels, with what its rows count for."""
        cells = tuple(t.read(name) for t in self._tables)
        copied = (1.0,) * len(cells)
        if len(cells) == 2:
            cells = _alike(*cells)
            if cells[0].kind == "numbers":
                copied = _clusters.copies(*(c.values[np.isfinite(c.values)] for c in cells))
        return tuple(Side(c, self._worth(i, c, copied[i])) for i, c in enumerate(cells))

    def _worth(self, i: int, cells: Cells, copied: float) -> Values | None:
        """Returns what each row counts for: its weight, less what it shares with others."""
        weights, groups, levels = self._weights[i], self._groups[i], cells.kind == "levels"
        order, effect = self._order[i], copied
        if groups is not None:
            effect *= _clusters.design_effect(cells.values, groups, levels=levels)
        elif order is not None:
            length = _clusters.blocks(cells.values[order], levels=levels)
            self._blocks[i] = max(self._blocks[i], length)
            effect *= length
        if effect == 1.0:
            return weights
        return (np.ones(len(cells.values)) if weights is None else weights) / effect

    def joint(
        self, found: Sequence[ColumnDiff], kept: Sequence[tuple[Side, ...]], options: Options
    ) -> JointDiff | None:
        """Returns how all columns together differ; None for one column, or too few rows."""
        if not options.joint or len(found) < 2:
            return None
        if min(len(i) for i in self._index) < FEWEST_ROWS:
            self.notes = (
                *self.notes,
                f"together not compared: it takes {FEWEST_ROWS} rows of each",
            )
            return None
        if options.progress is not None:
            options.progress("all columns together")
        rows = tuple(
            Rows(
                np.column_stack([sides[i].cells.values[self._index[i]] for sides in kept]),
                self._index[i], self._together(i),
            )
            for i in (0, 1)
        )  # fmt: skip
        labels = tuple(
            sides[0].cells.labels if sides[0].cells.kind == "levels" else None for sides in kept
        )
        names = tuple(c.name for c in found)
        return joint_diff(
            rows[0], rows[1], names, labels, tuple(found), named(options.key, "joint")
        )

    def _together(self, i: int) -> Groups | None:
        groups, order, index = self._groups[i], self._order[i], self._index[i]
        if groups is not None:
            return groups[index]
        if order is None:
            return None
        place = np.empty(len(order), dtype=np.int64)
        place[order] = np.arange(len(order))
        return place[index] // (2 * self._blocks[i])


def _column(
    name: str, sides: tuple[Side, ...], options: Options, *, tests: int,
) -> ColumnDiff:  # fmt: skip
    left, right = sides
    tallied = _column_diff.tallied(left, right)
    kind = left.cells.kind
    medians = None
    if kind != "levels":
        medians = (_column_diff.median(left), _column_diff.median(right))
    independent = left.weights is None and right.weights is None
    found = _column_diff.column_diff(
        name, kind, tallied, rng=named(options.key, name), tests=tests,
        independent=independent, picture=_column_diff.picture_of(left, right, tallied),
        medians=medians, rows=len(left.cells.values) + len(right.cells.values),
    )  # fmt: skip
    if options.like == "evidently":
        number = _evidently.kl(left.cells, right.cells)
        found = replace(found, like=(("evidently", number),))
    return found


def _corrected(
    found: Sequence[ColumnDiff], together: JointDiff | None, max_kl: float | None
) -> tuple[tuple[ColumnDiff, ...], JointDiff | None]:
    """Returns what was found with p-values that may be believed together, the clearest first."""
    p_values = [c.p_value for c in found] + ([together.p_value] if together is not None else [])
    adjusted = _difference.holm(np.array(p_values)).tolist()
    columns = [
        replace(
            c, adjusted=p, finding="differs" if p < _LEVEL else "no evidence",
            gate=_gate(c, max_kl, differs=p < _LEVEL),
        )
        for c, p in zip(found, adjusted, strict=False)
    ]  # fmt: skip
    columns.sort(key=lambda c: (c.adjusted, -_size(c)))
    if together is not None:
        p = adjusted[-1]
        together = replace(
            together, adjusted=p, finding="differs" if p < _LEVEL else "no evidence",
            gate=_gate(together, max_kl, differs=p < _LEVEL),
        )  # fmt: skip
    return tuple(columns), together


def _gate(found: ColumnDiff | JointDiff, max_kl: float | None, *, differs: bool) -> Gate | None:
    gate = gate_of(found.forward, max_kl)
    return "cannot tell" if gate == "failed" and not differs else gate


def _size(column: ColumnDiff) -> float:
    value = column.forward.value
    return column.forward.interval[0] if math.isnan(value) else value


def _gates(columns: Sequence[ColumnDiff], together: JointDiff | None) -> Gate | None:
    """Returns what holds for all; together there is but a lower bound, which can only fail."""
    failed: tuple[Gate, ...] = (
        ("failed",) if together is not None and together.gate == "failed" else ()
    )
    return _worst((*(c.gate for c in columns), *failed))


def _worst(gates: Sequence[Gate | None]) -> Gate | None:
    order: tuple[Gate, ...] = ("failed", "cannot tell", "passed")
    return next((gate for gate in order if gate in gates), None)


def _alike(left: Cells, right: Cells) -> tuple[Cells, Cells]:
    """Returns two columns of one kind, codes of the same labels. Raises UnsupportedError if they are not."""
    if left.kind != right.kind:
        if "levels" in (left.kind, right.kind):
            empty = next((c for c in (left, right) if np.isnan(c.values).all()), None)
            if empty is None:
                raise UnsupportedError(_MIXED)
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


def _split(left: Table, right: Table, by: str, options: Options) -> Diff:
    """Returns a Diff for each value of a column that both tables have, and what only one has."""
    for table in (left, right):
        if by not in table.names:
            raise InputError(f"{table.source}: there is no column {by!r} to split by")
    sides = _alike(left.read(by), right.read(by))
    values = np.unique(np.concatenate([c.values[~np.isnan(c.values)] for c in sides]))
    if len(values) > _MOST_GROUPS:
        raise InputError(
            f"{by!r} has {len(values):,} values, more than {_MOST_GROUPS}: choose a column with fewer"
        )
    names = [n for n in (options.columns or left.names) if n != by and n in right.names]
    groups, notes = [], []
    for value in values:
        rows = [np.flatnonzero(c.values == value) for c in sides]
        label = (
            sides[0].labels[int(value)]
            if sides[0].labels
            else _column_diff.in_words(float(value), sides[0].kind)
        )
        if not all(len(r) for r in rows):
            where = "reference" if len(rows[0]) else "current"
            notes.append(f"{by} = {label} has {len(rows[0]) + len(rows[1]):,} rows in {where} only")
            continue
        parts = [_part(t, r, f"{by} = {label}") for t, r in zip((left, right), rows, strict=True)]
        groups.append(
            (label, _compared(parts[0], parts[1], replace(options, columns=tuple(names))))
        )
    if not groups:
        raise InputError(f"no value of {by!r} is in both tables")
    groups = _corrected_groups(groups)
    return Diff(
        left.source, right.source, (left.rows, right.rows), (), None, max_kl=options.max_kl,
        gate=_worst([d.gate for _, d in groups]), groups=tuple(groups), notes=tuple(notes), key=options.key,
    )  # fmt: skip


def _corrected_groups(groups: list[tuple[str, Diff]]) -> list[tuple[str, Diff]]:
    """Returns groups whose p-values are corrected for the number of groups, too."""
    k = len(groups)

    def of(found: Part) -> Part:
        p = min(1.0, k * found.adjusted)
        gate: Gate | None = "cannot tell" if found.gate == "failed" and p >= _LEVEL else found.gate
        return replace(
            found, adjusted=p, gate=gate, finding="differs" if p < _LEVEL else "no evidence"
        )

    made = []
    for label, d in groups:
        columns = tuple(of(c) for c in d.columns)
        together = None if d.joint is None else of(d.joint)
        gate = _gates(columns, together)
        made.append((label, replace(d, columns=columns, joint=together, gate=gate)))
    return made


def _part(table: Table, rows: Groups, what: str) -> Table:
    def read(name: str) -> Cells:
        cells = table.read(name)
        return replace(cells, values=cells.values[rows])

    return Table(table.names, len(rows), read, f"{table.source}, {what}")
