"""Shapes that Gaussians cannot follow: banana, funnel, separate modes, heavy tails."""

import math
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.scipy.special import logsumexp

from benchmarks.posteriors.record import Posterior, zeros

DF = 3.0
FUNNEL_SD = 3.0
WEIGHTS = (0.3, 0.4, 0.3)
SDS = (0.3, 0.4, 0.3)


def banana(x: Any) -> Any:
    """x0 ~ N(0, 1), x1 ~ N(x0² - 1, ½²)."""
    return -0.5 * x[0] ** 2 - 2.0 * (x[1] - x[0] ** 2 + 1.0) ** 2


def funnel(x: Any) -> Any:
    """v ~ N(0, 3²), the other nine N(0, e^v)."""
    v, rest = x[0], x[1:]
    return -0.5 * (v / FUNNEL_SD) ** 2 - 0.5 * jnp.sum(rest**2) * jnp.exp(-v) - 0.5 * len(rest) * v


class Modes:
    """A normalised mixture of round Gaussians."""

    def __init__(self, weights: Any, means: Any, sds: Any) -> None:
        self.weights = np.asarray(weights)
        self.means = np.asarray(means, dtype=float).reshape(len(self.weights), -1)
        self.sds = np.asarray(sds)

    def log_density(self, x: Any) -> Any:
        d = self.means.shape[1]
        squares = jnp.sum((x - self.means) ** 2, axis=1) / self.sds**2
        constant = np.log(self.weights) - d * np.log(self.sds) - 0.5 * d * math.log(2.0 * math.pi)
        return logsumexp(constant - 0.5 * squares)

    def sample(self, rng: np.random.Generator, n: int) -> np.ndarray:
        which = rng.choice(len(self.weights), n, p=self.weights)
        noise = rng.standard_normal((n, self.means.shape[1]))
        return self.means[which] + self.sds[which, None] * noise


MODES: dict[str, Modes] = {
    **{f"three_modes_{s}": Modes(WEIGHTS, [-s, 0.0, s], SDS) for s in (2, 3, 6)},
    "three_modes_plane": Modes(WEIGHTS, [[-3.0, 0.0], [0.0, 1.0], [3.0, 0.0]], SDS),
    "two_modes_far": Modes((0.3, 0.7), [[0.0, 0.0], [40.0, 0.0]], (1.0, 1.0)),
}


def student(x: Any) -> Any:
    """Multivariate t of 3 degrees of freedom."""
    return -0.5 * (DF + len(x)) * jnp.log1p(jnp.sum(x**2) / DF)


def cauchy(x: Any) -> Any:
    return -jnp.log1p(jnp.sum(x**2))


POSTERIORS: tuple[Posterior, ...] = (
    zeros("banana", banana, 2, "x1 about x0²"),
    zeros("funnel", funnel, 10, "Neal's funnel, sd 3"),
    *(
        zeros(name, modes.log_density, modes.means.shape[1], f"weights {list(modes.weights)}")
        for name, modes in MODES.items()
    ),
    zeros("student_5", student, 5, "multivariate t(3)"),
    zeros("cauchy", cauchy, 1, "Cauchy tails"),
)
