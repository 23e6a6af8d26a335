"""Scalars on the positive half line."""

import math
from dataclasses import dataclass
from typing import Annotated, final

import numpy as np
from mpmath import mp
from scipy import special

from kullback.distributions.real import Normal, normal
from kullback.distributions.scalar import (
    HALF_LINE,
    Best,
    ExactScale,
    Positive,
    Quantiles,
    Role,
    Scalar,
    Scale,
    Values,
    log_root,
    mean,
)
from kullback.distributions.statistics import (
    LOG,
    ONE,
    Number,
    Real,
    Statistic,
    exact,
    from_moments,
)


@final
@dataclass(frozen=True)
class GeneralizedGamma(Scalar):
    """x^(power shape - 1) exp(-factor (x/scale)^power), normalised.

    The law of scale (G / factor)^(1/power), with G of Gamma(shape, 1). Gamma has power 1,
    Exponential shape 1 too, Weibull shape 1, half-normal and chi power 2 and factor 1/2, inverse
    gamma power -1, Frechet a negative power and shape 1.
    """

    region = HALF_LINE

    scale: ExactScale
    shape: Positive
    power: Annotated[float, Role("nonzero")] = 1.0
    factor: Positive = 1.0

    def terms(self) -> dict[Statistic, Number]:
        scale, shape, k, factor = exact(self.scale, self.shape, self.power, self.factor)
        constant = mp.log(abs(k)) + shape * (mp.log(factor) - k * mp.log(scale))
        return {
            ONE: constant - mp.loggamma(shape),
            LOG: k * shape - 1,
            Statistic("power", self.power, self.scale): -factor,
        }

    def mean_of(self, statistic: Statistic) -> Number | None:
        shape, k, a, b = exact(self.shape, self.power, statistic.a, statistic.b)
        unit = self._unit()
        mean_log = mp.log(unit) + mp.digamma(shape) / k
        match statistic.name:
            case "log":
                return mean_log
            case "log_square":
                return mp.psi(1, shape) / k**2 + (mean_log - a) ** 2
            case "power":
                return self._moment(a) * (unit / b) ** a
            case "exp" if k == 1:
                decay = 1 - unit / a
                return mp.inf if decay <= 0 else mp.exp(-b / a) * decay**-shape
            case "absolute" if a <= 0:
                return unit * self._moment(mp.mpf(1)) - a
            case _:
                mean, second = unit * self._moment(mp.mpf(1)), unit**2 * self._moment(mp.mpf(2))
                variance = mp.inf if mp.isinf(second) else second - mean**2
                return from_moments(statistic, mean, variance)

    def quantile(self, u: Quantiles, *, upper: bool = False) -> Quantiles:
        inverse = special.gammainccinv if upper == (self.power > 0) else special.gammaincinv
        with np.errstate(all="ignore"):
            gamma = inverse(self.shape, u) / self.factor
            return float(self.scale) * gamma ** (1.0 / self.power)

    def _unit(self) -> Number:
        """The scale of a factor of 1."""
        scale, k, factor = exact(self.scale, self.power, self.factor)
        return scale * factor ** (-1 / k)

    def _moment(self, exponent: Number) -> Number:
        """E[(x/unit)^exponent]"""
        shape, k = exact(self.shape, self.power)
        moved = shape + exponent / k
        if moved <= 0:
            return mp.inf
        return mp.exp(mp.loggamma(moved) - mp.loggamma(shape))


@final
@dataclass(frozen=True)
class LogNormal(Scalar):
    """exp(N(loc, scale^2))."""

    region = HALF_LINE

    loc: Annotated[Real, Role("finite", "log", exact=True)]
    scale: Annotated[Real, Role("positive", exact=True)]

    def terms(self) -> dict[Statistic, Number]:
        (scale,) = exact(self.scale)
        return {
            ONE: -mp.log(scale) - mp.log(2 * mp.pi) / 2,
            LOG: mp.mpf(-1),
            Statistic("log_square", self.loc): -1 / (2 * scale**2),
        }

    def mean_of(self, statistic: Statistic) -> Number | None:
        loc, scale, a, b = exact(self.loc, self.scale, statistic.a, statistic.b)
        match statistic.name:
            case "log":
                return loc
            case "log_square":
                return scale**2 + (loc - a) ** 2
            case "power":
                return mp.exp(a * (loc - mp.log(b)) + (a * scale) ** 2 / 2)
            case "exp" if a > 0:
                return mp.inf
            case "absolute" if a <= 0:
                return mp.exp(loc + scale**2 / 2) - a
            case _:
                mean = mp.exp(loc + scale**2 / 2)
                return from_moments(statistic, mean, mean**2 * mp.expm1(scale**2))

    def quantile(self, u: Quantiles, *, upper: bool = False) -> Quantiles:
        with np.errstate(over="ignore"):
            return np.exp(
                float(self.loc) + float(self.scale) * special.ndtri(u) * (-1.0 if upper else 1.0)
            )


