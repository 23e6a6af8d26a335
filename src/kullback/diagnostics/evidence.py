"""The log evidence and both KLs by two routes, and which of them holds."""

import math
from dataclasses import dataclass
from typing import final

from kullback.diagnostics.importance import Value, Weighed
from kullback.diagnostics.integrability import Rays
from kullback.diagnostics.tempered import Afar, mode_share
from kullback.diagnostics.verdict import RELIABLE
from kullback.results.estimate import Estimate
from kullback.results.quantity import EUBO, FORWARD_KL, JEFFREYS, LOG_EVIDENCE, REVERSE_KL

_SIGMAS = 3.0
_LIGHT = 0.3
#: Pareto k of weights without a variance.
_NO_VARIANCE = 0.5
#: On densities with narrow necks the errors of bridges came out half as large again as they said.
_ALLOWANCE, _HARDLY = 1.5, 0.5
#: The share of KL(q||p) that was missed there.
_NECK = 0.25
#: A share of p at a mode is held against what draws of p say of it from here on, and is not known below such a part.
_SEPARATE, _TIMES = 0.2, 3.0
#: What each route gives.
_QUANTITIES = (LOG_EVIDENCE, REVERSE_KL, FORWARD_KL, JEFFREYS, EUBO)
Values = tuple[Value, Value, Value, Value, Value]


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


def weigh_up(weighed: Weighed, afar: Afar, rays: Rays) -> Evidence:
    """Returns the best known of everything that needs the evidence, or draws of p."""
    first, second = weighed.log_evidence, afar.log_evidence
    reliable = weighed.pareto_k < RELIABLE
    reached = afar.tempered.complete and second[0] + 4.0 * second[1] > weighed.elbo[0]
    by_weights = reliable and (not reached or _weights_hold(weighed, afar))
    if by_weights:
        values, method = _weighted(weighed, afar), "importance weighting"
    else:
        values, method = _bridged(weighed, afar, reached=reached)
    n, k = len(weighed.x), f"Pareto k = {weighed.pareto_k:.2f}"
    why = (
        "few draws, where q is nearly 0, decide it" if by_weights else f"{k}, and {_why_not(afar)}"
    )
    made = [
        Estimate.sampled(
            *value,
            quantity,
            method=method,
            n=n,
            reason=why,
        )
        for value, quantity in zip(values, _QUANTITIES, strict=True)
    ]
    unmet = _unmet(weighed, afar, made[0].value)
    if unmet:
        why = f"a mode holds about {100.0 * unmet:.2g} % of p (Laplace), and draws of p do not reach its height"
        made = [Estimate.unresolved(e.value, why, e.quantity, method=e.method, n=n) for e in made]
    if rays.without_variance is not None:
        made[2] = Estimate.infinite(
            f"p falls as distance^-{rays.heavy:.1f}: it has no variance, and no Gaussian is near it",
            FORWARD_KL,
            method="tails along rays",
        )
    gap = _gap(weighed, afar)
    agreement = Estimate.sampled(
        gap[0],
        gap[1] if reliable and reached else math.inf,
        LOG_EVIDENCE.called("tempered SMC - importance sampling"),
        method="difference of the two estimates",
        n=n,
        reason="one of its parts has no answer",
    )
    routes = (
        _route(first, "importance weighting", n, "" if reliable else k),
        _route(second, "tempered SMC", len(afar.x), "" if reached else _why_not(afar)),
    )
    return Evidence(routes, agreement, made[0], made[1], made[2], made[3], made[4], by_weights)


def _unmet(weighed: Weighed, afar: Afar, log_evidence: float) -> float:
    """The share of p at a mode, by Laplace's approximation, that draws of p do not know by its height; 0 if none is.

    Nearly all of a Gaussian is within d/2 + 3 (d/2)^(1/2) nats of its top, along whatever bend.
    """
    for mode in afar.known:
        share = mode_share((mode,), log_evidence)
        half = 0.5 * len(mode.at)
        level = mode.value - half - 3.0 * math.sqrt(half) - 1.0
        there = afar.tempered.log_p > level
        by_tempering = float(there.mean()) if afar.tempered.complete else 0.0
        by_weights = float((weighed.weights * (weighed.log_p > level)).mean())
        if share > _SEPARATE and max(by_tempering, by_weights) < share / _TIMES:
            return share
    return 0.0


def _route(value: Value, method: str, n: int, fault: str) -> Estimate:
    return Estimate.sampled(
        value[0],
        math.inf if fault else value[1],
        LOG_EVIDENCE,
        method=method,
        n=n,
        reason=fault or "its standard error is not known",
    )


