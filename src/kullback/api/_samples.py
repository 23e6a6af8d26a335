"""Forward fits of mixtures to samples: maximum likelihood, the score on rows left out, and its error."""

import time
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import final

import numpy as np

from kullback._core.errors import InputError
from kullback._core.threads import one_thread
from kullback.api._store import resumed
from kullback.diagnostics._sample_fit import Checked, check
from kullback.distributions._base import Distribution
from kullback.families import FullRank, LowRank, MeanField, Mixture
from kullback.fitting import _information
from kullback.fitting._choice import choose, estimate
from kullback.fitting._climb import Climb
from kullback.fitting._gaussians import order_of
from kullback.fitting._memo import Memo
from kullback.fitting._mixture_family import MixtureFamily, family_of
from kullback.fitting._mixtures import SAMPLE, Mixed, fit_mixture
from kullback.fitting._portfolio import distinct_ends
from kullback.fitting._rows import Rows, distinct, rows_of
from kullback.fitting._run import Run
from kullback.fitting._scores import held_out, score
from kullback.fitting._structures import Components, Structure
from kullback.fitting._table_family import table_family
from kullback.results._estimate import Estimate
from kullback.results._fit import Fit, Optimum
from kullback.results._likelihood import Likelihood, ParameterError
from kullback.results._selection import Selection
from kullback.targets import Samples, Stream

Recipe = MeanField | FullRank | LowRank | Mixture
_STARTS = 10
#: Parameters whose standard errors are given: where the score of rows left out is had, and where it is not.
_MANY, _FEW = 600, 100
#: Products of blocks with no more features are done before several threads have begun.
_NARROW = 100
_UP_TO = "maximum likelihood: KL(p||q) up to H(p), which samples alone do not give"


@final
@dataclass(frozen=True, eq=False)
class _Job:
    """What is fitted, to what."""

    recipe: Recipe
    rows: Rows
    sample: Rows
    family: MixtureFamily
    starts: int
    run: Run

    @property
    def words(self) -> str:
        """The family, with {k} for the number of components."""
        if not isinstance(self.recipe, Mixture):
            return str(self.recipe)
        return str(self.recipe).replace(f"k={self.recipe.k!r}", "k={k}")


def fit_samples(
    p: Samples | Stream,
    recipe: Recipe,
    *,
    starts: int | None,
    run: Run,
    began: float,
    checkpoint: str | Path | None = None,
    hold_out: bool = True,
) -> Fit:
    """Returns the Gaussians that maximise the likelihood of rows.

    Args:
        p: the rows.
        recipe: the family.
        starts: how many; 10 unless said.
        run: randomness, someone to tell, and where results are kept.
        began: when, by `time.perf_counter`.
        checkpoint: a file for what passes over many rows returned.
        hold_out: whether the score of rows left out is had, by refits, with tests and the path of the fit.

    Raises:
        InputError: the rows do not admit such a density: too few, a constant column, columns that
            determine each other.
    """
    job = _job(p, recipe, starts or _STARTS, run, checkpoint)
    narrow = job.rows.n <= SAMPLE or job.family.structure.width <= _NARROW
    with one_thread() if narrow else nullcontext():
        return _answer(job, p, began, hold_out=hold_out)


def _answer(job: _Job, p: Samples | Stream, began: float, *, hold_out: bool) -> Fit:
    run = job.run
    mixed, selection = _fitted(job)
    left_out, checked = None, Checked()
    if hold_out and not mixed.interrupted:
        try:
            kept = mixed.kept_prior
            left_out = held_out(job.family, mixed.end.at, job.rows, run.watch, kept_prior=kept)
            given = (job.family, mixed.end.at, job.rows, job.sample, left_out, run)
            checked = check(*given, kept_prior=kept)
        except KeyboardInterrupt:
            mixed = replace(mixed, interrupted=True)
    optima = _optima(job, mixed)
    return Fit(
        q=optima[0].q,
        direction="forward",
        family=job.words.format(k=len(mixed.end.at.weights)),
        divergence=optima[0].divergence,
        forward_kl=checked.forward_kl,
        reverse_kl=None,
        held_out=None if left_out is None else estimate(left_out),
        optima=optima,
        path=tuple(_member(job, q) for q in mixed.end.path) if hold_out else (),
        starts=mixed.found.starts,
        evaluations=mixed.passes + mixed.found.passes,
        seconds=time.perf_counter() - began,
        notes=(*_notes(job, mixed), *checked.notes),
        columns=p.columns,
        labels=p.labels,
        selection=selection,
        likelihood=checked.added_to(
            _likelihood(job, mixed, optima[0].divergence, most=_MANY if hold_out else _FEW)
        ),
    )


def _job(
    p: Samples | Stream, recipe: Recipe, starts: int, run: Run, checkpoint: str | Path | None
) -> _Job:
    k = recipe.k if isinstance(recipe, Mixture) else 1
    structure = _structure(recipe, p.kinds.count("continuous"))
    rows = rows_of(p, common_scale=structure.name == "spherical")
    if k != "auto" and k > rows.n:
        raise InputError(f"Mixture(k={k}) has more components than there are samples, n={rows.n}")
    d = structure.d
    if structure.name in ("full", "tied") and rows.n <= d:
        raise InputError(
            f"{rows.n} sample(s) of {d} columns: a covariance needs more rows than columns; choose a "
            'mixture with covariance="diagonal" or "spherical", or MeanField()'
        )
    sample = distinct(rows.sample(SAMPLE, run.generator("rows for starts")))
    rows = (
        sample
        if rows.n <= SAMPLE
        else replace(rows, memo=_memo(rows, recipe, starts, run, checkpoint))
    )
    first = 1 if k == "auto" else k
    heavy = isinstance(recipe, Mixture) and recipe.tails == "student_t"
    if heavy or p.missing or structure.d < len(p.columns):
        family = table_family(structure, sample, first, heavy=heavy)
    else:
        family = family_of(structure, sample, first)
    return _Job(recipe, rows, sample, family, starts, run)


