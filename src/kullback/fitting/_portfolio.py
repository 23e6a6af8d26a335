"""Where mixtures start: a portfolio of starts on some of the rows, then splits and merges of the best.

No one kind of start is the best for all data: k-means seeds find separate clusters of one size, random
points clusters of unequal size. What starts miss, moves of single components find: two that overlap are
merged and one that does not fit is split, if the whole then fits better (Ueda et al. 2000).
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float

from kullback._core.errors import InputError
from kullback.fitting._climb import Climb, climb
from kullback.fitting._gaussian_model import GaussianModel
from kullback.fitting._mixture_family import MixtureFamily
from kullback.fitting._rows import Rows
from kullback.fitting._structures import Components
from kullback.fitting._together import climb_together

#: Passes of a start before it is compared with others, and how many of the best go on.
_TRIAL, _KEPT = 15, 3
#: These go on for so many passes at most, or until so many nats are left to gain over all rows.
_LONG, _LEFT = 300, 0.01
#: Splits and merges tried at a time, passes given to each, and then to each of the best of them.
_MOVES, _MOVE_PASSES, _MORE, _BEST = 8, 10, 40, 3
#: Passes given to moves, for each pass of the portfolio.
_EFFORT = 1
_LLOYD = 8
#: Values of one optimum agree to this many nats, over all rows.
SAME = 0.05


@final
@dataclass(frozen=True, eq=False)
class Search:
    """The best of many starts.

    Attributes:
        ends: where climbs that were carried to their ends did, best first.
        starts: how many were made.
        passes: over the rows searched.
        moves: splits and merges that helped.
        interrupted: whether it was stopped.
    """

    ends: tuple[Climb, ...]
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
    return Search(tuple(ends), hunt.starts, hunt.passes, hunt.helped, hunt.interrupted)


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
        self.ends: list[Climb] = []
        self.best: Climb | None = None
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
        tried = self.together([*self._begun(starts), *seeds], _TRIAL)
        for trial in tried[:_KEPT]:
            if self.ends and self._leads_nowhere(trial):
                continue
            self.ends.append(self.climb(trial, _LONG, _LEFT))
            self.watch(f"climb {len(self.ends)} of {min(_KEPT, len(tried))}, {self._words()}")

    def _begun(self, starts: int) -> list[Components]:
        begun: list[Components] = []
        try:
            for i in range(starts):
                z, weights = self.family.points(self.rows, white=i % 2 == 0)
                shares = seeded(z, weights, self.k, self.rng, random=i % 5 == 4)
                begun.append(self.family.from_shares(self.rows, shares))
                self.starts += 1
                self.watch(f"start {i + 1} of {starts}, {self.k} components")
        except KeyboardInterrupt:
            if begun:
                self.climb(begun[0], _TRIAL)  # something to give back
            raise
        return begun

    def together(self, starts: list[Components], passes: int) -> list[Climb]:
        """Short climbs, best first."""
        model = self.family.model
        if not isinstance(model, GaussianModel):
            ends = [self.climb(start, passes, 0.1) for start in starts]
            return sorted(ends, key=lambda c: c.value, reverse=True)
        ends = climb_together(model, self.rows, starts, passes)
        ends.sort(key=lambda c: c.value, reverse=True)
        self.passes += sum(end.passes for end in ends)
        self._seen(ends[0])
        return ends

    def _seen(self, end: Climb) -> None:
        if self.best is None or end.value > self.best.value:
            self.best = end
        if end.interrupted:
            raise KeyboardInterrupt

    def _leads_nowhere(self, trial: Climb) -> bool:
        """Whether a start is far below the best, and what it has left to gain is less."""
        assert self.best is not None
        return trial.value + 10.0 * trial.remaining < self.best.value

    def moves(self) -> None:
        """Merges two components and splits a third, as long as it helps."""
        budget = self.passes * (1 + _EFFORT)
        while self.k > 2 and self.passes < budget:
            assert self.best is not None
            here = self.best
            moves = itertools.islice(self.family.moves(self.rows, here.at), _MOVES)
            moved = self.together([self.family.moved(here.at, m) for m in moves], _MOVE_PASSES)
            if not any(self._helps(end, here, budget) for end in moved[:_BEST]):
                return

    def _helps(self, moved: Climb, here: Climb, budget: int) -> bool:
        if self.passes > budget:
            return False
        end = self.climb(moved, _MORE, 0.1 * SAME)
        if end.value <= here.value + SAME:
            return False
        self.ends.append(self.climb(end, _LONG, _LEFT))
        self.helped += 1
        self.watch(f"splits and merges: {self.helped} helped, {self._words()}")
        return True

    def _words(self) -> str:
        assert self.best is not None
        return f"log likelihood {self.best.value / self.rows.total:.5f} a row"


def seeded(
    z: Float[np.ndarray, "d n"],
    weights: Float[np.ndarray, " n"],
    k: int,
    rng: np.random.Generator,
    *,
    random: bool,
) -> Float[np.ndarray, "k n"]:
    """Returns shares of points in k components: those nearest to centres of k-means, or to random points.

    Args:
        z: the points, as columns.
        weights: of the points.
        k: components.
        rng: randomness.
        random: whether centres are random points.

    Raises:
        InputError: there are fewer distinct rows than components.
    """
    if random:
        marks = rng.random(k) * weights.sum()
        at = np.searchsorted(np.cumsum(weights), marks)
        return _nearest(z, z[:, np.minimum(at, len(weights) - 1)])
    centers = _spread(z, weights, k, rng)
    for _ in range(_LLOYD):
        hard = _nearest(z, centers) * weights
        held = hard.sum(axis=1)
        moved = (z @ hard.T) / np.maximum(held, 1e-300)
        centers = np.where(held > 0.0, moved, centers)
    return _nearest(z, centers)


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
    shares = np.full(distance.shape, 1e-3 / len(distance))
    shares[np.argmin(distance, axis=0), np.arange(z.shape[1])] += 1.0 - 1e-3
    return shares
