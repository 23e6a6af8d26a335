"""A score of each row that tells p from q, learned from other rows only."""

import math
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import optimize, special

from kullback._core.threads import one_thread
from kullback.estimators import _kernel_logistic
from kullback.estimators._encoding import Encoded
from kullback.estimators._kernel_logistic import Shape

Scores = Float[np.ndarray, "_n"]
Members = Float[np.ndarray, "_n _k"]
#: Folds, and folds where there are more rows than the third.
_FOLDS, _FEWER_FOLDS, _MANY = 4, 3, 6000
#: Neighbours are counted among the scores of at most so many columns.
_MOST_NEAR = 10
NAMES = ("kernel logistic regression", "boosted trees", "nearest neighbours")


@final
@dataclass(frozen=True, eq=False)
class Stacked:
    """Scores from other rows.

    Attributes:
        scores: an estimate of log p/q at each row, in the order of the rows.
        weights: of the members, mean over folds.
        shape: what the kernel regression chose, to be used again on fewer rows.
    """

    scores: Scores
    weights: Float[np.ndarray, " k"]
    shape: Shape


def stack(rows: Encoded, rng: np.random.Generator, shape: Shape | None = None) -> Stacked:
    """Returns scores of rows by classifiers that have not seen them.

    The folds are balanced; members are fitted to the other folds, and weighed, not below 0, by a logistic
    regression on their scores in the other folds.

    Args:
        rows: rows of both.
        rng: randomness.
        shape: of the kernel regression, where it is known.
    """
    shape = _kernel_logistic.choose(rows, rng) if shape is None else shape
    folds = _folds(rows.of_p, rng)
    members = np.zeros((len(folds), len(NAMES)))
    for fold in np.unique(folds):
        seen, left = rows.take(folds != fold), rows.take(folds == fold)
        members[folds == fold] = _members(seen, left, shape, rng)
    scores, weights = np.zeros(len(folds)), []
    for fold in np.unique(folds):
        found = _weights(members[folds != fold], rows.of_p[folds != fold])
        scores[folds == fold] = found[0] + members[folds == fold] @ found[1:]
        weights.append(found[1:])
    return Stacked(scores, np.mean(weights, axis=0), shape)


def half_scores(seen: Encoded, left: Encoded, shape: Shape, rng: np.random.Generator) -> Scores:
    """Returns scores of rows by the mean of kernel regression and trees, fitted to other rows alone."""
    return 0.5 * _kernel_logistic.fit(seen, shape, rng).score(left) + 0.5 * (
        _trees(seen, left, rng) - _odds(seen.of_p)
    )


def _folds(of_p: Bool[np.ndarray, " n"], rng: np.random.Generator) -> Int[np.ndarray, " n"]:
    number = _FEWER_FOLDS if len(of_p) > _MANY else _FOLDS
    folds = np.zeros(len(of_p), dtype=np.int64)
    for side in (of_p, ~of_p):
        at = np.flatnonzero(side)
        folds[at] = rng.permutation(len(at)) % number
    return folds


def _members(seen: Encoded, left: Encoded, shape: Shape, rng: np.random.Generator) -> Members:
    """Returns what each member says of rows that it has not seen."""
    odds = _odds(seen.of_p)
    near = (
        _neighbours(seen, left)
        if 0 < seen.scores.shape[1] <= _MOST_NEAR
        else np.zeros(len(left.of_p))
    )
    return np.column_stack([
        _kernel_logistic.fit(seen, shape, rng).score(left),
        _trees(seen, left, rng) - odds,
        near,
    ])  # fmt: skip


def _odds(of_p: Bool[np.ndarray, " n"]) -> float:
    return math.log(of_p.sum() / (len(of_p) - of_p.sum()))


def _trees(seen: Encoded, left: Encoded, rng: np.random.Generator) -> Scores:
    # Three seconds of imports: only where several columns are looked at together.
    from sklearn.ensemble import HistGradientBoostingClassifier  # noqa: PLC0415

    model = HistGradientBoostingClassifier(  # its stubs know only the defaults' types
        max_iter=100,
        learning_rate=0.12,
        max_leaf_nodes=12,
        min_samples_leaf=20,
        l2_regularization=5.0,
        categorical_features=seen.categories if seen.categories.any() else None,  # pyright: ignore[reportArgumentType]
        early_stopping=True,  # pyright: ignore[reportArgumentType]
        n_iter_no_change=8,
        validation_fraction=0.2,
        random_state=int(rng.integers(2**31)),
    )
    with one_thread("openmp"):
        return model.fit(seen.trees, seen.of_p).decision_function(left.trees)


def _neighbours(seen: Encoded, left: Encoded) -> Scores:
    from sklearn.neighbors import NearestNeighbors  # noqa: PLC0415 - as above

    d = seen.scores.shape[1]
    number = int(max(10, 0.7 * math.sqrt(len(seen.of_p))))
    center = seen.scores.mean(axis=0)
    values, vectors = np.linalg.eigh(np.cov(seen.scores.T).reshape(d, d) + 1e-6 * np.eye(d))
    whiten = vectors / np.sqrt(values)
    near = NearestNeighbors(n_neighbors=number, algorithm="kd_tree" if d <= 5 else "brute")
    near.fit((seen.scores - center) @ whiten)
    with one_thread("openmp"):
        found = near.kneighbors((left.scores - center) @ whiten, return_distance=False)
    of_p = seen.of_p[found].sum(axis=1)
    return np.log((of_p + 0.5) / (number - of_p + 0.5)) - _odds(seen.of_p)


def _weights(members: Members, of_p: Bool[np.ndarray, " n"]) -> Float[np.ndarray, " k"]:
    """Returns an intercept and a weight for each member, not below 0, by maximum likelihood."""
    odds, sign = _odds(of_p), np.where(of_p, 1.0, -1.0)

    def loss(w: Float[np.ndarray, " k"]) -> tuple[float, Float[np.ndarray, " k"]]:
        eta = w[0] + members @ w[1:] + odds
        slope = special.expit(eta) - of_p
        return (
            -float(special.log_expit(sign * eta).sum()),
            np.concatenate([[slope.sum()], members.T @ slope]),
        )

    k = members.shape[1]
    start = np.concatenate([[0.0], np.full(k, 1.0 / k)])
    limits = [(None, None), *[(0.0, None)] * k]
    return optimize.minimize(loss, start, jac=True, method="L-BFGS-B", bounds=limits).x
