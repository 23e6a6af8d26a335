"""Logistic regression on squares, products and a kernel, each with the penalty that its evidence chooses."""

import itertools
import math
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import linalg, optimize, special
from scipy.spatial import distance

from kullback.core.numerics import one_thread

Table = Float[np.ndarray, "_n _d"]
Vector = Float[np.ndarray, "_k"]
#: Widths of the kernel, in roots of the number of scores; points it is spanned by; the most scores it takes.
_WIDTHS, _POINTS, _MOST_SCORES = (0.6, 1.2, 2.4), 150, 8
#: Products of columns that are taken, at most.
_PRODUCTS = 300
#: Penalties and width are chosen on at most so many rows.
_CHOOSING = 2000
_LIMITS, _ROUNDS, _CLOSE = (1e-4, 1e6), 12, 0.1


@final
@dataclass(frozen=True, eq=False)
class Shape:
    """What is chosen before coefficients are fitted: penalties by group of features, the width of the kernel."""

    penalties: Vector
    width: float


# Rows of two tables as numbers that classifiers read: normal scores of ranks, indicators of levels.


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


@final
@dataclass(frozen=True, eq=False)
class Features:
    """From encoded rows to features: a map that was fitted to some rows.

    Attributes:
        center, whiten: of the scores.
        pairs: which products of scores are taken.
        points, root: what the kernel is spanned by; no points where there is none.
        width: of the kernel.
    """

    center: Vector
    whiten: Table
    pairs: np.ndarray
    points: Table
    root: Table
    width: float

    def __call__(self, rows: Encoded) -> tuple[Table, list[np.ndarray]]:
        """Returns the features (n, k), and which of them share a penalty."""
        z = (rows.scores - self.center) @ self.whiten
        blocks = [
            np.hstack([z, rows.indicators]),
            z * z - 1.0,
            z[:, self.pairs[:, 0]] * z[:, self.pairs[:, 1]],
        ]
        if len(self.points):
            blocks.append(_kernel(z, self.points, self.width) @ self.root)
        kept = [block for block in blocks if block.shape[1]]
        ends = np.cumsum([0, *(block.shape[1] for block in kept)])
        groups = [np.arange(a, b) + 1 for a, b in itertools.pairwise(ends)]
        return np.hstack([np.ones((len(z), 1)), *kept]), groups


@final
@dataclass(frozen=True, eq=False)
class KernelLogistic:
    """A fitted classifier; its score is log p/q."""

    features: Features
    coefficients: Vector

    def score(self, rows: Encoded) -> Vector:
        """Returns log p/q at rows."""
        return self.features(rows)[0] @ self.coefficients


def choose(rows: Encoded, rng: np.random.Generator) -> Shape:
    """Returns the penalties and the width with the greatest marginal likelihood (Laplace)."""
    if len(rows.of_p) > _CHOOSING:
        rows = rows.take(rng.choice(len(rows.of_p), _CHOOSING, replace=False))
    widths = _WIDTHS if 0 < rows.scores.shape[1] <= _MOST_SCORES else (math.nan,)
    found = []
    for width in widths:
        features, groups = _features(rows, width, rng)(rows)
        penalties, evidence = _evident(features, groups, rows.of_p)
        found.append((evidence, penalties, width))
    _, penalties, width = max(found, key=lambda each: each[0])
    return Shape(penalties, width)


def fit(rows: Encoded, shape: Shape, rng: np.random.Generator) -> KernelLogistic:
    """Returns the classifier of these penalties."""
    made = _features(rows, shape.width, rng)
    features, groups = made(rows)
    spread = np.zeros(features.shape[1])
    for group, penalty in zip(groups, shape.penalties, strict=True):
        spread[group] = penalty
    coefficients, _, _ = _climb(features, spread, rows.of_p, np.zeros(features.shape[1]))
    return KernelLogistic(made, coefficients)


