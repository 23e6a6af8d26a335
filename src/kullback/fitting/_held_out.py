"""Fits to samples, and how well they do on rows they have not seen."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float

from kullback.distributions._base import Distribution
from kullback.distributions._gaussian_mixture import GaussianMixture
from kullback.fitting import _em, _gaussians, _parametric
from kullback.fitting._nodes import Nodes
from kullback.fitting._optima import gather
from kullback.objectives import Layout
from kullback.results._estimate import Estimate

FOLDS = 10


@final
@dataclass(frozen=True)
class Found:
    """The optima with the shares of starts that led there, the way to the best, and the cost."""

    ends: list[tuple[Distribution, float]]
    path: tuple[Distribution, ...]
    starts: int
    evaluations: int


Solver = Callable[[Nodes, np.random.Generator], Found]


def gaussian_solver(
    layout: Layout, starts: int, watch: Callable[[int], None], *, keep: bool = True
) -> Solver:
    """Returns EM for a layout, in coordinates in which the data have mean 0 and unit scales."""

    def solve(data: Nodes, rng: np.random.Generator) -> Found:
        center, scale = data.mean, np.sqrt(np.diag(data.covariance))
        unit = Nodes((data.x - center) / scale, data.weights)
        minima = _em.maximum_likelihood(
            unit, layout, starts=starts, rng=rng, watch=watch, keep=keep
        )
        basins = gather(minima, lambda m: np.sort(layout.unpack(m.at).means.ravel()), within=0.05)

        def back(vector: Float[np.ndarray, " m"]) -> Distribution:
            q = layout.unpack(vector)
            moved = GaussianMixture(
                q.weights, center + scale * q.means, scale[:, None] * q.scale_trils
            )
            return _gaussians.member(moved, scalar=layout.d == 1)

        ends = [(back(b.best.at), b.count / len(minima)) for b in basins]
        path = tuple(back(v) for v in basins[0].best.path)
        return Found(ends, path, len(minima), sum(m.evaluations for m in minima))

    return solve


def parametric_solver(family: _parametric.Parametric, watch: Callable[[int], None]) -> Solver:
    """Returns maximum likelihood for a family of scalars."""

    def solve(data: Nodes, rng: np.random.Generator) -> Found:
        del rng
        minima = _parametric.minima(family, _parametric.to_nodes(data), watch)
        basins = gather(minima, lambda m: m.at, within=1e-3)
        ends = [(family.build(b.best.at), b.count / len(minima)) for b in basins]
        path = tuple(family.build(v) for v in basins[0].best.path)
        return Found(ends, path, len(minima), sum(m.evaluations for m in minima))

    return solve


def score(data: Nodes, solve: Solver, rng: np.random.Generator) -> Estimate | None:
    """Returns the mean log-probability of rows left out of the fit, by cross-validation.

    Its standard error is that of a mean over rows. None when there are too few rows to leave out, or
    when it is interrupted.
    """
    n = len(data.x)
    if n < 2 * FOLDS:
        return None
    fold = rng.permutation(n) % FOLDS
    log_q = np.empty(n)
    try:
        for i in range(FOLDS):
            kept = fold != i
            part = Nodes(data.x[kept], data.weights[kept] / data.weights[kept].sum())
            q = solve(part, rng).ends[0][0]
            x = data.x[~kept]
            log_q[~kept] = q.log_prob(x[:, 0] if q.support.dimension == 0 else x)
    except KeyboardInterrupt:
        return None
    mean = float(data.weights @ log_q)
    effective = 1.0 / float(data.weights @ data.weights)
    error = float(np.sqrt(data.weights @ (log_q - mean) ** 2 / max(effective - 1.0, 1.0)))
    return Estimate(
        value=mean,
        standard_error=error,
        interval=(mean - 1.96 * error, mean + 1.96 * error),
        quantity="log_prob",
        direction="E_p[log q]",
        kind="estimate",
        method=f"rows held out, {FOLDS}-fold",
        n=n,
    )
