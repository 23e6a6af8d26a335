"""The mean and the covariance of p by draws that cover it, and rows that have them.

What the draws leave unknown is made smaller by a Gaussian whose own moments are known: where p is that
Gaussian, nothing is left (Owen and Zhou 2000).
"""

import math
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float

from kullback.core.errors import InputError
from kullback.core.run import Run
from kullback.diagnostics.adaptive import Cover, root_of, towards
from kullback.fitting.reverse import NATS
from kullback.solvers.modes import CountedDensity
from kullback.targets import Samples

Array = np.ndarray

#: Draws at most.
_MOST = 2**16
#: Eigenvalues of a covariance with a control, in coordinates in which that without is the identity, at least.
_LEAST = 0.2


@final
@dataclass(frozen=True, eq=False)
class Moments:
    """Of p, as far as draws tell.

    Attributes:
        mean, root: of p: the root of its covariance.
        raw_mean, raw_root: the same by the weights alone.
        error: what a Gaussian with the true moments would gain in KL(p||q), in nats.
        sds: the largest error of a mean or an sd, in sds.
    """

    mean: Float[np.ndarray, " d"]
    root: Float[np.ndarray, "d d"]
    raw_mean: Float[np.ndarray, " d"]
    raw_root: Float[np.ndarray, "d d"]
    error: float
    sds: float


def moments(c: Cover) -> Moments:
    """Returns the mean and covariance of p: the weights' own, less what they get wrong of the Gaussian's.

    Raises:
        InputError: the draws that have a weight lie in a plane.
    """
    n, p = len(c.x), c.weights
    own = c.anchor.log_prob(c.x) - c.log_r
    q = np.exp(own - own.max())
    q /= q.mean()
    mean = p @ c.x / n
    root = root_of((c.x - mean).T * p @ (c.x - mean) / n)
    if root is None:
        raise InputError("too few draws have a weight for a covariance")
    z = np.linalg.solve(root, (c.x - mean).T).T
    shift = np.linalg.solve(root, c.anchor.means[0] - mean)
    turned = np.linalg.solve(root, c.anchor.matrices[0])
    known = turned @ turned.T + np.outer(shift, shift)
    first, doubt = _controlled(p, q, z, np.ones((n, 1)), shift[:, None])
    second, doubts = _controlled(p, q, z, z, known)
    first = first[:, 0]
    inner = root_of(second - np.outer(first, first), least=_LEAST)
    if inner is None:
        first, inner = np.zeros_like(first), np.eye(len(first))
    error = 0.5 * float(doubt.sum()) + 0.25 * float(doubts.sum())
    sds = math.sqrt(max(float(doubt.max()), 0.25 * float(np.diag(doubts).max())))
    return Moments(mean + root @ first, root @ inner, mean, root, error, sds)


def _controlled(
    p: Array, q: Array, a: Float[np.ndarray, "n d"], b: Float[np.ndarray, "n e"], known: Array
) -> tuple[Array, Array]:
    """The means of a b' by weights p with those by weights q as controls, and the squares of their errors."""
    n = len(a)

    def by(w: Array, a: Array = a, b: Array = b) -> Array:
        return (a.T * w) @ b / n

    mean_p, mean_q = by(p), by(q)

    def covariance(v: Array, w: Array, mean_v: Array, mean_w: Array) -> Array:
        vw = v * w
        both = by(vw)
        return by(vw, a**2, b**2) - (mean_v + mean_w) * both + mean_v * mean_w * vw.mean()

    var_p, var_q = covariance(p, p, mean_p, mean_p), covariance(q, q, mean_q, mean_q)
    shared = covariance(p, q, mean_p, mean_q)
    slope = shared / np.maximum(var_q, 1e-300)
    left = np.maximum(var_p - slope * shared, 0.0)
    return mean_p - slope * (mean_q - known), left / n


def samples(c: Cover, names: tuple[str, ...]) -> tuple[Samples, Moments]:
    """Returns the draws as rows, moved so that their moments are the best known, worth what they are."""
    found = moments(c)
    z = np.linalg.solve(found.raw_root, (c.x - found.raw_mean).T).T
    weights = c.weights * (c.effective / len(c.x))
    held = c.weights > 1e-10 * c.weights.max()
    kinds = ("continuous",) * len(names)
    rows = (found.mean + z @ found.root.T)[held]
    return Samples(rows, weights[held], columns=names, kinds=kinds), found


def enough(density: CountedDensity, now: Cover, parameters: int, run: Run) -> Cover:
    """Returns draws so many that a fit of some parameters to them is known to a hundredth of a nat.

    Args:
        density: log p.
        now: draws of p.
        parameters: of the family; 0 where p's mean and covariance are all it takes.
        run: randomness and progress.
    """
    if parameters:
        error = parameters / (2.0 * now.effective)
    else:
        found = moments(now)

        def squares(c: Cover) -> Array:
            return np.sum(np.linalg.solve(found.root, (c.x - found.mean).T) ** 2, axis=0)

        now = towards(density, now, squares, run, "moments")[0]
        error = moments(now).error
    wanted = len(now.x) * min(np.nan_to_num(error, nan=np.inf) / NATS, _MOST / len(now.x))
    more = int(wanted) - len(now.x)
    return now.with_more(density, now.proposal, more, run) if more > 0 else now
