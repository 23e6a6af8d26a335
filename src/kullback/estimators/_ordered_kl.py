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

from kullback.estimators import _counts
from kullback.estimators._log_ratio import LogRatio, log_ratio
from kullback.estimators._ordered import Counts, Ordered
from kullback.estimators._partition import FEWEST, Part, is_gap, parts_of, refined
from kullback.estimators._tail import Growth, ends_early, growth, tail

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
    parts: tuple[Part, ...]
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
    first = _measured(coarse, cells, smooth)
    finer = refined(coarse, cells, _TIMES)
    if len(finer) == len(coarse):
        return first
    second = _measured(finer, cells, smooth)
    more = second.value - first.value
    noise = max(second.second - first.second, 0.1 * second.second)
    if more > _SIGNIFICANT * math.sqrt(noise):
        return second
    return replace(first, upward=first.upward + max(more, 0.0))


def _measured(parts: list[Part], cells: Ordered, smooth: LogRatio) -> OrderedKl:
    starts = [part.start for part in parts]
    p, q = np.add.reduceat(cells.p, starts), np.add.reduceat(cells.q, starts)
    n = float(p.sum())
    between = _counts.terms(p, q)
    within, of_tails, upward = np.zeros(len(parts)), 0.0, 0.0
    thin, growing, ends = 0.0, [], False
    for j, part in enumerate(parts):
        run = slice(part.start, part.stop)
        alone = part.stop - part.start == 1
        if part.side == "inner" or alone or p[j] < 2.0 or q[j] < 2.0:
            within[j] = _inside(cells.p[run], cells.q[run], smooth.values[run], n / q.sum())
            if is_gap(p[j] / n, q[j] / q.sum(), float(q[j])):
                upward += float(p[j]) / n * _HALF * float(between[j])
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
        growing += [rate] if _outgrows(part, cells) else []
        ends = ends or ends_early(*wide) or (found.exponent > _STEEP and share > _LITTLE)
    value = float(p @ (between + within)) / n
    reason = _reason(parts, cells, thin, growing) or _beyond(value, float(q.sum()), ends=ends)
    total, second = _counts.variance(p, q, within)
    bound_total, _ = _counts.variance(p, q)
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


def _outgrows(part: Part, cells: Ordered) -> bool:
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


def _around(part: Part, cells: Ordered) -> tuple[Counts, Counts]:
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


def _reason(parts: list[Part], cells: Ordered, thin: float, growing: list[Growth]) -> str:
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


def _beyond(value: float, rows_q: float, *, ends: bool) -> str:
    if ends:
        return "{p} goes on where {q} ends, so nothing limits it from above"
    if value > _MOST_NATS * math.log(rows_q):
        return f"{rows_q:,.0f} rows of {{q}} are too few to tell so great a divergence from an infinite one"
    return ""
