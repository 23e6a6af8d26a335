"""Fits of flows: the best Gaussian or mixture first, then a flow that begins there and is never worse."""

import math
from dataclasses import dataclass, replace
from typing import Any, final

import numpy as np

from kullback.core.errors import UnsupportedError
from kullback.core.optional import need
from kullback.diagnostics.adaptive import close_to
from kullback.diagnostics.posterior import diagnose
from kullback.diagnostics.verdict import ERROR_OF_FIT
from kullback.distributions.flow import CouplingFlow
from kullback.families import Flow, FullRank, Mixture
from kullback.fitting.components import Components
from kullback.fitting.reverse import ReverseFit
from kullback.measure.density import check
from kullback.results.fit import Fit
from kullback.results.posterior import Finding, Report, Rung
from kullback.results.quantity import Sentence
from kullback.routes.job import Job, job_of
from kullback.routes.log_density_reverse import (
    Best,
    fit_one,
    laddered,
    remedies,
    reported,
    result_of,
    rung_of,
    threads,
)
from kullback.routes.table import Problem

#: Draws from which a mixture close to the flow is had: it lends the report its shape.
_DRAWS = 4096
_INSTALL = "kullback[flow]"


def fit(problem: Problem) -> Fit:
    """Returns the flow that is closest to p, in either direction.

    Raises:
        MissingDependencyError: flowjax is not installed.
        UnsupportedError: log p is no function of JAX.
    """
    need("flowjax", "Flow()", _INSTALL)
    job = job_of(problem, "natural_gradient")
    _traced(job)
    with np.errstate(all="ignore"), threads(job.target.dimension):
        if problem.report:
            rungs: list[Rung] = []
            return replace(above(job, _base(job, rungs), rungs), family=Flow())
        base = fit_one(job, _recipe(job))
        flown = _flown(job, base.q)
        made, flow = (flown.made, flown.flow) if flown.moved else (base, None)
        found = result_of(job, Flow(), made, None, flow)
        return replace(found, notes=(*found.notes, flown.told))


def above(job: Job, best: Best, rungs: list[Rung]) -> Fit:
    """Returns the flow that begins at the best fit so far, with its report; that fit where nothing was gained.

    Args:
        job: p.
        best: where to begin.
        rungs: of the families tried before.
    """
    before = job.density.count
    flown = _flown(job, best[1].q)
    if not flown.moved:
        found = laddered(job, best, rungs)
        return replace(found, notes=(*found.notes, flown.told))
    try:
        report = _report(job, flown)
    except KeyboardInterrupt:
        job.stopped = True
        report = _report(job, flown)
    rung = rung_of(Flow(), flown.made, report, job.density.count - before)
    report = replace(report, posterior=replace(report.posterior, ladder=(*rungs, rung)))
    found = result_of(job, Flow(), flown.made, report, flown.flow)
    return replace(found, notes=(*found.notes, flown.told))


# Where a flow begins.


def _traced(job: Job) -> Any:
    """Log p as other programs of JAX may call it. Raises UnsupportedError if JAX cannot trace it."""
    compiled = need("kullback.interop.jax_function", "Flow()", _INSTALL)
    if not isinstance(job.target.evaluate, compiled.CompiledDensity):
        raise UnsupportedError(
            f"Flow() takes gradients of log p within a program of JAX, and p is a {job.target.origin}: give a "
            'function that JAX can trace, or choose family="mixture:auto"'
        )
    return job.target.evaluate


def _base(job: Job, rungs: list[Rung]) -> Best:
    """The Gaussian or, where p has several modes, the mixture, with its report."""
    before = job.density.count
    recipe = _recipe(job)
    best = recipe, *reported(job, recipe, fit_one(job, recipe))
    rungs.append(rung_of(*best, job.density.count - before))
    return best


def _recipe(job: Job) -> FullRank | Mixture:
    """The family of the base. A flow bends a Gaussian better than a mixture, and does not tear it."""
    several = sum(mode.proper for mode in job.search.modes) > 1
    return Mixture("auto") if several else FullRank()


# The flow, and what is said of it.


@final
@dataclass(frozen=True, eq=False)
class _Flown:
    """A flow with what its report needs.

    Attributes:
        flow: the flow.
        made: a mixture close to it, as if that had been fitted.
        moved: whether it is better than its base, and a density.
        told: what it gained.
        last: what the last phase gained, and its steps.
    """

    flow: CouplingFlow
    made: ReverseFit
    moved: bool
    told: str
    last: tuple[float, int]


def _flown(job: Job, base: Components) -> _Flown:
    flows = need("kullback.fitting.flow", "Flow()", _INSTALL)
    start = flows.flow_from(base, job.run.generator("orders of a flow"))
    found = flows.reverse_flow(job.density, _traced(job), start, job.run, "flow")
    k = len(base.weights)
    told = Sentence(
        "{} {:.3f} ± {:.1g} {unit} over {}, in {} steps of {} draws",
        "the flow gained" if found.moved else "q is its base: a flow gained no more than its error,",
        found.gain, found.error, "a Gaussian" if k == 1 else f"a mixture of {k}", found.steps, flows.BATCH,
    )  # fmt: skip
    problems = check(found.q).problems if found.moved else ()
    if problems:
        told = f"q is its base: the flow from there is no density, {problems[0]}"
    x = found.q.sample(job.run.generator("draws of a flow"), _DRAWS)
    near = close_to(x, float(_DRAWS), job.run.generator("mixture close to a flow"))
    # A gain of e nats moves a mean by no more than sqrt(2 e) sds, as between Gaussians.
    error = max(found.last, 0.0)
    made = ReverseFit(
        near, (), ((job.density.count, math.nan, flows.BATCH),), (error, math.sqrt(2.0 * error)), flows.BATCH,
        grown=False, interrupted=found.interrupted,
    )  # fmt: skip
    moved = found.moved and not problems
    return _Flown(found.q, made, moved, told, (found.last, found.length))


def _report(job: Job, flown: _Flown) -> Report:
    report = diagnose(
        job.target, job.density, job.everywhere, lambda: job.reached, flown.made, flown.flow.log_prob, job.run,
        remedies(Flow()), lambda: job.covering, flown.flow.sample,
    )  # fmt: skip
    text = Sentence("the last {} steps gained {:.1g} {unit}", flown.last[1], flown.last[0])
    found = report.posterior
    findings = tuple(
        Finding(ERROR_OF_FIT, "trust", text) if f.name == ERROR_OF_FIT else f
        for f in found.diagnosis.findings
    )
    diagnosis = replace(found.diagnosis, findings=findings)
    return replace(report, posterior=replace(found, diagnosis=diagnosis))