@final
@dataclass(frozen=True)
class Pareto(Scalar):
    """shape scale^shape / x^(shape + 1) for x >= scale."""

    region = ("interval", "scale", math.inf)

    scale: Scale
    shape: Positive

    def terms(self) -> dict[Statistic, Number]:
        scale, shape = exact(self.scale, self.shape)
        return {ONE: mp.log(shape) + shape * mp.log(scale), LOG: -(shape + 1)}

    def mean_of(self, statistic: Statistic) -> Number | None:
        scale, shape, a, b = exact(self.scale, self.shape, statistic.a, statistic.b)
        mean_log = mp.log(scale) + 1 / shape
        match statistic.name:
            case "log":
                return mean_log
            case "log_square":
                return 1 / shape**2 + (mean_log - a) ** 2
            case "power":
                return mp.inf if a >= shape else (scale / b) ** a * shape / (shape - a)
            case "exp":
                if a > 0:
                    return mp.inf
                return shape * mp.expint(shape + 1, -scale / a) * mp.exp(-b / a)
            case "absolute" if a <= scale:
                return mp.inf if shape <= 1 else scale * shape / (shape - 1) - a
            case _:
                mean = mp.inf if shape <= 1 else scale * shape / (shape - 1)
                if shape <= 2:
                    return from_moments(statistic, mean, mp.inf)
                return from_moments(statistic, mean, scale**2 * shape / (shape - 2) - mean**2)

    def quantile(self, u: Quantiles, *, upper: bool = False) -> Quantiles:
        with np.errstate(all="ignore"):
            return self.scale * np.exp(-(np.log(u) if upper else np.log1p(-u)) / self.shape)


@final
@dataclass(frozen=True)
class HalfCauchy(Scalar):
    """2 / (pi scale (1 + (x/scale)^2)) for x >= 0."""

    region = HALF_LINE

    scale: Scale

    def terms(self) -> dict[Statistic, Number]:
        (scale,) = exact(self.scale)
        return {
            ONE: mp.log(2 / (mp.pi * scale)),
            Statistic("log1p_square", 0.0, self.scale): mp.mpf(-1),
        }

    def mean_of(self, statistic: Statistic) -> Number | None:
        scale, a, b = exact(self.scale, statistic.a, statistic.b)
        match statistic.name:
            case "log1p_square" if a == 0:
                return 2 * mp.log((scale + b) / b)
            case "log":
                return mp.log(scale)
            case "log_square":
                return mp.pi**2 / 4 + (mp.log(scale) - a) ** 2
            case "power" if abs(a) < 1:
                return (scale / b) ** a / mp.cos(mp.pi * a / 2)
            case "x" | "square" | "absolute" | "power":
                return mp.inf
            case _:
                return mp.mpf(1) if statistic == ONE else None

    def quantile(self, u: Quantiles, *, upper: bool = False) -> Quantiles:
        tangent = np.tan(0.5 * math.pi * u)
        with np.errstate(divide="ignore"):
            return self.scale / tangent if upper else self.scale * tangent


# Maximum likelihood on the positive half line: closed forms, or one equation in one unknown.


def exponential(x: Values, weights: Values) -> Best:
    """Returns the exponential distribution with the mean of the rows."""
    return Best(GeneralizedGamma(mean(weights, x), 1.0))


def gamma(x: Values, weights: Values) -> Best:
    """Returns the gamma distribution: log(shape) - digamma(shape) is how far the mean log is below."""
    shape, scale = _gamma(np.log(x), weights)
    return Best(GeneralizedGamma(scale, shape))


def inverse_gamma(x: Values, weights: Values) -> Best:
    """Returns the inverse gamma distribution: 1/x is of a gamma distribution."""
    shape, scale = _gamma(-np.log(x), weights)
    return Best(GeneralizedGamma(1.0 / scale, shape, -1.0))


def chi2(x: Values, weights: Values) -> Best:
    """Returns the chi-squared distribution with the mean log of the rows."""
    return Best(GeneralizedGamma(2.0, _inverse_digamma(mean(weights, np.log(0.5 * x)))))


def chi(x: Values, weights: Values) -> Best:
    """Returns the chi distribution: squares are of a chi-squared one."""
    shape = _inverse_digamma(mean(weights, 2.0 * np.log(x) - math.log(2.0)))
    return Best(GeneralizedGamma(1.0, shape, 2.0, 0.5))


