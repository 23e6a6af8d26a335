"""Where mixtures start: a portfolio of starts on some of the rows, then splits and merges of the best.

No one kind of start is the best for all data: k-means seeds find separate clusters of one size, random
points clusters of unequal size. What starts miss, moves of single components find: two that overlap are
merged and one that does not fit is split, if the whole then fits better (Ueda et al. 2000).
"""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, final

import numpy as np
from jaxtyping import Float

from kullback.core.errors import InputError
from kullback.fitting.components import Components
from kullback.fitting.em_climb import Climb, climb, climb_together, leads_nowhere
from kullback.fitting.mixture_family import MixtureFamily
from kullback.fitting.rows import Rows

#: Passes of a start before it is compared with others, and how many of the best go on.
_TRIAL, _KEPT = 12, 3
#: So many go on without the prior too, where rows are so few that it sways which optimum is the best.
_FREE, _SWAYED = 6, 5000
#: These go on together, and then one by one: the first for longer, as long as so much is left to gain.
_ON, _LONG, _SHORT, _LEFT = 15, 100, 30, 0.01
#: Splits and merges tried at a time, passes given to each, and then to each of the best of them.
_MOVES, _MOVE_PASSES, _BEST = 8, 15, 2
#: Passes given to moves, for each pass in which a start still gained so many nats a row.
_EFFORT, _GAINS = 2.0, 1e-3
#: An optimum that so many other ways led back to is taken for the best there is.
_RETURNS = 4
#: Climbs on one way up agree to so many nats after as many passes.
_ALIKE = 0.01
#: Values of one optimum agree to this many nats, over all rows.
SAME = 0.05


@final
@dataclass(frozen=True, eq=False)
class Search:
    """The best of many starts.

    Attributes:
        ends: where climbs that were carried to their ends did, best first.
        starts: how many were made.
        free: the best climb without the prior from a start, if it needs none.
        passes: over the rows searched.
        moves: splits and merges that helped.
        interrupted: whether it was stopped.
    """

    ends: tuple[Climb, ...]
    free: tuple[Climb, ...]
    starts: int
    passes: int
    moves: int
    interrupted: bool


def search(
    family: MixtureFamily,
    rows: Rows,
    k: int,
    *,
    starts: int,
    rng: np.random.Generator,
    watch: Callable[[str], None],
    seeds: tuple[Components, ...] = (),
) -> Search:
    """Returns the best of a portfolio of starts, with splits and merges.

    Args:
        family: makes starts of shares of rows.
        rows: those that are searched on, in memory.
        k: components.
        starts: how many.
        rng: randomness.
        watch: told what is being done.
        seeds: parameters that are starts too.

    Raises:
        InputError: there are fewer distinct rows than components.
    """
    hunt = _Hunt(family, rows, k, rng, watch)
    try:
        hunt.portfolio(1 if k == 1 else starts, seeds)
        hunt.moves()
    except KeyboardInterrupt:
        if hunt.best is None:
            raise
        hunt.interrupted = True
    assert hunt.best is not None
    ends = sorted(hunt.ends or [hunt.best], key=lambda c: c.value, reverse=True)
    return Search(
        tuple(ends), tuple(hunt.free), hunt.starts, hunt.passes, hunt.helped, hunt.interrupted
    )


# Rows shared out to components, to start from: by k-means in some metric, or around random rows.

Kind = Literal["scaled", "white", "spread", "column", "points"]


