"""Tempered sequential Monte Carlo: from a wide normal to a density, with the log of its integral.

Points walk through wide^(1 - beta) p^beta, beta from 0 to 1. At each temperature a few points are drawn by
their weights, each starts a Hamiltonian chain, and all points of all chains are kept ("waste-free").
The ratio of neighbouring integrals is the bridge of least variance between their points.

Sources: Del Moral, Doucet, Jasra (2006); Dau and Chopin (2022); Bennett (1976).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, final, runtime_checkable

import numpy as np
from jaxtyping import Float, Int

from kullback.solvers.bridge import bridge
from kullback.solvers.modes import CountedDensity
from kullback.solvers.shear import Shear

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
        shear: the coordinates in which they walked, where p has a neck; None for its own.
    """

    x: Float[np.ndarray, "n d"]
    log_p: Float[np.ndarray, " n"]
    family: Array
    log_evidence: float
    standard_error: float
    temperatures: int
    complete: bool
    interrupted: bool = False
    shear: Shear | None = None


@runtime_checkable
class Normals(Protocol):
    """A mixture of normals, in coordinates in which the wide one is N(0, I)."""

    @property
    def weights(self) -> Array: ...

    @property
    def means(self) -> Array: ...

    @property
    def roots(self) -> Array: ...

    def log_prob(self, x: Array, /) -> Array:
        """Returns the log density at n points."""
        ...

    def log_prob_and_score(self, x: Array, /) -> tuple[Array, Array]:
        """Returns the log density and its gradient at n points."""
        ...


def temper(
    density: CountedDensity,
    center: Float[np.ndarray, " d"],
    root: Float[np.ndarray, "d d"],
    *,
    mixture: Normals | None = None,
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
        mixture: what to start from instead, in coordinates in which the wide normal is N(0, I): where p is known
            to have mass that hardly any point of the wide one would find.
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

    white = CountedDensity(seen, len(center))
    base = Base(mixture)
    if resume is None:
        x = np.empty((chains * length, len(center)))
        x[base.order(chain)] = base.sample(rng, len(x), len(center))
        points = Points.at(white, x)
        now = _Walk(points, np.arange(chains)[None], 0.0, 1.0, 0, 0.0, 0.0, 0.0)
    else:
        now = _Walk(**resume["walk"])
        rng.bit_generator.state = resume["randomness"]
        density.count = resume["gradients"]
    interrupted = False
    while now.beta < 1.0 and now.passed < _MOST_TEMPERATURES:
        try:
            on = _next(white, base, now, chain, length, rng)
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


# Langevin and Hamiltonian moves, many points at once, for a density and its tempered kin.


@final
@dataclass(frozen=True, eq=False)
class Points:
    """Where the points of a population stand, with the log density and its gradient there."""

    x: Float[np.ndarray, "n d"]
    log_p: Float[np.ndarray, " n"]
    gradient: Float[np.ndarray, "n d"]

    @classmethod
    def at(cls, density: CountedDensity, x: Array) -> "Points":
        """Returns points, looked up."""
        return cls(x, *density(x))

    @classmethod
    def joined(cls, parts: list["Points"]) -> "Points":
        """Returns the points of several sets, one set after the other."""
        return cls(
            np.concatenate([p.x for p in parts]),
            np.concatenate([p.log_p for p in parts]),
            np.concatenate([p.gradient for p in parts]),
        )

    def take(self, index: Array) -> "Points":
        """Returns some of them, perhaps several times."""
        return Points(self.x[index], self.log_p[index], self.gradient[index])


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
    density: CountedDensity,
    base: "Base",
    now: _Walk,
    chain: Array,
    length: int,
    rng: np.random.Generator,
) -> _Walk | None:
    """The points at the next temperature; None if none of them has any weight there."""
    log_ratio = now.points.log_p - base.log_prob(now.points.x)
    rise = _rise(log_ratio, 1.0 - now.beta)
    beta = 1.0 if rise >= 1.0 - now.beta else now.beta + rise
    log_weights = rise * log_ratio
    if not np.isfinite(log_weights).any():
        return None
    root = _root(now.points.x, np.exp(log_weights - log_weights.max()), length)
    chains = len(chain) // length
    order = base.order(chain)
    parents = order[_resampled(log_weights[order], chains, rng)]
    points, step = now.points.take(parents), now.step
    kept = []
    for _ in range(length + (length if beta >= 1.0 else _SETTLE)):
        jittered = step * rng.uniform(0.8, 1.2)
        leaps = int(np.clip(round(_TURN / step), 1, _MOST_LEAPS))
        points, _, new = move(
            density, points, root, jittered, rng, leaps=leaps, beta=beta, base=base
        )
        step = min(new * step / jittered, _TURN)
        kept.append(points)
    points = Points.joined(kept[-length:])
    after = rise * (points.log_p - base.log_prob(points.x))
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


