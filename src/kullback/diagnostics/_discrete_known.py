"""What is known of p over discrete latents: by the sum over all states, by weights, or by tempering."""

import math
from dataclasses import dataclass
from typing import Literal, final

import numpy as np
from jaxtyping import Float, Int

from kullback.diagnostics._discrete_weights import Values, WeighedStates
from kullback.diagnostics._verdict import RELIABLE
from kullback.diagnostics._weights import Value
from kullback.distributions._independent import Independent
from kullback.results._estimate import Estimate
from kullback.solvers._gibbs import Swept

Array = np.ndarray
_SIGMAS = 3.0


@final
@dataclass(frozen=True, eq=False)
class Known:
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

    def of(
        self,
        value: Value,
        quantity: str,
        words: str,
        *,
        kind: Literal["estimate", "lower_bound"] = "estimate",
        unit: str = "nats",
    ) -> Estimate:
        """Returns a value with what is known of it."""
        n = len(self.x)
        if self.exact:
            return _exact(value[0], quantity, words, self.method, n, unit)
        return Estimate.sampled(
            *value,
            quantity=quantity,
            direction=words,
            method=self.method,
            n=n,
            kind=kind,
            unit=unit,
        )


def states(m: int, k: int) -> Int[np.ndarray, "n m"]:
    """Returns all k^m states.

    Example:
        >>> states(2, 2).tolist()
        [[0, 0], [0, 1], [1, 0], [1, 1]]
    """
    return np.indices((k,) * m).reshape(m, -1).T


def counted(values: Values, q: Independent, weighed: WeighedStates) -> Known:
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
    return Known(
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


def weighed_up(q: Independent, weighed: WeighedStates, swept: Swept) -> Known:
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
        return Known(
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
    return Known(
        swept.x,
        weights,
        afar,
        weighed.elbo,
        eubo,
        beyond,
        "tempering from afar",
        exact=False,
        error_of_moments=error,
    )


def _exact(value: float, quantity: str, words: str, method: str, n: int, unit: str) -> Estimate:
    if math.isinf(value) or math.isnan(value):
        reason = (
            "q has mass where p has none" if words != "KL(p||q)" else "p has mass where q has none"
        )
        return Estimate.infinite(
            reason, quantity=quantity, direction=words, method=method, unit=unit
        )
    if quantity in ("kl", "jeffreys"):
        value = max(value, 0.0)
    return Estimate.exact(value, quantity=quantity, direction=words, method=method, n=n, unit=unit)
