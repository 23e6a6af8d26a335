"""Maximum likelihood on the integers."""

import math
from collections.abc import Callable

import numpy as np
from scipy import special

from kullback.distributions._counting import Binomial, Chance, Geometric, NegativeBinomial, Poisson
from kullback.fitting._scalar_family import Best, Values, mean
from kullback.fitting._scalars_positive import log_root

#: The rate of a Poisson distribution of rows that are all 0, which the true answer, 0, would refuse.
_NO_RATE = 1e-300
_MOST_TAILS = 100_000


def poisson(x: Values, weights: Values) -> Best:
    """Returns the Poisson distribution with the mean of the rows."""
    rate = mean(weights, x)
    if rate == 0.0:
        return Best(Poisson(_NO_RATE), ("all rows are 0: the rate ran to its bound, 0",))
    return Best(Poisson(rate))


def bernoulli(x: Values, weights: Values) -> Best:
    """Returns the share of ones."""
    p = mean(weights, x)
    notes = (f"all rows are {p:g}: the probability ran to its bound",) if p in (0.0, 1.0) else ()
    return Best(Binomial(1.0, Chance(p)), notes)


def geometric(x: Values, weights: Values) -> Best:
    """Returns the geometric distribution, from 0, with the mean of the rows."""
    p = 1.0 / (1.0 + mean(weights, x))
    notes = ("all rows are 0: the probability ran to its bound, 1",) if p == 1.0 else ()
    return Best(Geometric(Chance(p)), notes)


def negative_binomial(x: Values, weights: Values) -> Best:
    """Returns the negative binomial distribution: the mean of the rows, and one equation for the shape.

    Source: Anscombe (1950): the equation has a solution if the variance is above the mean.
    """
    values, index = np.unique(x, return_inverse=True)
    shares = np.bincount(index, weights) / weights.sum()
    m = float(shares @ values)
    variance = float(shares @ (values - m) ** 2)
    largest = 1e6 * max(m, 1.0)
    if m == 0.0:
        note = "all rows are 0: the mean ran to its bound, 0, and the shape is not identified"
        return Best(NegativeBinomial(1.0, Chance(_NO_RATE)), (note,))
    if variance <= m * (1.0 + 1e-12):
        note = (
            f"the shape ran to its bound of {largest:g}: the variance of the rows, {variance:.4g}, is not "
            f"above their mean, {m:.4g}, and a Poisson distribution says the same with a parameter less"
        )
        return Best(_with_mean(largest, m), (note,))
    rising = _rising(values, shares)
    shape = log_root(lambda r: rising(r) - math.log1p(m / r), m * m / (variance - m))
    return Best(_with_mean(min(shape, largest), m))


def _with_mean(shape: float, m: float) -> NegativeBinomial:
    return NegativeBinomial(shape, Chance(logit=math.log(m) - math.log(shape)))


def _rising(values: Values, shares: Values) -> Callable[[float], float]:
    """Returns r -> the mean of digamma(x + r) - digamma(r), a sum of P(x > j) / (j + r)."""
    top = float(values.max())
    if top > _MOST_TAILS:
        return lambda r: float(shares @ (special.digamma(values + r) - special.digamma(r)))
    j = np.arange(top)
    above = np.concatenate([np.cumsum(shares[::-1])[::-1], [0.0]])
    tails = above[np.searchsorted(values, j, side="right")]
    return lambda r: float((tails / (j + r)).sum())
