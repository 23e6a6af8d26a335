"""Cells gathered into parts that both samples fill: tails, gaps of q, and what lies between."""

import itertools
from dataclasses import dataclass
from typing import Literal, final

import numpy as np

from kullback.estimators._ordered import Counts, Ordered

#: "left" and "right" are tails of q whose outer end is there.
Side = Literal["left", "right", "inner"]
#: q has so many rows in each part, or the part grows.
FEWEST = 10
#: A part where p's share is so many times q's, and q has little more than the fewest, is a gap of q.
_GAP = 4.0


@final
@dataclass(frozen=True)
class Part:
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


def parts_of(cells: Ordered, number: int) -> list[Part]:
    """Returns about so many parts of equal share of both samples, each with enough rows of q."""
    which = np.minimum((cells.position * number).astype(int), number - 1)
    ends = np.unique(np.append(np.searchsorted(which, np.arange(number)), len(which)))
    runs = _merged(list(zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True)), Running(cells.q))
    if len(runs) == 1:
        return [Part(*runs[0], "inner")]
    first, *inner, last = runs
    parts = [Part(*first, "left")]
    for run in inner:
        parts += _around_gap(cells, *run)
    return [*parts, Part(*last, "right")]


def is_gap(share_p: float, share_q: float, rows_q: float) -> bool:
    """Whether q has hardly more than the fewest rows in a part that p fills."""
    return bool(share_p > _GAP * share_q and rows_q <= 2.0 * FEWEST + 2.0)


def refined(parts: list[Part], cells: Ordered, times: int) -> list[Part]:
    """Returns finer parts: each inner one in so many, as far as q has rows; tails stay as they are."""
    q = Running(cells.q)
    both = Running(cells.p / cells.p.sum() + cells.q / cells.q.sum())
    finer = []
    for part in parts:
        pieces = min(times, int(q.over(part.start, part.stop) // FEWEST))
        if part.side != "inner" or pieces < 2:
            finer.append(part)
            continue
        cuts = {both.before(i / pieces, part.start, part.stop) for i in range(1, pieces)}
        ends = sorted({part.start, part.stop, *cuts})
        finer += [Part(a, b, "inner") for a, b in itertools.pairwise(ends)]
    return finer


def _merged(runs: list[tuple[int, int]], q: Running) -> list[tuple[int, int]]:
    """Joins the run with the fewest rows of q to its poorer neighbour, until all have enough."""
    rows = [q.over(*run) for run in runs]
    while len(runs) > 1 and min(rows) < FEWEST:
        i = int(np.argmin(rows))
        left = i - 1 if i == len(runs) - 1 or (i > 0 and rows[i - 1] < rows[i + 1]) else i
        runs[left : left + 2] = [(runs[left][0], runs[left + 1][1])]
        rows[left : left + 2] = [rows[left] + rows[left + 1]]
    return runs


def _around_gap(cells: Ordered, start: int, stop: int) -> list[Part]:
    """Returns a run as it is, or as two tails of q on the sides of a gap."""
    q, p = Running(cells.q), Running(cells.p)
    of_p, of_q = p.over(start, stop), q.over(start, stop)
    whole = [Part(start, stop, "inner")]
    if not is_gap(of_p / cells.p.sum(), of_q / cells.q.sum(), of_q) or of_p < FEWEST:
        return whole
    seen = [start - 1, *(start + np.flatnonzero(cells.q[start:stop])).tolist(), stop]
    empty = [p.over(a + 1, b) for a, b in itertools.pairwise(seen)]
    widest = int(np.argmax(empty))
    middle = p.before(0.5, seen[widest] + 1, seen[widest + 1])
    middle = min(max(middle, start + 1), stop - 1)
    if min(q.over(start, middle), q.over(middle, stop)) < 3.0:
        return whole
    return [Part(start, middle, "right"), Part(middle, stop, "left")]
