"""Mixtures of Gaussians fitted to a known density, in either direction, from many starts."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float

from kullback._core.errors import UnsupportedError
from kullback.distributions._base import Distribution
from kullback.distributions._compound import Mixture
from kullback.distributions._gaussian_mixture import GaussianMixture
from kullback.distributions._real import Normal
from kullback.distributions._vector import MultivariateNormal
from kullback.fitting._nodes import Nodes, standard_normal
from kullback.fitting._optima import Basin, gather
from kullback.objectives import Forward, Layout, Reverse
from kullback.results._fit import Direction
from kullback.solvers._minimise import Minimum, descend_all


@final
@dataclass(frozen=True)
class Descents:
    """The basins found, how many starts there were, evaluations over all, and whether it was stopped."""

    basins: list[Basin]
    starts: int
    evaluations: int
    interrupted: bool


def descents(
    p: Distribution,
    nodes: Nodes,
    layout: Layout,
    direction: Direction,
    *,
    starts: int,
    rng: np.random.Generator,
    watch: Callable[[int], None],
) -> Descents:
    """Returns the local optima that descents from random starts reach.

    Works in coordinates in which p has mean 0 and covariance I. `watch` is told of each descent.
    """
    if direction == "reverse":
        center, root = nodes.bulk()
    else:
        center, root = nodes.mean, np.linalg.cholesky(_regular(nodes.covariance))
    if layout.diagonal:
        root = np.diag(np.sqrt(np.diag(root @ root.T)))
    inverse = np.linalg.inv(root)
    white = Nodes((nodes.x - center) @ inverse.T, nodes.weights)
    if direction == "forward":
        objective = Forward(layout, white.x, white.weights)
    else:
        _check_covered(p)
        z = standard_normal(layout.d)
        objective = Reverse(layout, z.x, z.weights, lambda y: _log_prob(p, center + y @ root.T))
    minima: list[Minimum] = []
    interrupted = False
    try:
        for minimum in descend_all(objective, _starts(white, layout, starts, rng)):
            minima.append(minimum)
            watch(len(minima))
    except KeyboardInterrupt:
        if not minima:
            raise
        interrupted = True
    usable = [m for m in minima if _sane(layout.unpack(m.at))]
    if not usable:
        raise UnsupportedError(
            "no start led to an optimum: is the target a density with finite moments?"
        )
    basins = gather(usable, lambda m: _features(layout.unpack(m.at)))
    return Descents(
        [_back(b, layout, center, root) for b in basins],
        len(minima),
        sum(m.evaluations for m in minima),
        interrupted,
    )


def member(mixture: GaussianMixture, *, scalar: bool) -> Distribution:
    """Returns a mixture as the simplest distribution it is, its components in order."""
    order = order_of(mixture.means, mixture.scale_trils)
    kept = [k for k in order if mixture.weights[k] > 0.0]
    if scalar:
        parts = tuple(
            Normal(float(mixture.means[k, 0]), float(mixture.scale_trils[k, 0, 0])) for k in kept
        )
        return parts[0] if len(parts) == 1 else Mixture(mixture.weights[kept], parts)
    if len(kept) == 1:
        return MultivariateNormal(mixture.means[kept[0]], mixture.scale_trils[kept[0]])
    return GaussianMixture(mixture.weights[kept], mixture.means[kept], mixture.scale_trils[kept])


def _starts(
    nodes: Nodes, layout: Layout, n: int, rng: np.random.Generator
) -> Iterator[Float[np.ndarray, " m"]]:
    """Yields random mixtures: means drawn from p, scales over a decade, any weights."""
    k, d = layout.k, layout.d
    for i in range(n):
        if d == 1 and i % 3 == 2:
            yield _at_scales_of_p(nodes, layout, rng)
            continue
        means = nodes.x[rng.choice(len(nodes.x), k, p=nodes.weights)]
        means = means + 0.1 * rng.standard_normal((k, d))
        scales = np.exp(rng.uniform(np.log(0.1), np.log(1.2), k))
        roots = scales[:, None, None] * np.eye(d)
        yield layout.pack(GaussianMixture(rng.dirichlet(np.full(k, 2.0)), means, roots))


def _at_scales_of_p(
    nodes: Nodes, layout: Layout, rng: np.random.Generator
) -> Float[np.ndarray, " m"]:
    """A mixture on the line as narrow as p is where its means are: nodes crowd where p is narrow."""
    x = nodes.x[:, 0]
    order = np.argsort(x)
    x, weights = x[order], nodes.weights[order]
    at = rng.choice(len(x), layout.k, p=weights)
    below = np.cumsum(weights)
    near = np.searchsorted(below, np.minimum(below[at] + rng.uniform(0.02, 0.3, layout.k), 1.0))
    widths = np.abs(x[np.minimum(near, len(x) - 1)] - x[at])
    scales = np.clip(widths, 1e-4, 3.0)
    means = x[at][:, None]
    return layout.pack(
        GaussianMixture(rng.dirichlet(np.full(layout.k, 2.0)), means, scales[:, None, None])
    )


def order_of(
    means: Float[np.ndarray, "k d"],
    roots: Float[np.ndarray, "k d d"],
) -> np.ndarray:
    """Returns the order of components by their means, of those that share one by their scales."""
    scales = np.diagonal(roots, axis1=1, axis2=2)
    keys = np.concatenate([np.round(means, 5) + 0.0, scales], axis=1)
    return np.lexsort(keys.T[::-1])


def _features(mixture: GaussianMixture) -> Float[np.ndarray, " f"]:
    """Weights, means and scales, with components in the order of their means."""
    order = order_of(mixture.means, mixture.scale_trils)
    weights = mixture.weights[order]
    # A component without weight may stand anywhere.
    seen = (weights > 1e-4)[:, None]
    covariances = mixture.covariances[order].reshape(len(order), -1)
    parts = [weights, (mixture.means[order] * seen).ravel(), (covariances * seen).ravel()]
    return np.concatenate(parts)


def _back(
    basin: Basin, layout: Layout, center: Float[np.ndarray, " d"], root: Float[np.ndarray, "d d"]
) -> Basin:
    """Returns the basin in the coordinates of p."""

    def moved(vector: Float[np.ndarray, " m"]) -> Float[np.ndarray, " m"]:
        q = layout.unpack(vector)
        return layout.pack(
            GaussianMixture(q.weights, center + q.means @ root.T, root @ q.scale_trils)
        )

    best = basin.best
    path = tuple(moved(v) for v in best.path)
    end = Minimum(best.value, moved(best.at), path, best.evaluations)
    return Basin(end, basin.count, basin.spread * float(np.max(np.diag(root))))


def _sane(q: GaussianMixture) -> bool:
    """Whether q is no spike between nodes and has not run away."""
    scales = np.diagonal(q.scale_trils, axis1=1, axis2=2)
    heavy = q.weights > 1e-6
    return bool((scales[heavy] > 1e-5).all() and (scales[heavy] < 1e3).all())


def _check_covered(p: Distribution) -> None:
    s = p.support
    if s.dimension == 0 and (np.isfinite(s.low) or np.isfinite(s.high)):
        raise UnsupportedError(
            f"KL(q||p) is infinite for every Gaussian q: p lives on {s} and q everywhere; choose a "
            "family on that support, such as numpyro.distributions.Gamma, or direction='forward'"
        )


def _log_prob(p: Distribution, x: Float[np.ndarray, "n d"]) -> Float[np.ndarray, " n"]:
    return p.log_prob(x[:, 0] if p.support.dimension == 0 else x)


def _regular(covariance: Float[np.ndarray, "d d"]) -> Float[np.ndarray, "d d"]:
    if not np.isfinite(covariance).all() or np.diag(covariance).min() <= 0.0:
        raise UnsupportedError(
            "the target has no finite, positive variance: no Gaussian is closest to it"
        )
    return covariance
