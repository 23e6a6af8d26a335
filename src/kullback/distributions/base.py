"""What measuring may ask of a distribution, in NumPy float64."""

import abc
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Literal, final

import numpy as np
from jaxtyping import Float

from kullback.core.errors import DensityError, UnsupportedError
from kullback.core.user_code import read_only, user_code
from kullback.solvers.quadrature import fill, nodes

Array = np.ndarray


@final
@dataclass(frozen=True)
class Support:
    """Where a distribution lives.

    Attributes:
        kind: "interval" (of the reals), "integers" (within [low, high]), or the name of a set of
            vectors ("real", "simplex", "sphere", "surface", "one_hot", "counts", "matrix").
        low, high: the ends of an interval or of a run of integers; may be infinite.
        dimension: coordinates of an event; 0 for a scalar.
    """

    kind: Literal[
        "interval",
        "integers",
        "real",
        "simplex",
        "sphere",
        "surface",
        "one_hot",
        "counts",
        "matrix",
    ]
    low: float = -math.inf
    high: float = math.inf
    dimension: int = 0

    @property
    def discrete(self) -> bool:
        return self.kind in ("integers", "one_hot", "counts")

    def __str__(self) -> str:
        if self.kind == "interval":
            return f"({self.low:g}, {self.high:g})"
        if self.kind == "integers":
            return f"the integers from {self.low:g} to {self.high:g}"
        return f"{self.kind} vectors of {self.dimension} coordinates"


class Distribution(abc.ABC):
    """A distribution that can be measured. Subclasses are final and frozen.

    An event is a float (`support.dimension == 0`) or a vector; `n` events are an array of shape
    (n,) or (n, d).
    """

    #: False when `log_prob` lacks its normalising constant.
    normalized: bool = True
    #: Whether NaN in an event is a value that is not there, and `log_prob` the density of the others.
    takes_gaps: bool = False

    @property
    @abc.abstractmethod
    def support(self) -> Support: ...

    @abc.abstractmethod
    def log_prob(self, x: Array) -> Float[np.ndarray, " n"]:
        """Returns the log density (or log mass) at n events; -inf outside the support."""

    @abc.abstractmethod
    def sample(self, rng: np.random.Generator, n: int) -> Array:
        """Returns n independent draws. Raises UnsupportedError when none can be had."""

    def landmarks(self) -> Float[np.ndarray, " m"]:
        """Returns points of the line between which the density is smooth and has its mass.

        Only scalars have them: quadrature splits there.
        """
        raise AssertionError(f"{type(self).__name__} is not a scalar")

    def strata(self) -> "tuple[Stratum, ...]":
        """Returns the pieces p is a mixture of, each a map of standard normals; none if unknown."""
        return ()


@final
@dataclass(frozen=True)
class Stratum:
    """One piece of a mixture, drawn by pushing standard normals through a map.

    Attributes:
        weight: its share of the mixture.
        dimension: coordinates of the standard normals that `transport` takes.
        transport: maps standard normals of shape (n, dimension) to n events.
    """

    weight: float
    dimension: int
    transport: Callable[[Array], Array]


# A distribution known only by what can be called: a log density, perhaps a sampler.

_LEVELS = np.array([1e-9, 1e-6, 1e-4, 0.002, 0.02, 0.1, 0.25, 0.5, 0.75, 0.9, 0.98, 0.998, 0.9999])


