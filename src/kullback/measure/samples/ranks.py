"""KL(p||q) of two samples of a line from counts over ordered cells.

The chain rule cuts it in three: KL between parts, from their counts; KL within the parts that q
fills, from a smooth log ratio; KL within the tails and gaps of q, from how q thins out there.
"""

import functools
import math
from dataclasses import dataclass, replace
from typing import final

import numpy as np
from scipy import special

from kullback.measure.samples.cells import (
    FEWEST,
    Counts,
    Ordered,
    Span,
    cut,
    holes,
    is_gap,
    parts_of,
    refined,
    terms,
    variance,
)
from kullback.measure.samples.log_ratio import LogRatio, log_ratio, structure_left

#: Parts for n rows: so many times the cube root of n, not fewer than the second.
_PARTS, _FEWEST_PARTS = 2.0, 6
#: Finer parts are taken where they find more than so many standard deviations of their noise.
_TIMES, _SIGNIFICANT = 5, 2.5
#: A gap of q that has too few rows to be looked into may pay so much more than its counts say.
_HALF = 0.5
#: With more of p than this where q has hardly a row, no interval is promised.
_MOST_UNSEEN = 0.5
#: Tails whose exponent grows at least like this may make the divergence infinite.
_HEAVY = 0.45
#: A tail with a smaller share of p's rows, or not clearly more than q's, is not asked how heavy it is.
_LITTLE, _CLEARLY = 0.002, 2.0
#: An exponent above this is no tail of q but its end.
_STEEP = 8.0
#: How far inwards growth is looked for: to so great a power of q's rows.
_REACH = 2.0 / 3.0
#: Nothing sure is said of more than this share of log m, however p and q look.
_MOST_NATS = 0.5
#: Tails that may pay more than this, and more than so many times what was measured, leave it unresolved.
_MORE, _OF_ALL = 0.3, 3.0
#: So do tails of which a row may pay so many nats, and so many times what a row does in the mean: a gamma law against
#: an inverse Gaussian one 15 to 40 times, t(3) against a normal law 15 to 150, a normal law against one of half its
#: width 5 to 10 (1,000 and 10,000 rows).
_SWING, _TIMES_MEAN = 3.0, 12.0
#: Stretches by which parts are cut at most.
_CUTS = 10
_FINER = "{p} and {q} differ on a finer scale than their rows can measure"
#: Fewer rows than this of either sample leave shapes unseen that no error accounts for.
_FEWEST_ROWS = 100


@final
@dataclass(frozen=True, eq=False)
class OrderedKl:
    """KL(p||q) with what is known of its error.

    Attributes:
        value: in nats; below 0 where chance makes it so.
        error: its standard error.
        upward: what the interval is longer upwards, for tails that q has hardly seen.
        bound, bound_error: KL between the parts alone, which the truth is not below, with its error.
        second: the part of the variance that is left where p = q.
        reason: why no interval can be promised, with {p} and {q} for the names; "" where it can.
        parts: of the cells.
        log_ratios: what a row of p adds in each part.
        shares: of p's rows in each part.
    """

    value: float
    error: float
    upward: float
    bound: float
    bound_error: float
    second: float
    reason: str
    parts: tuple[Span, ...]
    log_ratios: Counts
    shares: Counts


def ordered_kl(cells: Ordered, smooth: LogRatio | None = None) -> OrderedKl:
    """Returns KL(p||q) of two samples of a line.

    Args:
        cells: their counts.
        smooth: the log ratio p/q, if it is known already.
    """
    smooth = log_ratio(cells) if smooth is None else smooth
    fewer = min(cells.p.sum(), cells.q.sum())
    number = max(_FEWEST_PARTS, int(_PARTS * fewer ** (1.0 / 3.0)))
    coarse = parts_of(cells, number)
    best = coarsest = _measured(coarse, cells, smooth)
    times, finest, doubt = _TIMES, coarse, 0.0
    while len(finer := refined(coarse, cells, times)) > len(finest):
        found = _measured(finer, cells, smooth)
        more = max(found.value - best.value, 0.0)
        noise = max(found.second - best.second, 0.1 * found.second)
        if more > _SIGNIFICANT * math.sqrt(noise):
            best, doubt = found, more
        elif best is not coarsest:  # the parts before these had it all
            doubt = 0.0
        elif times == _TIMES:
            doubt = more
        times, finest = times * _TIMES, finer
    # What the finest parts brought, they may not bring in full.
    best = replace(best, upward=best.upward + doubt)
    return best if best.reason else _resolved(best, cells, smooth)


