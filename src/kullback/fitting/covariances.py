"""Covariance structures of Gaussian mixtures: which sums over rows they need, and the step from the sums.

The log joint density of a component is linear in features of a row, so that a pass over the rows is two
matrix products: coefficients @ features gives the densities, responsibilities @ features' the sums
(Dempster, Laird, Rubin 1977). All is in centred and scaled coordinates.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, final

import numpy as np
from jaxtyping import Float
from scipy import optimize

from kullback.fitting.components import Components

Array = np.ndarray
Name = Literal["full", "diagonal", "tied", "spherical", "low_rank"]
_LOG_2PI = math.log(2.0 * math.pi)
#: The least share of a column's variance in a component that is not explained by its factors.
_LEAST_NOISE = 1e-6
#: Ratios of variances that are equal but for rounding.
_CLOSE = 1e-9


@final
@dataclass(frozen=True, eq=False)
class Prior:
    """What keeps covariances from shrinking to nothing: `rows` rows' worth of covariance `scatter`/rows.

    An inverse-Wishart density, up to a constant: a covariance becomes (S + scatter) / (n + rows), of a
    component with scatter S and n rows. With rows = 0 it is a floor only.

    Attributes:
        rows: how many rows it counts for; for all components, or for each (k,).
        scatter: (d, d), or for each component (k, d, d).
        least: the sds that rounding alone gives columns (d,), 0 where values are not rounded: no covariance is
            less than diag(least^2) in any direction (Hathaway 1985). None where there is no such bound.
    """

    rows: float | Float[np.ndarray, " k"]
    scatter: Float[np.ndarray, "d d"] | Float[np.ndarray, "k d d"]
    least: Float[np.ndarray, " d"] | None = None

    def narrow(self, q: Components) -> Float[np.ndarray, " k"]:
        """Returns the greatest ratio of diag(least^2) to the covariance of each component, over all directions."""
        if self.least is None:
            return np.zeros(len(q.weights))
        turned = q.inverses * self.least
        ratios = np.sum(turned**2, axis=(1, 2))  # their sum, which is no less
        at = np.flatnonzero(ratios > 1.0)
        if len(at):
            ratios[at] = np.linalg.norm(turned[at], 2, axis=(1, 2)) ** 2
        return ratios

    def widened(self, q: Components) -> Components:
        """Returns the most likely components that are no less than the bound.

        In coordinates in which a covariance is the identity and the bound diagonal, the greater of both.
        """
        at = np.flatnonzero(self.narrow(q) > 1.0 + _CLOSE)
        if not len(at):
            return q
        turned = q.inverses[at] * self.least
        axes, ratios, _ = np.linalg.svd(turned)
        wide = q.roots[at] @ (axes * np.maximum(ratios, 1.0)[:, None])
        roots = q.roots.copy()
        roots[at] = np.linalg.cholesky(wide @ wide.transpose(0, 2, 1))
        return Components(q.weights, q.means, roots)

    def pulls(self, q: Components) -> Float[np.ndarray, " k"]:
        """Returns the trace of scatter times precision of each component."""
        return np.einsum("kij,kij->k", q.inverses, q.inverses @ self.scatter)

    def log_densities(self, q: Components) -> Float[np.ndarray, " k"]:
        """Returns its log density at the covariance of each component, up to a constant."""
        return -self.rows * q.log_dets - 0.5 * self.pulls(q)

    def log_density(self, q: Components) -> float:
        """Returns its log density at these covariances, up to a constant."""
        return float(self.log_densities(q).sum())


@final
@dataclass(frozen=True)
class Structure:
    """How covariances are restricted.

    Attributes:
        name: "full", "diagonal", "tied", "spherical" or "low_rank".
        d: columns.
        rank: of a low-rank covariance.
    """

    name: Name
    d: int
    rank: int = 0

    @property
    def by_square(self) -> bool:
        """Whether sums of squares of each column suffice."""
        return self.name in ("diagonal", "spherical") or (self.name == "full" and self.d <= 1)

    def parameters(self, k: int) -> int:
        """Returns the number of free parameters of k components."""
        d, r = self.d, self.rank
        each = {
            "full": d * (d + 1) // 2,
            "diagonal": d,
            "tied": 0,
            "spherical": 1,
            "low_rank": min(d * (r + 1) - r * (r - 1) // 2, d * (d + 1) // 2),
        }[self.name]
        shared = d * (d + 1) // 2 if self.name == "tied" else 0
        return k - 1 + k * (d + each) + shared

    @property
    def width(self) -> int:
        """How many features there are."""
        return 1 + 2 * self.d if self.by_square else 1 + self.d + self.d * (self.d + 1) // 2

    @cached_property
    def _pairs(self) -> tuple[Array, Array]:
        """Of which columns the products are: the diagonal of x x' first, then those beside it."""
        first = np.concatenate([np.arange(self.d - i) for i in range(max(self.d, 1))])
        apart = np.repeat(np.arange(self.d), np.arange(self.d, 0, -1))
        return first, first + apart

    @cached_property
    def _halves(self) -> Array:
        rows, columns = self._pairs
        return np.where(rows == columns, -0.5, -1.0)

    def features(self, x: Float[np.ndarray, "d m"]) -> Float[np.ndarray, "f m"]:
        """Returns [1, x, x^2], or [1, x] and x x' by diagonals, of rows given as columns."""
        d = self.d
        out = np.empty((self.width, x.shape[1]))
        out[0] = 1.0
        kept = out[1 : 1 + d]
        kept[:] = x
        row = 1 + d
        for i in range(1 if self.by_square else d):
            np.multiply(kept[i:], kept[: d - i], out=out[row : row + d - i])
            row += d - i
        return out

    def packed(
        self,
        rows: Float[np.ndarray, " k"],
        firsts: Float[np.ndarray, "k d"],
        seconds: Float[np.ndarray, "k d d"],
    ) -> Float[np.ndarray, "k f"]:
        """Returns sums of the features from those of 1, x and x x'."""
        every = np.arange(self.d)
        at = (every, every) if self.by_square else self._pairs
        return np.concatenate([rows[:, None], firsts, seconds[:, at[0], at[1]]], axis=1)

    def coefficients(self, q: Components) -> Float[np.ndarray, "k f"]:
        """Returns the coefficients of the features in log(weight N(x; mean, covariance))."""
        # A component without rows keeps a weight that counts for nothing, not a logarithm of 0.
        log_weights = np.log(np.maximum(q.weights, 1e-300))
        constant = log_weights - q.log_dets - 0.5 * self.d * _LOG_2PI
        if self.by_square:
            precision = 1.0 / np.diagonal(q.roots, axis1=1, axis2=2) ** 2
            linear, products = precision * q.means, -0.5 * precision
            constant = constant - 0.5 * np.einsum("kd,kd->k", linear, q.means)
            return np.concatenate([constant[:, None], linear, products], axis=1)
        table = self.quadratics(q.means, q.inverses)
        table[:, 0] += constant
        return table

    def quadratics(
        self, means: Float[np.ndarray, "k d"], inverses: Float[np.ndarray, "*p k d d"]
    ) -> Float[np.ndarray, "*p k f"]:
        """Returns the coefficients of [1, x, x x'] in -|R (x - mean)|^2 / 2, of means and inverse roots R."""
        precision = inverses.swapaxes(-1, -2) @ inverses
        out = np.empty((*precision.shape[:-2], 1 + self.d + len(self._halves)))
        linear = out[..., 1 : 1 + self.d]
        linear[:] = (precision @ means[:, :, None])[..., 0]
        out[..., 0] = -0.5 * np.einsum("...kd,kd->...k", linear, means)
        rows, columns = self._pairs
        np.multiply(precision[..., rows, columns], self._halves, out=out[..., 1 + self.d :])
        return out

    def moments(self, sums: Float[np.ndarray, "k f"]) -> tuple[Array, Array, Array]:
        """Returns rows, means and scatters about the means, (k, d, d) or (k, d), of each component."""
        totals = np.maximum(sums[:, 0], 1e-300)
        means = sums[:, 1 : 1 + self.d] / totals[:, None]
        seconds = sums[:, 1 + self.d :]
        if self.by_square:
            return totals, means, np.maximum(seconds - totals[:, None] * means**2, 0.0)
        scatter = self._squares(seconds)
        scatter -= totals[:, None, None] * means[:, :, None] * means[:, None, :]
        return totals, means, scatter

    def _squares(self, seconds: Float[np.ndarray, "*k f"]) -> Float[np.ndarray, "*k d d"]:
        """Sums of x x' as matrices."""
        rows, columns = self._pairs
        out = np.empty((*seconds.shape[:-1], self.d, self.d))
        out[..., rows, columns] = seconds
        out[..., columns, rows] = seconds
        return out

    def around(
        self, sums: Float[np.ndarray, "*k f"], points: Float[np.ndarray, "*k d"]
    ) -> tuple[Float[np.ndarray, "*k"], Float[np.ndarray, "*k d"], Float[np.ndarray, "*k d d"]]:
        """Returns rows, and the sums of x - point and of their products, from those of [1, x, x x']."""
        rows, firsts = sums[..., 0], sums[..., 1 : 1 + self.d]
        moved = firsts - rows[..., None] * points
        cross = points[..., :, None] * firsts[..., None, :]
        seconds = self._squares(sums[..., 1 + self.d :]) - cross
        return rows, moved, seconds - moved[..., :, None] * points[..., None, :]

    def roots(
        self,
        rows: Float[np.ndarray, " k"],
        scatter: Array,
        prior: Prior,
    ) -> Float[np.ndarray, "k d d"]:
        """Returns the Cholesky factors of the covariances that maximise the expected log likelihood.

        Args:
            rows: how many rows each component has.
            scatter: about the means, as `moments` returns it.
            prior: added to them.

        Raises:
            numpy.linalg.LinAlgError: a covariance is not positive definite.
        """
        return _ROOTS[self.name](self, rows, scatter, prior)


