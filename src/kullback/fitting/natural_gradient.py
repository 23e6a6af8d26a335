"""The ELBO of a mixture of Gaussians on points that move with its components, and natural-gradient ascent of it.

A component N(m, L L') holds points x_j = m + L z_j, of weights v_j: nodes of a quadrature, or draws that
are exactly whitened. With r = log p - log q and its gradient in the component's own coordinates,
r_j = L' grad r(x_j), the natural gradient is

    mean:       b = sum_j v_j r_j
    precision:  B = sum_j v_j sym(r_j z_j')      (Stein's estimate of the Hessian of r)
    weight:     R = sum_j v_j r(x_j)

and a step of length rho takes the precision in these coordinates from I to I - rho B, the mean by rho
times the new covariance times b, and the log weight by rho R. The draws have mean 0 and covariance I
exactly, so a Gaussian target is reached in one step. Steps are halved until the ELBO on the draws does
not fall. No step size, no number of iterations, no initial scale is chosen.

Sources: Lin, Khan, Schmidt (2019) for the steps; Giordano, Ingram, Broderick (2024) for fixed draws and
the error that they leave; Arenz et al. (2023) for mixtures.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float

from kullback.fitting.components import Components
from kullback.solvers.modes import CountedDensity

Array = np.ndarray

#: Eigenvalues of the new precision in the coordinates of the old one.
_SHRINK, _GROW = 0.2, 5.0
_ITERATIONS = 60
_SHORTEST = 1.0 / 128.0
#: An iteration whose step is worth less than this share of the error of the draws is the last.
_SHARE = 0.25
_FINE = 1e-6
#: How much longer than at its start a Gaussian must be, when iterations run out, to be growing for ever.
_ENDLESS = 1e6


@final
@dataclass(frozen=True, eq=False)
class Slope:
    """The ELBO on the draws and the step uphill.

    Attributes:
        elbo: the mean of log p - log q.
        b, hessian, gain: of the module's text, (k, d), (k, d, d) and (k,).
        decrement: what a whole step is worth, in nats.
        noise: the error of the fit that the draws leave: the part of KL(q||p), in nats, that a fit to
            ever more draws would gain; and the largest errors of a mean and of an sd, in sds.
    """

    elbo: float
    b: Float[np.ndarray, "k d"]
    hessian: Float[np.ndarray, "k d d"]
    gain: Float[np.ndarray, " k"]
    decrement: float
    noise: tuple[float, float]


@final
@dataclass(frozen=True, eq=False)
class Ascent:
    """Where an ascent on one set of draws ended.

    Attributes:
        q: the mixture.
        slope: the ELBO there.
        trace: (gradients so far, ELBO on the draws) of each iteration.
        grown: whether it ended because the scales grew without end.
        interrupted: whether it ended because someone pressed Ctrl-C.
    """

    q: Components
    slope: Slope
    trace: tuple[tuple[int, float], ...]
    grown: bool = False
    interrupted: bool = False


def ascend(
    density: CountedDensity,
    start: Components,
    z: Float[np.ndarray, "n d"],
    *,
    watch: Callable[[int, float], None],
    iterations: int = _ITERATIONS,
) -> Ascent:
    """Returns the end of the ascent from a start on the draws z."""
    q, slope = start, slope_at(density, start, z)
    trace = [(density.count, slope.elbo)]
    length, grown, interrupted = 1.0, False, False
    for i in range(iterations):
        if slope.decrement < max(_FINE, _SHARE * slope.noise[0]) and math.isfinite(slope.elbo):
            break
        try:
            better, length = _step(density, q, slope, z, length)
        except KeyboardInterrupt:
            interrupted = True
            break
        if better is None:
            break
        q, slope = better
        trace.append((density.count, slope.elbo))
        watch(density.count, slope.elbo)
        length = min(1.0, 2.0 * length)
        grown = i == iterations - 1 and q.sds.max() > _ENDLESS * start.sds.max()
    if not math.isfinite(slope.elbo):
        q = start  # Wherever it wandered, it wandered blind.
    return Ascent(q, slope, tuple(trace), grown=grown, interrupted=interrupted)


def _step(
    density: CountedDensity, q: Components, slope: Slope, z: Array, length: float
) -> tuple[tuple[Components, Slope] | None, float]:
    while length >= _SHORTEST:
        tried = moved(q, slope, length)
        there = slope_at(density, tried, z)
        slack = 1e-12 * (1.0 + abs(slope.elbo))
        if there.elbo >= slope.elbo - slack or not math.isfinite(slope.elbo):
            return (tried, there), length
        length *= 0.5
    return None, length


def moved(q: Components, slope: Slope, length: float) -> Components:
    """Returns the mixture a natural-gradient step further."""
    means, roots = np.empty_like(q.means), np.empty_like(q.roots)
    for k in range(len(q.weights)):
        curvature = slope.hessian[k]
        if q.diagonal:
            precision = 1.0 - length * np.diag(curvature)
            scale = np.clip(precision, _SHRINK, _GROW) ** -0.5
            shift = _newton(curvature, slope.b[k]) if len(q.weights) == 1 else scale**2 * slope.b[k]
            means[k] = q.means[k] + length * q.roots[k] * shift
            roots[k] = q.roots[k] * scale
        else:
            values, vectors = np.linalg.eigh(np.eye(len(curvature)) - length * curvature)
            half = (vectors * np.clip(values, _SHRINK, _GROW) ** -0.5) @ vectors.T
            means[k] = q.means[k] + length * q.roots[k] @ (half @ (half @ slope.b[k]))
            roots[k] = q.roots[k] @ half
    logs = np.log(np.maximum(q.weights, 1e-300)) + length * np.clip(slope.gain, -3.0, 3.0)
    weights = np.exp(logs - logs.max())
    return Components(weights / weights.sum(), means, roots)


def _newton(curvature: Array, b: Float[np.ndarray, " d"]) -> Float[np.ndarray, " d"]:
    """The step of the mean alone: E[Hessian of log p] is the curvature less I, in full."""
    values, vectors = np.linalg.eigh(np.eye(len(b)) - curvature)
    sizes = np.maximum(np.abs(values), 1e-9 * max(1.0, float(np.abs(values).max())))
    return (vectors / sizes) @ (vectors.T @ b)


def slope_at(density: CountedDensity, q: Components, z: Float[np.ndarray, "n d"]) -> Slope:
    """Returns the ELBO of a mixture on its draws, and the step uphill."""
    x = q.place(z)
    known = density(x.reshape(-1, x.shape[2]))
    found = expectation(q, z, np.full(len(z), 1.0 / len(z)), *known)
    b, turns, level = found.shifts, found.turns, found.levels
    hessian = 0.5 * (turns + turns.transpose(0, 2, 1))
    with np.errstate(invalid="ignore"):
        elbo = float(q.weights @ level)
        gain = level - elbo
    if not math.isfinite(elbo):
        gain = np.where(np.isfinite(level), 0.0, -3.0)
        elbo = -math.inf
    decrement, noise = _worth(q, b, hessian, gain, found.pull, z)
    return Slope(elbo, b, hessian, gain, decrement, noise)


@final
@dataclass(frozen=True, eq=False)
class Expectation:
    """What points that move with the components say of r = log p - log q.

    Attributes:
        levels: the mean of r in each component (k,).
        shifts, turns: its gradient by a, of m + L a, and by A, of L (I + A), in each component, (k, d) and (k, d, d).
        pull: L' grad r at each point (k, n, d).
    """

    levels: Float[np.ndarray, " k"]
    shifts: Float[np.ndarray, "k d"]
    turns: Float[np.ndarray, "k d d"]
    pull: Float[np.ndarray, "k n d"]


def expectation(
    q: Components,
    z: Float[np.ndarray, "n d"],
    weights: Float[np.ndarray, " n"],
    log_p: Float[np.ndarray, " m"],
    gradient: Float[np.ndarray, "m d"],
) -> Expectation:
    """Returns the levels and slopes of log p - log q; the mean of q's own score, which is 0, is left out.

    Args:
        q: a mixture of k components.
        z: the points in the components' coordinates.
        weights: of the points, summing to 1.
        log_p, gradient: at the k n points, one component after another.
    """
    k, d, n = len(q.weights), q.means.shape[1], len(z)
    pull = gradient.reshape(k, n, d)
    if k == 1:  # L' times a Gaussian's own score is -z: nothing is solved for
        log_q = (_log_norm(q) - 0.5 * np.einsum("nd,nd->n", z, z))[None]
        pull = (pull * q.roots[:, None] if q.diagonal else pull @ q.roots) + z
    else:
        x = q.place(z)
        log_q, score = q.log_prob_and_score(x.reshape(-1, d))
        log_q, pull = log_q.reshape(k, n), pull - score.reshape(x.shape)
        pull = pull * q.roots[:, None] if q.diagonal else pull @ q.roots
    turns = pull.transpose(0, 2, 1) @ (z * weights[:, None])
    return Expectation((log_p.reshape(k, n) - log_q) @ weights, weights @ pull, turns, pull)


def _log_norm(q: Components) -> float:
    """The log density of a single Gaussian at its mean."""
    return -0.5 * q.means.shape[1] * math.log(2.0 * math.pi) - float(q.log_dets[0])


def _worth(
    q: Components, b: Array, hessian: Array, gain: Array, pull: Array, z: Array
) -> tuple[float, tuple[float, float]]:
    """What a whole step gains, and what the draws leave unknown; both by the quadratic model."""
    n, d = z.shape
    decrement = excess = worst = 0.0
    for k, weight in enumerate(q.weights):
        # A draw and its mirror image are one unit. What is linear in z is known exactly.
        residual = pull[k] - z @ hessian[k]
        means = 0.5 * (residual[: n // 2] + residual[n // 2 :]) - b[k]
        by_mean = (means**2).mean(axis=0) / (n // 2)
        if q.diagonal:
            precision = np.eye(d) - hessian[k]
            step = _newton(hessian[k], b[k]) if len(q.weights) == 1 else b[k]
            decrement += weight * abs(0.5 * float(step @ precision @ step))
            decrement += weight * 0.25 * float(np.sum(np.diag(hessian[k]) ** 2))
            by_root = np.mean((residual * z) ** 2, axis=0) / n
            spread = by_root.sum()
        else:
            decrement += weight * (0.5 * float(b[k] @ b[k]) + 0.25 * float(np.sum(hessian[k] ** 2)))
            squares = (residual**2).T @ z**2 / n**2
            by_root = np.diag(squares)
            cross = (residual * z).T @ (residual * z) / n**2
            spread = 0.5 * (squares.sum() + cross.sum()) if d > 1 else squares.sum()
        excess += weight * (0.5 * by_mean.sum() + 0.25 * spread)
        worst = max(worst, float(by_mean.max()) ** 0.5, 0.5 * float(by_root.max()) ** 0.5)
    return decrement + _weight_worth(q.weights, gain), (excess, worst)


def _weight_worth(weights: Array, gain: Array) -> float:
    return 0.5 * float(weights @ gain**2)
