"""Where mixtures start: many starts of several kinds that race, then splits and merges of the best.

No one kind of start is the best for all data: k-means of the columns as they are, scaled or made uncorrelated
finds separate clusters of one size, random points clusters of unequal size, single columns sheets. All start on a
part of the rows, and those that are ahead go on for longer and longer. What starts miss, moves of single components
find: two that overlap are merged and one that does not fit is split, if the whole then fits better (Ueda et
al. 2000). An optimum in which some component shrinks onto ties, or onto fewer rows than a covariance needs, is
behind every other.
"""

import itertools
import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, final

import numpy as np
from jaxtyping import Float

from kullback.fitting.components import Components
from kullback.fitting.em_climb import Climb, climb
from kullback.fitting.em_together import (
    KINDS,
    Kind,
    climb_together,
    halves_of,
    leads_nowhere,
    shares_of,
)
from kullback.fitting.mixture_family import Metric, MixtureFamily, with_components
from kullback.fitting.offspring import crossed, moved, moves, replaced, shuffled
from kullback.fitting.rows import ScaledRows

#: Passes of each lap of the race, and the share of the starts that go on after it.
_LAPS = ((10, 0.6), (20, 0.5), (40, 0.6))
#: So many go on after each lap, and are carried to their ends.
_FEWEST = 10
#: More rows than this are raced on in part, and so many ends are carried on over all.
_PART, _ON_ALL = 5000, 3
#: The same of rows with gaps, counts or labels, whose passes cost a call for each pattern of gaps.
_PART_OF_TABLE, _FEWEST_OF_TABLE, _ROUGH_OF_TABLE = 2000, 3, 1.0
#: Passes at most of a climb that is carried to its end, and nats that may be left to gain.
_LONG, _LEFT = 200, 0.01
#: Splits and merges tried at a time, crosses of two ends, and components spread over other rows; passes given to
#: each and how often they go on, and how many of them do.
_MOVES, _CROSSES, _REPLACED, _MOVE_PASSES, _MORE, _GROWN = 12, 8, 8, 20, 2, 6
#: Ends that offspring is made of, and nats in which two climbs may differ that are about to be at one optimum.
_POOL, _MOST_LEFT = 8, 1.0
#: Rounds of offspring without a gain, after which a search ends, and after which one does that need not be the best.
_ROUNDS, _FEW_ROUNDS = 12, 4
#: Offspring costs at most so many times what the race did, or so many rows passed over, in so many passes.
_EFFORT, _ROUGH, _LEAST, _MOST_PASSES = 5.0, 3.0, 8e6, 16_000
#: Starts of a search that need not find the best, and of these that go on to its end.
_QUICK, _QUICK_OF_TABLE, _QUICK_ENDS = 7, 3, 3
#: Climbs on one way up agree to so many nats after as many passes.
_ALIKE = 0.01
#: Values of one optimum agree to this many nats, over all rows.
SAME = 0.05


#: Much where the best optimum is looked for; some where optima are compared, on the part that was searched.
Offspring = Literal["none", "some", "much"]


@final
@dataclass(frozen=True, eq=False)
class Search:
    """The best of many starts.

    Attributes:
        ends: where climbs that were carried to their ends did, best first.
        starts: how many were made.
        reached: the share of the starts that led to each end; 0 where only seeds, moves or crosses did.
        passes: over the rows searched.
        moves: splits and merges that helped.
        interrupted: whether it was stopped.
    """

    ends: tuple[Climb, ...]
    starts: int
    reached: tuple[float, ...]
    passes: int
    moves: int
    interrupted: bool


