"""A density as weighted points: where it is looked at when a q is fitted to it."""

import math
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float

from kullback.core.errors import DensityError, UnsupportedError
from kullback.distributions.base import Distribution
from kullback.measure.plane import SIDE, rectangle
from kullback.solvers.quadrature import fill, nodes


@final
@dataclass(frozen=True)
class Nodes:
    """Points (n, d) and weights that sum to 1, such that sum w g(x) is the mean of g under p."""

    x: Float[np.ndarray, "n d"]
    weights: Float[np.ndarray, " n"]

    @property
    def mean(self) -> Float[np.ndarray, " d"]:
        return self.weights @ self.x

    def bulk(self) -> tuple[Float[np.ndarray, " d"], Float[np.ndarray, "d d"]]:
        """Returns the median and a diagonal of quartile distances: they exist for every tail."""
        quartiles = []
        for x in self.x.T:
            order = np.argsort(x)
            below = np.cumsum(self.weights[order])
            quartiles.append(x[order][np.searchsorted(below, [0.16, 0.5, 0.84])])
        low, middle, high = np.array(quartiles).T
        return middle, np.diag(np.maximum(0.5 * (high - low), 1e-300))

    @property
    def covariance(self) -> Float[np.ndarray, "d d"]:
        moved = self.x - self.mean
        return (moved * self.weights[:, None]).T @ moved


#: Points below this share of the whole are left out.
_NEGLIGIBLE = 1e-18


def of_density(p: Distribution, example: Float[np.ndarray, " d"] | None = None) -> Nodes:
    """Returns quadrature nodes of a density of one or two variables, weighted by it."""
    if p.support.discrete:
        raise UnsupportedError("a Gaussian family cannot be fitted to a discrete target")
    if p.support.dimension == 0:
        s = p.support
        x, log_weight = nodes(fill(p.landmarks(), s.low, s.high), s.low, s.high)
        return _weighted(x[:, None], log_weight + p.log_prob(x))
    if p.support.dimension == 2:
        return _plane(p, np.zeros(2) if example is None else example)
    raise UnsupportedError(
        f"the target has {p.support.dimension} coordinates: known targets are fitted in one or two; "
        "draw samples from it and fit those"
    )


def of_integers(p: Distribution) -> Nodes:
    """Returns the integers where p has its mass, weighted by it."""
    marks = p.landmarks()
    x = np.arange(np.floor(marks[0]), np.floor(marks[-1]) + 1.0)
    return _weighted(x[:, None], p.log_prob(x))


def standard_normal(d: int) -> Nodes:
    """Returns nodes of N(0, I): trapezoid points, which converge geometrically for a Gaussian."""
    axis = np.linspace(-8.0, 8.0, 161) if d == 1 else np.linspace(-6.5, 6.5, 53)
    x = np.stack(np.meshgrid(*[axis] * d, indexing="ij"), axis=-1).reshape(-1, d)
    return _weighted(x, -0.5 * np.sum(x * x, axis=1))


def _plane(p: Distribution, example: Float[np.ndarray, " d"]) -> Nodes:
    """Points of a rectangle that is grown and shrunk until it just holds the mass."""
    pieces = p.strata()
    center, reach = example, np.full(2, 10.0)
    if pieces:
        z = np.random.default_rng(0).standard_normal((256, pieces[0].dimension))
        seen = np.concatenate([s.transport(z) for s in pieces])
        center = 0.5 * (seen.min(axis=0) + seen.max(axis=0))
        reach = np.ptp(seen, axis=0)
    for _ in range(60):
        x, log_p = rectangle(p, center, reach, 121)
        peak = log_p.max()
        if not math.isfinite(peak):
            raise DensityError(
                "p's log density is -inf all around the example; give one near its mass"
            )
        inside = x[log_p > peak - 45.0]
        low, high = inside.min(axis=0), inside.max(axis=0)
        cell = 2.0 * reach / 120.0
        at_edge = (low <= center - reach + cell) | (high >= center + reach - cell)
        wanted = np.where(at_edge, 2.0 * reach, 0.5 * (high - low) + 2.0 * cell)
        if not at_edge.any() and (wanted > 0.75 * reach).all():
            break
        center, reach = 0.5 * (low + high), wanted
    x, log_p = rectangle(p, center, reach, SIDE)
    return _weighted(x, log_p)


def _weighted(x: Float[np.ndarray, "n d"], log_weight: Float[np.ndarray, " n"]) -> Nodes:
    weights = np.exp(log_weight - log_weight.max())
    weights /= weights.sum()
    kept = weights > _NEGLIGIBLE
    return Nodes(x[kept], weights[kept] / weights[kept].sum())
