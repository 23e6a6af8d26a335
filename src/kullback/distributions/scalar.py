"""Scalars of the table: a density is coefficients times statistics, in any precision."""

import abc
import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any, Protocol, final, runtime_checkable

import numpy as np
from jaxtyping import Float
from mpmath import mp
from scipy import special
from scipy.special import ndtr

from kullback.core.errors import InputError, UnsupportedError
from kullback.distributions.base import Array, Distribution, Stratum

#: A number of arbitrary precision; mpmath has no types.
Number = Any

_LEVELS = np.array([1e-14, 1e-9, 1e-6, 1e-4, 0.002, 0.02, 0.1, 0.25, 0.5])


# The statistics of which log densities are made.

#: A parameter. 1/rate is a fraction, so that nothing is rounded before a difference is taken.
Real = float | Fraction


@final
@dataclass(frozen=True)
class Statistic:
    """A function of x, by name, with parameters that are exact numbers."""

    name: str
    a: Real = 0.0
    b: Real = 0.0
    c: Real = 1.0

    def __call__(self, x: np.ndarray) -> np.ndarray:
        with np.errstate(all="ignore"):
            return _FUNCTIONS[self.name](x, float(self.a), float(self.b), float(self.c))


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


Vector = Float[np.ndarray, " m"]
#: Maps parameters of a contained family to those of the larger, and a number that stands for infinity
#: where it is a limit.
Embed = Callable[[Vector, float], Vector]


@final
@dataclass(frozen=True)
class Parametric:
    """A family of scalars by its unconstrained parameters.

    Attributes:
        name: in messages.
        build: maps unconstrained parameters to a member, as a search may evaluate it.
        exactly: maps them to the member that is reported.
        guesses: maps a mean and a variance to unconstrained parameters, one of which may be near.
        contained: smaller families, each with the map of its parameters to those of this one.
        constants: unconstrained parameters of members that stand for families of one member.
    """

    name: str
    build: Callable[[Vector], Distribution]
    exactly: Callable[[Vector], Distribution]
    guesses: Callable[[float, float], list[Vector]]
    contained: "tuple[tuple[Parametric, Embed], ...]" = ()
    constants: tuple[Vector, ...] = ()


def _log1p_square(z: np.ndarray) -> np.ndarray:
    large = np.abs(z) > 1e150
    safe = np.where(large, 1.0, z)
    return np.where(large, 2.0 * np.log(np.abs(np.where(large, z, 1.0))), np.log1p(safe * safe))


def _log_choose(n: float, k: np.ndarray) -> np.ndarray:
    return -np.log1p(n) - special.betaln(n - k + 1.0, k + 1.0)


_FUNCTIONS: dict[str, Callable[[np.ndarray, float, float, float], np.ndarray]] = {
    "one": lambda x, a, b, c: np.ones_like(x),
    "x": lambda x, a, b, c: x,
    "square": lambda x, a, b, c: (x - a) ** 2,
    "absolute": lambda x, a, b, c: np.abs(x - a),
    "log": lambda x, a, b, c: np.log(x),
    "log_square": lambda x, a, b, c: (np.log(x) - a) ** 2,
    "log1m": lambda x, a, b, c: np.log1p(-x),
    "log1m_power": lambda x, a, b, c: np.log(-np.expm1(a * np.log(x))),
    "log1p": lambda x, a, b, c: np.log1p(x),
    "power": lambda x, a, b, c: (x / b) ** a,
    "exp": lambda x, a, b, c: np.exp((x - b) / a),
    "softplus": lambda x, a, b, c: np.logaddexp(0.0, (x - b) / a),
    "cos": lambda x, a, b, c: np.cos(x - a),
    "log1p_square": lambda x, a, b, c: _log1p_square((x - a) / (b * math.sqrt(c))),
    "log_factorial": lambda x, a, b, c: special.gammaln(x + 1.0),
    "log_choose": lambda x, a, b, c: _log_choose(a, x),
    "log_rising": lambda x, a, b, c: (
        special.gammaln(a) - special.betaln(a, x + 1.0) - np.log(x + a)
    ),
}

ONE = Statistic("one")
X = Statistic("x")
LOG = Statistic("log")
LOG1M = Statistic("log1m")


def square(center: Real) -> Statistic:
    return Statistic("square", center)


def absolute(center: Real) -> Statistic:
    return Statistic("absolute", center)


def power(exponent: Real, scale: Real) -> Statistic:
    """(x / scale) ** exponent"""
    return Statistic("power", exponent, scale)


def exponential(scale: Real, center: Real) -> Statistic:
    """exp((x - center) / scale)"""
    return Statistic("exp", scale, center)


