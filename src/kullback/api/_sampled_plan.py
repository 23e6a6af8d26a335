"""Which method answers where one side or both are known by samples or counts, before anything is computed."""

import numpy as np

from kullback._core.errors import InputError, UnsupportedError
from kullback.api import _coerce
from kullback.api._two_samples import MOST_ROWS, column_tally
from kullback.distributions._base import Distribution
from kullback.estimators._nearest_neighbours import MOST_COLUMNS
from kullback.targets import Counts, Samples

_LEVELS = "digamma counts"
_RANKS = "ranks: counts of parts, smooth within, tails"
_SCORES = "scores from other rows"
_NEAR = "nearest neighbours, bias measured on draws of q"
#: Names as in `Estimate.method`, to what they apply, and what they may give.
TABLE = (
    (_LEVELS, "counts, or one column of levels or few values", "estimate, infinite, unresolved"),
    (_NEAR, f"rows of p, up to {MOST_COLUMNS} columns, and a density q", "estimate, infinite, unresolved"),
    (_RANKS, "one column of numbers", "estimate, unresolved"),
    (_SCORES, "several columns", "estimate, lower bound, unresolved"),
)  # fmt: skip


def method(p: object, q: object, *, normalize: bool = False) -> str:
    """Returns the method of KL(p||q), of which one is known by samples or counts.

    Raises:
        InputError: the columns of the two are not as many.
        UnsupportedError: there is no method.
    """
    if isinstance(p, Counts) or isinstance(q, Counts):
        if not isinstance(p, Counts):
            raise UnsupportedError("q is known by counts only, p is not: give Counts for both")
        return _LEVELS
    if isinstance(p, Samples) and isinstance(q, Samples):
        _check_columns(p.values.shape[1], q.values.shape[1])
        if p.values.shape[1] > 1:
            return _SCORES
        return _LEVELS if column_tally(p, q).tally.rest is None else _RANKS
    if isinstance(p, Samples):
        return _against_density(p, _coerce.distribution(q, "q", normalize=normalize))
    known = _coerce.distribution(p, "p", normalize=normalize)
    if known.support.discrete:
        raise UnsupportedError("p is discrete and known, q by samples only: draw from p")
    assert isinstance(q, Samples)
    _check_columns(max(known.support.dimension, 1), q.values.shape[1])
    return _SCORES if q.values.shape[1] > 1 else _RANKS


def _against_density(p: Samples, q: Distribution) -> str:
    n, d = p.values.shape
    _check_columns(d, max(q.support.dimension, 1))
    if not q.normalized:
        raise UnsupportedError("q is not normalised: cross_entropy(p, q) is what can be had")
    if q.support.discrete:
        return _LEVELS
    plain = p.weights is None and not np.isnan(p.values).any()
    if plain and d <= MOST_COLUMNS and min(n, MOST_ROWS) >= max(50 * d, 100):
        return _NEAR
    return _SCORES if d > 1 else _RANKS


def _check_columns(of_p: int, of_q: int) -> None:
    if of_p != of_q:
        raise InputError(f"p has {of_p} column(s) and q {of_q}: they must have the same")