def search(
    family: MixtureFamily,
    rows: ScaledRows,
    k: int,
    *,
    starts: int,
    rng: np.random.Generator,
    watch: Callable[[str], None],
    seeds: tuple[Any, ...] = (),
    offspring: Offspring = "much",
) -> Search:
    """Returns the best of a race of starts, with splits and merges.

    Args:
        family: makes starts of shares of rows.
        rows: those that are searched on, in memory.
        k: components.
        starts: how many.
        rng: randomness.
        watch: told what is being done.
        seeds: parameters that are starts too.
        offspring: how much of it is made of the best ends.

    Raises:
        InputError: there are fewer distinct rows than components.
    """
    part = _part(family, rows, rng)
    hunt = _Hunt(family, part, k, rng, watch)
    interrupted = False
    try:
        hunt.race(1 if k == 1 else starts, seeds)
        if k > 1 and offspring != "none":
            hunt.improve(thorough=offspring == "much")
        if part is not rows and offspring != "some":
            hunt.on_all(rows)
    except KeyboardInterrupt:
        if hunt.last is None:
            raise
        interrupted = True
    found = hunt.ends or {hunt.last: 1}
    ends = hunt.ranked([end for end in found if end is not None])
    reached = tuple(found[end] / max(hunt.starts, 1) for end in ends)
    return Search(tuple(ends), hunt.starts, reached, hunt.passes, hunt.helped, interrupted)


def quick_search(
    family: MixtureFamily, rows: ScaledRows, k: int, rng: np.random.Generator
) -> list[Climb]:
    """Returns where a race of a start of each kind leads, best first, not climbed to the end.

    Args:
        family, rows, k, rng: as of `search`.

    Raises:
        InputError: there are fewer distinct rows than components.
        KeyboardInterrupt: on the way.
    """
    hunt = _Hunt(family, _part(family, rows, rng), k, rng, lambda _: None)
    starts = _QUICK if hunt.quick else _QUICK_OF_TABLE
    return list(hunt.ahead(starts, (), _QUICK_ENDS))


def _part(family: MixtureFamily, rows: ScaledRows, rng: np.random.Generator) -> ScaledRows:
    """The rows that are raced on: some, where there are many."""
    most = _PART if family.model.columns is None else _PART_OF_TABLE
    return rows.sample(most, rng) if len(rows.whole()[1]) > most else rows


def _alike(one: Climb, other: Climb) -> bool:
    """Whether two climbs are, or are about to be, at one optimum."""
    left = min(max(one.remaining, 0.0), max(other.remaining, 0.0), _MOST_LEFT)
    return abs(one.value - other.value) < max(SAME, left)


