"""Forward fits of mixtures to samples: maximum likelihood, the score on rows left out, and its error."""

import math
from dataclasses import dataclass, replace
from typing import Any, final

import numpy as np

from kullback.core.errors import InputError
from kullback.core.numerics import one_thread
from kullback.core.run import Memo, Run
from kullback.diagnostics.goodness import Checked, check
from kullback.distributions.base import Distribution
from kullback.families import (
    Auto,
    FullRank,
    LowRank,
    MeanField,
    Mixture,
)
from kullback.files.archive import resumed
from kullback.fitting.components import Components, order_of
from kullback.fitting.covariances import Structure
from kullback.fitting.em_climb import Climb
from kullback.fitting.em_search import Offspring, distinct_ends, quick_search
from kullback.fitting.information import errors
from kullback.fitting.mixture_family import MixtureFamily, family_of
from kullback.fitting.mixtures import (
    SAMPLE,
    Mixed,
    choose,
    fit_mixture,
)
from kullback.fitting.rows import ScaledRows, distinct, rows_of
from kullback.fitting.scores import estimate, held_out, score
from kullback.measure.question import CROSS_ENTROPY
from kullback.results.estimate import Estimate
from kullback.results.fit import Fit, Optimum
from kullback.results.likelihood import Likelihood, ParameterError, Selection
from kullback.results.quantity import Sentence
from kullback.routes.families import as_rows, check_numbers, fit_family, in_memory
from kullback.routes.lattice import SPIKE, narrow, ratings_as_categories
from kullback.routes.table import Problem
from kullback.tables.kinds import likelihoods
from kullback.targets import Counts, Samples, Stream

MixtureRecipe = MeanField | FullRank | LowRank | Mixture
#: Starts unless said, and so many more for each component: optima are more, too.
_STARTS, _STARTS_EACH = 10, 5
#: Parameters whose standard errors are given: where the score of rows left out is had, and where it is not.
_MANY, _FEW = 600, 100
UP_TO = "maximum likelihood: KL(p||q) up to H(p), which samples alone do not give"


@final
@dataclass(frozen=True, eq=False)
class _Job:
    """What is fitted, to what."""

    recipe: MixtureRecipe
    rows: ScaledRows
    sample: ScaledRows
    family: MixtureFamily
    starts: int
    run: Run

    def of(self, k: int) -> MixtureRecipe:
        """The family with k components."""
        return replace(self.recipe, k=k) if isinstance(self.recipe, Mixture) else self.recipe


def fit(problem: Problem) -> Fit:
    """Returns the member of a family with the greatest likelihood of rows, or of counts."""
    p, recipe = problem.target.given, problem.family
    if isinstance(p, Counts):
        return fit_family(as_rows(p, recipe), recipe, problem.run)
    assert isinstance(p, (Samples, Stream))
    if isinstance(recipe, (MeanField, FullRank, LowRank)):
        check_numbers(p, f"{recipe} is for", remedy="choose Mixture(1), which treats them")
    mixture = Mixture("auto") if isinstance(recipe, Auto) else recipe
    if isinstance(mixture, Mixture):
        p, notes = ratings_as_categories(p)
        fit = fit_samples(p, mixture, starts=problem.starts, run=problem.run)
        return replace(fit, notes=(*notes, *fit.notes))
    if isinstance(mixture, (MeanField, FullRank, LowRank)):
        return fit_samples(p, mixture, starts=problem.starts, run=problem.run)
    return fit_family(in_memory(p), recipe, problem.run)


def fit_samples(
    p: Samples | Stream,
    recipe: MixtureRecipe,
    *,
    starts: int | None,
    run: Run,
    hold_out: bool = True,
) -> Fit:
    """Returns the Gaussians that maximise the likelihood of rows.

    Args:
        p: the rows.
        recipe: the family.
        starts: how many; 10 and 5 more for each component unless said.
        run: randomness, someone to tell, and where what passes over many rows returned is kept.
        hold_out: whether the score of rows left out is had, by refits, with tests and the path of the fit.

    Raises:
        InputError: the rows do not admit such a density: too few, a constant column, columns that
            determine each other.
    """
    k = recipe.k if isinstance(recipe, Mixture) and recipe.k != "auto" else 1
    with one_thread():
        # Several would wait for each other, and the last digits of a sum would be of their number.
        job = _job(p, recipe, starts or _STARTS + _STARTS_EACH * k, run)
        return _answer(job, p, hold_out=hold_out)


