"""Maximum likelihood of Gaussian mixtures by EM: the forward KL from samples.

Runs in coordinates in which the data have mean 0 and unit scales. Covariances are floored at a
millionth of the data's own, so that a component cannot collapse on a point.
"""

import math
from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from kullback._core.errors import InputError
from kullback.distributions._gaussian_mixture import GaussianMixture
from kullback.fitting._nodes import Nodes
from kullback.objectives import Layout
from kullback.solvers._minimise import Minimum

_FLOOR = 1e-6
#: Stop when an iteration gains less than this, in nats a row.
_GAIN = 1e-10


def maximum_likelihood(
    data: Nodes,
    layout: Layout,
    *,
    starts: int,
    rng: np.random.Generator,
    watch: Callable[[int], None],
    keep: bool,
) -> list[Minimum]:
    """Returns the end of EM from each start, values being minus the mean log-likelihood.

    When interrupted, what there is is returned if `keep`, otherwise nothing is.
    """
    found: list[Minimum] = []
    try:
        for _ in range(1 if layout.k == 1 else starts):
            found.append(climb(data, layout, _seed(data, layout, rng)))
            watch(len(found))
    except KeyboardInterrupt:
        if not (found and keep):
            raise
    return found


def climb(
    data: Nodes, layout: Layout, start: GaussianMixture, *, iterations: int = 2000
) -> Minimum:
    """Returns where EM ends from a start."""
    q, path, last = start, [layout.pack(start)], -math.inf
    count = 0
    for count in range(1, iterations + 1):
        log_joint = q.log_joint_columns((data.x - q.mean).T)
        log_q = np.logaddexp.reduce(log_joint, axis=0)
        value = float(data.weights @ log_q)
        if value - last < _GAIN * (1.0 + abs(value)):
            break
        last = value
        q = _update(data, np.exp(log_joint - log_q) * data.weights, diagonal=layout.diagonal)
        if count <= 20 or count % 20 == 0:
            path.append(layout.pack(q))
    end = layout.pack(q)
    value = float(data.weights @ q.log_prob(data.x))
    return Minimum(-value, end, (*path, end), count)


def _update(data: Nodes, mass: Float[np.ndarray, "k n"], *, diagonal: bool) -> GaussianMixture:
    totals = np.maximum(mass.sum(axis=1), 1e-300)
    means = (mass @ data.x) / totals[:, None]
    roots = []
    for m, mean, total in zip(mass, means, totals, strict=True):
        moved = data.x - mean
        covariance = (moved * m[:, None]).T @ moved / total
        if diagonal:
            covariance = np.diag(np.diag(covariance))
        roots.append(np.linalg.cholesky(covariance + _FLOOR * np.eye(len(mean))))
    return GaussianMixture(totals / totals.sum(), means, np.array(roots))


def _seed(data: Nodes, layout: Layout, rng: np.random.Generator) -> GaussianMixture:
    """k-means++ centres, each with the spread of the points closest to it."""
    n = len(data.x)
    centers = [data.x[rng.choice(n, p=data.weights)]]
    nearest = np.full(n, math.inf)
    for _ in range(layout.k - 1):
        nearest = np.minimum(nearest, np.sum((data.x - centers[-1]) ** 2, axis=1))
        odds = nearest * data.weights
        if odds.sum() <= 0.0:
            raise InputError(
                f"Mixture(k={layout.k}): the samples have only {len(centers)} distinct row(s); "
                "ask for fewer components"
            )
        centers.append(data.x[rng.choice(n, p=odds / odds.sum())])
    distance = np.stack([np.sum((data.x - c) ** 2, axis=1) for c in centers])
    hard = (distance == distance.min(axis=0)) * data.weights + 1e-3 * data.weights / layout.k
    return _update(data, hard, diagonal=layout.diagonal)
