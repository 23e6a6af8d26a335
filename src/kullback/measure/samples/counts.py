"""The values of one column of two tables, as levels and ordered cells."""

import math
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float
from scipy import special

from kullback.measure.samples.cells import (
    MOST_CELLS,
    Ordered,
    cells_of,
    counted,
    in_order,
    ordered,
    shares,
    variance,
    without_float32,
)
from kullback.measure.samples.cells import terms as cells_terms
from kullback.measure.samples.cells import unseen as cells_unseen
from kullback.measure.samples.log_ratio import LogRatio
from kullback.measure.samples.ranks import OrderedKl, ordered_kl
from kullback.measure.samples.tests import Certificate, certified, halves, of_levels, of_order
from kullback.results.profile import MISSING

Values = Float[np.ndarray, "_n"]
#: Up to so many different values each is a level.
_FEW = 12
#: A value is a level of its own with this share of the rows of a sample, if so many times more frequent
#: than its neighbours are.
_SHARE, _TIMES = 0.01, 4.0
REST = "other values"


# One column of two tables as counts: of levels, and of the ordered values that are none of them.

Levels = Float[np.ndarray, "_s"]


@final
@dataclass(frozen=True, eq=False)
class Tally:
    """What is counted of a column.

    Attributes:
        p, q: rows at each level.
        rest: the counts over ordered cells of the rows at the last level, "any other value"; None where
            every value is a level.
    """

    p: Levels
    q: Levels
    rest: Ordered | None = None

    @property
    def swapped(self) -> "Tally":
        """The same with p and q exchanged."""
        return Tally(self.q, self.p, None if self.rest is None else self.rest.swapped)

    @property
    def rows(self) -> tuple[float, float]:
        """Rows of p and of q."""
        return float(self.p.sum()), float(self.q.sum())


@final
@dataclass(frozen=True, eq=False)
class Tallied:
    """A column's counts with the names of its levels.

    Attributes:
        tally: the counts.
        levels: a name for each; the last is REST where values are ordered.
    """

    tally: Tally
    levels: tuple[str, ...]


def of_numbers(
    x: Values, y: Values, x_weights: Values | None = None, y_weights: Values | None = None,
    *, most: int = MOST_CELLS,
) -> Tallied:  # fmt: skip
    """Returns the counts of a column of numbers; NaN is the level "missing", infinities are levels too.

    Values that repeat far more often than those around them are levels: the zeros of an amount, say.
    Where there are few values, all are.

    Args:
        x, y: the column in both tables.
        x_weights, y_weights: how many rows each stands for.
        most: about how many cells the ordered values get.
    """
    x, y = without_float32(x), without_float32(y)
    marks = _special(x, y)
    atoms = _atoms(x[np.isfinite(x)], y[np.isfinite(y)])
    names = [*(_name(mark) for mark in marks), *(_written(a) for a in atoms)]
    codes = np.concatenate([marks, atoms])
    p, x_rest = _split(x, codes, x_weights)
    q, y_rest = _split(y, codes, y_weights)
    if not (x_rest.any() or y_rest.any()):
        return Tallied(Tally(p, q), tuple(names))
    rest_p, rest_q = _total(x_rest, x_weights), _total(y_rest, y_weights)
    cells = None
    if rest_p > 0.0 and rest_q > 0.0:
        cells = ordered(
            x[x_rest], y[y_rest],
            None if x_weights is None else x_weights[x_rest],
            None if y_weights is None else y_weights[y_rest],
            most=most,
        )  # fmt: skip
    tally = Tally(np.append(p, rest_p), np.append(q, rest_q), cells)
    return Tallied(tally, (*names, REST))


def of_codes(
    x: Values, y: Values, labels: tuple[str, ...], x_weights: Values | None = None,
    y_weights: Values | None = None,
) -> Tallied:  # fmt: skip
    """Returns the counts of a column of codes 0, 1, ... of labels; NaN is the level "missing"."""
    missing = bool(np.isnan(x).any() or np.isnan(y).any())
    k = len(labels)

    def counted(values: Values, weights: Values | None) -> Values:
        codes = np.where(np.isnan(values), k, values).astype(np.int64)
        return np.bincount(codes, weights, minlength=k + 1).astype(np.float64)

    p, q = counted(x, x_weights), counted(y, y_weights)
    held = (p > 0.0) | (q > 0.0)
    # The text "missing" is not what is called so where a value is missing.
    labels = tuple(repr(label) if label == MISSING else label for label in labels)
    names = (*labels, MISSING) if missing else labels
    kept = np.flatnonzero(held[: len(names)])
    return Tallied(Tally(p[kept], q[kept]), tuple(names[i] for i in kept))


