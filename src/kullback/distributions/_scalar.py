"""Scalars of the table: a density is coefficients times statistics, in any precision."""

import abc
import math
from collections.abc import Callable
from fractions import Fraction
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float
from mpmath import mp
from scipy.special import ndtr

from kullback._core.errors import InputError, UnsupportedError
from kullback.distributions._base import Array, Distribution, Stratum
from kullback.distributions._statistics import Real, Statistic

#: A number of arbitrary precision; mpmath has no types.
Number = Any

_LEVELS = np.array([1e-14, 1e-9, 1e-6, 1e-4, 0.002, 0.02, 0.1, 0.25, 0.5])


class Scalar(Distribution):
    """A one-dimensional distribution whose log density is coefficients times statistics."""

    @abc.abstractmethod
    def terms(self) -> dict[Statistic, Number]:
        """Returns the coefficient of each statistic, in the working precision of mpmath."""

    @abc.abstractmethod
    def mean_of(self, statistic: Statistic) -> Number | None:
        """Returns E[s(x)] in the working precision, `mp.inf` where it diverges, None if unknown."""

    @abc.abstractmethod
    def quantile(
        self, u: Float[np.ndarray, " n"], *, upper: bool = False
    ) -> Float[np.ndarray, " n"]:
        """Returns x with P(X <= x) = u, or P(X > x) = u if `upper`; NaN where not known."""

    def log_prob(self, x: Array) -> Float[np.ndarray, " n"]:
        x = np.asarray(x, dtype=np.float64)
        support = self.support
        inside = (x >= support.low) & (x <= support.high)
        if support.discrete:
            inside &= x == np.floor(x)
        safe = np.where(inside, x, self._interior)
        with np.errstate(all="ignore"):
            terms = (c * s(safe) for s, c in self._coefficients)
            total = sum(terms, start=np.zeros_like(safe))
        return np.where(inside, np.where(np.isnan(total), -math.inf, total), -math.inf)

    def magnitude(self, x: Array) -> Float[np.ndarray, " n"]:
        """Returns the sum of the absolute terms of log_prob: what its rounding is relative to."""
        with np.errstate(all="ignore"):
            terms = sum((np.abs(c * s(x)) for s, c in self._coefficients), start=np.zeros_like(x))
        return np.where(np.isfinite(terms), terms, 0.0)

    def sample(self, rng: np.random.Generator, n: int) -> Array:
        draws = self.quantile(_open_uniform(rng, n))
        if np.isnan(draws).any():
            raise UnsupportedError(f"{self} has no sampler here")
        return draws

    def landmarks(self) -> Float[np.ndarray, " m"]:
        points = [self.quantile(_LEVELS), self.quantile(_LEVELS, upper=True)]
        support = self.support
        return _inside(np.concatenate(points), support.low, support.high)

    def strata(self) -> tuple[Stratum, ...]:
        if self.support.discrete:
            return ()
        return (Stratum(1.0, 1, lambda z: from_normal(self, z[:, 0])),)

    @cached_property
    def _coefficients(self) -> list[tuple[Statistic, float]]:
        with mp.workdps(30):
            return [(s, float(c)) for s, c in self.terms().items() if c != 0]

    @cached_property
    def _interior(self) -> float:
        """A point of the support, where the statistics are finite."""
        low, high = self.support.low, self.support.high
        if self.support.discrete:
            return low if math.isfinite(low) else 0.0
        if math.isfinite(low) and math.isfinite(high):
            return 0.5 * (low + high)
        return low + 1.0 if math.isfinite(low) else high - 1.0 if math.isfinite(high) else 0.0


def from_normal(distribution: Scalar, z: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Returns the events at the same quantiles as standard normals, accurate in both tails."""
    u = ndtr(-np.abs(z))
    upper = z > 0
    x = np.empty_like(z)
    x[upper] = distribution.quantile(u[upper], upper=True)
    x[~upper] = distribution.quantile(u[~upper])
    return x


def _open_uniform(rng: np.random.Generator, n: int) -> Array:
    return (rng.random(n) + 2.0**-54).clip(2.0**-54, 1.0 - 2.0**-53)


def _inside(points: Array, low: float, high: float) -> Array:
    points = points[np.isfinite(points)]
    return np.unique(points[(points > low) & (points < high)])


def exact(*values: Real) -> tuple[Number, ...]:
    """Returns parameters as numbers of the working precision: every float is one exactly."""
    return tuple(
        mp.mpf(v.numerator) / v.denominator if isinstance(v, Fraction) else mp.mpf(v)
        for v in values
    )


def from_moments(statistic: Statistic, mean: Number, variance: Number) -> Number | None:
    """Returns the mean of a polynomial statistic from the first two moments; None for others."""
    center, scale = exact(statistic.a, statistic.b)
    match statistic.name:
        case "one":
            return mp.mpf(1)
        case "x":
            return mean
        case "square":
            return mp.inf if mp.isinf(variance) else variance + (mean - center) ** 2
        case "power" if center in (1, 2):
            return mean / scale if center == 1 else (variance + mean**2) / scale**2
        case _:
            return None


def check(
    distribution: Distribution,
    *,
    finite: tuple[str, ...] = (),
    positive: tuple[str, ...] = (),
    nonnegative: tuple[str, ...] = (),
    nonzero: tuple[str, ...] = (),
) -> None:
    """Raises InputError naming the first parameter outside its range."""
    rules = [
        (finite, "must be finite", math.isfinite),
        (positive, "must be positive and finite", lambda v: 0.0 < v < math.inf),
        (nonnegative, "must be non-negative and finite", lambda v: 0.0 <= v < math.inf),
        (nonzero, "must not be 0", lambda v: v != 0.0),
    ]
    for names, rule, holds in rules:
        for name in names:
            value = getattr(distribution, name)
            if not holds(value):
                family = type(distribution).__name__
                raise InputError(f"{family}: {name} {rule}, got {value}")


def invert(
    cdf: Callable[..., Array], u: Float[np.ndarray, " n"], *, upper: bool, start: float
) -> Float[np.ndarray, " n"]:
    """Returns x > 0 with cdf(x) = u by bisection on log x."""
    low, high = np.full(u.shape, math.log(start) - 700.0), np.full(u.shape, math.log(start) + 700.0)
    for _ in range(64):
        middle = 0.5 * (low + high)
        with np.errstate(all="ignore"):
            below = (cdf(np.exp(middle), upper=upper) < u) ^ upper
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return np.exp(0.5 * (low + high))
