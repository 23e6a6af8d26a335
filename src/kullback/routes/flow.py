"""Fits of flows: the best Gaussian or mixture first, then a flow that begins there and is never worse."""

import importlib.util
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, final

import numpy as np

from kullback.core.errors import InputError, UnsupportedError
from kullback.core.optional import need
from kullback.core.run import Run
from kullback.diagnostics.adaptive import Cover, close_to
from kullback.diagnostics.covering import Covering
from kullback.diagnostics.importance import smoothed
from kullback.diagnostics.moments import samples
from kullback.diagnostics.posterior import diagnose
from kullback.diagnostics.verdict import ERROR_OF_FIT
from kullback.distributions.flow import CouplingFlow
from kullback.families import Flow, FullRank, Mixture
from kullback.fitting.climbs import Climbs
from kullback.fitting.components import Components
from kullback.fitting.cross_validation import mean_score, moments
from kullback.fitting.reverse import ReverseFit
from kullback.measure.density import check
from kullback.measure.question import CROSS_ENTROPY
from kullback.results.estimate import Estimate
from kullback.results.fit import Fit, Optimum
from kullback.results.posterior import Finding, Report, Rung
from kullback.results.quantity import Sentence
from kullback.routes.families import check_numbers, in_memory, rows
from kullback.routes.job import Job, job_of
from kullback.routes.log_density_forward import drawn_for, likeliest_of
from kullback.routes.log_density_forward import result_of as forward_result
from kullback.routes.log_density_reverse import (
    Best,
    elbo_of,
    fit_one,
    laddered,
    remedies,
    reported,
    result_of,
    rung_of,
)
from kullback.routes.samples_forward import UP_TO, fit_samples, likeliest
from kullback.routes.table import Problem
from kullback.targets import Samples, Stream

Array = np.ndarray
#: Draws from which a mixture close to the flow is had: it lends the report its shape.
_DRAWS = 4096
_INSTALL = "kullback[flow]"
#: Coordinates up to which "auto" goes on to a flow: at 80 it took 75 CPU seconds.
_MOST_OF_AUTO = 100


def fit(problem: Problem) -> Fit:
    """Returns the flow that is closest to p, in either direction.

    Raises:
        MissingDependencyError: flowjax is not installed.
        UnsupportedError: log p is no function of JAX.
    """
    need("flowjax", "Flow()", _INSTALL)
    if problem.target.known == "samples":
        return _of_rows(problem)
    job = job_of(problem, "natural_gradient")
    with np.errstate(all="ignore"):
        if problem.direction == "forward":
            return _forward(job, report=problem.report)
        _check_traced(job)
        if problem.report:
            rungs: list[Rung] = []
            base = _base(job, rungs)
            return replace(above(job, base, base, rungs), family=Flow())
        base = fit_one(job, _recipe(job.search))
        flown = _flown(job, base.q)
        made, flow = (flown.made, flown.flow) if flown.moved else (_with(base, flown), None)
        found = result_of(job, Flow(), made, None, flow)
        return replace(found, notes=(*found.notes, flown.told))


def reaches(job: Job) -> bool:
    """Whether "auto" goes as far as a flow: with flowjax, for a function of JAX of no hundreds of coordinates."""
    installed = importlib.util.find_spec("flowjax") is not None
    return installed and 1 < job.target.dimension <= _MOST_OF_AUTO and _is_traced(job)


def above_all(job: Job, tried: list[Best], best: Best, rungs: list[Rung]) -> Fit:
    """Returns the flow above the families that "auto" tried, or the best of these.

    Args:
        job: p.
        tried: the families, among them the one that a flow begins at.
        best: the best of them.
        rungs: theirs.
    """
    kind = type(_recipe(job.everywhere))
    return above(job, next(t for t in tried if isinstance(t[0], kind)), best, rungs)