def _resolved(found: OrderedKl, cells: Ordered, smooth: LogRatio) -> OrderedKl:
    """Returns the same with parts cut where a stretch is clearly unlike the rest of its part, as far as q has rows."""
    for _ in range(_CUTS):
        left = structure_left(cells, found.parts, smooth)
        if left is None:
            return found
        if left == "many":
            break
        parts = cut(found.parts, left)
        if any(cells.q[s.start : s.stop].sum() < FEWEST for s in parts if s not in found.parts):
            break
        found = replace(_measured(parts, cells, smooth), upward=found.upward)
        if found.reason:
            return found
    return replace(found, reason=_FINER)


def _measured(parts: list[Span], cells: Ordered, smooth: LogRatio) -> OrderedKl:
    starts = [part.start for part in parts]
    p, q = np.add.reduceat(cells.p, starts), np.add.reduceat(cells.q, starts)
    n = float(p.sum())
    between = terms(p, q)
    within, of_tails, upward = np.zeros(len(parts)), 0.0, 0.0
    thin, growing, ends, doubt, swing = 0.0, [], False, 0.0, 0.0
    for j, part in enumerate(parts):
        run = slice(part.start, part.stop)
        alone = part.stop - part.start == 1
        if part.side == "inner" or alone or p[j] < 2.0 or q[j] < 2.0:
            within[j] = _inside(cells.p[run], cells.q[run], smooth.values[run], n / q.sum())
            if is_gap(p[j] / n, q[j] / q.sum(), float(q[j])):
                upward += float(p[j]) / n * _HALF * float(between[j])
                doubt += float(p[j]) / n * _HALF * float(between[j])
            continue
        outwards = 1 if part.side == "left" else -1
        wide = _around(part, cells)
        rate = growth(*wide)
        found = tail(cells.p[run][::outwards], cells.q[run][::outwards], rate)
        share = float(p[j]) / n
        within[j] = found.value
        of_tails += share * share * found.variance
        upward += share * found.upward
        of_q = float(q[j] / q.sum())
        thin += share * (found.exponent > 1.0 and of_q < 0.5 * share)
        if _outgrows(part, cells):
            growing.append(rate)
            doubt += share * found.upward
            swing = max(swing, found.value + found.upward)
        ends = ends or ends_early(*wide) or (found.exponent > _STEEP and share > _LITTLE)
    value = float(p @ (between + within)) / n
    reason = (
        _reason(parts, cells, thin, growing)
        or _beyond(value, float(q.sum()), ends=ends)
        or _unbounded(cells, value, doubt, swing)
    )
    total, second = variance(p, q, within)
    bound_total, _ = variance(p, q)
    return OrderedKl(
        value,
        math.sqrt(total + of_tails),
        upward,
        float(p @ between) / n,
        math.sqrt(bound_total),
        second,
        reason,
        tuple(parts),
        between + within,
        p / n,
    )


def _outgrows(part: Span, cells: Ordered) -> bool:
    """Whether p has clearly more rows beyond the outermost few of q than q's share makes one expect.

    Where several rows share a value, as counts do, there is no telling.
    """
    outwards = 1 if part.side == "left" else -1
    run = slice(part.start, part.stop)
    p, q = cells.p[run][::outwards], cells.q[run][::outwards]
    if np.count_nonzero(q) < FEWEST - 2:
        return False
    beyond = int(np.searchsorted(np.cumsum(q), FEWEST))
    rows, total = float(p[: beyond + 1].sum()), float(cells.p.sum())
    expected = FEWEST * total / float(cells.q.sum())
    return rows > _LITTLE * total and rows - expected > _CLEARLY * math.sqrt(rows + expected)


