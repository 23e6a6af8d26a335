"""Two tables split by the values of a column, each pair of parts compared by itself."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np

from kullback.core.errors import InputError, UnsupportedError
from kullback.diff.column import LEVEL, alike, finding_of, in_words
from kullback.diff.tables import Groups, Options, changed, checked, read_columns
from kullback.results.diff import ColumnDiff, Diff, Gate, JointDiff, gate_of_all, worst
from kullback.tables.kinds import Column
from kullback.tables.table import Table

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
        parts = [
            t.part(r, f"{t.source}, {by} = {label}")
            for t, r in zip((left, right), rows, strict=True)
        ]
        groups.append((label, compare(parts[0], parts[1], replace(options, columns=names))))
    if not groups:
        raise InputError(f"no value of {by!r} is in both tables")
    groups = _corrected_groups(groups, options.ignore_below)
    lost += _said([(f"{by} = {label}", d.lost) for label, d in groups])
    left_out = _said([(f"{by} = {label}", d.left_out) for label, d in groups])
    said = _said([(f"{by} = {label}", tuple((n, "") for n in d.notes)) for label, d in groups])
    gate = worst([d.gate for _, d in groups])
    return Diff(
        left.source, right.source, (left.rows, right.rows), (), None, tuple(left_out),
        tuple(n for n in left.names if n not in right.names),
        tuple(n for n in right.names if n not in left.names), options.max_kl, options.ignore_below,
        "failed" if lost and gate is not None else gate, tuple(groups),
        (*notes, *(note for note, _ in said)), key=options.key, lost=tuple(lost),
    )  # fmt: skip


def _groups(left: Table, right: Table, by: str) -> Iterator[tuple[str, list[Groups]]]:
    """Yields the values of a column with their rows in both tables; rows without one come last."""
    found, types, ranked = read_columns((left, right), by)
    try:
        x, y = checked(found)
        sides = alike(x, y)
    except UnsupportedError as error:
        raise InputError(f"by={by!r}: {changed(types) or error}") from None
    if changed(types):
        raise InputError(f"by={by!r}: {changed(types)}")
    values = np.unique(np.concatenate([c.values[~np.isnan(c.values)] for c in sides]))
    if len(values) > _MOST_GROUPS:
        raise InputError(
            f"{by!r} has {len(values):,} values, more than {_MOST_GROUPS}: choose a column with fewer"
        )
    big = _as_written((left, right), by, sides) if ranked else {}
    labels = [big.get(float(value)) or _label(float(value), sides[0]) for value in values]
    for label, value in zip(labels, values, strict=True):
        yield label, [np.flatnonzero(c.values == value) for c in sides]
    absent = [np.flatnonzero(np.isnan(c.values)) for c in sides]
    if any(len(rows) for rows in absent):
        yield ("(missing)" if "missing" in labels else "missing"), absent


def _as_written(tables: Sequence[Table], by: str, sides: Sequence[Column]) -> dict[float, str]:
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


def _label(value: float, cells: Column) -> str:
    if cells.labels:
        return cells.labels[int(value)]
    return in_words(value, cells.scale) if cells.scale == "dates" else f"{value:.15g}"


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


def _corrected_groups(
    groups: list[tuple[str, Diff]], ignore_below: float
) -> list[tuple[str, Diff]]:
    """Returns groups whose p-values are corrected for the number of groups, too."""
    k = len(groups)

    def of(found: Part) -> Part:
        p = min(1.0, k * found.adjusted)
        gate: Gate | None = "cannot tell" if found.gate == "failed" and p >= LEVEL else found.gate
        return replace(found, adjusted=p, gate=gate, finding=finding_of(found, p, ignore_below))

    made = []
    for label, d in groups:
        columns = tuple(of(c) for c in d.columns)
        together = None if d.joint is None else of(d.joint)
        gate = gate_of_all(columns, together, d.lost)
        made.append((label, replace(d, columns=columns, joint=together, gate=gate)))
    return made