def _features(rows: Encoded, width: float, rng: np.random.Generator) -> Features:
    scores = rows.scores
    d = scores.shape[1]
    center = scores.mean(axis=0)
    values, vectors = np.linalg.eigh(np.cov(scores.T).reshape(d, d) + 1e-6 * np.eye(d))
    # The rotation of the scores themselves keeps products of columns apart where there are many.
    whiten = vectors / np.sqrt(values) if d <= _MOST_SCORES else np.diag(1.0 / scores.std(axis=0))
    z = (scores - center) @ whiten
    pairs = _pairs(z, rows.of_p)
    if not math.isfinite(width):
        return Features(center, whiten, pairs, z[:0], np.zeros((0, 0)), width)
    scaled = width * math.sqrt(d)
    points = z[rng.choice(len(z), min(_POINTS, len(z) // 3), replace=False)]
    strength, directions = np.linalg.eigh(_kernel(points, points, scaled))
    kept = strength > 1e-6 * strength[-1]
    root = directions[:, kept] / np.sqrt(strength[kept])
    return Features(center, whiten, pairs, points, root, scaled)


def _pairs(z: Table, of_p: Bool[np.ndarray, " n"]) -> np.ndarray:
    """Returns the pairs of columns whose products tell most, all where there are few."""
    d = z.shape[1]
    first, second = np.triu_indices(d, 1)
    if len(first) > _PRODUCTS:
        apart = np.abs(_correlation(z[of_p]) - _correlation(z[~of_p]))[first, second]
        best = np.argsort(-apart, kind="stable")[:_PRODUCTS]
        first, second = first[best], second[best]
    return np.column_stack([first, second])


def _correlation(z: Table) -> Table:
    return z.T @ z / max(len(z), 1)


def _kernel(a: Table, b: Table, width: float) -> Table:
    return np.exp(-0.5 * distance.cdist(a, b, "sqeuclidean") / width**2)


def _evident(
    features: Table, groups: list[np.ndarray], of_p: Bool[np.ndarray, " n"]
) -> tuple[Vector, float]:
    """Returns penalties by Fellner's and Schall's steps, and the log evidence there."""
    penalties, beta = np.ones(len(groups)), np.zeros(features.shape[1])
    spread = np.zeros(features.shape[1])
    factor, here = (np.eye(1), True), -math.inf
    for _ in range(_ROUNDS):
        for group, penalty in zip(groups, penalties, strict=True):
            spread[group] = penalty
        beta, factor, here = _climb(features, spread, of_p, beta)
        spent = np.diag(linalg.cho_solve(factor, np.eye(len(beta))))
        new = np.array([
            penalty * max(len(g) / penalty - spent[g].sum(), 1e-9) / max(float(beta[g] @ beta[g]), 1e-9)
            for g, penalty in zip(groups, penalties, strict=True)
        ])  # fmt: skip
        new = np.clip(new, *_LIMITS)
        close = float(np.max(np.abs(np.log(new / penalties)))) < _CLOSE
        penalties = new
        if close:
            break
    prior = 0.5 * sum(len(g) * math.log(c) for g, c in zip(groups, penalties, strict=True))
    return penalties, here + prior - float(np.sum(np.log(np.diag(factor[0]))))


def _climb(
    features: Table, spread: Vector, of_p: Bool[np.ndarray, " n"], beta: Vector
) -> tuple[Vector, tuple[Table, bool], float]:
    """Returns coefficients by Newton's method, the factored curvature and the penalised likelihood."""
    offset = math.log(of_p.sum() / (len(of_p) - of_p.sum()))
    sign = np.where(of_p, 1.0, -1.0)

    def value(at: Vector) -> float:
        fit = special.log_expit(sign * (features @ at + offset)).sum()
        return float(fit - 0.5 * np.sum(spread * at * at))

    here, factor = value(beta), (np.eye(1), True)
    for _ in range(20):
        share = special.expit(features @ beta + offset)
        weighted = features * np.sqrt(np.maximum(share * (1.0 - share), 1e-10))[:, None]
        curvature = weighted.T @ weighted
        curvature[np.diag_indices_from(curvature)] += spread + 1e-8
        factor = linalg.cho_factor(curvature)
        step = linalg.cho_solve(factor, features.T @ (of_p - share) - spread * beta)
        gain = float(step @ curvature @ step)
        if gain < 1e-5:
            break
        length, there = 1.0, value(beta + step)
        while there < here - 1e-9 and length > 1e-3:
            length *= 0.5
            there = value(beta + length * step)
        beta, here = beta + length * step, there
    return beta, factor, here


# A score of each row that tells p from q, learned from other rows only.

Scores = Float[np.ndarray, "_n"]
Members = Float[np.ndarray, "_n _k"]
#: Folds, and folds where there are more rows than the third.
_FOLDS, _FEWER_FOLDS, _MANY = 4, 3, 6000
#: Neighbours are counted among the scores of at most so many columns; gaps of columns with fewer values are low ranks.
_MOST_NEAR, _FEW_VALUES = 10, 100
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
    shape = choose(rows, rng) if shape is None else shape
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
    return 0.5 * fit(seen, shape, rng).score(left) + 0.5 * (
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
    kernel = fit(seen, shape, rng).score(left)
    return np.column_stack([kernel, _trees(seen, left, rng) - odds, near])


def _odds(of_p: Bool[np.ndarray, " n"]) -> float:
    return math.log(of_p.sum() / (len(of_p) - of_p.sum()))


def _trees(seen: Encoded, left: Encoded, rng: np.random.Generator) -> Scores:
    from sklearn.ensemble import HistGradientBoostingClassifier  # noqa: PLC0415 - three seconds

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
    # They fail on a part of the rows in which a column has no value: early stopping leaves them some.
    few = ~seen.categories & (np.sum(~np.isnan(seen.trees), axis=0) < _FEW_VALUES)
    known, unknown = (np.where(few & np.isnan(t), 0.0, t) for t in (seen.trees, left.trees))
    with one_thread("openmp"):
        return model.fit(known, seen.of_p).decision_function(unknown)


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


Values = Float[np.ndarray, "_n"]
#: Levels of a column with an indicator of their own, and those that trees tell apart.
_INDICATORS, _TREE_LEVELS = 12, 200
#: Fewer missing values than this share of rows have no indicator of their own.
_RARE = 0.005


def encode(p: Table, q: Table, categories: Bool[np.ndarray, " d"]) -> Encoded:
    """Returns rows of p and of q, which nothing but the order of their values enters.

    Args:
        p, q: values, codes in columns of categories, NaN where one is missing. A column that is the same
            in all rows of both says nothing, and is passed over; one column at least must vary.
        categories: which columns hold codes.
    """
    n, m = len(p), len(q)
    weights = np.concatenate([np.full(n, 0.5 / n), np.full(m, 0.5 / m)])
    both = np.vstack([p, q])
    scores, indicators, trees, codes = [], [], [], []
    for column, coded in zip(both.T, categories, strict=True):
        missing = np.isnan(column)
        if not varies(column[~missing]):
            # All there may be to learn is which rows have the value.
            if not varies(missing):
                continue
            trees.append(_ranks(missing.astype(np.float64), weights))
        elif coded:
            levels, counts = np.unique(column[~missing], return_counts=True)
            common = levels[np.argsort(-counts, kind="stable")]
            trees.append(_codes(column, common[:_TREE_LEVELS]))
            indicators += [column == level for level in common[:_INDICATORS]]
        else:
            rank = _ranks(column, weights)
            trees.append(rank)
            scores.append(np.where(missing, 0.0, special.ndtri(np.nan_to_num(rank, nan=0.5))))
        codes.append(coded)
        if missing.mean() > _RARE:
            indicators.append(missing)
    return Encoded(
        np.column_stack(scores) if scores else np.zeros((n + m, 0)),
        _centred(indicators, n + m),
        np.column_stack(trees),
        np.asarray(codes, dtype=bool),
        np.arange(n + m) < n,
    )


def varies(values: np.ndarray) -> bool:
    """Whether there are two different values, NaN being one."""
    return len(values) > 0 and bool((values[1:] != values[0]).any()) and not np.isnan(values).all()


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