def likeliest(
    p: Samples,
    recipe: MixtureRecipe,
    *,
    starts: int | None,
    run: Run,
    offspring: Offspring = "much",
) -> tuple[list[Components], Mixed]:
    """Returns the Gaussians that maximise the likelihood of rows, and other optima, best first, with the search.

    Args:
        p, recipe, starts, run: as of `fit_samples`.
        offspring: how much the search makes of its best ends.
    """
    k = recipe.k if isinstance(recipe, Mixture) and recipe.k != "auto" else 1
    with one_thread():
        job = _job(p, recipe, starts or _STARTS + _STARTS_EACH * k, run)
        mixed, _ = _fitted(job, offspring)
    ends = [mixed.end, *distinct_ends(mixed.found.ends)[1:]]
    rows = job.rows
    return [end.at.moved(rows.center, np.diag(rows.scale)) for end in ends], mixed


def raced(p: Samples, recipe: Mixture, run: Run, index: int) -> Distribution:
    """Returns a mixture of great likelihood, by a short race that knows nothing but these rows.

    Args:
        p, recipe: as of `fit_samples`; of a known number of components.
        run: randomness, of which there is some for each index.
        index: which rows these are.

    Raises:
        InputError: as of `fit_samples`; there are fewer distinct rows than components.
    """
    assert recipe.k != "auto"
    job = _job(p, recipe, 1, replace(run, place=None))
    rng = run.generator("refits without rows", index)
    return _member(job, quick_search(job.family, job.sample, recipe.k, rng)[0].at)


def _answer(job: _Job, p: Samples | Stream, *, hold_out: bool) -> Fit:
    run = job.run
    mixed, selection = _fitted(job)
    left_out, checked = None, Checked()
    if hold_out and not mixed.interrupted:
        try:
            kept = mixed.kept_prior
            left_out = held_out(job.family, mixed.end.at, job.rows, run, kept_prior=kept)
            given = (job.family, mixed.end.at, job.rows, job.sample, left_out, run)
            checked = check(*given, kept_prior=kept)
        except KeyboardInterrupt:
            mixed = replace(mixed, interrupted=True)
    optima = _optima(job, mixed)
    spikes = narrow(p, optima[0].q)
    return Fit(
        q=optima[0].q,
        direction="forward",
        family=job.of(len(mixed.end.at.weights)),
        divergence=optima[0].divergence,
        forward_kl=checked.forward_kl,
        reverse_kl=None,
        held_out=None if left_out is None else estimate(left_out),
        optima=optima,
        path=tuple(_member(job, q) for q in mixed.end.path) if hold_out else (),
        starts=mixed.found.starts,
        evaluations=mixed.passes + mixed.found.passes,
        seconds=run.seconds,
        notes=(*(SPIKE.format(name) for name in spikes), *_notes(job, mixed), *checked.notes),
        columns=p.columns,
        labels=p.labels,
        selection=selection,
        likelihood=checked.added_to(
            replace(
                _likelihood(job, mixed, optima[0].divergence, most=_MANY if hold_out else _FEW),
                spikes=spikes,
            )
        ),
        interrupted=mixed.interrupted,
    )


def _job(p: Samples | Stream, recipe: MixtureRecipe, starts: int, run: Run) -> _Job:
    k = recipe.k if isinstance(recipe, Mixture) else 1
    structure = structure_of(recipe, likelihoods(p.kinds).count("continuous"))
    rows = rows_of(p, common_scale=structure.name == "spherical", workers=run.workers)
    if k != "auto" and k > rows.n:
        raise InputError(f"Mixture(k={k}) has more components than there are samples, n={rows.n}")
    d = structure.d
    if structure.name in ("full", "tied") and rows.n <= d:
        raise InputError(
            f"{rows.n} sample(s) of {d} columns: a covariance needs more rows than columns; choose a "
            'mixture with covariance="diagonal" or "spherical", or MeanField()'
        )
    sample = distinct(rows.sample(SAMPLE, run.generator("rows for starts")))
    memo = _memo(rows, recipe, starts, run)
    rows = sample if rows.n <= SAMPLE else replace(rows, memo=memo)
    first = 1 if k == "auto" else k
    heavy = isinstance(recipe, Mixture) and recipe.tails == "student_t"
    family = family_of(structure, sample, first, heavy=heavy)
    return _Job(recipe, rows, sample, family, starts, run)


def _memo(rows: ScaledRows, recipe: MixtureRecipe, starts: int, run: Run) -> Memo:
    """What passes returned to an earlier run of this fit; passes over few rows are not kept, but the fit is known."""
    mark = {
        "columns": rows.source.columns,
        "family": str(recipe),
        "starts": starts,
        "key": str(run.key),
        "rows": (rows.n, rows.total, *map(float, rows.center), *map(float, rows.scale)),
    }
    kept = resumed(run.place, mark)
    if rows.n <= SAMPLE:
        kept.on_the_way("passes", ())
    return Memo(kept)


