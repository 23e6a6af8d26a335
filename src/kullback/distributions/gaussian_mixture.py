"""Mixtures over the columns of a table: reals with any correlation and tails, counts, categories, gaps."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, final

import numpy as np
import scipy
from jaxtyping import Float
from scipy import special

from kullback.core.errors import InputError, UnsupportedError
from kullback.distributions.base import Array, Distribution, Stratum, Support
from kullback.distributions.columns import (
    Marginals,
    asked_row,
    categorical_logs,
    conditioned,
    elliptical,
    patterns,
    poisson_logs,
)
from kullback.distributions.compound import Mixture, check_weights
from kullback.distributions.real import Normal, StudentT
from kullback.distributions.vector import Categorical, MultivariateNormal
from kullback.losses.gaussian import coefficients

_LOG_2PI = math.log(2.0 * math.pi)
#: Rows at a time: the features and the component densities stay in the cache.
_ROWS = 4096


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
    takes_gaps = True

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
            logs = self.log_joint(rows[i : i + _ROWS].T)
            out[i : i + _ROWS] = np.logaddexp.reduce(logs, axis=0)
        return out

    def log_joint(self, x: Float[np.ndarray, "c m"]) -> Float[np.ndarray, "k m"]:
        """Returns log(weight times density) of every component for rows given as columns."""
        with np.errstate(divide="ignore"):
            logs = np.repeat(np.log(self.weights)[:, None], x.shape[1], axis=1)
        if len(self.reals):
            self._add_reals(logs, x[self.reals])
        return self.with_codes(logs, x)

    def with_codes(
        self, logs: Float[np.ndarray, "k m"], x: Float[np.ndarray, "c m"]
    ) -> Float[np.ndarray, "k m"]:
        """Returns log densities of the other columns with those of counts and categories."""
        for column, rate in zip(x[self.counts], self.rates.T, strict=True):
            logs += poisson_logs(column, rate)
        for column, table in zip(x[self.categories], self.tables, strict=True):
            logs += categorical_logs(column, table)
        return logs

    def _add_reals(self, logs: Float[np.ndarray, "k m"], x: Float[np.ndarray, "d m"]) -> None:
        order, ends, found = patterns(x)
        filled, at_once = np.where(np.isnan(x), 0.0, x), self.marginals.at_once
        groups = np.split(order, ends[:-1])
        for i in range(0, len(found), at_once):
            there = found[i : i + at_once]
            known = zip(groups[i : i + at_once], there, *self.marginals.of(there), strict=True)
            for at, held, inverse, log_det in known:
                moved = filled[:, at] - self.means[:, :, None]
                # What is not there meets a column of 0 in the inverse.
                z = inverse @ moved
                distance = np.einsum("kdm,kdm->km", z, z)
                logs[:, at] += elliptical(distance, log_det, self.df, int(held.sum()))

    @cached_property
    def covariances(self) -> Float[np.ndarray, "k d d"]:
        """Of the continuous columns; squared scales of Student's t."""
        return self.roots @ self.roots.transpose(0, 2, 1)

    @cached_property
    def marginals(self) -> Marginals:
        """Of some of the real columns."""
        return Marginals(self.roots, self.covariances)

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

    def condition(self, x: Float[np.ndarray, " c"]) -> Distribution:
        """Returns the distribution of the columns that are NaN in a row, given the others, in closed form.

        Args:
            x: a row; NaN in the columns whose distribution is wanted.

        Raises:
            InputError: no column is NaN, or the others cannot be.
        """
        row = asked_row(x, len(self.kinds))
        wanted = np.isnan(row)
        logs = self.log_joint(row[:, None])[:, 0]
        if not np.isfinite(logs.max()):
            raise InputError(f"{self}: there is no row with these values")
        located, roots, df = conditioned(self.means, self.roots, self.df, row[self.reals])
        weights = special.softmax(logs)
        kinds = tuple(self.kinds[int(j)] for j in np.flatnonzero(wanted))
        tables = tuple(t for j, t in zip(self.categories, self.tables, strict=True) if wanted[j])
        rates = self.rates[:, wanted[self.counts]]
        parts = {"means": located, "roots": roots, "df": df, "rates": rates, "tables": tables}
        return _simplest(replace(self, kinds=kinds, weights=weights, **parts))

    def __str__(self) -> str:
        kinds = ("continuous", "count", "category")
        parts = [f"{n} {kind}" for kind in kinds if (n := self.kinds.count(kind))]
        return f"mixture of {len(self.weights)} over {', '.join(parts)} column(s)"


