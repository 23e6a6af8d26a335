"""Scalars on the positive half line."""

import math
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float
from mpmath import mp
from scipy import special

from kullback.distributions._base import Support
from kullback.distributions._scalar import Number, Scalar, check, exact, from_moments, invert
from kullback.distributions._statistics import (
    LOG,
    ONE,
    Real,
    Statistic,
    X,
    log1p_square,
    power,
)

Quantiles = Float[np.ndarray, " n"]


@final
@dataclass(frozen=True)
class GeneralizedGamma(Scalar):
    """x^(power shape - 1) exp(-factor (x/scale)^power), normalised.

    The law of scale (G / factor)^(1/power), with G of Gamma(shape, 1). Gamma has power 1,
    Exponential shape 1 too, Weibull shape 1, half-normal and chi power 2 and factor 1/2, inverse
    gamma power -1, Frechet a negative power and shape 1.
    """

    scale: Real
    shape: float
    power: float = 1.0
    factor: float = 1.0

    def __post_init__(self) -> None:
        check(self, positive=("scale", "shape", "factor"), finite=("power",), nonzero=("power",))

    @property
    def support(self) -> Support:
        return Support("interval", 0.0)

    def terms(self) -> dict[Statistic, Number]:
        scale, shape, k, factor = exact(self.scale, self.shape, self.power, self.factor)
        constant = mp.log(abs(k)) + shape * (mp.log(factor) - k * mp.log(scale))
        return {
            ONE: constant - mp.loggamma(shape),
            LOG: k * shape - 1,
            power(self.power, self.scale): -factor,
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

    loc: Real
    scale: Real

    def __post_init__(self) -> None:
        check(self, finite=("loc",), positive=("scale",))

    @property
    def support(self) -> Support:
        return Support("interval", 0.0)

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
class InverseGaussian(Scalar):
    """Wald: sqrt(shape / (2 pi x^3)) exp(-shape (x - mean)^2 / (2 mean^2 x))"""

    mean: float
    shape: float

    def __post_init__(self) -> None:
        check(self, positive=("mean", "shape"))

    @property
    def support(self) -> Support:
        return Support("interval", 0.0)

    def terms(self) -> dict[Statistic, Number]:
        mean, shape = exact(self.mean, self.shape)
        return {
            ONE: mp.log(shape / (2 * mp.pi)) / 2 + shape / mean,
            LOG: mp.mpf("-1.5"),
            X: -shape / (2 * mean**2),
            power(-1.0, 1.0): -shape / 2,
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
class Pareto(Scalar):
    """shape scale^shape / x^(shape + 1) for x >= scale."""

    scale: float
    shape: float

    def __post_init__(self) -> None:
        check(self, positive=("scale", "shape"))

    @property
    def support(self) -> Support:
        return Support("interval", self.scale)

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

    scale: float

    def __post_init__(self) -> None:
        check(self, positive=("scale",))

    @property
    def support(self) -> Support:
        return Support("interval", 0.0)

    def terms(self) -> dict[Statistic, Number]:
        (scale,) = exact(self.scale)
        return {ONE: mp.log(2 / (mp.pi * scale)), log1p_square(0.0, self.scale): mp.mpf(-1)}

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


@final
@dataclass(frozen=True)
class Lindley(Scalar):
    """rate^2 / (1 + rate) (1 + x) exp(-rate x)"""

    rate: float

    def __post_init__(self) -> None:
        check(self, positive=("rate",))

    @property
    def support(self) -> Support:
        return Support("interval", 0.0)

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
