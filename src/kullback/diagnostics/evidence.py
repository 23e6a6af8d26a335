"""The log evidence and both KLs by two routes, and which of them holds."""

import math
from dataclasses import dataclass, replace
from typing import final

import numpy as np
from jaxtyping import Float, Int

from kullback.diagnostics.importance import Value, Weighed, WeighedStates
from kullback.diagnostics.importance import Values as importance_Values
from kullback.diagnostics.integrability import Rays
from kullback.diagnostics.tempered import Afar
from kullback.diagnostics.verdict import RELIABLE
from kullback.distributions.vector import Independent
from kullback.results.estimate import Estimate
from kullback.results.quantity import EUBO, FORWARD_KL, JEFFREYS, LOG_EVIDENCE, REVERSE_KL, Quantity
from kullback.solvers.gibbs import Swept

_SIGMAS = 3.0
_LIGHT = 0.3
#: Pareto k of weights without a variance.
_NO_VARIANCE = 0.5
#: On densities with narrow necks the errors of bridges came out half as large again as they said.
_ALLOWANCE, _HARDLY = 1.5, 0.5
#: The share of KL(q||p) that was missed there.
_NECK = 0.25
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


#: What draws of mixtures leave unseen of a p that a flow is close to, in nats, of the evidence and of KL(p||q):
#: of bananas, .0016 and .015 were missed by errors of .0003 and .003.
_UNSEEN = 0.001, 0.005


def of_flow(found: Evidence) -> Evidence:
    """Returns what is known beside a flow, whose tails end where no mixture looks."""
    whole, forward = _UNSEEN
    return replace(
        found,
        log_evidence=_wider(found.log_evidence, whole),
        reverse_kl=_wider(found.reverse_kl, whole),
        forward_kl=_wider(found.forward_kl, forward),
    )


def _wider(known: Estimate, by: float) -> Estimate:
    if known.kind != "estimate" or known.standard_error is None:
        return known
    error = math.hypot(known.standard_error, by)
    return Estimate.sampled(known.value, error, known.quantity, method=known.method, n=known.n)


# What is known of p over discrete latents: by the sum over all states, by weights, or by tempering.

Array = np.ndarray


@final
@dataclass(frozen=True, eq=False)
class Measured:
    """States or draws with weights of p that sum to 1, and what follows from them, each with its error."""

    x: Int[np.ndarray, "n m"]
    weights: Float[np.ndarray, " n"]
    log_evidence: Value
    elbo: Value
    eubo: Value
    outside: Value
    method: str
    exact: bool
    error_of_moments: float

    def of(self, value: Value, quantity: Quantity) -> Estimate:
        """Returns a value with what is known of it."""
        n = len(self.x)
        if self.exact:
            return _exact(value[0], quantity, self.method, n)
        return Estimate.sampled(*value, quantity, method=self.method, n=n)


def states(m: int, k: int) -> Int[np.ndarray, "n m"]:
    """Returns all k^m states.

    Example:
        >>> states(2, 2).tolist()
        [[0, 0], [0, 1], [1, 0], [1, 1]]
    """
    return np.indices((k,) * m).reshape(m, -1).T


def counted(values: importance_Values, q: Independent, weighed: WeighedStates) -> Measured:
    """Returns everything by the sum over all states."""
    m, k = q.log_probabilities.shape
    x = states(m, k)
    log_p, log_q = values(x), q.log_prob(x)
    level = float(np.logaddexp.reduce(log_p))
    p, own = np.exp(log_p - level), np.exp(log_q)
    beyond = log_q < weighed.log_q[: weighed.own].min()
    with np.errstate(invalid="ignore"):
        elbo = float(np.sum(np.where(own > 0.0, own * (log_p - log_q), 0.0)))
        eubo = float(np.sum(np.where(p > 0.0, p * (log_p - log_q), 0.0)))
    return Measured(
        x,
        p,
        (level, 0.0),
        (elbo, 0.0),
        (eubo, 0.0),
        (float(p[beyond].sum()), 0.0),
        "sum over all states",
        exact=True,
        error_of_moments=0.0,
    )


def weighed_up(q: Independent, weighed: WeighedStates, swept: Swept) -> Measured:
    """Returns everything by weights of q's draws where they hold and tempering agrees, else by tempering."""
    log_q = q.log_prob(swept.x)
    groups = np.bincount(swept.population)

    def by_population(values: Array) -> Value:
        means = np.bincount(swept.population, values) / groups
        return float(means.mean()), float(means.std(ddof=1)) / math.sqrt(len(means))

    beyond = by_population((log_q < weighed.log_q[: weighed.own].min()).astype(float))
    beyond = (beyond[0], math.hypot(beyond[1], 0.5 / len(swept.x)))
    afar = (swept.log_evidence, swept.standard_error)
    apart = abs(weighed.log_evidence[0] - afar[0])
    agree = apart <= _SIGMAS * math.hypot(weighed.log_evidence[1], afar[1]) + 0.02
    if weighed.pareto_k() < RELIABLE and agree and beyond[0] - _SIGMAS * beyond[1] < 0.01:
        weights = weighed.weights
        values = (weighed.log_evidence, weighed.elbo, weighed.eubo)
        error = math.sqrt(float(np.sum(weights**2)))
        return Measured(
            weighed.x,
            weights,
            *values,
            beyond,
            "importance weighting",
            exact=False,
            error_of_moments=error,
        )
    eubo = by_population(swept.log_p - log_q)
    weights = np.full(len(swept.x), 1.0 / len(swept.x))
    error = 1.0 / math.sqrt(len(groups))
    return Measured(
        swept.x,
        weights,
        afar,
        weighed.elbo,
        eubo,
        beyond,
        "tempered SMC",
        exact=False,
        error_of_moments=error,
    )


def _exact(value: float, quantity: Quantity, method: str, n: int) -> Estimate:
    if math.isinf(value) or math.isnan(value):
        beyond = "p has mass where q has none" if quantity == FORWARD_KL else None
        return Estimate.infinite(beyond or "q has mass where p has none", quantity, method=method)
    value = max(value, 0.0) if quantity.nonnegative else value
    return Estimate.exact(value, quantity, method=method, n=n)
