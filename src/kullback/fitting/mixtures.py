"""How many components: fits of 1, 2, 3 ..., compared by BIC, ICL and their scores on rows left out."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, final

import numpy as np
from jaxtyping import Float
from scipy import linalg

from kullback.core.run import Run
from kullback.families import Recipe
from kullback.fitting.components import Components
from kullback.fitting.em import block_size
from kullback.fitting.em_climb import Climb, Last, climb, final_climb, leads_nowhere
from kullback.fitting.em_search import SAME, Search, distinct_ends, search
from kullback.fitting.mixture_family import MixtureFamily, with_components
from kullback.fitting.rows import Rows
from kullback.results.estimate import Estimate
from kullback.results.fit import Candidate, Selection
from kullback.results.quantity import LOG_PROB, LOG_PROB_DIFFERENCE
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
        """Of the starts carried to their ends, how many reached the best value."""
        best = self.found.ends[0].value
        return sum(c.value > best - SAME for c in self.found.ends) / len(self.found.ends)


# How well a mixture does on rows: mean log density with its error, on rows fitted to or left out.


@final
@dataclass(frozen=True, eq=False)
class Score:
    """The mean of log q over rows, with its standard error.

    Attributes:
        mean: in nats a row, in the units of the data.
        standard_error: of the mean.
        rows: how many.
        values: of each row that has a weight, where they were kept.
        weights: of these rows.
        parts: where rows were left out, the parameters fitted to the others and the rows left out.
    """

    mean: float
    standard_error: float
    rows: int
    values: np.ndarray | None = None
    weights: np.ndarray | None = None
    parts: tuple[tuple[Any, Rows], ...] = ()


@final
@dataclass(frozen=True, eq=False)
class _Tried:
    k: int
    mixed: Mixed
    parameters: int
    log_likelihood: float
    bic: float
    icl: float
    left_out: Score | None


def choose(
    family: MixtureFamily,
    rows: Rows,
    sample: Rows,
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
            best = min(tried, key=lambda t: t.bic)
            run.watch(f"{k} component(s): BIC {made.bic:.1f}, lowest for {best.k}")
            if made.mixed.interrupted:
                raise KeyboardInterrupt
            if k - best.k >= _PATIENCE:
                break
    except KeyboardInterrupt:
        if not tried:
            raise
        stopped = True
    best = min(tried, key=lambda t: t.bic)
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
    family: MixtureFamily, rows: Rows, sample: Rows, k: int, before: list[_Tried], run: Run
) -> _Tried:
    here = with_components(family, k)
    seeds: tuple[Components, ...] = ()
    if before:
        last = before[-1].mixed.end.at
        heaviest = np.argsort(last.weights)[::-1][:3]
        seeds = tuple(here.split(last, int(i)) for i in heaviest)
    mixed = fit_mixture(
        here,
        rows,
        sample,
        k,
        starts=_STARTS,
        rng=run.generator("starts", k),
        watch=run.watch,
        seeds=seeds,
    )
    q = mixed.end.at
    log_likelihood = rows.total * score(here.final, q, rows).mean
    size = here.parameters(k)
    bic = size * math.log(rows.total) - 2.0 * log_likelihood
    doubt = _entropy(here, q, rows)
    left_out = held_out(here, q, rows, run.watch, kept_prior=mixed.kept_prior)
    return _Tried(k, mixed, size, log_likelihood, bic, bic + 2.0 * doubt, left_out)


def _entropy(family: MixtureFamily, q: Components, rows: Rows) -> float:
    """The entropy of the memberships of all rows: how much components overlap."""
    total = 0.0
    for x, weights in rows.blocks(4096):
        shares = family.final.shares(q, x)
        total -= float(np.sum(shares * np.log(np.maximum(shares, 1e-300)) * weights))
    return total


def _compared(
    tried: list[_Tried], best: _Tried, seen: Rows, rows: Rows, of: Callable[[int], Recipe]
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


def estimate(found: Score) -> Estimate:
    """Returns a score as what it is called."""
    return Estimate.sampled(
        found.mean,
        found.standard_error,
        LOG_PROB,
        method="rows held out",
        n=found.rows,
    )


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
#: Passes after which a climb creeps, and after which it ends.
_PRECISE, _MOST_PASSES = 200, 2000
#: More rows than this are led up to by a climb over some of them.
_HUGE, _PART = 2_000_000, 400_000
#: Optima that are compared without the prior, where the rows are few, after so many passes at most.
_FINALISTS, _COMPARED = 3, 30


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
    last, passes = _compared_ends(family, rows, ends, free, told)
    for near, most in ((tolerance, _PRECISE), (max(tolerance, _CREEPING), _MOST_PASSES)):
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


def _compared_ends(
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


#: Folds, where there are up to so many rows; with more a tenth of the rows is left out once.
_FOLDS = ((20_000, 10), (200_000, 5))
#: Nats over all rows to which a refit is carried.
_REFIT = 0.1


def score(model: Any, q: Any, rows: Rows) -> Score:
    """Returns the mean log density of rows, in a pass."""
    return _summary(rows, [(model, q, rows)])


def held_out(
    family: Any,
    q: Any,
    rows: Rows,
    watch: Callable[[str], None],
    *,
    kept_prior: tuple[int, ...],
) -> Score | None:
    """Returns the mean log density of rows that a refit has not seen; None if there are too few.

    Each refit starts at q, so it stays at the optimum that all rows chose.

    Args:
        family: of the mixtures.
        q: fitted to all rows.
        rows: all.
        watch: told what is being done.
        kept_prior: components that have the prior.
    """
    folds = next((f for most, f in _FOLDS if rows.n <= most), 0)
    if rows.n < 20:
        return None
    made = []
    for i in range(folds or 1):
        watch(f"rows left out, {i + 1} of {folds or 1}")
        others = rows.without(i, folds or 10)
        end = final_climb(family, others, q, kept=kept_prior, tolerance=_REFIT, passes=200).end
        if end.interrupted:
            raise KeyboardInterrupt
        made.append((family.final, end.at, rows.only(i, folds or 10)))
    return replace(_summary(rows, made), parts=tuple((at, part) for _, at, part in made))


def _summary(rows: Rows, parts: list[tuple[Any, Any, Rows]]) -> Score:
    kept = rows.in_memory
    values, weights = [], []
    total = first = second = 0.0
    shift: float | None = None
    for model, q, part in parts:
        for x, given in part.blocks(block_size(len(q.weights), model.structure.width)):
            used = given > 0.0
            if not used.any():
                continue
            log_q, w = model.log_prob(q, x[:, used]) - part.log_unit(x[:, used]), given[used]
            shift = float(log_q.mean()) if shift is None else shift
            total += float(w.sum())
            first += float(w @ (log_q - shift))
            second += float(w @ (log_q - shift) ** 2)
            if kept:
                values.append(log_q)
                weights.append(w)
    assert shift is not None
    mean = first / total
    variance = max(second / total - mean * mean, 0.0)
    effective = rows.effective * total / rows.total
    error = math.sqrt(variance / max(effective - 1.0, 1.0))
    return Score(
        shift + mean,
        error,
        sum(part.n for _, _, part in parts),
        np.concatenate(values) if values else None,
        np.concatenate(weights) if values else None,
    )


# Standard errors of a mixture's parameters, from the information that its rows hold.

#: More multiplications than this are too many.
_WORK = 4e10
#: Directions that the rows say less about than this share are taken for unknown.
_SINGULAR = 1e-10


@final
@dataclass(frozen=True, eq=False)
class Errors:
    """Standard errors in scaled coordinates: weights (k,), means (k, d), sds (k, d)."""

    weights: Float[np.ndarray, " k"]
    means: Float[np.ndarray, "k d"]
    sds: Float[np.ndarray, "k d"]


def errors(model: Any, q: Components, rows: Rows, sample: Rows, *, most: int) -> Errors | None:
    """Returns standard errors of weights, means and sds; None if there are too many parameters.

    Too many to invert their information, or as many as there are rows, whose scores then say nothing of some.

    Taken from the sample, as if all rows were like it, where all rows are too many.

    Args:
        model: of maximum likelihood.
        q: the fit, in scaled coordinates.
        rows: all.
        sample: some of them, in memory.
        most: so many parameters are not too many.
    """
    k, d = q.means.shape
    diagonal = model.structure.by_square
    size = k * (1 + d + (d if diagonal else d * (d + 1) // 2))
    if size > most or size >= min(rows.n, rows.effective):
        return None
    seen = rows if rows.in_memory and rows.n * size**2 < _WORK else sample
    every = np.arange(d)
    lower = (every, every) if diagonal else np.tril_indices(d)
    inverse = q.inverses
    information = np.zeros((size, size))
    for x, weights in seen.blocks(2048):
        shares = model.shares(q, x)
        z = np.einsum("kij,kjm->kim", inverse, x[None] - q.means[:, :, None])
        turns = z[:, lower[0]] * z[:, lower[1]] - (lower[0] == lower[1])[:, None]
        scores = np.concatenate(
            [
                shares - q.weights[:, None],
                (shares[:, None] * z).reshape(k * d, -1),
                (shares[:, None] * turns).reshape(k * len(lower[0]), -1),
            ]
        )
        information += (scores * weights) @ scores.T
    information *= rows.total / seen.total
    return _delta(q, _inverse(information, k), lower)


def _inverse(information: Float[np.ndarray, "m m"], k: int) -> Float[np.ndarray, "m m"]:
    """The inverse but for the direction in which all k logits, which come first, rise together."""
    unit = np.sqrt(np.maximum(np.diag(information), 1e-300))
    scaled = information / np.outer(unit, unit)
    together = np.concatenate([unit[:k], np.zeros(len(unit) - k)])
    together /= np.linalg.norm(together)
    try:
        root = np.linalg.cholesky(scaled + np.outer(together, together))
    except np.linalg.LinAlgError:
        root = np.zeros((1, 1))
    if np.diag(root).min() ** 2 > _SINGULAR:
        half = linalg.solve_triangular(root, np.eye(len(root)), lower=True)
        inverse = half.T @ half
    else:
        inverse = np.linalg.pinv(scaled, rcond=_SINGULAR, hermitian=True)
    return inverse / np.outer(unit, unit)


def _delta(
    q: Components, covariance: Float[np.ndarray, "m m"], lower: tuple[np.ndarray, np.ndarray]
) -> Errors:
    """Errors of weights, means and sds from those of logits, moves and turns of the factors."""
    k, d = q.means.shape
    by_logit = np.diag(q.weights) - np.outer(q.weights, q.weights)
    of_weights = by_logit @ covariance[:k, :k] @ by_logit
    means, sds = np.empty((k, d)), np.empty((k, d))
    for i, root in enumerate(q.roots):
        at = slice(k + i * d, k + (i + 1) * d)
        means[i] = np.sqrt(np.maximum(np.diag(root @ covariance[at, at] @ root.T), 0.0))
        first = k + k * d + i * len(lower[0])
        turn = covariance[first : first + len(lower[0]), first : first + len(lower[0])]
        sd = np.sqrt(np.sum(root**2, axis=1))
        # d cov = root (dT + dT') root', so that d var_j = 2 sum root_ja root_jb dT_ab.
        by_turn = root[:, lower[0]] * root[:, lower[1]] / sd[:, None]
        sds[i] = np.sqrt(np.maximum(np.einsum("ja,ab,jb->j", by_turn, turn, by_turn), 0.0))
    return Errors(np.sqrt(np.maximum(np.diag(of_weights), 0.0)), means, sds)