class _Hunt:
    """A search on the way."""

    def __init__(
        self,
        family: MixtureFamily,
        rows: Rows,
        k: int,
        rng: np.random.Generator,
        watch: Callable[[str], None],
    ) -> None:
        self.family, self.rows, self.k, self.rng, self.watch = family, rows, k, rng, watch
        self.points: dict[bool, Float[np.ndarray, "c n"]] = {}
        for white in (False, True):
            self.points[white], self.weights = family.points(rows, white=white)
        self.ends: list[Climb] = []
        self.best: Climb | None = None
        self.free: list[Climb] = []
        self.effort, self.returns = 0.0, 0
        self.starts = self.passes = self.helped = 0
        self.interrupted = False

    def climb(self, start: Components | Climb, passes: int, tolerance: float = 1e-3) -> Climb:
        at, before = (start.at, start.path) if isinstance(start, Climb) else (start, ())
        end = climb(
            self.family.model, self.rows, at, passes=passes, tolerance=tolerance, before=before
        )
        self.passes += end.passes
        self._seen(end)
        return end

    def portfolio(self, starts: int, seeds: tuple[Components, ...]) -> None:
        """Short climbs from all starts, long ones from the best of them."""
        kinds = list(FIRST[:starts])
        tried = self.together([*self._begun(kinds, starts), *seeds], _TRIAL)
        if starts > len(kinds):
            # Half of the others are of the kind that suits these rows best; columns differ too much to tell.
            shown = [t for t in zip(kinds, tried, strict=False) if t[0] != "column"]
            best, _ = max(shown, key=lambda pair: pair[1].value)
            more: list[Kind] = ["spread", best] * starts
            others = self._begun(more[: starts - len(kinds)], starts)
            tried += self.together(others, _TRIAL)
        groups = _alike(tried)
        # Where most starts agree, moves find nothing.
        apart = 1.0 - len(groups[0]) / len(tried)
        rough = sum(_rough(end, _GAINS * self.rows.total) for end in tried)
        self.effort = _EFFORT * apart * rough
        self._free([group[0] for group in groups[:_FREE]])
        self._carry(groups[0][0], len(groups[0]), _LONG)
        for i in range(1, len(groups), _KEPT - 1):
            if len(distinct_ends(self.ends)) >= _KEPT or self.returns >= _RETURNS:
                return
            self._go_on(groups[i : i + _KEPT - 1])

    def _go_on(self, groups: list[list[Climb]]) -> None:
        """Carries those that do not stay far below the best."""
        groups = [group for group in groups if not self._behind(group[0])]
        going = self.together([group[0] for group in groups], _ON) if groups else []
        for end, group in sorted(zip(going, groups, strict=True), key=lambda t: -t[0].value):
            if self._behind(end):
                continue
            known = [one for one in self.ends if abs(one.value - end.value) < SAME]
            if known:
                self.ends += known[:1] * len(group)
            else:
                self._carry(end, len(group), _SHORT)
            self._count(self.ends[-1])

    def _count(self, end: Climb) -> None:
        """Counts the ways back to the best."""
        assert self.best is not None
        if end is not self.best and abs(end.value - self.best.value) < SAME:
            self.returns += 1

    def _carry(self, trial: Climb, count: int, passes: int) -> None:
        """Climbs to the end, which counts for so many starts."""
        self.ends += [self.climb(trial, passes, _LEFT)] * count
        self.watch(f"{count} start(s) climbed on, {self._words()}")

    def _behind(self, climb: Climb) -> bool:
        """Whether a climb is far below the best, and what it has left to gain is less."""
        assert self.best is not None
        return leads_nowhere(climb.trace, climb.remaining, self.best.value)

    def _free(self, tried: list[Climb]) -> None:
        """Lets some of the starts go on without the prior, and keeps the best that needs none."""
        final = self.family.final
        if final.columns is not None or self.rows.n > _SWAYED:
            return
        ends = climb_together(final, self.rows, [trial.at for trial in tried], _ON)
        self.passes += sum(end.passes for end in ends)
        sound = [end for end in ends if not self.family.floored(end.at, self.rows)]
        self.free = _ranked(sound)[:1]

    def _begun(self, kinds: Sequence[Kind], of: int) -> list[Components]:
        begun: list[Components] = []
        try:
            for kind in kinds:
                shares = shares_of(kind, self.points, self.weights, self.k, self.rng)
                begun.append(self.family.from_shares(self.rows, shares))
                self.starts += 1
                self.watch(f"start {self.starts} of {of}, {self.k} components")
        except KeyboardInterrupt:
            if begun and self.best is None:
                self.climb(begun[0], _TRIAL)  # something to give back
            raise
        return begun

    def together(self, starts: Sequence[Components | Climb], passes: int) -> list[Climb]:
        """Short climbs."""
        model = self.family.model
        if model.columns is not None:
            return [self.climb(start, passes, 0.1) for start in starts]
        ends = climb_together(model, self.rows, starts, passes)
        self.passes += sum(end.passes for end in ends)
        for end in ends:
            self._seen(end)
        return ends

    def _seen(self, end: Climb) -> None:
        if self.best is None or end.value > self.best.value:
            self.best = end
        if end.interrupted:
            raise KeyboardInterrupt

    def moves(self) -> None:
        """Starts anew, then merges two components and splits a third, as long as it helps."""
        budget = self.passes + self.effort
        if self.k == 1:
            return
        self._try(self._seeded(), budget, all_of_them=True)
        if self.k == 2:
            self._try(self._halved(), budget, all_of_them=True)
            return
        while self.passes < budget and self._try(self._merged(), budget):
            pass

    def _try(
        self, found: Iterator[Components], budget: float, *, all_of_them: bool = False
    ) -> bool:
        """Whether some of these helped; the others are left, unless all are to be tried."""
        assert self.best is not None
        helped = False
        while (
            self.passes < budget
            and self.returns < _RETURNS
            and (tried := list(itertools.islice(found, _MOVES)))
        ):
            here = self.best
            moved = self.together(tried, _MOVE_PASSES)
            helped |= any(self._helps(end, here, budget) for end in _ranked(moved)[:_BEST])
            if helped and not all_of_them:
                return True
        return helped

    def _seeded(self) -> Iterator[Components]:
        for _ in range(min(_MOVES, self.starts)):
            shares = shares_of("spread", self.points, self.weights, self.k, self.rng)
            yield self.family.from_shares(self.rows, shares)

    def _merged(self) -> Iterator[Components]:
        assert self.best is not None
        here = self.best.at
        for move in self.family.moves(self.rows, here):
            yield self.family.moved(here, move)

    def _halved(self) -> Iterator[Components]:
        """The rows on both sides of the middle of each coordinate."""
        for z in np.concatenate([self.points[True][::-1], self.points[False]]):
            yield self.family.from_shares(self.rows, halves_of(z, self.weights))

    def _helps(self, moved: Climb, here: Climb, budget: float) -> bool:
        if self.passes > budget or self._behind(moved):
            return False
        back = abs(moved.value - here.value) < SAME
        end = moved if back else self.climb(moved, _SHORT, _LEFT)
        if end.value <= here.value + SAME:
            self._count(end)
            return False
        self.returns = 0
        self.ends.append(end if end.remaining < _LEFT else self.climb(end, _LONG, _LEFT))
        self.helped += 1
        self.watch(f"splits and merges: {self.helped} helped, {self._words()}")
        return True

    def _words(self) -> str:
        assert self.best is not None
        return f"log likelihood {self.best.value / self.rows.total:.5f} a row"


