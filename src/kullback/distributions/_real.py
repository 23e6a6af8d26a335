"""Scalars on the whole line (and the circle)."""

import math
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float
from mpmath import mp
from scipy import special

from kullback.distributions._base import Support
from kullback.distributions._scalar import Number, Scalar, check, exact, from_moments
from kullback.distributions._statistics import (
    ONE,
    Real,
    Statistic,
    X,
    absolute,
    cosine,
    exponential,
    log1p_square,
    softplus,
    square,
)

Quantiles = Float[np.ndarray, " n"]


@final
@dataclass(frozen=True)
class Normal(Scalar):
    """N(loc, scale^2)."""

    loc: Real
    scale: Real

    def __post_init__(self) -> None:
        check(self, finite=("loc",), positive=("scale",))

    @property
    def support(self) -> Support:
        return Support("interval")

    def terms(self) -> dict[Statistic, Number]:
        (scale,) = exact(self.scale)
        return {
            ONE: -mp.log(scale) - mp.log(2 * mp.pi) / 2,
            square(self.loc): -1 / (2 * scale**2),
        }

    def mean_of(self, statistic: Statistic) -> Number | None:
        loc, scale, a, b = exact(self.loc, self.scale, statistic.a, statistic.b)
        if statistic.name == "absolute":
            z = (loc - a) / scale
            folded = mp.sqrt(2 / mp.pi) * mp.exp(-(z**2) / 2) + z * mp.erf(z / mp.sqrt(2))
            return scale * folded
        if statistic.name == "exp":
            return mp.exp((loc - b) / a + (scale / a) ** 2 / 2)
        return from_moments(statistic, loc, scale**2)

    def quantile(self, u: Quantiles, *, upper: bool = False) -> Quantiles:
        return float(self.loc) + float(self.scale) * special.ndtri(u) * (-1.0 if upper else 1.0)


@final
@dataclass(frozen=True)
class Laplace(Scalar):
    """exp(-|x - loc| / scale) / (2 scale)"""

    loc: float
    scale: float

    def __post_init__(self) -> None:
        check(self, finite=("loc",), positive=("scale",))

    @property
    def support(self) -> Support:
        return Support("interval")

    def terms(self) -> dict[Statistic, Number]:
        (scale,) = exact(self.scale)
        return {ONE: -mp.log(2 * scale), absolute(self.loc): -1 / scale}

    def mean_of(self, statistic: Statistic) -> Number | None:
        loc, scale, a, b = exact(self.loc, self.scale, statistic.a, statistic.b)
        if statistic.name == "absolute":
            distance = abs(loc - a)
            return distance + scale * mp.exp(-distance / scale)
        if statistic.name == "exp":
            if scale >= abs(a):
                return mp.inf
            return mp.exp((loc - b) / a) / (1 - (scale / a) ** 2)
        return from_moments(statistic, loc, 2 * scale**2)

    def quantile(self, u: Quantiles, *, upper: bool = False) -> Quantiles:
        z = np.where(u < 0.5, np.log(2.0 * u), -np.log(2.0 * (1.0 - u)))
        return self.loc + self.scale * z * (-1.0 if upper else 1.0)


@final
@dataclass(frozen=True)
class LogGamma(Scalar):
    """loc - scale log G, with G of Gamma(shape, 1).

    Gumbel is shape 1, its mirror image shape 1 and a negative scale; Moyal(loc, scale) is
    shape 1/2 at loc - scale log 2; the log of a gamma variable has scale -1.
    """

    shape: float
    loc: Real
    scale: float

    def __post_init__(self) -> None:
        check(self, finite=("loc", "scale"), positive=("shape",), nonzero=("scale",))

    @property
    def support(self) -> Support:
        return Support("interval")

    def terms(self) -> dict[Statistic, Number]:
        shape, loc, scale = exact(self.shape, self.loc, self.scale)
        return {
            ONE: -mp.log(abs(scale)) - mp.loggamma(shape) + shape * loc / scale,
            X: -shape / scale,
            exponential(-self.scale, self.loc): mp.mpf(-1),
        }

    def mean_of(self, statistic: Statistic) -> Number | None:
        shape, loc, scale, a, b = exact(self.shape, self.loc, self.scale, statistic.a, statistic.b)
        if statistic.name == "exp":
            moved = shape - scale / a
            if moved <= 0:
                return mp.inf
            return mp.exp((loc - b) / a + mp.loggamma(moved) - mp.loggamma(shape))
        mean = loc - scale * mp.digamma(shape)
        return from_moments(statistic, mean, scale**2 * mp.psi(1, shape))

    def quantile(self, u: Quantiles, *, upper: bool = False) -> Quantiles:
        inverse = special.gammaincinv if upper == (self.scale > 0) else special.gammainccinv
        with np.errstate(divide="ignore"):
            return float(self.loc) - self.scale * np.log(inverse(self.shape, u))


