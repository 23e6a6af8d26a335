"""The parameters of a Gaussian as a vector."""

import math
from dataclasses import dataclass, replace
from typing import final

import numpy as np
from jaxtyping import Float
from scipy import linalg

from kullback.fitting._natural_gradient import Gaussians
from kullback.fitting._windows import inflation

Array = np.ndarray


@final
@dataclass(frozen=True, eq=False)
class Chart:
    """The parameters of a Gaussian as a vector, in the coordinates of a start.

    Attributes:
        origin: the start.
    """

    origin: Gaussians

    @property
    def size(self) -> int:
        """How many parameters."""
        d = self.origin.means.shape[1]
        return 2 * d if self.origin.diagonal else d + d * (d + 1) // 2

    def factor(self, at: Float[np.ndarray, " p"]) -> Array:
        """Returns C, (d,) or (d, d)."""
        d = self.origin.means.shape[1]
        if self.origin.diagonal:
            return np.exp(at[d:])
        c = np.zeros((d, d))
        c[np.tril_indices(d, -1)] = at[2 * d :]
        c[np.diag_indices(d)] = np.exp(at[d : 2 * d])
        return c

    def member(self, at: Float[np.ndarray, " p"]) -> Gaussians:
        """Returns the Gaussian."""
        d = self.origin.means.shape[1]
        root, c = self.origin.roots[0], self.factor(at)
        shift = root * at[:d] if self.origin.diagonal else root @ at[:d]
        placed = root * c if self.origin.diagonal else root @ c
        return replace(self.origin, means=self.origin.means + shift, roots=placed[None])

    def gradient(
        self, at: Float[np.ndarray, " p"], shift: Array, root: Array
    ) -> Float[np.ndarray, " p"]:
        """Returns the gradient in the chart from that in q's own coordinates."""
        d, c = len(shift), self.factor(at)
        if self.origin.diagonal:
            return np.concatenate([shift / c, root])
        u = linalg.solve_triangular(c, shift, trans=1, lower=True)
        # dC = C A, so that the part of A is tril(C' G): G = tril(C^-T tril(..)) undoes it.
        g = linalg.solve_triangular(c, root, trans=1, lower=True)
        return np.concatenate([u, np.diag(c) * np.diag(g), g[np.tril_indices(d, -1)]])

    def errors(
        self, average: Float[np.ndarray, " p"], batches: Float[np.ndarray, "b p"]
    ) -> tuple[float, float]:
        """Returns the error of an average of iterates, by its batches: in nats, and in sds."""
        scale = inflation(batches - average) / (len(batches) - 1.0)
        d, c = self.origin.means.shape[1], self.factor(average)
        own, scales, roots = [], [], []
        centre = self.member(average)
        for batch in batches:
            apart = batch[:d] - average[:d]
            other = self.factor(batch)
            if self.origin.diagonal:
                own.append(apart / c)
                roots.append(other / c - 1.0)
            else:
                own.append(linalg.solve_triangular(c, apart, lower=True))
                roots.append(linalg.solve_triangular(c, other, lower=True) - np.eye(d))
            scales.append(self.member(batch))
        shifts, changes = np.array(own), np.array(roots)
        excess = 0.5 * float(np.mean(shifts**2, axis=0).sum())
        squares = np.mean(changes**2, axis=0)
        excess += float(
            squares.sum() if squares.ndim == 1 else 0.5 * squares.sum() + 0.5 * np.trace(squares)
        )
        sd = _sds(centre)
        means = np.array([s.means[0] for s in scales]) - centre.means[0]
        widths = np.array([_sds(s) for s in scales]) / sd - 1.0
        worst = max(
            float(np.mean((means / sd) ** 2, axis=0).max()), float(np.mean(widths**2, axis=0).max())
        )
        return excess * scale, math.sqrt(worst * scale)


def _sds(q: Gaussians) -> Float[np.ndarray, " d"]:
    return q.roots[0] if q.diagonal else np.linalg.norm(q.roots[0], axis=1)
