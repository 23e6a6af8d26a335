"""Reverse fits to log densities: the ELBO climbed, then everything measured again on fresh draws."""

import math
from dataclasses import replace
from importlib import import_module
from typing import Any

import numpy as np

from kullback.diagnostics.importance import own_draws
from kullback.diagnostics.integrability import check_faults
from kullback.diagnostics.posterior import ON_FRESH_DRAWS, diagnose, elbo_estimate
from kullback.diagnostics.verdict import Remedies
from kullback.distributions.base import Distribution
from kullback.distributions.flow import CouplingFlow
from kullback.distributions.transported import Approximation
from kullback.families import Auto, Flow, FullRank, LowRank, MeanField, Mixture, is_diagonal
from kullback.fitting.components import Components
from kullback.fitting.elbo_gradients import Estimator
from kullback.fitting.low_rank import low_rank_fit
from kullback.fitting.reverse import (
    MOST_COMPONENTS,
    WORTH,
    ReverseFit,
    from_elsewhere,
    reverse_fit,
    reverse_mixture,
    with_another,
)
from kullback.fitting.stochastic import stochastic_fit
from kullback.results.estimate import Estimate
from kullback.results.fit import Fit, Optimum
from kullback.results.posterior import Report, Rung
from kullback.results.quantity import ELBO, REVERSE_KL
from kullback.routes.job import Job, fit_of, job_of
from kullback.routes.table import Problem
from kullback.targets import Unconstrained

# The reverse fit of one family, and the report on it.

Recipe = MeanField | FullRank | LowRank | Mixture | Auto | Flow
Best = tuple[Recipe, ReverseFit, Report]


def fit(problem: Problem) -> Fit:
    """Returns the closest member of a family in KL(q||p), with its trust report."""
    recipe = problem.family
    assert isinstance(recipe, Recipe)
    solver: Any = problem.solver
    job = job_of(problem, solver)
    with np.errstate(all="ignore"):
        if problem.report:
            return _fitted(job, recipe)
        return result_of(job, recipe, fit_one(job, recipe), None)


def _fitted(job: Job, recipe: Recipe) -> Fit:
    if isinstance(recipe, Auto):
        return _ladder(job)
    made, report = reported(job, recipe, fit_one(job, recipe))
    return result_of(job, recipe, made, report)


def _stopped(job: Job, made: ReverseFit) -> bool:
    """Whether someone pressed Ctrl-C."""
    return made.interrupted or job.stopped or job.reached.interrupted


def _ladder(job: Job) -> Fit:
    """Climbs from mean field to full rank to mixtures to a flow until a fit may be trusted."""
    rungs: list[Rung] = []
    tried: list[Best] = []
    best: Best | None = None
    recipes: list[Recipe] = [MeanField(), FullRank(), Mixture("auto")]
    if job.target.dimension == 1:
        recipes = recipes[1:]
    for recipe in recipes:
        before = job.density.count
        try:
            made, report = reported(job, recipe, fit_one(job, recipe, best))
        except KeyboardInterrupt:
            if best is None:
                raise
            job.stopped = True
            break
        rungs.append(rung_of(recipe, made, report, job.density.count - before))
        tried.append((recipe, made, report))
        if best is None or report.posterior.elbo.value > best[2].posterior.elbo.value:
            best = tried[-1]
        if report.posterior.diagnosis.verdict == "trust" or _stopped(job, made):
            break
    else:
        flow = import_module("kullback.routes.flow")
        if best is not None and flow.reaches(job):
            return flow.above_all(job, tried, best, rungs)
    assert best is not None
    return laddered(job, best, rungs)


def rung_of(recipe: Recipe, made: ReverseFit, report: Report, evaluations: int) -> Rung:
    """Returns what is told of a family that was tried."""
    found = report.posterior
    family, verdict = _counted(recipe, made.q), found.diagnosis.verdict
    return Rung(family, found.elbo, report.reverse_kl, verdict, evaluations)


def laddered(job: Job, best: Best, rungs: list[Rung]) -> Fit:
    """Returns the best fit, with the families that were tried."""
    recipe, made, report = best
    report = replace(report, posterior=replace(report.posterior, ladder=tuple(rungs)))
    return result_of(job, recipe, made, report)


