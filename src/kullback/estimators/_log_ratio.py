"""The log density ratio of two samples of a line, smooth in the normal scores of their ranks."""

import math
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float
from scipy import interpolate, linalg, special

from kullback.estimators._ordered import Counts, Ordered

Matrix = Float[np.ndarray, "k k"]
#: Cubic B-splines; what is not penalised are parabolas, under which Gaussian shifts and scales fall.
_SPLINES, _ORDER = 20, 3
#: The weight of the penalty is sought between these, in so many steps, to this share.
_WEIGHTS, _ROUNDS, _CLOSE = (1e-6, 1e8), 60, 0.05


@final
@dataclass(frozen=True, eq=False)
class LogRatio:
    """log p/q at the cells, up to a constant.

    Attributes:
        values: at each cell.
        penalty: the weight of the penalty that the likelihood chose.
    """

    values: Counts
    penalty: float

    @property
    def swapped(self) -> "LogRatio":
        """log q/p."""
        return LogRatio(-self.values, self.penalty)


def log_ratio(cells: Ordered) -> LogRatio:
    """Returns the log ratio by which a logistic regression tells p from q at each cell.

    The penalised likelihood is sum p log s(f) + q log s(-f) - w/2 int f'''^2, f a spline of the normal
    score of the position, s the logistic function; w has the greatest marginal likelihood (Laplace).

    Source: Fellner (1986) and Schall (1991) for the steps to w; Wood (2017), Generalized additive
    models, section 6.5.2.
    """
    score = special.ndtri(cells.position)
    if len(score) <= _ORDER or score[-1] - score[0] < 1e-9:
        return LogRatio(np.zeros(len(score)), math.inf)
    basis, penalty = _basis(score)
    offset = math.log(cells.p.sum() / cells.q.sum())
    beta, weight = np.zeros(basis.shape[1]), 1.0
    for _ in range(_ROUNDS):
        beta, curvature = _climb(basis, weight * penalty, cells, offset, beta)
        spent = float(np.sum(linalg.cho_solve(curvature, penalty).diagonal()))
        rough = float(beta @ penalty @ beta)
        told = max((len(beta) - _ORDER) / weight - spent, 1e-12)
        new = min(max(weight * told / max(rough, 1e-12), _WEIGHTS[0]), _WEIGHTS[1])
        close = abs(math.log(new / weight)) < _CLOSE
        weight = new
        if close:
            break
    return LogRatio(basis @ beta, weight)


def _basis(score: Counts) -> tuple[Float[np.ndarray, "c k"], Matrix]:
    """Returns splines at the scores, and the integrals of products of their third derivatives."""
    low, high = float(score[0]), float(score[-1])
    inner = np.linspace(low, high, _SPLINES - 2)
    knots = np.concatenate([[low] * 3, inner, [high] * 3])
    basis = interpolate.BSpline.design_matrix(score, knots, 3).toarray()
    middles = 0.5 * (inner[1:] + inner[:-1])
    third = interpolate.BSpline(knots, np.eye(_SPLINES), 3).derivative(3)(middles)
    # Third derivatives of cubics are constant between knots.
    return basis, (inner[1] - inner[0]) * third.T @ third


def _climb(
    basis: Float[np.ndarray, "c k"], penalty: Matrix, cells: Ordered, offset: float,
    beta: Float[np.ndarray, " k"],
) -> tuple[Float[np.ndarray, " k"], tuple[Matrix, bool]]:  # fmt: skip
    """Returns the coefficients by Newton's method, and the factored curvature there."""

    def value(at: Float[np.ndarray, " k"]) -> float:
        eta = basis @ at + offset
        fit = cells.p @ special.log_expit(eta) + cells.q @ special.log_expit(-eta)
        return float(fit - 0.5 * at @ penalty @ at)

    both, here = cells.p + cells.q, value(beta)
    factor = (penalty, True)
    for _ in range(30):
        share = special.expit(basis @ beta + offset)
        gradient = basis.T @ (cells.p - both * share) - penalty @ beta
        curvature = (basis * (both * share * (1.0 - share))[:, None]).T @ basis + penalty
        curvature[np.diag_indices_from(curvature)] += 1e-10 * np.trace(curvature) / len(beta)
        factor = linalg.cho_factor(curvature)
        step = linalg.cho_solve(factor, gradient)
        gain = float(gradient @ step)
        if gain < 1e-8:
            break
        length, there = 1.0, value(beta + step)
        while there < here - 1e-10 and length > 1e-4:
            length *= 0.5
            there = value(beta + length * step)
        beta, here = beta + length * step, there
    return beta, factor
