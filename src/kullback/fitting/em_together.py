"""EM from many starts at once: for few rows a pass costs what its calls cost, so starts share them."""

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from kullback.fitting.components import Components, joined, parted
from kullback.fitting.em import MixtureModel, Sums
from kullback.fitting.em_climb import DRAWN, Climb, extrapolated
from kullback.fitting.rows import Rows

#: A climb stands still when so many nats are left to gain over all rows.
_LEFT = 0.01


def climb_together(
    model: MixtureModel, rows: Rows, starts: Sequence[Components | Climb], passes: int
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
