"""Means over rows, with errors by what the rows stand for, or the reason why there is none."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float, Int
from scipy import special

from kullback.measure.samples.dependence import chains_of, depends, lasting, memory
from kullback.tables.rows import Rows

Values = Float[np.ndarray, "_n"]
Groups = Int[np.ndarray, "_n"]
#: A mean whose terms have no third moment needs more rows for its interval than a thousand. The standard deviation
#: of an index, times the root of the rows of the tail.
HEAVY, _SPREAD = 1.0 / 3.0, 1.5
#: Rows of a tail that an index is fitted to, at least.
_FEWEST = 20


@final
@dataclass(frozen=True)
class Mean:
    """A mean over rows.

    Attributes:
        value, error: the mean and its standard error.
        n: how many rows count, before what they share.
        effect: by how much the variance exceeds that of independent rows.
        inferred: whether dependence was not said but seen.
        tail: the tail index of what rows add.
        heavy: whether it is so great that the error says nothing.
    """

    value: float
    error: float
    n: float
    effect: float
    inferred: bool
    tail: float
    heavy: bool

    @property
    def reason(self) -> str:
        """Why the error says nothing, "" where it does."""
        if not self.heavy:
            return ""
        return (
            f"a few rows decide the mean: its terms have the tail index {self.tail:.2f}, and from 1/2 on no variance, "
            "so its error is not known"
        )

    @property
    def note(self) -> str:
        """What is said of dependence, "" where there is none."""
        if self.effect <= 1.0:
            return ""
        return (
            depends(self.effect)
            if self.inferred
            else (
                f"rows depend on each other as said: {self.effect:.3g} of them are worth an independent one"
            )
        )


def mean_of(values: Values, rows: Rows, columns: Sequence[Values] = ()) -> Mean:
    """Returns the mean of a number over rows, with an error by what the rows stand for.

    Args:
        values: of each row; where a row counts for nothing it may be anything.
        rows: what they stand for.
        columns: of the rows, in which dependence is looked for where nothing is said; the values by default.
    """
    counts = np.ones(len(values)) if rows.counts is None else rows.counts
    used = counts > 0.0
    values = np.where(used, values, 0.0)
    n = float(counts.sum())
    mean = float(counts @ values) / n
    apart = np.where(used, values - mean, 0.0)
    spread = float(counts @ apart**2) / n
    alone = spread / max(n - 1.0, 1.0)
    looked_at = columns or [np.where(used, values, np.nan)]
    length, inferred = lasting(looked_at, [False] * len(looked_at), rows)
    effect = 1.0
    if length > 1.0:
        effect = memory(np.where(used, apart, np.nan), chains_of(rows, len(values)))
    elif rows.cluster is not None and not isinstance(rows.order, np.ndarray):
        sums = np.bincount(rows.cluster, counts * apart)
        g = int(np.count_nonzero(np.bincount(rows.cluster, counts)))
        held = float(sums @ sums) / n**2 * g / max(g - 1, 1)
        # Limits of few clusters are those of Student's law: the error is longer by what that takes.
        few = special.stdtrit(max(g - 1, 1), 0.975) / 1.959964
        effect = max(held * few**2 / alone, 1.0) if alone > 0.0 else 1.0
    tail = tail_index((counts * apart)[used])
    # Rows that depend on each other say less of a tail.
    heavy = is_heavy(tail, int(np.count_nonzero(used) / effect))
    return Mean(mean, math.sqrt(alone * effect), n, effect, inferred, tail, heavy)


def is_heavy(tail: float, rows: int) -> bool:
    """Whether a tail index, found from so many rows, means that the error of a mean is not known.

    With many rows it has to be below 1/2, where the variance is finite, by what chance allows. That of exponential
    tails is within 1/3 in 299 of 300 samples of 1000, and fewer rows are allowed as much more.
    """
    chance = _SPREAD * _rows(rows) ** -0.5
    few = max(chance - _SPREAD * _rows(1000) ** -0.5, 0.0)
    return tail > max(0.5 - chance, HEAVY + few)


def _rows(n: int) -> int:
    """Returns how many of so many rows are looked at as a tail."""
    return max(min(int(3.0 * math.sqrt(n)), n // 5), 1)


def tail_index(values: Values) -> float:
    """Returns the index k of the heavier tail of numbers: their moments exist up to 1/k. Light tails have 0 and less.

    A generalised Pareto law is fitted to the largest, as Pareto smoothing does; minus infinity for few rows, and where
    there are no tails.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> tail_index(rng.normal(size=1000)) < HEAVY < tail_index(rng.standard_t(1.5, size=1000))
        True

    Source: Zhang and Stephens (2009), A new and efficient estimation method for the generalized Pareto distribution;
    Vehtari et al. (2024), Pareto smoothed importance sampling, appendix C for the prior on k.
    """
    rows = _rows(len(values))
    if rows < _FEWEST:
        return -math.inf
    ordered = np.sort(values)
    return max(_pareto(side[-rows:] - side[-rows - 1]) for side in (ordered, -ordered[::-1]))


def _pareto(excess: Values) -> float:
    """Returns the index of a generalised Pareto law that excesses, in order, over a threshold have."""
    excess = excess[excess > 0.0]
    n = len(excess)
    if n < _FEWEST or not np.isfinite(excess[-1]):
        return -math.inf if n < _FEWEST else math.inf
    points = 30 + int(math.sqrt(n))
    quartile = float(excess[int(n / 4 + 0.5) - 1])
    b = 1.0 / excess[-1] + (1.0 - np.sqrt(points / (np.arange(1, points + 1) - 0.5))) / (
        3.0 * quartile
    )
    k = np.log1p(-b[:, None] * excess).mean(axis=1)
    fit = n * (np.log(-b / k) - k - 1.0)
    weights = np.exp(fit - fit.max())
    best = float(weights @ b / weights.sum())
    found = float(np.log1p(-best * excess).mean())
    return (n * found + 5.0) / (n + 10.0)


# Means over groups.

#: Stretches into which rows in order are cut, contexts or documents that are too few first of all: what depends
#: on each other over less than a fortieth of the rows then adds nothing to the error that is not seen.
_STRETCHES = 40
#: Fewer documents than these do not tell the variance of their means.
_FEW = 10


@final
@dataclass(frozen=True)
class GroupedMean:
    """A mean over rows of groups that are independent.

    Attributes:
        value, standard_error: the error is that of a ratio of sums over groups; inf for one group.
        interval: where the mean of all such groups lies, longer on the side of the longer tail.
        quantile: half-width of a symmetric interval in standard errors, of Student's t.
    """

    value: float
    standard_error: float
    interval: tuple[float, float]
    quantile: float


def stretches(documents: Groups, *, consecutive: bool) -> Groups:
    """Returns groups of neighbouring rows that are taken for independent of each other.

    Args:
        documents: rows with one number belong together and stand next to each other.
        consecutive: whether documents are pieces of one text, so that neighbours are no more independent
            than rows within them.

    Example:
        >>> [len(np.unique(stretches(np.repeat(np.arange(n), 1000 // n), consecutive=c)))
        ...     for n, c in ((100, False), (20, False), (2, False), (100, True), (20, True))]
        [100, 20, 40, 40, 20]
    """
    numbers = np.unique(documents, return_inverse=True)[1].reshape(-1)
    count = int(numbers.max()) + 1
    if consecutive and count > _STRETCHES:
        return numbers * _STRETCHES // count
    if count >= _FEW:
        return numbers
    parts = -(-_STRETCHES // count)
    starts = np.searchsorted(numbers, np.arange(count + 1))
    within = np.arange(len(numbers)) - starts[numbers]
    cut = within * parts // np.diff(starts)[numbers]
    return np.unique(numbers * parts + cut, return_inverse=True)[1].reshape(-1)


def grouped_mean(
    values: Values, groups: Groups, *, ordered: bool = False, level: float = 0.95
) -> GroupedMean:
    """Returns the mean over rows, with the error that rows of one group depending on each other leave it.

    Divergences of single rows have a long upper tail, so that a symmetric interval lies too low: this one is
    Hall's, by the skewness of the sums over groups.

    Args:
        values: of the rows.
        groups: numbers from 0; rows with one number belong together.
        ordered: whether groups with neighbouring numbers are neighbours in a text, so that what runs over
            from one into the next counts too.
        level: of the interval.

    Example:
        >>> rows = np.repeat(np.random.default_rng(0).normal(size=100), 9)
        >>> found = grouped_mean(rows, np.repeat(np.arange(100), 9))
        >>> round(found.standard_error, 2), round(float(np.std(rows)) / 30.0, 2)
        (0.1, 0.03)

    Source: Cochran (1977), Sampling techniques, section 6.3; Hall (1992), On the removal of skewness by
    transformation, JRSS B 54.
    """
    mean = float(np.mean(values))
    sums = np.bincount(groups, values - mean)[np.bincount(groups) > 0]
    count, square = len(sums), float(sums @ sums)
    if count < 2:
        return GroupedMean(mean, np.inf, (-np.inf, np.inf), np.inf)
    runs_over = max(2.0 * float(sums[1:] @ sums[:-1]), 0.0) if ordered else 0.0
    error = float(np.sqrt((square + runs_over) * count / (count - 1))) / len(values)
    quantile = float(special.stdtrit(count - 1, 0.5 + 0.5 * level))
    skewness = float(np.mean(sums**3)) / (square / count) ** 1.5 if square > 0.0 else 0.0
    low, high = (
        mean - error * _unskewed(q, skewness / np.sqrt(count)) for q in (quantile, -quantile)
    )
    return GroupedMean(mean, error, (low, high), quantile)


def _unskewed(quantile: float, skewness: float) -> float:
    """Returns the quantile of a mean over its error, whose skewness is that of the mean."""
    if abs(skewness) < 1e-6:
        return quantile
    return 3.0 / skewness * float(np.cbrt(1.0 + skewness * (quantile - skewness / 6.0)) - 1.0)
