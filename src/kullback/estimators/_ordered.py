"""Two samples of a line as counts over one set of ordered cells: all that ranks can tell."""

from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float

Values = Float[np.ndarray, "_n"]
Counts = Float[np.ndarray, "_c"]
#: More different values than this are put into cells, about as many.
MOST_CELLS = 2000
#: Cells grow by this factor from the ends inwards, where tails are looked at point by point.
_GROWTH = 1.15


@final
@dataclass(frozen=True, eq=False)
class Ordered:
    """Counts of p and q over cells in the order of their values.

    Nothing here changes when the values go through an increasing function, so nothing that is
    computed from it does.

    Attributes:
        position: of each cell, in (0, 1): the share of both samples below its middle, each sample
            counting one half.
        p, q: how many draws lie in each cell; fractions, where rows have weights.
        upper: the largest value in each cell.
    """

    position: Counts
    p: Counts
    q: Counts
    upper: Counts

    @property
    def swapped(self) -> "Ordered":
        """The same with p and q exchanged."""
        return Ordered(self.position, self.q, self.p, self.upper)


def ordered(
    x: Values,
    y: Values,
    x_weights: Values | None = None,
    y_weights: Values | None = None,
    *,
    most: int = MOST_CELLS,
) -> Ordered:
    """Returns two samples as counts over cells; equal values share a cell.

    Args:
        x, y: draws of p and of q, finite.
        x_weights, y_weights: how many draws each stands for; 1 each by default.
        most: about how many cells at most.

    Example:
        >>> cells = ordered(np.array([1.0, 2.0, 2.0]), np.array([2.0, 3.0]))
        >>> cells.p.tolist(), cells.q.tolist()
        ([1.0, 2.0, 0.0], [0.0, 1.0, 1.0])
    """
    x, x_total = _sorted(x, x_weights)
    y, y_total = _sorted(y, y_weights)
    edges = np.union1d(cells_of(x, most), cells_of(y, most))
    p, q = counted(x, x_total, edges), counted(y, y_total, edges)
    kept = (p > 0.0) | (q > 0.0)
    return of_counts(p[kept], q[kept], edges[kept])


def of_counts(p: Counts, q: Counts, upper: Counts | None = None) -> Ordered:
    """Returns counts over cells that are given in their order; none of them may be empty of both."""
    share = 0.5 * (p / p.sum() + q / q.sum())
    position = np.cumsum(share) - 0.5 * share
    ends = np.arange(len(p), dtype=np.float64) if upper is None else upper
    return Ordered(np.clip(position, 1e-12, 1.0 - 1e-12), p, q, ends)


def _sorted(values: Values, weights: Values | None) -> tuple[Values, Values | None]:
    """Returns values in order, and the weight of each and all before it."""
    if weights is None:
        return np.sort(values), None
    order = np.argsort(values, kind="stable")
    return values[order], np.cumsum(weights[order])


def cells_of(values: Values, most: int) -> Values:
    """Returns where cells of one sample end: evenly spaced in rank, single points at both ends.

    Args:
        values: in order.
        most: about how many cells at most.
    """
    n = len(values)
    if 2 * n <= most:
        return np.unique(values)
    evenly = np.linspace(0.0, n - 1.0, most // 2)
    steps = int(np.log(n / most) / np.log(_GROWTH)) if n > most else 0
    from_end = np.concatenate(
        [np.arange(32.0), 32.0 * _GROWTH ** np.arange(1.0, max(steps, 0) + 1.0)]
    )
    from_end = from_end[from_end < n]
    ranks = np.unique(np.concatenate([evenly, from_end, n - 1.0 - from_end]).astype(np.int64))
    return np.unique(values[ranks])


def counted(values: Values, total: Values | None, edges: Values) -> Counts:
    """Returns what lies up to each edge and above the one before it.

    Args:
        values: in order.
        total: the weight of each value and all before it; None where each counts for one.
        edges: in order.
    """
    below = np.searchsorted(values, edges, side="right")
    # All that is above the last edge of this sample is in the other's cells: there is none.
    reached = below.astype(np.float64) if total is None else np.concatenate([[0.0], total])[below]
    return np.diff(reached, prepend=0.0)
