"""Maximum conditional likelihood: mixtures that say most of some columns given others, linear and logistic regression.

A mixture of densities over whole rows gives, by conditioning, a mixture of regressions whose weights depend on x.
Its conditional likelihood is that of rows less that of their x; so its gradient is that of two weighted
log likelihoods, with the shares of components given the whole row, and given x alone (Jebara and Pentland 1999).
"""

from dataclasses import dataclass, replace
from typing import final

import numpy as np
from jaxtyping import Float
from scipy import special

from kullback.core.errors import InputError
from kullback.distributions.conditional import Softmax, marginal_of
from kullback.distributions.gaussian_mixture import GaussianMixture, TableMixture, table_of
from kullback.solvers.minimise import descend

Array = np.ndarray
Rows = Float[np.ndarray, "n d"]
Weights = Float[np.ndarray, " n"]
#: What the likelihood of x counts for, against 1 of y given x: enough to hold components where rows are.
ANCHOR = 0.01
#: Each covariance has a prior of so many rows, of this share of the columns' variances.
_PRIOR_ROWS, _PRIOR_SHARE = 2.0, 0.01
#: Steps at most, and the gain a row over some of them below which there are no more.
_STEPS, _GAIN = 300, 1e-6


@final
@dataclass(frozen=True, eq=False)
class Ascended:
    """Where the ascent ended.

    Attributes:
        q: the mixture over whole rows.
        evaluations: of the likelihood and its gradient.
    """

    q: TableMixture
    evaluations: int


def ascend(q: TableMixture, x: Rows, weights: Weights, given: tuple[int, ...]) -> Ascended:
    """Returns the mixture near q with the greatest conditional likelihood of rows.

    Args:
        q: where to begin: of Gaussians, with counts and categories.
        x: whole rows.
        weights: of the rows.
        given: the columns that the others are conditioned on; none for the likelihood itself.
    """
    center, scale = _units(q, x, weights)
    start = _scaled(q, center, scale)
    rows = x.copy()
    rows[:, q.reals] = (x[:, q.reals] - center) / scale
    problem = _Problem(start, rows, weights / weights.sum(), given)
    end = descend(problem, problem.vector(start), iterations=_STEPS, gain=_GAIN)
    best = problem.mixture(end.at)
    back = replace(
        best, means=center + scale * best.means, roots=scale[:, None] * best.roots
    )  # fmt: skip
    return Ascended(back, end.evaluations)


def _units(q: TableMixture, x: Rows, weights: Weights) -> tuple[Array, Array]:
    reals = x[:, q.reals]
    share = weights / weights.sum()
    center = share @ reals
    return center, np.sqrt(np.maximum(share @ (reals - center) ** 2, 1e-300))


def _scaled(q: TableMixture, center: Array, scale: Array) -> TableMixture:
    return replace(q, means=(q.means - center) / scale, roots=q.roots / scale[:, None])