@final
@dataclass(frozen=True, eq=False)
class Foreign(Distribution):
    """Somebody else's distribution, behind our names.

    Attributes:
        name: how it is called in messages.
        region: its support.
        density: maps n events to n log densities, in float64.
        sampler: maps a generator and n to n draws; None if it cannot be sampled.
        rough_quantile: its quantile function, or about it, as a sum over the density has it. Panels of quadrature are
            placed by it, which may lie anywhere near, and nothing else asks for it. None if unknown.
        normalized: whether `density` has its normalising constant.
        strict: whether -inf inside `region` means no mass; otherwise it may be underflow.
        hints: points known to be where the mass is.
        ours: whether `density` is a formula of ours: any other is checked before it is believed.
        cancels: the size of terms that cancel in its log density: it is as exact as these are.
        source: a distribution of which this is a one-to-one map, and what tells the map from others: two with
            equal maps differ as their sources do.
    """

    name: str
    region: Support
    density: Callable[[Array], Array]
    sampler: Callable[[np.random.Generator, int], Array] | None = None
    rough_quantile: Callable[[Array], Array] | None = None
    normalized: bool = True
    strict: bool = False
    hints: tuple[float, ...] = ()
    ours: bool = False
    cancels: float = 0.0
    source: tuple[Distribution, object] | None = None

    @property
    def support(self) -> Support:
        return self.region

    def log_prob(self, x: Array) -> Float[np.ndarray, " n"]:
        with np.errstate(all="ignore"), user_code(f"the log density of {self.name}"):
            values = np.asarray(self.density(read_only(x)), dtype=np.float64)
        if values.shape != (len(x),):
            raise DensityError(
                f"{self.name}: the log density of {len(x)} points has shape {values.shape}; "
                f"it must be ({len(x)},), one number for each point"
            )
        if np.isposinf(values).any():
            values = self._beside(np.asarray(x), values)
        bad = np.isnan(values) | (values == np.inf)
        if bad.any():
            at = np.asarray(x)[np.argmax(bad)]
            raise DensityError(
                f"{self.name}: the log density is {values[np.argmax(bad)]} at x = {at} "
                f"({bad.sum()} of {len(x)} points); return -inf where there is no mass"
            )
        return values

    def _beside(self, x: Array, values: Array) -> Array:
        """Where a density of the line is infinite at a point only, as at the pole of x^-1/2, its value beside it."""
        if self.region.dimension or self.region.discrete:
            return values
        # An absolute step where the relative one underflows.
        for least in (1e-299, 1e-250, 1e-200, 1e-150, 1e-100):
            pole = np.flatnonzero(np.isposinf(values))
            step = np.maximum(1e-9 * np.abs(x[pole]), least)
            around = np.stack([x[pole] - step, x[pole] + step])
            with np.errstate(all="ignore"):
                near = np.asarray(self.density(read_only(around.ravel())), dtype=np.float64)
            # At an end, one side has no mass.
            values = values.copy()
            values[pole] = np.fmax(*near.reshape(2, -1))
            if not np.isposinf(values).any():
                break
        return values

    def sample(self, rng: np.random.Generator, n: int) -> Array:
        if self.sampler is None:
            raise UnsupportedError(
                f"{self.name} has no sampler; give one: Known(log_prob=..., sample=...)"
            )
        with user_code(f"the sampler of {self.name}"):
            draws = np.asarray(self.sampler(rng, n), dtype=np.float64)
        expected = (n, self.region.dimension) if self.region.dimension else (n,)
        if draws.shape != expected:
            raise DensityError(
                f"{self.name}: the sampler returned shape {draws.shape} for n = {n}; "
                f"it must be {expected}"
            )
        return draws

    def landmarks(self) -> Float[np.ndarray, " m"]:
        return self._marks

    @cached_property
    def _marks(self) -> Float[np.ndarray, " m"]:
        low, high = self.region.low, self.region.high
        hints = [np.asarray(self.hints, dtype=np.float64)]
        levels = None
        if self.rough_quantile is not None:
            with user_code(f"the quantile function of {self.name}"):
                levels = _quantiles(self.rough_quantile)
        if levels is not None:
            hints.append(levels)
        elif self.sampler is not None:
            hints.append(
                np.quantile(self.sample(np.random.default_rng(0), 2000), np.linspace(0, 1, 33))
            )
        points = np.concatenate(hints)
        points = points[np.isfinite(points) & (points > low) & (points < high)]
        return read_only(
            np.unique(points)
            if levels is not None and len(points)
            else scan(self.log_prob, low, high, points)
        )


def _quantiles(quantile: Callable[[Array], Array]) -> Float[np.ndarray, " m"] | None:
    """Quantiles by a library's function; None where it fails, as a search for a root may."""
    try:
        with np.errstate(all="ignore"):
            return np.asarray(quantile(_LEVELS), dtype=np.float64)
    except Exception:  # noqa: BLE001 - whatever it is, the density itself is left
        return None


# Where the mass of an unknown density on the line lies, found by looking.

Density = Callable[[np.ndarray], np.ndarray]

