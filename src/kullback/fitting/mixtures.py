"""How many components: fits of 1, 2, 3 ..., compared by BIC, ICL and their scores on rows left out."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import final

import numpy as np

from kullback.core.run import Run
from kullback.families import Recipe
from kullback.fitting.components import Components
from kullback.fitting.em_climb import Climb, Last, climb, final_climb
from kullback.fitting.em_search import Offspring, Search, distinct_ends, search
from kullback.fitting.mixture_family import MixtureFamily, with_components
from kullback.fitting.offspring import split
from kullback.fitting.rows import ScaledRows
from kullback.fitting.scores import MeanScore, estimate, held_out, score
from kullback.results.estimate import Estimate
from kullback.results.likelihood import Candidate, Selection
from kullback.results.quantity import LOG_PROB_DIFFERENCE
from kullback.targets import Samples

#: Give up when BIC has not fallen for so many numbers of components.
_PATIENCE = 2
_MOST = 50
#: Rows that fits are compared on, where there are more than _ALL or they are in files.
_ALL, _SOME = 500_000, 100_000
_STARTS = 4


# Mixtures fitted to rows: starts on a sample, then all rows, then without the prior, and what is left.


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
        """Of the starts, how many reached the best value."""
        return self.found.reached[0]


@final
@dataclass(frozen=True, eq=False)
class _Tried:
    k: int
    mixed: Mixed
    parameters: int
    log_likelihood: float
    bic: float
    icl: float
    left_out: MeanScore | None
    sound: bool

    def rank(self) -> tuple[bool, float]:
        """Returns BIC, after that of those without a component that shrinks to nothing, or nearly."""
        return not self.sound, self.bic


def choose(
    family: MixtureFamily,
    rows: ScaledRows,
    sample: ScaledRows,
    *,
    starts: int,
    run: Run,
    of: Callable[[int], Recipe],
) -> tuple[Mixed, Selection]:
    """Returns the mixture whose number of components has the lowest BIC, and the comparison.

    Args:
        family: of the mixtures.
        rows: all.
        sample: some of them, in memory, for starts.
        starts: for the final fit.
        run: randomness and someone to tell.
        of: the family of a number of components.
    """
    seen = rows
    if not rows.in_memory or rows.n > _ALL:
        seen = rows.sample(_SOME, run.generator("rows for the choice"))
    # By distinct rows: copies of a row are no more to fit than its weight.
    assert isinstance(sample.source, Samples)
    most = min(_MOST, max(len(sample.source.values) // 2, 1))
    tried: list[_Tried] = []
    stopped = False
    try:
        for k in range(1, most + 1):
            made = _try(family, seen, sample, k, tried, run)
            tried.append(made)
            best = min(tried, key=_Tried.rank)
            run.watch(f"{k} component(s): BIC {made.bic:.1f}, lowest for {best.k}")
            if made.mixed.interrupted:
                raise KeyboardInterrupt
            if k - best.k >= _PATIENCE:
                break
    except KeyboardInterrupt:
        if not tried:
            raise
        stopped = True
    best = min(tried, key=_Tried.rank)
    selection = _compared(tried, best, seen, rows, of)
    if stopped:
        return replace(best.mixed, interrupted=True), selection
    final = fit_mixture(
        with_components(family, best.k),
        rows,
        sample,
        best.k,
        starts=starts,
        rng=run.generator("starts"),
        watch=run.watch,
        seeds=(best.mixed.end.at,),
    )
    return final, selection


def _try(
    family: MixtureFamily,
    rows: ScaledRows,
    sample: ScaledRows,
    k: int,
    before: list[_Tried],
    run: Run,
) -> _Tried:
    here = with_components(family, k)
    seeds: tuple[Components, ...] = ()
    if before:
        last = before[-1].mixed.end.at
        seeds = tuple(split(here, last, int(i)) for i in np.argsort(last.weights)[::-1][:3])
    mixed = fit_mixture(
        here,
        rows,
        sample,
        k,
        starts=_STARTS,
        rng=run.generator("starts", k),
        watch=run.watch,
        seeds=seeds,
        offspring="some",
    )
    q = mixed.end.at
    log_likelihood = rows.total * score(here.final, q, rows).mean
    size = here.parameters(k)
    bic = size * math.log(rows.total) - 2.0 * log_likelihood
    doubt = _entropy(here, q, rows)
    left_out = held_out(here, q, rows, run, kept_prior=mixed.kept_prior)
    sound = here.sound(mixed.end.sums)
    return _Tried(k, mixed, size, log_likelihood, bic, bic + 2.0 * doubt, left_out, sound)


def _entropy(family: MixtureFamily, q: Components, rows: ScaledRows) -> float:
    """The entropy of the memberships of all rows: how much components overlap."""
    total = 0.0
    for x, weights in rows.blocks(4096):
        shares = family.final.shares(q, x)
        total -= float(np.sum(shares * np.log(np.maximum(shares, 1e-300)) * weights))
    return total


def _compared(
    tried: list[_Tried],
    best: _Tried,
    seen: ScaledRows,
    rows: ScaledRows,
    of: Callable[[int], Recipe],
) -> Selection:
    scored = [t for t in tried if t.left_out is not None]
    top = (
        max(scored, key=lambda t: t.left_out.mean if t.left_out else -math.inf) if scored else None
    )
    candidates = tuple(
        Candidate(
            of(t.k),
            t.parameters,
            t.log_likelihood,
            t.bic,
            t.icl,
            None if t.left_out is None else estimate(t.left_out),
            None if top is None or t is top else _behind(t, top),
        )
        for t in tried
    )
    rule = "lowest BIC"
    if seen.n < rows.n:
        rule += f", on a sample of {seen.n:,} rows"
    return Selection(candidates, tried.index(best), rule)


def _behind(one: _Tried, best: _Tried) -> Estimate | None:
    """How far the score of one is below the best's, row by row: far more precise than either."""
    a, b = one.left_out, best.left_out
    if a is None or b is None or a.values is None or b.values is None or a.weights is None:
        return None
    gap, w = b.values - a.values, a.weights / a.weights.sum()
    mean = float(w @ gap)
    error = math.sqrt(float(w @ (gap - mean) ** 2) / max(1.0 / float(w @ w) - 1.0, 1.0))
    return Estimate.sampled(
        mean,
        error,
        LOG_PROB_DIFFERENCE,
        method="rows held out, paired",
        n=len(gap),
    )


