"""Starts of mixtures, and EM from many at once: for few rows a pass costs what its calls cost, so starts share it."""

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
from jaxtyping import Float

from kullback.core.errors import InputError
from kullback.fitting.components import Components, joined, parted
from kullback.fitting.em import MixtureModel
from kullback.fitting.em_climb import DRAWN, Climb, extrapolated
from kullback.fitting.em_sums import Sums
from kullback.fitting.mixture_family import Metric
from kullback.fitting.rows import ScaledRows

#: A climb stands still when so many nats are left to gain over all rows.
_LEFT = 0.01


def climb_together(
    model: MixtureModel, rows: ScaledRows, starts: Sequence[Components | Climb], passes: int
) -> list[Climb]:
    """Returns where so many passes of EM from each start lead, or fewer where they are at their ends.

    Args:
        model: the family.
        rows: what is fitted to.
        starts: mixtures of as many components each, or the ends of climbs.
        passes: how many of them, at least one; when interrupted, fewer.

    Raises:
        KeyboardInterrupt: in the first pass.
    """
    ways = [_Way(start) for start in starts]
    active, interrupted = list(ways), False
    try:
        for count in range(passes):
            q = joined([way.next for way in active])
            likelihoods = np.zeros(len(active))
            sums = model.summed(rows, q, likelihoods)
            priors = model.prior.log_densities(q).reshape(len(active), -1).sum(axis=1)
            parts = sums.reshape(len(active), -1, sums.shape[1])
            for i, way in enumerate(active):
                way.went(float(likelihoods[i]), float(priors[i]), parts[i])
            active = _going(active)
            if not active or count == passes - 1:
                break
            _step(model, active)
    except KeyboardInterrupt:
        if ways[0].sums is None:
            raise
        interrupted = True
    return [way.end(interrupted=interrupted) for way in ways]


class _Way:
    """One of the climbs."""

    def __init__(self, start: Components | Climb) -> None:
        self.path = list(start.path) if isinstance(start, Climb) else []
        self.next = start.at if isinstance(start, Climb) else start
        self.at = self.next
        self.sums: Sums | None = None
        self.trace: list[float] = []
        self.remaining = math.inf

    def went(self, likelihood: float, prior: float, values: Float[np.ndarray, "k f"]) -> None:
        """Takes in a pass at `next`."""
        self.at, self.sums = self.next, Sums(likelihood, values)
        self.trace.append(likelihood + prior)
        if self.at.roots.size <= DRAWN:
            self.path.append(self.at)
        gains = [b - a for a, b in zip(self.trace[-3:], self.trace[-2:], strict=False)]
        self.remaining = extrapolated(gains, 1e-15 * abs(self.trace[-1]))

    def end(self, *, interrupted: bool) -> Climb:
        assert self.sums is not None
        return Climb(
            self.at,
            self.sums,
            self.trace[-1],
            self.remaining,
            len(self.trace),
            tuple(self.trace),
            tuple(self.path),
            interrupted,
        )


def leads_nowhere(trace: Sequence[float], remaining: float, best: float) -> bool:
    """Returns whether a climb is far below the best value, and what it has left to gain is less.

    Args:
        trace: the value after each pass.
        remaining: what is left to gain, extrapolated.
        best: value of others.
    """
    last = trace[-1] - trace[-2] if len(trace) > 1 else math.inf
    return trace[-1] + min(10.0 * remaining, 20.0 * last) < best


def _going(active: list[_Way]) -> list[_Way]:
    """Those that are not at their ends."""
    if len(active[0].trace) < 3:
        return active
    return [way for way in active if way.remaining > _LEFT]


def _step(model: MixtureModel, active: list[_Way]) -> None:
    """An M-step of each."""
    sums = [way.sums for way in active if way.sums is not None]
    if model.structure.name == "tied":
        for way, own in zip(active, sums, strict=True):
            way.next = model.maximize(own)
        return
    q = model.maximize(Sums(math.nan, np.concatenate([own.values for own in sums])))
    for way, own in zip(active, parted(q, len(active)), strict=True):
        way.next = own


# Rows shared out to components, to start from: by k-means in some metric, or around random rows.

Kind = Literal["scaled", "units", "white", "spread", "column", "points"]


#: The kinds of starts, in turn: no kind is the best for all data.
KINDS: tuple[Kind, ...] = ("scaled", "units", "white", "points", "column", "units", "spread")
_LLOYD = 20
#: Centres that move less are at their ends.
_STILL = 1e-3


def shares_of(
    kind: Kind,
    points: dict[Metric, Float[np.ndarray, "c n"]],
    weights: Float[np.ndarray, " n"],
    k: int,
    rng: np.random.Generator,
) -> Float[np.ndarray, "k n"]:
    """Returns the shares of rows in k components.

    Args:
        kind: "scaled" for k-means of columns scaled by their quartiles, "spread" by their sds, "units" as they
            are, "white" of uncorrelated ones, "column" of a random one; "points" for the nearest of random rows.
        points: the rows as columns, "scaled", made "white", and in the "units" they were given in.
        weights: of the rows.
        k: components.
        rng: randomness.

    Raises:
        InputError: there are fewer distinct rows than components.
    """
    metric: Metric = "units" if kind == "units" else "scaled"
    z = points["white" if kind in ("white", "points") else metric]
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