def one_of_numbers(
    values: Values,
    codes: Values | None = None,
    edges: Values | None = None,
    weights: Values | None = None,
    *,
    most: int = MOST_CELLS,
    fewest: int = 1,
) -> tuple[dict[str, float], Values, Values]:
    """Returns counts of one column of numbers: those of levels by name, the edges of cells, and theirs.

    Args:
        values: NaN where one is missing.
        codes: the values that are levels; those that stand out by default.
        edges: of the cells; evenly spaced in rank by default. One more is added for what is above them.
        weights: how many rows each value stands for.
        most: about how many cells at most.
        fewest: rows of a level and of a cell, at least.
    """
    nothing = np.empty(0)
    if codes is None:
        codes = np.concatenate(
            [_special(values, nothing), _atoms(values[np.isfinite(values)], nothing, fewest)]
        )
    else:
        codes = np.concatenate([_special(values, nothing), codes[np.isfinite(codes)]])
    counts, rest = _split(values, codes, weights)
    names = [_name(c) if not np.isfinite(c) else _written(c) for c in codes]
    inside, total = in_order(values[rest], None if weights is None else weights[rest])
    if not len(inside):
        return dict(zip(names, counts.tolist(), strict=True)), nothing, nothing
    edges = cells_of(inside, most, fewest) if edges is None else edges
    if not len(edges) or inside[-1] > edges[-1]:
        edges = np.append(edges, inside[-1])
    return dict(zip(names, counts.tolist(), strict=True)), edges, counted(inside, total, edges)


def codes_of(levels: dict[str, float]) -> Values:
    """Returns the numbers that the names of levels of a column of numbers stand for."""
    return np.array([np.nan if name == MISSING else float(name) for name in levels])


def _special(x: Values, y: Values) -> Values:
    """Returns NaN and the infinities, as far as they occur."""
    marks = ((np.nan, np.isnan), (-np.inf, np.isneginf), (np.inf, np.isposinf))
    return np.array([mark for mark, found in marks if found(x).any() or found(y).any()])


def _name(mark: float) -> str:
    return MISSING if np.isnan(mark) else f"{mark}"


def _written(value: float) -> str:
    whole = value == np.floor(value) and abs(value) < 1e15
    return f"{value + 0.0:.0f}" if whole else repr(float(value))  # -0 is 0


def _atoms(x: Values, y: Values, fewest: int = 1) -> Values:
    """Returns the values that stand out by how often they occur; all where there are few."""
    (of_x, in_x), (of_y, in_y) = (np.unique(v, return_counts=True) for v in (x, y))
    (of_x, in_x), (of_y, in_y) = (
        (v[n >= fewest], n[n >= fewest]) for v, n in ((of_x, in_x), (of_y, in_y))
    )
    if max(len(of_x), len(of_y)) <= _FEW:
        both = np.union1d(of_x, of_y)
        if len(both) <= _FEW and len(both) < 0.5 * max(len(x), len(y)):
            return both
    return np.union1d(_standing_out(of_x, in_x), _standing_out(of_y, in_y))


def _standing_out(values: Values, counts: np.ndarray) -> Values:
    if not len(values):
        return values
    frequent = np.flatnonzero(counts >= max(_SHARE * counts.sum(), 5.0))
    # The median count of the eight nearest values; a lone value among singles stands out.
    around = [
        np.median(np.delete(counts[max(i - 4, 0) : i + 5], min(i, 4))) if len(counts) > 1 else 0.0
        for i in frequent
    ]
    return values[frequent[counts[frequent] >= _TIMES * np.array(around)]]


def _split(values: Values, codes: Values, weights: Values | None) -> tuple[Values, np.ndarray]:
    """Returns how often each code occurs, and which rows hold none of them."""
    rest = np.ones(len(values), dtype=bool)
    counts = []
    for code in codes:
        here = np.isnan(values) if np.isnan(code) else values == code
        counts.append(_total(here, weights))
        rest &= ~here
    return np.array(counts, dtype=np.float64), rest


def _total(rows: np.ndarray, weights: Values | None) -> float:
    return float(np.count_nonzero(rows)) if weights is None else float(weights[rows].sum())


#: With more of p than this at levels that q has not, the estimate is too low by more than it says.
_MOST_UNSEEN = 0.15
#: At a level that q has not, the mean of -log q, q's rows being Gamma(1/2) (Jeffreys), is above what is estimated by
#: psi(1) - psi(1/2) = 2 log 2.
_UNSEEN_MORE = 2.0 * math.log(2.0)
#: Cornish and Fisher: a quantile at z deviates lies so many times the skewness further, z = 1.96.
_SKEWED = (1.96**2 - 1.0) / 6.0
#: A level is absent from q, not unlucky, where p's share of it makes one expect so many rows; with so
#: great a share of p there, nothing limits the divergence from above. Up to so many rows q nearly lacks it.
_ABSENT, _ABSENT_MASS, _NEARLY = 10.0, 0.01, 3.0


@final
@dataclass(frozen=True, eq=False)
class TallyKl:
    """KL(p||q) of a column, in nats.

    Attributes:
        value, error, upward, reason: as of OrderedKl.
        bound, bound_error: what the divergence is at least, with its error.
        unseen: p's mass at levels that q has not.
        log_ratios: what a row of p adds at each level; at the last, the mean over its rows.
        rest: of the ordered values.
    """

    value: float
    error: float
    upward: float
    bound: float
    bound_error: float
    reason: str
    unseen: float
    log_ratios: Levels
    rest: OrderedKl | None