def _around(part: Span, cells: Ordered) -> tuple[Counts, Counts]:
    """Returns p and q from the outside inwards, further than the tail itself: growth shows over many rows."""
    reach = float(cells.q.sum()) ** _REACH
    outwards = 1 if part.side == "left" else -1
    run = slice(part.start, part.stop)
    if part.start == 0:
        run = slice(max(int(np.searchsorted(np.cumsum(cells.q), reach)) + 1, part.stop))
    elif part.stop == len(cells.q):
        inner = int(np.searchsorted(np.cumsum(cells.q[::-1]), reach)) + 1
        run = slice(min(max(len(cells.q) - inner, 0), part.start), None)
    return cells.p[run][::outwards], cells.q[run][::outwards]


def _inside(p: Counts, q: Counts, log_ratio: Counts, odds: float) -> float:
    """KL within a part, of the shares of both that a log ratio makes of what the part holds."""
    if len(p) < 2:
        return 0.0
    eta = log_ratio + math.log(odds)
    of_p, of_q = (p + q) * special.expit(eta), (p + q) * special.expit(-eta)
    if not (of_p.sum() > 0.0 and of_q.sum() > 0.0):
        return 0.0
    of_p, of_q = of_p / of_p.sum(), of_q / of_q.sum()
    held = (of_p > 0.0) & (of_q > 0.0)
    return float(of_p[held] @ np.log(of_p[held] / of_q[held]))


# How much a tail pays that q has hardly seen: q's rows there, by their rank among p's.


@final
@dataclass(frozen=True, eq=False)
class Growth:
    """How fast the exponent of a tail may grow: the probability of each rate, given the rows."""

    weights: Counts

    def and_also(self, other: "Growth") -> "Growth":
        """Returns what two tails say together of one rate."""
        prior = np.exp(-0.5 * (_RATES / _PRIOR) ** 2)
        weights = self.weights * other.weights / prior
        return Growth(weights / weights.sum())

    @property
    def mean(self) -> float:
        """The mean rate."""
        return float(self.weights @ _RATES)

    @property
    def high(self) -> float:
        """The rate that the interval reaches up to."""
        level = np.cumsum(self.weights) - 0.5 * self.weights
        return float(np.interp(_QUANTILE, level, _RATES))


def _reason(parts: list[Span], cells: Ordered, thin: float, growing: list[Growth]) -> str:
    fewer = min(cells.p.sum(), cells.q.sum())
    if fewer < _FEWEST_ROWS:
        return f"{fewer:.0f} rows are too few to tell its size: it takes {_FEWEST_ROWS} of each"
    if len(parts) == 1 and len(cells.p) > 1:
        return "{p} and {q} share too few values to compare them"
    if thin > _MOST_UNSEEN:
        return f"{100.0 * thin:.0f} % of {{p}}'s rows lie where {{q}} has hardly any, so nothing limits it from above"
    together = functools.reduce(Growth.and_also, growing) if growing else None
    if together is not None and max(together.mean, *(rate.mean for rate in growing)) > _HEAVY:
        return "the tail of {p} is so much heavier than that of {q} that it may be infinite"
    return ""


def _unbounded(cells: Ordered, value: float, doubt: float, swing: float) -> str:
    """Returns why nothing limits it from above: holes, or tails that may pay more than all that was measured.

    Tails are asked where p has clearly more rows than q: elsewhere the interval is long enough.
    """
    missing = holes(cells)
    if missing:
        return f"{100.0 * missing:.2g} % of {{p}}'s rows lie in holes where {{q}} has none, so it may be infinite"
    if doubt > max(_OF_ALL * value, _MORE) or swing > max(_TIMES_MEAN * value, _SWING):
        return "what {q} has hardly seen of {p} may pay more than all that was measured"
    return ""


def _beyond(value: float, rows_q: float, *, ends: bool) -> str:
    if ends:
        return "{p} goes on where {q} ends, so nothing limits it from above"
    if value > _MOST_NATS * math.log(rows_q):
        return f"{rows_q:,.0f} rows of {{q}} are too few to tell so great a divergence from an infinite one"
    return ""


