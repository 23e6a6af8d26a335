"""Mixtures of Gaussian vectors: densities as matrix products, draws by strata."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import final

import numpy as np
from jaxtyping import Float
from scipy import linalg

from kullback._core.errors import InputError
from kullback.distributions._base import Array, Distribution, Stratum, Support
from kullback.distributions._compound import check_weights
from kullback.losses._mixture import CHUNK, coefficients

#: The quadratic form loses about this many units of rounding; beyond it each component is centred.
_LOSS = 1e4


@final
@dataclass(frozen=True, eq=False)
class GaussianMixture(Distribution):
    """sum_k weights_k N(means_k, scale_trils_k scale_trils_k')

    Attributes:
        weights: (k,), non-negative, summing to 1.
        means: (k, d).
        scale_trils: (k, d, d), Cholesky factors of the covariances.
    """

    weights: Float[np.ndarray, " k"]
    means: Float[np.ndarray, "k d"]
    scale_trils: Float[np.ndarray, "k d d"]

    def __post_init__(self) -> None:
        k, d = self.means.shape
        check_weights(self.weights, k)
        if self.scale_trils.shape != (k, d, d):
            raise InputError(
                f"GaussianMixture: scale_trils has shape {self.scale_trils.shape}, not {(k, d, d)}"
            )
        diagonals = np.diagonal(self.scale_trils, axis1=1, axis2=2)
        if not (np.isfinite(self.means).all() and np.isfinite(self.scale_trils).all()):
            raise InputError("GaussianMixture: means and scale_trils must be finite")
        if not (diagonals > 0.0).all():
            raise InputError("GaussianMixture: every covariance must be positive definite")

    @property
    def support(self) -> Support:
        return Support("real", dimension=self.means.shape[1])

    @cached_property
    def mean(self) -> Float[np.ndarray, " d"]:
        return self.weights @ self.means

    @cached_property
    def covariance(self) -> Float[np.ndarray, "d d"]:
        moved = self.means - self.mean
        within = np.einsum("k,kij,klj->il", self.weights, self.scale_trils, self.scale_trils)
        return within + np.einsum("k,ki,kj->ij", self.weights, moved, moved)

    @property
    def covariances(self) -> Float[np.ndarray, "k d d"]:
        return self.scale_trils @ self.scale_trils.transpose(0, 2, 1)

    def log_prob(self, x: Array) -> Float[np.ndarray, " n"]:
        """Returns log densities; of what is there, in rows where NaN says that a value is missing."""
        if np.isnan(x).any():
            return self._marginal_log_prob(x)
        out = np.empty(len(x))
        for rows in chunks(len(x)):
            out[rows] = self.log_prob_columns((x[rows] - self.mean).T)
        return out

    def _marginal_log_prob(self, x: Array) -> Float[np.ndarray, " n"]:
        out = np.zeros(len(x))
        there, index = np.unique(~np.isnan(x), axis=0, return_inverse=True)
        for i, seen in enumerate(there):
            rows = index.ravel() == i
            if seen.any():
                parts = self.covariances[:, seen][:, :, seen]
                marginal = GaussianMixture(
                    self.weights, self.means[:, seen], np.linalg.cholesky(parts)
                )
                out[rows] = marginal.log_prob(x[rows][:, seen])
        return out

    def log_prob_columns(self, centered: Float[np.ndarray, "d n"]) -> Float[np.ndarray, " n"]:
        """Returns log densities of points given as columns, less this mixture's mean."""
        return _log_sum_exp(self.log_joint_columns(centered))

    def log_joint_columns(self, centered: Float[np.ndarray, "d n"]) -> Float[np.ndarray, "k n"]:
        """Returns log(weight times density) of every component, of centred columns."""
        if self._table is None:
            return self._log_joint_centered(centered)
        return self._table @ feature_columns(centered)

    def sample(self, rng: np.random.Generator, n: int) -> Array:
        counts = rng.multinomial(n, self.weights / self.weights.sum())
        which = rng.permutation(np.repeat(np.arange(len(counts)), counts))
        z = rng.standard_normal((n, self.means.shape[1]))
        return self.means[which] + np.einsum("nij,nj->ni", self.scale_trils[which], z)

    def strata(self) -> tuple[Stratum, ...]:
        return tuple(
            Stratum(float(w), len(m), lambda z, m=m, root=root: m + z @ root.T)
            for w, m, root in zip(self.weights, self.means, self.scale_trils, strict=True)
            if w > 0.0
        )

    @cached_property
    def _table(self) -> Float[np.ndarray, "k f"] | None:
        return self.table_about(self.mean)

    def table_about(self, center: Float[np.ndarray, " d"]) -> Float[np.ndarray, "k f"] | None:
        """Returns the coefficients of the features of x - center; None where digits would be lost."""
        moved = self.means - center
        z = [
            linalg.solve_triangular(r, m, lower=True)
            for r, m in zip(self.scale_trils, moved, strict=True)
        ]
        if max(float(v @ v) for v in z) > _LOSS or self._condition > 1e6:
            return None
        with np.errstate(divide="ignore"):
            return np.asarray(coefficients(self.weights, moved, self.scale_trils, np))

    @cached_property
    def _condition(self) -> float:
        return float(np.max(np.linalg.cond(self.scale_trils)))

    def _log_joint_centered(self, centered: Float[np.ndarray, "d n"]) -> Float[np.ndarray, "k n"]:
        d = len(centered)
        out = np.empty((len(self.weights), centered.shape[1]))
        with np.errstate(divide="ignore"):
            log_weights = np.log(self.weights)
        for k, (mean, root) in enumerate(zip(self.means, self.scale_trils, strict=True)):
            moved = centered - (mean - self.mean)[:, None]
            z = linalg.solve_triangular(root, moved, lower=True, check_finite=False)
            log_det = float(np.log(np.diag(root)).sum())
            constant = log_weights[k] - log_det - 0.5 * d * math.log(2.0 * math.pi)
            out[k] = constant - 0.5 * np.einsum("dn,dn->n", z, z)
        return out


def log_prob_pair(p: GaussianMixture, q: GaussianMixture) -> Callable[[Array], tuple[Array, Array]]:
    """Returns what gives both log densities of n points from one matrix product."""
    center, k = p.mean, len(p.weights)
    tables = p.table_about(center), q.table_about(center)
    if tables[0] is None or tables[1] is None:
        return lambda x: (p.log_prob(x), q.log_prob(x))
    table = np.concatenate([tables[0], tables[1]])

    def both(x: Array) -> tuple[Array, Array]:
        out = np.empty((2, len(x)))
        for rows in chunks(len(x)):
            logs = table @ feature_columns((x[rows] - center).T)
            out[0, rows], out[1, rows] = _log_sum_exp(logs[:k]), _log_sum_exp(logs[k:])
        return out[0], out[1]

    return both


def _log_sum_exp(logs: Float[np.ndarray, "k n"]) -> Float[np.ndarray, " n"]:
    """Returns losses' `log_sum_exp` in place: `logs` is spent."""
    peak = np.maximum.reduce(logs, axis=0)
    np.copyto(peak, 0.0, where=np.isneginf(peak))
    np.subtract(logs, peak, out=logs)
    np.exp(logs, out=logs)
    total = np.add.reduce(logs, axis=0)
    with np.errstate(divide="ignore"):
        np.log(total, out=total)
    return np.add(total, peak, out=total)


def feature_columns(x: Float[np.ndarray, "d n"]) -> Float[np.ndarray, "f n"]:
    """Returns [1, x, upper(x x')], filled in place: the same as losses' `features`, faster."""
    d, n = x.shape
    out = np.empty((1 + d + d * (d + 1) // 2, n))
    out[0] = 1.0
    out[1 : 1 + d] = x
    row = 1 + d
    for i in range(d):
        np.multiply(x[i], x[i:], out=out[row : row + d - i])
        row += d - i
    return out


def chunks(n: int) -> Iterator[slice]:
    """Yields slices of at most CHUNK rows."""
    for start in range(0, n, CHUNK):
        yield slice(start, min(start + CHUNK, n))