def above(job: Job, base: Best, best: Best, rungs: list[Rung]) -> Fit:
    """Returns the flow that begins at a fit, with its report; the best fit so far where it is no better.

    Args:
        job: p.
        base: where to begin.
        best: what the flow must be better than.
        rungs: of the families tried before.
    """
    before = job.density.count
    flown = _flown(job, base[1].q)
    recipe, made, report = best
    best = recipe, _with(made, flown), report
    if not flown.moved:
        found = laddered(job, best, rungs)
        return replace(found, notes=(*found.notes, flown.told))
    try:
        report = _report(job, flown, lambda: job.covering)
    except KeyboardInterrupt:
        job.stopped = True
        report = _report(job, flown, lambda: job.covering)
    rungs = [*rungs, rung_of(Flow(), flown.made, report, job.density.count - before)]
    if report.posterior.elbo.value > best[2].posterior.elbo.value:
        report = replace(report, posterior=replace(report.posterior, ladder=tuple(rungs)))
        found = result_of(job, Flow(), flown.made, report, flown.flow)
    else:
        found = laddered(job, best, rungs)
    return replace(found, notes=(*found.notes, flown.told))


# Where a flow begins.


def _is_traced(job: Job) -> bool:
    """Whether log p is a function of JAX, which other programs of JAX may call."""
    compiled = need("kullback.interop.jax_function", "Flow()", _INSTALL)
    return isinstance(job.target.evaluate, compiled.CompiledDensity)


def _check_traced(job: Job) -> None:
    if not _is_traced(job):
        raise UnsupportedError(
            f"Flow() takes gradients of log p within a program of JAX, and p is a {job.target.origin}: give a "
            'function that JAX can trace, or choose family="mixture:auto"'
        )


def _base(job: Job, rungs: list[Rung]) -> Best:
    """The Gaussian or, where p has several modes, the mixture, with its report."""
    before = job.density.count
    recipe = _recipe(job.everywhere)
    best = recipe, *reported(job, recipe, fit_one(job, recipe))
    rungs.append(rung_of(*best, job.density.count - before))
    return best


def _recipe(found: Climbs) -> FullRank | Mixture:
    """The family of the base. A flow bends a Gaussian better than a mixture, and does not tear it."""
    several = sum(mode.proper for mode in found.modes) > 1
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
    try:
        found = flows.reverse_flow(job.density, job.target.evaluate, start, job.run, "flow")
        return _checked(job, found, len(base.weights))
    except KeyboardInterrupt:
        return _without(job, base, start)


def _without(job: Job, base: Components, start: CouplingFlow) -> _Flown:
    """The base, where a flow was interrupted before anything was known of it."""
    spent = job.density.count
    made = ReverseFit(
        base, (), ((spent, math.nan, 0),), (0.0, 0.0), 0, grown=False, interrupted=True
    )
    told = "q is its base: the flow was interrupted"
    return _Flown(start, made, moved=False, told=told, last=(0.0, 0))


def _with(made: ReverseFit, flown: _Flown) -> ReverseFit:
    """A fit that is told of as interrupted where the flow above it was."""
    return replace(made, interrupted=made.interrupted or flown.made.interrupted)


def _told(found: Any, k: int) -> tuple[bool, str]:
    """Whether a flow is better than its base, a mixture of k, and a density; and what it gained."""
    problems = check(found.q).problems if found.moved else ()
    if problems:
        return False, f"q is its base: the flow from there is no density, {problems[0]}"
    told = Sentence(
        "{} {:.3f} ± {:.1g} {unit} over {}, in {} steps of {} draws",
        "the flow gained" if found.moved else "q is its base: a flow gained no more than its error,",
        found.gain, found.error, "a Gaussian" if k == 1 else f"a mixture of {k}", found.steps, found.draws,
    )  # fmt: skip
    return found.moved, told


def _checked(job: Job, found: Any, k: int) -> _Flown:
    """A flow with a mixture close to it, and what it gained over a mixture of k."""
    moved, told = _told(found, k)
    x = found.q.sample(job.run.generator("draws of a flow"), _DRAWS)
    near = close_to(x, float(_DRAWS), job.run.generator("mixture close to a flow"))
    # A gain of e nats moves a mean by no more than sqrt(2 e) sds, as between Gaussians.
    error = max(found.last, 0.0)
    made = ReverseFit(
        near, (), ((job.density.count, math.nan, found.draws),), (error, math.sqrt(2.0 * error)), found.draws,
        grown=False, interrupted=found.interrupted,
    )  # fmt: skip
    return _Flown(found.q, made, moved, told, (found.last, found.length))