def _full(s: Structure, rows: Array, scatter: Array, prior: Prior) -> Float[np.ndarray, "k d d"]:
    if s.by_square:
        return _diagonal(s, rows, scatter, prior)
    return np.linalg.cholesky((scatter + prior.scatter) / (rows + prior.rows)[:, None, None])


def _tied(s: Structure, rows: Array, scatter: Array, prior: Prior) -> Float[np.ndarray, "k d d"]:
    k = len(rows)
    pooled = (scatter.sum(axis=0) + k * prior.scatter) / (rows.sum() + k * prior.rows)
    return np.broadcast_to(np.linalg.cholesky(pooled), (k, s.d, s.d))


def _diagonal(
    _: Structure, rows: Array, scatter: Array, prior: Prior
) -> Float[np.ndarray, "k d d"]:
    added = np.diagonal(prior.scatter, axis1=-2, axis2=-1)
    variances = (scatter + added) / (rows + prior.rows)[:, None]
    if prior.least is not None:
        variances = np.maximum(variances, prior.least**2)
    return _diagonals(np.sqrt(variances))


def _spherical(
    s: Structure, rows: Array, scatter: Array, prior: Prior
) -> Float[np.ndarray, "k d d"]:
    total = scatter.sum(axis=1) + np.trace(prior.scatter, axis1=-2, axis2=-1)
    variance = total / (s.d * (rows + prior.rows))
    if prior.least is not None:
        variance = np.maximum(variance, np.max(prior.least) ** 2)
    return _diagonals(np.sqrt(np.repeat(variance[:, None], s.d, axis=1)))


