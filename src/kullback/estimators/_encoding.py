"""Rows of two tables as numbers that classifiers read: normal scores of ranks, indicators of levels."""

from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Bool, Float
from scipy import special

Values = Float[np.ndarray, "_n"]
Table = Float[np.ndarray, "_n _d"]
#: Levels of a column with an indicator of their own, and those that trees tell apart.
_INDICATORS, _TREE_LEVELS = 12, 200
#: Fewer missing values than this share of rows have no indicator of their own.
_RARE = 0.005


@final
@dataclass(frozen=True, eq=False)
class Encoded:
    """Rows of p, then rows of q.

    Attributes:
        scores: normal scores of ranks of the ordered columns, 0 where a value is missing.
        indicators: 0 and 1 for levels and for missing values, centred.
        trees: ranks and codes, NaN where a value is missing.
        categories: which columns of `trees` are codes.
        of_p: which rows are of p.
    """

    scores: Table
    indicators: Table
    trees: Table
    categories: Bool[np.ndarray, " d"]
    of_p: Bool[np.ndarray, " n"]

    def take(self, rows: np.ndarray) -> "Encoded":
        """Returns some of the rows."""
        return Encoded(
            self.scores[rows], self.indicators[rows], self.trees[rows], self.categories,
            self.of_p[rows],
        )  # fmt: skip


def encode(p: Table, q: Table, categories: Bool[np.ndarray, " d"]) -> Encoded:
    """Returns rows of p and of q, which nothing but the order of their values enters.

    Args:
        p, q: values, codes in columns of categories, NaN where one is missing.
        categories: which columns hold codes.
    """
    n, m = len(p), len(q)
    weights = np.concatenate([np.full(n, 0.5 / n), np.full(m, 0.5 / m)])
    both = np.vstack([p, q])
    scores, indicators, trees = [], [], []
    for column, coded in zip(both.T, categories, strict=True):
        missing = np.isnan(column)
        if coded:
            levels, counts = np.unique(column[~missing], return_counts=True)
            common = levels[np.argsort(-counts, kind="stable")]
            trees.append(_codes(column, common[:_TREE_LEVELS]))
            indicators += [column == level for level in common[:_INDICATORS]]
        else:
            rank = _ranks(column, weights)
            trees.append(rank)
            if not missing.all():
                scores.append(np.where(missing, 0.0, special.ndtri(np.nan_to_num(rank, nan=0.5))))
        if missing.mean() > _RARE:
            indicators.append(missing)
    return Encoded(
        np.column_stack(scores) if scores else np.zeros((n + m, 0)),
        _centred(indicators, n + m),
        np.column_stack(trees),
        np.asarray(categories, dtype=bool),
        np.arange(n + m) < n,
    )


def _centred(indicators: list[Bool[np.ndarray, " n"]], rows: int) -> Table:
    if not indicators:
        return np.zeros((rows, 0))
    found = np.column_stack(indicators).astype(np.float64)
    return found - found.mean(axis=0)


def _ranks(values: Values, weights: Values) -> Values:
    """Returns mid-ranks in (0, 1), each sample weighing one half; NaN stays NaN."""
    held = np.flatnonzero(~np.isnan(values))
    found = np.full(len(values), np.nan)
    if len(held):
        distinct, which = np.unique(values[held], return_inverse=True)
        share = np.bincount(which, weights[held], minlength=len(distinct))
        share /= share.sum()
        found[held] = (np.cumsum(share) - 0.5 * share)[which]
    return found


def _codes(values: Values, common: Values) -> Values:
    """Returns the place of each level among the common ones, of others the last."""
    order = np.argsort(common)
    at = np.searchsorted(common[order], values)
    at = np.minimum(at, len(common) - 1)
    found = np.where(common[order][at] == values, order[at].astype(np.float64), float(len(common)))
    return np.where(np.isnan(values), np.nan, found)
