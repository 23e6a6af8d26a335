"""Bets against rows that come being exchangeable with those of a reference: the e-process of a column."""

import functools
import math
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float, Int
from scipy import special

Counts = Float[np.ndarray, "_g"]
Cells = Int[np.ndarray, "_l"]
#: Stretches of days that changes may begin at: every day up to the power of two, then every second, fourth ...
_DAILY = 5
#: Of all that is staked, on a change from the first day; the others share the rest in proportion to t^-1.5, as
#: light a tail as leaves something for late days: 1.5 log t nats.
_FIRST, _TAIL = 0.5, 1.5
#: Shifts of a normal in its standard deviations, and what is staked on each; ratios of spreads.
_SHIFTS = ((0.1, 0.1), (0.2, 0.2), (0.3, 0.25), (0.45, 0.2), (0.7, 0.1), (1.1, 0.1), (2.0, 0.05))
_SPREADS = (0.4, 0.6, 0.8, 1.25, 1.6, 2.5)
#: Shares of rows that move into one group, and what is left of it; odds of a level; rows that a Dirichlet law is worth.
_MOVED, _LEFT = (0.003, 0.03, 0.3, 0.95), (0.5, 0.1, 0.01)
_ODDS, _WORTH = (0.25, 0.5, 2.0, 4.0), (2.0, 20.0, 200.0)
#: What is staked on each kind of bet.
_STAKES = {"shift": 0.5, "spread": 0.15, "moved": 0.175, "free": 0.175}
#: Groups of ordered values that a Dirichlet law is of, where it is of few.
_FEW = 6


@final
@dataclass(frozen=True, eq=False)
class Bets:
    """Laws of rows that come, other than that of the reference.

    Attributes:
        names: what each is a bet on.
        stakes: they sum to 1.
        factors: what the chances of groups are multiplied by.
        parts, worth: of Dirichlet laws, after those: the part that each group belongs to, and how many rows
            the shares of the reference are worth.
    """

    names: tuple[str, ...]
    stakes: Counts
    factors: Float[np.ndarray, "b g"]
    parts: Int[np.ndarray, "f g"]
    worth: Counts


@final
@dataclass(frozen=True, eq=False)
class Wealth:
    """What the bets on a column have made of 1.

    Attributes:
        log_value: the log of the e-value.
        by_start: shares of the days from which a change is bet on.
        by_bet: shares of the bets.
    """

    log_value: float
    by_start: Counts
    by_bet: Counts


def is_start(day: int) -> bool:
    """Whether changes are bet on from this day on; days count from 0."""
    return day % _step(day) == 0


def _step(day: int) -> int:
    return 1 << max(day.bit_length() - _DAILY, 0)


@functools.cache
def stake(day: int) -> float:
    """Returns what is staked on a change from a day on, for it and those up to the next start.

    Example:
        >>> days = [day for day in range(10_000) if is_start(day)]
        >>> len(days) < 200, 0.98 < sum(map(stake, days)) < 1.0
        (True, True)
    """
    days = np.arange(day, day + _step(day), dtype=np.float64)
    spread = float(np.sum((days + 1.0) ** -_TAIL)) / float(special.zeta(_TAIL))
    return (1.0 - _FIRST) * spread + (_FIRST if day == 0 else 0.0)


def groups_of(
    shares: Counts, rows: Cells, rng: np.random.Generator
) -> tuple[Counts, Counts, tuple[int, ...]]:
    """Returns groups of ranks of a reference: their gaps, where all but the last end, and a cell of each.

    Where a group ends is a rank that the shares say, whatever the rows are. Rows of one cell are told apart by
    uniform numbers, of which only those at the ends are drawn. An end is the number of its cell plus that number.

    Args:
        shares: of the cells, which other rows said; groups end near theirs. Cells of none stand last.
        rows: of the reference, in each cell.
        rng: breaks ties.

    Example:
        >>> gaps, ends, cells = groups_of(np.array([2.0, 1.0, 0.0]), np.array([10, 5, 0]), np.random.default_rng(0))
        >>> gaps.tolist(), cells, (ends // 1).tolist()
        ([10.0, 5.0, 1.0], (0, 1, 2), [0.0, 1.0])
    """
    n = int(rows.sum())
    after = np.rint(n * np.cumsum(shares) / shares.sum()).astype(np.int64)
    ranks, cells = [], []
    for cell, rank in enumerate(after[:-1].tolist()):
        if shares[cell] > 0.0 and (ranks[-1] if ranks else 0) < rank:
            ranks.append(min(rank, n))
            cells.append(cell)
    gaps = np.diff(np.array([0, *ranks, n + 1], dtype=np.float64))
    last = cells[-1] + 1 if cells else 0
    return gaps, _places(np.array(ranks, dtype=np.int64), rows, rng), (*cells, last)