def _ranked(ends: Sequence[Climb]) -> list[Climb]:
    """Best first."""
    return sorted(ends, key=lambda end: end.value, reverse=True)


def distinct_ends(ends: Sequence[Climb]) -> list[Climb]:
    """Returns the optima, best first, each once."""
    kept: list[Climb] = []
    for end in _ranked(ends):
        if all(abs(end.value - other.value) > SAME for other in kept):
            kept.append(end)
    return kept


def _alike(ends: list[Climb]) -> list[list[Climb]]:
    """Climbs that are on one way up, as high after as many passes; the highest first."""
    groups: list[list[Climb]] = []
    for end in _ranked(ends):
        near = [g for g in groups if abs(g[0].value - end.value) < _ALIKE]
        if near:
            near[0].append(end)
        else:
            groups.append([end])
    return groups


def _rough(end: Climb, gain: float) -> int:
    """In how many passes a climb gained so much; twice as many as it made, if it did in all."""
    few = np.flatnonzero(np.diff(end.trace) < gain)
    return int(few[0]) + 1 if len(few) else 2 * len(end.trace)


#: The kinds of the first starts: no kind is the best for all data.
FIRST: tuple[Kind, ...] = ("scaled", "white", "points", "spread", "column", "scaled")
_LLOYD = 8
#: Centres that move less are at their ends.
_STILL = 1e-3