#: Starts are compared on so many rows.
SAMPLE = 20_000
#: Nats that may be left to gain, over all rows, or if that is more for each row; and where climbs creep.
TOLERANCE, _EACH, _CREEPING = 1e-5, 1e-10, 5e-3
#: Numbers of components are compared at so many nats from their optima, or after so many passes.
_NEARLY, _NEAR_PASSES = 0.05, 60
#: Passes after which a climb creeps, and after which it ends.
_PRECISE, _MOST_PASSES = 200, 2000
#: More rows than this are led up to by a climb over some of them.
_HUGE, _PART = 2_000_000, 400_000
#: So many optima are climbed without the prior, as long as some component shrinks there.
_FINALISTS = 8


def fit_mixture(
    family: MixtureFamily,
    rows: ScaledRows,
    sample: ScaledRows,
    k: int,
    *,
    starts: int,
    rng: np.random.Generator,
    watch: Callable[[str], None],
    seeds: tuple[Components, ...] = (),
    offspring: Offspring = "much",
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
        offspring: how much the search makes of its best ends.
    """
    how = {"starts": starts, "rng": rng, "watch": watch, "seeds": seeds, "offspring": offspring}
    found = search(family, sample, k, **how)
    if found.interrupted:
        return Mixed(found.ends[0], found, 0, math.nan, (), interrupted=True)
    told = _teller(watch, rows)
    ends = distinct_ends(found.ends)[: 1 if sample.n < rows.n else _FINALISTS]
    if rows.n > _HUGE:
        # Most of the way is made on a part of the rows, which is close to where all of them lead.
        part = rows.sample(_PART, np.random.default_rng(0))
        watch(f"climbing on {_PART:,} of {rows.n:,} rows")
        ends = [climb(family.model, part, ends[0].at, tolerance=1.0, before=ends[0].path)]
        if ends[0].interrupted:
            return Mixed(ends[0], found, 0, math.nan, (), interrupted=True)
    done: list[Last] = []
    for end in ends:
        done.append(_finished(family, rows, end, told, rough=offspring == "some"))
        # A component that shrinks at the last only sends the search on to the next optimum.
        if done[-1].end.interrupted or family.rank(done[-1].end.sums)[0]:
            break
    last = max(done, key=lambda one: family.rank(one.end.sums))
    passes = sum(one.passes for one in done)
    cost = family.floor_cost(last.end.at, last.kept)
    return Mixed(last.end, found, passes, cost, last.kept, done[-1].end.interrupted)


def _finished(
    family: MixtureFamily,
    rows: ScaledRows,
    end: Climb,
    told: Callable[[int, float], None],
    *,
    rough: bool,
) -> Last:
    """The maximum of the likelihood near an optimum, to its last digits unless rough, and the passes it took."""
    # What was left with the prior says nothing of what is left without.
    last, passes = Last(replace(end, remaining=math.inf), (), 0), 0
    tolerance = max(TOLERANCE, _EACH * rows.total)
    laps = ((tolerance, _PRECISE), (max(tolerance, _CREEPING), _MOST_PASSES))
    for near, most in ((max(tolerance, _NEARLY), _NEAR_PASSES),) if rough else laps:
        if last.end.interrupted or last.end.remaining <= near:
            break
        at, before = last.end.at, last.end.path
        last = final_climb(
            family, rows, at, kept=last.kept, tolerance=near, passes=most, watch=told, before=before
        )
        passes += last.passes
    return replace(last, passes=passes)


def _teller(watch: Callable[[str], None], rows: ScaledRows) -> Callable[[int, float], None]:
    def told(passes: int, value: float) -> None:
        watch(f"pass {passes} over {rows.n:,} rows, log likelihood {value / rows.total:.5f} a row")

    return told