@final
@dataclass(frozen=True)
class StudentT(Scalar):
    """Student's t; Cauchy is df 1."""

    df: float
    loc: float
    scale: float

    def __post_init__(self) -> None:
        check(self, finite=("loc",), positive=("df", "scale"))

    @property
    def support(self) -> Support:
        return Support("interval")

    def terms(self) -> dict[Statistic, Number]:
        df, scale = exact(self.df, self.scale)
        constant = mp.loggamma((df + 1) / 2) - mp.loggamma(df / 2) - mp.log(df * mp.pi) / 2
        return {ONE: constant - mp.log(scale), self._tail: -(df + 1) / 2}

    def mean_of(self, statistic: Statistic) -> Number | None:
        df, loc, scale, a, b = exact(self.df, self.loc, self.scale, statistic.a, statistic.b)
        if statistic == self._tail:
            return mp.digamma((df + 1) / 2) - mp.digamma(df / 2)
        if statistic.name == "log1p_square" and self.df == 1:
            width = b * mp.sqrt(mp.mpf(statistic.c))
            return mp.log(((scale + width) ** 2 + (loc - a) ** 2) / width**2)
        if statistic.name == "absolute" and self.df <= 1:
            return mp.inf
        if statistic.name == "exp":
            return mp.inf
        mean = loc if self.df > 1 else mp.nan
        variance = scale**2 * df / (df - 2) if self.df > 2 else mp.inf
        return from_moments(statistic, mean, variance)

    def quantile(self, u: Quantiles, *, upper: bool = False) -> Quantiles:
        return self.loc + self.scale * special.stdtrit(self.df, u) * (-1.0 if upper else 1.0)

    @property
    def _tail(self) -> Statistic:
        return log1p_square(self.loc, self.scale, self.df)


@final
@dataclass(frozen=True)
class Logistic(Scalar):
    """Logistic(loc, scale)."""

    loc: float
    scale: float

    def __post_init__(self) -> None:
        check(self, finite=("loc",), positive=("scale",))

    @property
    def support(self) -> Support:
        return Support("interval")

    def terms(self) -> dict[Statistic, Number]:
        loc, scale = exact(self.loc, self.scale)
        return {ONE: -mp.log(scale) + loc / scale, X: -1 / scale, self._soft: mp.mpf(-2)}

    def mean_of(self, statistic: Statistic) -> Number | None:
        loc, scale, a, b = exact(self.loc, self.scale, statistic.a, statistic.b)
        if statistic == self._soft:
            return mp.mpf(1)
        if statistic.name == "exp":
            t = scale / a
            if abs(t) >= 1:
                return mp.inf
            return mp.exp((loc - b) / a) * mp.gamma(1 - t) * mp.gamma(1 + t)
        return from_moments(statistic, loc, (scale * mp.pi) ** 2 / 3)

    def quantile(self, u: Quantiles, *, upper: bool = False) -> Quantiles:
        return self.loc + self.scale * special.logit(u) * (-1.0 if upper else 1.0)

    @property
    def _soft(self) -> Statistic:
        return softplus(-self.scale, self.loc)


@final
@dataclass(frozen=True)
class VonMises(Scalar):
    """exp(concentration cos(x - loc)) on [-pi, pi]."""

    loc: float
    concentration: float

    def __post_init__(self) -> None:
        check(self, finite=("loc",), nonnegative=("concentration",))

    @property
    def support(self) -> Support:
        return Support("interval", -math.pi, math.pi)

    def terms(self) -> dict[Statistic, Number]:
        (kappa,) = exact(self.concentration)
        constant = -mp.log(2 * mp.pi * mp.besseli(0, kappa) * mp.exp(-kappa)) - kappa
        return {ONE: constant, cosine(self.loc): kappa}

    def mean_of(self, statistic: Statistic) -> Number | None:
        loc, kappa, a = exact(self.loc, self.concentration, statistic.a)
        if statistic.name == "cos":
            return mp.besseli(1, kappa) / mp.besseli(0, kappa) * mp.cos(loc - a)
        return mp.mpf(1) if statistic == ONE else None

    def quantile(self, u: Quantiles, *, upper: bool = False) -> Quantiles:
        width = min(math.pi, 40.0 / math.sqrt(max(self.concentration, 1e-12)))
        near = self.loc + np.linspace(-width, width, 20_001)
        far = np.linspace(-math.pi, math.pi, 2_001)
        wrapped = np.mod(near + math.pi, 2.0 * math.pi) - math.pi
        x = np.unique(np.concatenate([wrapped, far]))
        density = np.exp(self.log_prob(x))
        steps = 0.5 * np.diff(x) * (density[1:] + density[:-1])
        below = np.concatenate([[0.0], np.cumsum(steps)]) / np.sum(steps)
        return np.interp(1.0 - u if upper else u, below, x)
