"""Langevin and Hamiltonian moves, many points at once, for a density and its tempered kin."""

from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float

from kullback.solvers._density import Density

Array = np.ndarray
#: The share of proposals that is best accepted (Roberts and Rosenthal 1998).
_GOAL = 0.574
#: The same for trajectories of several leaps (Beskos et al. 2013).
_GOAL_OF_TRAJECTORIES = 0.7


@final
@dataclass(frozen=True, eq=False)
class Points:
    """Where the points of a population stand, with the log density and its gradient there."""

    x: Float[np.ndarray, "n d"]
    log_p: Float[np.ndarray, " n"]
    gradient: Float[np.ndarray, "n d"]

    @classmethod
    def at(cls, density: Density, x: Array) -> "Points":
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


def move(
    density: Density,
    points: Points,
    root: Float[np.ndarray, "d d"] | float,
    step: float,
    rng: np.random.Generator,
    *,
    leaps: int = 1,
    beta: float = 1.0,
) -> tuple[Points, Float[np.ndarray, " n"], float]:
    """Returns the points after a proposal each, the odds of acceptance, and the step to take next.

    Args:
        density: p.
        points: where they stand.
        root: of the covariance of proposals; a number for a multiple of the identity.
        step: the length of a leap, in units of `root`.
        rng: randomness.
        leaps: leapfrog steps to a proposal; 1 is MALA.
        beta: the target is N(0, I)^(1 - beta) p^beta: p itself at 1.
    """
    value, slope = _target(points, beta)
    start = rng.standard_normal(points.x.shape)
    momentum, there, value_there = start, points, value
    for _ in range(leaps):
        momentum = momentum + 0.5 * step * _bounded(_times(slope, root), step)
        there = Points.at(density, there.x + step * _times(momentum, root, turned=True))
        value_there, slope = _target(there, beta)
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


def _target(points: Points, beta: float) -> tuple[Array, Array]:
    if beta == 1.0:
        return points.log_p, points.gradient
    with np.errstate(invalid="ignore"):
        value = beta * points.log_p + (1.0 - beta) * log_wide(points.x)
    return value, beta * points.gradient - (1.0 - beta) * points.x


def log_wide(x: Float[np.ndarray, "n d"]) -> Float[np.ndarray, " n"]:
    """Returns the log density of N(0, I), from which tempering starts."""
    return -0.5 * (np.einsum("nd,nd->n", x, x) + x.shape[1] * np.log(2.0 * np.pi))


def _times(x: Array, root: Array | float, *, turned: bool = False) -> Array:
    if isinstance(root, np.ndarray):
        return x @ root.T if turned else x @ root
    return x * root


def _bounded(slope: Array, step: float) -> Array:
    """The slope with its length cut off, so that far out a proposal does not leap (Roberts, Tweedie 1996)."""
    longest = 4.0 * np.sqrt(slope.shape[1]) / step
    length = np.linalg.norm(slope, axis=1, keepdims=True)
    return slope * np.minimum(1.0, longest / np.maximum(length, 1e-300))
