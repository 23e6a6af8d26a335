"""`diff`: two tables, column by column and together."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, final

import numpy as np

from kullback.core.errors import InputError, KullbackError, UnsupportedError
from kullback.core.executor import Executor, check_executor
from kullback.core.numerics import one_thread
from kullback.core.run import named
from kullback.diff.column import LEVEL, column_diff, finding_of
from kullback.diff.column import median as column_median
from kullback.diff.groups import split
from kullback.diff.large import in_pieces, joint_of, names_of, read_side
from kullback.diff.looks import Elsewhere, elsewhere_of, look_at
from kullback.diff.profile import (
    count_column,
    median,
    picture,
    scale_of,
    together,
    type_of,
)
from kullback.diff.tables import (
    MISSING,
    ROUNDED_IN_PROFILES,
    DrawnTables,
    Options,
    changed,
    check_kinds,
    lost,
)
from kullback.diff.tables import options as tables_options
from kullback.diff.tables import type_of as tables_type_of
from kullback.measure.samples.tests import holm
from kullback.results.diff import ColumnDiff, Diff, Gate, JointDiff, gate_of, gate_of_all
from kullback.results.estimate import Estimate
from kullback.results.profile import ColumnProfile, Profile
from kullback.tables.kinds import Kind
from kullback.tables.table import Table


def diff(
    reference: object,
    current: object,
    *,
    columns: str | Sequence[str] = (),
    weights: str | None = None,
    frequencies: str | None = None,
    cluster: str | None = None,
    order: str | None = None,
    by: str | None = None,
    max_kl: float | None = None,
    ignore_below: float = 0.0,
    joint: bool = True,
    like: Literal["evidently"] | None = None,
    kinds: Mapping[str, Kind] | None = None,
    key: int = 0,
    progress: Callable[[str], None] | None = None,
    executor: Executor | None = None,
) -> Diff:
    """Returns how two tables differ by more than chance, where, and by how much.

    For each column KL(reference||current) and KL(current||reference), each with an interval, a bound, or
    unresolved; whether a difference is more than chance, corrected for all columns, so that at most 5 % of
    tables without a difference say so; and the same for all columns together.

    Args:
        reference, current: data frames of pandas, polars or pyarrow, lazy frames of Polars, DuckDB, Ibis, Dask or
            Spark, ArviZ trees, arrays (n, d), `Samples`, or paths of files (.csv, .tsv, .parquet, .npy; directories
            and patterns of .parquet). Either may be a `Profile`. Of a lazy frame of more than 200 million cells all
            rows are counted where they are, and all columns together are compared on 10,000 rows that are drawn.
        columns: those to compare; all that both have by default.
        weights: a column with weights of a survey, or importance weights: only their ratios matter.
        frequencies: a column with the number of equal rows that each stands for.
        cluster: a column whose equal values mark rows that belong together.
        order: a column that orders the rows in time; errors then allow for rows that depend on those before,
            with `cluster` on those of the same group, as in chains. `Samples` and trees may say all four.
        by: a column by whose values the tables are split, each pair compared by itself.
        max_kl: the largest KL(reference||current) allowed, in nats; see `Diff.gate`. Columns of the
            reference that current lacks, has in another type or without a value, fail the gate.
        ignore_below: nats: a difference beyond chance of which KL(reference||current) is certainly smaller, and
            the other as far as it can be told, is "negligible" and no finding; in large tables many are.
        joint: whether all columns together are compared, on up to 10,000 rows of each.
        like: print another tool's number beside ours.
        kinds: of columns that are not what they seem, such as {"zip": "category"}: "continuous", "integer",
            "count", "category", "code" or "identifier", which is left out.
        key: randomness, an int.
        progress: called with what is being done.
        executor: for two paths of .parquet files: where columns are compared, one at a time on each worker, as in
            `fit`; the same bits as without.

    Raises:
        InputError: what was given are no tables, or they have no column in common.
        WorkerError: a worker of the executor ended before its work was done.

    Example:
        >>> import numpy as np
        >>> rng = np.random.default_rng(0)
        >>> found = diff(rng.normal(size=(500, 1)), rng.normal(0.5, 1.0, (500, 1)), joint=False)
        >>> found.finding, found.columns[0].name
        ('differs', 'x0')
    """
    began = time.monotonic()
    options = tables_options(
        columns, weights=weights, frequencies=frequencies, cluster=cluster, order=order, by=by,
        max_kl=max_kl, ignore_below=ignore_below, joint=joint, like=like, key=key, progress=progress,
    )  # fmt: skip
    check_executor(executor)
    elsewhere = None if executor is None else elsewhere_of(executor, reference, current, by, kinds)
    left, right = (
        read_side(given, name, kinds, whole=bool(by or options.set_apart))
        for given, name in ((reference, "reference"), (current, "current"))
    )
    check_kinds(kinds, names_of(left), names_of(right))
    left, right, some = in_pieces(left, right, options, kinds or {})
    with one_thread():
        if elsewhere is not None:
            assert isinstance(left, Table)
            assert isinstance(right, Table)
            found = _compared(left, right, options, elsewhere)
        elif isinstance(left, Profile) or isinstance(right, Profile):
            if by is not None:
                raise InputError(
                    f"by={by!r}: a profile has no rows to split; give the tables themselves"
                )
            found = _of_profiles(left, right, options, some)
        elif by is None:
            found = _compared(left, right, options)
        else:
            found = split(left, right, by, *_shared(left, right, options), options, _compared)
    return replace(found, seconds=time.monotonic() - began)


_DEPEND = (
    "rows look as if each depended on the one before, and are taken for independent: say order=, or cluster=, "
    "for errors and p-values that allow for it"
)


@final
@dataclass
class _Columns:
    """The columns as they are compared, one after the other.

    Attributes:
        types: of each in reference and current, as they are read.
        found: what was compared.
        left_out, gone: what was not, and what fails a gate, with the reasons.
        interrupted: whether somebody stopped it.
    """

    types: dict[str, tuple[str, ...]]
    gone: list[tuple[str, str]]
    found: list[ColumnDiff] = field(default_factory=list)
    left_out: list[tuple[str, str]] = field(default_factory=list)
    interrupted: bool = False

    def compare(
        self, names: Sequence[str], one: Callable[[str], ColumnDiff], options: Options
    ) -> None:
        """Compares each; one that cannot be compared is left out and takes none of the others along."""
        for i, name in enumerate(names):
            if options.progress is not None:
                options.progress(f"column {i + 1} of {len(names)}: {name}")
            reason = ""
            try:
                self.found.append(one(name))
            except (UnsupportedError, InputError) as error:
                reason = changed(self.types[name]) or str(error)
                self.left_out.append((name, reason))
            except KeyboardInterrupt:
                if not self.found:
                    raise
                self.interrupted = True
                return
            why = lost(self.types[name], reason)
            self.gone += [(name, why)] if why else []
        if not self.found:
            reasons = "; ".join(f"{name}: {reason}" for name, reason in self.left_out)
            raise InputError(f"there is no column to compare ({reasons})")

    def result(
        self, left: Table | Profile, right: Table | Profile, joint: JointDiff | None,
        notes: Sequence[str], options: Options,
    ) -> Diff:  # fmt: skip
        """Returns what was found, p-values corrected for all that was looked at."""
        columns, joint = _corrected(self.found, joint, options)
        gate = gate_of_all(columns, joint, self.gone)
        if self.interrupted:
            gate, notes = None, (f"interrupted after {len(self.found)} columns",)
        return Diff(
            left.source, right.source, (left.rows, right.rows), columns, joint, tuple(self.left_out),
            tuple(n for n in left.names if n not in right.names),
            tuple(n for n in right.names if n not in left.names),
            options.max_kl, options.ignore_below, gate,
            notes=(*notes, *_below(columns, joint)), interrupted=self.interrupted, key=options.key,
            lost=tuple(self.gone),
        )  # fmt: skip


def _compared(
    left: Table, right: Table, options: Options, elsewhere: Elsewhere | None = None
) -> Diff:
    names, gone = _shared(left, right, options)
    drawn = DrawnTables((left, right), options)
    columns, kept, keys = _Columns(drawn.types, gone), [], []
    tests = len(names) + options.joint
    looks = None if elsewhere is None else elsewhere.looks(names, options, tests)

    def one(name: str) -> ColumnDiff:
        look = look_at(drawn, name, options, tests) if looks is None else next(looks)
        drawn.take(name, look.seen)
        if isinstance(look.found, KullbackError):
            raise look.found
        kept.append(look.some)
        keys.extend([name] if look.key else [])
        return look.found

    columns.compare(names, one, options)
    joint = None if columns.interrupted else drawn.joint(columns.found, kept, options)
    noted = [drawn.said[c.name] for c in columns.found if c.name in drawn.said]
    noted += [_DEPEND] if any(drawn.depend) else []
    found = columns.result(left, right, joint, (*drawn.notes, *noted), options)
    return replace(found, notes=(*found.notes, *_of_keys(found.columns, keys)))


def _of_profiles(
    left: Table | Profile, right: Table | Profile, options: Options,
    some: tuple[Table, Table] | None = None,
) -> Diff:  # fmt: skip
    """Returns how two tables differ, one of them or both known by their counts: column by column.

    All columns together are compared on rows of both, where there are `some`.
    """
    names, gone = _shared(left, right, options)
    drawn = [DrawnTables((s,), options) if isinstance(s, Table) else None for s in (left, right)]
    notes = [note for d in drawn if d is not None for note in d.notes]
    columns, tests = _Columns({}, gone), len(names) + (some is not None and options.joint)

    def one(name: str) -> ColumnDiff:
        failed: UnsupportedError | InputError | None = None
        known = next(s.column(name) for s in (left, right) if isinstance(s, Profile))
        sides, types = [], []
        for side, rows in zip((left, right), drawn, strict=True):
            try:
                sides.append(_counts(side, rows, name, known))
                types.append(sides[-1].type)
            except (UnsupportedError, InputError) as error:
                types.append(tables_type_of(error))
                failed = error
        columns.types[name] = tuple(types)
        if failed is not None:
            raise failed
        if changed(columns.types[name]):
            raise UnsupportedError(changed(columns.types[name]))
        notes.extend(f"{name}: {ROUNDED_IN_PROFILES}" for read in sides if read.rounded)
        p, q = (read.counts for read in sides)
        tallied, scale = together(p, q), scale_of(p, q)
        return column_diff(
            name, scale, tallied, rng=named(options.key, name), tests=tests,
            independent=all(read.independent for read in sides), picture=picture(tallied),
            medians=None if scale == "levels" else (sides[0].median, sides[1].median),
            rows=left.rows + right.rows,
        )  # fmt: skip

    columns.compare(names, one, options)
    if some is None:
        notes.append("a profile has no rows: all columns together are not compared")
        return columns.result(left, right, None, notes, options)
    joint, said = (None, ()) if columns.interrupted else joint_of(some, columns.found, options)
    return columns.result(left, right, joint, (*notes, *said), options)


@final
@dataclass(frozen=True, eq=False)
class _Counts:
    """A column as counts, what type it is of, its median, and whether its rows count alike."""

    counts: ColumnProfile
    type: str
    median: float
    independent: bool = True
    rounded: bool = False


def _counts(
    side: Table | Profile, rows: DrawnTables | None, name: str, known: ColumnProfile
) -> _Counts:
    """Returns the counts of a column, those of a table in the cells of a profile."""
    if isinstance(side, Profile):
        mine = side.column(name)
        return _Counts(mine, type_of(mine), median(mine))
    assert rows is not None
    found = rows.sides(name)[0]
    return _Counts(
        count_column(name, found.cells, known, found.weights), tables_type_of(found.cells),
        column_median(found), found.weights is None, found.cells.whole is not None,
    )  # fmt: skip


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
    left: Table | Profile, right: Table | Profile, options: Options
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


def _corrected(
    found: Sequence[ColumnDiff], together: JointDiff | None, options: Options
) -> tuple[tuple[ColumnDiff, ...], JointDiff | None]:
    """Returns what was found with p-values that may be believed together, the clearest first."""
    p_values = [c.p_value for c in found] + ([together.p_value] if together is not None else [])
    adjusted = holm(np.array(p_values)).tolist()
    columns = [
        replace(
            c, adjusted=p, finding=finding_of(c, p, options.ignore_below),
            gate=_gate(c, options.max_kl, differs=p < LEVEL),
        )
        for c, p in zip(found, adjusted, strict=False)
    ]  # fmt: skip
    columns.sort(key=lambda c: (c.adjusted, -_size(c)))
    if together is not None:
        p = adjusted[-1]
        together = replace(
            together, adjusted=p, finding=finding_of(together, p, options.ignore_below),
            gate=_gate(together, options.max_kl, differs=p < LEVEL),
        )  # fmt: skip
    return tuple(columns), together


def _gate(found: ColumnDiff | JointDiff, max_kl: float | None, *, differs: bool) -> Gate | None:
    gate = gate_of(found.forward, max_kl)
    return "cannot tell" if gate == "failed" and not differs else gate


def _size(column: ColumnDiff) -> float:
    value = column.forward.value
    return column.forward.interval[0] if math.isnan(value) else value
