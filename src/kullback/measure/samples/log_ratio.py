"""The log density ratio of two samples of a line, smooth in the normal scores of their ranks, and what it leaves."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, final

import numpy as np
from jaxtyping import Float
from scipy import interpolate, linalg, special

from kullback.measure.samples.cells import Counts, Ordered, Span

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


# What parts and the smooth ratio do not say: structure between the rows that is finer than either.

#: Runs of cells are looked at from so much information on (rows times p's share times q's), and in runs of twice as
#: much each time; that any of them says so much by chance has this probability.
_LEAST, _CHANCE = 2.0, 0.002
#: Odds of p that one stretch may have, times those that were fitted.
_ODDS = (1.0 / 30.0, 1.0 / 8.0, 1.0 / 3.0, 3.0, 8.0, 30.0)


def structure_left(
    cells: Ordered, parts: Sequence[Span], smooth: LogRatio
) -> tuple[int, int] | Literal["many"] | None:
    """Returns where samples differ on a finer scale than parts and a smooth ratio say; None where they do not.

    Given the pooled order, which rows are p's is a toss with the odds that were fitted. One great difference shows in
    the likelihood ratio of the best stretch (by Ville's inequality one that begins at a given cell exceeds e^t with
    probability e^-t), "many" small ones in the sum of the squared deviates of runs. Tails are left out: they have a
    law of their own.

    Args:
        cells: the counts.
        parts: within which the smooth ratio was used.
        smooth: the log ratio p/q.
    """
    inner = [
        np.arange(s.start, s.stop) for s in parts if s.side == "inner" and s.stop - s.start > 1
    ]
    if not inner:
        return None
    which = np.concatenate(inner)
    fitted = [_recalibrated(cells.p[i], cells.q[i], smooth.values[i]) for i in inner]
    share = np.clip(np.concatenate(fitted), 1e-6, 1.0 - 1e-6)
    p, q = cells.p[which], cells.q[which]
    stretch = _stretch(p, q, share)
    if stretch is not None:
        return int(which[stretch[0]]), int(which[stretch[1] - 1]) + 1
    return "many" if _many(p, q, share) else None


def _many(p: Counts, q: Counts, share: Counts) -> bool:
    """Whether deviates of runs, of one length or another, are together greater than chance makes them."""
    weight = (p + q) * share * (1.0 - share)
    reach, total = np.cumsum(weight) - 0.5 * weight, float(weight.sum())
    scales = _LEAST * 2.0 ** np.arange(max(int(math.log2(max(total / _LEAST, 1.0))) - 3, 0))
    for scale in scales:
        run = np.floor(reach / scale).astype(np.int64)
        apart, variance = np.bincount(run, p - (p + q) * share), np.bincount(run, weight)
        held = variance > 0.5 * scale
        squares = float(np.sum(apart[held] ** 2 / variance[held]))
        if len(scales) * special.chdtrc(np.count_nonzero(held), squares) < _CHANCE:
            return True
    return False


def _stretch(p: Counts, q: Counts, share: Counts) -> tuple[int, int] | None:
    """Returns the cells of the stretch whose odds of p are clearly others than was fitted, from and to before which."""
    best, found = math.log(len(p) * len(_ODDS) / _CHANCE), None
    for odds in _ODDS:
        mean = np.log1p((odds - 1.0) * share)
        reached = np.concatenate([[0.0], np.cumsum(p * math.log(odds) - (p + q) * mean)])
        gain = reached - np.minimum.accumulate(reached)
        stop = int(np.argmax(gain))
        if gain[stop] > best:
            best, found = float(gain[stop]), (int(np.argmin(reached[:stop])), stop)
    return found


def _recalibrated(p: Counts, q: Counts, log_ratio: Counts) -> Counts:
    """Returns the probability that a row of each cell is p's, so that their sum is p's rows in the part."""
    both, shift = p + q, 0.0
    for _ in range(20):
        share = special.expit(log_ratio + shift)
        slope = float(both @ (share * (1.0 - share)))
        if slope <= 0.0:
            break
        shift += min(max(float(p.sum() - both @ share) / slope, -2.0), 2.0)
    return special.expit(log_ratio + shift)
