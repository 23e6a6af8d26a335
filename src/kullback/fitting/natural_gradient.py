"""Natural-gradient ascent of the ELBO over mixtures of Gaussians, on fixed, exactly whitened draws.

A component N(m, L L') holds draws x_j = m + L z_j. With r = log p - log q and its gradient in the
component's own coordinates, r_j = L' grad r(x_j), the natural gradient is

    mean:       b = mean_j r_j
    precision:  B = mean_j sym(r_j z_j')      (Stein's estimate of the Hessian of r)
    weight:     R = mean_j r(x_j)

and a step of length rho takes the precision in these coordinates from I to I - rho B, the mean by rho
times the new covariance times b, and the log weight by rho R. The draws have mean 0 and covariance I
exactly, so a Gaussian target is reached in one step. Steps are halved until the ELBO on the draws does
not fall. No step size, no number of iterations, no initial scale is chosen.

Sources: Lin, Khan, Schmidt (2019) for the steps; Giordano, Ingram, Broderick (2024) for fixed draws and
the error that they leave; Arenz et al. (2023) for mixtures.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import final

import numpy as np
from jaxtyping import Float

from kullback.solvers.modes import Density

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
class Gaussians:
    """A mixture of k Gaussians in d dimensions by any roots of their covariances.

    Attributes:
        weights: (k,).
        means: (k, d).
        roots: (k, d, d), or (k, d) if the coordinates of a component are independent.
    """

    weights: Float[np.ndarray, " k"]
    means: Float[np.ndarray, "k d"]
    roots: Array

    @property
    def diagonal(self) -> bool:
        return self.roots.ndim == 2

    def place(self, z: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "k n d"]:
        """Returns the draws of each component."""
        if self.diagonal:
            return self.means[:, None] + z * self.roots[:, None]
        return self.means[:, None] + z @ self.roots.transpose(0, 2, 1)

    def within(self, *, diagonal: bool) -> "Gaussians":
        """Returns the mixture or, where only diagonals will do, those of its precisions: the best start."""
        if not diagonal or self.diagonal:
            return self
        precisions = np.sum(np.linalg.inv(self.roots) ** 2, axis=1)
        return replace(self, roots=1.0 / np.sqrt(precisions))

    def longest(self) -> float:
        """Returns the largest sd of a coordinate."""
        scales = self.roots if self.diagonal else np.linalg.norm(self.roots, axis=2)
        return float(scales.max())

    def log_dets(self) -> Float[np.ndarray, " k"]:
        """Returns the logs of |det root|."""
        if self.diagonal:
            return np.log(self.roots).sum(axis=1)
        return np.linalg.slogdet(self.roots)[1]


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

    q: Gaussians
    slope: Slope
    trace: tuple[tuple[int, float], ...]
    grown: bool = False
    interrupted: bool = False


def ascend(
    density: Density,
    start: Gaussians,
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
        grown = i == iterations - 1 and q.longest() > _ENDLESS * start.longest()
    if not math.isfinite(slope.elbo):
        q = start  # Wherever it wandered, it wandered blind.
    return Ascent(q, slope, tuple(trace), grown=grown, interrupted=interrupted)


def _step(
    density: Density, q: Gaussians, slope: Slope, z: Array, length: float
) -> tuple[tuple[Gaussians, Slope] | None, float]:
    while length >= _SHORTEST:
        tried = moved(q, slope, length)
        there = slope_at(density, tried, z)
        slack = 1e-12 * (1.0 + abs(slope.elbo))
        if there.elbo >= slope.elbo - slack or not math.isfinite(slope.elbo):
            return (tried, there), length
        length *= 0.5
    return None, length


def moved(q: Gaussians, slope: Slope, length: float) -> Gaussians:
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
    return Gaussians(weights / weights.sum(), means, roots)


def _newton(curvature: Array, b: Float[np.ndarray, " d"]) -> Float[np.ndarray, " d"]:
    """The step of the mean alone: E[Hessian of log p] is the curvature less I, in full."""
    values, vectors = np.linalg.eigh(np.eye(len(b)) - curvature)
    sizes = np.maximum(np.abs(values), 1e-9 * max(1.0, float(np.abs(values).max())))
    return (vectors / sizes) @ (vectors.T @ b)


def slope_at(density: Density, q: Gaussians, z: Float[np.ndarray, "n d"]) -> Slope:
    """Returns the ELBO of a mixture on its draws, and the step uphill."""
    k, d, n = len(q.weights), q.means.shape[1], len(z)
    x = q.place(z)
    log_p, gradient = density(x.reshape(k * n, d))
    log_q, score = _log_q(q, x, z)
    ratio = log_p.reshape(k, n) - log_q
    pull = gradient.reshape(k, n, d) - score
    pull = pull * q.roots[:, None] if q.diagonal else pull @ q.roots
    b = pull.mean(axis=1)
    products = pull.transpose(0, 2, 1) @ z / n
    hessian = 0.5 * (products + products.transpose(0, 2, 1))
    level = ratio.mean(axis=1)
    with np.errstate(invalid="ignore"):
        elbo = float(q.weights @ level)
        gain = level - elbo
    if not math.isfinite(elbo):
        alive = np.isfinite(ratio).all(axis=1)
        gain = np.where(alive, 0.0, -3.0)
        elbo = -math.inf
    decrement, noise = _worth(q, b, hessian, gain, pull, z)
    return Slope(elbo, b, hessian, gain, decrement, noise)


def _log_q(q: Gaussians, x: Array, z: Array) -> tuple[Array, Array]:
    """Log q at the draws of each component, (k, n), and its gradient, (k, n, d)."""
    k, n, d = x.shape
    constant = -0.5 * d * math.log(2.0 * math.pi) - q.log_dets()
    if k == 1:
        squares = np.einsum("nd,nd->n", z, z)
        back = z / q.roots[0] if q.diagonal else np.linalg.solve(q.roots[0].T, z.T).T
        return (constant[0] - 0.5 * squares)[None], -back[None]
    flat = x.reshape(k * n, d)
    logs, pulls = np.empty((k, k * n)), np.empty((k, k * n, d))
    for j in range(k):
        moved = flat - q.means[j]
        if q.diagonal:
            white = moved / q.roots[j]
            pulls[j] = white / q.roots[j]
        else:
            inverse = np.linalg.inv(q.roots[j])
            white = moved @ inverse.T
            pulls[j] = white @ inverse
        logs[j] = constant[j] - 0.5 * np.einsum("nd,nd->n", white, white)
        logs[j] += math.log(max(q.weights[j], 1e-300))
    log_q = np.logaddexp.reduce(logs, axis=0)
    score = -np.einsum("kn,knd->nd", np.exp(logs - log_q), pulls)
    return log_q.reshape(k, n), score.reshape(k, n, d)


def _worth(
    q: Gaussians, b: Array, hessian: Array, gain: Array, pull: Array, z: Array
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
