"""Profiles of tables: made, added, written and read."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from kullback.core.errors import InputError, UnsupportedError
from kullback.diff.column import dated, picture_of_counts
from kullback.diff.tables import EMPTY, ROW_NAMES, check_kinds, names, read_table
from kullback.files.atomic import write_atomic
from kullback.measure.samples.cells import of_counts
from kullback.measure.samples.counts import (
    MISSING,
    REST,
    Tallied,
    Tally,
    codes_of,
    of_codes,
    one_of_numbers,
)
from kullback.results.diff import OTHERS, ColumnProfile, Picture, Profile
from kullback.tables.kinds import Column, Kind, names_rows
from kullback.tables.table import Table

Values = Float[np.ndarray, "_n"]
#: Column of a column of numbers, and levels of a column of names, that are kept.
_CELLS, _MOST_LEVELS = 1000, 1000
#: Of too many levels those with fewer rows are not kept: the luckiest of the rare ones would look rarer elsewhere.
_COMMON = 100.0
_FORMAT, _VERSION = "kullback profile", 1
#: A file longer than this is no profile.
_MOST_BYTES = 200_000_000
#: More rows than this are no number of rows.
_MOST_ROWS = 10**15
_KINDS = {"numbers": "numbers", "levels": "names", "dates": "dates"}
_BEGINS = b'{"format": "kullback profile"'


def counted(table: Table, *, columns: Sequence[str] = (), like: Profile | None = None) -> Profile:
    """Returns the counts of a table.

    Args:
        table: read a column at a time.
        columns: those to count; all by default.
        like: count in the cells of this profile, so that both add up exactly.

    Raises:
        InputError: there is no such column, or none that can be counted.
    """
    for name in columns:
        if name not in table.names:
            raise InputError(f"{table.source}: there is no column {name!r}")
    found = []
    for name in columns or table.names:
        try:
            cells = table.read(name)
        except UnsupportedError:
            continue
        if cells.declared == "identifier":
            continue
        known = like.column(name) if like is not None and name in like.names else None
        counts = count_column(name, cells, known)
        if known is not None:
            _check_kinds(known, counts, str(like.source if like is not None else ""), table.source)
        found.append(counts)
    if not found:
        raise InputError(f"{table.source}: there is no column that can be counted")
    return Profile(table.source, table.rows, tuple(found))


def merged(first: Profile, second: Profile) -> Profile:
    """Returns the counts of both together; exact where their cells are the same.

    Where cells differ, they are cut at the edges of both, and the rows of a cell are spread evenly over
    its values.

    Raises:
        InputError: their columns, or the kinds of these, differ.
    """
    if set(first.names) != set(second.names):
        missing = set(first.names) ^ set(second.names)
        raise InputError(f"profiles of different columns: {', '.join(sorted(missing))}")
    columns = []
    for mine in first.columns:
        other = second.column(mine.name)
        _check_kinds(mine, other, first.source, second.source)
        levels = dict(mine.levels)
        for name, count in other.levels.items():
            levels[name] = levels.get(name, 0.0) + count
        edges = np.union1d(mine.edges, other.edges)
        counts = spread(mine, edges) + spread(other, edges)
        kind = other.kind if is_empty(mine) else mine.kind
        columns.append(ColumnProfile(mine.name, kind, levels, edges, counts))
    source = first.source if first.source == second.source else f"{first.source} + {second.source}"
    return Profile(source, first.rows + second.rows, tuple(columns))


def is_empty(column: ColumnProfile) -> bool:
    """Whether a column had no value at all, so that it is of any kind."""
    return not column.counts.size and set(column.levels) <= {MISSING}


def _check_kinds(first: ColumnProfile, second: ColumnProfile, *sources: str) -> None:
    if first.kind != second.kind and not is_empty(first) and not is_empty(second):
        kinds = [_KINDS[c.kind] for c in (first, second)]
        raise InputError(
            f"column {first.name!r} is {kinds[0]} in {sources[0]}, {kinds[1]} in {sources[1]}: "
            "counts of the two cannot be added"
        )


def spread(column: ColumnProfile, edges: Values) -> Values:
    """Returns counts over other cells, that hold all edges of the column's own."""
    if not len(edges):
        return np.zeros(0)
    if not len(column.edges):
        return np.zeros(len(edges))
    own = len(column.edges)
    if np.array_equal(edges[:own], column.edges):
        return np.append(column.counts, np.zeros(len(edges) - own))
    below = np.interp(edges, column.edges, np.cumsum(column.counts), left=0.0)
    # Nothing is known of the values in the first cell but that they are not above its edge.
    below[edges < column.edges[0]] = 0.0
    return np.diff(below, prepend=0.0)


def write_profile(path: str | Path, made: Profile) -> None:
    """Writes a profile as JSON. Raises InputError if it cannot be written; nothing is left behind."""
    body = {
        "format": _FORMAT,
        "version": _VERSION,
        "source": made.source,
        "rows": made.rows,
        "columns": [
            {
                "name": c.name, "kind": c.kind, "levels": c.levels, "edges": c.edges.tolist(),
                "counts": c.counts.tolist(),
            }
            for c in made.columns
        ],
    }  # fmt: skip
    write_atomic(path, json.dumps(body, allow_nan=False) + "\n")


def is_profile(path: str | Path) -> bool:
    """Whether a file begins like a profile."""
    try:
        with Path(path).open("rb") as file:
            return file.read(len(_BEGINS)) == _BEGINS
    except (OSError, ValueError):
        return False


