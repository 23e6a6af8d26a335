"""One column of two tables as counts: of levels, and of the ordered values that are none of them."""

import math
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float

from kullback.estimators import _counts, _difference
from kullback.estimators._certificate import Certificate, certified, halves
from kullback.estimators._log_ratio import LogRatio
from kullback.estimators._ordered import Ordered
from kullback.estimators._ordered_kl import OrderedKl, ordered_kl

Levels = Float[np.ndarray, "_s"]
#: With more of p than this at levels that q has not, the estimate is too low by more than it says.
_MOST_UNSEEN = 0.15
#: By how much it is too low, as a share of that mass, by simulation of Zipf's law and uniform levels.
_UNSEEN_BIAS = 0.4
#: A level is absent from q, not unlucky, where p's share of it makes one expect so many rows; with so
#: great a share of p there, nothing limits the divergence from above. Up to so many rows q nearly lacks it.
_ABSENT, _ABSENT_MASS, _NEARLY = 10.0, 0.01, 3.0


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
    n, terms = float(tally.p.sum()), _counts.terms(tally.p, tally.q)
    within = np.zeros(len(terms))
    share = float(tally.p[-1]) / n if rest is not None else 0.0
    within[-1] = rest.value if rest is not None else 0.0
    unseen = _counts.unseen(tally.p, tally.q)
    error = math.sqrt(_counts.variance(tally.p, tally.q, within)[0])
    bound, bound_error = (
        float(tally.p @ terms) / n,
        math.sqrt(_counts.variance(tally.p, tally.q)[0]),
    )
    upward = _UNSEEN_BIAS * unseen
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
        found.append(_difference.of_levels(tally.p, tally.q))
    if tally.rest is not None and min(tally.rest.p.sum(), tally.rest.q.sum()) > 0.0:
        found.append(_difference.of_order(tally.rest))
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