def weibull(x: Values, weights: Values) -> Best:
    """Returns the Weibull distribution."""
    shape, scale = _weibull(np.log(x), weights)
    return Best(GeneralizedGamma(scale, 1.0, shape))


def frechet(x: Values, weights: Values) -> Best:
    """Returns the Frechet distribution: 1/x is of a Weibull one."""
    shape, scale = _weibull(-np.log(x), weights)
    return Best(GeneralizedGamma(1.0 / scale, 1.0, -shape))


def halfnormal(x: Values, weights: Values) -> Best:
    """Returns the half-normal distribution with the mean square of the rows."""
    return Best(GeneralizedGamma(_root_mean_square(x, weights), 0.5, 2.0, 0.5))


def rayleigh(x: Values, weights: Values) -> Best:
    """Returns the Rayleigh distribution with the mean square of the rows."""
    scale = _root_mean_square(x, weights) / math.sqrt(2.0)
    return Best(GeneralizedGamma(scale, 1.0, 2.0, 0.5))


def maxwell(x: Values, weights: Values) -> Best:
    """Returns the Maxwell distribution with the mean square of the rows."""
    scale = _root_mean_square(x, weights) / math.sqrt(3.0)
    return Best(GeneralizedGamma(scale, 1.5, 2.0, 0.5))


def lognormal(x: Values, weights: Values) -> Best:
    """Returns the exponential of the normal distribution of the logs."""
    logs = normal(np.log(x), weights).q
    assert isinstance(logs, Normal)
    return Best(LogNormal(logs.loc, logs.scale))


def pareto(x: Values, weights: Values) -> Best:
    """Returns the Pareto distribution that begins at the smallest row."""
    low = float(x[weights > 0.0].min())
    return Best(Pareto(low, 1.0 / mean(weights, np.log(x / low))))


def halfcauchy(x: Values, weights: Values) -> Best:
    """Returns the half-Cauchy distribution: the mean of x^2 / (scale^2 + x^2) is 1/2."""
    share = weights / weights.sum()
    zeros = float(share @ (x == 0.0))
    least = float(x[x > 0.0].min())
    if zeros >= 0.5:
        note = "half of the rows are 0: the likelihood grows without end as the scale goes to 0"
        return Best(HalfCauchy(1e-12 * least), (note,))
    start = float(np.median(x[x > 0.0]))
    scale = log_root(lambda s: float(share @ (1.0 / (1.0 + (s / x) ** 2))) - 0.5, start)
    return Best(HalfCauchy(scale))


def _root_mean_square(x: Values, weights: Values) -> float:
    unit = float(x.max()) or 1.0
    return unit * math.sqrt(mean(weights, (x / unit) ** 2))


def _gamma(logs: Values, weights: Values) -> tuple[float, float]:
    """Returns shape and scale from the logs of the rows."""
    middle = mean(weights, logs)
    moved = logs - middle
    # log mean(x) - mean log(x), right also where all rows are nearly the same.
    gap = math.log1p(mean(weights, np.expm1(moved) - moved))
    guess = (3.0 - gap + math.sqrt((gap - 3.0) ** 2 + 24.0 * gap)) / (12.0 * gap)
    shape = log_root(lambda k: log_less_digamma(k) - gap, guess)
    return shape, math.exp(middle + gap) / shape


def log_less_digamma(k: float) -> float:
    """Returns log(k) - digamma(k), without cancellation where k is large."""
    if k < 100.0:
        return math.log(k) - float(special.digamma(k))
    square = 1.0 / (k * k)
    return 0.5 / k + square * (1.0 / 12.0 - square * (1.0 / 120.0 - square / 252.0))


def _inverse_digamma(y: float) -> float:
    guess = math.exp(y) + 0.5 if y > -2.2 else -1.0 / (y + 0.5772156649015329)
    return log_root(lambda k: float(special.digamma(k)) - y, guess)


def _weibull(logs: Values, weights: Values) -> tuple[float, float]:
    """Returns shape and scale from the logs of the rows: one equation for the shape."""
    share = weights / weights.sum()
    middle = float(share @ logs)
    moved = logs - middle
    top = float(moved.max())

    def balance(k: float) -> float:
        tilted = share * np.exp(k * (moved - top))
        return float(tilted @ moved) / float(tilted.sum()) - 1.0 / k

    spread = math.sqrt(float(share @ moved**2))
    shape = log_root(balance, 1.28 / spread)
    size = float(share @ np.exp(shape * (moved - top)))
    return shape, math.exp(middle + top + math.log(size) / shape)
