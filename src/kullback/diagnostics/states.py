"""What is known of p over discrete latents: by the sum over all states, by weights of draws, or by tempering."""

import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import final

import numpy as np
from arviz_stats.base import array_stats  # pyright: ignore[reportPrivateImportUsage]
from jaxtyping import Float, Int
from scipy import special

from kullback.diagnostics.importance import CONSTANT, Value
from kullback.diagnostics.verdict import RELIABLE
from kullback.distributions.vector import Independent
from kullback.results.estimate import Estimate
from kullback.results.quantity import FORWARD_KL, Quantity
from kullback.solvers.gibbs import Swept

Values = Callable[[Int[np.ndarray, "n m"]], Float[np.ndarray, " n"]]

_DRAWS = 4096
#: The largest weight met so often is no stray.
_REPEATS = 20
#: Errors by which two routes may differ.
_SIGMAS = 3.0


@final
@dataclass(frozen=True, eq=False)
class WeighedStates:
    """Draws of q, and of a flatter q, weighted to p. Weights are not smoothed: they repeat themselves.

    Attributes:
        x: those of q first, (n, m).
        own: how many are of q.
        log_p, log_q, log_r: log probabilities; r is what all draws together are drawn from.
    """

    x: Int[np.ndarray, "n m"]
    own: int
    log_p: Float[np.ndarray, " n"]
    log_q: Float[np.ndarray, " n"]
    log_r: Float[np.ndarray, " n"]

    @cached_property
    def weights(self) -> Float[np.ndarray, " n"]:
        """Weights of all draws, with sum 1."""
        return special.softmax(self.log_p - self.log_r)

    @property
    def log_evidence(self) -> Value:
        """The log of the sum of p."""
        n = len(self.x)
        level = float(np.logaddexp.reduce(self.log_p - self.log_r)) - math.log(n)
        return level, float(np.std(n * self.weights)) / math.sqrt(n)

    @property
    def elbo(self) -> Value:
        """E_q[log p - log q]."""
        ratio = (self.log_p - self.log_q)[: self.own]
        if not np.isfinite(ratio).all():
            return -math.inf, 0.0
        return float(ratio.mean()), float(ratio.std()) / math.sqrt(self.own)

    @property
    def eubo(self) -> Value:
        """E_p[log p - log q]."""
        known = np.where(self.weights > 0.0, self.log_p - self.log_q, 0.0)
        value = float(self.weights @ known)
        return value, float(np.sqrt(np.sum((self.weights * (known - value)) ** 2)))

    def pareto_k(self, *, own: bool = False) -> float:
        """Returns Pareto k of the weights; -inf if there is no tail to speak of.

        Where no tail can be fitted because weights repeat themselves: -inf if the largest does, so that
        nothing larger is to be expected, else inf.
        """
        logs = self.log_p[: self.own] - self.log_q[: self.own] if own else self.log_p - self.log_r
        finite = np.where(np.isfinite(logs), logs, logs.max() - 700.0)
        k = math.nan
        # What arviz-stats calls psislw takes minus the log weights; it raises if the tail is one value.
        with suppress(ValueError), np.errstate(all="ignore"):
            k = float(array_stats.psislw(-finite)[1])
        if math.isfinite(k):
            return k
        return -math.inf if np.sum(finite > finite.max() - CONSTANT) >= _REPEATS else math.inf

    @property
    def constant(self) -> bool:
        """Whether the weights of q's own draws are constant."""
        return bool(np.ptp((self.log_p - self.log_q)[: self.own]) < CONSTANT)


def weigh_discrete(values: Values, q: Independent, rng: np.random.Generator) -> WeighedStates:
    """Returns draws of q and, one third, of q with its probabilities flattened, weighted to p."""
    flat = Independent(special.log_softmax(0.5 * q.log_probabilities, axis=1), q.shape)
    own = q.sample(rng, _DRAWS)
    x = np.concatenate([own, flat.sample(rng, _DRAWS // 2)])
    log_q = q.log_prob(x)
    shares = np.log([2.0 / 3.0, 1.0 / 3.0])
    log_r = np.logaddexp(shares[0] + log_q, shares[1] + flat.log_prob(x))
    return WeighedStates(x, _DRAWS, values(x), log_q, log_r)


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


def counted(values: Values, q: Independent, weighed: WeighedStates) -> Measured:
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

    def by_population(values: np.ndarray) -> Value:
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