def _gap(weighed: Weighed, afar: Afar) -> Value:
    """The log evidence by tempering less that by weighting."""
    first, second = weighed.log_evidence, afar.log_evidence
    return second[0] - first[0], math.hypot(first[1], second[1])


def _weights_hold(weighed: Weighed, afar: Afar) -> bool:
    """Whether weights are to be believed where tempering has arrived too."""
    if weighed.closer:
        # A tempered draw that would weigh more than any of thousands: a place that they do not know.
        return weighed.pareto_k < RELIABLE and not _certain(afar.heavier(weighed))
    gap, error = _gap(weighed, afar)
    agree = abs(gap) <= _SIGMAS * error + 0.02
    beyond = _certain(afar.outside)
    # From here on its error, and its bias, are those of a few large weights.
    light = max(weighed.pareto_k, _tail_of_q(weighed)) < _LIGHT
    # Routes that differ while no draw lies outside q: it is tempering that did not quite arrive.
    nowhere = afar.outside[0] <= 0.0
    return light and (agree or nowhere) and not beyond


def _certain(share: Value) -> bool:
    """Whether a share of p's mass is more than a hundredth."""
    return share[0] - _SIGMAS * share[1] > 0.01


def _tail_of_q(weighed: Weighed) -> float:
    """Pareto k of q's own weights, where no draws of a mixture closer to p help them."""
    return -math.inf if weighed.closer else weighed.own_weights[1]


def _weighted(weighed: Weighed, afar: Afar) -> Values:
    """By weights; where they have a tail without variance, with a half of what tempering differs by beyond chance."""
    doubt = 0.0
    if weighed.closer and weighed.pareto_k > _NO_VARIANCE and afar.tempered.complete:
        gap, error = _gap(weighed, afar)
        doubt = 0.5 * max(abs(gap) - 2.0 * error, 0.0)

    def doubted(value: Value) -> Value:
        return value[0], math.hypot(value[1], doubt)

    return (
        doubted(weighed.log_evidence),
        doubted(weighed.reverse_kl),
        doubted(weighed.forward_kl),
        weighed.jeffreys,
        weighed.eubo,
    )


def _bridged(weighed: Weighed, afar: Afar, *, reached: bool) -> tuple[Values, str]:
    """By a bridge to the tempered draws, and how."""
    method = "bridge sampling, q to tempered SMC"
    if not reached:
        return _through(weighed, afar, (weighed.log_evidence[0], math.inf)), method
    middle, method = _sober(afar.bridged(weighed), afar.log_evidence, method)
    if weighed.closer:
        # Neither the weights nor the tempered draws hold: what they differ by is not known.
        apart = abs(weighed.log_evidence[0] - afar.log_evidence[0])
        values = _through(weighed, afar, (middle[0], math.hypot(middle[1], apart)))
        forward, jeffreys, eubo = ((value, math.inf) for value, _ in values[2:])
        return (values[0], values[1], forward, jeffreys, eubo), method
    if max(weighed.pareto_k, _tail_of_q(weighed)) > RELIABLE:
        # Where weights have such a tail, tempered draws too may not enter a narrow neck of p.
        neck = _NECK * max(middle[0] - weighed.elbo[0], 0.0)
        middle = middle[0], math.hypot(middle[1], neck)
    return _through(weighed, afar, middle), method


def _sober(bridged: Value, tempered: Value, method: str) -> tuple[Value, str]:
    """Returns the bridge with an error that allows for draws that are not quite p's.

    The two should agree; half of what they do not is taken for an error of either. Where q and the draws
    hardly meet, tempering alone is the better of the two.
    """
    error = _ALLOWANCE * bridged[1]
    apart = abs(bridged[0] - tempered[0])
    doubt = 0.5 * max(apart - 2.0 * math.hypot(error, tempered[1]), 0.0)
    if (error > _HARDLY and tempered[1] < error) or not math.isfinite(bridged[0]):
        return (tempered[0], math.hypot(tempered[1], doubt)), "tempered SMC"
    return (bridged[0], math.hypot(error, doubt)), method


def _why_not(afar: Afar) -> str:
    if afar.tempered.interrupted:
        return "tempered SMC was interrupted"
    return (
        "tempered SMC did not reach p"
        if not afar.tempered.complete
        else "tempered SMC lies below the ELBO"
    )


def _through(weighed: Weighed, afar: Afar, middle: Value) -> Values:
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
