"""Distributions made of others: products, mixtures, maps, truncations."""

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, final

import numpy as np
from jaxtyping import Float
from scipy import special

from kullback.core.errors import InputError
from kullback.distributions.base import Array, Distribution, Stratum, Support
from kullback.distributions.statistics import Real
from kullback.solvers.quadrature import fill, integrate

Name = Literal[
    "affine", "exp", "log", "sigmoid", "logit", "tanh", "softplus", "reciprocal", "power"
]


@final
@dataclass(frozen=True)
class Bijection:
    """A monotone map of the line: y = f(x), by name, with `loc` and `scale` where it has them.

    affine: loc + scale x. power: x^scale, x > 0. The others are what their names say.
    """

    name: Name
    loc: Real = 0.0
    scale: Real = 1.0

    def forward(self, x: Array) -> Array:
        return self._at(0, x)

    def inverse(self, y: Array) -> Array:
        return self._at(1, y)

    def log_slope(self, x: Array) -> Array:
        """log |f'(x)|"""
        return self._at(2, x)

    def _at(self, what: int, x: Array) -> Array:
        with np.errstate(all="ignore"):
            return _MAPS[self.name][what](x, float(self.loc), float(self.scale))


_Map = Callable[[Array, float, float], Array]
#: Each map, its inverse, and the log of its slope, of x, loc and scale.
_MAPS: dict[Name, tuple[_Map, _Map, _Map]] = {
    "affine": (
        lambda x, a, b: a + b * x,
        lambda y, a, b: (y - a) / b,
        lambda x, a, b: np.full_like(x, math.log(abs(b))),
    ),
    "exp": (lambda x, a, b: np.exp(x), lambda y, a, b: np.log(y), lambda x, a, b: x),
    "log": (lambda x, a, b: np.log(x), lambda y, a, b: np.exp(y), lambda x, a, b: -np.log(x)),
    "sigmoid": (
        lambda x, a, b: special.expit(x),
        lambda y, a, b: special.logit(y),
        lambda x, a, b: -np.logaddexp(0.0, x) - np.logaddexp(0.0, -x),
    ),
    "logit": (
        lambda x, a, b: special.logit(x),
        lambda y, a, b: special.expit(y),
        lambda x, a, b: -np.log(x) - np.log1p(-x),
    ),
    "tanh": (
        lambda x, a, b: np.tanh(x),
        lambda y, a, b: np.arctanh(y),
        lambda x, a, b: 2.0 * (math.log(2.0) - x - np.logaddexp(0.0, -2.0 * x)),
    ),
    "softplus": (
        lambda x, a, b: np.logaddexp(0.0, x),
        lambda y, a, b: y + np.log(-np.expm1(-y)),
        lambda x, a, b: -np.logaddexp(0.0, -x),
    ),
    "reciprocal": (
        lambda x, a, b: 1.0 / x,
        lambda y, a, b: 1.0 / y,
        lambda x, a, b: -2.0 * np.log(np.abs(x)),
    ),
    "power": (
        lambda x, a, b: x**b,
        lambda y, a, b: y ** (1.0 / b),
        lambda x, a, b: math.log(abs(b)) + (b - 1.0) * np.log(x),
    ),
}


