"""Means over rows, with errors by what the rows stand for, or the reason why there is none."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float
from scipy import special

from kullback.measure.samples.dependence import chains_of, depends, lasting, memory
from kullback.tables.rows import Rows

Values = Float[np.ndarray, "_n"]
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
    heavy = is_heavy(tail, int(np.count_nonzero(used)))
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
