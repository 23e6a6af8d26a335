"""Tempered sequential Monte Carlo: from a wide normal to a density, with the log of its integral.

Points walk through wide^(1 - beta) p^beta, beta from 0 to 1. At each temperature a few points are drawn by
their weights, each starts a Hamiltonian chain, and all points of all chains are kept ("waste-free").
The ratio of neighbouring integrals is the bridge of least variance between their points.

Sources: Del Moral, Doucet, Jasra (2006); Dau and Chopin (2022); Bennett (1976).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, final

import numpy as np
from jaxtyping import Float

from kullback.solvers._bridge import bridge
from kullback.solvers._density import Density
from kullback.solvers._moves import Points, log_wide, move

Array = np.ndarray
#: The share of points that must stay effective from one temperature to the next.
_EFFECTIVE = 0.5
_MOST_TEMPERATURES = 400
#: A trajectory goes a quarter of a turn around a Gaussian, so that its end forgets its start.
_TURN, _MOST_LEAPS = 1.5, 8
#: Trajectories at each temperature that are not kept.
_SETTLE = 2
#: Temperatures back to the common ancestor of a family.
_GENERATIONS = 6


@final
@dataclass(frozen=True, eq=False)
class Tempered:
    """Points of p reached from afar.

    Attributes:
        x, log_p: the points, (n, d), of all chains, and the log density there.
        family: which points have a common ancestor a few temperatures back, (n,): what they err in
            together, such as the share of a mode.
        log_evidence: the log of the integral of p.
        standard_error: of it: the chances of the points, and their lag behind the temperature.
        temperatures: how many were passed.
        complete: whether p itself was reached.
        interrupted: whether someone pressed Ctrl-C on the way.
    """

    x: Float[np.ndarray, "n d"]
    log_p: Float[np.ndarray, " n"]
    family: Array
    log_evidence: float
    standard_error: float
    temperatures: int
    complete: bool
    interrupted: bool = False


def temper(
    density: Density,
    center: Float[np.ndarray, " d"],
    root: Float[np.ndarray, "d d"],
    *,
    chains: int,
    length: int,
    rng: np.random.Generator,
    watch: Callable[[float], None],
    resume: dict[str, Any] | None = None,
    keep: Callable[[dict[str, Any]], None] | None = None,
) -> Tempered:
    """Returns points of p that started from a wide normal.

    Args:
        density: p.
        center, root: the mean of the wide normal to start from, and the root of its covariance.
        chains: how many.
        length: points kept of each.
        rng: randomness.
        watch: told beta, from 0 to 1.
        resume: a state that was kept, to go on from with the same bits.
        keep: told the state at each temperature.
    """
    chain = np.tile(np.arange(chains), length)
    log_det = float(np.linalg.slogdet(root)[1])

    def seen(v: Float[np.ndarray, "n d"]) -> tuple[Array, Array]:
        log_p, gradient = density(center + v @ root.T)
        return log_p + log_det, gradient @ root

    white = Density(seen, len(center))
    if resume is None:
        points = Points.at(white, rng.standard_normal((chains * length, len(center))))
        now = _Walk(points, np.arange(chains)[None], 0.0, 1.0, 0, 0.0, 0.0, 0.0)
    else:
        now = _Walk(**resume["walk"])
        rng.bit_generator.state = resume["randomness"]
        density.count = resume["gradients"]
    interrupted = False
    while now.beta < 1.0 and now.passed < _MOST_TEMPERATURES:
        try:
            on = _next(white, now, chain, length, rng)
        except KeyboardInterrupt:
            interrupted = True
            break
        if on is None:
            break
        now = on
        watch(now.beta)
        if keep is not None:
            state = rng.bit_generator.state
            keep({"walk": vars(now), "randomness": state, "gradients": density.count})
    error = math.hypot(math.sqrt(now.variance), 1.5 * (now.log_evidence - now.one_sided))
    return Tempered(
        center + now.points.x @ root.T,
        now.points.log_p - log_det,
        np.unique(_ancestors(now.lineage), return_inverse=True)[1][chain],
        now.log_evidence,
        error,
        now.passed,
        complete=now.beta >= 1.0,
        interrupted=interrupted,
    )


@final
@dataclass(frozen=True, eq=False)
class _Walk:
    """How far the points are: inverse temperature, step size, temperatures passed, log evidence.

    `lineage` holds the parent of each chain among the chains before, the last few temperatures.
    """

    points: Points
    lineage: Array
    beta: float
    step: float
    passed: int
    log_evidence: float
    one_sided: float
    variance: float


def _next(
    density: Density,
    now: _Walk,
    chain: Array,
    length: int,
    rng: np.random.Generator,
) -> _Walk | None:
    """The points at the next temperature; None if none of them has any weight there."""
    log_ratio = now.points.log_p - log_wide(now.points.x)
    rise = _rise(log_ratio, 1.0 - now.beta)
    beta = 1.0 if rise >= 1.0 - now.beta else now.beta + rise
    log_weights = rise * log_ratio
    if not np.isfinite(log_weights).any():
        return None
    root = _root(now.points.x, np.exp(log_weights - log_weights.max()), length)
    chains = len(chain) // length
    parents = _resampled(log_weights, chains, rng)
    points, step = now.points.take(parents), now.step
    kept = []
    for _ in range(length + (length if beta >= 1.0 else _SETTLE)):
        jittered = step * rng.uniform(0.8, 1.2)
        leaps = int(np.clip(round(_TURN / step), 1, _MOST_LEAPS))
        points, _, new = move(density, points, root, jittered, rng, leaps=leaps, beta=beta)
        step = min(new * step / jittered, _TURN)
        kept.append(points)
    points = Points.joined(kept[-length:])
    after = rise * (points.log_p - log_wide(points.x))
    gained, error = bridge(log_weights, after, groups=(chain, chain))
    forward = float(np.logaddexp.reduce(log_weights)) - math.log(len(log_weights))
    return _Walk(
        points,
        np.concatenate([now.lineage, chain[parents][None]])[-_GENERATIONS:],
        beta,
        step,
        now.passed + 1,
        now.log_evidence + gained,
        now.one_sided + forward,
        now.variance + error**2,
    )


def _ancestors(lineage: Array) -> Array:
    """The ancestor of each chain, as far back as the lineage goes."""
    found = lineage[-1]
    for parents in lineage[-2::-1]:
        found = parents[found]
    return found


def _rise(log_ratio: Float[np.ndarray, " n"], most: float) -> float:
    """How much beta may grow so that the effective share of the points stays what it must be."""
    finite = np.where(np.isfinite(log_ratio), log_ratio, -1e300)
    alive = float(np.isfinite(log_ratio).mean())
    top = finite.max()

    def share(rise: float) -> float:
        weights = np.exp(np.maximum(rise * (finite - top), -745.0))
        return float(weights.sum() ** 2 / (weights @ weights)) / len(weights)

    goal = _EFFECTIVE * alive
    if share(most) >= goal:
        return most
    low, high = 0.0, most
    for _ in range(60):
        middle = 0.5 * (low + high) if low > 0.0 else high * 0.01
        low, high = (middle, high) if share(middle) >= goal else (low, middle)
        if low > 0.0 and high - low < 1e-3 * high:
            break
    return max(low, 1e-300)


def _resampled(log_weights: Float[np.ndarray, " m"], count: int, rng: np.random.Generator) -> Array:
    """Indices of `count` points drawn by their weights, by systematic resampling."""
    weights = np.exp(log_weights - log_weights.max())
    heights = (rng.random() + np.arange(count)) / count
    below = np.cumsum(weights) / weights.sum()
    return np.minimum(np.searchsorted(below, heights), len(weights) - 1)


def _root(
    x: Array, weights: Float[np.ndarray, " n"], length: int
) -> Float[np.ndarray, "d d"] | float:
    """A root of the covariance of weighted points, drawn to a multiple of I by Ledoit and Wolf's rule."""
    weights = weights / weights.sum()
    v = (x - weights @ x).T
    covariance = (v * weights) @ v.T
    size = float(np.trace(covariance)) / len(v)
    away = float(np.sum((covariance - size * np.eye(len(v))) ** 2))
    squares = np.einsum("dn,dn->n", v, v)
    quadratic = np.einsum("dn,dn->n", v, covariance @ v)
    scatter = squares**2 - 2.0 * quadratic + float(np.sum(covariance**2))
    # Points of a chain are alike, and chains have common parents. A direction that is thought too long
    # is explored badly and stays so: better to doubt too much.
    doubt = float(weights**2 @ scatter) * 2.0 * length
    if away <= doubt:
        return math.sqrt(size)
    shrink = doubt / away
    mixed = (1.0 - shrink) * covariance + (shrink + 1e-10) * size * np.eye(len(v))
    return np.linalg.cholesky(mixed)
