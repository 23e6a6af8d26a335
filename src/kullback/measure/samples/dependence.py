"""Rows that are not independent: how many independent ones they are worth."""

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int
from scipy import special

from kullback.measure.samples.cells import FLOAT32, decimals
from kullback.tables.rows import Rows

Values = Float[np.ndarray, "_n"]
Groups = Int[np.ndarray, "_n"]
#: Polynomials of the rank whose means are looked at, and levels at most.
_DEGREE, _LEVELS = 4, 12
#: How far out limits have to hold.
_FAR = 0.001
#: Values that repeat less often than this, on average, are not copies.
_COPIED = 1.3
#: A part of a step that is none.
_WHOLE = 1e-3
#: Rows of a stretch in which dependence is looked for, the deviate from which it is believed (one in 300,000
#: tables of independent rows has it), and the shortest chain that is looked at.
_STRETCH, _CLEAR, _SHORTEST = 16, 4.5, 8


def depends(length: float) -> str:
    """Returns what is said where dependence was seen and not said."""
    return (
        f"rows depend on those before them: {length:.3g} of them are worth an independent one, and the error "
        "allows for it; say order=False if their order means nothing"
    )


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


def lasting(columns: Sequence[Values], coded: Sequence[bool], rows: Rows) -> tuple[float, bool]:
    """Returns how many rows in the order of time are worth an independent one, and whether that was only seen.

    Where nothing is said of the order, rows as they stand are taken for ordered if each clearly depends on
    the one before: its rank, less the mean of the sixteen rows around it, so that tables that were sorted or put
    together of parts do not count. A column that is in order was sorted, and says nothing.

    Args:
        columns: NaN where a value is missing.
        coded: which columns hold codes.
        rows: what they stand for.
    """
    if rows.order is False or (rows.order is None and rows.cluster is not None):
        return 1.0, False
    seen = rows.order is None
    if seen and (any(_is_sorted(x) for x in columns) or not any(map(_depends, columns))):
        return 1.0, False
    chains = chains_of(rows, len(columns[0]))
    found = [blocks(x, chains, levels=c) for x, c in zip(columns, coded, strict=True)]
    return max(found), seen and max(found) > 1.0


def blocks(values: Values, chains: Sequence[Groups], *, levels: bool) -> float:
    """Returns how many consecutive rows are worth an independent one, from the autocorrelation of the ranks.

    Args:
        values: a column; NaN where one is missing.
        chains: the rows of each chain in the order of time.
        levels: whether values are codes.
    """
    known = ~np.isnan(values)
    if known.sum() < 20:
        return 1.0
    made = _shares(values[known]) if levels else _polynomials(values[known], np.ones(known.sum()))
    scores = np.full((len(values), made.shape[1]), np.nan)
    scores[known] = made
    return max(1.0, *(memory(column, chains) for column in scores.T))


def memory(series: Values, chains: Sequence[Groups]) -> float:
    """Returns the sum of autocorrelations over all lags up to the first pair that is not positive.

    Chains of different means count as what they are: rows that depend on each other for ever.

    Args:
        series: numbers; NaN is left out.
        chains: the rows of each chain in the order of time.
    """
    # Two seconds to import: for rows in order only.
    from arviz_stats.base import array_stats  # noqa: PLC0415 # pyright: ignore[reportPrivateImportUsage]

    parts = [series[rows][~np.isnan(series[rows])] for rows in chains]
    parts = [part for part in parts if len(part) >= _SHORTEST]
    if not parts or np.ptp(np.concatenate(parts)) <= 0.0:
        return 1.0
    n = sum(map(len, parts))
    least = min(map(len, parts))
    if least < 0.5 * max(map(len, parts)):
        alone = [memory(part, [np.arange(len(part))]) for part in parts]
        return max(float(np.average(alone, weights=list(map(len, parts)))), 1.0)
    together = np.stack([part[:least] for part in parts])
    found = array_stats.ess(together, method="mean", chain_axis=0, draw_axis=1)
    effective = float(np.asarray(found)) * n / together.size
    return max(n / effective, 1.0) if effective > 0.0 else float(n)


