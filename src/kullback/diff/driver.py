"""`diff`: two tables, column by column and together."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Literal, TypeVar

import numpy as np

from kullback.core.errors import InputError, UnsupportedError
from kullback.core.numerics import one_thread
from kullback.core.run import named
from kullback.diff.column import Side, column_diff, in_words, picture_of
from kullback.diff.column import median as column_median
from kullback.diff.column import tallied as column_tallied
from kullback.diff.profile import kind_of, median, picture, type_of
from kullback.diff.profile import tallied as profile_tallied
from kullback.diff.tables import (
    EMPTY,
    MISSING,
    ROUNDED_IN_PROFILES,
    Drawn,
    Groups,
    Options,
    Pair,
    alike,
    changed,
    lost,
    table_of,
)
from kullback.diff.tables import options as tables_options
from kullback.diff.tables import type_of as tables_type_of
from kullback.measure.samples.tests import holm
from kullback.results.diff import (
    ColumnDiff,
    Diff,
    Gate,
    JointDiff,
    Profile,
    gate_of,
    gate_of_all,
    worst,
)
from kullback.results.estimate import Estimate
from kullback.tables.cells import Cells, Table

_LEVEL = 0.05
#: Whole numbers that are all different, of which no more than this share are in both tables, are no data.
_SHARED, _FEWEST = 0.01, 100


def diff(
    reference: object,
    current: object,
    *,
    columns: str | Sequence[str] = (),
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
        max_kl: the largest KL(reference||current) allowed, in nats; see `Diff.gate`. Columns of the
            reference that current lacks, has in another type or without a value, fail the gate.
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
    options = tables_options(
        columns, weights=weights, cluster=cluster, order=order, by=by, max_kl=max_kl, joint=joint,
        like=like, key=key, progress=progress,
    )  # fmt: skip
    right = table_of(current, "current")
    if isinstance(reference, Profile):
        if by is not None:
            raise InputError(
                f"by={by!r}: a profile has no rows to split; give the reference itself"
            )
        with one_thread():
            found = _with_profile(reference, right, options)
    else:
        left = table_of(reference, "reference")
        with one_thread():
            found = (
                _compared(left, right, options)
                if by is None
                else split(left, right, by, *_shared(left, right, options), options, _compared)
            )
    return replace(found, seconds=time.monotonic() - began)


def _compared(left: Table, right: Table, options: Options) -> Diff:
    names, gone = _shared(left, right, options)
    pair = Pair(left, right, weights=options.weights)
    drawn = Drawn((pair.reference, pair.current), options)
    found, kept, left_out, keys = [], [], [], []
    for i, name in enumerate(names):
        if options.progress is not None:
            options.progress(f"column {i + 1} of {len(names)}: {name}")
        try:
            sides = drawn.sides(name)
            if changed(pair.types[name]):
                raise UnsupportedError(changed(pair.types[name]))
            column = _column(name, sides, options, tests=len(names) + options.joint)
        except UnsupportedError as error:
            reason = changed(pair.types[name]) or str(error)
            left_out.append((name, reason))
            gone += _lost(name, pair.types[name], reason)
            continue
        except KeyboardInterrupt:
            if not found:
                raise
            return _ended(left, right, found, left_out, options, len(names))
        gone += _lost(name, pair.types[name], "")
        keys += [name] if _is_key(sides) else []
        found.append(column)
        kept.append(drawn.some(sides))
    if not found:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in left_out)
        raise InputError(f"there is no column to compare ({reasons})")
    together = drawn.joint(found, kept, options)
    columns, together = _corrected(found, together, options.max_kl)
    of_columns = (pair.notes[c.name] for c in found if c.name in pair.notes)
    notes = (*drawn.notes, *of_columns, *_of_keys(columns, keys), *_below(columns, together))
    return _all(left, right, columns, together, left_out, gone, notes, options)


def _ended(
    left: Table,
    right: Table,
    found: list[ColumnDiff],
    left_out: list[tuple[str, str]],
    options: Options,
    total: int,
) -> Diff:
    """Returns what there is when somebody has interrupted."""
    columns, _ = _corrected(found, None, options.max_kl)
    return Diff(
        left.source, right.source, (left.rows, right.rows), columns, None, tuple(left_out),
        max_kl=options.max_kl, notes=(f"interrupted after {len(found)} of {total} columns",),
        key=options.key, interrupted=True,
    )  # fmt: skip


def _with_profile(left: Profile, right: Table, options: Options) -> Diff:
    """Returns how a table differs from counts of another: column by column only."""
    names, gone = _shared(left, right, options)
    drawn = Drawn((right,), options)
    found, left_out, notes = [], [], []
    for name in names:
        known, side = left.column(name), _side(drawn, name)
        types = (
            type_of(known),
            tables_type_of(side if isinstance(side, UnsupportedError) else side.cells),
        )
        reason = changed(types) or (str(side) if isinstance(side, UnsupportedError) else "")
        gone += _lost(name, types, reason)
        if reason or isinstance(side, UnsupportedError):
            left_out.append((name, reason))
            continue
        if EMPTY in types:
            side = replace(side, cells=replace(side.cells, kind=kind_of(known, side.cells)))
        if side.cells.whole is not None:
            notes.append(f"{name}: {ROUNDED_IN_PROFILES}")
        tallied = profile_tallied(known, side.cells, side.weights)
        medians = None
        if side.cells.kind != "levels":
            medians = (median(known), column_median(side))
        found.append(
            column_diff(
                name, side.cells.kind, tallied, rng=named(options.key, name), tests=len(names),
                independent=side.weights is None,
                picture=picture(tallied), medians=medians,
                rows=left.rows + right.rows,
            )
        )  # fmt: skip
    if not found:
        raise InputError(f"{left.source} and {right.source} have no column to compare")
    columns, _ = _corrected(found, None, options.max_kl)
    notes = (*drawn.notes, *notes, "a profile has no rows: all columns together are not compared")
    return _all(left, right, columns, None, left_out, gone, notes, options)


def _side(drawn: Drawn, name: str) -> Side | UnsupportedError:
    try:
        return drawn.sides(name)[0]
    except UnsupportedError as error:
        return error


def _all(
    left: Table | Profile, right: Table, columns: tuple[ColumnDiff, ...], together: JointDiff | None,
    left_out: Sequence[tuple[str, str]], gone: Sequence[tuple[str, str]], notes: tuple[str, ...],
    options: Options,
) -> Diff:  # fmt: skip
    return Diff(
        left.source, right.source, (left.rows, right.rows), columns, together, tuple(left_out),
        tuple(n for n in left.names if n not in right.names),
        tuple(n for n in right.names if n not in left.names),
        options.max_kl, gate_of_all(columns, together, gone), notes=notes, key=options.key,
        lost=tuple(gone),
    )  # fmt: skip


def _lost(name: str, types: tuple[str, str], reason: str) -> list[tuple[str, str]]:
    why = lost(types, reason)
    return [(name, why)] if why else []


def _is_key(sides: tuple[Side, ...]) -> bool:
    """Whether a column holds whole numbers that are all different, and others in the other table."""
    left, right = (side.cells for side in sides)
    if left.kind != "numbers":
        return False
    for values in (left.values, right.values):
        few = values[: 10 * _FEWEST]
        if len(few) < _FEWEST or (few != np.floor(few)).any() or len(np.unique(few)) < len(few):
            return False
    distinct = [np.unique(cells.values) for cells in (left, right)]
    if any(len(d) < len(c.values) for d, c in zip(distinct, (left, right), strict=True)):
        return False
    if any((d != np.floor(d)).any() for d in distinct):
        return False
    return len(np.intersect1d(distinct[0], distinct[1])) <= _SHARED * min(len(d) for d in distinct)


def _of_keys(columns: tuple[ColumnDiff, ...], keys: list[str]) -> list[str]:
    """Returns what is said of columns that differ only because each row has its own number."""
    return [
        f"{c.name} looks like an identifier, no value occurs twice: leave it out with columns=(...)"
        for c in columns
        if c.name in keys and c.finding == "differs"
    ]


def _below(columns: tuple[ColumnDiff, ...], together: JointDiff | None) -> list[str]:
    """Returns what is said where all columns together are printed below one of them."""
    if together is None:
        return []
    above: dict[str, list[str]] = {}
    for side in ("forward", "reverse"):
        whole = getattr(together, side)
        for c in columns:
            if c.finding == "differs" and _shown(getattr(c, side)) > _shown(whole):
                above.setdefault(c.name, []).append(whole.direction)
    if not above:
        return []
    directions = sorted({d for said in above.values() for d in said})
    return [
        (
            f"{' and '.join(directions)} together is printed below {', '.join([*above][:3])} alone, but KL of "
            "all columns is at least that of each: scores of many columns find less than one by itself shows"
        )
    ]


def _shown(estimate: Estimate) -> float:
    """Returns the number that is printed: the value, or the least that it is."""
    return estimate.value if estimate.kind == "estimate" else estimate.interval[0]


def _shared(
    left: Table | Profile, right: Table, options: Options
) -> tuple[list[str], list[tuple[str, str]]]:
    """Returns the columns of both, and those of the reference that current lacks, with the reason."""
    for table in (left, right):
        apart = () if isinstance(table, Profile) else options.set_apart
        # With a gate, a column that only the reference has is no mistake but what the gate is for.
        gated = table is right and options.max_kl is not None
        for name in (*(() if gated else options.columns), *apart):
            if name not in table.names:
                have = ", ".join(table.names[:12])
                raise InputError(f"{table.source}: there is no column {name!r}; it has {have}")
    wanted = [n for n in options.columns or left.names if n not in options.set_apart]
    shared = [n for n in wanted if n in right.names]
    if not shared:
        raise InputError(
            f"{left.source} and {right.source} have no column in common: {', '.join(wanted[:6])} "
            f"against {', '.join(right.names[:6])}"
        )
    return shared, [(n, MISSING) for n in wanted if n not in right.names]


def _column(
    name: str, sides: tuple[Side, ...], options: Options, *, tests: int,
) -> ColumnDiff:  # fmt: skip
    left, right = sides
    tallied = column_tallied(left, right)
    kind = left.cells.kind
    medians = None
    if kind != "levels":
        medians = (column_median(left), column_median(right))
    independent = left.weights is None and right.weights is None
    found = column_diff(
        name, kind, tallied, rng=named(options.key, name), tests=tests,
        independent=independent, picture=picture_of(left, right, tallied),
        medians=medians, rows=len(left.cells.values) + len(right.cells.values),
    )  # fmt: skip
    if options.like == "evidently":
        number = kl(left.cells, right.cells)
        found = replace(found, like=(("evidently", number),))
    return found


def _corrected(
    found: Sequence[ColumnDiff], together: JointDiff | None, max_kl: float | None
) -> tuple[tuple[ColumnDiff, ...], JointDiff | None]:
    """Returns what was found with p-values that may be believed together, the clearest first."""
    p_values = [c.p_value for c in found] + ([together.p_value] if together is not None else [])
    adjusted = holm(np.array(p_values)).tolist()
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


# Two tables split by the values of a column, each pair of parts compared by itself.

Part = TypeVar("Part", ColumnDiff, JointDiff)
#: Columns with more values than this are not split by.
_MOST_GROUPS = 50


def split(
    left: Table, right: Table, by: str, names: Sequence[str], gone: Sequence[tuple[str, str]],
    options: Options, compare: Callable[[Table, Table, Options], Diff],
) -> Diff:  # fmt: skip
    """Returns a Diff for each value of a column that both tables have, and what only one has.

    Args:
        left, right: the tables.
        by: the column.
        names, gone: columns of both, and those that are lost, with the reason.
        options: what was asked.
        compare: compares two parts.
    """
    for table in (left, right):
        if by not in table.names:
            raise InputError(f"{table.source}: there is no column {by!r} to split by")
    names = tuple(n for n in names if n != by)
    if not names:
        raise InputError(f"by={by!r}: there is no other column to compare")
    groups, notes, lost = [], [], [*gone]
    for label, rows in _groups(left, right, by):
        if not all(len(r) for r in rows):
            where = "reference" if len(rows[0]) else "current"
            count = f"{len(rows[0]) + len(rows[1]):,} rows in {where} only"
            notes.append(f"{by} = {label} has {count}")
            lost += [(f"{by} = {label}", count)] if where == "reference" else []
            continue
        parts = [_part(t, r, f"{by} = {label}") for t, r in zip((left, right), rows, strict=True)]
        groups.append((label, compare(parts[0], parts[1], replace(options, columns=names))))
    if not groups:
        raise InputError(f"no value of {by!r} is in both tables")
    groups = _corrected_groups(groups)
    lost += _said([(f"{by} = {label}", d.lost) for label, d in groups])
    left_out = _said([(f"{by} = {label}", d.left_out) for label, d in groups])
    said = _said([(f"{by} = {label}", tuple((n, "") for n in d.notes)) for label, d in groups])
    gate = worst([d.gate for _, d in groups])
    return Diff(
        left.source, right.source, (left.rows, right.rows), (), None, tuple(left_out),
        tuple(n for n in left.names if n not in right.names),
        tuple(n for n in right.names if n not in left.names), options.max_kl,
        "failed" if lost and gate is not None else gate, tuple(groups),
        (*notes, *(note for note, _ in said)), key=options.key, lost=tuple(lost),
    )  # fmt: skip


def _groups(left: Table, right: Table, by: str) -> Iterator[tuple[str, list[Groups]]]:
    """Yields the values of a column with their rows in both tables; rows without one come last."""
    pair = Pair(left, right, weights=None)
    try:
        sides = alike(pair.reference.read(by), pair.current.read(by))
    except UnsupportedError as error:
        raise InputError(f"by={by!r}: {changed(pair.types[by]) or error}") from None
    if changed(pair.types[by]):
        raise InputError(f"by={by!r}: {changed(pair.types[by])}")
    values = np.unique(np.concatenate([c.values[~np.isnan(c.values)] for c in sides]))
    if len(values) > _MOST_GROUPS:
        raise InputError(
            f"{by!r} has {len(values):,} values, more than {_MOST_GROUPS}: choose a column with fewer"
        )
    big = _as_written((left, right), by, sides) if by in pair.notes else {}
    labels = [big.get(float(value)) or _label(float(value), sides[0]) for value in values]
    for label, value in zip(labels, values, strict=True):
        yield label, [np.flatnonzero(c.values == value) for c in sides]
    absent = [np.flatnonzero(np.isnan(c.values)) for c in sides]
    if any(len(rows) for rows in absent):
        yield ("(missing)" if "missing" in labels else "missing"), absent


def _as_written(tables: Sequence[Table], by: str, sides: Sequence[Cells]) -> dict[float, str]:
    """Returns the integers that ranks stand for, in words."""
    found = {}
    for table, ranked in zip(tables, sides, strict=True):
        cells = table.read(by)
        values = cells.values if cells.whole is None else cells.whole
        found.update(
            zip(
                ranked.values.tolist(),
                (f"{v:.0f}" if isinstance(v, float) else str(v) for v in values.tolist()),
                strict=True,
            )
        )
    return found


def _label(value: float, cells: Cells) -> str:
    if cells.labels:
        return cells.labels[int(value)]
    return in_words(value, cells.kind) if cells.kind == "dates" else f"{value:.15g}"


def _said(
    groups: Sequence[tuple[str, Sequence[tuple[str, str]]]],
) -> list[tuple[str, str]]:
    """Returns what is said of groups: once what holds for all of them, else with the name of the group."""
    every = [pair for pair in groups[0][1] if all(pair in said for _, said in groups)]
    some = [
        (f"{label}: {name}", reason)
        for label, said in groups
        for name, reason in said
        if (name, reason) not in every
    ]
    return [*every, *some]


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
        gate = gate_of_all(columns, together, d.lost)
        made.append((label, replace(d, columns=columns, joint=together, gate=gate)))
    return made


def _part(table: Table, rows: Groups, what: str) -> Table:
    def read(name: str) -> Cells:
        cells = table.read(name)
        whole = None if cells.whole is None else cells.whole[rows]
        return replace(cells, values=cells.values[rows], whole=whole)

    return Table(table.names, len(rows), read, f"{table.source}, {what}")


# Another tool's number, as it is computed there, to be shown beside ours; not a divergence of the data.

#: What an empty bin is filled with.
_FILL = 1e-4
#: Numbers with fewer different values than this are taken for levels there.
_LEVELS = 20


def kl(reference: Cells, current: Cells) -> float:
    """Returns what Evidently 0.7 calls kl_div: bins of equal width after Sturges, empty ones filled.

    The bins cover the range of both samples; what is empty gets .0001, or a millionth of the smallest
    share where that is smaller; then scipy.stats.entropy, which scales both to 1.

    Args:
        reference, current: a column.
    """
    x, y = (c.values[np.isfinite(c.values)] for c in (reference, current))
    if not (len(x) and len(y)):
        return float("nan")
    both = np.concatenate([x, y])
    levels = np.unique(both)
    if reference.kind == "levels" or len(levels) <= _LEVELS:
        counts = [np.bincount(np.searchsorted(levels, v), minlength=len(levels)) for v in (x, y)]
    else:
        edges = np.histogram_bin_edges(both, bins="sturges")
        counts = [np.histogram(v, edges)[0] for v in (x, y)]
    p, q = (_filled(c / c.sum()) for c in counts)
    p, q = p / p.sum(), q / q.sum()
    return float(np.sum(p * np.log(p / q)))


def _filled(shares: np.ndarray) -> np.ndarray:
    empty = shares <= 0.0
    if not empty.any():
        return shares
    least = float(shares[~empty].min())
    return np.where(empty, _FILL if least > _FILL else least / 1e6, shares)
