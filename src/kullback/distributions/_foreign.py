"""A distribution known only by what can be called: a log density, perhaps a sampler."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float

from kullback._core.errors import DensityError, UnsupportedError
from kullback._core.user_code import user_code
from kullback.distributions._base import Array, Distribution, Support
from kullback.distributions._scan import scan

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
        inverse: its quantile function; None if unknown.
        normalized: whether `density` has its normalising constant.
        strict: whether -inf inside `region` means no mass; otherwise it may be underflow.
        hints: points known to be where the mass is.
    """

    name: str
    region: Support
    density: Callable[[Array], Array]
    sampler: Callable[[np.random.Generator, int], Array] | None = None
    inverse: Callable[[Array], Array] | None = None
    normalized: bool = True
    strict: bool = False
    hints: tuple[float, ...] = ()

    @property
    def support(self) -> Support:
        return self.region

    def log_prob(self, x: Array) -> Float[np.ndarray, " n"]:
        with np.errstate(all="ignore"), user_code(f"the log density of {self.name}"):
            values = np.asarray(self.density(x), dtype=np.float64)
        if values.shape != (len(x),):
            raise DensityError(
                f"{self.name}: the log density of {len(x)} points has shape {values.shape}; "
                f"it must be ({len(x)},), one number for each point"
            )
        bad = np.isnan(values) | (values == np.inf)
        if bad.any():
            at = np.asarray(x)[np.argmax(bad)]
            raise DensityError(
                f"{self.name}: the log density is {values[np.argmax(bad)]} at x = {at} "
                f"({bad.sum()} of {len(x)} points); return -inf where there is no mass"
            )
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
        low, high = self.region.low, self.region.high
        hints = [np.asarray(self.hints, dtype=np.float64)]
        if self.inverse is not None:
            with np.errstate(all="ignore"), user_code(f"the quantile function of {self.name}"):
                hints.append(np.asarray(self.inverse(_LEVELS), dtype=np.float64))
        elif self.sampler is not None:
            hints.append(
                np.quantile(self.sample(np.random.default_rng(0), 2000), np.linspace(0, 1, 33))
            )
        points = np.concatenate(hints)
        points = points[np.isfinite(points) & (points > low) & (points < high)]
        return (
            np.unique(points)
            if self.inverse is not None and len(points)
            else scan(self.log_prob, low, high, points)
        )