def _low_rank(
    s: Structure, rows: Array, scatter: Array, prior: Prior
) -> Float[np.ndarray, "k d d"]:
    covariances = (scatter + prior.scatter) / (rows + prior.rows)[:, None, None]
    least = np.zeros(s.d) if prior.least is None else prior.least**2
    return np.linalg.cholesky(np.array([_factors(c, s.rank, least) for c in covariances]))


def _factors(
    covariance: Float[np.ndarray, "d d"], rank: int, least: Float[np.ndarray, " d"]
) -> Float[np.ndarray, "d d"]:
    """The closest diag(noise) + rank outer products by maximum likelihood (Jöreskog 1967).

    For given noise the loadings are leading eigenvectors; the noise is found by L-BFGS, no less than `least`.

    Raises:
        numpy.linalg.LinAlgError: it is no covariance, as steps beyond plain EM may ask for.
    """
    np.linalg.cholesky(covariance)
    variances = np.diag(covariance)

    def loadings(noise: Float[np.ndarray, " d"]) -> tuple[Array, Array]:
        unit = np.sqrt(noise)
        values, vectors = np.linalg.eigh(covariance / np.outer(unit, unit))
        lengths = np.sqrt(np.maximum(values[-rank:] - 1.0, 0.0))
        return unit[:, None] * vectors[:, -rank:] * lengths, values[:-rank]

    def objective(log_noise: Float[np.ndarray, " d"]) -> tuple[float, Float[np.ndarray, " d"]]:
        noise = np.exp(log_noise)
        found, rest = loadings(noise)
        left = np.diag(found @ found.T) + noise - variances
        return float(np.sum(rest - np.log(rest) - 1.0)), left / noise

    lowest = np.maximum(_LEAST_NOISE * variances, least)
    most = np.maximum(variances, lowest)
    start = np.log(np.clip(1.0 / np.diag(np.linalg.inv(covariance)), 1e-3 * variances, variances))
    start = np.clip(start, np.log(lowest), np.log(most))
    bounds = list(zip(np.log(lowest), np.log(most), strict=True))
    options = {"maxiter": 200, "ftol": 1e-14, "gtol": 1e-9}
    found = optimize.minimize(
        objective, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options
    )
    noise = np.exp(found.x)
    found, _ = loadings(noise)
    return found @ found.T + np.diag(noise)


def _diagonals(sds: Float[np.ndarray, "k d"]) -> Float[np.ndarray, "k d d"]:
    return sds[:, :, None] * np.eye(sds.shape[1])


_ROOTS: dict[str, Callable[..., Float[np.ndarray, "k d d"]]] = {
    "full": _full,
    "tied": _tied,
    "diagonal": _diagonal,
    "spherical": _spherical,
    "low_rank": _low_rank,
}
