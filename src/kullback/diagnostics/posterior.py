"""The trust report of a reverse fit over discrete latents: exact where the states can be counted up.

Up to 2^16 states everything is a finite sum. Beyond, draws of q are weighted, as for densities, and tempered
Gibbs sweeps that start uniform and never saw q are the second route.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
from jaxtyping import Float
from scipy import special

from kullback.core.run import Run
from kullback.diagnostics.evidence import Evidence, Known, counted, weigh_up, weighed_up
from kullback.diagnostics.importance import (
    Value,
    Values,
    Weighed,
    WeighedStates,
    weigh,
    weigh_discrete,
)
from kullback.diagnostics.integrability import Rays, check_faults, check_proper
from kullback.diagnostics.tempered import Afar, Probe, from_afar, mode_share, probe
from kullback.diagnostics.verdict import RELIABLE, ROUTES, UNSEEN_MODES, Remedies
from kullback.diagnostics.verdict import findings as verdict_findings
from kullback.distributions.vector import Independent
from kullback.fitting.components import Components
from kullback.fitting.discrete import DiscreteFit
from kullback.fitting.reverse import ReverseFit, Search
from kullback.results.estimate import Estimate
from kullback.results.posterior import (
    Diagnosis,
    Draws,
    Finding,
    FitError,
    Parameter,
    Posterior,
    Report,
    columns,
)
from kullback.results.quantity import (
    ELBO,
    ELBO_TO_EUBO,
    ENERGY,
    ENTROPY_OF_Q,
    EUBO,
    FORWARD_KL,
    JEFFREYS,
    LOG_EVIDENCE,
    MASS_OUTSIDE,
    MEAN_SHIFT,
    REVERSE_KL,
    SD_RATIO,
)
from kullback.solvers.gibbs import Swept, sweep, temper_discrete
from kullback.solvers.modes import Density, whitened
from kullback.solvers.tempering import Tempered
from kullback.targets import Unconstrained

Array = np.ndarray

#: States up to which everything is summed exactly.
MOST_STATES = 2**16
_PROBED, _SWEEPS = 256, 5
UNSEEN = (
    "a separate group of states that both the restarts and tempered SMC missed cannot be detected"
)


def diagnose_discrete(
    values: Values, made: DiscreteFit, shape: tuple[int, ...], run: Run, remedies: Remedies
) -> Report:
    """Returns the trust report.

    Args:
        values: log p at codes (n, m).
        made: the fit.
        shape: of an event.
        run: randomness, progress.
        remedies: what to type next.
    """
    m, k = made.log_probabilities.shape
    q = Independent(made.log_probabilities, (m,))
    run.watch("measuring the ELBO on fresh draws")
    weighed = weigh_discrete(values, q, run.generator("weights"))
    probed, risen = _probe(values, q, weighed, run.generator("probe"))
    swept: Swept | None = None
    by_weights = _route(
        weighed.log_evidence,
        "importance weighting",
        len(weighed.x),
        fine=weighed.pareto_k() < RELIABLE,
    )
    if k**m <= MOST_STATES:
        known = counted(values, q, weighed)
        routes = (known.of(known.log_evidence, LOG_EVIDENCE), by_weights)
    else:
        swept = temper_discrete(
            values, m, k, run.generator("tempering"), lambda b: run.watch(f"tempering, β = {b:.2g}")
        )
        known = weighed_up(q, weighed, swept)
        afar = swept.log_evidence, swept.standard_error
        routes = (
            by_weights,
            _route(afar, "tempered SMC", len(swept.x), fine=swept.complete),
        )
    draws = _draws(weighed, probed, known, swept, shape)
    pareto = weighed.pareto_k(own=True)
    posterior = _posterior(
        made, q, known, routes, risen, pareto, _parameters(q, known, shape), draws
    )
    kls = (
        known.of(_less(known.log_evidence, known.elbo), REVERSE_KL),
        known.of(_less(known.eubo, known.log_evidence), FORWARD_KL),
    )
    findings = verdict_findings(
        posterior,
        kls,
        remedies,
        draws=made.trace[-1][0],
        constant=weighed.constant,
        probed=("Gibbs probe", 1.0),
    )
    if known.exact:
        findings = [f for f in findings if f.name != ROUTES]
    return Report(replace(posterior, diagnosis=Diagnosis(tuple(findings), UNSEEN)), *kls)


def _posterior(
    made: DiscreteFit,
    q: Independent,
    known: Known,
    routes: tuple[Estimate, Estimate],
    risen: Value,
    pareto: float,
    parameters: tuple[Parameter, ...],
    draws: Draws,
) -> Posterior:
    """All that was measured, not yet judged."""
    of = known.of
    return Posterior(
        elbo=of(known.elbo, ELBO),
        entropy=Estimate.exact(q.entropy, ENTROPY_OF_Q, method="closed form"),
        energy=of((known.elbo[0] - q.entropy, known.elbo[1]), ENERGY),
        log_evidence=of(known.log_evidence, LOG_EVIDENCE),
        eubo=of(known.eubo, EUBO),
        routes=routes,
        agreement=Estimate.sampled(
            routes[1].value - routes[0].value,
            math.hypot(routes[0].standard_error, routes[1].standard_error),
            LOG_EVIDENCE.called("difference of the two estimates"),
            method="difference of the two estimates",
            n=len(known.x),
        ),
        jeffreys=of(_less(known.eubo, known.elbo), JEFFREYS),
        probe=Estimate.sampled(
            *risen,
            ELBO_TO_EUBO,
            method=f"{_SWEEPS} Gibbs sweeps from q",
            n=_PROBED,
        ),
        outside=of(known.outside, MASS_OUTSIDE),
        pareto_k=pareto,
        parameters=parameters,
        draws=draws,
        trace=made.trace,
        fit_error=FitError(*made.noise),
        diagnosis=Diagnosis((), UNSEEN),
    )


def _route(value: Value, method: str, n: int, *, fine: bool) -> Estimate:
    return Estimate.sampled(
        value[0],
        value[1] if fine else math.inf,
        LOG_EVIDENCE,
        method=method,
        n=n,
        reason="the weights are not reliable",
    )


def _probe(
    values: Values, q: Independent, weighed: WeighedStates, rng: np.random.Generator
) -> tuple[Array, Value]:
    """Draws of q after a few Gibbs sweeps, and how much log p - log q rose."""
    k = q.log_probabilities.shape[1]
    x = weighed.x[:_PROBED]
    log_p = weighed.log_p[:_PROBED]
    before = log_p - q.log_prob(x)
    for _ in range(_SWEEPS):
        x, log_p = sweep(values, x, k, rng)
    with np.errstate(invalid="ignore"):
        rise = log_p - q.log_prob(x) - before
    if not np.isfinite(rise).all():
        return x, (math.inf, math.inf)
    return x, (float(rise.mean()), float(rise.std(ddof=1)) / math.sqrt(_PROBED))


def _parameters(q: Independent, known: Known, shape: tuple[int, ...]) -> tuple[Parameter, ...]:
    """The indicator of each value of each latent; of binary ones that of 1."""
    k = q.log_probabilities.shape[1]
    out = []
    for i, index in enumerate(np.ndindex(*shape)):
        place = f"[{','.join(map(str, index))}]" if index else ""
        for value in range(1 if k == 2 else 0, k):
            mean_q = float(np.exp(q.log_probabilities[i, value]))
            mean_p = float(known.weights @ (known.x[:, i] == value))
            sd_q, sd_p = (math.sqrt(max(p * (1.0 - p), 1e-12)) for p in (mean_q, mean_p))
            error = known.error_of_moments
            doubt = error * abs(1.0 - 2.0 * mean_p) / (2.0 * sd_p)
            shift = ((mean_p - mean_q) / max(sd_p, sd_q), error)
            ratio = (sd_q / sd_p, sd_q / sd_p * doubt)
            name = f"x{place}" if k == 2 else f"x{place}={value}"
            out.append(
                Parameter(
                    name,
                    mean_q,
                    sd_q,
                    known.of(shift, MEAN_SHIFT),
                    known.of(ratio, SD_RATIO),
                )
            )
    return tuple(out)


def _draws(
    weighed: WeighedStates, probed: Array, known: Known, swept: Swept | None, shape: tuple[int, ...]
) -> Draws:
    own = weighed.own

    def shaped(x: Array) -> dict[str, Array]:
        return {"x": x.reshape(len(x), *shape)}

    if swept is None:
        rows = np.random.default_rng(0).choice(len(known.x), 1024, p=known.weights)
        afar = known.x[rows]
    else:
        afar = swept.x
    return Draws(
        plain=shaped(weighed.x[:own]),
        log_p=weighed.log_p[:own],
        log_q=weighed.log_q[:own],
        weights=special.softmax((weighed.log_p - weighed.log_q)[:own]),
        refreshed=shaped(probed),
        tempered=shaped(afar),
    )


def _less(a: Value, b: Value) -> Value:
    return a[0] - b[0], math.hypot(a[1], b[1])


# The trust report of a reverse fit: everything that can be measured, then the verdict.


def diagnose(
    target: Unconstrained,
    density: Density,
    found: Search,
    tempered: Callable[[], Tempered],
    made: ReverseFit,
    log_q: Callable[[Array], Array],
    run: Run,
    remedies: Remedies,
) -> Report:
    """Returns the trust report.

    Args:
        target: p, for names.
        density: p.
        found: what climbing found.
        tempered: gives draws of p from afar, which owe nothing to q.
        made: the fit.
        log_q: its log density at n points.
        run: randomness and progress.
        remedies: what to type next.

    Raises:
        DensityError: the log density is no log density where q is: NaN, improper, -inf on a part.
    """
    q = made.q
    density.forget()
    run.watch("measuring the ELBO on fresh draws")
    weighed = weigh(density, q, log_q, run.generator("weights"))
    check_faults(density, target, weighed)
    rays = check_proper(target, density, q, run.generator("rays", 1))
    run.watch("probing with Langevin steps")
    probed = probe(density, q, log_q, weighed, run.generator("probe"))
    afar = from_afar(tempered(), found, q, log_q, weighed)
    evidence = weigh_up(weighed, afar, rays)
    parameters = _named_parameters(target, made, weighed, afar, run, by_weights=evidence.by_weights)
    draws = _draws_of_fit(target, weighed, probed, afar)
    posterior = _posterior_of_draws(made, weighed, probed, afar, evidence, parameters, draws)
    findings = verdict_findings(
        posterior,
        (evidence.reverse_kl, evidence.forward_kl),
        remedies,
        draws=made.trace[-1][2] if made.trace else 0,
        constant=weighed.own_weights[2],
        mode_share=mode_share(afar.modes, evidence.log_evidence.value),
        nowhere=afar.outside[0] <= 0.0,
        probed=("Langevin probe", probed.acceptance),
    )
    diagnosis = Diagnosis((*findings, *_tails(rays)), UNSEEN_MODES)
    posterior = replace(posterior, diagnosis=diagnosis)
    return Report(posterior, evidence.reverse_kl, evidence.forward_kl, afar.threshold)


def _posterior_of_draws(
    made: ReverseFit,
    weighed: Weighed,
    probed: Probe,
    afar: Afar,
    evidence: Evidence,
    parameters: list[Parameter],
    draws: Draws,
) -> Posterior:
    """All that was measured, not yet judged."""
    return Posterior(
        elbo=Estimate.sampled(
            *weighed.elbo,
            ELBO,
            method="mean over fresh draws of q",
            n=weighed.own,
        ),
        entropy=_entropy(made.q, weighed),
        energy=Estimate.sampled(
            *weighed.energy,
            ENERGY,
            method="mean over draws of q",
            n=weighed.own,
        ),
        log_evidence=evidence.log_evidence,
        routes=evidence.routes,
        agreement=evidence.agreement,
        jeffreys=evidence.jeffreys,
        eubo=evidence.eubo,
        probe=Estimate.sampled(
            *probed.jeffreys,
            ELBO_TO_EUBO,
            method="10 MALA steps from q",
            n=len(probed.points.x),
        ),
        outside=Estimate.sampled(
            *afar.outside,
            MASS_OUTSIDE,
            method="tempered SMC",
            n=len(afar.x),
        ),
        pareto_k=weighed.own_weights[1],
        parameters=tuple(parameters),
        draws=draws,
        trace=made.trace,
        fit_error=FitError(*made.noise),
        diagnosis=Diagnosis((), UNSEEN_MODES),
    )


def _named_parameters(
    target: Unconstrained,
    made: ReverseFit,
    weighed: Weighed,
    afar: Afar,
    run: Run,
    *,
    by_weights: bool,
) -> list[Parameter]:
    moments = of_q(target, made.q, run.generator("moments"))
    expected = expected_shrinkage(target, made.curvature, made.q)
    here = columns(target.constrain(weighed.x), bare=target.bare)
    if by_weights or not afar.tempered.complete:
        return marginals_by_weights(weighed, here, moments, expected)
    there = columns(target.constrain(afar.x), bare=target.bare)
    return by_tempering(here, afar, there, moments, expected)


def _tails(rays: Rays) -> list[Finding]:
    if not math.isfinite(rays.heavy):
        return []
    text = f"p falls only as distance^-{rays.heavy:.1f}: its tails are heavier than q's"
    remedy = "use the tempered draws for tail probabilities, or a family with heavy tails"
    return [Finding("tails", "caution", text, remedy)]


def _draws_of_fit(target: Unconstrained, weighed: Weighed, probed: Probe, afar: Afar) -> Draws:
    own = weighed.own
    return Draws(
        plain=target.constrain(weighed.x[:own]),
        log_p=weighed.log_p[:own],
        log_q=weighed.log_q[:own],
        weights=weighed.own_weights[0],
        refreshed=target.constrain(probed.points.x),
        tempered=target.constrain(afar.x),
    )


def _entropy(q: Components, weighed: Weighed) -> Estimate:
    d = q.means.shape[1]
    if len(q.weights) == 1:
        value = 0.5 * d * math.log(2.0 * math.pi * math.e) + float(q.log_dets[0])
        return Estimate.exact(value, ENTROPY_OF_Q, method="closed form")
    own = -weighed.log_q[: weighed.own]
    return Estimate.sampled(
        float(own.mean()),
        float(own.std(ddof=1)) / math.sqrt(len(own)),
        ENTROPY_OF_Q,
        method="mean over draws of q",
        n=len(own),
    )


# Each parameter under q and under p.

#: A column per coordinate, by name.
Columns = dict[str, Float[np.ndarray, " n"]]


#: Draws from which the means and sds of q itself are taken.
_EXACT = 4096
Moments = dict[str, tuple[float, float]]


def of_q(target: Unconstrained, q: Components, rng: np.random.Generator) -> Moments:
    """Returns the mean and sd of each parameter under q: exact where it is a coordinate of q itself.

    The draws have q's mean and covariance exactly, component by component.
    """
    z = whitened(target.dimension, max(_EXACT, 2 * target.dimension), rng)
    places = q.place(z)
    k, n, d = places.shape
    weights = np.repeat(q.weights / n, n)
    out: Moments = {}
    for name, x in columns(target.constrain(places.reshape(k * n, d)), bare=target.bare).items():
        mean = float(weights @ x)
        out[name] = mean, math.sqrt(max(float(weights @ (x - mean) ** 2), 0.0))
    return out


def expected_shrinkage(
    target: Unconstrained, curvature: Float[np.ndarray, "d d"] | None, q: Components
) -> dict[str, float]:
    """Returns the sd of a mean-field q over that of p by linear response of the means, by coordinate."""
    if curvature is None or not q.diagonal or np.linalg.eigvalsh(curvature)[0] <= 0.0:
        return {}
    spread = np.sqrt(np.diag(np.linalg.inv(curvature)))
    return dict(zip(target.coordinates, (1.0 / spread).tolist(), strict=True))


def marginals_by_weights(
    weighed: Weighed, everywhere: Columns, moments: Moments, expected: Mapping[str, float]
) -> list[Parameter]:
    """Returns the parameters, p's moments being those of the weighed draws."""
    n, m = len(weighed.x), weighed.own
    weights = weighed.weights
    out = []
    for name, x in everywhere.items():
        mean_q, sd_q = moments[name]
        mean = float(np.mean(weights * x))
        moved = weights * (x - mean)
        variance = float(np.mean(weights * (x - mean) ** 2))
        error = math.sqrt(m * np.var(moved[:m]) + (n - m) * np.var(moved[m:])) / n
        by_draw = weights * ((x - mean) ** 2 - variance)
        doubt = 0.5 * float(by_draw.std()) / math.sqrt(n) / max(variance, 1e-300)
        out.append(
            _parameter(name, mean_q, sd_q, (mean, error), variance, doubt, expected, "weights")
        )
    return out


