"""Rows that are not independent: how many independent ones they are worth."""

from dataclasses import dataclass
from typing import final

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


# Rows that are independent draws of one weight, from rows that are not.

Table = Float[np.ndarray, "_n _d"]
Rows = Int[np.ndarray, "_s"]
#: Fewer rows than this share have an equal: chance.
_SOME = 0.01


def independent(
    tables: tuple[Table, Table],
    weights: tuple[Values | None, Values | None],
    groups: tuple[Groups | None, Groups | None],
    rng: np.random.Generator,
    most: int,
) -> tuple[Rows, Rows]:
    """Returns the numbers of rows of two tables that are independent draws of one weight.

    Args:
        tables: values, NaN where one is missing.
        weights: of the rows; None where all count alike.
        groups: rows with one number belong together: one of them is taken.
        rng: what is drawn.
        most: rows of a table at most.

    Example:
        >>> x, y = np.arange(6.0)[:, None], np.arange(4.0)[:, None]
        >>> found = independent((np.repeat(x, 2, axis=0), y), (None, None), (None, None),
        ...     np.random.default_rng(0), 100)
        >>> [len(rows) for rows in found]
        [12, 4]
    """
    known = tuple(_comparable(table) for table in tables)
    drawn = []
    for i, table in enumerate(known):
        rows, weight = np.arange(len(table)), weights[i]
        group = groups[i]
        if group is not None:
            rows, weight = _one_of_each(group, weight, rng)
        elif _copied(table, known[1 - i], weight):
            rows, weight = _distinct(table, weight)
        elif weight is not None and whole(weight):
            # Numbers of rows with values that others have too: as if they were written out.
            ends = np.cumsum(weight)
            written = rng.choice(int(ends[-1]), min(int(ends[-1]), most), replace=False)
            rows, weight = np.sort(np.searchsorted(ends, written, side="right")), None
        if weight is not None and np.ptp(weight) > 0.0:
            rows = rows[rng.random(len(rows)) < weight / weight.max()]
        drawn.append(rows if len(rows) <= most else np.sort(rng.choice(rows, most, replace=False)))
    return drawn[0], drawn[1]


def _comparable(table: Table) -> Table:
    """Returns rows that are equal where those of the table are, missing values included."""
    missing = np.isnan(table)
    return np.hstack([np.where(missing, 0.0, table), missing])


def _one_of_each(
    groups: Groups, weights: Values | None, rng: np.random.Generator
) -> tuple[Rows, Values]:
    """Returns a row of each group, drawn by its weight, and what the group weighs."""
    weight = np.ones(len(groups)) if weights is None else weights
    distinct, which = np.unique(groups, return_inverse=True)
    with np.errstate(divide="ignore"):
        # The greatest of weighted Gumbel variates is at a row with probability in proportion to its weight.
        luck = np.log(weight) + rng.gumbel(size=len(groups))
    order = np.lexsort((luck, which))
    last = np.append(np.flatnonzero(np.diff(which[order])), len(order) - 1)
    return order[last], np.bincount(which, weight, minlength=len(distinct))


def _distinct(table: Table, weights: Values | None) -> tuple[Rows, Values | None]:
    """Returns one of all rows that are equal, and what they weigh together; copies count once."""
    _, first, which = np.unique(table, axis=0, return_index=True, return_inverse=True)
    if weights is None:
        return np.sort(first), None
    return first, np.bincount(which.reshape(-1), weights, minlength=len(first))


def _copied(mine: Table, other: Table, weights: Values | None) -> bool:
    """Whether rows are equal because they were copied: the other table has not the same.

    Levels and rounded values make rows equal in both tables alike.
    """
    distinct, which, rows = np.unique(mine, axis=0, return_inverse=True, return_counts=True)
    times = rows.astype(np.float64)
    if weights is not None and whole(weights):
        times = np.bincount(which.reshape(-1), weights, minlength=len(distinct))
    repeated = times > 1.0
    if float((times - 1.0)[repeated].sum()) < _SOME * float(times.sum()):
        return False
    both = np.vstack([distinct, np.unique(other, axis=0)])
    place = np.unique(both, axis=0, return_inverse=True)[1].reshape(-1)
    seen = np.isin(place[: len(distinct)], place[len(distinct) :])
    return float(times[repeated & seen].sum()) < 0.5 * float(times[repeated].sum())


# Means over rows that belong together.

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
