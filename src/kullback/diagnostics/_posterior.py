"""The trust report of a reverse fit: everything that can be measured, then the verdict."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import numpy as np

from kullback._core.errors import DensityError
from kullback.diagnostics import _marginals, _verdict
from kullback.diagnostics._faults import check_faults, where_dead
from kullback.diagnostics._rays import Rays, look_out
from kullback.diagnostics._towards_p import Afar, Probe, from_afar, mode_share, overall_root, probe
from kullback.diagnostics._verdict import Remedies
from kullback.diagnostics._weights import RELIABLE, Value, Weighed, weigh
from kullback.fitting._natural_gradient import Gaussians
from kullback.fitting._run import Run
from kullback.fitting._search import Search
from kullback.results._diagnosis import Diagnosis, Draws, Finding, Parameter, Posterior, columns
from kullback.results._estimate import Estimate
from kullback.solvers._density import Density
from kullback.solvers._tempering import Tempered
from kullback.targets import Unconstrained

Array = np.ndarray
_SIGMAS = 3.0
_LIGHT = 0.3
#: On densities with narrow necks the errors of bridges came out half as large again as they said.
_ALLOWANCE, _HARDLY = 1.5, 0.5
#: The share of KL(q||p) that was missed there.
_NECK = 0.25


@final
@dataclass(frozen=True, eq=False)
class Evidence:
    """The log evidence and both KLs, by the route that holds.

    Attributes:
        routes: by weighting draws of q, and by tempering.
        log_evidence, reverse_kl, forward_kl, jeffreys, eubo: the best known.
        by_weights: whether they rest on importance weights of q; otherwise on tempered draws.
    """

    routes: tuple[Estimate, Estimate]
    agreement: Estimate
    log_evidence: Estimate
    reverse_kl: Estimate
    forward_kl: Estimate
    jeffreys: Estimate
    eubo: Estimate
    by_weights: bool


@final
@dataclass(frozen=True, eq=False)
class Report:
    """A posterior with the two KLs that the fit itself carries, and the log q below which q has no draws."""

    posterior: Posterior
    reverse_kl: Estimate
    forward_kl: Estimate
    threshold: float


def diagnose(
    target: Unconstrained,
    density: Density,
    found: Search,
    tempered: Callable[[], Tempered],
    q: Gaussians,
    log_q: Callable[[Array], Array],
    run: Run,
    *,
    trace: tuple[tuple[int, float, int], ...],
    fit_error: tuple[float, float],
    curvature: Array | None,
    remedies: Remedies,
) -> Report:
    """Returns the trust report.

    Args:
        target: p, for names.
        density: p.
        found: what climbing found.
        tempered: gives draws of p from afar, which owe nothing to q.
        q, log_q: the fit and its log density at n points.
        run: randomness and progress.
        trace, fit_error, curvature: of the fit.
        remedies: what to type next.

    Raises:
        DensityError: the log density is no log density where q is: NaN, improper, -inf on a part.
    """
    density.forget()
    run.watch("measuring the ELBO on fresh draws")
    weighed = weigh(density, q, log_q, run.generator("weights"))
    check_faults(density, target, weighed)
    if weighed.dead > 0.0:
        raise DensityError(
            where_dead(target, weighed.x[: weighed.own], weighed.log_p[: weighed.own])
        )
    rays = check_proper(target, density, q, run.generator("rays", 1))
    run.watch("probing with Langevin steps")
    probed = probe(density, q, log_q, weighed, run.generator("probe"))
    afar = from_afar(tempered(), found, q, log_q, weighed)
    evidence = weigh_up(weighed, afar, rays)
    moments = _marginals.of_q(target, q, run.generator("moments"))
    expected = _marginals.expected_shrinkage(target, curvature, q)
    here = columns(target.constrain(weighed.x), bare=target.bare)
    if evidence.by_weights or not afar.tempered.complete:
        parameters = _marginals.by_weights(weighed, here, moments, expected)
    else:
        there = columns(target.constrain(afar.x), bare=target.bare)
        parameters = _marginals.by_tempering(here, afar, there, moments, expected)
    findings = _findings(
        weighed, probed, afar, evidence, rays, parameters, fit_error, trace, remedies
    )
    energy = _estimate(weighed.energy, "energy", "E_q[log p]", "mean over draws of q", weighed.own)
    elbo = _estimate(
        weighed.elbo, "elbo", "ELBO", "mean over fresh draws of q", weighed.own, kind="lower_bound"
    )
    posterior = Posterior(
        elbo=elbo,
        entropy=_entropy(q, weighed),
        energy=energy,
        log_evidence=evidence.log_evidence,
        routes=evidence.routes,
        agreement=evidence.agreement,
        jeffreys=evidence.jeffreys,
        eubo=evidence.eubo,
        probe=_estimate(probed.jeffreys, "jeffreys", "EUBO - ELBO", "10 MALA steps from q", 512),
        outside=_estimate(
            afar.outside, "mass", "p's mass outside q", "tempering", len(afar.x), unit=""
        ),
        pareto_k=weighed.own_weights[1],
        parameters=tuple(parameters),
        draws=_draws(target, weighed, probed, afar),
        trace=trace,
        fit_error=fit_error,
        diagnosis=Diagnosis(tuple(findings), _verdict.UNSEEN),
    )
    return Report(posterior, evidence.reverse_kl, evidence.forward_kl, afar.threshold)


def weigh_up(weighed: Weighed, afar: Afar, rays: Rays) -> Evidence:
    """Returns the best known of everything that needs the evidence, or draws of p."""
    first, second = weighed.log_evidence, afar.log_evidence
    reliable = weighed.pareto_k < RELIABLE
    reached = afar.tempered.complete and second[0] + 4.0 * second[1] > weighed.elbo[0]
    gap, error = second[0] - first[0], math.hypot(first[1], second[1])
    agree = abs(gap) <= _SIGMAS * error + 0.02
    beyond = afar.outside[0] - _SIGMAS * afar.outside[1] > 0.01
    # From here on its error, and its bias, are those of a few large weights.
    light = max(weighed.pareto_k, weighed.own_weights[1]) < _LIGHT
    # Routes that differ while no draw lies outside q: it is tempering that did not quite arrive.
    nowhere = afar.outside[0] <= 0.0
    by_weights = reliable and (not reached or (light and (agree or nowhere) and not beyond))
    n = len(weighed.x)
    routes = (
        _estimate(first, "log_evidence", "log evidence", "importance weighting", n)
        if reliable
        else _unresolved(
            first[0], f"Pareto k = {weighed.pareto_k:.2f}", "log_evidence", "log evidence"
        ),
        _estimate(second, "log_evidence", "log evidence", "tempering from afar", len(afar.x))
        if reached
        else _unresolved(second[0], _why_not(afar), "log_evidence", "log evidence"),
    )
    if by_weights:
        method = "importance weighting"
        values = (
            weighed.log_evidence,
            weighed.reverse_kl,
            weighed.forward_kl,
            weighed.jeffreys,
            weighed.eubo,
        )
    else:
        method = "bridge from q to tempered draws"
        middle = afar.bridged(weighed) if reached else (first[0], math.inf)
        if reached:
            middle, method = _sober(middle, second, method)
            if weighed.own_weights[1] > RELIABLE:
                # Where weights have such a tail, tempered draws too may not enter a narrow neck of p.
                neck = _NECK * max(middle[0] - weighed.elbo[0], 0.0)
                middle = middle[0], math.hypot(middle[1], neck)
        values = _through(weighed, afar, middle)
    names = ("log_evidence", "kl", "kl", "jeffreys", "eubo")
    words = ("log evidence", "KL(q||p)", "KL(p||q)", "KL(q||p) + KL(p||q)", "EUBO")
    reason = f"Pareto k = {weighed.pareto_k:.2f}, and {_why_not(afar)}"
    made = [
        _estimate(v, name, word, method, n, reason=reason)
        for v, name, word in zip(values, names, words, strict=True)
    ]
    if rays.without_variance is not None:
        made[2] = Estimate.infinite(
            f"p falls as distance^-{rays.heavy:.1f}: it has no variance, and no Gaussian is near it",
            quantity="kl",
            direction="KL(p||q)",
            method="tails along rays",
        )
    agreement = _estimate(
        (gap, error if reliable and reached else math.inf),
        "log_evidence",
        "tempering - weighting",
        "difference of two routes",
        n,
    )
    return Evidence(routes, agreement, made[0], made[1], made[2], made[3], made[4], by_weights)


def _sober(bridged: Value, tempered: Value, method: str) -> tuple[Value, str]:
    """Returns the bridge with an error that allows for draws that are not quite p's.

    The two should agree; half of what they do not is taken for an error of either. Where q and the draws
    hardly meet, tempering alone is the better of the two.
    """
    error = _ALLOWANCE * bridged[1]
    apart = abs(bridged[0] - tempered[0])
    doubt = 0.5 * max(apart - 2.0 * math.hypot(error, tempered[1]), 0.0)
    if (error > _HARDLY and tempered[1] < error) or not math.isfinite(bridged[0]):
        return (tempered[0], math.hypot(tempered[1], doubt)), "tempering from afar"
    return (bridged[0], math.hypot(error, doubt)), method


def _why_not(afar: Afar) -> str:
    if afar.tempered.interrupted:
        return "tempering was interrupted"
    return (
        "tempering did not arrive"
        if not afar.tempered.complete
        else "tempering lies below the ELBO"
    )


def _through(
    weighed: Weighed, afar: Afar, middle: Value
) -> tuple[Value, Value, Value, Value, Value]:
    """Evidence, KL(q||p), KL(p||q), Jeffreys and EUBO from a bridge and the tempered draws."""
    low, high = weighed.elbo, afar.eubo
    if not math.isfinite(middle[0]):
        middle = (max(weighed.log_evidence[0], low[0]), math.inf)
    return (
        middle,
        (middle[0] - low[0], math.hypot(middle[1], low[1])),
        (high[0] - middle[0], math.hypot(high[1], middle[1])),
        (high[0] - low[0], math.hypot(high[1], low[1])),
        high,
    )


def _findings(
    weighed: Weighed,
    probed: Probe,
    afar: Afar,
    evidence: Evidence,
    rays: Rays,
    parameters: list[Parameter],
    fit_error: tuple[float, float],
    trace: tuple[tuple[int, float, int], ...],
    remedies: Remedies,
) -> list[Finding]:
    share = mode_share(afar.modes, evidence.log_evidence.value)
    mass = _estimate(afar.outside, "mass", "p's mass outside q", "tempering", len(afar.x), unit="")
    risen = _estimate(probed.jeffreys, "jeffreys", "EUBO - ELBO", "MALA", len(probed.points.x))
    _, k, constant = weighed.own_weights
    elbo = _estimate(weighed.elbo, "elbo", "ELBO", "", weighed.own)
    missed = _verdict.outside(mass, share, remedies)
    if missed.verdict == "do not use":
        # Where q misses mass, a better shape of the same q is not the answer.
        remedies = Remedies(remedies.modes, remedies.modes)
    found = [
        _verdict.divergence(evidence.reverse_kl, remedies),
        _verdict.divergence(evidence.forward_kl, remedies),
        missed,
        _verdict.routes(evidence.agreement, nowhere=afar.outside[0] <= 0.0),
        _verdict.sandwich(elbo, evidence.log_evidence, evidence.eubo),
        _verdict.probe(risen, evidence.jeffreys, probed.acceptance, remedies),
        _verdict.marginals(tuple(parameters), remedies),
        _verdict.pareto(k, constant=constant, remedies=remedies),
        _verdict.error_of_fit(*fit_error, trace[-1][2] if trace else 0),
    ]
    if math.isfinite(rays.heavy):
        found.append(
            Finding(
                "tails",
                "caution",
                f"p falls only as distance^-{rays.heavy:.1f}: its tails are heavier than q's",
                "use the tempered draws for tail probabilities, or a family with heavy tails",
            )
        )
    return found


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
    error = float(own.std(ddof=1)) / math.sqrt(len(own))
    return _estimate(
        (float(own.mean()), error), "entropy", "H(q)", "mean over draws of q", len(own)
    )


def check_proper(
    target: Unconstrained, density: Density, q: Gaussians, rng: np.random.Generator
) -> Rays:
    """Returns how p falls far from q. Raises DensityError if it cannot be normalised."""
    rays = look_out(density, q.means[0], overall_root(q), rng)
    direction = rays.improper
    if direction is None:
        return rays
    along = overall_root(q) @ direction
    scaled = along / np.abs(along).max()
    named = [
        f"{value:+.2g} {name}"
        for value, name in zip(scaled, target.coordinates, strict=True)
        if abs(value) > 0.05
    ]
    raise DensityError(
        f"the log density does not fall along {' '.join(named[:6])}: it cannot be normalised there "
        "(improper or flat). Add a proper prior on these parameters, or remove the direction that the "
        "data do not determine"
    )


def _estimate(
    value: Value,
    quantity: str,
    direction: str,
    method: str,
    n: int,
    *,
    unit: str = "nats",
    kind: str = "estimate",
    reason: str = "one of its parts has no answer",
) -> Estimate:
    number, error = value
    if not math.isfinite(error) or not math.isfinite(number):
        return _unresolved(number, reason, quantity, direction)
    if quantity in ("kl", "jeffreys"):
        if number < -4.0 * error - 1e-6:
            return _unresolved(number, "the log evidence lies below the ELBO", quantity, direction)
        number = max(number, 0.0)
    reach = 1.96 * error
    low = number - reach if quantity not in ("kl", "jeffreys", "mass") else max(number - reach, 0.0)
    return Estimate(
        number,
        error,
        (low, number + reach),
        quantity,
        direction,
        "lower_bound" if kind == "lower_bound" else "estimate",
        method,
        n,
        unit=unit,
    )


def _unresolved(value: float, reason: str, quantity: str, direction: str) -> Estimate:
    return Estimate.unresolved(
        value, reason, quantity=quantity, direction=direction, method="see diagnosis"
    )
