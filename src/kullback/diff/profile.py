"""Profiles of tables: made, added, written and read."""

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Float

from kullback.core.errors import IdentifierError, InputError, UnsupportedError
from kullback.core.executor import Executor, Workers, check_executor, readable_there
from kullback.core.run import silent
from kullback.diff.column import dated, picture_of_counts
from kullback.diff.tables import (
    EMPTY,
    JOINT_ROWS,
    ROW_NAMES,
    by_name,
    check_kinds,
    names,
    read_table,
)
from kullback.measure.samples.cells import of_counts, rounded_up
from kullback.measure.samples.counts import (
    REST,
    Tallied,
    Tally,
    codes_of,
    of_codes,
    one_of_numbers,
)
from kullback.results.diff import Picture
from kullback.results.profile import (
    MISSING,
    OTHERS,
    ColumnProfile,
    Profile,
    check_kinds_of,
    is_empty,
    spread,
)
from kullback.tables import table as table_module
from kullback.tables.frames import by_column, check_no_names, holds_rows, is_name, of_piece
from kullback.tables.kinds import Column, Kind, names_rows
from kullback.tables.lazy import LazyRows, lazy_rows
from kullback.tables.table import Table

Values = Float[np.ndarray, "_n"]
#: Column of a column of numbers, and levels of a column of names, that are kept.
_CELLS, _MOST_LEVELS = 1000, 1000
#: Of too many levels those with fewer rows are not kept: the luckiest of the rare ones would look rarer elsewhere.
_COMMON = 100.0
#: A name with fewer rows, or a cell, would tell of single rows.
_FEWEST = 10


def counted(table: Table, *, columns: Sequence[str] = (), like: Profile | None = None) -> Profile:
    """Returns the counts of a table.

    Args:
        table: read a column at a time.
        columns: those to count; all by default.
        like: count in the cells of this profile, so that both add up exactly.

    Raises:
        InputError: there is no such column, or none that can be counted.
    """
    if table.account.weighted:
        raise InputError(
            f"{table.source}: it has weights, and a profile counts rows that are alike: diff takes the "
            "tables themselves"
        )
    index = table.account.written_out(table.source)
    table = table if index is None else table.part(index, table.source)
    _check_names(columns, table.names, table.source)
    found = [_counted_one(table, like, name) for name in columns or table.names]
    return _profile_of(found, table.rows, table.source)


def _check_names(columns: Sequence[str], names: Sequence[str], source: str) -> None:
    for name in columns:
        if name not in names:
            raise InputError(f"{source}: there is no column {name!r}")


def _profile_of(columns: Sequence[ColumnProfile | None], rows: int, source: str) -> Profile:
    found = tuple(column for column in columns if column is not None)
    if not found:
        raise InputError(f"{source}: there is no column that can be counted")
    return Profile(source, rows, found)


def _counted_one(table: Table, like: Profile | None, name: str) -> ColumnProfile | None:
    """Returns the counts of a column; None for what cannot be counted."""
    counts = _in_cells(table, like, name)
    return None if counts is None else _without_rows(counts, _known(like, name))


def _known(like: Profile | None, name: str) -> ColumnProfile | None:
    return like.column(name) if like is not None and name in like.names else None


def _in_cells(table: Table, like: Profile | None, name: str) -> ColumnProfile | None:
    """Returns the counts of a column as they are; None for what cannot be counted."""
    try:
        cells = table.read(name)
    except UnsupportedError:
        return None
    if cells.declared == "identifier":
        return None
    known = _known(like, name)
    counts = count_column(name, cells, known, fewest=_FEWEST)
    if known is not None and like is not None:
        check_kinds_of(known, counts, like.source, table.source)
    return counts


# Lazy frames: pieces of the rows are counted in known cells wherever they are, and the counts added.

#: Rows, and counts of each column; None for what cannot be counted.
_Counts = tuple[int, dict[str, ColumnProfile | None]]
#: More different texts are not held: they name rows.
_MOST_TEXTS = 1_000_000