def _report(
    job: Job,
    flown: _Flown,
    covering: Callable[[], Covering | None],
    base: Components | None = None,
) -> Report:
    """The report of a flow, or of its base."""
    made = flown.made if base is None else replace(flown.made, q=base)
    log_q = flown.flow.log_prob if base is None else base.log_prob
    sample = flown.flow.sample if base is None else None
    report = diagnose(
        job.target, job.density, job.everywhere, lambda: job.reached, made, log_q, job.run, remedies(Flow()),
        covering, sample,
    )  # fmt: skip
    text = Sentence("the last {} steps gained {:.1g} {unit}", flown.last[1], flown.last[0])
    found = report.posterior
    findings = tuple(
        Finding(ERROR_OF_FIT, "trust", text) if f.name == ERROR_OF_FIT else f
        for f in found.diagnosis.findings
    )
    diagnosis = replace(found.diagnosis, findings=findings)
    return replace(report, posterior=replace(found, diagnosis=diagnosis))


# Forward: maximum likelihood on weighted draws of p, of the reverse flow too where there is one.


def _forward(job: Job, *, report: bool) -> Fit:
    """The flow under which draws of p are likeliest, begun at the reverse flow where they are likelier under that."""
    flows = need("kullback.fitting.flow", "Flow()", _INSTALL)
    recipe = _recipe(job.everywhere)
    drawn = drawn_for(job, recipe, flows.numbers(job.target.dimension))
    ends, starts = likeliest_of(samples(drawn, job.target.coordinates)[0], recipe, None, job)
    base = flows.flow_from(ends[0], job.run.generator("orders of a flow"))
    try:
        flown = _checked(job, _likeliest(job, drawn, base), len(ends[0].weights))
    except KeyboardInterrupt:
        flown = _without(job, ends[0], base)
    counts = starts, job.density.count
    near, flow = ([flown.made.q], flown.flow) if flown.moved else (ends, None)
    measured = (
        _forward_report(job, flown, ends[0], drawn) if report else elbo_of(job, near[0], flow)
    )
    stopped = flown.made.interrupted
    made = forward_result(job, Flow(), near, drawn, measured, counts, flow, stopped=stopped)
    return replace(made, notes=(*made.notes, flown.told))


def _likeliest(job: Job, drawn: Cover, base: CouplingFlow) -> Any:
    """The flow under which draws of p are likeliest. Raises KeyboardInterrupt in the reverse flow before it."""
    flows = need("kullback.fitting.flow", "Flow()", _INSTALL)
    x, log_weights, start = drawn.x, drawn.log_p - drawn.log_r, base
    if _is_traced(job):
        before = flows.reverse_flow(job.density, job.target.evaluate, base, job.run, "flow")
        if before.interrupted:
            raise KeyboardInterrupt
        x, log_weights = _with_draws(job, drawn, before.q)
        lost = base.log_prob(x) - before.q.log_prob(x)
        start = before.q if float(smoothed(log_weights)[0] @ lost) < 0.0 else base
    weights = smoothed(log_weights)[0]
    parts = flows.parted(len(x), job.run.generator("draws held out"))
    return flows.likeliest_flow(
        x, weights, parts, base, start, job.run, job.density, "likeliest flow"
    )  # fmt: skip


def _with_draws(job: Job, drawn: Cover, flow: CouplingFlow) -> tuple[Array, Array]:
    """As many draws of a flow beside those that cover p, and the log weights of all."""
    more = flow.sample(job.run.generator("draws of the reverse flow"), len(drawn.x))
    x = np.concatenate([drawn.x, more])
    log_p = np.concatenate([drawn.log_p, job.density(more)[0]])
    log_r = np.logaddexp(drawn.log_r_at(x), flow.log_prob(x)) - math.log(2.0)
    return x, log_p - log_r