def read_profile(path: str | Path) -> Profile:
    """Returns the profile in a file. Raises InputError if it is none, or damaged."""
    try:
        if Path(path).stat().st_size > _MOST_BYTES:
            raise InputError(f"{path}: it is too big for a profile")
        body = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: this cannot be read: {error.strerror or error}") from None
    except (ValueError, RecursionError):
        raise InputError(f"{path}: this is no profile, or a damaged one") from None
    try:
        return _checked(body, str(path))
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        if isinstance(error, InputError):
            raise
        reason = f"{error} is missing" if isinstance(error, KeyError) else error
        raise InputError(f"{path}: this profile is damaged: {reason}") from None


def _checked(body: dict[str, object], source: str) -> Profile:
    if body.get("format") != _FORMAT:
        raise InputError(f"{source}: this is no profile; kullback profile writes one")
    if body.get("version") != _VERSION:
        raise InputError(
            f"{source}: a profile of version {body.get('version')}, but this is kullback for version {_VERSION}"
        )
    rows = body["rows"]
    if not isinstance(rows, int) or isinstance(rows, bool) or not 1 <= rows <= _MOST_ROWS:
        raise InputError(f"{source}: this profile is damaged: it says that it is of {rows!r} rows")
    columns: list[ColumnProfile] = []
    for given in body["columns"]:  # pyright: ignore[reportGeneralTypeIssues]
        column, fault = _read_column(given, rows)
        if not fault and column.name in [c.name for c in columns]:
            fault = "it is there twice"
        if fault:
            raise InputError(
                f"{source}: this profile is damaged: column {given['name']!r}: {fault}"
            )
        columns.append(column)
    if not columns:
        raise InputError(f"{source}: this profile is damaged: there is no column in it")
    return Profile(str(body["source"]), rows, tuple(columns))


def _read_column(given: dict[str, Any], rows: int) -> tuple[ColumnProfile, str]:
    """Returns a column of a file, and what is wrong with it, "" if nothing is."""
    edges = np.array(given["edges"], dtype=np.float64)
    counts = np.array(given["counts"], dtype=np.float64)
    levels = {str(name): float(count) for name, count in given["levels"].items()}
    numbers = np.concatenate([counts.ravel(), list(levels.values())])
    column = ColumnProfile(str(given["name"]), str(given["kind"]), levels, edges, counts)
    if not isinstance(given["name"], str):
        return column, "its name is no text"
    if column.kind not in _KINDS:
        return column, f"there is no kind {column.kind!r}"
    if edges.shape != counts.shape or edges.ndim != 1:
        return column, "its edges and counts are not as many"
    if column.kind == "levels" and edges.size:
        return column, "it has names and edges"
    if not np.isfinite(edges).all() or (np.diff(edges) <= 0.0).any():
        return column, "its edges are not in order"
    if not np.isfinite(numbers).all() or (numbers < 0.0).any():
        return column, "its counts are no numbers of rows"
    if column.kind != "levels" and not all(_is_number(name) for name in levels):
        return column, f"its levels are not all numbers, but it is {_KINDS[column.kind]}"
    if not math.isclose(column.rows, rows, rel_tol=1e-6):
        return column, f"it counts {column.rows:,g} rows, and the table had {rows:,}"
    return column, ""


def _is_number(name: str) -> bool:
    try:
        return name == MISSING or not math.isnan(float(name))
    except ValueError:
        return False


def count_column(
    name: str, cells: Column, like: ColumnProfile | None, weights: Values | None = None
) -> ColumnProfile:
    """Returns the counts of a column, in the cells of another where they are of one scale."""
    if cells.scale == "levels":
        found = of_codes(cells.values, np.empty(0), cells.labels, weights)
        counts = dict(zip(found.levels, found.tally.p.tolist(), strict=True))
        return ColumnProfile(name, cells.scale, _commonest(counts), np.empty(0), np.empty(0))
    codes, edges = None, None
    if like is not None and like.kind == cells.scale and not is_empty(like):
        codes, edges = codes_of(like.levels), like.edges
    found = one_of_numbers(cells.values, codes, edges, weights, most=_CELLS)
    return ColumnProfile(name, cells.scale, *found)


def _commonest(counts: dict[str, float]) -> dict[str, float]:
    """Returns the counts of the commonest levels; where levels are too many the others are one."""
    if len(counts) <= _MOST_LEVELS:
        return counts
    order = sorted(counts, key=lambda name: -counts[name])[:_MOST_LEVELS]
    kept = {n: counts[n] for n in order if counts[n] >= _COMMON and n != OTHERS}
    return {**kept, OTHERS: math.fsum(c for n, c in counts.items() if n not in kept)}


# Profiles of tables, and what is compared with them.

_BINS = 40


def profile(
    table: object,
    *,
    columns: str | Sequence[str] = (),
    like: Profile | None = None,
    kinds: Mapping[str, Kind] | None = None,
) -> Profile:
    """Returns counts of a table that `diff` takes for its reference: small, without rows, to be added.

    Args:
        table: as in `diff`.
        columns: those to count; all by default.
        like: count in the cells of this profile, so that both add up exactly.
        kinds: of columns that are not what they seem, as in `diff`.

    Raises:
        InputError: it is no table, or has no column that can be counted.

    Example:
        >>> made = profile(np.random.default_rng(0).normal(size=(500, 2)))
        >>> made.names, made.rows
        (('x0', 'x1'), 500)
    """
    if like is not None and not isinstance(like, Profile):
        raise InputError(f"like={like!r}: give a Profile, which profile(table) returns")
    read = read_table(table, "table", "profile", kinds)
    check_kinds(kinds, read)
    return counted(read, columns=names(columns), like=like)


def opened(given: str) -> object:
    """Returns the profile in a file that holds one, else the path as it is."""
    return read_profile(given) if is_profile(given) else given


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
