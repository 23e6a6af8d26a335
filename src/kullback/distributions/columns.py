"""Columns of a table under the components of a mixture: what is there of a row, and what follows for the rest."""

import math
from typing import final

import numpy as np
from jaxtyping import Bool, Float
from scipy import special

from kullback.core.errors import InputError

Array = np.ndarray
_LOG_2PI = math.log(2.0 * math.pi)


def patterns(x: Float[np.ndarray, "d m"]) -> tuple[Array, Array, Bool[np.ndarray, "p d"]]:
    """Returns an order of rows in which those that share a pattern of values that are there stand together.

    Args:
        x: rows as columns.

    Returns:
        The order (m,), where each pattern ends in it (p,), and the patterns, each once.
    """
    there = ~np.isnan(x)
    if there.all():
        return np.arange(x.shape[1]), np.array([x.shape[1]]), np.ones((1, len(x)), dtype=bool)
    # Few columns make a short number, which sorts by its digits.
    packed = np.packbits(there, axis=0)
    code = packed[0].astype(np.uint16)
    if len(packed) == 2:
        code = code * np.uint16(256) + packed[1]
    elif len(packed) > 2:
        code = np.unique(packed, axis=1, return_inverse=True)[1].ravel()
    order = np.argsort(code, kind="stable")
    code = code[order]
    ends = np.append(np.flatnonzero(code[1:] != code[:-1]) + 1, len(code))
    return order, ends, there[:, order[ends - 1]].T


#: Numbers in the matrices of so many patterns at once.
_AT_ONCE = 2**18


@final
class Marginals:
    """The Gaussians of those real columns that are there, for many patterns at once.

    Columns that are not there are taken to be independent of all others, with variance 1: one size fits all patterns.

    Attributes:
        at_once: patterns that are to be asked for together.
    """

    def __init__(
        self, roots: Float[np.ndarray, "k d d"], covariances: Float[np.ndarray, "k d d"]
    ) -> None:
        self._roots, self._covariances = roots, covariances
        self._known: dict[bytes, tuple[Array, Array]] = {}
        self.at_once = max(_AT_ONCE // max(roots.size, 1), 1)

    def of(
        self, there: Bool[np.ndarray, "p d"]
    ) -> tuple[Float[np.ndarray, "p k d d"], Float[np.ndarray, "p k"]]:
        """Returns inverses of Cholesky factors, 0 in columns that are not there, and their log determinants."""
        key = there.tobytes()
        if key not in self._known:
            # Blocks of few patterns all have the same ones; of many, each has its own.
            self._known = {key: self._made(there)}
        return self._known[key]

    def _made(self, there: Bool[np.ndarray, "p d"]) -> tuple[Array, Array]:
        both = there[:, None, :, None] & there[:, None, None, :]
        alone = np.eye(there.shape[1]) * ~there[:, None, :, None]
        roots = np.empty((*both.shape[:1], *self._roots.shape))
        whole = there.all(axis=1)
        roots[whole] = self._roots
        if not whole.all():
            roots[~whole] = np.linalg.cholesky(np.where(both, self._covariances, alone)[~whole])
        log_det = np.log(np.diagonal(roots, axis1=2, axis2=3)).sum(axis=2)
        return np.linalg.inv(roots) * there[:, None, None, :], log_det


def elliptical(
    distance: Float[np.ndarray, "k m"],
    log_det: Float[np.ndarray, " k"],
    df: Float[np.ndarray, " k"],
    d: int,
) -> Float[np.ndarray, "k m"]:
    """Returns the log density of d columns at squared Mahalanobis distances: of Gaussians, or of Student's t."""
    normal = -0.5 * (distance + d * _LOG_2PI)
    if np.isinf(df).all():
        return normal - log_det[:, None]
    few = np.where(np.isinf(df), 1e12, df)[:, None]
    constant = special.gammaln(0.5 * (few + d)) - special.gammaln(0.5 * few)
    heavy = constant - 0.5 * d * np.log(np.pi * few) - 0.5 * (few + d) * np.log1p(distance / few)
    return np.where(np.isinf(df)[:, None], normal, heavy) - log_det[:, None]


def poisson_logs(
    x: Float[np.ndarray, " m"], rate: Float[np.ndarray, " k"]
) -> Float[np.ndarray, "k m"]:
    """Returns the log mass of counts under each rate, 0 where a count is missing."""
    there = ~np.isnan(x)
    count = np.where(there, x, 0.0)
    valid = (count >= 0.0) & (count == np.floor(count))
    safe = np.where(valid, count, 0.0)
    log_rate = np.log(np.maximum(rate, 1e-300))[:, None]
    logs = safe * log_rate - rate[:, None] - special.gammaln(safe + 1.0)
    return np.where(there, np.where(valid, logs, -np.inf), 0.0)


def categorical_logs(
    x: Float[np.ndarray, " m"], table: Float[np.ndarray, "k l"]
) -> Float[np.ndarray, "k m"]:
    """Returns the log probability of codes under each table, 0 where a code is missing."""
    there = ~np.isnan(x)
    code = np.where(there, x, 0.0)
    valid = (code >= 0.0) & (code < table.shape[1]) & (code == np.floor(code))
    with np.errstate(divide="ignore"):
        logs = np.log(table)[:, np.where(valid, code, 0.0).astype(np.int64)]
    return np.where(there, np.where(valid, logs, -np.inf), 0.0)


def conditioned(
    means: Float[np.ndarray, "k d"],
    roots: Float[np.ndarray, "k d d"],
    df: Float[np.ndarray, " k"],
    x: Float[np.ndarray, " d"],
) -> tuple[Float[np.ndarray, "k r"], Float[np.ndarray, "k r r"], Float[np.ndarray, " k"]]:
    """Returns locations, roots and degrees of freedom of the coordinates that are NaN, given the others.

    Args:
        means, roots: of Gaussians, or of Student's t, over all coordinates.
        df: infinite for Gaussians.
        x: the coordinates that are given; NaN for the rest.

    Source: Ding (2016), On the conditional distribution of the multivariate t distribution.
    """
    there = ~np.isnan(x)
    if not there.any() or there.all():
        return means[:, ~there], roots[:, ~there][:, :, ~there], df
    covariances = roots @ roots.transpose(0, 2, 1)
    inner, across = covariances[:, there][:, :, there], covariances[:, ~there][:, :, there]
    slopes = np.linalg.solve(inner, across.transpose(0, 2, 1)).transpose(0, 2, 1)
    moved = x[there] - means[:, there]
    located = means[:, ~there] + np.einsum("krg,kg->kr", slopes, moved)
    left = covariances[:, ~there][:, :, ~there] - slopes @ across.transpose(0, 2, 1)
    distance = np.einsum("kg,kg->k", moved, np.linalg.solve(inner, moved[:, :, None])[:, :, 0])
    count = float(there.sum())
    finite = np.isfinite(df)
    stretch = np.ones(len(df))
    stretch[finite] = (df[finite] + distance[finite]) / (df[finite] + count)
    return located, np.linalg.cholesky(stretch[:, None, None] * left), df + count


def asked_row(x: Array, columns: int) -> Float[np.ndarray, " c"]:
    """Returns a row some of whose columns are asked for by NaN. Raises InputError for any other."""
    row = np.asarray(x, dtype=np.float64)
    if row.shape != (columns,) or not np.isnan(row).any() or np.isinf(row).any():
        raise InputError(
            f"condition(x): x must be a row of {columns} numbers, NaN in the columns whose distribution is asked for"
        )
    return row
