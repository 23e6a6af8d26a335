"""The trust report of a reverse fit: everything that can be measured, then the verdict."""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from kullback.diagnostics import _marginals, _verdict
from kullback.diagnostics._evidence import Evidence, weigh_up
from kullback.diagnostics._faults import check_faults
from kullback.diagnostics._rays import Rays, check_proper
from kullback.diagnostics._report import Report
from kullback.diagnostics._towards_p import Afar, Probe, from_afar, mode_share, probe
from kullback.diagnostics._verdict import Remedies
from kullback.diagnostics._weights import Weighed, weigh
from kullback.fitting._natural_gradient import Gaussians
from kullback.fitting._reverse import ReverseFit
from kullback.fitting._run import Run
from kullback.fitting._search import Search
from kullback.results._diagnosis import Diagnosis, Draws, Finding, Parameter, Posterior, columns
from kullback.results._estimate import Estimate
from kullback.solvers._density import Density
from kullback.solvers._tempering import Tempered
from kullback.targets import Unconstrained

Array = np.ndarray


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
    parameters = _parameters(target, made, weighed, afar, run, by_weights=evidence.by_weights)
    draws = _draws(target, weighed, probed, afar)
    posterior = _posterior(made, weighed, probed, afar, evidence, parameters, draws)
    findings = _verdict.findings(
        posterior,
        (evidence.reverse_kl, evidence.forward_kl),
        remedies,
        draws=made.trace[-1][2] if made.trace else 0,
        constant=weighed.own_weights[2],
        mode_share=mode_share(afar.modes, evidence.log_evidence.value),
        nowhere=afar.outside[0] <= 0.0,
        probed=("Langevin probe", probed.acceptance),
    )
    diagnosis = Diagnosis((*findings, *_tails(rays)), _verdict.UNSEEN)
    posterior = replace(posterior, diagnosis=diagnosis)
    return Report(posterior, evidence.reverse_kl, evidence.forward_kl, afar.threshold)


def _posterior(
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
            quantity="elbo",
            direction="ELBO",
            method="mean over fresh draws of q",
            n=weighed.own,
            kind="lower_bound",
        ),
        entropy=_entropy(made.q, weighed),
        energy=Estimate.sampled(
            *weighed.energy,
            quantity="energy",
            direction="E_q[log p]",
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
            quantity="jeffreys",
            direction="EUBO - ELBO",
            method="10 MALA steps from q",
            n=len(probed.points.x),
        ),
        outside=Estimate.sampled(
            *afar.outside,
            quantity="mass",
            direction="p's mass outside q",
            method="tempering",
            n=len(afar.x),
            unit="",
        ),
        pareto_k=weighed.own_weights[1],
        parameters=tuple(parameters),
        draws=draws,
        trace=made.trace,
        fit_error=made.noise,
        diagnosis=Diagnosis((), _verdict.UNSEEN),
    )


def _parameters(
    target: Unconstrained,
    made: ReverseFit,
    weighed: Weighed,
    afar: Afar,
    run: Run,
    *,
    by_weights: bool,
) -> list[Parameter]:
    moments = _marginals.of_q(target, made.q, run.generator("moments"))
    expected = _marginals.expected_shrinkage(target, made.curvature, made.q)
    here = columns(target.constrain(weighed.x), bare=target.bare)
    if by_weights or not afar.tempered.complete:
        return _marginals.by_weights(weighed, here, moments, expected)
    there = columns(target.constrain(afar.x), bare=target.bare)
    return _marginals.by_tempering(here, afar, there, moments, expected)


def _tails(rays: Rays) -> list[Finding]:
    if not math.isfinite(rays.heavy):
        return []
    text = f"p falls only as distance^-{rays.heavy:.1f}: its tails are heavier than q's"
    remedy = "use the tempered draws for tail probabilities, or a family with heavy tails"
    return [Finding("tails", "caution", text, remedy)]


def _draws(target: Unconstrained, weighed: Weighed, probed: Probe, afar: Afar) -> Draws:
    own = weighed.own
    return Draws(
        plain=target.constrain(weighed.x[:own]),
        log_p=weighed.log_p[:own],
        log_q=weighed.log_q[:own],
        weights=weighed.own_weights[0],
        refreshed=target.constrain(probed.points.x),
        tempered=target.constrain(afar.x),
    )


def _entropy(q: Gaussians, weighed: Weighed) -> Estimate:
    d = q.means.shape[1]
    if len(q.weights) == 1:
        value = 0.5 * d * math.log(2.0 * math.pi * math.e) + float(q.log_dets()[0])
        return Estimate.exact(value, quantity="entropy", direction="H(q)", method="closed form")
    own = -weighed.log_q[: weighed.own]
    return Estimate.sampled(
        float(own.mean()),
        float(own.std(ddof=1)) / math.sqrt(len(own)),
        quantity="entropy",
        direction="H(q)",
        method="mean over draws of q",
        n=len(own),
    )