@final
class _Problem:
    """Minus the conditional log likelihood a row, and its gradient, of a vector of free parameters."""

    def __init__(self, q: TableMixture, x: Rows, share: Weights, given: tuple[int, ...]) -> None:
        self.q, self.x, self.share = q, x, share
        self.given = np.isin(np.arange(x.shape[1]), given)
        self.columns = given
        k, d = q.means.shape
        self.low = np.tril_indices(d)
        self.diagonal = self.low[0] == self.low[1]
        sizes = [k, k * d, k * len(self.low[0]), q.rates.size, *(t.size for t in q.tables)]
        self.cuts = np.cumsum(sizes)[:-1]
        # Rows that the prior stands for, as a share of all.
        self.prior = _PRIOR_ROWS / len(x)

    def vector(self, q: TableMixture) -> Array:
        """Returns the free parameters of a mixture."""
        with np.errstate(divide="ignore"):
            logs = [np.maximum(np.log(t), -30.0) for t in (q.weights, q.rates, *q.tables)]
        roots = q.roots[:, *self.low].copy()
        roots[:, self.diagonal] = np.log(roots[:, self.diagonal])
        parts = (logs[0], q.means, roots, *logs[1:])
        return np.concatenate([np.ravel(p) for p in parts])

    def mixture(self, vector: Array) -> TableMixture:
        """Returns the mixture of free parameters."""
        logits, means, low, rates, *tables = np.split(vector, self.cuts)
        k, d = self.q.means.shape
        roots = np.zeros((k, d, d))
        free = low.reshape(k, -1).copy()
        free[:, self.diagonal] = np.exp(np.clip(free[:, self.diagonal], -30.0, 30.0))
        roots[:, *self.low] = free
        return replace(
            self.q, weights=special.softmax(logits), means=means.reshape(k, d), roots=roots,
            rates=np.exp(np.clip(rates, -30.0, 30.0)).reshape(self.q.rates.shape),
            tables=tuple(special.softmax(t.reshape(o.shape), axis=1)
                         for t, o in zip(tables, self.q.tables, strict=True)),
        )  # fmt: skip

    def __call__(self, vector: Array) -> tuple[float, Array]:
        """Returns minus the likelihood, the prior included, and its gradient."""
        q = self.mixture(vector)
        value, gradient = self._likelihood(q, np.ones(len(self.given), dtype=bool), 1.0)
        if self.columns:
            less, slope = self._likelihood(q, self.given, -(1.0 - ANCHOR))
            value, gradient = value + less, gradient + slope
        held, pull = self._prior(q)
        return -(value + held), -(gradient + pull)

    def _likelihood(self, q: TableMixture, there: Array, times: float) -> tuple[float, Array]:
        """Returns so many times the log likelihood of some columns, and its gradient."""
        x = self.x.T
        seen, x_seen = (q, x) if there.all() else (marginal_of(q, self.columns), x[there])
        logs = seen.log_joint(x_seen)
        total = np.logaddexp.reduce(logs, axis=0)
        shares = times * self.share * np.exp(logs - total)
        sums = shares.sum(axis=1)
        means, roots = self._of_reals(q, x, there, shares)
        parts = [sums - q.weights * sums.sum(), means, roots]
        counts = x[q.counts]
        rates = [
            shares @ c - r * sums if there[j] else np.zeros_like(sums)
            for j, c, r in zip(q.counts, counts, q.rates.T, strict=True)
        ]
        parts.append(np.stack(rates, axis=1) if rates else np.empty(0))
        for j, table in zip(q.categories, q.tables, strict=True):
            slope = np.zeros_like(table)
            if there[j]:
                hit = (x[j][:, None] == np.arange(table.shape[1])).astype(np.float64)
                slope = shares @ hit - table * sums[:, None]
            parts.append(slope)
        value = times * float(self.share @ total)
        return value, np.concatenate([np.ravel(p) for p in parts])

    def _of_reals(
        self, q: TableMixture, x: Float[np.ndarray, "d n"], there: Array, shares: Array
    ) -> tuple[Array, Array]:
        k, d = q.means.shape
        means, slopes = np.zeros((k, d)), np.zeros((k, d, d))
        held = np.flatnonzero(there[q.reals])
        if len(held):
            covariances = (q.roots @ q.roots.transpose(0, 2, 1))[:, held][:, :, held]
            precisions = np.linalg.inv(covariances)
            reals = x[q.reals[held]]
            for i in range(k):
                moved = reals - q.means[i, held][:, None]
                weighed = moved * shares[i]
                means[i, held] = precisions[i] @ weighed.sum(axis=1)
                scatter = precisions[i] @ (weighed @ moved.T) @ precisions[i]
                of_covariance = 0.5 * (scatter - shares[i].sum() * precisions[i])
                slopes[i][np.ix_(held, held)] = of_covariance
        return means, self._of_roots(q, slopes)

    def _of_roots(self, q: TableMixture, of_covariance: Float[np.ndarray, "k d d"]) -> Array:
        """Returns the gradient by the free parameters of roots, from that by covariances."""
        low = (2.0 * of_covariance @ q.roots)[:, *self.low]
        diagonal = np.diagonal(q.roots, axis1=1, axis2=2)
        low[:, self.diagonal] *= diagonal
        return low

    def _prior(self, q: TableMixture) -> tuple[float, Array]:
        """Returns the log of an inverse Wishart density of the covariances, and its gradient."""
        k, d = q.means.shape
        precisions = np.linalg.inv(q.roots @ q.roots.transpose(0, 2, 1))
        log_det = 2.0 * np.log(np.diagonal(q.roots, axis1=1, axis2=2)).sum()
        trace = _PRIOR_SHARE * np.trace(precisions, axis1=1, axis2=2).sum()
        value = -0.5 * self.prior * (float(trace) + float(log_det))
        slope = 0.5 * self.prior * (_PRIOR_SHARE * precisions @ precisions - precisions)
        rest = len(self.vector(q)) - k - k * d - k * len(self.low[0])
        # One of each code, spread over the rows: no probability becomes 0.
        pulls = [self.prior * (1.0 / t.shape[1] - t) for t in q.tables]
        for t in q.tables:
            value += self.prior * float(np.log(t).mean(axis=1).sum())
        codes = np.concatenate([p.ravel() for p in pulls]) if pulls else np.empty(0)
        middle = np.zeros(rest - len(codes))
        return value, np.concatenate(
            [np.zeros(k + k * d), self._of_roots(q, slope).ravel(), middle, codes]
        )