def elbo_of(job: Job, q: Components, flow: CouplingFlow | None = None) -> Estimate:
    """Returns the ELBO on fresh draws of q, or of a flow, where no report is asked for.

    Raises:
        DensityError: the log density is none where q is.
    """
    job.density.forget()
    member = q.distribution() if flow is None else flow
    sample = None if flow is None else flow.sample
    weighed = own_draws(job.density, q, member.log_prob, job.run.generator("weights"), sample)
    check_faults(job.density, job.target, weighed)
    return elbo_estimate(weighed)


def result_of(
    job: Job,
    recipe: Recipe,
    made: ReverseFit,
    report: Report | None,
    flow: CouplingFlow | None = None,
) -> Fit:
    """Returns the fit; of a flow, `made` holds a mixture close to it."""
    spent = made.trace[-1][0] if made.trace else job.density.count
    measured = elbo_of(job, made.q, flow) if report is None else report.reverse_kl
    log_evidence = None if report is None else report.posterior.log_evidence
    q = named(job.target, made.q if flow is None else flow)
    others = tuple(_other(job, o, log_evidence) for o in made.others)
    notes = ()
    if isinstance(recipe, Mixture) and recipe.k == "auto":
        notes = (f"{len(made.q.weights)} component(s), found by adding them one by one",)
    during = None
    if made.interrupted if report is None else _stopped(job, made):
        what = "fit" if made.interrupted else "report on it"
        during = f"{what}: this is the best there was"
    optima = (Optimum(q, measured, math.nan), *others)
    counts = job.search.climbs, spent
    return fit_of(job, "reverse", _counted(recipe, made.q), optima, report, counts, notes, during)


def _other(job: Job, q: Components, log_evidence: Estimate | None) -> Optimum:
    """Another optimum, with its KL, or its ELBO where no evidence is known, measured on draws of its own."""
    base = q.distribution()
    x = base.sample(job.run.generator("other", int(1e6 * abs(float(q.means[0, 0]))) % 10**6), 1024)
    ratio = job.density(x)[0] - base.log_prob(x)
    elbo, error = float(ratio.mean()), float(ratio.std()) / 32.0
    if log_evidence is None:
        measured = Estimate.sampled(elbo, error, ELBO, method=ON_FRESH_DRAWS, n=len(x))
        return Optimum(named(job.target, q), measured, math.nan)
    kl = Estimate.sampled(
        log_evidence.value - elbo,
        math.hypot(error, log_evidence.standard_error),
        REVERSE_KL,
        method="log evidence - ELBO",
        n=len(x),
    )
    return Optimum(named(job.target, q), kl, math.nan)


def _counted(recipe: Recipe, q: Components) -> Recipe:
    """The recipe with as many components as were found."""
    if isinstance(recipe, Mixture) and recipe.k == "auto":
        return replace(recipe, k=len(q.weights))
    return recipe


#: Times that a fit is made again from where tempering found mass that it misses.
_LOOKS = 3
#: A mode whose mass is below the evidence by more than this, in nats, is no better place for q.
_LIGHT = 1.5
#: The share of tempered draws outside q from which it is worth starting there.
_SEEN = 0.01


def fit_one(job: Job, recipe: Recipe, before: Best | None = None) -> ReverseFit:
    """Returns the fit of one family, begun at the best one so far where that helps."""
    found = job.search
    match recipe:
        case MeanField() | FullRank() if job.solver == "natural_gradient":
            return reverse_fit(job.density, found, recipe, job.run)
        case MeanField() | FullRank():
            assert job.solver != "natural_gradient"
            return _by_steps(job, recipe, job.solver)
        case Mixture(k="auto"):
            return _grown(job, recipe, before)
        case Mixture():
            assert isinstance(recipe.k, int)
            draws = job.tempered.x
            return reverse_mixture(
                job.density,
                found,
                draws,
                recipe.k,
                job.run,
                diagonal=is_diagonal(recipe),
            )
        case LowRank():
            return low_rank_fit(job.density, found, recipe.r, job.run)
        case Auto() | Flow():
            raise AssertionError("the ladder takes its rungs one by one, and a flow begins at one")


def _by_steps(job: Job, recipe: MeanField | FullRank, estimator: Estimator) -> ReverseFit:
    """Climbs the ELBO by stochastic gradients."""
    return job.run.once(
        f"{recipe} by {estimator}",
        job.density,
        lambda: stochastic_fit(
            job.density,
            job.search,
            recipe,
            job.run,
            estimator=estimator,
            minibatch=job.minibatch,
        ),
    )


