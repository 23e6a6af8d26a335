"""The reverse fit of one family, and the report on it."""

from dataclasses import replace

import numpy as np

from kullback.api._job import Job
from kullback.api._named import flat
from kullback.diagnostics._posterior import diagnose
from kullback.diagnostics._report import Report
from kullback.diagnostics._verdict import Remedies
from kullback.families import Auto, FullRank, LowRank, MeanField, Mixture, is_diagonal
from kullback.fitting._elbo_gradients import Estimator
from kullback.fitting._low_rank import low_rank_fit
from kullback.fitting._reverse import ReverseFit, from_elsewhere, reverse_fit
from kullback.fitting._reverse_mixture import MOST_COMPONENTS, WORTH, reverse_mixture, with_another
from kullback.fitting._stochastic import stochastic_fit

Recipe = MeanField | FullRank | LowRank | Mixture | Auto
Best = tuple[Recipe, ReverseFit, Report]
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
        case Auto():
            raise AssertionError("the ladder takes its rungs one by one")


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
        ratio = draws.log_p - flat(made.q).log_prob(draws.x)
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
    log_q = flat(made.q).log_prob
    for mode in job.everywhere.modes:
        heavy = mode.proper and mode.log_mass > report.posterior.log_evidence.value - _LIGHT
        known = any(mode.distance(t) < 1.0 for t in tried)
        if heavy and not known and log_q(mode.at[None])[0] < report.threshold:
            return mode.at
    draws, outside = job.tempered, report.posterior.outside
    if not outside.value > _SEEN or tried:
        return None
    missed = np.flatnonzero(log_q(draws.x) < report.threshold)
    return draws.x[missed[np.argmax(draws.log_p[missed])]]


def _report(job: Job, recipe: Recipe, made: ReverseFit) -> Report:
    return diagnose(
        job.target,
        job.density,
        job.everywhere,
        lambda: job.tempered,
        made,
        flat(made.q).log_prob,
        job.run,
        _remedies(recipe),
    )


def _remedies(recipe: Recipe) -> Remedies:
    match recipe:
        case MeanField() | LowRank():
            return Remedies('try family="full_rank", or family="auto"', 'try family="mixture:auto"')
        case FullRank():
            return Remedies('try family="mixture:auto"', 'try family="mixture:auto"')
        case _:
            more = "use fit.draws.tempered, or a sampler such as NUTS started at fit.starting_points(4)"
            return Remedies(more, more)
