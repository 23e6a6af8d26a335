"""Categories: shares of codes with additive smoothing, each column by itself."""

from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float

from kullback.distributions._base import Distribution
from kullback.distributions._independent import Independent
from kullback.distributions._vector import Categorical

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
