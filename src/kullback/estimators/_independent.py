"""Rows that are independent draws of one weight, from rows that are not.

What learns from rows, and what counts them, takes each for a draw of its own. Rows that weigh
differently, that belong together, or that were copied are drawn from until that is so; what is lost is
the price of errors that hold.
"""

import numpy as np
from jaxtyping import Float, Int

from kullback.estimators._clusters import whole

Table = Float[np.ndarray, "_n _d"]
Values = Float[np.ndarray, "_n"]
Groups = Int[np.ndarray, "_n"]
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