def _forward_report(job: Job, flown: _Flown, base: Components, drawn: Cover) -> Report:
    """The report of a forward fit: of the flow, or of its base where nothing was gained."""
    own, plain = Covering(job.density, drawn, job.run), None if flown.moved else base

    def measured() -> Report:
        return _report(
            job, flown, lambda: own if job.reached.shear is None else job.covering, plain
        )

    try:
        return measured()
    except KeyboardInterrupt:
        job.stopped = True
        return measured()


# Of rows: maximum likelihood, with rows held out.

#: Rows from which a flow is fitted: a tenth of them says when to stop, and two what was gained.
_FEWEST = 200


def _of_rows(problem: Problem) -> Fit:
    """The flow under which rows are likeliest; the Gaussian or the mixture where that gained nothing."""
    given, run = problem.target.given, problem.run
    assert isinstance(given, (Samples, Stream))
    check_numbers(given, "Flow() is for", remedy='choose "mixture:auto", which treats them')
    p = in_memory(given)
    x, weights = rows(p)
    if len(x) < _FEWEST:
        raise InputError(
            f"Flow() holds out three tenths of the rows and needs {_FEWEST}, but there are {len(x)}: choose "
            '"full_rank" or "mixture:auto"'
        )
    flows = need("kullback.fitting.flow", "Flow()", _INSTALL)
    parts = judges, unseen, learnt = flows.parted(len(x), run.generator("rows held out"))
    fitted = Samples(
        x[learnt], weights[learnt], columns=p.columns, kinds=("continuous",) * x.shape[1]
    )
    bases = [
        likeliest(fitted, recipe, starts=None, run=run)[0][0]
        for recipe in (Mixture("auto"), FullRank())
    ]
    starts = [flows.flow_from(q, run.generator("orders of a flow")) for q in bases]
    ends = _flows(starts if len(bases[0].weights) > 1 else starts[:1], x, weights, parts, run)
    stopped = ends[-1].interrupted
    cut = ("interrupted during the fit: this is the best there was",) if stopped else ()
    best = max(ends, key=lambda end: moments(end.q.log_prob(x[judges]), weights[judges])[0])
    moved, told = _told(best, len(bases[0].weights))
    if not moved:
        plain = fit_samples(given, Mixture("auto"), starts=None, run=run)
        interrupted = stopped or plain.interrupted
        return replace(
            plain, family=Flow(), notes=(*cut, told, *plain.notes), interrupted=interrupted
        )
    value, error = moments(-best.q.log_prob(x[learnt]), weights[learnt])
    loss = Estimate.sampled(
        value, error, CROSS_ENTROPY.quantity, method="mean over the rows fitted to", n=len(learnt)
    )
    score = mean_score(best.q.log_prob(x[unseen]), weights[unseen], "a fifth of the rows, held out")
    return Fit(
        q=best.q, direction="forward", family=Flow(), divergence=loss, forward_kl=None, reverse_kl=None,
        held_out=score, optima=(Optimum(best.q, loss, math.nan),), path=(), starts=len(ends),
        evaluations=sum(end.steps for end in ends), seconds=run.seconds, notes=(*cut, UP_TO, told),
        columns=p.columns, labels=p.labels, interrupted=stopped,
    )  # fmt: skip


def _flows(starts: list[CouplingFlow], x: Array, weights: Array, parts: Any, run: Run) -> list[Any]:
    """The likeliest flow from each start, until one is interrupted; each is judged against the first start."""
    flows, counted = need("kullback.fitting.flow", "Flow()", _INSTALL), _Nothing()
    ends: list[Any] = []
    for i, start in enumerate(starts):
        ends.append(
            flows.likeliest_flow(
                x, weights, parts, starts[0], start, run, counted, f"flow from {i}"
            )
        )
        if ends[-1].interrupted:
            break
    return ends


@final
class _Nothing:
    """Counts no gradients of log p: there is none."""

    count = 0
