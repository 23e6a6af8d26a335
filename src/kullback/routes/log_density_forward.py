"""Forward fits to log densities: maximum likelihood on weighted draws that cover p, then everything measured again."""

import math
from dataclasses import replace
from typing import Any

import numpy as np

from kullback.core.errors import UnsupportedError
from kullback.diagnostics.adaptive import Cover, cover
from kullback.diagnostics.covering import Covering
from kullback.diagnostics.integrability import look_out
from kullback.diagnostics.moments import enough, samples
from kullback.diagnostics.posterior import diagnose
from kullback.diagnostics.tempered import overall_root
from kullback.distributions.flow import CouplingFlow
from kullback.families import Auto, Flow, FullRank, Mixture
from kullback.fitting.components import Components
from kullback.fitting.reverse import MOST_COMPONENTS, WORTH, ReverseFit, reverse_fit
from kullback.results.estimate import Estimate
from kullback.results.fit import Fit, Optimum
from kullback.results.posterior import Report
from kullback.results.quantity import FORWARD_KL
from kullback.routes.job import Job, fit_of, job_of
from kullback.routes.log_density_reverse import elbo_of, named, remedies
from kullback.routes.samples_forward import MixtureRecipe, likeliest, structure_of
from kullback.routes.table import Problem
from kullback.targets import Samples

#: Other optima that are reported.
_OTHERS = 4


def fit(problem: Problem) -> Fit:
    """Returns the closest member of a family in KL(p||q), with its trust report.

    Raises:
        UnsupportedError: KL(p||q) is infinite for every Gaussian q, or the family is none of Gaussians.
    """
    recipe = Mixture("auto") if isinstance(problem.family, Auto) else problem.family
    assert isinstance(recipe, MixtureRecipe)
    if isinstance(recipe, Mixture) and recipe.tails != "gaussian":
        raise UnsupportedError(
            f"{recipe} is for samples: to a log density fit Gaussians, Mixture({recipe.k!r}), or draw from p "
            "and fit Samples(draws)"
        )
    job = job_of(problem, "natural_gradient")
    with np.errstate(all="ignore"):
        return _fitted(job, recipe, problem)


def _fitted(job: Job, recipe: MixtureRecipe, problem: Problem) -> Fit:
    asked, drawn = problem.starts, drawn_for(job, recipe)
    rows, found = samples(drawn, job.target.coordinates)
    ends, starts = likeliest_of(rows, recipe, asked, job)
    q = ends[0]
    error, k = found.error, len(q.weights)
    if k > 1:
        error = structure_of(recipe, job.target.dimension).parameters(k) / (2.0 * drawn.effective)
    spent = job.density.count
    if not problem.report:
        return result_of(job, recipe, ends, drawn, elbo_of(job, q), (starts, spent))
    own = Covering(job.density, drawn, job.run)
    made = ReverseFit(q, (), (), (error, found.sds), len(drawn.x), grown=False)

    def report() -> Report:
        log_q = q.distribution().log_prob
        return diagnose(
            job.target, job.density, job.everywhere, lambda: job.reached, made, log_q, job.run,
            remedies(recipe), lambda: own if job.reached.shear is None else job.covering,
        )  # fmt: skip

    try:
        measured = report()
    except KeyboardInterrupt:
        job.stopped = True
        measured = report()
    return result_of(job, recipe, ends, drawn, measured, (starts, spent))


def drawn_for(job: Job, recipe: MixtureRecipe, numbers: int = 0) -> Cover:
    """Returns weighted draws of p, as many as the family has numbers to be learnt from, or as are said."""
    density, run = job.density, job.run
    anchor = reverse_fit(density, job.search, FullRank(), run).q
    _refuse_heavy(job, anchor)
    k = recipe.k if isinstance(recipe, Mixture) else 1
    wanted = MOST_COMPONENTS // 2 if k == "auto" else k
    size = structure_of(recipe, density.dimension).parameters(wanted)

    def compute() -> dict[str, Any]:
        found = cover(density, anchor, job.everywhere, job.tempered, run)
        found = enough(density, found, numbers or (size if wanted > 1 else 0), run)
        return {"x": found.x, "log_p": found.log_p, "rounds": found.rounds}

    kept = run.once("draws that cover p", density, compute)
    return Cover(kept["x"], kept["log_p"], kept["rounds"], anchor)


