"""Two samples of a line as counts over one set of ordered cells: all that ranks can tell."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, final

import numpy as np
from jaxtyping import Float
from scipy import special

Values = Float[np.ndarray, "_n"]
Counts = Float[np.ndarray, "_c"]
#: The rounding of float32, and decimals that are looked for.
FLOAT32, _DIGITS = 2.0**-23, 6
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


def decimals(values: Values) -> int | None:
    """Returns how many decimals values have that are rounded, perhaps in float32; None where they are not.

    Example:
        >>> decimals(np.array([37.1, 36.9])), decimals(np.array([37.1, 36.9], dtype="float32").astype(float))
        (1, 1)
        >>> decimals(np.array([0.12345678, 0.5])) is None
        True
    """
    for digits in range(_DIGITS + 1):
        if _has(values[:100], digits) and _has(values, digits):
            return digits
    return None


def _has(values: Values, digits: int) -> bool:
    near = FLOAT32 * np.maximum(np.abs(values), np.finfo(np.float32).tiny)
    # A number of fewer digits than float32 holds is no chance.
    if not (near < 0.01 * 10.0**-digits).all():
        return False
    return bool((np.abs(values - np.round(values, digits)) <= near).all())


def without_float32(values: Values) -> Values:
    """Returns the decimals that float32 made of: 37.1 of 37.099998; values that are none as they are."""
    known = values[np.isfinite(values)]
    with np.errstate(over="ignore"):
        if not len(known) or not (known == known.astype(np.float32)).all():
            return values
    digits = decimals(known)
    return values if digits is None else np.round(values, digits)


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
    x, x_total = in_order(x, x_weights)
    y, y_total = in_order(y, y_weights)
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


def in_order(values: Values, weights: Values | None) -> tuple[Values, Values | None]:
    """Returns values in order, and the weight of each and all before it."""
    if weights is None:
        return np.sort(values), None
    order = np.argsort(values, kind="stable")
    return values[order], np.cumsum(weights[order])


def cells_of(values: Values, most: int, fewest: int = 1) -> Values:
    """Returns where cells of one sample end: evenly spaced in rank, single points at both ends.

    Args:
        values: in order.
        most: about how many cells at most.
        fewest: rows in a cell at least; where it is more than one, cells end between values.
    """
    n = len(values)
    if fewest > 1:
        ends = np.unique(values[np.arange(fewest, n + 1, max(fewest, -(-n // most))) - 1])
        last = np.searchsorted(values, ends, side="right")
        inner = last[(last >= fewest) & (n - last >= fewest)]
        return np.append(
            [_between(float(values[i - 1]), float(values[i])) for i in inner], values[-1]
        )
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


def _between(low: float, high: float) -> float:
    """Returns the number of fewest decimals from low up to, but without, high."""
    for digits in range(max(-int(np.floor(np.log10(high - low))), 0), 17):
        middle = round(0.5 * (low + high), digits)
        if low <= middle < high:
            return middle
    return low


def rounded_up(below: float, value: float) -> float:
    """Returns a value rounded upwards to a digit of its distance from the one below it."""
    distance = value - below
    if not distance > 0.0:
        return value
    unit = 10.0 ** np.floor(np.log10(distance))
    return max(float(np.ceil(value / unit) * unit), value)


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


# Cells gathered into parts that both samples fill: tails, gaps of q, and what lies between.

#: "left" and "right" are tails of q whose outer end is there.
Side = Literal["left", "right", "inner"]
#: q has so many rows in each part, or the part grows.
FEWEST = 10
#: Of a finer part p has so many rows: with e of them expected, what the part adds is too great by E_1(e) a row of p,
#: which is .0011 here, .22 at one row, and .83 at a third of one (Zhang's series for Poisson counts).
_FEWEST_OF_P = 5
#: A part where p's share is so many times q's, and q has little more than the fewest, is a gap of q.
_GAP = 4.0


@final
@dataclass(frozen=True)
class Span:
    """Cells from `start` to before `stop`."""

    start: int
    stop: int
    side: Side


@final
class Running:
    """Sums of counts over runs of cells."""

    def __init__(self, counts: Counts) -> None:
        self._total = np.concatenate([[0.0], np.cumsum(counts)])

    def over(self, start: int, stop: int) -> float:
        """Returns the sum from `start` to before `stop`."""
        return float(self._total[stop] - self._total[start])

    def before(self, share: float, start: int, stop: int) -> int:
        """Returns the cell before which so great a share of the run lies."""
        aim = self._total[start] + share * (self._total[stop] - self._total[start])
        return int(np.searchsorted(self._total, aim))

    def on(self, amount: float, start: int) -> int:
        """Returns the first cell before which so much lies from `start` on."""
        return int(np.searchsorted(self._total, self._total[start] + amount))

    def back(self, amount: float, stop: int) -> int:
        """Returns the last cell from which on so much lies before `stop`."""
        return max(int(np.searchsorted(self._total, self._total[stop] - amount, "right")) - 1, 0)


def parts_of(cells: Ordered, number: int) -> list[Span]:
    """Returns about so many parts of equal share of both samples, each with enough rows of q."""
    which = np.minimum((cells.position * number).astype(int), number - 1)
    if len(which) <= number:  # few values, each a part
        which = np.arange(len(which))
    ends = np.unique(np.append(np.searchsorted(which, np.arange(number)), len(which)))
    runs = _filled(list(zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True)), Running(cells.q))
    if len(runs) == 1:
        return [Span(*runs[0], "inner")]
    first, *inner, last = runs
    parts = [Span(*first, "left")]
    for run in inner:
        parts += _around_gap(cells, *run)
    return [*parts, Span(*last, "right")]


#: p has such a share of its rows in a hole of q at least; that a stretch of p's rows without one of q is chance
#: is less likely than this power of e over q's rows: one of 150 lines without holes seems to have one, so that
#: tables of many columns that do not differ are not held up.
_HOLE, _CERTAIN = 0.01, 5.0


def holes(cells: Ordered) -> float:
    """Returns the share of p's rows in holes of q: between its rows, where it has none and should have many.

    That is where p's rows there, and the shares of both samples beside them, make one expect many.
    """
    n, m = float(cells.p.sum()), float(cells.q.sum())
    held = np.flatnonzero(cells.q > 0.0)
    p, q = Running(cells.p), Running(cells.q)
    share = 0.0
    for a, b in itertools.pairwise(held.tolist()):
        rows = p.over(a + 1, b)
        if rows <= _HOLE * n or min(q.over(0, a + 1), q.over(b, len(cells.q))) < FEWEST:
            continue
        sides = _beside(q, 0, a + 1, -1), _beside(q, b, len(cells.q), 1)
        ratio = min(q.over(*run) / max(p.over(*run), 1.0) for run in sides)
        # Of a mixture of both, so many rows in a row are p's with probability (1 + ratio)^-rows.
        share += rows / n if rows * math.log1p(ratio) > math.log(m) + _CERTAIN else 0.0
    return share


def _beside(q: Running, start: int, stop: int, outwards: int) -> tuple[int, int]:
    """Returns the cells of a run next to one of its ends in which q has about twice the fewest rows."""
    share = min(2.0 * FEWEST / q.over(start, stop), 1.0)
    if outwards > 0:
        return start, max(q.before(share, start, stop), start + 1)
    return min(q.before(1.0 - share, start, stop), stop - 1), stop


def is_gap(share_p: float, share_q: float, rows_q: float) -> bool:
    """Whether q has hardly more than the fewest rows in a part that p fills."""
    return bool(share_p > _GAP * share_q and rows_q <= 2.0 * FEWEST + 2.0)


def refined(parts: list[Span], cells: Ordered, times: int) -> list[Span]:
    """Returns finer parts: each inner one in so many, as far as both have rows; tails stay as they are."""
    p, q = Running(cells.p), Running(cells.q)
    both = Running(cells.p / cells.p.sum() + cells.q / cells.q.sum())
    finer = []
    for part in parts:
        run = part.start, part.stop
        pieces = min(times, int(q.over(*run) // FEWEST), int(p.over(*run) // _FEWEST_OF_P))
        if part.side != "inner" or pieces < 2:
            finer.append(part)
            continue
        cuts = {both.before(i / pieces, part.start, part.stop) for i in range(1, pieces)}
        ends = sorted({part.start, part.stop, *cuts})
        finer += [Span(a, b, "inner") for a, b in itertools.pairwise(ends)]
    return finer


def cut(parts: Sequence[Span], stretch: tuple[int, int]) -> list[Span]:
    """Returns parts of which the inner ones end where a stretch of cells begins and ends, too."""
    made = []
    for part in parts:
        inside = {i for i in stretch if part.start < i < part.stop and part.side == "inner"}
        ends = sorted({part.start, part.stop, *inside})
        made += [Span(a, b, part.side) for a, b in itertools.pairwise(ends)]
    return made


def _filled(runs: list[tuple[int, int]], q: Running) -> list[tuple[int, int]]:
    """Returns runs with enough rows of q each: the poorest takes what it lacks from beside it, in equal shares.

    No more than that: a run that were joined to a whole neighbour would have tails begin far inside, where their law
    does not hold, and holes disappear.
    """
    runs = list(runs)
    while len(runs) > 1:
        rows = [q.over(*run) for run in runs]
        i = int(np.argmin(rows))
        if rows[i] >= FEWEST:
            break
        start, stop = runs[i]
        before, after = runs[:i], runs[i + 1 :]
        lacks = (FEWEST - rows[i]) / (bool(before) + bool(after))
        if before:
            start = q.back(lacks, start)
            before[-1] = (before[-1][0], start)
            if q.over(*before[-1]) < FEWEST:
                start = before.pop()[0]
        if after:
            stop = q.on(lacks, stop)
            after[0] = (stop, after[0][1])
            if stop >= after[0][1] or q.over(*after[0]) < FEWEST:
                stop = after.pop(0)[1]
        runs = [*before, (start, stop), *after]
    return runs


def _around_gap(cells: Ordered, start: int, stop: int) -> list[Span]:
    """Returns a run as it is, or as two tails of q on the sides of a gap."""
    q, p = Running(cells.q), Running(cells.p)
    of_p, of_q = p.over(start, stop), q.over(start, stop)
    whole = [Span(start, stop, "inner")]
    if not is_gap(of_p / cells.p.sum(), of_q / cells.q.sum(), of_q) or of_p < FEWEST:
        return whole
    seen = [start - 1, *(start + np.flatnonzero(cells.q[start:stop])).tolist(), stop]
    empty = [p.over(a + 1, b) for a, b in itertools.pairwise(seen)]
    widest = int(np.argmax(empty))
    middle = p.before(0.5, seen[widest] + 1, seen[widest + 1])
    middle = min(max(middle, start + 1), stop - 1)
    if min(q.over(start, middle), q.over(middle, stop)) < 3.0:
        return whole
    return [Span(start, middle, "right"), Span(middle, stop, "left")]


# KL between two discrete samples by their counts, without an epsilon.

Levels = Float[np.ndarray, "_s"]


def terms(x: Levels, y: Levels) -> Levels:
    """Returns what a row of p at each level adds: psi(x) - psi(n) - psi(y + 1) + psi(m + 1).

    Their mean over the rows of p estimates KL(p||q) with a bias that falls faster than any power of n
    where no level is rare; it is finite where y is 0, and may be negative.

    Args:
        x, y: counts of p and q at the same levels; n and m are their sums.

    Example:
        >>> x, y = np.array([30.0, 70.0]), np.array([50.0, 50.0])
        >>> round(float(x @ terms(x, y)) / 100.0, 4)
        0.0723

    Source: Zhang and Grabchak (2014), Nonparametric estimation of Kullback-Leibler divergence, whose
    series is this difference of digamma functions.
    """
    found = np.zeros(len(x))
    held = x > 0.0
    n, m = float(x.sum()), float(y.sum())
    found[held] = (
        special.digamma(x[held])
        - special.digamma(n)
        - special.digamma(y[held] + 1.0)
        + special.digamma(m + 1.0)
    )
    return found


def against_known(x: Levels, log_q: Levels) -> tuple[float, float]:
    """Returns the mean of psi(x) - psi(n) - log q over the rows of p, which estimates KL(p||q), and its error.

    Args:
        x: counts of p.
        log_q: log probabilities of q at the same levels.

    Source: Zhang (2012), Entropy estimation in Turing's perspective.
    """
    held = x > 0.0
    counts, logs = x[held], log_q[held]
    n = float(counts.sum())
    value = float(counts @ (special.digamma(counts) - special.digamma(n) - logs)) / n
    ratio = np.log(counts / n) - logs
    spread = float(counts @ ratio**2) / n - (float(counts @ ratio) / n) ** 2
    # Where p = q only the chi-square of the counts is left.
    return value, math.sqrt(max(spread, 0.0) / n + 0.5 * (len(counts) - 1.0) / n**2)


def shares(x: Levels) -> Levels:
    """Returns probabilities that are nowhere 0, for errors: half a row more at each level."""
    return (x + 0.5) / (x.sum() + 0.5 * len(x))


def variance(x: Levels, y: Levels, within: Levels | float = 0.0) -> tuple[float, float]:
    """Returns the variance of the estimate, and of it what is left where p = q.

    The delta method gives Var_p[log p/q] / n + (sum p^2/q - 1) / m; what is of second order,
    sum (1/n + (p/q)/m)^2 / 2, is all there is where p = q.

    Args:
        x, y: as in `terms`.
        within: what is added to log p/q at each level.
    """
    n, m = float(x.sum()), float(y.sum())
    p, q = shares(x), shares(y)
    log_ratio, ratio = np.log(p / q) + within, p / q
    of_p = float(p @ log_ratio**2 - (p @ log_ratio) ** 2) / n
    of_q = max(float(p @ ratio) - 1.0, 0.0) / m
    second = 0.5 * float(np.sum((1.0 / n + ratio / m) ** 2))
    return of_p + of_q + second, second


def unseen(x: Levels, y: Levels) -> float:
    """Returns the share of p's rows at levels that q has not."""
    return float(x[y <= 0.0].sum() / x.sum())
