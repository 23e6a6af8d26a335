"""Logistic regression on squares, products and a kernel, each with the penalty that its evidence chooses."""

import itertools
import math
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Bool, Float
from scipy import linalg, special
from scipy.spatial import distance

from kullback.estimators._encoding import Encoded

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