def _simplest(q: TableMixture) -> Distribution:
    """Returns the same distribution as one of numbers where it has one column, of Gaussians where it can."""
    if len(q.kinds) == 1 and len(q.categories):
        return Categorical.from_probabilities(q.weights @ q.tables[0])
    if len(q.reals) < len(q.kinds):
        return q
    if len(q.kinds) == 1:
        values = zip(q.df, q.means[:, 0], q.roots[:, 0, 0], strict=True)
        parts = tuple(
            Normal(float(m), float(s)) if math.isinf(f) else StudentT(float(f), float(m), float(s))
            for f, m, s in values
        )
        return parts[0] if len(parts) == 1 else Mixture(q.weights, parts)
    return GaussianMixture(q.weights, q.means, q.roots) if np.isinf(q.df).all() else q


# Mixtures of Gaussian vectors: densities as matrix products, draws by strata.

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
    takes_gaps = True

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

    def condition(self, x: Float[np.ndarray, " d"]) -> Distribution:
        """Returns the distribution of the coordinates that are NaN in x, given the others; as of a table."""
        return table_of(self).condition(x)

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
            return table_of(self).log_prob(x)
        out = np.empty(len(x))
        for rows in chunks(len(x)):
            out[rows] = self.log_prob_columns((x[rows] - self.mean).T)
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
            scipy.linalg.solve_triangular(r, m, lower=True)
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
            z = scipy.linalg.solve_triangular(root, moved, lower=True, check_finite=False)
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
    """log sum_k exp(logs[k]) in place: `logs` is spent."""
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
    """Yields slices of at most _ROWS rows."""
    for start in range(0, n, _ROWS):
        yield slice(start, min(start + _ROWS, n))


# A mixture seen as its components, whichever is the simplest class that it has.

_PER_BLOCK = 16_384


def components_of(q: Distribution) -> GaussianMixture | TableMixture:
    """Returns the same density as a mixture of vectors, of one component where it has no others.

    Args:
        q: of Gaussians or of Student's t, of numbers or of vectors.

    Raises:
        UnsupportedError: it is something else.

    Example:
        >>> components_of(Normal(1.0, 2.0)).means
        array([[1.]])
    """
    match q:
        case GaussianMixture() | TableMixture():
            return q
        case MultivariateNormal():
            return GaussianMixture(np.ones(1), q.loc[None], q.scale_tril[None])
        case Mixture():
            weights, parts = q.weights, q.components
        case _:
            weights, parts = np.ones(1), (q,)
    known = [part for part in parts if isinstance(part, (Normal, StudentT))]
    if len(known) < len(parts):
        raise UnsupportedError(f"{q} is no mixture of Gaussians or of Student's t")
    means = np.array([[float(part.loc)] for part in known])
    roots = np.array([[[float(part.scale)]] for part in known])
    df = np.array([float(part.df) if isinstance(part, StudentT) else np.inf for part in known])
    plain = GaussianMixture(weights, means, roots)
    return plain if np.isinf(df).all() else replace(table_of(plain), df=df)


def table_of(q: GaussianMixture) -> TableMixture:
    """Returns the same mixture, of rows in which values may be missing."""
    k, d = q.means.shape
    kinds, df = ("continuous",) * d, np.full(k, np.inf)
    return TableMixture(kinds, q.weights, q.means, q.scale_trils, df, np.empty((k, 0)), ())


def log_joint(
    q: GaussianMixture | TableMixture, x: Float[np.ndarray, "n d"]
) -> Float[np.ndarray, "n k"]:
    """Returns log(weight times density) of every component at n rows; NaN in a row is a value not there."""
    out = np.empty((len(x), len(q.weights)))
    for start in range(0, len(x), _PER_BLOCK):
        rows = x[start : start + _PER_BLOCK]
        for at, logs in _by_gaps(q, rows):
            out[start : start + _PER_BLOCK][at] = logs.T
    return out


def _by_gaps(
    q: GaussianMixture | TableMixture, rows: Float[np.ndarray, "m d"]
) -> Iterator[tuple[Array, Float[np.ndarray, "k m"]]]:
    """Yields which rows, and the log joint densities of these."""
    if isinstance(q, TableMixture):
        yield np.ones(len(rows), dtype=bool), q.log_joint(rows.T)
        return
    gaps = np.asarray(np.isnan(rows).any(axis=1))
    if not gaps.all():
        yield ~gaps, q.log_joint_columns((rows[~gaps] - q.mean).T)
    if gaps.any():
        yield gaps, table_of(q).log_joint(rows[gaps].T)