def structure_of(recipe: MixtureRecipe, d: int) -> Structure:
    """Returns how a family restricts covariances of d columns."""
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


def _fitted(job: _Job, offspring: Offspring = "much") -> tuple[Mixed, Selection | None]:
    if isinstance(job.recipe, Mixture) and job.recipe.k == "auto":
        return choose(job.family, job.rows, job.sample, starts=job.starts, run=job.run, of=job.of)
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
        offspring=offspring,
    )
    return made, None


def _member(job: _Job, q: Components) -> Distribution:
    return job.family.distribution(q, job.rows)


def _optima(job: _Job, mixed: Mixed) -> tuple[Optimum, ...]:
    """The fit, then other optima that climbs ended in, as they were on the rows searched."""
    best = Optimum(_member(job, mixed.end.at), _loss(job, mixed.end, job.rows), mixed.share)
    found = mixed.found
    shares = dict(zip(found.ends, found.reached, strict=True))
    return (
        best,
        *(
            Optimum(
                _member(job, end.at),
                _loss(job, end, job.rows) if job.sample.n == job.rows.n
                else _worse(job, best.divergence, mixed.end.at, end),
                shares[end],
            )
            for end in distinct_ends(found.ends)[1:]
        ),
    )  # fmt: skip


def _worse(job: _Job, best: Estimate, at: Any, end: Climb) -> Estimate:
    """The loss of an optimum of the rows searched: that of the best, and the difference on these rows, one by one."""
    kept, other = (score(job.family.final, q, job.sample) for q in (at, end.at))
    assert kept.values is not None
    assert other.values is not None
    apart = kept.values - other.values
    # It was fitted to these rows, and scores them too well by up to two of these: fewer where components overlap.
    optimism = 0.5 * job.family.parameters(len(end.at.weights)) / job.sample.n
    error = math.hypot(float(np.std(apart, ddof=1)) / math.sqrt(job.sample.effective), optimism)
    return Estimate.sampled(
        best.value + float(np.mean(apart)) + optimism,
        math.hypot(best.standard_error, error),
        CROSS_ENTROPY.quantity,
        method="that of the best, and the difference on rows searched",
        n=job.sample.n,
    )


def _loss(job: _Job, end: Climb, rows: ScaledRows) -> Estimate:
    found = score(job.family.final, end.at, rows)
    # Rows fitted to are too near q by half of this, and those to come too far by the other half (Akaike 1974).
    optimism = job.family.parameters(len(end.at.weights)) / rows.total
    return Estimate.sampled(
        0.0 - found.mean,
        math.hypot(found.standard_error, optimism),
        CROSS_ENTROPY.quantity,
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
    found = errors(job.family.final, q, rows, job.sample, most=most)
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


_POINT = (
    "{} component(s) are a point, a row that repeats exactly, where p has no density: a weak prior gives them a "
    "spread, and costs about {:.2g} {unit} over all rows; model such rows apart"
)
_FEW_ROWS = (
    "{} component(s) hold too few rows for a covariance of their own: a weak prior was kept, which costs about "
    "{:.2g} {unit} over all rows; ask for fewer components"
)
_ROUNDED = (
    "{} component(s) would be narrower in some direction than the rounding of the values, and are held at its "
    "variance, step^2/12; ask for fewer components"
)


def _notes(job: _Job, mixed: Mixed) -> tuple[str, ...]:
    notes: list[str] = [UP_TO]
    if mixed.interrupted:
        notes.insert(0, f"interrupted after {mixed.found.starts} of {job.starts} starts")
    points = set(job.family.atoms(mixed.end.sums)) & set(mixed.kept_prior)
    for count, what in ((len(points), _POINT), (len(mixed.kept_prior) - len(points), _FEW_ROWS)):
        if count:
            notes.append(Sentence(what, count, mixed.floor_cost))
    if not mixed.kept_prior and mixed.floor_cost > 0.01:
        notes.append(
            Sentence(
                "some component is almost a point or a line (values that repeat exactly?): the floor under its "
                "spread bounds the density there, and took {:.2g} {unit}",
                mixed.floor_cost,
            )
        )
    rounded = job.family.rounded(mixed.end.sums)
    if rounded:
        notes.append(_ROUNDED.format(len(rounded)))
    if mixed.end.remaining > 0.01:
        notes.append(
            Sentence(
                "not converged: about {:.2g} {unit} over all rows are left to gain",
                mixed.end.remaining,
            )
        )
    return tuple(notes)