def chains_of(rows: Rows, n: int) -> list[Groups]:
    """Returns the rows of each chain in the order of time."""
    order = (
        np.argsort(rows.order, kind="stable")
        if isinstance(rows.order, np.ndarray)
        else np.arange(n)
    )
    if rows.cluster is None:
        return [order]
    which = rows.cluster[order]
    by_chain = order[np.argsort(which, kind="stable")]
    return np.split(by_chain, np.cumsum(np.bincount(which))[:-1])


def groups_of(rows: Rows, n: int, length: float) -> Groups | None:
    """Returns a number for each row: those with one number may depend on each other, others do not.

    Args:
        rows: what they stand for.
        n: how many there are.
        length: how many in the order of time are worth an independent one.
    """
    if rows.cluster is not None and not isinstance(rows.order, np.ndarray):
        return rows.cluster
    if length <= 1.0:
        return None
    made, first = np.empty(n, dtype=np.int64), 0
    for chain in chains_of(rows, n):
        made[chain] = first + np.arange(len(chain)) // math.ceil(2.0 * length)
        first += n
    return made


def counts_of(values: Values, rows: Rows, length: float, *, levels: bool) -> Values | None:
    """Returns how many independent rows each row of a column counts for; None where each counts for one.

    Args:
        values: of the column; NaN where one is missing.
        rows: what they stand for.
        length: how many in the order of time are worth an independent one.
        levels: whether values are codes.
    """
    counts, effect = rows.counts, length
    clustered = rows.cluster is not None and not isinstance(rows.order, np.ndarray)
    if clustered or rows.weighted:
        groups = rows.cluster if clustered else None
        effect *= design_effect(values, groups, levels=levels, weights=counts)
    if effect == 1.0:
        return counts
    return (np.ones(len(values)) if counts is None else counts) / effect


def _is_sorted(values: Values) -> bool:
    """Whether a column is in order, or equal values stand together."""
    known = values[~np.isnan(values)]
    if len(known) < 2:
        return False
    before, after = known[:-1], known[1:]
    changes = int(np.count_nonzero(before != after))
    if not changes:
        return False
    in_order = bool((before <= after).all() or (before >= after).all())
    return in_order or changes + 1 == len(np.unique(known)) < len(known)


def _depends(values: Values) -> bool:
    """Whether rows clearly depend on those before them, beyond what whole stretches have in common."""
    known = values[~np.isnan(values)]
    whole = len(known) // _STRETCH * _STRETCH
    if whole < _STRETCH:
        return False
    ranks = np.unique(known, return_inverse=True)[1].reshape(-1)[:whole]
    for series in (ranks, np.abs(ranks - ranks.mean())):
        apart = series.reshape(-1, _STRETCH) - series.reshape(-1, _STRETCH).mean(
            axis=1, keepdims=True
        )
        total = float(np.sum(apart**2))
        if total <= 0.0:
            continue
        next_to = float(np.sum(apart[:, 1:] * apart[:, :-1])) / total
        # Of independent rows the mean is -1/16 and the variance about that of a lag over all rows.
        if (next_to + 1.0 / _STRETCH) * math.sqrt(whole) > _CLEAR:
            return True
    return False


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
    """Returns how often rows of each sample were copied: 1 unless values repeat that are on no grid.

    Rounded values repeat, and those of the other sample may be on another grid, moved or in other units. Of numbers
    with all their digits, copying alone makes those of one repeat.

    Args:
        x, y: the finite values of a column of numbers.
    """
    found = []
    for mine, other in ((x, y), (y, x)):
        distinct = np.unique(mine)
        times = len(mine) / max(len(distinct), 1)
        if times < _COPIED or len(distinct) <= _LEVELS or _on_grid(distinct):
            found.append(1.0)
            continue
        shared = float(np.isin(mine, np.unique(other)).mean()) if len(other) else 0.0
        found.append(times if shared < 0.5 * (1.0 - 1.0 / times) else 1.0)
    return found[0], found[1]


def _on_grid(distinct: Values) -> bool:
    """Whether values are decimals of few digits, perhaps in float32, or all whole numbers of steps apart."""
    return decimals(distinct) is not None or step_of(distinct) > 0.0


