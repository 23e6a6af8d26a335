"""Scalars that are times until something happens."""

import math
from dataclasses import dataclass
from typing import final

import numpy as np
from mpmath import mp
from scipy import special

from kullback.core.errors import InputError
from kullback.distributions.scalar import (
    HALF_LINE,
    Best,
    ExactScale,
    Positive,
    Quantiles,
    Scalar,
    Scale,
    Values,
    invert,
    log_root,
    mean,
)
from kullback.distributions.statistics import LOG, ONE, Number, Statistic, X, exact, from_moments


@final
@dataclass(frozen=True)
class InverseGaussian(Scalar):
    """Wald: sqrt(shape / (2 pi x^3)) exp(-shape (x - mean)^2 / (2 mean^2 x))"""

    region = HALF_LINE

    mean: Scale
    shape: Scale

    def terms(self) -> dict[Statistic, Number]:
        mean, shape = exact(self.mean, self.shape)
        return {
            ONE: mp.log(shape / (2 * mp.pi)) / 2 + shape / mean,
            LOG: mp.mpf("-1.5"),
            X: -shape / (2 * mean**2),
            Statistic("power", -1.0, 1.0): -shape / 2,
        }

    def mean_of(self, statistic: Statistic) -> Number | None:
        mean, shape, b = exact(self.mean, self.shape, statistic.b)
        if statistic.name == "power" and statistic.a == -1.0:
            return b * (1 / mean + 1 / shape)
        return from_moments(statistic, mean, mean**3 / shape)

    def quantile(self, u: Quantiles, *, upper: bool = False) -> Quantiles:
        return invert(self.cdf, u, upper=upper, start=self.mean)

    def cdf(self, x: Quantiles, *, upper: bool = False) -> Quantiles:
        """Returns P(X <= x), or P(X > x) if `upper`."""
        root = np.sqrt(self.shape / x)
        first = special.ndtr(root * (x / self.mean - 1.0) * (-1.0 if upper else 1.0))
        log_second = 2.0 * self.shape / self.mean + special.log_ndtr(-root * (x / self.mean + 1.0))
        second = np.exp(np.minimum(log_second, 0.0))
        return np.clip(first - second if upper else first + second, 0.0, 1.0)


@final
@dataclass(frozen=True)
class Lindley(Scalar):
    """rate^2 / (1 + rate) (1 + x) exp(-rate x)"""

    region = HALF_LINE

    rate: Positive

    def terms(self) -> dict[Statistic, Number]:
        (rate,) = exact(self.rate)
        return {ONE: 2 * mp.log(rate) - mp.log1p(rate), Statistic("log1p"): mp.mpf(1), X: -rate}

    def mean_of(self, statistic: Statistic) -> Number | None:
        (rate,) = exact(self.rate)
        mean = (rate + 2) / (rate * (rate + 1))
        if statistic.name == "log1p":
            return mp.exp(rate) * mp.e1(rate) / (1 + rate) + 1 / (1 + rate)
        return from_moments(statistic, mean, 2 * (rate + 3) / (rate**2 * (rate + 1)) - mean**2)

    def quantile(self, u: Quantiles, *, upper: bool = False) -> Quantiles:
        return invert(self.cdf, u, upper=upper, start=1.0 / self.rate)

    def cdf(self, x: Quantiles, *, upper: bool = False) -> Quantiles:
        """Returns P(X <= x), or P(X > x) if `upper`."""
        z = self.rate * x
        above = (1.0 + z / (1.0 + self.rate)) * np.exp(-z)
        return above if upper else np.clip(-np.expm1(-z) - z / (1.0 + self.rate) * np.exp(-z), 0, 1)


