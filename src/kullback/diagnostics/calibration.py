"""Ranks of true values among draws of fits: tests that are exact for any number of data sets, and sizes with errors."""

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from jaxtyping import Float
from scipy import special, stats

from kullback.results.calibration import (
    LEVEL,
    CalibratedQuantity,
    Miscalibration,
    RankBand,
)
from kullback.results.estimate import Estimate
from kullback.results.quantity import MEAN_SHIFT, SD_RATIO, Quantity

Array = np.ndarray
#: Tests of each quantity: of the mean and the variance of scores, and of their distribution.
TESTS = 3
#: Places at which distributions are compared at most.
_PLACES = 200
#: The deviate that four of five exceed.
_POWER = 0.84
#: The share of true values that must lie within the draws for a size to be told.
_WITHIN = 0.05
#: Errors by which a ratio of sds must be off 1 for its direction to be named.
_CLEAR = 1.64
_METHOD = "normal scores of ranks"
_BEYOND = "nearly all true values lie beyond all draws"


def randomised_ranks(
    truth: Float[np.ndarray, " m"], draws: Float[np.ndarray, "l m"], rng: np.random.Generator
) -> Float[np.ndarray, " m"]:
    """Returns ranks of true values among draws as shares, uniform if they are of one law; ties break at random.

    Example:
        >>> share = randomised_ranks(np.array([0.5]), np.array([[0.0], [1.0], [2.0]]), np.random.default_rng(0))
        >>> bool(0.25 < share[0] < 0.5)
        True
    """
    below, equal = (draws < truth).sum(axis=0), (draws == truth).sum(axis=0)
    return (below + rng.uniform(size=len(truth)) * (equal + 1)) / (len(draws) + 1)


def calibrated(
    names: Sequence[str], ranks: Float[np.ndarray, "n m"], draws: Float[np.ndarray, " n"]
) -> tuple[tuple[CalibratedQuantity, ...], RankBand]:
    """Returns what the ranks of each quantity show, and where their distributions should stay.

    Args:
        names: of the quantities.
        ranks: as shares, a row for each data set.
        draws: among which they are ranks, of each data set.
    """
    n, m = ranks.shape
    level = LEVEL / (TESTS * m)
    found = tuple(
        _quantity(name, column, draws, level, TESTS * m)
        for name, column in zip(names, ranks.T, strict=True)
    )
    return found, rank_band(n, level)


def _quantity(
    name: str, ranks: Float[np.ndarray, " n"], draws: Float[np.ndarray, " n"], level: float, tests: int
) -> CalibratedQuantity:  # fmt: skip
    n = len(ranks)
    scores = special.ndtri(np.clip(ranks, 1e-300, 1.0 - 2.0**-53))
    mean, squares = float(scores.mean()), float(np.sum((scores - scores.mean()) ** 2))
    own = math.sqrt(max(squares, 1e-300) / (n - 1) / n)
    of_mean = 2.0 * float(stats.t.sf(abs(mean) / own, n - 1))
    chi = stats.chi2(n - 1)
    of_width = min(2.0 * min(float(chi.cdf(squares)), float(chi.sf(squares))), 1.0)
    p_value = min(of_mean, of_width, excursion_p_value(ranks))
    shift, ratio = sizes(scores, special.ndtri(draws / (draws + 1.0)))
    findings: list[Miscalibration] = []
    if of_width <= level:
        findings += _width(ratio, narrow=squares > n - 1)
    if of_mean <= level:
        findings.append("too low" if mean > 0.0 else "too high")
    if p_value <= level and not findings:
        findings.append("another shape")
    return CalibratedQuantity(name, tuple(findings), shift, ratio, min(1.0, tests * p_value))


def _width(ratio: Estimate, *, narrow: bool) -> list[Miscalibration]:
    """What the variance of scores says: a small one may be that of values beyond all draws, on one side."""
    if ratio.kind == "unresolved":
        return ["too narrow"] if narrow else []
    clear = abs(ratio.value - 1.0) > _CLEAR * ratio.standard_error
    if not clear or (ratio.value < 1.0) != narrow:
        return []
    return ["too narrow" if narrow else "too wide"]


def detectable(n: int, m: int) -> tuple[float, float]:
    """Returns the shift and the ratio of sds, below 1, that n data sets find in four of five calibrations."""
    wanted = float(stats.norm.isf(0.5 * LEVEL / (TESTS * m))) + _POWER
    return wanted / math.sqrt(n), math.exp(-wanted / math.sqrt(2.0 * n))


# The distribution of ranks against the diagonal, at many places at once.


def excursion_p_value(ranks: Float[np.ndarray, " n"]) -> float:
    """Returns how often ranks of exact draws leave the diagonal as far, at the worst place of all.

    How far is measured by the binomial probability of as many ranks below a place, or as few.

    Source: Säilynoja, Bürkner and Vehtari (2022), Graphical test for discrete uniformity.
    """
    n = len(ranks)
    table = _tails(n)
    counts = np.searchsorted(np.sort(ranks), _places(n), side="right")
    rows = np.arange(len(counts))
    return _chance(n, float(np.minimum(table[0][rows, counts], table[1][rows, counts]).min()))


@lru_cache(maxsize=8)
def rank_band(n: int, level: float) -> RankBand:
    """Returns the simultaneous band that n ranks of exact draws leave with a probability of at most `level`."""
    low, high = math.log(level) - 12.0, 0.0
    while high - low > 1e-3:  # the band is of whole counts: finer changes nothing
        middle = 0.5 * (low + high)
        low, high = (middle, high) if _chance(n, math.exp(middle)) <= level else (low, middle)
    at = _places(n)
    least, most = _limits(n, math.exp(low))
    return RankBand(at, least / n - at, most / n - at, level)


