"""The reverse fit of a Gaussian whose covariance is diagonal plus r outer products, D^2 + B B'."""

import math
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float

from kullback.core.run import Run
from kullback.fitting.climbs import Climbs
from kullback.fitting.components import Components, one
from kullback.fitting.natural_gradient import slope_at
from kullback.fitting.reverse import NATS, ReverseFit, settled
from kullback.solvers.minimise import descend
from kullback.solvers.modes import CountedDensity, whitened

Array = np.ndarray
_FEWEST_OF_LOW_RANK, _MOST_OF_LOW_RANK, _ITERATIONS = 64, 2**13, 200


@final
@dataclass(frozen=True, eq=False)
class Factors:
    """N(mean, diag(scale)^2 + factor factor')."""

    mean: Float[np.ndarray, " d"]
    scale: Float[np.ndarray, " d"]
    factor: Float[np.ndarray, "d r"]

    @property
    def root(self) -> Float[np.ndarray, "d d"]:
        """The Cholesky factor of the covariance."""
        return np.linalg.cholesky(np.diag(self.scale**2) + self.factor @ self.factor.T)


def low_rank_fit(density: CountedDensity, found: Climbs, r: int, run: Run) -> ReverseFit:
    """Returns the Gaussian with r outer products that is closest in KL(q||p).

    Args:
        density: log p, unnormalised.
        found: where to start.
        r: outer products, at most d.
        run: randomness, progress.
    """
    d = density.dimension
    now = start_of(found.starts[0], min(r, d))
    n, level = max(_FEWEST_OF_LOW_RANK, 8 * (now.factor.shape[1] + 2)), 0
    trace: list[tuple[int, float, int]] = []
    interrupted = False
    while True:
        z = whitened(d + now.factor.shape[1], n, run.generator("low rank draws", level))
        try:
            now = _ascended(density, now, z, run)
        except KeyboardInterrupt:
            interrupted = True
        q = one(now.mean, now.root)
        noise, elbo = _noise(density, q, now, z)
        trace.append((density.count, elbo, n))
        if interrupted or settled(noise) or n >= _MOST_OF_LOW_RANK:
            return ReverseFit(q, (), tuple(trace), noise, n, grown=False, interrupted=interrupted)
        n, level = min(4 * n, _MOST_OF_LOW_RANK), level + 1


def start_of(q: Components, r: int) -> Factors:
    """Returns the factors of a Gaussian: the largest correlations, and what precisions leave."""
    scale = q.within(diagonal=True).roots[0]
    vectors, sizes, _ = np.linalg.svd(q.roots[0] / scale[:, None])
    kept = np.sqrt(np.maximum(sizes[:r] ** 2 - 1.0, 1e-4))
    return Factors(q.means[0], scale, scale[:, None] * vectors[:, :r] * kept)


def _ascended(
    density: CountedDensity, start: Factors, z: Float[np.ndarray, "n c"], run: Run
) -> Factors:
    d, r = start.factor.shape
    own, shared = z[:, :d], z[:, d:]

    def unpack(v: Float[np.ndarray, " m"]) -> Factors:
        mean, logs, factor = np.split(v, [d, 2 * d])
        return Factors(
            start.mean + start.scale * mean,
            start.scale * np.exp(np.clip(logs, -30.0, 30.0)),
            start.scale[:, None] * factor.reshape(d, r),
        )

    def objective(v: Float[np.ndarray, " m"]) -> tuple[float, Float[np.ndarray, " m"]]:
        q = unpack(v)
        log_p, gradient = density(q.mean + own * q.scale + shared @ q.factor.T)
        if not np.isfinite(log_p).all():
            return math.inf, np.zeros_like(v)
        half_log_det, inverse_diagonal, solved = _woodbury(q)
        by_mean = gradient.mean(axis=0)
        by_log = (gradient * own).mean(axis=0) * q.scale + q.scale**2 * inverse_diagonal
        by_factor = gradient.T @ shared / len(z) + solved
        uphill = [by_mean * start.scale, by_log, (by_factor * start.scale[:, None]).ravel()]
        elbo = float(log_p.mean()) + half_log_det + 0.5 * d * math.log(2.0 * math.pi * math.e)
        run.told(density.count, elbo)
        return -elbo, -np.concatenate(uphill)

    factor = (start.factor / start.scale[:, None]).ravel()
    begin = np.concatenate([np.zeros(2 * d), factor])
    return unpack(descend(objective, begin, iterations=_ITERATIONS, gain=0.1 * NATS).at)


def _woodbury(q: Factors) -> tuple[float, Float[np.ndarray, " d"], Float[np.ndarray, "d r"]]:
    """Half the log determinant of the covariance S, the diagonal of its inverse, and its inverse times B."""
    precision = q.scale**-2.0
    scaled = q.factor * precision[:, None]
    small = np.eye(q.factor.shape[1]) + q.factor.T @ scaled
    root = np.linalg.cholesky(small)
    half = np.linalg.solve(root, scaled.T)
    half_log_det = float(np.log(q.scale).sum() + np.log(np.diag(root)).sum())
    return half_log_det, precision - np.sum(half**2, axis=0), np.linalg.solve(small, scaled.T).T


def _noise(
    density: CountedDensity, q: Components, factors: Factors, z: Float[np.ndarray, "n c"]
) -> tuple[tuple[float, float], float]:
    """What the draws leave unknown, in nats and sds, and the ELBO on them.

    A full covariance's share is scaled to the numbers that this family has.
    """
    d, r = factors.factor.shape
    x = factors.mean + z[:, :d] * factors.scale + z[:, d:] @ factors.factor.T
    white = np.linalg.solve(q.roots[0], (x - factors.mean).T).T
    slope = slope_at(density, q, white)
    by_mean = 0.5 * d * slope.noise[1] ** 2
    numbers = min(d * (r + 1), d * (d + 1) // 2) / (d * (d + 1) / 2)
    return (min(slope.noise[0], by_mean + numbers * slope.noise[0]), slope.noise[1]), slope.elbo
