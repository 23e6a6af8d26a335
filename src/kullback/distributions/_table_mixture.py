"""Mixtures over the columns of a table: reals with any correlation and tails, counts, categories, gaps."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, final

import numpy as np
from jaxtyping import Float
from scipy import special

from kullback._core.errors import InputError
from kullback.distributions._base import Array, Distribution, Support
from kullback.distributions._compound import check_weights

_LOG_2PI = math.log(2.0 * math.pi)
_ROWS = 4096


@final
@dataclass(frozen=True, eq=False)
class Seen:
    """Rows of which the same real columns are there.

    Attributes:
        at: the rows.
        there: which real columns, (d,).
        distance: squared Mahalanobis distances to every component, over those columns (k, m).
        log_density: of those columns (k, m).
    """

    at: Array
    there: Array
    distance: Float[np.ndarray, "k m"]
    log_density: Float[np.ndarray, "k m"]


@final
@dataclass(frozen=True, eq=False)
class TableMixture(Distribution):
    """sum_k weights_k T_k(reals) prod Poisson(counts; rates_k) prod Categorical(categories; tables_k)

    An event is a row: numbers, and codes 0, 1, ... in columns of categories. NaN is a value that is not
    there: the density is that of the others.

    Attributes:
        kinds: "continuous", "count" or "category", of each column.
        weights: (k,), summing to 1.
        means: (k, d) of the d continuous columns.
        roots: (k, d, d), Cholesky factors of their covariances, or of the scales of Student's t.
        df: degrees of freedom (k,); infinite for Gaussians.
        rates: (k, c) of the c columns of counts.
        tables: for each column of categories the probabilities of its codes, (k, labels).
    """

    kinds: tuple[Literal["continuous", "count", "category"], ...]
    weights: Float[np.ndarray, " k"]
    means: Float[np.ndarray, "k d"]
    roots: Float[np.ndarray, "k d d"]
    df: Float[np.ndarray, " k"]
    rates: Float[np.ndarray, "k c"]
    tables: tuple[Float[np.ndarray, "k l"], ...]

    def __post_init__(self) -> None:
        k, d = self.means.shape
        check_weights(self.weights, k)
        found = tuple(len(c) for c in (self.reals, self.counts, self.categories))
        if self.roots.shape != (k, d, d) or found != (d, self.rates.shape[1], len(self.tables)):
            raise InputError("TableMixture: the parameters do not fit the kinds of the columns")
        if not (np.isfinite(self.means).all() and np.isfinite(self.roots).all()):
            raise InputError("TableMixture: means and roots must be finite")

    @property
    def support(self) -> Support:
        return Support("real", dimension=len(self.kinds))

    @cached_property
    def reals(self) -> Array:
        """The continuous columns."""
        return self._columns("continuous")

    @cached_property
    def counts(self) -> Array:
        """The columns of counts."""
        return self._columns("count")

    @cached_property
    def categories(self) -> Array:
        """The columns of categories."""
        return self._columns("category")

    def _columns(self, kind: str) -> Array:
        return np.flatnonzero([k == kind for k in self.kinds])

    def log_prob(self, x: Array) -> Float[np.ndarray, " n"]:
        rows = np.asarray(x, dtype=np.float64)
        out = np.empty(len(rows))
        for i in range(0, len(rows), _ROWS):
            logs, _ = self.log_joint(rows[i : i + _ROWS].T)
            out[i : i + _ROWS] = np.logaddexp.reduce(logs, axis=0)
        return out

    def log_joint(self, x: Float[np.ndarray, "c m"]) -> tuple[Float[np.ndarray, "k m"], list[Seen]]:
        """Returns log(weight times density) of every component for rows given as columns, and the parts."""
        with np.errstate(divide="ignore"):
            logs = np.repeat(np.log(self.weights)[:, None], x.shape[1], axis=1)
        parts = list(self._real_parts(x[self.reals])) if len(self.reals) else []
        for part in parts:
            logs[:, part.at] += part.log_density
        for column, rate in zip(x[self.counts], self.rates.T, strict=True):
            logs += _poisson(column, rate)
        for column, table in zip(x[self.categories], self.tables, strict=True):
            logs += _categorical(column, table)
        return logs, parts

    def _real_parts(self, x: Float[np.ndarray, "d m"]) -> Iterator[Seen]:
        for at, there in patterns(x):
            if not there.any():
                continue
            roots = self.marginal_roots(there)
            moved = x[there][:, at] - self.means[:, there][:, :, None]
            z = np.linalg.solve(roots, moved)
            distance = np.einsum("kdm,kdm->km", z, z)
            log_det = np.log(np.diagonal(roots, axis1=1, axis2=2)).sum(axis=1)
            yield Seen(at, there, distance, self._of_distance(distance, log_det, int(there.sum())))

    def marginal_roots(self, there: Array) -> Float[np.ndarray, "k o o"]:
        """Returns the Cholesky factors of the covariances of some of the real columns."""
        if there.all():
            return self.roots
        part = self.roots[:, there]
        return np.linalg.cholesky(part @ part.transpose(0, 2, 1))

    def _of_distance(
        self, distance: Float[np.ndarray, "k m"], log_det: Float[np.ndarray, " k"], d: int
    ) -> Float[np.ndarray, "k m"]:
        normal = -0.5 * (distance + d * _LOG_2PI)
        if np.isinf(self.df).all():
            return normal - log_det[:, None]
        df = np.where(np.isinf(self.df), 1e12, self.df)[:, None]
        constant = special.gammaln(0.5 * (df + d)) - special.gammaln(0.5 * df)
        heavy = constant - 0.5 * d * np.log(np.pi * df) - 0.5 * (df + d) * np.log1p(distance / df)
        return np.where(np.isinf(self.df)[:, None], normal, heavy) - log_det[:, None]

    def sample(self, rng: np.random.Generator, n: int) -> Array:
        which = rng.choice(len(self.weights), n, p=self.weights / self.weights.sum())
        out = np.empty((n, len(self.kinds)))
        z = rng.standard_normal((n, len(self.reals)))
        df = self.df[which]
        stretch = np.ones(n)
        finite = np.isfinite(df)
        stretch[finite] = np.sqrt(df[finite] / rng.chisquare(df[finite]))
        moved = np.einsum("nij,nj->ni", self.roots[which], z) * stretch[:, None]
        out[:, self.reals] = self.means[which] + moved
        out[:, self.counts] = rng.poisson(self.rates[which])
        for column, table in zip(self.categories, self.tables, strict=True):
            below = np.cumsum(table[which], axis=1)
            draws = rng.random(n) * below[:, -1]
            out[:, column] = (draws[:, None] >= below[:, :-1]).sum(axis=1)
        return out

    def __str__(self) -> str:
        parts = [f"{len(c)} {name}" for name, c in self._by_kind if len(c)]
        return f"mixture of {len(self.weights)} over {', '.join(parts)} column(s)"

    @property
    def _by_kind(self) -> tuple[tuple[str, Array], ...]:
        return (
            ("continuous", self.reals),
            ("count", self.counts),
            ("category", self.categories),
        )


def patterns(x: Float[np.ndarray, "d m"]) -> Iterator[tuple[Array, Array]]:
    """Yields the rows that share a pattern of values that are there, with the pattern (d,)."""
    there = ~np.isnan(x)
    if there.all():
        yield np.arange(x.shape[1]), np.ones(len(x), dtype=bool)
        return
    packed = np.packbits(there, axis=0)
    _, first, index = np.unique(packed, axis=1, return_index=True, return_inverse=True)
    for i, example in enumerate(first):
        yield np.flatnonzero(index.ravel() == i), there[:, example]


def _poisson(x: Float[np.ndarray, " m"], rate: Float[np.ndarray, " k"]) -> Float[np.ndarray, "k m"]:
    there = ~np.isnan(x)
    count = np.where(there, x, 0.0)
    valid = (count >= 0.0) & (count == np.floor(count))
    safe = np.where(valid, count, 0.0)
    log_rate = np.log(np.maximum(rate, 1e-300))[:, None]
    logs = safe * log_rate - rate[:, None] - special.gammaln(safe + 1.0)
    return np.where(there, np.where(valid, logs, -np.inf), 0.0)


def _categorical(
    x: Float[np.ndarray, " m"], table: Float[np.ndarray, "k l"]
) -> Float[np.ndarray, "k m"]:
    there = ~np.isnan(x)
    code = np.where(there, x, 0.0)
    valid = (code >= 0.0) & (code < table.shape[1]) & (code == np.floor(code))
    with np.errstate(divide="ignore"):
        logs = np.log(table)[:, np.where(valid, code, 0.0).astype(np.int64)]
    return np.where(there, np.where(valid, logs, -np.inf), 0.0)
