"""Rows that are not independent: how many independent ones they are worth."""

import numpy as np
from jaxtyping import Float, Int
from scipy import special

Values = Float[np.ndarray, "_n"]
Groups = Int[np.ndarray, "_n"]
#: Polynomials of the rank whose means are looked at, and levels at most.
_DEGREE, _LEVELS = 4, 12
#: How far out limits have to hold.
_FAR = 0.001
#: Values that repeat less often than this, on average, are not copies.
_COPIED = 1.3


def design_effect(
    values: Values, groups: Groups | None, *, levels: bool, weights: Values | None = None
) -> float:
    """Returns by how much the variance of means over rows exceeds that of independent rows; at least 1.

    The means are those of polynomials of the rank, or of shares of levels; the variance is that of
    sums over groups.

    Args:
        values: of a column; NaN where one is missing.
        groups: rows with one number belong together; None where each stands alone.
        levels: whether values are codes.
        weights: what rows count for, as numbers of independent rows; 1 by default.

    Example:
        >>> twice = np.repeat(np.random.default_rng(0).normal(size=500), 2)
        >>> round(design_effect(twice, np.repeat(np.arange(500), 2), levels=False), 1)
        2.0

    Source: Kish (1965), Survey sampling, section 5.4.
    """
    known = ~np.isnan(values)
    if known.sum() < 2:
        return 1.0
    weight = np.ones(int(known.sum())) if weights is None else weights[known]
    if not weight.sum() > 0.0:
        return 1.0
    scores = _shares(values[known]) if levels else _polynomials(values[known], weight)
    scores = scores - weight @ scores / weight.sum()
    which = (
        np.arange(len(scores))
        if groups is None
        else np.unique(groups[known], return_inverse=True)[1]
    )
    sums = np.column_stack([np.bincount(which, weight * column) for column in scores.T])
    count, n = len(sums), max(float(weight.sum()), 1.0)
    if count < 2:
        return n
    alone = weight @ scores**2
    together = np.sum(sums**2, axis=0) * count / (count - 1)
    held = alone > 0.0
    if not held.any():
        return 1.0
    found = max(float(np.mean(together[held] / alone[held])), 1.0)
    # Few groups tell their own variance badly: limits by it are those of Fisher's law, not of chi-square.
    few = special.fdtri(_DEGREE, count - 1, 1.0 - _FAR) * _DEGREE / special.chdtri(_DEGREE, _FAR)
    return min(found * float(few) if count < len(scores) else found, n)


def whole(weights: Values) -> bool:
    """Whether weights are numbers of rows; fractions are weights of a survey."""
    return bool(np.array_equal(weights, np.floor(weights)))


def blocks(values: Values, *, levels: bool) -> int:
    """Returns how many consecutive rows depend on each other, from the autocorrelation of the ranks.

    Args:
        values: a column in the order of time; NaN where one is missing.
        levels: whether values are codes.
    """
    known = values[~np.isnan(values)]
    n = len(known)
    if n < 20:
        return 1
    scores = _shares(known) if levels else _polynomials(known, np.ones(n))
    return max(int(np.ceil(max(_memory(column) for column in scores.T))), 1)


def _memory(series: Values) -> float:
    """The sum of autocorrelations over all lags up to the first pair that is not positive."""
    # Two seconds to import: for rows in order only.
    from arviz_stats.base import array_stats  # noqa: PLC0415 # pyright: ignore[reportPrivateImportUsage]

    if np.ptp(series) <= 0.0:
        return 1.0
    found = array_stats.ess(series[None, :], method="mean", chain_axis=0, draw_axis=1)
    effective = float(np.asarray(found))
    return len(series) / effective if effective > 0.0 else 1.0


def _polynomials(values: Values, weights: Values) -> Float[np.ndarray, "n k"]:
    distinct, which = np.unique(values, return_inverse=True)
    counts = np.bincount(which, weights, minlength=len(distinct))
    middle = ((np.cumsum(counts) - 0.5 * counts) / weights.sum())[which]
    degree = min(_DEGREE, max(len(distinct) - 1, 1))
    return special.eval_sh_legendre(np.arange(1, degree + 1), middle[:, None])


def _shares(codes: Values) -> Float[np.ndarray, "n k"]:
    distinct, counts = np.unique(codes, return_counts=True)
    common = distinct[np.argsort(-counts, kind="stable")[:_LEVELS]]
    return (codes[:, None] == common).astype(np.float64)


def copies(x: Values, y: Values) -> tuple[float, float]:
    """Returns how often rows of each sample were copied: 1 unless values repeat that the other has not.

    Rounding makes values repeat in both samples alike; copying makes those of one repeat.

    Args:
        x, y: the finite values of a column of numbers.
    """
    found = []
    for mine, other in ((x, y), (y, x)):
        distinct = np.unique(mine)
        times = len(mine) / max(len(distinct), 1)
        if times < _COPIED or len(distinct) <= _LEVELS:
            found.append(1.0)
            continue
        shared = float(np.isin(mine, np.unique(other)).mean()) if len(other) else 0.0
        found.append(times if shared < 0.5 * (1.0 - 1.0 / times) else 1.0)
    return found[0], found[1]