#: A piece of a tail has so many rows of q.
_PIECE = 3.0
#: Rates of growth g that are weighed, and their standard deviation before the rows are seen.
_RATES = np.linspace(0.0, 0.95, 20)
_PRIOR = 0.4
#: The upper end of the interval is at this quantile of g.
_QUANTILE = 0.93
#: q's row that is the first from the outside, or the fourth, lies too far inwards for one exponent where
#: chance has it there less often than this.
_OUTERMOST, _SELDOM = (1, 4), 0.003


@final
@dataclass(frozen=True)
class TailShare:
    """What a tail pays, given that a row of p is in it.

    Attributes:
        value: KL within the tail for a constant exponent, in nats.
        variance: of it, from the number of rows of q.
        upward: what is added by growing exponents that the rows do not rule out.
        exponent: a; above 1 p's tail is the heavier.
    """

    value: float
    variance: float
    upward: float
    exponent: float


def growth(p: Counts, q: Counts) -> Growth:
    """Returns how fast the exponent of a tail may grow, by its likelihood under a half-normal prior.

    Args:
        p, q: counts over the cells of the tail, from the outside inwards.
    """
    exponents, reach = _exponents(p, q)
    fit = float(q.sum()) * np.log(exponents) + _RATES * reach - 0.5 * (_RATES / _PRIOR) ** 2
    weights = np.exp(fit - fit.max())
    return Growth(weights / weights.sum())


def tail(p: Counts, q: Counts, rate: Growth) -> TailShare:
    """Returns what a tail pays.

    Args:
        p, q: counts over the cells of the tail, from the outside inwards.
        rate: how fast its exponent may grow.
    """
    exponents, _ = _exponents(p, q)
    pays = exponents / (1.0 - _RATES) - np.log(exponents) - _RATES - 1.0
    a = float(exponents[0])
    value = a - 1.0 - math.log(a)
    upward = max(float(np.interp(rate.high, _RATES, pays)), _split(p, q)) - value
    return TailShare(value, (a - 1.0) ** 2 / float(q.sum()), max(upward, 0.0), a)


def _split(p: Counts, q: Counts) -> float:
    """Returns what two pieces of a tail pay, of those that pay most: more than its law says where that is not one law.

    A mode of its own beside the end of the rest is no power of anything.
    """
    beyond = np.column_stack([np.cumsum(p), np.cumsum(q)])[:-1]
    both = beyond[(beyond[:, 1] >= _PIECE) & (q.sum() - beyond[:, 1] >= _PIECE)]
    if not len(both):
        return 0.0
    outer, inner = both, np.array([p.sum(), q.sum()]) - both
    pays = sum(
        side[:, 0]
        * (np.log(np.maximum(side[:, 0], 1.0) / p.sum()) - special.digamma(side[:, 1] + 1.0))
        for side in (outer, inner)
    )
    return float(np.max(pays)) / float(p.sum()) + float(special.digamma(q.sum() + 1.0))


def ends_early(p: Counts, q: Counts) -> bool:
    """Whether p goes on beyond the outermost rows of q as no exponent makes it.

    Args:
        p, q: counts over the cells of the tail, from the outside inwards.
    """
    if min(p.sum(), q.sum()) < _OUTERMOST[-1]:
        return False
    a = float(_exponents(p, q)[0][0])
    beyond, of_q = np.cumsum(p) - p, np.cumsum(q)
    for j in _OUTERMOST:
        at = int(np.searchsorted(of_q, j))
        if at < len(q):
            share = float(beyond[at]) / (float(p.sum()) + 1.0)
            if special.bdtr(j - 1, round(float(of_q[-1])), share**a) < _SELDOM:
                return True
    return False


def _exponents(p: Counts, q: Counts) -> tuple[Counts, float]:
    """Returns the likeliest exponent at each rate, and the sum of L over q's rows."""
    within = np.cumsum(p)
    depth = -np.log((within - 0.5 * p + 0.5) / (within[-1] + 1.0))
    reach = float(q @ depth)
    spread = [reach, *(float(q @ np.expm1(g * depth)) / g for g in _RATES[1:])]
    return max(float(q.sum()) - 1.0, 0.5) / np.array(spread), reach