def _places(ranks: Cells, rows: Cells, rng: np.random.Generator) -> Counts:
    """Returns where rows of these ranks stand: the cell, plus their place among the uniform numbers of its rows."""
    upto = np.cumsum(rows)
    cell = np.searchsorted(upto, ranks)
    within = ranks - (upto - rows)[cell]
    places = np.empty(len(ranks))
    for c in np.unique(cell):
        here = np.flatnonzero(cell == c)
        # Spacings of ordered uniform numbers are those of sums of exponential ones.
        steps = np.diff(within[here], prepend=0, append=rows[c] + 1).astype(np.float64)
        drawn = rng.standard_gamma(steps)
        places[here] = c + np.cumsum(drawn)[:-1] / drawn.sum()
    return places


def grouped(rows: Cells, ends: Counts, rng: np.random.Generator) -> Int[np.ndarray, " g"]:
    """Returns how many rows that come fall into each group.

    Args:
        rows: in each cell.
        ends: of the groups.
        rng: breaks ties.
    """
    counts = np.zeros(len(ends) + 1, dtype=np.int64)
    for cell in np.flatnonzero(rows).tolist():
        first, last = np.searchsorted(ends, [cell, cell + 1])
        if first == last:
            counts[first] += rows[cell]
            continue
        cuts = np.concatenate([[0.0], ends[first:last] - cell, [1.0]])
        counts[first : last + 1] += rng.multinomial(rows[cell], np.diff(cuts))
    return counts


def bets_on(gaps: Counts, values: int, names: tuple[str, ...]) -> Bets:
    """Returns what is bet on a column.

    Args:
        gaps: of its groups.
        values: how many of them, the first, are of ordered values; 0 for levels.
        names: of the groups.
    """
    made: list[tuple[str, float, Counts]] = []
    if values:
        made += _shifts(gaps, values)
        watched = dict.fromkeys((0, values - 1, len(gaps) - 1))
    else:
        watched = dict.fromkeys((max(len(gaps) - 2, 0), len(gaps) - 1))
        made += _odds(gaps, names, range(len(gaps)), _STAKES["shift"] + _STAKES["spread"])
    each = _STAKES["moved"] / (len(watched) * (len(_MOVED) + len(_LEFT)))
    for group in watched:
        one = np.zeros(len(gaps))
        one[group] = gaps.sum() / gaps[group]
        made += [(f"more {names[group]}", each, (1.0 - m) + m * one) for m in _MOVED]
        made += [(f"fewer {names[group]}", each, np.where(one > 0.0, m, 1.0)) for m in _LEFT]
    parts, worth = _free(len(gaps), values)
    stakes = [s for _, s, _ in made] + [_STAKES["free"] / len(worth)] * len(worth)
    said = [name for name, _, _ in made] + ["another distribution"] * len(worth)
    factors = np.array([f for _, _, f in made])
    total = np.array(stakes)
    return Bets(tuple(said), total / total.sum(), factors, parts, worth)


def _shifts(gaps: Counts, values: int) -> list[tuple[str, float, Counts]]:
    """Returns bets on normal scores that are shifted, or more or less spread."""
    share = gaps[:values] / gaps[:values].sum()
    ends = np.concatenate([[0.0], np.cumsum(share)[:-1], [1.0]])
    scores = special.ndtri(ends)

    def of(moved: Counts) -> Counts:
        factors = np.ones(len(gaps))
        factors[:values] = np.maximum(np.diff(special.ndtr(moved)) / share, 1e-12)
        return factors

    total = math.fsum(s for _, s in _SHIFTS)
    made = []
    for size, part in _SHIFTS:
        half = 0.5 * _STAKES["shift"] * part / total
        made.append(("higher values", half, of(scores - size)))
        made.append(("lower values", half, of(scores + size)))
    for ratio in _SPREADS:
        name = "more spread" if ratio > 1.0 else "less spread"
        made.append((name, _STAKES["spread"] / len(_SPREADS), of(scores / ratio)))
    return made