def softplus(scale: Real, center: Real) -> Statistic:
    """log(1 + exp((x - center) / scale))"""
    return Statistic("softplus", scale, center)


def cosine(center: Real) -> Statistic:
    return Statistic("cos", center)


def log1p_square(center: Real, scale: Real, df: Real = 1.0) -> Statistic:
    """log(1 + ((x - center) / scale)^2 / df)"""
    return Statistic("log1p_square", center, scale, df)


# Families of scalars for maximum likelihood: where they live and what fitting one gives.

Values = Float[np.ndarray, " n"]


@final
@dataclass(frozen=True)
class Domain:
    """The values that a family can give a finite log density.

    Attributes:
        low, high: the ends.
        closed: whether each end belongs to it.
        integers: whether only integers do.
    """

    low: float = -math.inf
    high: float = math.inf
    closed: tuple[bool, bool] = (False, False)
    integers: bool = False

    def outside(self, x: Values) -> np.ndarray:
        """Returns which values do not belong to it."""
        below = x < self.low if self.closed[0] else x <= self.low
        above = x > self.high if self.closed[1] else x >= self.high
        return below | above | (self.integers & (x != np.floor(x)))

    def __str__(self) -> str:
        if self.integers:
            return f"the integers from {self.low:g} to {self.high:g}"
        ends = f"{self.low:g}, {self.high:g}"
        return f"{'[' if self.closed[0] else '('}{ends}{']' if self.closed[1] else ')'}"


@final
@dataclass(frozen=True, eq=False)
class Best:
    """The member of a family with the greatest likelihood.

    Attributes:
        q: the member.
        notes: what a careful reader should know.
        evaluations: of the likelihood.
        at: unconstrained parameters, where a fit to a part of the rows may start.
        frame: what was subtracted from the rows and divided by, for `at`.
        score: log densities by something faster than `q.log_prob`.
    """

    q: Distribution
    notes: tuple[str, ...] = ()
    evaluations: int = 1
    at: Vector | None = None
    frame: tuple[float, float] = (0.0, 1.0)
    score: Callable[[Values], Values] | None = None

    def log_prob(self, x: Values) -> Values:
        """Returns log q(x)."""
        return self.q.log_prob(x) if self.score is None else self.score(x)


@runtime_checkable
class Maximise(Protocol):
    """Maps rows and weights, not normalised, to the best member; `near` is one to start from."""

    def __call__(self, x: Values, weights: Values, near: Best | None = None, /) -> Best: ...


@final
@dataclass(frozen=True)
class ScalarFamily:
    """A family of scalars that is fitted by maximum likelihood.

    Attributes:
        name: in messages.
        parameters: how many there are.
        domain: where it lives.
        maximise: finds the best member.
        moving_ends: whether the ends of its support are fitted.
    """

    name: str
    parameters: int
    domain: Domain
    maximise: Maximise
    moving_ends: bool = False


def mean(weights: Values, values: Values) -> float:
    """Returns the weighted mean."""
    return float(weights @ values) / float(weights.sum())


def median(x: Values, weights: Values) -> float:
    """Returns the weighted median: the middle of all of them, as of rows that are repeated."""
    order = np.argsort(x, kind="stable")
    x, below = x[order], np.cumsum(weights[order])
    half = 0.5 * below[-1]
    left = x[np.searchsorted(below, half, side="left")]
    right = x[min(int(np.searchsorted(below, half, side="right")), len(x) - 1)]
    return float(left) + 0.5 * float(right - left)


def frame(x: Values, weights: Values) -> tuple[float, float]:
    """Returns the median and a scale: the mean distance from it."""
    center = median(x, weights)
    return center, mean(weights, np.abs(x - center)) or 1.0


_LARGEST = math.log(1e12)


def log_root(f: Callable[[float], float], start: float) -> float:
    """Returns x > 0 with f(x) = 0, f being monotone; the end of the range searched if there is none.

    Args:
        f: a function of x.
        start: a guess.
    """

    def at(t: float) -> float:
        with np.errstate(all="ignore"):
            return f(math.exp(t))

    middle, reach = math.log(start), 1.0
    low, high = middle - reach, middle + reach
    while np.sign(at(low)) == np.sign(at(high)) and reach < 2.0 * _LARGEST:
        reach *= 2.0
        low, high = middle - reach, middle + reach
    if np.sign(at(low)) == np.sign(at(high)):
        return math.exp(low if abs(at(low)) < abs(at(high)) else high)
    from scipy import optimize  # noqa: PLC0415 - closed forms need none

    found = optimize.root_scalar(at, bracket=(low, high), method="brentq", xtol=1e-15, rtol=1e-15)
    return math.exp(float(found.root))
