"""The trust report of a reverse fit over discrete latents: exact where the states can be counted up.

Up to 2^16 states everything is a finite sum. Beyond, draws of q are weighted, as for densities, and tempered
Gibbs sweeps that start uniform and never saw q are the second route.
"""

import math
from dataclasses import replace

import numpy as np
from scipy import special

from kullback.core.run import Run
from kullback.diagnostics.importance import Value
from kullback.diagnostics.states import (
    Measured,
    Values,
    WeighedStates,
    counted,
    weigh_discrete,
    weighed_up,
)
from kullback.diagnostics.verdict import RELIABLE, ROUTES, Remedies
from kullback.diagnostics.verdict import findings as verdict_findings
from kullback.distributions.vector import Independent
from kullback.fitting.discrete import DiscreteFit
from kullback.results.estimate import Estimate
from kullback.results.posterior import (
    Coordinate,
    Diagnosis,
    Draws,
    FitError,
    Posterior,
    Report,
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
    known: Measured,
    routes: tuple[Estimate, Estimate],
    risen: Value,
    pareto: float,
    parameters: tuple[Coordinate, ...],
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


def _parameters(q: Independent, known: Measured, shape: tuple[int, ...]) -> tuple[Coordinate, ...]:
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
                Coordinate(
                    name,
                    mean_q,
                    sd_q,
                    known.of(shift, MEAN_SHIFT),
                    known.of(ratio, SD_RATIO),
                )
            )
    return tuple(out)


def _draws(
    weighed: WeighedStates,
    probed: Array,
    known: Measured,
    swept: Swept | None,
    shape: tuple[int, ...],
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