def counted_in_pieces(
    lazy: LazyRows, columns: Sequence[str], like: Profile, kinds: Mapping[str, Kind]
) -> Profile:
    """Returns the counts of a lazy frame, the same as those of its rows in memory.

    Numbers whose cells are not known, and what an engine does not give in pieces, are computed a column at a time.
    """
    wanted = columns or tuple(lazy.types)
    said: dict[str, Kind] = {name: kind for name, kind in kinds.items() if name in wanted}
    there = [name for name in wanted if _countable(lazy, like, said, name)]
    found: dict[str, ColumnProfile | None] = {}
    rows = 0
    count = partial(_count_piece, like, said, lazy.source)
    with suppress(UnsupportedError):
        rows, sums = lazy.summed(there, count, _both) if there else (0, {})
        for name, counts in sums.items():
            texts_of = None if lazy.types[name].is_numeric() else rows
            found[name] = _told(counts, _known(like, name), texts_of)
    if len(found) < len(wanted):
        table = by_column(lazy).declared(said)
        rows = table.rows
        found |= {n: _counted_one(table, like, n) for n in wanted if n not in found}
    for name, kind in said.items():
        if found[name] is None and kind != "identifier":
            by_column(lazy).declared(said).read(name)  # a mistake in what was declared is told
    return _profile_of([found[name] for name in wanted], rows, lazy.source)


def _countable(lazy: LazyRows, like: Profile, kinds: Mapping[str, Kind], name: str) -> bool:
    """Whether pieces of a column can be counted so that they add up: its cells are known, or it has none."""
    known = _known(like, name)
    return (is_name(lazy.types[name]) and name not in kinds) or (
        known is not None and not is_empty(known)
    )


def drawn_from(
    lazy: LazyRows, columns: Sequence[str], kinds: Mapping[str, Kind], key: tuple[int, ...] = (0,)
) -> Table:
    """Returns some rows of a lazy frame, each as likely as any other."""
    wanted = columns or tuple(lazy.types)
    table = of_piece(lazy.drawn(wanted, JOINT_ROWS, key), lazy.source)
    said: dict[str, Kind] = {name: kind for name, kind in kinds.items() if name in wanted}
    return table.declared(said)


def _count_piece(like: Profile, kinds: Mapping[str, Kind], source: str, frame: Any) -> _Counts:
    table = of_piece(frame, source)
    table = table.declared({name: kinds[name] for name in table.names if name in kinds})
    return table.rows, {name: _in_cells(table, like, name) for name in table.names}


def _both(one: _Counts, other: _Counts) -> _Counts:
    return one[0] + other[0], {n: _added(one[1][n], other[1][n]) for n in one[1]}


def _added(one: ColumnProfile | None, other: ColumnProfile | None) -> ColumnProfile | None:
    """Returns the sum of counts in the same known cells, but for what is above them."""
    if one is None or other is None:
        return None
    names = one.levels | other.levels
    if len(names) > _MOST_TEXTS:
        return None
    levels = {n: one.levels.get(n, 0.0) + other.levels.get(n, 0.0) for n in names}
    edges = max(one.edges, other.edges, key=lambda e: (len(e), *e[-1:]))
    counts = np.zeros(len(edges))
    for side in (one, other):
        counts[: len(side.counts)] += side.counts
    kind = other.kind if is_empty(one) else one.kind
    return ColumnProfile(one.name, kind, levels, edges, counts)


def _told(
    counts: ColumnProfile | None, known: ColumnProfile | None, texts_of: int | None
) -> ColumnProfile | None:
    """Returns what is told of the sum; None where so many rows have texts that name them."""
    if counts is not None and counts.kind == "levels" and texts_of is not None:
        try:
            check_no_names(len(counts.levels.keys() - {MISSING}), texts_of)
        except IdentifierError:
            return None
    return None if counts is None else _without_rows(counts, known)


def _counted_there(
    path: str, kinds: Mapping[str, Kind] | None, like: Profile | None, name: str
) -> ColumnProfile | None:
    """The same on a worker, which opens the files for itself."""
    return _counted_one(read_table(path, "table", "profile", kinds), like, name)