# Numbers given numbers by one Gaussian: linear regression.

#: A share of a variance that is next to nothing, and well above rounding.
_LITTLE = 1e-10


def linear(
    x: Rows, weights: Weights, near: TableMixture | None = None, given: tuple[int, ...] = ()
) -> TableMixture:
    """Returns the Gaussian of greatest likelihood, whose density of y given x is linear regression's.

    Args:
        x: whole rows.
        weights: of the rows.
        near: that of more rows: columns that are given have a variance next to nothing more, so that y does not
            depend on those that are constant in fewer.
        given: these columns.

    Raises:
        InputError: a column is a linear function of others.
    """
    share = weights / weights.sum()
    mean = share @ x
    moved = x - mean
    covariance = (moved * share[:, None]).T @ moved
    if near is not None:
        covariance[given, given] += _LITTLE * np.sum(near.roots[0] ** 2, axis=1)[list(given)]
    wrong = InputError(
        "the columns determine each other, or one is constant: leave one of them out"
    )
    try:
        root = np.linalg.cholesky(covariance)
    except np.linalg.LinAlgError:
        raise wrong from None
    if np.any(np.diag(root) ** 2 <= 1e-12 * np.diag(covariance)):
        raise wrong
    return table_of(GaussianMixture(np.ones(1), mean[None], root[None]))


# Categories given anything: logistic regression.

#: Standard deviations of the normal prior of coefficients, of standardised columns, that are tried.
SPREADS = (0.1, 0.3, 1.0, 3.0, 10.0)


def logistic(
    x: Rows,
    weights: Weights,
    column: int,
    levels: tuple[int, ...],
    codes: int,
    spread: float,
    start: Softmax | None = None,
) -> Softmax:
    """Returns the logistic regression of a column of codes on all others.

    Args:
        x: whole rows.
        weights: of the rows.
        column: the one that is predicted.
        levels: of each other column, the number of its codes; 0 for numbers.
        codes: of the predicted column.
        spread: standard deviation of the prior of the coefficients.
        start: where to begin.
    """
    given = tuple(j for j in range(x.shape[1]) if j != column)
    share = weights / weights.sum()
    center, scale = _standard(x[:, given], share)
    made = Softmax(column, given, levels, center, scale, np.zeros((codes, 1)))
    features = made.features(x)
    hit = (x[:, column][:, None] == np.arange(codes)).astype(np.float64)
    # The constant has next to no prior.
    strength = np.full(features.shape[1], 1.0 / (spread**2 * weights.sum()))
    strength[0] = 1e-8

    def loss(vector: Array) -> tuple[float, Array]:
        table = vector.reshape(codes, -1)
        logs = special.log_softmax(features @ table.T, axis=1)
        slope = ((np.exp(logs) - hit) * share[:, None]).T @ features + strength * table
        value = -float(share @ np.sum(hit * logs, axis=1)) + 0.5 * float(
            np.sum(strength * table**2)
        )
        return value, slope.ravel()

    begin = np.zeros((codes, features.shape[1])) if start is None else _moved(start, made)
    begin[:, ~features.any(axis=0)] = (
        0.0  # nothing here says otherwise, and elsewhere it may be anything
    )
    end = descend(loss, begin.ravel(), iterations=_STEPS)
    return replace(made, coefficients=end.at.reshape(codes, -1))


def _standard(numbers: Rows, share: Weights) -> tuple[Array, Array]:
    """Returns by what columns are standardised; one that is constant is that constant, exactly, in every row."""
    center = share @ numbers
    scale = np.sqrt(share @ (numbers - center) ** 2)
    there = numbers[share > 0.0]
    same = there.min(axis=0) == there.max(axis=0)
    return np.where(same, there[0], center), np.where(same | (scale == 0.0), 1.0, scale)


def _moved(start: Softmax, made: Softmax) -> Float[np.ndarray, "l f"]:
    """Returns coefficients of the same log odds, of columns that are standardised otherwise."""
    table = start.coefficients.copy()
    at = 1
    for j, levels in enumerate(made.levels):
        if not levels:
            slope = table[:, at] / start.scale[j]
            table[:, 0] += slope * (made.center[j] - start.center[j])
            table[:, at] = slope * made.scale[j]
        at += max(levels, 1)
    return table
