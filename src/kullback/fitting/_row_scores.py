"""How well a fit does on rows it has not seen: log scores row by row, their mean, and differences of means."""

import math

import numpy as np

from kullback.fitting._scalar_family import Best, ScalarFamily, Values
from kullback.results._estimate import Estimate

FOLDS = 10
_LABEL = "E_p[log q]"


def folds(n: int, rng: np.random.Generator) -> Values:
    """Returns the fold of each row: the same for the same n and generator."""
    return (rng.permutation(n) % FOLDS).astype(np.float64)


def held_out(
    family: ScalarFamily, x: Values, weights: Values, best: Best, rng: np.random.Generator
) -> Values | None:
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


def mean_score(scores: Values, weights: Values, method: str) -> Estimate:
    """Returns the mean log score, with the standard error of a mean over rows."""
    n = len(scores)
    lost = int(np.isneginf(scores[weights > 0.0]).sum())
    if lost:
        reason = (
            f"minus infinity: q has no mass at {lost} of {n} rows held out; where that is a label or a count "
            "not seen among the others, smoothing gives it some"
        )
        ends = (-math.inf, -math.inf)
        return Estimate(-math.inf, 0.0, ends, "log_prob", _LABEL, "infinite", method, n, (reason,))
    value, error = moments(scores, weights)
    return Estimate.sampled(value, error, quantity="log_prob", direction=_LABEL, method=method, n=n)


def difference(best: Values, other: Values, weights: Values, method: str) -> Estimate:
    """Returns the mean of best - other over the same rows, with its paired standard error."""
    quantity, label = "log_prob_difference", "E_p[log best - log q]"
    if np.isneginf(other[weights > 0.0]).any():
        reason = "q has no mass at some rows held out"
        return Estimate.infinite(reason, quantity=quantity, direction=label, method=method)
    value, error = moments(best - other, weights)
    return Estimate.sampled(
        value, error, quantity=quantity, direction=label, method=method, n=len(best)
    )


def moments(values: Values, weights: Values) -> tuple[float, float]:
    """Returns a weighted mean and its standard error."""
    share = weights / weights.sum()
    used = share > 0.0
    share, values = share[used], values[used]
    middle = float(share @ values)
    effective = 1.0 / float(share @ share)
    return middle, math.sqrt(float(share @ (values - middle) ** 2) / max(effective - 1.0, 1.0))
