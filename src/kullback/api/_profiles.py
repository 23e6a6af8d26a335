"""Profiles of tables, and what is compared with them."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from kullback._core.errors import InputError
from kullback._core.tables import IDENTIFIER, CellKind, Cells
from kullback.api import _asked, _pair
from kullback.api._tables import table_of
from kullback.estimators import _column
from kullback.estimators._column import Tallied
from kullback.io import _profiles
from kullback.io._profiles import is_empty
from kullback.results._diff import Picture
from kullback.results._profile import OTHERS, ColumnProfile, Profile

Values = Float[np.ndarray, "_n"]
_BINS = 40


def profile(
    table: object, *, columns: str | Sequence[str] = (), like: Profile | None = None
) -> Profile:
    """Returns counts of a table that `diff` takes for its reference: small, without rows, to be added.

    Args:
        table: as in `diff`.
        columns: those to count; all by default.
        like: count in the cells of this profile, so that both add up exactly.

    Raises:
        InputError: it is no table, or has no column that can be counted.

    Example:
        >>> made = profile(np.random.default_rng(0).normal(size=(500, 2)))
        >>> made.names, made.rows
        (('x0', 'x1'), 500)
    """
    if like is not None and not isinstance(like, Profile):
        raise InputError(f"like={like!r}: give a Profile, which profile(table) returns")
    return _profiles.profile(table_of(table, "table"), columns=_asked.names(columns), like=like)


def opened(given: str) -> object:
    """Returns the profile in a file that holds one, else the path as it is."""
    return _profiles.read_profile(given) if _profiles.is_profile(given) else given


def type_of(known: ColumnProfile) -> str:
    """Returns the type of a column, as `_pair.type_of` of the cells it was counted from."""
    if is_empty(known):
        return _pair.EMPTY
    if known.kind == "levels" and len(known.levels) > IDENTIFIER * known.rows:
        return _pair.ROW_NAMES
    return known.kind


def kind_of(known: ColumnProfile, cells: Cells) -> CellKind:
    """Returns the kind of a column of which one side has no value at all: that of the other."""
    return cells.kind if is_empty(known) else known.kind  # pyright: ignore[reportReturnType]


def tallied(known: ColumnProfile, cells: Cells, weights: Values | None) -> Tallied:
    """Returns the counts of a column of a profile and of the other table."""
    if cells.kind != "levels":
        return _column.against(known.levels, known.edges, known.counts, cells.values, weights)
    other = _column.of_codes(cells.values, np.empty(0), cells.labels, weights)
    counts: dict[str, float] = {}
    for name, count in zip(other.levels, other.tally.p.tolist(), strict=True):
        # Which of the rare levels the profile has had, it does not know.
        at = name if OTHERS not in known.levels or name in known.levels else OTHERS
        counts[at] = counts.get(at, 0.0) + count
    names = tuple(dict.fromkeys((*known.levels, *counts)))
    p = np.array([known.levels.get(name, 0.0) for name in names])
    q = np.array([counts.get(name, 0.0) for name in names])
    return Tallied(_column.Tally(p, q), names)


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
        return _drawn(np.empty(0), names, tally.p[order], tally.q[order], n, m)
    upper, both = tally.rest.upper, np.cumsum(tally.rest.p / n + tally.rest.q / m)
    low, high = np.interp([0.003 * both[-1], 0.997 * both[-1]], both, upper)
    if not high > low:
        low, high = float(upper[0]) - 0.5, float(upper[-1]) + 0.5
    edges = np.linspace(low, high, _BINS + 1)
    of_p, of_q = (
        np.diff(np.interp(edges, upper, np.cumsum(c), left=0.0))
        for c in (tally.rest.p, tally.rest.q)
    )
    return _drawn(edges, (), of_p, of_q, n, m)


def _drawn(
    edges: Values, names: tuple[str, ...], p: Values, q: Values, n: float, m: float
) -> Picture:
    of_p, of_q = (p + 0.5) / (n + 0.5 * len(p)), (q + 0.5) / (m + 0.5 * len(q))
    return Picture(edges, names, p / n, q / m, of_p * np.log(of_p / of_q))