#: How far below the peak, in nats, a point still counts as carrying mass.
_DROP = 60.0


def scan(
    log_prob: Density, low: float, high: float, hints: Float[np.ndarray, " h"]
) -> Float[np.ndarray, " m"]:
    """Returns points around every mode that a grid over all scales finds.

    The grid is dense around 0 (or the middle, or the ends) and geometric outwards; each local
    maximum is refined and surrounded by points at geometric distances, out to where the density
    has dropped by 60 nats.
    """
    grid = np.unique(np.concatenate([_grid(low, high), hints]))
    values = log_prob(grid)
    modes = [_climb(log_prob, *grid[_around(i, len(grid))]) for i in _maxima(values)]
    points = [_halo(log_prob, m, low, high) for m in modes]
    found = np.concatenate([hints, *points]) if points else hints
    return np.unique(found[(found > low) & (found < high)])


def rough_quantile(log_prob: Density, low: float, high: float) -> Callable[[Array], Array]:
    """Returns about the quantile function of a density: its mass is added up between points that a scan finds."""

    @cache
    def table() -> tuple[Array, Array]:
        found = scan(log_prob, low, high, np.zeros(0))
        x, log_weight = nodes(fill(found, low, high), low, high)
        order = np.argsort(x)
        with np.errstate(all="ignore"):
            masses = np.nan_to_num(np.exp(log_prob(x) + log_weight)[order], posinf=0.0)
        return np.cumsum(masses) - 0.5 * masses, x[order]

    def at(u: Array) -> Array:
        below, x = table()
        return np.interp(np.asarray(u) * below[-1], below, x)

    return at


def _grid(low: float, high: float) -> np.ndarray:
    steps = np.concatenate([np.linspace(0.0, 4.0, 81)[1:], np.geomspace(4.0, 1e12, 600)[1:]])
    small = np.geomspace(1e-12, 0.05, 100)
    if math.isfinite(low) and math.isfinite(high):
        width = high - low
        inner = np.linspace(low, high, 402)[1:-1]
        return np.unique(np.concatenate([low + width * small / 2, inner, high - width * small / 2]))
    out = np.concatenate([small, steps])
    if math.isfinite(low):
        return low + out
    if math.isfinite(high):
        return high - out[::-1]
    return np.concatenate([-out[::-1], [0.0], out])


def _maxima(values: np.ndarray) -> list[int]:
    """Indices of local maxima within the drop of the highest, plateaus once."""
    padded = np.concatenate([[-math.inf], values, [-math.inf]])
    peak = (padded[1:-1] > padded[:-2]) & (padded[1:-1] >= padded[2:])
    peak &= values > values.max() - 10.0 * _DROP
    order = [int(i) for i in np.flatnonzero(peak)]
    return sorted(order, key=lambda i: -values[i])[:50]


def _around(i: int, n: int) -> list[int]:
    return [max(i - 1, 0), i, min(i + 1, n - 1)]


def _climb(log_prob: Density, low: float, middle: float, high: float) -> float:
    """Returns the mode between low and high, by a shrinking grid."""
    for _ in range(40):
        x = np.unique(np.concatenate([np.linspace(low, high, 17), [middle]]))
        i = int(np.argmax(log_prob(x)))
        low, middle, high = (float(v) for v in x[_around(i, len(x))])
        if high - low <= 1e-9 * max(abs(middle), 1e-300):
            break
    return middle


def _halo(log_prob: Density, mode: float, low: float, high: float) -> np.ndarray:
    """Returns the mode and points on both sides, out to the drop."""
    peak = float(log_prob(np.array([mode]))[0])
    if not math.isfinite(peak):
        return np.array([mode])
    distance = np.geomspace(max(abs(mode), 1.0) * 1e-15, 1e15 * max(abs(mode), 1.0), 121)
    kept = [np.array([mode])]
    for sign, end in ((1.0, high), (-1.0, low)):
        x = mode + sign * distance
        x = x[(x < end) if sign > 0 else (x > end)]
        if not len(x):
            continue
        fallen = peak - log_prob(x)
        near = np.searchsorted(np.maximum.accumulate(fallen), [1e-3, _DROP])
        kept.append(x[max(near[0] - 1, 0) : near[1] + 1])
    return np.concatenate(kept)