def step_of(distinct: Values) -> float:
    """Returns the step of a grid that sorted values lie on, whatever its unit; 0 where they lie on none."""
    gaps = np.diff(distinct)
    digits = decimals(distinct) if len(gaps) else None
    if digits is not None:
        gaps = np.round(gaps, digits)
        # Values that differ by less than float32 holds are one value of the grid.
        gaps = gaps[gaps > 0.0]
    if not len(gaps):
        return 0.0
    smallest = float(gaps.min())
    whole = np.abs(gaps / smallest - np.round(gaps / smallest))
    regular = whole.max() < _WHOLE and smallest > FLOAT32 * float(np.abs(distinct).max())
    return smallest if regular else 0.0 if digits is None else 10.0**-digits


# Rows that are independent draws of one weight, from rows that are not.

Table = Float[np.ndarray, "_n _d"]
Numbers = Int[np.ndarray, "_s"]
#: Fewer rows than this share have an equal: chance.
_SOME = 0.01


def independent(
    tables: tuple[Table, Table],
    rows: tuple[Rows, Rows],
    groups: tuple[Groups | None, Groups | None],
    rng: np.random.Generator,
    most: int,
) -> tuple[Numbers, Numbers]:
    """Returns the numbers of rows of two tables that are independent draws of one weight.

    Args:
        tables: values, NaN where one is missing.
        rows: what they stand for, frequencies written out.
        groups: rows with one number belong together: one of them is taken.
        rng: what is drawn.
        most: rows of a table at most.

    Example:
        >>> x, y = np.arange(6.0)[:, None], np.arange(4.0)[:, None]
        >>> found = independent((np.repeat(x, 2, axis=0), y), (Rows(), Rows()), (None, None),
        ...     np.random.default_rng(0), 100)
        >>> [len(rows) for rows in found]
        [12, 4]
    """
    known = tuple(_comparable(table) for table in tables)
    drawn = []
    for i, table in enumerate(known):
        chosen, weight = np.arange(len(table)), rows[i].counts
        group = groups[i]
        if group is not None:
            chosen, weight = _one_of_each(group, weight, rng)
        elif _copied(table, known[1 - i]):
            chosen, weight = _distinct(table, weight)
        if weight is not None and np.ptp(weight) > 0.0:
            chosen = chosen[rng.random(len(chosen)) < weight / weight.max()]
        drawn.append(
            chosen if len(chosen) <= most else np.sort(rng.choice(chosen, most, replace=False))
        )
    return drawn[0], drawn[1]


def _comparable(table: Table) -> Table:
    """Returns rows that are equal where those of the table are, missing values included."""
    missing = np.isnan(table)
    return np.hstack([np.where(missing, 0.0, table), missing])


def _one_of_each(
    groups: Groups, weights: Values | None, rng: np.random.Generator
) -> tuple[Numbers, Values]:
    """Returns a row of each group, drawn by its weight, and what the group weighs."""
    weight = np.ones(len(groups)) if weights is None else weights
    distinct, which = np.unique(groups, return_inverse=True)
    with np.errstate(divide="ignore"):
        # The greatest of weighted Gumbel variates is at a row with probability in proportion to its weight.
        luck = np.log(weight) + rng.gumbel(size=len(groups))
    order = np.lexsort((luck, which))
    last = np.append(np.flatnonzero(np.diff(which[order])), len(order) - 1)
    return order[last], np.bincount(which, weight, minlength=len(distinct))


def _distinct(table: Table, weights: Values | None) -> tuple[Numbers, Values | None]:
    """Returns one of all rows that are equal, and what they weigh together; copies count once."""
    _, first, which = np.unique(table, axis=0, return_index=True, return_inverse=True)
    if weights is None:
        return np.sort(first), None
    return first, np.bincount(which.reshape(-1), weights, minlength=len(first))


def _copied(mine: Table, other: Table) -> bool:
    """Whether rows are equal because they were copied: the other table has not the same.

    Levels and rounded values make rows equal in both tables alike.
    """
    distinct, rows = np.unique(mine, axis=0, return_counts=True)
    times = rows.astype(np.float64)
    repeated = times > 1.0
    if float((times - 1.0)[repeated].sum()) < _SOME * float(times.sum()):
        return False
    both = np.vstack([distinct, np.unique(other, axis=0)])
    place = np.unique(both, axis=0, return_inverse=True)[1].reshape(-1)
    seen = np.isin(place[: len(distinct)], place[len(distinct) :])
    return float(times[repeated & seen].sum()) < 0.5 * float(times[repeated].sum())


# Means over rows that belong together.