def by_tempering(
    everywhere: Columns,
    afar: Afar,
    there: Columns,
    moments: Moments,
    expected: Mapping[str, float],
) -> list[Parameter]:
    """Returns the parameters, p's moments being those of the tempered draws."""
    out = []
    for name in everywhere:
        far = there[name]
        mean_q, sd_q = moments[name]
        mean, error = float(far.mean()), afar.error(far)
        squares = (far - mean) ** 2
        variance = float(squares.mean())
        doubt = 0.5 * afar.error(squares) / max(variance, 1e-300)
        out.append(
            _parameter(name, mean_q, sd_q, (mean, error), variance, doubt, expected, "tempered SMC")
        )
    return out


def _parameter(
    name: str,
    mean_q: float,
    sd_q: float,
    mean_p: tuple[float, float],
    variance_p: float,
    doubt: float,
    expected: Mapping[str, float],
    method: str,
) -> Parameter:
    sd_p = math.sqrt(max(variance_p, 1e-300))
    ratio = sd_q / sd_p
    shift = Estimate.sampled(
        (mean_p[0] - mean_q) / sd_p,
        mean_p[1] / sd_p,
        MEAN_SHIFT.called(f"mean_shift({name})"),
        method=method,
    )
    return Parameter(
        name,
        mean_q,
        sd_q,
        shift,
        Estimate.sampled(
            ratio,
            ratio * doubt,
            SD_RATIO.called(f"sd_ratio({name})"),
            method=method,
        ),
        expected.get(name),
    )
