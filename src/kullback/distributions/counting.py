"""Scalars on the integers."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Annotated, final

import numpy as np
from mpmath import mp
from scipy import special

from kullback.core.errors import InputError
from kullback.distributions.scalar import (
    COUNTS,
    Best,
    Positive,
    Quantiles,
    Role,
    Scalar,
    Values,
    log_root,
    mean,
)
from kullback.distributions.statistics import ONE, Number, Real, Statistic, X, exact, from_moments


@final
@dataclass(frozen=True)
class Chance:
    """A probability, given as such or by its log odds; whichever was given is kept exactly."""

    probability: Real | None = None
    logit: float | None = None

    def __post_init__(self) -> None:
        value = self.probability
        if value is not None and not 0 <= value <= 1:
            raise InputError(f"a probability must be between 0 and 1, got {value}")
        if self.logit is not None and math.isnan(self.logit):
            raise InputError("a logit is NaN")

    @property
    def impossible(self) -> bool:
        """Whether it is 0, which a float of it may be by underflow."""
        return self.logit == -math.inf if self.probability is None else self.probability == 0

    @property
    def certain(self) -> bool:
        """Whether it is 1, which a float of it may be by rounding."""
        return self.logit == math.inf if self.probability is None else self.probability == 1

    def exact(self) -> tuple[Number, Number]:
        """Returns the probability and its complement in the working precision."""
        if self.probability is not None:
            p, rest = exact(self.probability, 1 - Fraction(self.probability))
            return p, rest
        assert self.logit is not None
        (logit,) = exact(self.logit)
        return 1 / (1 + mp.exp(-logit)), 1 / (1 + mp.exp(logit))

    def logs(self) -> tuple[Number, Number]:
        """Returns the logs of both, of one close to 1 by its complement."""
        p, rest = self.exact()
        return (mp.log(p), mp.log1p(-p)) if p < rest else (mp.log1p(-rest), mp.log(rest))

    def __float__(self) -> float:
        return float(self.exact()[0])


@final
@dataclass(frozen=True)
class Poisson(Scalar):
    """rate^x exp(-rate) / x!"""

    region = COUNTS

    rate: Positive

    def terms(self) -> dict[Statistic, Number]:
        (rate,) = exact(self.rate)
        return {ONE: -rate, X: mp.log(rate), Statistic("log_factorial"): mp.mpf(-1)}

    def mean_of(self, statistic: Statistic) -> Number | None:
        (rate,) = exact(self.rate)
        return from_moments(statistic, rate, rate)

    def quantile(self, u: Quantiles, *, upper: bool = False) -> Quantiles:
        center, width = self.rate, math.sqrt(self.rate) + 1.0
        return _search(lambda k: special.pdtr(k, self.rate), _above(u, upper=upper), center, width)


@final
@dataclass(frozen=True)
class Binomial(Scalar):
    """C(total, x) p^x (1-p)^(total-x); Bernoulli has total 1."""

    region = ("integers", "_first", "_last")

    total: Annotated[float, Role("count")]
    chance: Chance

    @property
    def _first(self) -> float:
        return self.total if self.chance.certain else 0.0

    @property
    def _last(self) -> float:
        return 0.0 if self.chance.impossible else self.total

    def terms(self) -> dict[Statistic, Number]:
        choose = {Statistic("log_choose", self.total): mp.mpf(1)} if self.total > 1 else {}
        if self.chance.impossible or self.chance.certain:
            return {ONE: mp.mpf(0)}
        log_p, log_rest = self.chance.logs()
        return {ONE: self.total * log_rest, X: log_p - log_rest, **choose}

    def mean_of(self, statistic: Statistic) -> Number | None:
        p, rest = self.chance.exact()
        return from_moments(statistic, self.total * p, self.total * p * rest)

    def quantile(self, u: Quantiles, *, upper: bool = False) -> Quantiles:
        p, n = float(self.chance), self.total
        width = math.sqrt(n * p * (1.0 - p)) + 1.0
        below = lambda k: special.betainc(np.maximum(n - k, 1e-300), k + 1.0, 1.0 - p)  # noqa: E731
        found = _search(below, _above(u, upper=upper), n * p, width)
        return np.clip(found, 0.0, n)


@final
@dataclass(frozen=True)
class Geometric(Scalar):
    """p (1-p)^(x - start) for x = start, start + 1, ..."""

    region = ("integers", "start", "_last")

    chance: Annotated[Chance, Role("likely")]
    start: float = 0.0

    @property
    def _last(self) -> float:
        return self.start if self.chance.certain else math.inf

    def terms(self) -> dict[Statistic, Number]:
        if self.chance.certain:
            return {ONE: mp.mpf(0)}
        log_p, log_rest = self.chance.logs()
        return {ONE: log_p - self.start * log_rest, X: log_rest}

    def mean_of(self, statistic: Statistic) -> Number | None:
        p, rest = self.chance.exact()
        return from_moments(statistic, self.start + rest / p, rest / p**2)

    def quantile(self, u: Quantiles, *, upper: bool = False) -> Quantiles:
        p, rest = (float(v) for v in self.chance.exact())
        if rest == 0.0:
            return np.full(u.shape, self.start)
        above = np.log(u) if upper else np.log1p(-u)
        decay = math.log(rest) if rest < 0.5 else math.log1p(-p)
        return self.start + np.maximum(np.ceil(above / min(decay, -1e-300)) - 1.0, 0.0)


@final
@dataclass(frozen=True)
class NegativeBinomial(Scalar):
    """Gamma(x + shape) / (x! Gamma(shape)) (1-p)^shape p^x, with p of `chance`."""

    region = COUNTS

    shape: Positive
    chance: Annotated[Chance, Role("uncertain")]

    def terms(self) -> dict[Statistic, Number]:
        log_p, log_rest = self.chance.logs()
        (shape,) = exact(self.shape)
        constant = shape * log_rest - mp.loggamma(shape)
        return {ONE: constant, X: log_p, Statistic("log_rising", self.shape): mp.mpf(1)}

    def mean_of(self, statistic: Statistic) -> Number | None:
        p, rest = self.chance.exact()
        (shape,) = exact(self.shape)
        return from_moments(statistic, shape * p / rest, shape * p / rest**2)

    def quantile(self, u: Quantiles, *, upper: bool = False) -> Quantiles:
        p, rest = (max(float(v), 1e-300) for v in self.chance.exact())
        center = self.shape * p / rest
        width = math.sqrt(center / rest) + 1.0

        def below(k: Quantiles) -> Quantiles:
            return special.betainc(self.shape, k + 1.0, rest)

        return _search(below, _above(u, upper=upper), center, width)


def _above(u: Quantiles, *, upper: bool) -> Quantiles:
    return 1.0 - u if upper else u


def _search(
    below: Callable[[Quantiles], Quantiles], u: Quantiles, center: float, width: float
) -> Quantiles:
    """Returns the smallest integer k >= 0 with P(X <= k) >= u, by bisection."""
    low, high = np.full(u.shape, -1.0), np.full(u.shape, np.ceil(center + 60.0 * width))
    for _ in range(80):
        open_ = high - low > 1.0
        if not open_.any():
            break
        middle = np.floor(0.5 * (low + high))
        under = below(np.maximum(middle, 0.0)) < u
        low, high = np.where(open_ & under, middle, low), np.where(open_ & ~under, middle, high)
    return high


# Maximum likelihood on the integers.

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
