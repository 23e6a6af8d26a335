"""Judging: draws or a density of anyone against a log density."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from kullback.core.errors import DensityError, InputError, UnsupportedError
from kullback.core.numerics import threads
from kullback.core.run import Run
from kullback.diagnostics.adaptive import close_to
from kullback.diagnostics.draws import judge_draws
from kullback.diagnostics.importance import Sampler
from kullback.diagnostics.posterior import diagnose
from kullback.diagnostics.verdict import ERROR_OF_FIT, Remedies
from kullback.distributions.base import Distribution, Foreign
from kullback.distributions.gaussian_mixture import GaussianMixture, components_of
from kullback.distributions.transported import Approximation
from kullback.fitting.components import Components
from kullback.fitting.reverse import ReverseFit
from kullback.inputs.draws import Drawn
from kullback.measure.density import check
from kullback.results.judgement import Judgement
from kullback.results.posterior import Diagnosis
from kullback.routes.job import Job
from kullback.tables.kinds import listed
from kullback.targets import Unconstrained

Array = np.ndarray
#: Climbs to modes, and draws of a density from which a mixture close to it is had.
_CLIMBS, _DRAWS = 8, 4096
_OF_DRAWS = Remedies(
    "sample for longer, with smaller steps, or in other parameters",
    "start chains where p has mass too: judgement.starting_points(4), or temper",
)
_ANEW = 'fit p with family="mixture:auto"'
_OF_DENSITY = Remedies(_ANEW, _ANEW)


def judge_target(target: Unconstrained, judged: Drawn | Distribution, run: Run) -> Judgement:
    """Returns what there is to say of draws or of a density.

    Args:
        target: p.
        judged: draws of its parameters, or a density of them.
        run: randomness and progress.
    """
    job = Job(target, run, _CLIMBS)
    with np.errstate(all="ignore"), threads(target.dimension):
        if isinstance(judged, Distribution):
            return _of_density(job, judged)
        return judge_draws(
            target, job.density, job.everywhere, job.reached, job.covering, judged, run, _OF_DRAWS
        )


def _of_density(job: Job, q: Distribution) -> Judgement:
    """The report of a fit, of a q that nobody fitted here."""
    target, run = job.target, job.run
    near, log_q, sample = _over_coordinates(q, target, run)
    made = ReverseFit(near, (), (), (0.0, 0.0), 0, grown=False)
    report = diagnose(
        target, job.density, job.everywhere, lambda: job.reached, made, log_q, run, _OF_DENSITY,
        lambda: job.covering, sample,
    )  # fmt: skip
    found = report.posterior
    findings = tuple(
        replace(f, name="misses mass") if f.name == "mass outside q" and f.verdict != "trust" else f
        for f in found.diagnosis.findings
        if f.name != ERROR_OF_FIT
    )
    diagnosis = Diagnosis(findings, found.diagnosis.unseen)
    return Judgement(
        judged=None,
        log_evidence=found.log_evidence,
        by_draws=None,
        routes=found.routes,
        reverse_kl=report.reverse_kl,
        forward_kl=report.forward_kl,
        outside=found.outside,
        parameters=found.parameters,
        diagnosis=diagnosis,
        tempered=found.draws.tempered,
        evaluations=job.density.count,
        seconds=run.seconds,
        posterior=replace(found, diagnosis=diagnosis),
        interrupted=job.reached.interrupted,
    )


def _over_coordinates(
    q: Distribution, target: Unconstrained, run: Run
) -> tuple[Components, Callable[[Array], Array], Sampler | None]:
    """A mixture that is q, or close to it; q's log density over coordinates; its sampler, where it is no mixture.

    Raises:
        UnsupportedError: q is over something else than p, or it cannot be drawn from.
        DensityError: q is no density.
    """
    base = q.base if isinstance(q, Approximation) and q.coordinates == target.coordinates else q
    if base is not q or target.plain is not None:
        _check_size(base, target)
        exact = _components(base)
        if exact is not None:
            return exact, exact.distribution().log_prob, None
    log_q, sample = _of_events(base, target, plain=base is not q)
    if isinstance(base, Foreign) and not base.ours:
        problems = check(base).problems
        if problems:
            raise DensityError(f"q is no density: {problems[0]}")
    x = sample(run.generator("draws of q"), _DRAWS)
    return close_to(x, float(len(x)), run.generator("mixture close to q")), log_q, sample


def _components(q: Distribution) -> Components | None:
    try:
        mixture = components_of(q)
    except UnsupportedError:
        return None
    if not isinstance(mixture, GaussianMixture):
        return None
    return Components(mixture.weights, mixture.means, mixture.scale_trils)


def _check_size(q: Distribution, target: Unconstrained) -> None:
    if max(q.support.dimension, 1) != target.dimension:
        raise UnsupportedError(
            f"q has {max(q.support.dimension, 1)} coordinates, and p has {target.dimension}: "
            f"{listed(target.coordinates)}"
        )


def _of_events(
    q: Distribution, target: Unconstrained, *, plain: bool
) -> tuple[Callable[[Array], Array], Sampler]:
    """The log density over coordinates and the sampler of a q over p's events or, if plain, over coordinates."""
    if plain:
        return q.log_prob, lambda rng, n: np.asarray(q.sample(rng, n))
    if target.unconstrain is None or not (target.bare or isinstance(q, Approximation)):
        raise UnsupportedError(
            "q must be over what p is over: a fit of p, or a density of arrays where p is a function of one array"
        )
    back, first = target.unconstrain, target.constrain(target.start[None])
    name, event = next(iter(first.items()))
    scalar = q.support.dimension == 0
    if not isinstance(q, Approximation) and event[0].size != max(q.support.dimension, 1):
        raise UnsupportedError(
            f"q has {max(q.support.dimension, 1)} coordinates, and p has {event[0].size}"
        )

    def events(u: Array) -> Any:
        values = target.constrain(u)
        if not target.bare:
            return values
        return values[name].reshape(len(u)) if scalar else values[name].reshape(len(u), -1)

    def log_q(u: Array) -> Array:
        return q.log_prob(events(u)) + target.log_jacobian(u)

    def sample(rng: np.random.Generator, n: int) -> Array:
        drawn: Any = q.sample(rng, n)
        named = drawn if isinstance(drawn, dict) else {name: drawn.reshape(n, *event.shape[1:])}
        try:
            return back(named)
        except InputError as error:
            raise InputError(
                f"q has mass where p has none, so that KL(q||p) is infinite: {error}"
            ) from None

    return log_q, sample
