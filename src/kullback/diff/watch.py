"""`watch`: tables that come day after day, against a reference, with one level for all of them."""

import functools
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
from jaxtyping import Float, Int

from kullback.core.errors import InputError, KullbackError, UnsupportedError
from kullback.core.run import named
from kullback.diff.column import REVERSE, in_words
from kullback.diff.tables import check_kinds, names, read_table
from kullback.measure.samples.bets import (
    Wealth,
    bets_on,
    grouped,
    groups_of,
    is_start,
    parts_of_values,
    stake,
    wealth,
)
from kullback.measure.samples.cells import cells_of, of_counts, rounded_up, without_float32
from kullback.measure.samples.counts import Tally, tally_kl
from kullback.measure.samples.dependence import copies, lasting
from kullback.measure.samples.estimates import of_tally
from kullback.results.estimate import Estimate
from kullback.results.profile import MISSING, OTHERS, Profile
from kullback.results.quantity import FORWARD_KL
from kullback.results.serialise import in_unit
from kullback.results.watch import (
    LEVEL,
    ColumnWatch,
    Watch,
    WatchedDay,
    WatchedGroups,
    WatchedShare,
)
from kullback.tables.kinds import Column, Kind, declare
from kullback.tables.table import Table

Values = Float[np.ndarray, "_n"]
Cells = Int[np.ndarray, "_l"]
#: Of the reference a quarter makes cells, between so many rows; and no more than half of it.
_FEWEST_ROWS, _LEAST, _MOST = 40, 100, 2000
#: Cells of a column of numbers, named levels; a cell or a name of fewer rows would tell of single ones.
_CELLS, _NAMED, _FEWEST = 32, 30, 10
#: Rows from which on whole numbers may be seen to count them. Shares that are shown.
_KEY, _SHOWN = 20, 5
#: A column of so many rows is read once and kept; a longer one is read twice.
_SMALL = 20_000
_DEPEND = (
    "rows look as if each depended on the one before; the evidence takes them for independent, so an alarm may be "
    "due to that: give rows that are independent, or say order=False if their order means nothing"
)
_COPIED = "copied rows count once: values with all their digits repeat in whole rows"


