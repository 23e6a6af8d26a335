"""How well a fit does on rows it has not seen: log scores row by row, their mean, and differences of means."""

import math
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float

from kullback.distributions.base import Distribution
from kullback.distributions.scalar import Best, ScalarFamily
from kullback.distributions.scalar import Values as scalar_Values
from kullback.distributions.vector import Categorical, Independent
from kullback.results.estimate import Estimate
from kullback.results.quantity import LOG_PROB, LOG_PROB_DIFFERENCE

FOLDS = 10
_LABEL = "E_p[log q]"


def folds(n: int, rng: np.random.Generator) -> scalar_Values:
    """Returns the fold of each row: the same for the same n and generator."""
    return (rng.permutation(n) % FOLDS).astype(np.float64)


def held_out(
    family: ScalarFamily,
    x: scalar_Values,
    weights: scalar_Values,
    best: Best,
    rng: np.random.Generator,
) -> scalar_Values | None:
    """Returns the log score of every row under the fit to the other folds; None for too few rows.

    Args:
        family: what is fitted.
        x, weights: the rows.
        best: the fit to all of them, near which the others start.
        rng: which folds.
    """
    if len(x) < 2 * FOLDS:
        return None
    fold, scores = folds(len(x), rng), np.full(len(x), -math.inf)
    for i in range(FOLDS):
        out = fold == i
        # A fold whose other rows are all alike has no density: its scores stay minus infinity.
        kept = x[~out]
        if family.domain.integers or np.ptp(kept) > 0.0:
            scores[out] = family.maximise(kept, weights[~out], best).log_prob(x[out])
    return scores


def mean_score(scores: scalar_Values, weights: scalar_Values, method: str) -> Estimate:
    """Returns the mean log score, with the standard error of a mean over rows."""
    n = len(scores)
    lost = int(np.isneginf(scores[weights > 0.0]).sum())
    if lost:
        reason = (
            f"minus infinity: q has no mass at {lost} of {n} rows held out; where that is a label or a count "
            "not seen among the others, smoothing gives it some"
        )
        ends = (-math.inf, -math.inf)
        return Estimate(-math.inf, 0.0, ends, LOG_PROB, "infinite", method, n, (reason,))
    value, error = moments(scores, weights)
    return Estimate.sampled(value, error, LOG_PROB, method=method, n=n)


def difference(
    best: scalar_Values, other: scalar_Values, weights: scalar_Values, method: str
) -> Estimate:
    """Returns the mean of best - other over the same rows, with its paired standard error."""
    if np.isneginf(other[weights > 0.0]).any():
        reason = "q has no mass at some rows held out"
        return Estimate.infinite(reason, LOG_PROB_DIFFERENCE, method=method)
    value, error = moments(best - other, weights)
    return Estimate.sampled(value, error, LOG_PROB_DIFFERENCE, method=method, n=len(best))


def moments(values: scalar_Values, weights: scalar_Values) -> tuple[float, float]:
    """Returns a mean and its standard error; weights are numbers of independent rows."""
    effective = float(weights.sum())
    share = weights / effective
    used = share > 0.0
    share, values = share[used], values[used]
    middle = float(share @ values)
    return middle, math.sqrt(float(share @ (values - middle) ** 2) / max(effective - 1.0, 1.0))


# Categories: shares of codes with additive smoothing, each column by itself.

Values = Float[np.ndarray, " n"]


@final
@dataclass(frozen=True, eq=False)
class Shares:
    """A fit to columns of codes, and how it predicts each row from the others.

    Attributes:
        q: a Categorical of one column, Independent ones of several.
        scores: the log probability of each row by the counts of the others, (n,).
        parameters: how many shares are free.
    """

    q: Distribution
    scores: Values
    parameters: int


def categorical(
    codes: Float[np.ndarray, "n m"], weights: Values, sizes: tuple[int, ...], smoothing: float
) -> Shares:
    """Returns (count + smoothing) / (n + k smoothing) for every code of every column.

    The mean of the posterior under a Dirichlet(smoothing) prior: 1/2 is that of Jeffreys and of Krichevsky
    and Trofimov, 1 that of Laplace, 0 maximum likelihood.

    Args:
        codes: 0 .. k-1 in each column.
        weights: how many draws a row stands for.
        sizes: k of each column.
        smoothing: what is added to the count of each code.
    """
    total = float(weights.sum())
    tables, scores = [], np.zeros(len(codes))
    for column, k in zip(codes.T.astype(np.int64), sizes, strict=True):
        counts = np.bincount(column, weights, k)
        tables.append((counts + smoothing) / (total + k * smoothing))
        # Left out whole, as many draws as it stands for: counts of weights less than nothing are rounding.
        seen = np.maximum(counts[column] - weights, 0.0)
        seen[seen < 1e-12 * total] = 0.0
        with np.errstate(divide="ignore", invalid="ignore"):
            scores += np.log((seen + smoothing) / (total - weights + k * smoothing))
    scores[np.isnan(scores)] = -np.inf
    parameters = sum(sizes) - len(sizes)
    if len(sizes) == 1:
        return Shares(Categorical.from_probabilities(tables[0]), scores, parameters)
    padded = np.full((len(sizes), max(sizes)), -np.inf)
    for row, p in zip(padded, tables, strict=True):
        with np.errstate(divide="ignore"):
            row[: len(p)] = np.log(p)
    return Shares(Independent(padded, (len(sizes),)), scores, parameters)