def count_column(
    name: str, cells: Column, like: ColumnProfile | None, weights: Values | None = None,
    *, fewest: int = 1,
) -> ColumnProfile:  # fmt: skip
    """Returns the counts of a column, in the cells of another where they are of one scale.

    Args:
        name, cells: the column.
        like: whose cells are used; those of the values themselves by default.
        weights: how many rows each stands for.
        fewest: rows in a cell, and at a number that is a level.
    """
    if cells.scale == "levels":
        found = of_codes(cells.values, np.empty(0), cells.labels, weights)
        counts = dict(zip(found.levels, found.tally.p.tolist(), strict=True))
        return ColumnProfile(name, cells.scale, counts, np.empty(0), np.empty(0))
    codes, edges = None, None
    if like is not None and like.kind == cells.scale and not is_empty(like):
        codes, edges = codes_of(like.levels), like.edges
    found = one_of_numbers(cells.values, codes, edges, weights, most=_CELLS, fewest=fewest)
    return ColumnProfile(name, cells.scale, *found)


def _without_rows(column: ColumnProfile, like: ColumnProfile | None) -> ColumnProfile:
    """Returns counts from which no row can be told: rare names are one level, the top is rounded upwards."""
    if column.kind == "levels":
        known = {} if like is None else like.levels
        return replace(column, levels=_commonest(column.levels, known))
    edges = column.edges
    if not len(edges) or (like is not None and len(edges) == len(like.edges)):
        return column
    below = edges[-2] if len(edges) > 1 else 0.0
    return replace(column, edges=np.append(edges[:-1], rounded_up(below, edges[-1])))


def _commonest(counts: dict[str, float], known: dict[str, float]) -> dict[str, float]:
    """Returns the counts of the commonest levels and of those that are known already; the others are one level."""
    least = _FEWEST if len(counts) <= _MOST_LEVELS else _COMMON
    order = sorted(counts, key=lambda name: (-counts[name], name))[:_MOST_LEVELS]
    named = {n for n in order if counts[n] >= least} | {n for n in known if n in counts} | {MISSING}
    kept = {n: c for n, c in counts.items() if n in named and n != OTHERS}
    others = math.fsum(c for n, c in counts.items() if n not in kept)
    return {**kept, OTHERS: others} if others else kept


# Profiles of tables, and what is compared with them.

_BINS = 40


def profile(
    table: object,
    *,
    columns: str | Sequence[str] = (),
    like: Profile | None = None,
    kinds: Mapping[str, Kind] | None = None,
    executor: Executor | None = None,
) -> Profile:
    """Returns counts of a table that `diff` takes for its reference: small, without rows, to be added.

    Args:
        table: as in `diff`. A lazy frame (Polars, DuckDB, Ibis, Dask, Spark) is never held as a whole: in the cells of
            `like` pieces of it are counted, on the workers of Dask and Spark where they are; else one column at a time
            is computed, and of more than 200 million rows the cells are those of 10,000 rows that are drawn.
        columns: those to count; all by default.
        like: count in the cells of this profile, so that both add up exactly.
        kinds: of columns that are not what they seem, as in `diff`.
        executor: for .parquet files: where columns are counted, one at a time on each worker, as in `fit`. Parts of a
            table are `sum`med without one: executor.map(partial(profile, like=first), parts).

    Raises:
        InputError: it is no table, or has no column that can be counted.
        WorkerError: a worker of the executor ended before its work was done.

    Example:
        >>> made = profile(np.random.default_rng(0).normal(size=(500, 2)))
        >>> made.names, made.rows
        (('x0', 'x1'), 500)
    """
    if like is not None and not isinstance(like, Profile):
        raise InputError(f"like={like!r}: give a Profile, which profile(table) returns")
    check_executor(executor)
    lazy = lazy_rows(table, "table") if holds_rows(table) else None
    if lazy is not None and executor is None:
        check_kinds(by_name(kinds), list(lazy.types))
        _check_names(names(columns), list(lazy.types), lazy.source)
        if like is None and lazy.rows > table_module.MAX_CELLS:
            like = counted(drawn_from(lazy, names(columns), kinds or {}))
        if like is not None:
            return counted_in_pieces(lazy, names(columns), like, kinds or {})
    read = read_table(table if lazy is None else by_column(lazy), "table", "profile", kinds)
    check_kinds(kinds, read.names)
    if executor is None:
        return counted(read, columns=names(columns), like=like)
    there = readable_there(table)
    _check_names(names(columns), read.names, read.source)
    run = partial(_counted_there, there, kinds, like)
    found = Workers(executor, silent).map(run, names(columns) or read.names)
    return _profile_of(list(found), read.rows, read.source)