def _refuse_heavy(job: Job, q: Components) -> None:
    """Raises UnsupportedError where p has no variance, so that no Gaussian is close to it."""
    rays = look_out(job.density, q.means[0], overall_root(q), job.run.generator("rays"))
    if rays.without_variance is not None:
        raise UnsupportedError(
            f"KL(p||q) is infinite for every Gaussian q: p falls as distance^-{rays.heavy:.1f}, so it has no "
            'variance; choose direction="reverse", or draw from p and fit Mixture(k, tails="student_t") to '
            "Samples(draws)"
        )


def likeliest_of(
    rows: Samples, recipe: MixtureRecipe, asked: int | None, job: Job
) -> tuple[list[Components], int]:
    """Returns the fit and other optima, and how many starts were made: of climbs to the modes for a single Gaussian."""
    run = replace(job.run, place=None)
    if not isinstance(recipe, Mixture):
        return likeliest(rows, recipe, starts=1, run=run)[0], job.search.climbs
    if recipe.k != "auto":
        ends, mixed = likeliest(rows, recipe, starts=asked, run=run)
        return ends, mixed.found.starts if recipe.k > 1 else job.search.climbs
    assert rows.weights is not None
    best, k, total = -math.inf, 0, float(rows.weights.sum())
    while k < MOST_COMPONENTS:
        # What an optimum of k + 1 may still gain is far below what it is asked to.
        _, mixed = likeliest(
            rows, replace(recipe, k=k + 1), starts=asked, run=run, offspring="some"
        )
        value = mixed.end.sums.log_likelihood / total
        if value - best < WORTH:
            break
        best, k = value, k + 1
    ends, mixed = likeliest(rows, replace(recipe, k=k), starts=asked, run=run)
    return ends, mixed.found.starts


def result_of(
    job: Job, recipe: MixtureRecipe | Flow, ends: list[Components], drawn: Cover, found: Report | Estimate,
    counts: tuple[int, int], flow: CouplingFlow | None = None, *, stopped: bool = False,
) -> Fit:  # fmt: skip
    """Returns the fit with its report, or with its ELBO alone; of a flow, the end is a mixture close to it.

    Args:
        stopped: whether the fit itself was interrupted.
    """
    q = ends[0]
    report = found if isinstance(found, Report) else None
    measured = found.forward_kl if isinstance(found, Report) else found
    counted = replace(recipe, k=len(q.weights)) if isinstance(recipe, Mixture) else recipe
    during = None
    if stopped or job.stopped or job.reached.interrupted:
        during = (
            "fit: this is the best there was" if stopped else "report: what was measured until then"
        )
    k = "" if drawn.pareto_k == -math.inf else f", Pareto k {drawn.pareto_k:.2f}"
    notes = [
        f"maximum likelihood on {len(drawn.x):,} weighted draws of p, worth {drawn.effective:,.0f}{k}"
    ]
    if isinstance(recipe, Mixture) and recipe.k == "auto":
        notes.append(
            f"{len(q.weights)} component(s), added while one gained more than {WORTH} nats"
        )
    best = Optimum(named(job.target, q if flow is None else flow), measured, math.nan)
    rest = [] if report is None else ends[1 : _OTHERS + 1]
    others = tuple(_other(job, q, o, drawn, measured) for o in rest)
    return fit_of(job, "forward", counted, (best, *others), report, counts, tuple(notes), during)


def _other(job: Job, best: Components, q: Components, drawn: Cover, kl: Estimate) -> Optimum:
    """Another optimum: what it loses on the draws comes on top of the KL of the best."""
    lost = best.log_prob(drawn.x) - q.log_prob(drawn.x)
    weights = drawn.weights / len(drawn.x)
    mean = float(weights @ lost)
    error = math.sqrt(float(np.sum((weights * (lost - mean)) ** 2)))
    value = kl.value + mean
    measured = Estimate.sampled(
        value, math.hypot(kl.standard_error, error), FORWARD_KL, method=kl.method, n=len(drawn.x)
    )
    return Optimum(named(job.target, q), measured, math.nan)
