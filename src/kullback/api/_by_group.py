"""Two tables split by the values of a column, each pair of parts compared by itself."""

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

import numpy as np

from kullback._core.errors import InputError
from kullback._core.tables import Cells, Table
from kullback.api._drawn import Groups, Options, alike
from kullback.diagnostics import _column_diff
from kullback.results._diff import ColumnDiff, Diff, Gate, JointDiff, gate_of_all, worst

Part = TypeVar("Part", ColumnDiff, JointDiff)
#: Columns with more values than this are not split by.
_MOST_GROUPS = 50
_LEVEL = 0.05


def split(
    left: Table, right: Table, by: str, options: Options, compare: Callable[[Table, Table, Options], Diff]
) -> Diff:  # fmt: skip
    """Returns a Diff for each value of a column that both tables have, and what only one has."""
    for table in (left, right):
        if by not in table.names:
            raise InputError(f"{table.source}: there is no column {by!r} to split by")
    sides = alike(left.read(by), right.read(by))
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
        groups.append((label, compare(parts[0], parts[1], replace(options, columns=tuple(names)))))
    if not groups:
        raise InputError(f"no value of {by!r} is in both tables")
    groups = _corrected_groups(groups)
    return Diff(
        left.source, right.source, (left.rows, right.rows), (), None, max_kl=options.max_kl,
        gate=worst([d.gate for _, d in groups]), groups=tuple(groups), notes=tuple(notes), key=options.key,
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
        gate = gate_of_all(columns, together)
        made.append((label, replace(d, columns=columns, joint=together, gate=gate)))
    return made


def _part(table: Table, rows: Groups, what: str) -> Table:
    def read(name: str) -> Cells:
        cells = table.read(name)
        return replace(cells, values=cells.values[rows])

    return Table(table.names, len(rows), read, f"{table.source}, {what}")