def tally_kl(tally: Tally, smooth: LogRatio | None = None) -> TallyKl:
    """Returns KL(p||q) of a column by the chain rule: between levels, and within the rest.

    Args:
        tally: its counts.
        smooth: the log ratio p/q of the rest, where it is known already.
    """
    rest = None
    if tally.rest is not None and min(tally.rest.p.sum(), tally.rest.q.sum()) > 0.0:
        rest = ordered_kl(tally.rest, smooth)
    if len(tally.p) == 1 and rest is not None:
        return _only(rest)
    n, terms = float(tally.p.sum()), cells_terms(tally.p, tally.q)
    within = np.zeros(len(terms))
    share = float(tally.p[-1]) / n if rest is not None else 0.0
    within[-1] = rest.value if rest is not None else 0.0
    unseen = cells_unseen(tally.p, tally.q)
    error = math.sqrt(variance(tally.p, tally.q, within)[0])
    upward = _UNSEEN_MORE * unseen + _rarely_seen(tally, error)
    bound, bound_error = (
        float(tally.p @ terms) / n,
        math.sqrt(variance(tally.p, tally.q)[0]),
    )
    if rest is not None:
        error, upward = math.hypot(error, share * rest.error), upward + share * rest.upward
        bound, bound_error = (
            bound + share * rest.bound, math.hypot(bound_error, share * rest.bound_error)
        )  # fmt: skip
    value = float(tally.p @ (terms + within)) / n
    reason = _reason(tally, unseen, share, rest)
    return TallyKl(value, error, upward, bound, bound_error, reason, unseen, terms + within, rest)


def p_value(tally: Tally) -> float:
    """Returns how likely two samples of one distribution differ as much, in levels or in the order of the rest."""
    found = []
    if len(tally.p) > 1:
        found.append(of_levels(tally.p, tally.q))
    if tally.rest is not None and min(tally.rest.p.sum(), tally.rest.q.sum()) > 0.0:
        found.append(of_order(tally.rest))
    return min(1.0, len(found) * min(found)) if found else 1.0


def certificate(tally: Tally, rng: np.random.Generator) -> Certificate:
    """Returns what KL(p||q) is at least, without assumptions; rows must be whole and independent."""
    p, q = _flat(tally)
    chosen_p, counted_p = halves(p, rng)
    chosen_q, counted_q = halves(q, rng)
    if not (chosen_p.sum() and chosen_q.sum() and counted_p.sum() and counted_q.sum()):
        return Certificate(0.0, 0.0, 1.0)
    return certified(chosen_p, chosen_q, counted_p, counted_q)


def _flat(tally: Tally) -> tuple[Levels, Levels]:
    """Returns the counts of levels and of about fifty runs of cells, which the ordered rest falls into."""
    if tally.rest is None:
        return tally.p, tally.q
    which = np.minimum((tally.rest.position * 50).astype(int), 49)
    starts = np.unique(np.searchsorted(which, np.arange(50)))
    starts = starts[starts < len(which)]
    p, q = np.add.reduceat(tally.rest.p, starts), np.add.reduceat(tally.rest.q, starts)
    return np.concatenate([tally.p[:-1], p]), np.concatenate([tally.q[:-1], q])


def _rarely_seen(tally: Tally, error: float) -> float:
    """Returns what the interval is longer upwards for the skewness of log q at levels where q has few rows.

    Given its count y, q's share of a level is about Gamma(y + 1/2): -log of it has third cumulant -psi''(y + 1/2).
    """
    third = float(shares(tally.p) ** 3 @ -special.polygamma(2, tally.q + 0.5))
    return _SKEWED * third / error**2 if error > 0.0 else 0.0


def _only(rest: OrderedKl) -> TallyKl:
    return TallyKl(
        rest.value, rest.error, rest.upward, rest.bound, rest.bound_error, rest.reason, 0.0,
        np.array([rest.value]), rest,
    )  # fmt: skip


def _reason(tally: Tally, unseen: float, share: float, rest: OrderedKl | None) -> str:
    n, m = tally.rows
    expected = tally.p * m / n >= _ABSENT
    absent = (tally.q <= 0.0) & expected
    mass = float(tally.p[absent].sum()) / n
    # Where as many rows are at levels that q nearly lacks, levels are rare by degrees, and none is missing.
    nearly = (tally.q > 0.0) & (tally.q <= _NEARLY) & expected
    if mass > max(_ABSENT_MASS, float(tally.p[nearly].sum()) / n):
        levels = int(absent.sum())
        return f"{100.0 * mass:.3g} % of {{p}}'s rows are at {levels} level(s) that {{q}} has not: it may be infinite"
    if unseen > _MOST_UNSEEN:
        return f"{100.0 * unseen:.0f} % of {{p}}'s rows are at levels of which {{q}} has no row"
    if rest is not None and rest.reason and share * max(abs(rest.value), 0.1) > 0.01:
        return rest.reason
    return ""