def shares_of(
    kind: Kind,
    points: dict[bool, Float[np.ndarray, "c n"]],
    weights: Float[np.ndarray, " n"],
    k: int,
    rng: np.random.Generator,
) -> Float[np.ndarray, "k n"]:
    """Returns the shares of rows in k components.

    Args:
        kind: "scaled" for k-means of columns scaled by their quartiles, "spread" by their sds, "white" of
            uncorrelated ones, "column" of a random one; "points" for the nearest of random rows.
        points: the rows, as columns, as they are (False) and made uncorrelated (True).
        weights: of the rows.
        k: components.
        rng: randomness.

    Raises:
        InputError: there are fewer distinct rows than components.
    """
    z = points[kind in ("white", "points")]
    if kind == "points":
        marks = rng.random(k) * weights.sum()
        at = np.searchsorted(np.cumsum(weights), marks)
        return _nearest(z, z[:, np.minimum(at, len(weights) - 1)])
    if kind == "spread":
        z = z / np.maximum(z.std(axis=1, keepdims=True), 1e-12)
    if kind == "column":
        chosen = z[[rng.integers(len(z))]]
        if len(np.unique(chosen)) > k:
            z = chosen
    centers = _spread(z, weights, k, rng)
    for _ in range(_LLOYD):
        shares = _nearest(z, centers)
        hard = shares * weights
        moved = (z @ hard.T) / np.add.reduce(hard, axis=1)
        if np.abs(moved - centers).max() < _STILL:
            return shares
        centers = moved
    return _nearest(z, centers)


def halves_of(
    z: Float[np.ndarray, " n"], weights: Float[np.ndarray, " n"]
) -> Float[np.ndarray, "2 n"]:
    """Returns the shares of rows in two components: below the mean of a coordinate, and above.

    Args:
        z: the coordinate.
        weights: of the rows.
    """
    above = z > weights @ z / weights.sum()
    return (1.0 - 1e-3) * np.array([~above, above]) + 0.5e-3


def _spread(
    z: Float[np.ndarray, "d n"], weights: Float[np.ndarray, " n"], k: int, rng: np.random.Generator
) -> Float[np.ndarray, "d k"]:
    """k-means++ (Arthur, Vassilvitskii 2007)."""
    chosen = [int(np.searchsorted(np.cumsum(weights), rng.random() * weights.sum()))]
    nearest = np.full(z.shape[1], np.inf)
    for _ in range(k - 1):
        moved = z - z[:, chosen[-1]][:, None]
        nearest = np.minimum(nearest, np.einsum("dn,dn->n", moved, moved))
        odds = np.cumsum(nearest * weights)
        if odds[-1] <= 0.0:
            raise InputError(
                f"{k} components, but only {len(chosen)} distinct row(s); ask for fewer components"
            )
        chosen.append(int(np.searchsorted(odds, rng.random() * odds[-1])))
    return z[:, chosen]


def _nearest(
    z: Float[np.ndarray, "d n"], centers: Float[np.ndarray, "d k"]
) -> Float[np.ndarray, "k n"]:
    distance = -2.0 * centers.T @ z + np.einsum("dk,dk->k", centers, centers)[:, None]
    return (1.0 - 1e-3) * (distance <= distance.min(axis=0)) + 1e-3 / len(distance)