@final
@dataclass(frozen=True)
class Gompertz(Scalar):
    """shape / scale exp(x / scale) exp(-shape (exp(x / scale) - 1)): a hazard that grows exponentially."""

    region = HALF_LINE

    shape: Positive
    scale: ExactScale

    def terms(self) -> dict[Statistic, Number]:
        shape, scale = exact(self.shape, self.scale)
        growth = Statistic("exp", self.scale)
        return {ONE: mp.log(shape / scale) + shape, X: 1 / scale, growth: -shape}

    def mean_of(self, statistic: Statistic) -> Number | None:
        # shape exp(x / scale) is shape plus a standard exponential variable.
        shape, scale, a, b = exact(self.shape, self.scale, statistic.a, statistic.b)
        if statistic.name == "exp":
            power = scale / a
            tail = mp.exp(shape - b / a) * mp.gammainc(1 + power, shape)
            return tail * shape**-power
        mean = scale * mp.exp(shape) * mp.e1(shape)
        if statistic.name == "absolute" and a <= 0:
            return mean - a
        if statistic.name != "square":
            return from_moments(statistic, mean, mp.nan)
        second = mp.quad(lambda v: mp.log1p(-mp.log(v) / shape) ** 2, [0, 0.5, 1])
        return scale**2 * second - 2 * a * mean + a**2

    def quantile(self, u: Quantiles, *, upper: bool = False) -> Quantiles:
        with np.errstate(divide="ignore"):
            waited = -np.log(u) if upper else -np.log1p(-u)
        return float(self.scale) * np.log1p(waited / self.shape)


# Maximum likelihood of times.

#: The longest time in units of the scale: beyond, the shape is less than a float64 holds.
_LONGEST = 700.0
#: The scale in units of the mean from which the rows are as good as exponential.
_FLAT = 1e6


def inverse_gaussian(x: Values, weights: Values) -> Best:
    """Returns the inverse Gaussian distribution; 1/shape is mean(1/x) - 1/mean(x), without cancellation."""
    m = mean(weights, x)
    return Best(InverseGaussian(m, 1.0 / mean(weights, (x - m) ** 2 / (x * m * m))))


def lindley(x: Values, weights: Values) -> Best:
    """Returns the Lindley distribution with the mean of the rows."""
    m = mean(weights, x)
    root = math.sqrt((m - 1.0) ** 2 + 8.0 * m)
    # Two forms of one root: each without cancellation on its side.
    return Best(Lindley(4.0 / (m - 1.0 + root) if m >= 1.0 else (1.0 - m + root) / (2.0 * m)))


def gompertz(x: Values, weights: Values) -> Best:
    """Returns the Gompertz distribution: one equation for the scale, then shape = 1 / mean(exp(x / scale) - 1).

    The equation has a solution if the standard deviation is below the mean.
    """
    unit = float(x[weights > 0.0].max())
    if unit == 0.0:
        raise InputError("gompertz: all rows are 0: its likelihood grows without end")
    x, share = x[weights > 0.0] / unit, weights[weights > 0.0] / weights.sum()
    middle = float(share @ x)

    def growth(scale: float) -> tuple[Values, Values]:
        """The times in units of the scale, and exp of them over that of the longest."""
        z = x / scale
        return z, share * np.exp(z - 1.0 / scale)

    def balance(scale: float) -> float:
        z, grown = growth(scale)
        return scale * float(grown @ (z + np.expm1(-z))) / float(grown @ -np.expm1(-z)) - middle

    notes: tuple[str, ...] = ()
    if float(share @ (x - middle) ** 2) >= middle**2:
        scale = _FLAT * middle
        notes = ("the scale ran to its bound: the rows vary as much as exponential ones, or more",)
    else:
        scale = min(log_root(balance, middle), _FLAT * middle)
    if scale < 1.0 / _LONGEST:
        scale = 1.0 / _LONGEST
        notes = (
            "the scale ran to its bound: a normal distribution describes rows as alike as these",
        )
    z, grown = growth(scale)
    shape = math.exp(-1.0 / scale) / float(grown @ -np.expm1(-z))
    return Best(Gompertz(shape, unit * scale), notes)
