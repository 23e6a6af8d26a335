"""Mixtures fitted to rows: starts on a sample, then all rows, then without the prior, and what is left."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import final

import numpy as np

from kullback.fitting._climb import Climb, climb
from kullback.fitting._final_climb import Last, final_climb
from kullback.fitting._mixture_family import MixtureFamily
from kullback.fitting._portfolio import SAME, Search, distinct_ends, search
from kullback.fitting._rows import Rows
from kullback.fitting._structures import Components
from kullback.fitting._together import leads_nowhere

#: Starts are compared on so many rows.
SAMPLE = 20_000
#: Nats that may be left to gain, over all rows, or if that is more for each row; and where climbs creep.
TOLERANCE, _EACH, _CREEPING = 1e-5, 1e-10, 5e-3
#: Passes after which a climb creeps, and after which it ends.
_PRECISE, _MOST = 200, 2000
#: More rows than this are led up to by a climb over some of them.
_HUGE, _PART = 2_000_000, 400_000
#: Optima that are compared without the prior, where the rows are few, after so many passes at most.
_FINALISTS, _COMPARED = 3, 30


@final
@dataclass(frozen=True, eq=False)
class Mixed:
    """A mixture fitted to rows.

    Attributes:
        end: the last climb, over all rows.
        found: the search for starts.
        passes: over all rows, and over the sample.
        floor_cost: nats that the floor, or the prior where it was kept, takes from the log likelihood.
        kept_prior: components for which the prior was kept: maximum likelihood would shrink them to points.
        interrupted: whether it was stopped.
    """

    end: Climb
    found: Search
    passes: int
    floor_cost: float
    kept_prior: tuple[int, ...]
    interrupted: bool

    @property
    def share(self) -> float:
        """Of the starts carried to their ends, how many reached the best value."""
        best = self.found.ends[0].value
        return sum(c.value > best - SAME for c in self.found.ends) / len(self.found.ends)


def fit_mixture(
    family: MixtureFamily,
    rows: Rows,
    sample: Rows,
    k: int,
    *,
    starts: int,
    rng: np.random.Generator,
    watch: Callable[[str], None],
    seeds: tuple[Components, ...] = (),
) -> Mixed:
    """Returns the mixture of k components that maximises the likelihood of the rows.

    Args:
        family: of the mixtures.
        rows: all of them.
        sample: some of them, in memory.
        k: components.
        starts: how many.
        rng: randomness.
        watch: told what is being done.
        seeds: parameters that are starts too.
    """
    found = search(family, sample, k, starts=starts, rng=rng, watch=watch, seeds=seeds)
    if found.interrupted:
        return Mixed(found.ends[0], found, 0, math.nan, (), interrupted=True)
    told = _teller(watch, rows)
    tolerance = max(TOLERANCE, _EACH * rows.total)
    ends = distinct_ends(found.ends)[: 1 if sample.n < rows.n else _FINALISTS]
    free = found.free if sample.n == rows.n else ()
    if rows.n > _HUGE:
        # Most of the way is made on a part of the rows, which is close to where all of them lead.
        part = rows.sample(_PART, np.random.default_rng(0))
        watch(f"climbing on {_PART:,} of {rows.n:,} rows")
        ends = [climb(family.model, part, ends[0].at, tolerance=1.0, before=ends[0].path)]
    last, passes = _compared(family, rows, ends, free, told)
    for near, most in ((tolerance, _PRECISE), (max(tolerance, _CREEPING), _MOST)):
        if last.end.interrupted or last.end.remaining <= near:
            break
        last = final_climb(
            family,
            rows,
            last.end.at,
            kept=last.kept,
            tolerance=near,
            passes=most,
            watch=told,
            before=last.end.path,
        )
        passes += last.passes
    cost = family.floor_cost(last.end.at, last.kept)
    return Mixed(last.end, found, passes, cost, last.kept, last.end.interrupted)


def _compared(
    family: MixtureFamily,
    rows: Rows,
    ends: list[Climb],
    free: tuple[Climb, ...],
    told: Callable[[int, float], None],
) -> tuple[Last, int]:
    """The optimum of these that is best without the prior, before its last digits, and passes.

    Those of `free` climbed without the prior already.
    """
    if len(ends) + len(free) == 1:
        # What was left with the prior says nothing of what is left without.
        return Last(replace(ends[0], remaining=math.inf), (), 0), 0
    found: list[Last] = []
    for end in (*ends, *free):
        values = [one.end.sums.log_likelihood for one in found]
        if end in free and _adds_nothing(end, values):
            continue
        found.append(
            final_climb(
                family,
                rows,
                end.at,
                tolerance=SAME,
                passes=_COMPARED,
                watch=told,
                before=end.path,
            )
        )
        if found[-1].end.interrupted:
            break
    best = max(found, key=lambda one: one.end.sums.log_likelihood)
    return best, sum(one.passes for one in found)


def _adds_nothing(end: Climb, values: list[float]) -> bool:
    """Whether a climb without the prior is at an optimum of these values, or leads to none as high."""
    here = end.sums.log_likelihood
    at = end.remaining < SAME and any(abs(here - value) < SAME for value in values)
    return at or leads_nowhere(end.trace, end.remaining, max(values))


def _teller(watch: Callable[[str], None], rows: Rows) -> Callable[[int, float], None]:
    def told(passes: int, value: float) -> None:
        watch(f"pass {passes} over {rows.n:,} rows, log likelihood {value / rows.total:.5f} a row")

    return told
