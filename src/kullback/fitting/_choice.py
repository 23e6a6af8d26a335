"""How many components: fits of 1, 2, 3 ..., compared by BIC, ICL and their scores on rows left out."""

import math
from dataclasses import dataclass, replace
from typing import final

import numpy as np

from kullback.fitting._mixture_family import MixtureFamily, with_components
from kullback.fitting._mixtures import Mixed, fit_mixture
from kullback.fitting._rows import Rows
from kullback.fitting._run import Run
from kullback.fitting._scores import Score, held_out, score
from kullback.fitting._structures import Components
from kullback.results._estimate import Estimate
from kullback.results._selection import Candidate, Selection
from kullback.targets import Samples

#: Give up when BIC has not fallen for so many numbers of components.
_PATIENCE = 2
_MOST = 50
#: Rows that fits are compared on, where there are more than _ALL or they are in files.
_ALL, _SOME = 500_000, 100_000
_STARTS = 4


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
    family: MixtureFamily, rows: Rows, sample: Rows, *, starts: int, run: Run, words: str
) -> tuple[Mixed, Selection]:
    """Returns the mixture whose number of components has the lowest BIC, and the comparison.

    Args:
        family: of the mixtures.
        rows: all.
        sample: some of them, in memory, for starts.
        starts: for the final fit.
        run: randomness and someone to tell.
        words: what a mixture is called, but for the number.
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
    selection = _compared(tried, best, seen, rows, words)
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


def _compared(tried: list[_Tried], best: _Tried, seen: Rows, rows: Rows, words: str) -> Selection:
    scored = [t for t in tried if t.left_out is not None]
    top = (
        max(scored, key=lambda t: t.left_out.mean if t.left_out else -math.inf) if scored else None
    )
    candidates = tuple(
        Candidate(
            words.format(k=t.k),
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
        quantity="log_prob",
        direction="E_p[log q]",
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
        quantity="log_prob",
        direction="E_p[log best - log q]",
        method="rows held out, paired",
        n=len(gap),
    )