def _places(n: int) -> Float[np.ndarray, " k"]:
    k = min(max(n, 2), _PLACES)
    return np.arange(1, k) / k


@lru_cache(maxsize=8)
def _tails(n: int) -> tuple[Float[np.ndarray, "k c"], Float[np.ndarray, "k c"]]:
    """Probabilities of at most, and of at least, so many of n ranks below each place; two-sided."""
    counts, at = np.arange(n + 1), _places(n)[:, None]
    return 2.0 * stats.binom.cdf(counts, n, at), 2.0 * stats.binom.sf(counts - 1, n, at)


def _limits(n: int, local: float) -> tuple[Array, Array]:
    """The least and the largest counts whose local probability is above a limit."""
    below, above = _tails(n)
    return np.sum(below <= local, axis=1), n - np.sum(above <= local, axis=1)


@lru_cache(maxsize=4096)
def _chance(n: int, local: float) -> float:
    """How often a local probability is at most `local` at any place: n uniforms are Poisson counts, given their sum."""
    least, most = _limits(n, local)
    if (least > most).any():
        return 1.0
    k = len(least) + 1
    steps = stats.poisson.pmf(np.arange(n + 1), n / k)
    held, first = np.ones(1), 0
    for low, high in zip(least, most, strict=True):
        held = np.convolve(held, steps[: high - first + 1])[low - first : high - first + 1]
        first = int(low)
    rest = steps[n - (first + np.arange(len(held)))]
    chance = 1.0 - float(held @ rest) / float(stats.poisson.pmf(n, n))
    return min(
        max(chance, 0.5 * local), 1.0
    )  # that of the one place, where rounding leaves nothing of the difference


# Sizes: the mean and the sd of normal scores that are known only up to where the draws end.


def sizes(
    scores: Float[np.ndarray, " n"], ends: Float[np.ndarray, " n"]
) -> tuple[Estimate, Estimate]:
    """Returns the shift of true values in sds of the fits, and the sd of the fits over the right one.

    By maximum likelihood of normal scores, those of values beyond all draws censored (Tobin); the standard errors
    are those of a wrong model, too (White).

    Args:
        scores: normal scores of the ranks.
        ends: the score from which a value is beyond all draws, of each data set.

    Source: Olsen (1978), Note on the uniqueness of the maximum likelihood estimator for the Tobit model.
    """
    n, within = len(scores), np.abs(scores) < ends
    if within.sum() < max(_WITHIN * n, 3.0):
        clipped = np.clip(scores, -ends, ends)
        at = (float(clipped.mean()), 1.0 / max(float(clipped.std()), 1e-3))
        return tuple(_unresolved(v, q, n) for v, q in zip(at, (MEAN_SHIFT, SD_RATIO), strict=True))  # pyright: ignore[reportReturnType]
    at = np.array([0.0, 1.0 / max(float(np.clip(scores, -ends, ends).std()), 1e-3)])
    value, slopes, curvature = _likelihood(at, scores, ends)
    for _ in range(100):
        step = -np.linalg.solve(curvature, slopes.sum(axis=0))
        while True:  # it is concave: some part of the step gains
            moved = at + step
            if moved[1] > 0.0:
                tried = _likelihood(moved, scores, ends)
                if tried[0] >= value - 1e-12 * abs(value):
                    break
            step = 0.5 * step
        (value, slopes, curvature), at = tried, moved
        if float(np.max(np.abs(step))) < 1e-10:
            break
    inverse = np.linalg.inv(curvature)
    errors = inverse @ (slopes.T @ slopes) @ inverse * (n / max(n - 1, 1))
    shift, ratio = float(at[0] / at[1]), float(at[1])
    to_shift = np.array([1.0 / ratio, -shift / ratio])
    return (
        Estimate.sampled(
            shift, math.sqrt(float(to_shift @ errors @ to_shift)), MEAN_SHIFT, method=_METHOD, n=n
        ),
        Estimate.sampled(ratio, math.sqrt(float(errors[1, 1])), SD_RATIO, method=_METHOD, n=n),
    )


def _unresolved(value: float, quantity: Quantity, n: int) -> Estimate:
    return Estimate.unresolved(value, _BEYOND, quantity, method=_METHOD, n=n)


def _likelihood(at: Array, scores: Array, ends: Array) -> tuple[float, Array, Array]:
    """The log likelihood in mean / sd and 1 / sd, its gradient for each score, and its second derivatives."""
    location, precision = at
    within = np.abs(scores) < ends
    x, c, sign = scores[within], ends[~within], np.sign(scores[~within])
    z = precision * x - location
    inside = math.log(precision) - 0.5 * z**2
    slope_inside = np.column_stack([z, 1.0 / precision - z * x])
    beyond = sign * location - precision * c
    log_tail = special.log_ndtr(beyond)
    hazard = np.exp(-0.5 * beyond**2 - 0.5 * math.log(2.0 * math.pi) - log_tail)
    towards = np.column_stack([sign, -c])
    bend = -hazard * (beyond + hazard)
    curvature = (towards * bend[:, None]).T @ towards + np.array(
        [[-float(len(x)), float(x.sum())], [float(x.sum()), -len(x) / precision**2 - float(x @ x)]]
    )
    slopes = np.concatenate([slope_inside, hazard[:, None] * towards])
    return float(inside.sum() + log_tail.sum()), slopes, curvature