@final
@dataclass(frozen=True)
class Transformed(Distribution):
    """The law of f(x), with x of `base`: a scalar, through monotone maps."""

    base: Distribution
    maps: tuple[Bijection, ...]

    @property
    def support(self) -> Support:
        return self._region

    @cached_property
    def _region(self) -> Support:
        ends = np.array([self.base.support.low, self.base.support.high])
        for f in self.maps:
            ends = f.forward(ends)
        low, high = sorted(float(e) for e in ends)
        return Support("interval", low, high)

    def log_prob(self, x: Array) -> Float[np.ndarray, " n"]:
        y = np.asarray(x, dtype=np.float64)
        support = self.support
        inside = (y > support.low) & (y < support.high)
        slope = np.zeros_like(y)
        for f in reversed(self.maps):
            y = f.inverse(y)
            slope = slope + f.log_slope(y)
        inside &= np.isfinite(y)
        if not inside.any():
            return np.full(y.shape, -math.inf)
        with np.errstate(invalid="ignore"):
            # Somebody else's density is asked about events only.
            total = self.base.log_prob(np.where(inside, y, y[inside][0])) - slope
        return np.where(inside & ~np.isnan(total), total, -math.inf)

    def sample(self, rng: np.random.Generator, n: int) -> Array:
        return self.push(self.base.sample(rng, n))

    def landmarks(self) -> Float[np.ndarray, " m"]:
        points = np.sort(self.push(self.base.landmarks()))
        support = self.support
        return np.unique(
            points[np.isfinite(points) & (points > support.low) & (points < support.high)]
        )

    def strata(self) -> tuple[Stratum, ...]:
        return tuple(
            Stratum(s.weight, s.dimension, lambda z, t=s.transport: self.push(t(z)))
            for s in self.base.strata()
        )

    def pull(self, x: Array) -> Array:
        """Returns the events of the base that are mapped to x."""
        for f in reversed(self.maps):
            x = f.inverse(x)
        return x

    def push(self, x: Array) -> Array:
        """Returns what events of the base are mapped to."""
        for f in self.maps:
            x = f.forward(x)
        return x


@final
@dataclass(frozen=True, eq=False)
class Mixture(Distribution):
    """sum_k weights_k components_k"""

    weights: Float[np.ndarray, " k"]
    components: tuple[Distribution, ...]

    def __post_init__(self) -> None:
        check_weights(self.weights, len(self.components))
        shapes = {(c.support.dimension, c.support.discrete) for c in self.components}
        if len(shapes) > 1:
            raise InputError("Mixture: the components must be of one dimension and one kind")

    @property
    def support(self) -> Support:
        return self._region

    @cached_property
    def _region(self) -> Support:
        supports = [c.support for c in self.components]
        low, high = min(s.low for s in supports), max(s.high for s in supports)
        return Support(supports[0].kind, low, high, supports[0].dimension)

    def log_prob(self, x: Array) -> Float[np.ndarray, " n"]:
        with np.errstate(divide="ignore"):
            parts = [math.log(w) + c.log_prob(x) for w, c in self._pairs]
        return np.logaddexp.reduce(parts, axis=0)

    def sample(self, rng: np.random.Generator, n: int) -> Array:
        counts = rng.multinomial(n, self.weights / self.weights.sum())
        draws = [c.sample(rng, int(m)) for c, m in zip(self.components, counts, strict=True) if m]
        return rng.permutation(np.concatenate(draws))

    def landmarks(self) -> Float[np.ndarray, " m"]:
        return np.unique(np.concatenate([c.landmarks() for _, c in self._pairs]))

    def strata(self) -> tuple[Stratum, ...]:
        parts = [(w, c.strata()) for w, c in self._pairs]
        if not all(strata for _, strata in parts):
            return ()
        return tuple(
            Stratum(w * s.weight, s.dimension, s.transport) for w, strata in parts for s in strata
        )

    @cached_property
    def _pairs(self) -> list[tuple[float, Distribution]]:
        pairs = zip(self.weights, self.components, strict=True)
        return [(float(w), c) for w, c in pairs if w > 0.0]


@final
@dataclass(frozen=True, eq=False)
class Product(Distribution):
    """Independent blocks, side by side: an event is their concatenation."""

    parts: tuple[Distribution, ...]

    @property
    def support(self) -> Support:
        kinds = {p.support.kind for p in self.parts}
        kind = "counts" if all(p.support.discrete for p in self.parts) else "real"
        return Support(
            kind if len(kinds) == 1 or kind == "counts" else "real", dimension=sum(self.widths)
        )

    @cached_property
    def widths(self) -> tuple[int, ...]:
        """Coordinates of each block."""
        return tuple(max(1, p.support.dimension) for p in self.parts)

    def log_prob(self, x: Array) -> Float[np.ndarray, " n"]:
        blocks = np.split(x, np.cumsum(self.widths)[:-1], axis=1)
        return np.sum(
            [p.log_prob(_block(p, b)) for p, b in zip(self.parts, blocks, strict=True)], axis=0
        )

    def sample(self, rng: np.random.Generator, n: int) -> Array:
        return np.concatenate([p.sample(rng, n).reshape(n, -1) for p in self.parts], axis=1)

    def strata(self) -> tuple[Stratum, ...]:
        parts = [p.strata() for p in self.parts]
        if not all(len(s) == 1 for s in parts):
            return ()
        widths = [s[0].dimension for s in parts]

        def transport(z: Array) -> Array:
            blocks = np.split(z, np.cumsum(widths)[:-1], axis=1)
            moved = [
                s[0].transport(b).reshape(len(z), -1) for s, b in zip(parts, blocks, strict=True)
            ]
            return np.concatenate(moved, axis=1)

        return (Stratum(1.0, sum(widths), transport),)