def _odds(
    gaps: Counts, names: tuple[str, ...], groups: range, total: float
) -> list[tuple[str, float, Counts]]:
    made = []
    for group in groups:
        for odds in _ODDS:
            factors = np.ones(len(gaps))
            factors[group] = odds
            word = "more" if odds > 1.0 else "fewer"
            made.append((f"{word} {names[group]}", total / (len(groups) * len(_ODDS)), factors))
    return made


def _free(groups: int, values: int) -> tuple[Int[np.ndarray, "f g"], Counts]:
    """Returns of which parts the Dirichlet laws are: each group one, and of ordered values few parts."""
    each, few = np.arange(groups), parts_of_values(groups, values)
    kinds = [each] if few[-1] == groups - 1 else [each, few]
    parts = np.repeat(np.stack(kinds), len(_WORTH), axis=0)
    return parts, np.tile(np.array(_WORTH), len(kinds))


def parts_of_values(groups: int, values: int) -> Int[np.ndarray, " g"]:
    """Returns the part of each group where neighbouring groups of ordered values are joined to few.

    Example:
        >>> parts_of_values(14, 12).tolist()
        [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 7]
    """
    few = min(_FEW, values)
    of_values = np.arange(values) * few // max(values, 1)
    return np.concatenate([of_values, few + np.arange(groups - values)])


def wealth(gaps: Counts, counts: Int[np.ndarray, "s g"], stakes: Counts, bets: Bets) -> Wealth:
    """Returns what bets have made of 1: likelihood ratios of urns, from each start on, to the urn of the null.

    Args:
        gaps: of the groups.
        counts: of rows that came, from each start to the next.
        stakes: on a change from each start on.
        bets: what is bet on.

    Source: Vovk, Gammerman and Shafer (2022), Algorithmic learning in a random world, chapter 8 (ranks), for
    bets that are mixtures of urns.
    """
    total = counts.sum(axis=0, dtype=np.float64)
    before = np.cumsum(counts, axis=0, dtype=np.float64) - counts
    urn, came = gaps + before, total - before
    logs = np.concatenate([_tilted(urn, came, bets), _dirichlet(urn, came, bets)])
    logs += np.log(stakes) + np.log(bets.stakes)[:, None]
    # What is staked on later days is kept.
    kept = np.log(np.maximum([1.0 - float(stakes.sum())], 1e-300))
    value = float(np.logaddexp.reduce(np.append(logs.ravel(), kept)))
    shares = np.exp(logs - special.logsumexp(logs))
    return Wealth(value, shares.sum(axis=0), shares.sum(axis=1))


def _tilted(
    urn: Float[np.ndarray, "s g"], came: Float[np.ndarray, "s g"], bets: Bets
) -> np.ndarray:
    rows = urn.sum(axis=1)
    null = _rising(urn, came).sum(axis=1)
    made = urn * bets.factors[:, None, :]
    made *= (rows / made.sum(axis=2))[:, :, None]
    return _rising(made, came).sum(axis=2) - null


def _dirichlet(
    urn: Float[np.ndarray, "s g"], came: Float[np.ndarray, "s g"], bets: Bets
) -> np.ndarray:
    rows, new = urn.sum(axis=1), came.sum(axis=1)
    made = []
    for part, worth in zip(bets.parts, bets.worth, strict=True):
        starts = np.searchsorted(part, np.arange(part[-1] + 1))
        of_urn, of_new = (np.add.reduceat(x, starts, axis=1) for x in (urn, came))
        null = _rising(of_urn, of_new).sum(axis=1) - _rising(rows, new)
        prior = worth * of_urn / rows[:, None]
        made.append(_rising(prior, of_new).sum(axis=1) - _rising(worth, new) - null)
    return np.array(made)


def _rising(a: np.ndarray | float, n: np.ndarray) -> np.ndarray:
    """Returns the log of a (a + 1) ... (a + n - 1)."""
    return special.gammaln(a + n) - special.gammaln(a)