def _memo(rows: Rows, recipe: Recipe, starts: int, run: Run, checkpoint: str | Path | None) -> Memo:
    mark = {
        "columns": rows.source.columns,
        "family": str(recipe),
        "starts": starts,
        "key": str(run.key),
        "rows": (rows.n, rows.total, *map(float, rows.center), *map(float, rows.scale)),
    }
    return Memo(resumed(checkpoint, mark))


def _structure(recipe: Recipe, d: int) -> Structure:
    covariance = recipe.covariance if isinstance(recipe, Mixture) else recipe
    if isinstance(covariance, LowRank):
        return (
            Structure("low_rank", d, min(covariance.r, d))
            if d > covariance.r
            else Structure("full", d)
        )
    if isinstance(covariance, MeanField):
        return Structure("diagonal", d)
    return Structure("full" if isinstance(covariance, (FullRank, Mixture)) else covariance, d)


def _fitted(job: _Job) -> tuple[Mixed, Selection | None]:
    if isinstance(job.recipe, Mixture) and job.recipe.k == "auto":
        return choose(
            job.family, job.rows, job.sample, starts=job.starts, run=job.run, words=job.words
        )
    k = job.recipe.k if isinstance(job.recipe, Mixture) else 1
    assert k != "auto"
    made = fit_mixture(
        job.family,
        job.rows,
        job.sample,
        k,
        starts=job.starts,
        rng=job.run.generator("starts"),
        watch=job.run.watch,
    )
    return made, None


def _member(job: _Job, q: Components) -> Distribution:
    return job.family.distribution(q, job.rows)


def _optima(job: _Job, mixed: Mixed) -> tuple[Optimum, ...]:
    """The fit, then other optima that climbs ended in, as they were on the rows searched."""
    best = Optimum(_member(job, mixed.end.at), _loss(job, mixed.end, job.rows), mixed.share)
    ends = mixed.found.ends
    others = [
        Optimum(
            _member(job, end.at),
            _loss(job, end, job.sample),
            sum(abs(e.value - end.value) < 1e-9 for e in ends) / len(ends),
        )
        for end in distinct_ends(ends)[1:]
    ]
    return (best, *others)


def _loss(job: _Job, end: Climb, rows: Rows) -> Estimate:
    found = score(job.family.final, end.at, rows)
    return Estimate.sampled(
        -found.mean,
        found.standard_error,
        quantity="cross_entropy",
        direction="H(p,q)",
        method="mean over the rows fitted to",
        n=rows.n,
    )


def _likelihood(job: _Job, mixed: Mixed, loss: Estimate, *, most: int) -> Likelihood:
    rows = job.rows
    at = mixed.end.at
    return Likelihood(
        rows=rows.n,
        weight=rows.total,
        log_likelihood=-rows.total * loss.value,
        parameters=job.family.parameters(len(at.weights)),
        remaining=mixed.end.remaining,
        floor_cost=mixed.floor_cost,
        reached=mixed.share,
        starts=mixed.found.starts,
        passes=mixed.passes,
        sample_rows=job.sample.n,
        sample_passes=mixed.found.passes,
        errors=_errors(job, mixed, most),
    )


def _errors(job: _Job, mixed: Mixed, most: int) -> tuple[ParameterError, ...]:
    q, rows = mixed.end.at, job.rows
    if not isinstance(q, Components):
        return ()
    found = _information.errors(job.family.final, q, rows, job.sample, most=most)
    if found is None:
        return ()
    means = rows.center + rows.scale * q.means
    sds = rows.scale * np.sqrt(np.sum(q.roots**2, axis=2))
    made = []
    for at, i in enumerate(order_of(means, rows.scale[:, None] * q.roots)):
        weight = (float(q.weights[i]), float(found.weights[i]))
        made.append(ParameterError(at + 1, "weight", "", *weight))
        for j, name in enumerate(rows.source.columns):
            unit = rows.scale[j]
            made.append(
                ParameterError(
                    at + 1, "mean", name, float(means[i, j]), float(found.means[i, j] * unit)
                )
            )
            made.append(
                ParameterError(at + 1, "sd", name, float(sds[i, j]), float(found.sds[i, j] * unit))
            )
    return tuple(made)


def _notes(job: _Job, mixed: Mixed) -> tuple[str, ...]:
    notes = [_UP_TO]
    if mixed.interrupted:
        notes.insert(0, f"interrupted after {mixed.found.starts} of {job.starts} starts")
    if mixed.kept_prior:
        notes.append(
            f"{len(mixed.kept_prior)} component(s) hold too few rows for a covariance of their own: a weak "
            f"prior was kept, which costs about {mixed.floor_cost:.2g} nats over all rows; ask for fewer components"
        )
    elif mixed.floor_cost > 0.01:
        notes.append(
            "some component is almost a point or a line (values that repeat exactly?): the floor under its "
            f"spread bounds the density there, and took {mixed.floor_cost:.2g} nats"
        )
    if mixed.end.remaining > 0.01:
        notes.append(
            f"not converged: about {mixed.end.remaining:.2g} nats over all rows are left to gain"
        )
    return tuple(notes)