def watch(
    reference: object,
    *,
    columns: str | Sequence[str] = (),
    kinds: Mapping[str, Kind] | None = None,
    key: int = 0,
) -> Watch:
    """Returns a watch on a reference: `update` it with the rows of each day, and look whenever you like.

    If nothing changes it alarms with a probability of at most 5 %, for all columns and all days together, however
    small the reference and however often one looks: log evidence is that of likelihood ratios of ranks to Pólya's
    urn. It grows at KL(current||reference) a row.

    Args:
        reference: a table, as of `diff`; its rows, and those that come, are independent of each other.
        columns: those to watch; by default all but dates and numbers of rows.
        kinds: of columns that are not what they seem, as of `diff`.
        key: randomness, an int: which rows make cells, and how ties are broken.

    Raises:
        InputError: it is no table, has too few rows, rows that are weighted or depend on each other, or no
            column that can be watched.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> watched = watch(rng.normal(size=(1000, 1))).update(rng.normal(size=(50, 1)))
        >>> watched.alarm, watched.evidence < watched.threshold
        (False, True)
    """
    if isinstance(reference, Profile):
        raise InputError("watch takes the rows of the reference: a profile has none, only counts")
    table = read_table(reference, "reference", "watch", kinds)
    check_kinds(kinds, table.names)
    wanted = names(columns)
    for name in wanted:
        if name not in table.names:
            have = ", ".join(table.names[:12])
            raise InputError(f"{table.source}: there is no column {name!r}; it has {have}")
    table, notes = _independent(table, wanted or table.names)
    if table.rows < _FEWEST_ROWS:
        raise InputError(
            f"{table.source}: {table.rows} rows are too few to watch by: give {_FEWEST_ROWS}, better 1,000"
        )
    cut = np.zeros(table.rows, dtype=bool)
    size = min(max(table.rows // 4, _LEAST), table.rows // 2, _MOST)
    cut[named(key, "watch rows").choice(table.rows, size, replace=False, shuffle=False)] = True
    made, left_out = [], []
    for name in wanted or table.names:
        try:
            column = table.read(name)
            _check_watched(column, asked=name in wanted)
            made.append(_column(name, column, cut, key))
        except UnsupportedError as error:
            left_out.append((name, str(error)))
    if not made:
        why = "; ".join(f"{name}: {reason}" for name, reason in left_out)
        raise InputError(f"{table.source}: there is no column to watch ({why})")
    return Watch(
        table.source, table.rows, tuple(made), left_out=tuple(left_out), notes=notes, key=key
    )


def updated(watched: Watch, current: object, day: str | None = None) -> Watch:
    """Returns a watch with the rows of one day more; arguments as of `Watch.update`."""
    if watched.unit != "nats":
        watched = in_unit(watched, "nats")
    had = [d.name for d in watched.days]
    if day is None:
        free = (f"day {n}" for n in itertools.count(len(had) + 1))
        day = next(name for name in free if name not in had)
    if not isinstance(day, str) or not day:
        raise InputError(f"day={day!r}: give the name of the day, a text")
    if day in had:
        raise InputError(f"{day!r} is in the watch already: a day counts once")
    if isinstance(current, Profile):
        raise InputError("watch takes the rows of each day: a profile has none, only counts")
    table = read_table(current, "current", "watch")
    here = [c.name for c in watched.columns if c.name in table.names]
    if not here:
        raise InputError(
            f"{table.source}: none of the columns that are watched is in it; it has {', '.join(table.names[:12])}"
        )
    table, notes = _independent(table, here)
    days = (*watched.days, WatchedDay(day, table.rows))
    columns, lost = [], []
    for column in watched.columns:
        try:
            rows = _rows_in(_like(table, column), column.kind, column.groups)
        except KullbackError as error:
            lost.append((f"{column.name}, {day}", str(error)))
            rows = np.zeros(_cells(column.kind, column.groups), dtype=np.int64)
        rng = named(watched.key, f"watch ties {column.name}", len(days))
        counts = grouped(rows, column.groups.ends, rng)
        columns.append(_bet(column, counts, days, len(watched.columns)))
    made = replace(
        watched, columns=tuple(columns), days=days, lost=(*watched.lost, *lost),
        notes=tuple(dict.fromkeys((*watched.notes, *notes))),
    )  # fmt: skip
    alarm = bool(lost) or bool(made.differing)
    return replace(made, alarm_day=day) if alarm and not watched.alarm else made


# Rows that are exchangeable.


def _independent(table: Table, columns: Sequence[str]) -> tuple[Table, tuple[str, ...]]:
    """Returns a table whose rows count alike, and what is to be said. Raises InputError where they cannot."""
    rows = table.account
    said = [
        role for role, found in (
            ("weights", rows.weighted), ("cluster", rows.cluster is not None),
            ("order", isinstance(rows.order, np.ndarray)),
        ) if found
    ]  # fmt: skip
    if said:
        raise InputError(
            f"{table.source}: its rows have {' and '.join(said)}=, and watch takes rows that count alike and are "
            "independent: give one row of each cluster, every so-manieth of a chain, or rows drawn by their weight"
        )
    index = rows.written_out(table.source)
    if index is not None:
        return table.part(index, table.source), ()
    notes: tuple[str, ...] = ()
    if table.rows <= _SMALL:
        table = replace(table, read=functools.cache(table.read))
    found, copied = [], False
    for name in columns:
        try:
            column = table.read(name)
        except KullbackError:
            continue
        levels = column.scale == "levels"
        if not notes and lasting([column.values], [levels], rows)[1]:
            notes = (_DEPEND,)
        known = column.values[np.isfinite(column.values)]
        copied = copied or (column.scale == "numbers" and copies(known, np.empty(0))[0] > 1.0)
        found.append(name)
    if not copied:
        return table, notes
    same = np.zeros(table.rows, dtype=np.int64)
    for name in found:
        codes = np.unique(table.read(name).values, return_inverse=True)[1].reshape(-1)
        same = np.unique(same * (codes.max() + 1) + codes, return_inverse=True)[1].reshape(-1)
    first = np.unique(same, return_index=True)[1]
    if len(first) == table.rows:
        return table, notes
    return table.part(np.sort(first), table.source), (*notes, _COPIED)


def _check_watched(column: Column, *, asked: bool) -> None:
    """Raises UnsupportedError for a column that says nothing of a law, or changes in any case."""
    if column.kind == "empty":
        raise UnsupportedError("no value in the reference")
    if column.kind == "identifier":
        raise UnsupportedError("an identifier: it names rows")
    if asked:
        return
    if column.scale == "dates":
        raise UnsupportedError("dates go on with the days; name it in columns= to watch it")
    if column.scale == "numbers" and _counts_rows(column.values[~np.isnan(column.values)]):
        raise UnsupportedError(
            "whole numbers, all different and in order, are numbers of rows; name it in columns= to watch it"
        )


def _counts_rows(known: Values) -> bool:
    """Whether numbers go on with the rows: whole, all different, and in the order of the rows or without gaps."""
    if len(known) < _KEY or (known != np.floor(known)).any() or np.ptp(known) <= 0.0:
        return False
    steps = np.diff(known)
    dense = np.ptp(known) < 2.0 * len(known) and len(np.unique(known)) == len(known)
    return bool((steps > 0.0).all() or (steps < 0.0).all() or dense)


# Cells, which one part of the reference makes, and groups, which ranks of the other part end.


def _column(name: str, column: Column, cut: np.ndarray, key: int) -> ColumnWatch:
    """Returns what is kept of a column; `cut` says which rows make its cells."""
    edges, levels = np.empty(0), ()
    made, counted = column.take(np.flatnonzero(cut)), column.take(np.flatnonzero(~cut))
    if column.scale == "levels":
        levels = _levels(made)
    else:
        edges = _edges(without_float32(made.values))
    said: Kind | Literal[""] = column.declared or ""
    empty = np.empty(0)
    groups = WatchedGroups(
        edges, levels, (), np.empty(0, np.int64), empty, empty, 0, np.zeros((0, 0), np.int64), said
    )
    shares = _rows_in(made, column.scale, groups).astype(np.float64)
    if column.scale != "levels":
        # Beyond the rows that made the cells there are some of the others, too.
        shares[[0, len(shares) - 2]] += 0.5
    rows = _rows_in(counted, column.scale, groups)
    gaps, ends, cells = groups_of(shares, rows, named(key, f"watch ends {name}"))
    starts = (0, *(c + 1 for c in cells[:-1]))
    last = len(shares)
    spans = zip(starts, (*starts[1:], last), strict=True)
    words = _words(groups, column.scale, shares)
    said_of = tuple(words(a, b) for a, b in spans)
    values = 0 if column.scale == "levels" else len(gaps) - 1
    groups = replace(
        groups, names=said_of, first=np.array(starts), ends=ends, gaps=gaps, values=values,
        counts=np.zeros((0, len(gaps)), np.int64),
    )  # fmt: skip
    return ColumnWatch(name, column.scale, "no evidence", None, "", None, (), np.empty(0), groups)


def _edges(values: Values) -> Values:
    """Returns where cells of numbers end: between values, the outermost beyond them, all rounded."""
    x = np.sort(values[np.isfinite(values)])
    if not len(x):
        return x
    inner = cells_of(x, _CELLS, _FEWEST)[:-1]
    first, last = (inner[0], inner[-1]) if len(inner) else (x[-1], x[0])
    low, high = -rounded_up(-float(first), -float(x[0])), rounded_up(float(last), float(x[-1]))
    return np.concatenate([[low], inner, [high]])


def _levels(column: Column) -> tuple[str, ...]:
    """Returns the names that are common, the commonest first, and last of the others what does not occur."""
    known = column.values[~np.isnan(column.values)].astype(np.int64)
    counts = np.bincount(known, minlength=len(column.labels))
    order = np.argsort(-counts, kind="stable")[:_NAMED]
    common = [_quoted(column.labels[i]) for i in order.tolist() if counts[i] >= _FEWEST]
    rare = len(known) > counts[order][counts[order] >= _FEWEST].sum()
    missing = len(known) < len(column.values)
    last = (MISSING, OTHERS) if missing and not rare else (OTHERS, MISSING)
    return (*common, *last)


def _quoted(label: str) -> str:
    """The text "missing" is not what is called so where a value is missing."""
    return repr(label) if label in (MISSING, OTHERS) else label


def _cells(scale: str, groups: WatchedGroups) -> int:
    return len(groups.levels) if scale == "levels" else len(groups.edges) + 2


def _rows_in(column: Column, scale: str, groups: WatchedGroups) -> Cells:
    """Returns how many rows are in each cell; of numbers below the first, up to each, above the last, missing."""
    missing = np.isnan(column.values)
    size = _cells(scale, groups)
    if scale == "levels":
        place = {name: i for i, name in enumerate(groups.levels)}
        others = place[OTHERS]
        of = np.array(
            [place.get(_quoted(label), others) for label in column.labels], dtype=np.int64
        )
        cells = of[column.values[~missing].astype(np.int64)] if len(of) else np.empty(0, np.int64)
        counts = np.bincount(cells, minlength=size)
        counts[place[MISSING]] += int(missing.sum())
        return counts
    known = without_float32(column.values)[~missing]
    cells = np.searchsorted(groups.edges, known, side="left")
    if len(groups.edges):
        cells[known == groups.edges[0]] = 1
    return np.append(np.bincount(cells, minlength=size - 1), int(missing.sum()))


def _words(groups: WatchedGroups, scale: str, shares: Values) -> Callable[[int, int], str]:
    """Returns what writes cells, from one to before another, in words."""
    if scale == "levels":
        # Others of which the reference has none are new where they come.
        new = {
            n: "new levels"
            for n, s in zip(groups.levels, shares, strict=True)
            if n == OTHERS and not s
        }
        return lambda a, b: " or ".join(new.get(n, n) for n in groups.levels[a:b])
    ends = [in_words(float(e), scale) for e in groups.edges]

    def written(first: int, stop: int) -> str:
        if first > len(ends):
            # Above the last row of a reference that lacks none are both.
            return MISSING if shares[-1] > 0.0 or not ends else f"{MISSING} or above {ends[-1]}"
        if not ends:
            return "values"
        if stop == 1:
            return f"values below {ends[0]}"
        if stop > len(ends):
            return f"values above {ends[first - 1]}"
        low, high = ends[first - 1] if first else "", ends[stop - 1]
        return high if low == high else f"{low} to {high}" if low else f"up to {high}"

    return written


def _like(table: Table, known: ColumnWatch) -> Column:
    """Returns a column as the reference had it. Raises UnsupportedError or InputError where it is another."""
    if known.name not in table.names:
        raise UnsupportedError("missing in current")
    column = table.read(known.name)
    said = known.groups.declared
    if said and column.declared != said and column.kind != "empty":
        column = declare(column, said, known.name, table.source, table.place)  # pyright: ignore[reportArgumentType]
    if column.kind == "empty":
        return replace(column, scale=known.kind, labels=())
    if column.scale != known.kind:
        words = {"levels": "names"}
        raise UnsupportedError(
            f"{words.get(known.kind, known.kind)} in reference, {words.get(column.scale, column.scale)} in current"
        )
    return column


# What the bets make of a day.


def _bet(
    column: ColumnWatch, rows: Cells, days: tuple[WatchedDay, ...], columns: int
) -> ColumnWatch:
    """Returns a column with the rows of one day more, in groups."""
    day = len(days) - 1
    counts = column.groups.counts.copy()
    if is_start(day):
        counts = np.vstack([counts, rows])
    else:
        counts[-1] += rows
    groups = replace(column.groups, counts=counts)
    starts = [d for d in range(len(days)) if is_start(d)]
    bets = bets_on(groups.gaps, groups.values, groups.names)
    found = wealth(groups.gaps, counts, np.array([stake(d) for d in starts]), bets)
    best = max(column.highest, found.log_value)
    history = np.append(column.history, found.log_value)
    made = replace(column, groups=groups, history=history)
    if best < math.log(columns / LEVEL):
        return made
    made = replace(made, finding="differs")
    if column.finding == "differs" and found.log_value < best:
        return made
    since = int(np.argmax(found.by_start))
    came = counts[since:].sum(axis=0).astype(np.float64)
    return replace(
        made, since=days[starts[since]].name, change=_change(found, bets.names),
        divergence=_divergence(groups, came), shares=_shares(groups, column.kind, came),
    )  # fmt: skip


def _change(found: Wealth, bets: tuple[str, ...]) -> str:
    """Returns the bet that won most."""
    won: dict[str, float] = {}
    for name, share in zip(bets, found.by_bet.tolist(), strict=True):
        won[name] = won.get(name, 0.0) + share
    return max(won, key=lambda name: won[name])


def _divergence(groups: WatchedGroups, came: Values) -> Estimate:
    """Returns what KL(current||reference) is at least, by groups."""
    reference = groups.gaps - np.append(np.zeros(len(groups.gaps) - 1), 1.0)
    v = groups.values
    tally, some = Tally(came, reference), np.flatnonzero(came[:v] + reference[:v])
    if came[:v].sum() > 0.0:
        p, q = np.append(came[v:], came[:v].sum()), np.append(reference[v:], reference[:v].sum())
        held = p + q > 0.0
        tally = Tally(p[held], q[held], of_counts(came[some], reference[some]))
    n = int(came.sum() + reference.sum())
    found = of_tally(tally_kl(tally), REVERSE, n)
    if found.kind != "estimate":
        return found
    notes = ("of groups of values, of which KL is at most that of the values",)
    return Estimate.bounded(
        max(found.interval[0], 0.0), found.standard_error, FORWARD_KL.called(REVERSE), method=found.method,
        n=n, notes=(*found.notes, *notes),
    )  # fmt: skip


def _shares(groups: WatchedGroups, scale: str, came: Values) -> tuple[WatchedShare, ...]:
    """Returns the groups whose shares tell most; of ordered values a few that are joined."""
    part = parts_of_values(len(came), groups.values)
    first = np.searchsorted(part, np.arange(part[-1] + 1))
    before, now = (np.add.reduceat(x, first) / x.sum() for x in (groups.gaps, came))
    words = _words(groups, scale, np.ones(_cells(scale, groups)))
    stops = np.append(groups.first[1:], _cells(scale, groups))
    joined = [
        groups.names[a] if b == a + 1 else words(int(groups.first[a]), int(stops[b - 1]))
        for a, b in zip(first, [*first[1:], len(came)], strict=True)
    ]
    with np.errstate(divide="ignore", invalid="ignore"):
        telling = np.where(now > 0.0, now * np.log(now / before), 0.0) + before - now
    order = np.argsort(-telling, kind="stable")[:_SHOWN].tolist()
    return tuple(WatchedShare(joined[i], float(before[i]), float(now[i])) for i in order)
