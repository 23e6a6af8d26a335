"""Reverse fits to log densities: the ELBO climbed, then everything measured again on fresh draws."""

import math
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from kullback._core.checkpoint import Checkpoint
from kullback._core.errors import InputError
from kullback.api._job import Job, Solver
from kullback.api._named import flat, named
from kullback.api._one_family import Best, Recipe, fit_one, reported
from kullback.api._store import resumed
from kullback.diagnostics._report import Report
from kullback.families import Auto, FullRank, MeanField, Mixture
from kullback.fitting._elbo_gradients import check_estimator
from kullback.fitting._natural_gradient import Gaussians
from kullback.fitting._reverse import ReverseFit
from kullback.fitting._run import Run
from kullback.fitting._stochastic import Minibatch
from kullback.interop._jax_density import unconstrained
from kullback.interop._subsampled import subsampled
from kullback.interop.models import recognise
from kullback.results._diagnosis import Rung
from kullback.results._estimate import Estimate
from kullback.results._fit import Fit, Optimum
from kullback.targets import LogDensity, Unconstrained

Watch = Callable[[str], None]
#: Climbs to modes, unless said.
_CLIMBS = 8


def read(target: object) -> tuple[Unconstrained, Minibatch | None] | None:
    """Returns what is known by its log density only, with gradients; None for anything else."""
    if isinstance(target, Unconstrained):
        return target, None
    if isinstance(target, LogDensity) and target.subsample is not None:
        few = target.subsample
        return subsampled(target, few.log_likelihood, few.rows, few.size)
    if isinstance(target, LogDensity):
        return unconstrained(target), None
    known = recognise(target)
    return None if known is None else (known, None)


def log_density(target: object) -> Unconstrained | None:
    """Returns what `read` does, over all rows of data."""
    known = read(target)
    return None if known is None else known[0]


def fit_log_density(
    known: tuple[Unconstrained, Minibatch | None],
    recipe: Recipe,
    *,
    solver: Solver,
    starts: int | None,
    key: object,
    watch: Watch,
    checkpoint: str | Path | None = None,
) -> Fit:
    """Returns the closest member of a family in KL(q||p), with its trust report."""
    began = time.perf_counter()
    target, minibatch = known
    if minibatch is not None and solver == "natural_gradient":
        solver = "stick_the_landing"
    if solver != "natural_gradient":
        check_estimator(solver)
        if not isinstance(recipe, (MeanField, FullRank)):
            raise InputError(
                f'solver="{solver}" fits a single Gaussian: choose "mean_field" or "full_rank", or leave '
                f"out solver= for {recipe}"
            )
    kept = _checkpoint(target, recipe, solver, key, checkpoint)
    job = Job(target, Run(key, watch, kept), starts or _CLIMBS, solver, minibatch)
    with np.errstate(all="ignore"):
        return _fitted(job, recipe, began)


def _fitted(job: Job, recipe: Recipe, began: float) -> Fit:
    if isinstance(recipe, Auto):
        return _ladder(job, began)
    made, report = reported(job, recipe, fit_one(job, recipe))
    return _result(job, recipe, made, report, began)


def _stopped(job: Job, made: ReverseFit) -> bool:
    """Whether someone pressed Ctrl-C."""
    return made.interrupted or job.stopped or job.tempered.interrupted


def _checkpoint(
    target: Unconstrained, recipe: Recipe, solver: str, key: object, path: str | Path | None
) -> Checkpoint:
    """What an interrupted run left in a file. Raises InputError if that was another fit."""
    if path is None:
        return Checkpoint()
    value, gradient = target.evaluate(target.start[None])
    mark = {
        "coordinates": tuple(target.coordinates),
        "family": f"{recipe} by {solver}",
        "key": str(key),
        "at the start": (float(value[0]), *map(float, gradient[0])),
    }
    return resumed(path, mark)


def _ladder(job: Job, began: float) -> Fit:
    """Climbs from mean field to full rank to mixtures until a fit may be trusted."""
    rungs: list[Rung] = []
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
        rungs.append(
            Rung(
                _words(recipe, made.q),
                report.posterior.elbo,
                report.reverse_kl,
                report.posterior.diagnosis.verdict,
                job.density.count - before,
            )
        )
        if best is None or report.posterior.elbo.value > best[2].posterior.elbo.value:
            best = recipe, made, report
        if report.posterior.diagnosis.verdict == "trust" or _stopped(job, made):
            break
    assert best is not None
    recipe, made, report = best
    report = replace(report, posterior=replace(report.posterior, ladder=tuple(rungs)))
    return _result(job, recipe, made, report, began)


def _result(job: Job, recipe: Recipe, made: ReverseFit, report: Report, began: float) -> Fit:
    log_evidence = report.posterior.log_evidence
    q = named(job.target, made.q)
    others = tuple(_other(job, o, log_evidence) for o in made.others)
    spent = made.trace[-1][0] if made.trace else job.density.count
    more = job.density.count - spent
    notes = [f"{spent} gradients to the end of the fit, {more} more to report on it"]
    notes.append(f"{job.target.gradient} derivatives of a {job.target.origin}")
    if _stopped(job, made):
        where = "the fit" if made.interrupted else "the report on it"
        notes.insert(0, f"interrupted during {where}: this is the best there was")
    return Fit(
        q=q,
        direction="reverse",
        family=_words(recipe, made.q),
        divergence=report.reverse_kl,
        forward_kl=report.forward_kl,
        reverse_kl=report.reverse_kl,
        held_out=None,
        optima=(Optimum(q, report.reverse_kl, math.nan), *others),
        path=(),
        starts=job.search.climbs,
        evaluations=job.density.count,
        seconds=time.perf_counter() - began,
        notes=tuple(notes),
        posterior=report.posterior,
    )


def _other(job: Job, q: Gaussians, log_evidence: Estimate) -> Optimum:
    """Another optimum, with its KL measured on draws of its own."""
    base = flat(q)
    x = base.sample(job.run.generator("other", int(1e6 * abs(float(q.means[0, 0]))) % 10**6), 1024)
    ratio = job.density(x)[0] - base.log_prob(x)
    value = log_evidence.value - float(ratio.mean())
    error = math.hypot(float(ratio.std()) / 32.0, log_evidence.standard_error)
    kl = Estimate.sampled(
        value,
        error,
        quantity="kl",
        direction="KL(q||p)",
        method="log evidence - ELBO",
        n=1024,
    )
    return Optimum(named(job.target, q), kl, math.nan)


def _words(recipe: Recipe, q: Gaussians) -> str:
    if isinstance(recipe, Mixture) and recipe.k == "auto":
        return f"Mixture(k={len(q.weights)}) found by adding components"
    return str(recipe)