@final
@dataclass(frozen=True)
class Truncated(Distribution):
    """`base` restricted to [low, high] and normalised."""

    base: Distribution
    low: float
    high: float

    def __post_init__(self) -> None:
        if not self.low < self.high:
            raise InputError(f"Truncated: low must be below high, got {self.low} and {self.high}")
        if not math.isfinite(self.log_mass):
            raise InputError(
                f"Truncated: {self.base} has no mass between {self.low} and {self.high}"
            )

    @property
    def support(self) -> Support:
        s = self.base.support
        return Support(s.kind, max(s.low, self.low), min(s.high, self.high))

    @cached_property
    def log_mass(self) -> float:
        """log P(low <= x <= high) under the base, right also far in its tail."""
        support = self.support
        if support.low >= support.high:
            return -math.inf
        points = self._points()
        peak = float(np.max(self.base.log_prob(points)))
        if not math.isfinite(peak):
            return -math.inf
        total = integrate(
            lambda x, speed: np.exp(self.base.log_prob(x) - peak + speed)[:, None],
            fill(points, support.low, support.high),
            support.low,
            support.high,
        )
        return peak + math.log(float(total.value[0]))

    def log_prob(self, x: Array) -> Float[np.ndarray, " n"]:
        inside = (x >= self.low) & (x <= self.high)
        return np.where(inside, self.base.log_prob(x) - self.log_mass, -math.inf)

    def sample(self, rng: np.random.Generator, n: int) -> Array:
        s = self.support
        marks = fill(self._points(), s.low, s.high)
        x = np.unique(np.concatenate([np.linspace(a, b, 64) for a, b in itertools.pairwise(marks)]))
        density = np.exp(self.log_prob(x))
        below = np.concatenate([[0.0], np.cumsum(0.5 * np.diff(x) * (density[1:] + density[:-1]))])
        return np.interp(rng.random(n) * below[-1], below, x)

    def landmarks(self) -> Float[np.ndarray, " m"]:
        return self._points()

    def _points(self) -> Float[np.ndarray, " m"]:
        """Points towards which the truncated density falls off from its highest end or mode."""
        s = self.support
        inner = self.base.landmarks()
        inner = inner[(inner > s.low) & (inner < s.high)]
        spread = float(np.ptp(self.base.landmarks())) or 1.0
        steps = spread * 2.0 ** np.arange(-40.0, 3.0)
        near = [
            end + sign * steps for end, sign in ((s.low, 1.0), (s.high, -1.0)) if math.isfinite(end)
        ]
        points = np.unique(np.concatenate([inner, *near]))
        return points[(points > s.low) & (points < s.high)]


def check_weights(weights: Float[np.ndarray, " k"], k: int) -> None:
    """Raises InputError unless the weights are k probabilities that sum to 1."""
    if weights.shape != (k,):
        raise InputError(f"Mixture: {k} components but weights of shape {weights.shape}")
    if not (np.isfinite(weights).all() and (weights >= 0.0).all()):
        raise InputError(f"Mixture: weights must be non-negative and finite, got {weights}")
    if abs(weights.sum() - 1.0) > 1e-6:
        raise InputError(f"Mixture: weights sum to {weights.sum():.10g}, not 1; divide them by it")


def _block(part: Distribution, block: Array) -> Array:
    return block[:, 0] if part.support.dimension == 0 else block
