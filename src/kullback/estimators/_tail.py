"""How much a tail pays that q has hardly seen: q's rows there, by their rank among p's.

Let V be the rank of a row of q among p's rows of the tail, from the outside, in (0, 1), and
L = -log V. If q's distribution function is V^a there, as for shifts and scales of common tails, then
KL(p||q) within the tail is a - 1 - log a, and a is estimated as Hill does. Where a grows outwards,
as exp(g L), it is a / (1 - g) - log a - g - 1: infinite from g = 1 on.
"""

import math
from dataclasses import dataclass
from typing import final

import numpy as np
from scipy import special

from kullback.estimators._ordered import Counts

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
class Tail:
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


def growth(p: Counts, q: Counts) -> Growth:
    """Returns how fast the exponent of a tail may grow, by its likelihood under a half-normal prior.

    Args:
        p, q: counts over the cells of the tail, from the outside inwards.
    """
    exponents, reach = _exponents(p, q)
    fit = float(q.sum()) * np.log(exponents) + _RATES * reach - 0.5 * (_RATES / _PRIOR) ** 2
    weights = np.exp(fit - fit.max())
    return Growth(weights / weights.sum())


def tail(p: Counts, q: Counts, rate: Growth) -> Tail:
    """Returns what a tail pays.

    Args:
        p, q: counts over the cells of the tail, from the outside inwards.
        rate: how fast its exponent may grow.
    """
    exponents, _ = _exponents(p, q)
    pays = exponents / (1.0 - _RATES) - np.log(exponents) - _RATES - 1.0
    a = float(exponents[0])
    value = a - 1.0 - math.log(a)
    upward = max(float(np.interp(rate.high, _RATES, pays)) - value, 0.0)
    return Tail(value, (a - 1.0) ** 2 / float(q.sum()), upward, a)


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
