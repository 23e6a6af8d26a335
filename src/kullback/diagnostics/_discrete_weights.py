"""Importance weights of draws of discrete latents."""

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

from kullback.diagnostics._weights import CONSTANT, Value
from kullback.distributions._independent import Independent

Values = Callable[[Int[np.ndarray, "n m"]], Float[np.ndarray, " n"]]

_DRAWS = 4096
#: The largest weight met so often is no stray.
_REPEATS = 20


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