def type_of(known: ColumnProfile) -> str:
    """Returns the type of a column, as `_pair.type_of` of the cells it was counted from."""
    if is_empty(known):
        return EMPTY
    if known.kind == "levels" and names_rows(len(known.levels), round(known.rows)):
        return ROW_NAMES
    return known.kind


def scale_of(p: ColumnProfile, q: ColumnProfile) -> str:
    """Returns the scale of a column: where one side has no value at all that of the other."""
    return q.kind if is_empty(p) else p.kind


def together(p: ColumnProfile, q: ColumnProfile) -> Tallied:
    """Returns the counts of a column in two profiles; of cells that differ, cut at the edges of both."""
    scale = scale_of(p, q)
    if scale == "levels":
        known = [side.levels for side in (p, q)]
        for other in (p, q):
            if OTHERS in other.levels:
                # Which of the rare levels it has had, it does not know.
                known = [_without_rare(levels, other.levels) for levels in known]
        of_p, of_q = known
        levels = tuple(dict.fromkeys((*of_p, *of_q)))
        counts = [np.array([side.get(name, 0.0) for name in levels]) for side in known]
        return Tallied(Tally(counts[0], counts[1]), levels)
    levels = tuple(dict.fromkeys((*p.levels, *q.levels)))
    of_p, of_q = (np.array([side.levels.get(name, 0.0) for name in levels]) for side in (p, q))
    rest = [float(side.counts.sum()) for side in (p, q)]
    found = Tallied(Tally(of_p, of_q), levels)
    if any(rest):
        cells = None
        if all(rest):
            upper = np.union1d(p.edges, q.edges)
            in_p, in_q = spread(p, upper), spread(q, upper)
            held = (in_p > 0.0) | (in_q > 0.0)
            cells = of_counts(in_p[held], in_q[held], upper[held])
        tally = Tally(np.append(of_p, rest[0]), np.append(of_q, rest[1]), cells)
        found = Tallied(tally, (*levels, REST))
    return dated(found) if scale == "dates" else found


def _without_rare(levels: dict[str, float], known: dict[str, float]) -> dict[str, float]:
    counts: dict[str, float] = {}
    for name, count in levels.items():
        at = name if name in known else OTHERS
        counts[at] = counts.get(at, 0.0) + count
    return counts


def median(known: ColumnProfile) -> float:
    """Returns the value up to which half of the rows of the cells lie."""
    if not len(known.edges):
        return float("nan")
    half = 0.5 * known.counts.sum()
    return float(known.edges[np.searchsorted(np.cumsum(known.counts), half)])


def picture(found: Tallied) -> Picture:
    """Returns bins or levels for drawing, from counts alone."""
    tally = found.tally
    n, m = tally.rows
    if tally.rest is None:
        order = np.sort(np.argsort(-(tally.p / n + tally.q / m), kind="stable")[:20])
        names = tuple(found.levels[i] for i in order)
        return picture_of_counts(np.empty(0), names, tally.p[order], tally.q[order], tally)
    upper, both = tally.rest.upper, np.cumsum(tally.rest.p / n + tally.rest.q / m)
    low, high = np.interp([0.003 * both[-1], 0.997 * both[-1]], both, upper)
    if not high > low:
        low, high = float(upper[0]) - 0.5, float(upper[-1]) + 0.5
    edges = np.linspace(low, high, _BINS + 1)
    of_p, of_q = (
        np.diff(np.interp(edges, upper, np.cumsum(c), left=0.0))
        for c in (tally.rest.p, tally.rest.q)
    )
    return picture_of_counts(edges, (), of_p, of_q, tally)
