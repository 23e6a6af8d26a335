"""Scalars of the table: a density is coefficients times statistics, in any precision."""

import abc
import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import cache, cached_property
from typing import Annotated, Any, ClassVar, Literal, Protocol, final, get_args, runtime_checkable

import numpy as np
from jaxtyping import Float
from mpmath import mp
from scipy.special import ndtr

from kullback.core.errors import InputError, UnsupportedError
from kullback.distributions.base import Array, Distribution, Stratum, Support
from kullback.distributions.statistics import Number, Real, Statistic

_LEVELS = np.array([1e-14, 1e-9, 1e-6, 1e-4, 0.002, 0.02, 0.1, 0.25, 0.5])


# What a parameter may be, and what becomes of it when the variable is moved or stretched.


@final
@dataclass(frozen=True)
class Role:
    """What a parameter is to its family.

    Attributes:
        rule: a row of `_RULES`: what its value must be.
        way: what it becomes when x becomes loc + scale x: loc + scale value ("point"), |scale| value
            ("length"), scale value ("signed"), value + log |scale| ("log"); as it is if empty.
        exact: whether it may be a fraction, so that nothing is rounded.
    """

    rule: str
    way: Literal["", "point", "length", "signed", "log"] = ""
    exact: bool = False


Finite = Annotated[float, Role("finite")]
Positive = Annotated[float, Role("positive")]
Location = Annotated[float, Role("finite", "point")]
Scale = Annotated[float, Role("positive", "length")]
ExactLocation = Annotated[Real, Role("finite", "point", exact=True)]
ExactScale = Annotated[Real, Role("positive", "length", exact=True)]

#: Levels, and the events there.
Quantiles = Float[np.ndarray, " n"]

#: A kind of support and its ends, as numbers or as names of attributes.
Region = tuple[Literal["interval", "integers"], float | str, float | str]
LINE: Region = ("interval", -math.inf, math.inf)
HALF_LINE: Region = ("interval", 0.0, math.inf)
UNIT: Region = ("interval", 0.0, 1.0)
COUNTS: Region = ("integers", 0.0, math.inf)

#: Each a test of the distribution and the value, and the message where it fails.
_RULES: dict[str, list[tuple[Callable[[Any, float], bool], str]]] = {
    "finite": [(lambda d, v: math.isfinite(v), "{} must be finite")],
    "positive": [(lambda d, v: 0.0 < v < math.inf, "{} must be positive and finite")],
    "nonnegative": [(lambda d, v: 0.0 <= v < math.inf, "{} must be non-negative and finite")],
    "nonzero": [
        (lambda d, v: math.isfinite(v), "{} must be finite"),
        (lambda d, v: v != 0.0, "{} must not be 0"),
    ],
    "count": [
        (lambda d, v: 0.0 <= v < math.inf, "{} must be non-negative and finite"),
        (lambda d, v: v == math.floor(v), "{} must be an integer"),
    ],
    "likely": [(lambda d, v: not d.chance.impossible, "the probability must be positive")],
    "uncertain": [
        (lambda d, v: not (d.chance.impossible or d.chance.certain), "p must be inside (0, 1)")
    ],
    "end": [(lambda d, v: -math.inf < v < d.high < math.inf, "{} must be below high, both finite")],
    "positive end": [
        (lambda d, v: 0.0 < v < d.high < math.inf, "{} must be below high, both positive")
    ],
}


@cache
def roles(cls: type) -> dict[str, Role]:
    """Returns what each parameter of a family is to it."""
    return {
        f.name: role for f in fields(cls) for role in get_args(f.type) if isinstance(role, Role)
    }


class Scalar(Distribution):
    """A one-dimensional distribution whose log density is coefficients times statistics.

    A subclass is a dataclass of parameters whose types are those above: from these follow the checks,
    and what becomes of a parameter when the variable is moved or stretched.
    """

    #: Where it lives.
    region: ClassVar[Region]

    def __post_init__(self) -> None:
        for name, role in roles(type(self)).items():
            for holds, message in _RULES[role.rule]:
                value = getattr(self, name)
                if not holds(self, float(value)):
                    family = type(self).__name__
                    raise InputError(f"{family}: {message.format(name)}, got {value}")

    @property
    def support(self) -> Support:
        kind, *ends = self.region
        low, high = (float(getattr(self, e) if isinstance(e, str) else e) for e in ends)
        return Support(kind, low, high)

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