def _grown(job: Job, recipe: Mixture, before: Best | None) -> ReverseFit:
    """Adds components to the best Gaussian as long as each gains."""
    single: MeanField | FullRank = MeanField() if is_diagonal(recipe) else FullRank()
    if before is not None and isinstance(before[0], type(single)):
        made = before[1]
    else:
        made = reverse_fit(job.density, job.search, single, job.run)
    draws = job.tempered
    while len(made.q.weights) < MOST_COMPONENTS and not made.interrupted:
        ratio = draws.log_p - made.q.distribution().log_prob(draws.x)
        richer = with_another(job.density, made.q, draws.x, ratio, job.run)
        gained = richer.trace[-1][1] - made.trace[-1][1]
        if gained <= WORTH:
            break
        made = replace(richer, trace=(*made.trace, *richer.trace))
    return made


def reported(job: Job, recipe: Recipe, made: ReverseFit) -> tuple[ReverseFit, Report]:
    """Returns the fit, better where tempering shows how, and its report; after Ctrl-C a short one."""
    try:
        return _looked_again(job, recipe, made, _report(job, recipe, made))
    except KeyboardInterrupt:
        job.stopped = True
        return made, _report(job, recipe, made)


def _looked_again(
    job: Job, recipe: Recipe, made: ReverseFit, report: Report
) -> tuple[ReverseFit, Report]:
    """Fits again where tempering has found mass outside q, as long as that is better."""
    if not isinstance(recipe, (MeanField, FullRank)) or job.solver != "natural_gradient":
        return made, report
    tried: list[np.ndarray] = []
    for _ in range(_LOOKS):
        origin = _missed(job, made, report, tried)
        if origin is None:
            break
        tried.append(origin)
        better = from_elsewhere(job.density, recipe, made, origin, job.run)
        if better is not None:
            made, report = better, _report(job, recipe, better)
    return made, report


def _missed(
    job: Job, made: ReverseFit, report: Report, tried: list[np.ndarray]
) -> np.ndarray | None:
    """A place where p has mass and q has none: a mode of much mass, or a tempered draw."""
    log_q = made.q.distribution().log_prob
    for mode in job.everywhere.modes:
        heavy = mode.proper and mode.log_mass > report.posterior.log_evidence.value - _LIGHT
        known = any(mode.distance(t) < 1.0 for t in tried)
        if heavy and not known and log_q(mode.at[None])[0] < report.threshold:
            return mode.at
    draws, outside = job.tempered, report.posterior.outside
    if not outside.value > _SEEN or tried:
        return None
    missed = np.flatnonzero(log_q(draws.x) < report.threshold)
    if not len(missed):  # only draws through a neck are
        return None
    return draws.x[missed[np.argmax(draws.log_p[missed])]]


def _report(job: Job, recipe: Recipe, made: ReverseFit) -> Report:
    return diagnose(
        job.target,
        job.density,
        job.everywhere,
        lambda: job.reached,
        made,
        made.q.distribution().log_prob,
        job.run,
        remedies(recipe),
        lambda: job.covering,
    )


def remedies(recipe: Recipe) -> Remedies:
    """Returns what to type where a fit of a family is not to be trusted."""
    match recipe:
        case MeanField() | LowRank():
            return Remedies('try family="full_rank", or family="auto"', 'try family="mixture:auto"')
        case FullRank():
            return Remedies('try family="mixture:auto"', 'try family="mixture:auto"')
        case _:
            more = "use fit.draws.tempered, or a sampler such as NUTS started at fit.starting_points(4)"
            return Remedies(more, more)


# A Gaussian or mixture of the unconstrained coordinates as a distribution of the user's parameters.


def named(target: Unconstrained, q: Components | CouplingFlow) -> Distribution:
    """Returns q in the user's parameters."""
    if target.plain is not None:
        return q if isinstance(q, CouplingFlow) else q.distribution(scalar=target.plain == "scalar")
    return Approximation(
        q if isinstance(q, CouplingFlow) else q.distribution(),
        target.constrain,
        target.log_jacobian,
        target.unconstrain,
        target.coordinates,
        target.bare,
        target.layout,
    )