class _Hunt:
    """A search on the way: `ends` are climbs carried to their ends, with how many starts led there."""

    def __init__(
        self,
        family: MixtureFamily,
        rows: ScaledRows,
        k: int,
        rng: np.random.Generator,
        watch: Callable[[str], None],
    ) -> None:
        self.family, self.rows, self.k, self.rng, self.watch = family, rows, k, rng, watch
        metrics: tuple[Metric, ...] = ("scaled", "white", "units")
        self.points: dict[Metric, Float[np.ndarray, "c n"]] = {
            metric: family.points(rows, metric) for metric in metrics
        }
        self.weights = rows.whole()[1]
        # An M-step of a table, or of factors, takes as long as dozens of others.
        self.quick = family.model.columns is None and family.structure.name != "low_rank"
        self.ends: Counter[Climb] = Counter()
        self.last: Climb | None = None
        self.starts = self.passes = self.helped = 0

    def ranked(self, ends: Sequence[Climb]) -> list[Climb]:
        """Best first; those with a component that shrinks to nothing, or nearly, after all others."""
        sound = {end: self.family.sound(end.sums) for end in ends}
        height = {end: end.value - self.family.charge(end.sums) for end in ends}
        return sorted(ends, key=lambda end: (sound[end], height[end]), reverse=True)

    def race(self, starts: int, seeds: tuple[Any, ...]) -> None:
        """Short climbs from all starts, longer ones from those that are ahead, to the ends of the best."""
        fewest = _FEWEST if self.quick else _FEWEST_OF_TABLE
        for end, count in list(self.ahead(starts, seeds, fewest).items())[:fewest]:
            self._carry(end, count)

    def ahead(self, starts: int, seeds: tuple[Any, ...], fewest: int) -> dict[Any, int]:
        """The climbs that are ahead at the end of the laps, best first, with how many starts each stands for."""
        going = {**dict.fromkeys(self._begun(starts), 1), **dict.fromkeys(seeds, 0)}
        for passes, share in _LAPS:
            ways = self._alike(self.together(list(going), passes), list(going.values()))
            most = max(math.ceil(share * len(going)), fewest)
            going = dict(list(ways.items())[:most])
            if len(going) == 1:
                break
        return going

    def _begun(self, starts: int) -> list[Any]:
        begun: list[Any] = []
        try:
            for i in range(starts):
                kind = KINDS[i % len(KINDS)]
                shares = shares_of(kind, self.points, self.weights, self.k, self.rng)
                begun.append(self.family.from_shares(self.rows, shares))
                self.starts += 1
                self.watch(f"start {self.starts} of {starts}, {self.k} components")
        except KeyboardInterrupt:
            if begun:
                self.together(begun[:1], _LAPS[0][0])  # something to give back
            raise
        return begun

    def _alike(self, ends: list[Climb], counts: list[int]) -> dict[Any, int]:
        """The climbs, best first, those on one way up once, with how many starts they stand for."""
        number = dict(zip(ends, counts, strict=True))
        ways: dict[Any, int] = {}
        for end in self.ranked(ends):
            near = [way for way in ways if abs(way.value - end.value) < _ALIKE]
            ways[near[0] if near else end] = number[end] + (ways[near[0]] if near else 0)
        return ways

    def _carry(self, trial: Climb, count: int) -> None:
        """Climbs to the end, which counts for so many ways."""
        end = self._climb(trial)
        known = [one for one in self.ends if abs(one.value - end.value) < SAME]
        end = known[0] if known else end
        self.ends[end] += count
        best = self.ranked(list(self.ends))[0]
        self.watch(f"{count} start(s) climbed on, {self._words(best)}")

    def _climb(self, trial: Climb) -> Climb:
        if trial.remaining < 0.1 * _LEFT:
            return trial
        model = self.family.model
        end = climb(model, self.rows, trial.at, passes=_LONG, tolerance=_LEFT, before=trial.path)
        self._passed([end])
        return end

    def on_all(self, rows: ScaledRows) -> None:
        """Carries the best ends on over all rows."""
        self.rows, found = rows, self.ends
        self.ends = Counter()
        for end in self.ranked(list(found))[:_ON_ALL]:
            self._carry(Climb(end.at, end.sums, end.value, math.inf, 0, (), end.path), found[end])

    def together(self, starts: Sequence[Any], passes: int) -> list[Climb]:
        """Short climbs."""
        model = self.family.model
        if model.columns is None:
            ends = climb_together(model, self.rows, starts, passes)
            self._passed(ends)
            return ends
        ends = []
        for start in starts:
            at, before = (start.at, start.path) if isinstance(start, Climb) else (start, ())
            ends.append(climb(model, self.rows, at, passes=passes, tolerance=0.1, before=before))
            self._passed(ends[-1:])
        return ends

    def _passed(self, ends: list[Climb]) -> None:
        self.passes += sum(end.passes for end in ends)
        self.last = max([*ends, *filter(None, [self.last])], key=lambda end: end.value)
        if any(end.interrupted for end in ends):
            raise KeyboardInterrupt

    def improve(self, *, thorough: bool) -> None:
        """Offspring of the best ends, as long as it helps: moves of single components, and crosses of two ends."""
        least = min(_LEAST / len(self.weights), _MOST_PASSES) if thorough and self.quick else 0.0
        effort = _ROUGH_OF_TABLE if not self.quick else _EFFORT if thorough else _ROUGH
        budget = self.passes + max(effort * self.passes, least)
        pool = self.ranked(list(self.ends))[:_POOL]
        ahead, idle = self._moves(pool[0].at), 0
        while idle < (_ROUNDS if thorough else _FEW_ROUNDS) and self.passes < budget:
            # Passes over plain rows are shared; over tables one at a time.
            tried = list(itertools.islice(ahead, _MOVES if self.quick else _MOVES // 3))
            if self.quick:
                tried += self._crossed(pool)
            if not tried:
                break
            best = pool[0]
            pool = self.ranked([*pool, *self._grown(tried, pool)])[:_POOL]
            idle += 1
            if abs(pool[0].value - best.value) > SAME:
                ahead, idle = self._moves(pool[0].at), 0
                self.helped += 1
                self.watch(f"splits, merges, crosses: {self.helped} helped, {self._words(pool[0])}")
        for end in pool:
            if end.remaining < _MOST_LEFT:
                self.ends[end] += 0

    def _grown(self, young: list[Any], pool: list[Climb]) -> list[Climb]:
        """The best of the young that are new, those that may pass the best of the pool climbed to their ends."""
        going = self.together(young, _MOVE_PASSES)
        for _ in range(_MORE):
            going = self._new(going, pool)
            if not going:
                return []
            going = self.together(going, _MOVE_PASSES)
        kept = list(pool)
        for one in self._new(going, pool):
            ahead = not leads_nowhere(one.trace, one.remaining, pool[0].value)
            end = self._climb(one) if ahead else one
            if not any(_alike(end, other) for other in kept):
                kept.append(end)
        return kept[len(pool) :]

    def _new(self, going: list[Climb], pool: list[Climb]) -> list[Climb]:
        """Those that are not where others are and lead to where the last of the pool is, or higher."""
        kept = list(pool)
        for one in self.ranked(going):
            if not any(_alike(one, other) for other in kept) and not leads_nowhere(
                one.trace, one.remaining, pool[-1].value
            ):
                kept.append(one)
        return kept[len(pool) :][:_GROWN]

    def _crossed(self, pool: list[Climb]) -> list[Any]:
        """Ends of which a component is put elsewhere, and crosses of two ends."""
        family, rng = self.family, self.rng
        often = _REPLACED if family.structure.d else 0
        young = [replaced(family, self.rows, self._one_of(pool).at, rng) for _ in range(often)]
        if len(pool) > 1:
            for i in range(_CROSSES):
                one, other = rng.choice(len(pool), 2, replace=False)
                cross = crossed if i % 2 else shuffled
                young.append(cross(family, pool[one].at, pool[other].at, rng))
        return young

    def _one_of(self, pool: list[Climb]) -> Climb:
        return pool[min(self.rng.integers(len(pool)), self.rng.integers(len(pool)))]

    def _moves(self, here: Any) -> Iterator[Any]:
        """Mixtures that a move leads to, the most promising first."""
        if self.k > 2:
            yield from (
                moved(self.family, here, move) for move in moves(self.family, self.rows, here)
            )
        if self.k == 2:  # the rows on both sides of the middle of each coordinate
            for z in np.concatenate([self.points["white"][::-1], self.points["scaled"]]):
                yield self.family.from_shares(self.rows, halves_of(z, self.weights))

    def _words(self, best: Climb) -> str:
        return f"log likelihood {best.value / self.rows.total:.5f} a row"


#: Starts and passes of a mixture that need not be the best.
_ROUGH_KINDS: tuple[Kind, ...] = ("scaled", "white")
_ROUGH_PASSES = 15


def rough_mixture(
    family: MixtureFamily, rows: ScaledRows, k: int, rng: np.random.Generator
) -> Components:
    """Returns a mixture of k Gaussians that is close to rows, by a few passes from a few starts.

    Args:
        family: of Gaussians, for these rows and any number of components.
        rows: in memory.
        k: components.
        rng: randomness.

    Raises:
        InputError: there are fewer distinct rows than components.
        KeyboardInterrupt: on the way.
    """
    family = with_components(family, k)
    metrics: tuple[Metric, ...] = ("scaled", "white")
    points: dict[Metric, Float[np.ndarray, "c n"]] = {m: family.points(rows, m) for m in metrics}
    weights = rows.whole()[1]
    kinds = _ROUGH_KINDS if k > 1 else _ROUGH_KINDS[:1]
    starts = [family.from_shares(rows, shares_of(kind, points, weights, k, rng)) for kind in kinds]
    ends = climb_together(family.model, rows, starts, _ROUGH_PASSES if k > 1 else 1)
    if any(end.interrupted for end in ends):
        raise KeyboardInterrupt
    best = max(ends, key=lambda end: end.value)
    return best.at.moved(rows.center, np.diag(rows.scale))


def distinct_ends(ends: Sequence[Climb]) -> list[Climb]:
    """Returns the optima, in their order, each once."""
    kept: list[Climb] = []
    for end in ends:
        if all(abs(end.value - other.value) > SAME for other in kept):
            kept.append(end)
    return kept
