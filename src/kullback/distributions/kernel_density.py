"""Kernel density: an equal Gaussian around every row."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import final

import numpy as np
import scipy
from jaxtyping import Float

from kullback.core.errors import InputError
from kullback.distributions.base import Array, Distribution, Support

#: Distances held at once.
_CELLS = 2_000_000
_SCAN = 129


@final
@dataclass(frozen=True, eq=False)
class KernelDensity(Distribution):
    """sum_i weights_i N(points_i, bandwidth^2 scale_tril scale_tril')

    Attributes:
        points: (n, d); of a single column, events are numbers.
        weights: (n,), non-negative, summing to 1.
        bandwidth: h, in units of the spread of the data.
        scale_tril: (d, d), the Cholesky factor of the covariance of the data.

    Source: Silverman (1986), Density estimation for statistics and data analysis, section 4.2.
    """

    points: Float[np.ndarray, "n d"]
    weights: Float[np.ndarray, " n"]
    bandwidth: float
    scale_tril: Float[np.ndarray, "d d"]

    def __post_init__(self) -> None:
        if not 0.0 < self.bandwidth < math.inf:
            raise InputError(f"KernelDensity: bandwidth must be positive, got {self.bandwidth}")
        n, d = self.points.shape
        if self.weights.shape != (n,) or self.scale_tril.shape != (d, d):
            raise InputError("KernelDensity: weights must be (n,) and scale_tril (d, d)")

    @property
    def support(self) -> Support:
        d = self.points.shape[1]
        return Support("interval") if d == 1 else Support("real", dimension=d)

    @property
    def covariance(self) -> Float[np.ndarray, "d d"]:
        """Of a kernel."""
        return self.bandwidth**2 * self.scale_tril @ self.scale_tril.T

    @cached_property
    def whitened(self) -> Float[np.ndarray, "n d"]:
        """The points in coordinates in which the data have mean 0 and covariance I."""
        return self.whiten(self.points)

    def whiten(self, x: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n d"]:
        """Returns events in the coordinates of `whitened`."""
        moved = x - self._center
        return scipy.linalg.solve_triangular(
            self.scale_tril, moved.T, lower=True, check_finite=False
        ).T

    def log_prob(self, x: Array) -> Float[np.ndarray, " n"]:
        events = np.asarray(x, dtype=np.float64).reshape(len(x), -1)
        out = np.empty(len(events))
        for rows, squares in square_distances(self.whiten(events), self.whitened):
            out[rows] = log_sum(squares, self.bandwidth, self.weights)
        return out + self.log_constant

    @property
    def log_constant(self) -> float:
        """The log of a kernel's height."""
        d = len(self.scale_tril)
        log_det = float(np.log(np.diag(self.scale_tril)).sum()) + d * math.log(self.bandwidth)
        return -0.5 * d * math.log(2.0 * math.pi) - log_det

    def sample(self, rng: np.random.Generator, n: int) -> Array:
        which = rng.choice(len(self.points), n, p=self.weights / self.weights.sum())
        z = rng.standard_normal((n, self.points.shape[1]))
        draws = self.points[which] + self.bandwidth * z @ self.scale_tril.T
        return draws[:, 0] if draws.shape[1] == 1 else draws

    def landmarks(self) -> Float[np.ndarray, " m"]:
        x = self.points[self.weights > 0.0, 0]
        width = self.bandwidth * float(self.scale_tril[0, 0])
        inner = np.quantile(x, np.linspace(0.0, 1.0, _SCAN))
        steps = width * np.array([1.0, 2.0, 4.0, 8.0])
        return np.unique(np.concatenate([x.min() - steps, inner, x.max() + steps]))

    @cached_property
    def _center(self) -> Float[np.ndarray, " d"]:
        first = self.points[0]
        return first + self.weights @ (self.points - first)

    def __str__(self) -> str:
        n, d = self.points.shape
        return f"kernel_density({n} points of {d} column(s), bandwidth={self.bandwidth:.6g} of their spread)"


def square_distances(
    a: Float[np.ndarray, "m d"], b: Float[np.ndarray, "n d"]
) -> Iterator[tuple[slice, Float[np.ndarray, "c n"]]]:
    """Yields the squares of the distances of a few rows of a at a time from all rows of b.

    Of one column by differences, of more by matrix products of rows about one of them.
    """
    step = max(1, _CELLS // len(b))
    lengths = np.einsum("nd,nd->n", b, b)
    for start in range(0, len(a), step):
        part = a[start : start + step]
        if part.shape[1] == 1:
            squares = (part - b.T) ** 2
        else:
            squares = part @ (-2.0 * b.T)
            squares += lengths
            squares += np.einsum("nd,nd->n", part, part)[:, None]
            np.maximum(squares, 0.0, out=squares)
        yield slice(start, start + len(part)), squares


def log_sum(
    squares: Float[np.ndarray, "c n"], bandwidth: float, weights: Float[np.ndarray, " n"]
) -> Float[np.ndarray, " c"]:
    """Returns log sum_j weights_j exp(-squares_ij / (2 bandwidth^2)), also far from all points."""
    nearest = squares.min(axis=1)
    terms = squares - nearest[:, None]
    terms *= -0.5 / bandwidth**2
    np.exp(terms, out=terms)
    with np.errstate(divide="ignore"):
        return np.log(terms @ weights) - 0.5 * nearest / bandwidth**2
