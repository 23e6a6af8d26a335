"""Gibbs sweeps over discrete latents, and tempering with them: draws of p that owe nothing to a fit.

Points go from the uniform distribution to p through exp(beta log p), in independent populations whose
spread is the error. Between temperatures they are resampled by their weights and swept once.

Source: Neal (2001); Del Moral, Doucet, Jasra (2006).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float, Int
from scipy import special

Array = np.ndarray
Values = Callable[[Int[np.ndarray, "n m"]], Float[np.ndarray, " n"]]

_POPULATIONS, _POINTS = 8, 128
_EFFECTIVE, _MOST_TEMPERATURES = 0.7, 100
#: What has no mass counts as this many nats below the highest there is.
_LOWEST = 1e6


@final
@dataclass(frozen=True, eq=False)
class Swept:
    """Points of p from afar.

    Attributes:
        x: (n, m).
        log_p: of them.
        population: which each is of.
        log_evidence, standard_error: the log of the sum of p over all states.
        complete: whether p itself was reached.
    """

    x: Int[np.ndarray, "n m"]
    log_p: Float[np.ndarray, " n"]
    population: Array
    log_evidence: float
    standard_error: float
    complete: bool


def sweep(
    values: Values, x: Int[np.ndarray, "n m"], k: int, rng: np.random.Generator, beta: float = 1.0
) -> tuple[Int[np.ndarray, "n m"], Float[np.ndarray, " n"]]:
    """Returns points after one draw of each latent given the others under p^beta, and their log p."""
    n, m = x.shape
    x = x.copy()
    log_p = np.empty(n)
    for i in rng.permutation(m):
        tried = np.repeat(x[None], k, axis=0)
        tried[:, :, i] = np.arange(k)[:, None]
        logs = values(tried.reshape(k * n, m)).reshape(k, n)
        usable = _usable(logs)
        gumbel = -np.log(-np.log(rng.uniform(1e-300, 1.0, (k, n))))
        chosen = np.argmax(beta * usable + gumbel, axis=0)
        x[:, i], log_p = chosen, logs[chosen, np.arange(n)]
    return x, log_p


def temper_discrete(
    values: Values, m: int, k: int, rng: np.random.Generator, watch: Callable[[float], None]
) -> Swept:
    """Returns points of p that started uniform."""
    n = _POPULATIONS * _POINTS
    population = np.repeat(np.arange(_POPULATIONS), _POINTS)
    x = rng.integers(0, k, (n, m))
    log_p = values(x)
    totals = np.full(_POPULATIONS, m * math.log(k))
    beta = 0.0
    for _ in range(_MOST_TEMPERATURES):
        usable = _usable(log_p)
        further = _next(usable, beta)
        logs = (further - beta) * usable
        rows = logs.reshape(_POPULATIONS, _POINTS)
        totals += np.logaddexp.reduce(rows, axis=1) - math.log(_POINTS)
        weights = special.softmax(rows, axis=1)
        picked = [g * _POINTS + _resampled(w, rng) for g, w in enumerate(weights)]
        beta = further
        x, log_p = sweep(values, x[np.concatenate(picked)], k, rng, beta)
        watch(beta)
        if beta == 1.0:
            break
    level = float(np.logaddexp.reduce(totals)) - math.log(_POPULATIONS)
    shares = np.exp(totals - level)
    error = float(shares.std(ddof=1)) / math.sqrt(_POPULATIONS)
    return Swept(x, log_p, population, level, error, beta == 1.0)


def _usable(logs: Array) -> Array:
    finite = np.isfinite(logs)
    if finite.all():
        return logs
    return np.where(finite, logs, (logs[finite].max() if finite.any() else 0.0) - _LOWEST)


def _next(log_p: Float[np.ndarray, " n"], beta: float) -> float:
    """The largest beta at which a share of the points stays effective."""

    def lacking(further: float) -> float:
        logs = (further - beta) * log_p
        both = 2.0 * np.logaddexp.reduce(logs) - np.logaddexp.reduce(2.0 * logs)
        return math.exp(both) / len(log_p) - _EFFECTIVE

    if lacking(1.0) >= 0.0:
        return 1.0
    low, high = beta, 1.0
    for _ in range(40):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if lacking(middle) >= 0.0 else (low, middle)
    return high


def _resampled(weights: Float[np.ndarray, " n"], rng: np.random.Generator) -> Array:
    """Systematic resampling."""
    n = len(weights)
    places = np.cumsum(weights)
    places[-1] = 1.0
    return np.searchsorted(places, (np.arange(n) + rng.random()) / n, side="right").clip(0, n - 1)