#: The share of proposals that is best accepted (Roberts and Rosenthal 1998).
_GOAL = 0.574
#: The same for trajectories of several leaps (Beskos et al. 2013).
_GOAL_OF_TRAJECTORIES = 0.7


def move(
    density: CountedDensity,
    points: Points,
    root: Float[np.ndarray, "*n d d"] | float,
    step: float,
    rng: np.random.Generator,
    *,
    leaps: int = 1,
    beta: float = 1.0,
    base: "Base | None" = None,
) -> tuple[Points, Float[np.ndarray, " n"], float]:
    """Returns the points after a proposal each, the odds of acceptance, and the step to take next.

    Args:
        density: p.
        points: where they stand.
        root: of the covariance of proposals, or one for each point; a number for a multiple of the identity.
        step: the length of a leap, in units of `root`.
        rng: randomness.
        leaps: leapfrog steps to a proposal; 1 is MALA.
        beta: the target is base^(1 - beta) p^beta: p itself at 1.
        base: the density at beta = 0; N(0, I) if not given.
    """
    base = base or Base()
    value, slope = base.towards(points, beta)
    start = rng.standard_normal(points.x.shape)
    momentum, there, value_there = start, points, value
    for _ in range(leaps):
        momentum = momentum + 0.5 * step * _bounded(_times(slope, root), step)
        there = Points.at(density, there.x + step * _times(momentum, root, turned=True))
        value_there, slope = base.towards(there, beta)
        momentum = momentum + 0.5 * step * _bounded(_times(slope, root), step)
    with np.errstate(invalid="ignore"):
        log_odds = value_there - value + 0.5 * np.sum(start**2 - momentum**2, axis=1)
    odds = np.exp(np.minimum(np.where(np.isnan(log_odds), -np.inf, log_odds), 0.0))
    moved = rng.random(len(odds)) < odds
    kept = Points(
        np.where(moved[:, None], there.x, points.x),
        np.where(moved, there.log_p, points.log_p),
        np.where(moved[:, None], there.gradient, points.gradient),
    )
    goal = _GOAL if leaps == 1 else _GOAL_OF_TRAJECTORIES
    return kept, odds, float(step * np.exp(odds.mean() - goal))


# What tempering starts from.


@final
@dataclass(frozen=True, eq=False)
class Base:
    """N(0, I), or a mixture in its place."""

    mixture: Normals | None = None

    def sample(self, rng: np.random.Generator, n: int, d: int) -> Float[np.ndarray, "n d"]:
        """Returns n draws, those of one normal beside each other, as many of each as its weight says."""
        z = rng.standard_normal((n, d))
        if self.mixture is None:
            return z
        which = np.searchsorted(np.cumsum(self.mixture.weights)[:-1], (np.arange(n) + 0.5) / n)
        return self.mixture.means[which] + np.einsum("nij,nj->ni", self.mixture.roots[which], z)

    def order(self, chain: Int[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
        """Returns the order of points in which modes lie together: resampling then keeps their shares."""
        alone = self.mixture is None
        return np.arange(len(chain)) if alone else np.argsort(chain, kind="stable")

    def log_prob(self, x: Float[np.ndarray, "n d"]) -> Float[np.ndarray, " n"]:
        """Returns the log density."""
        return log_wide(x) if self.mixture is None else self.mixture.log_prob(x)

    def towards(self, points: Points, beta: float) -> tuple[Array, Array]:
        """Returns the log density of base^(1 - beta) p^beta, and its gradient."""
        if beta == 1.0:
            return points.log_p, points.gradient
        if self.mixture is None:
            log_base, slope = log_wide(points.x), -points.x
        else:
            log_base, slope = self.mixture.log_prob_and_score(points.x)
        with np.errstate(invalid="ignore"):
            value = beta * points.log_p + (1.0 - beta) * log_base
        return value, beta * points.gradient + (1.0 - beta) * slope


def log_wide(x: Float[np.ndarray, "n d"]) -> Float[np.ndarray, " n"]:
    """Returns the log density of N(0, I)."""
    return -0.5 * (np.einsum("nd,nd->n", x, x) + x.shape[1] * np.log(2.0 * np.pi))


def _times(x: Array, root: Array | float, *, turned: bool = False) -> Array:
    if isinstance(root, np.ndarray) and root.ndim == 3:
        return np.einsum("nij,nj->ni" if turned else "nji,nj->ni", root, x)
    if isinstance(root, np.ndarray):
        return x @ root.T if turned else x @ root
    return x * root


def _bounded(slope: Array, step: float) -> Array:
    """The slope with its length cut off, so that far out a proposal does not leap (Roberts, Tweedie 1996)."""
    longest = 4.0 * np.sqrt(slope.shape[1]) / step
    length = np.linalg.norm(slope, axis=1, keepdims=True)
    return slope * np.minimum(1.0, longest / np.maximum(length, 1e-300))
