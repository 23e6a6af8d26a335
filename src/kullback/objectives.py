"""Layer 7: what is minimised over Gaussian mixtures, with exact gradients, in either direction.

Both take the parameters as one vector: k logits of the weights, k d means, and k Cholesky factors
with logs on their diagonals.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import final

import numpy as np
from jaxtyping import Float

from kullback.distributions._gaussian_mixture import GaussianMixture

Vector = Float[np.ndarray, " m"]
ValueAndGradient = tuple[float, Vector]


@final
@dataclass(frozen=True)
class Layout:
    """How the parameters of k Gaussians in d dimensions lie in one vector."""

    k: int
    d: int
    diagonal: bool

    @property
    def size(self) -> int:
        """How many parameters there are."""
        return self.k * (1 + self.d + len(self._rows))

    def unpack(self, vector: Vector) -> GaussianMixture:
        """Returns the mixture."""
        k, d = self.k, self.d
        logits, means, entries = np.split(vector, [k, k + k * d])
        roots = np.zeros((k, d, d))
        roots[:, self._rows, self._columns] = entries.reshape(k, -1)
        diagonal = np.arange(d)
        roots[:, diagonal, diagonal] = np.exp(np.clip(roots[:, diagonal, diagonal], -300, 300))
        shifted = np.exp(logits - logits.max())
        return GaussianMixture(shifted / shifted.sum(), means.reshape(k, d), roots)

    def pack(self, mixture: GaussianMixture) -> Vector:
        """Returns the vector of a mixture."""
        roots = mixture.scale_trils.copy()
        diagonal = np.arange(self.d)
        roots[:, diagonal, diagonal] = np.log(roots[:, diagonal, diagonal])
        entries = roots[:, self._rows, self._columns]
        logits = np.log(np.maximum(mixture.weights, 1e-300))
        return np.concatenate([logits, mixture.means.ravel(), entries.ravel()])

    def gradient(
        self,
        mixture: GaussianMixture,
        by_weight: Float[np.ndarray, " k"],
        by_mean: Float[np.ndarray, "k d"],
        by_root: Float[np.ndarray, "k d d"],
    ) -> Vector:
        """Returns the gradient in the vector from those in the weights, means and factors."""
        diagonal = np.arange(self.d)
        by_root = by_root.copy()
        by_root[:, diagonal, diagonal] *= mixture.scale_trils[:, diagonal, diagonal]
        centered = by_weight - mixture.weights @ by_weight
        entries = by_root[:, self._rows, self._columns]
        return np.concatenate([mixture.weights * centered, by_mean.ravel(), entries.ravel()])

    @cached_property
    def _rows(self) -> np.ndarray:
        return np.arange(self.d) if self.diagonal else np.tril_indices(self.d)[0]

    @cached_property
    def _columns(self) -> np.ndarray:
        return np.arange(self.d) if self.diagonal else np.tril_indices(self.d)[1]


@final
@dataclass(frozen=True)
class Forward:
    """Cross-entropy -sum_i w_i log q(x_i): KL(p||q) up to the entropy of p, which q cannot change."""

    layout: Layout
    nodes: Float[np.ndarray, "n d"]
    weights: Float[np.ndarray, " n"]

    def __call__(self, vector: Vector) -> ValueAndGradient:
        """Returns the objective and its gradient."""
        q = self.layout.unpack(vector)
        log_joint = q.log_joint_columns((self.nodes - q.mean).T)
        log_q = np.logaddexp.reduce(log_joint, axis=0)
        mass = np.exp(log_joint - log_q) * self.weights
        totals = mass.sum(axis=1)
        by_mean = np.empty_like(q.means)
        by_root = np.empty_like(q.scale_trils)
        for k, (mean, root) in enumerate(zip(q.means, q.scale_trils, strict=True)):
            inverse = np.linalg.inv(root)
            z = (self.nodes - mean) @ inverse.T
            pull = (mass[k, :, None] * z).T
            by_mean[k] = -inverse.T @ pull.sum(axis=1)
            by_root[k] = -inverse.T @ (pull @ z - totals[k] * np.eye(len(mean)))
        gradient = self.layout.gradient(q, -totals / q.weights, by_mean, by_root)
        return -float(self.weights @ log_q), gradient


@final
@dataclass(frozen=True)
class Reverse:
    """KL(q||p) up to log Z: nodes move with q, so no mass of q can leave where it is looked for.

    sum_k w_k sum_j v_j [log q - log p](m_k + L_k z_j), with the gradient along the path x(z); the
    other part of the gradient, the mean of q's score, is 0.
    """

    layout: Layout
    z: Float[np.ndarray, "n d"]
    weights: Float[np.ndarray, " n"]
    log_p: Callable[[np.ndarray], np.ndarray]

    def __call__(self, vector: Vector) -> ValueAndGradient:
        """Returns the objective and its gradient."""
        q = self.layout.unpack(vector)
        k, d, n = self.layout.k, self.layout.d, len(self.z)
        x = (q.means[:, None, :] + self.z @ q.scale_trils.transpose(0, 2, 1)).reshape(k * n, d)
        step = 1e-5 * np.repeat(q.scale_trils[:, range(d), range(d)], n, axis=0)
        log_p, slope_p = value_and_slope(self.log_p, x, step)
        log_joint = q.log_joint_columns((x - q.mean).T)
        log_q = np.logaddexp.reduce(log_joint, axis=0)
        slope = _score(q, x, np.exp(log_joint - log_q)) - slope_p
        ratio = (log_q - log_p).reshape(k, n)
        by_weight = ratio @ self.weights
        if not np.isfinite(by_weight).all():
            return math.inf, np.zeros_like(vector)
        pull = slope.reshape(k, n, d) * self.weights[:, None] * q.weights[:, None, None]
        by_root = np.einsum("knd,ne->kde", pull, self.z)
        gradient = self.layout.gradient(q, by_weight, pull.sum(axis=1), by_root)
        return float(q.weights @ by_weight), gradient


def _score(
    q: GaussianMixture, x: Float[np.ndarray, "n d"], shares: Float[np.ndarray, "k n"]
) -> Float[np.ndarray, "n d"]:
    """The gradient of log q in x."""
    total = np.zeros_like(x)
    for share, mean, root in zip(shares, q.means, q.scale_trils, strict=True):
        inverse = np.linalg.inv(root)
        total -= share[:, None] * ((x - mean) @ inverse.T @ inverse)
    return total


def value_and_slope(
    log_p: Callable[[np.ndarray], np.ndarray],
    x: Float[np.ndarray, "n d"],
    step: Float[np.ndarray, "n d"],
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, "n d"]]:
    """Returns log p and its gradient by central differences, in one call."""
    n, d = x.shape
    shifts = [x]
    for i in range(d):
        moved = np.zeros_like(x)
        moved[:, i] = step[:, i]
        shifts += [x + moved, x - moved]
    values = log_p(np.concatenate(shifts)).reshape(1 + 2 * d, n)
    with np.errstate(invalid="ignore"):
        slope = (values[1::2] - values[2::2]).T / (2.0 * step)
    return values[0], np.where(np.isfinite(slope), slope, 0.0)
