"""Monte Carlo: averages of the log ratio, with an error bar that is itself measured.

Where p is a mixture of maps of standard normals, each component is a stratum, drawn by scrambled
Sobol points from a slightly wider normal and reweighted, so that the tails, where a dropped mode
is paid for, are looked at often. The standard error comes from independent scramblings. Anything
else is drawn plainly. Where the tail of what is averaged is too heavy for a variance, the answer is
"unresolved", whatever the draws say.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float
from scipy import special, stats

from kullback._core import randomness
from kullback.distributions._base import Array, Distribution, Stratum
from kullback.distributions._compound import Mixture
from kullback.distributions._gaussian_mixture import GaussianMixture
from kullback.distributions._real import Normal
from kullback.distributions._vector import MultivariateNormal
from kullback.estimators import _heavy_tail
from kullback.estimators._outcome import Outcome, infinite, unresolved
from kullback.estimators._question import Question

#: Independent scramblings (or batches) from which the standard error is taken.
REPLICATES = 16
_FIRST, _MOST = 2**13, 2**21
#: Draws of each stratum and replicate whose tail is examined.
_LOOKED_AT = 1024
#: Above this many coordinates a wider normal costs more than it finds.
_WIDE = 10

Integrand = Callable[[Array], Float[np.ndarray, " n"]]


@final
@dataclass(frozen=True)
class Budget:
    """When to stop.

    Attributes:
        n: draws, if fixed.
        tolerance: stop when the standard error is below it; None for a thousandth of the value.
    """

    n: int | None = None
    tolerance: float | None = None

    def met(self, value: float, error: float) -> bool:
        goal = max(1e-3 * abs(value), 1e-6) if self.tolerance is None else self.tolerance
        return self.n is not None or error <= goal


@final
@dataclass(frozen=True)
class _Batch:
    """Replicate means, some of the values that were averaged by stratum, and the draws taken."""

    means: Float[np.ndarray, " r"]
    values: list[Float[np.ndarray, " n"]]
    n: int
    method: str


def measure(
    question: Question, p: Distribution, q: Distribution, *, budget: Budget, key: object
) -> Outcome:
    """Returns the answer with a standard error; unresolved where it may have no variance."""
    integrand, sources = _plan(question, p, q)
    strata = [s.strata() for _, s in sources]
    weights = [w for w, _ in sources]
    rng = randomness.generator(key)
    n = budget.n if budget.n is not None else _FIRST
    light = question.bounded or (question.of_logs and _quadratic(p) and _quadratic(q))
    while True:
        if all(strata):
            pieces = [
                Stratum(w * s.weight, s.dimension, s.transport)
                for w, group in zip(weights, strata, strict=True)
                for s in group
            ]
            batch = _scrambled(integrand, pieces, n, rng)
        else:
            batch = _plain(integrand, sources, n, rng)
        if np.isposinf(batch.means).any():
            return infinite("support: q is 0 at some draws of p", batch.method)
        value = float(batch.means.mean())
        error = float(batch.means.std(ddof=1)) / math.sqrt(len(batch.means))
        heavy = None if light else _heavy_tail.reason(batch.values)
        if heavy is not None:
            return unresolved(value, heavy, batch.method, batch.n)
        if budget.met(value, error) or n >= _MOST:
            return _outcome(question, p, q, value, error, batch)
        n = min(_next(n, value, error, budget), _MOST)


def _next(n: int, value: float, error: float, budget: Budget) -> int:
    """Returns how many draws to take next: at least twice, at most 16 times as many."""
    goal = max(1e-3 * abs(value), 1e-6) if budget.tolerance is None else budget.tolerance
    factor = (error / max(goal, 1e-300)) ** 1.5 if math.isfinite(error) else 16.0
    return int(n * min(max(2.0, factor), 16.0))


def _outcome(
    question: Question, p: Distribution, q: Distribution, value: float, error: float, batch: _Batch
) -> Outcome:
    error = math.hypot(error, 1e-15 * abs(value))
    answer = question.finish(value)
    spread = [abs(question.finish(value + e) - answer) for e in (error, -error)]
    notes = [f"only up to the unknown normalising constant of {name}"
             for name, d in (("p", p), ("q", q)) if not d.normalized]  # fmt: skip
    quantile = float(stats.t.ppf(0.975, len(batch.means) - 1))
    return Outcome(answer, max(spread), "estimate", batch.method, batch.n, tuple(notes), quantile)


def _plan(
    question: Question, p: Distribution, q: Distribution
) -> tuple[Integrand, list[tuple[float, Distribution]]]:
    """Returns what to average and over which distributions with which weights."""
    if not question.over_q:

        def over_p(x: Array) -> Float[np.ndarray, " n"]:
            log_p = p.log_prob(x)
            return question.contribution(log_p, q.log_prob(x), -log_p)

        return over_p, [(1.0, p)]

    def over_both(x: Array) -> Float[np.ndarray, " n"]:
        log_p, log_q = p.log_prob(x), q.log_prob(x)
        middle = np.logaddexp(log_p, log_q) - math.log(2.0)
        return question.contribution(log_p, log_q, -middle)

    return over_both, [(0.5, p), (0.5, q)]


def _plain(
    integrand: Integrand, sources: list[tuple[float, Distribution]], n: int, rng: np.random.Generator
) -> _Batch:
    """Independent draws. The replicates are batches of them, so that one formula serves both."""
    rows = max(n // REPLICATES, 2)
    means, values = np.zeros(REPLICATES), []
    for weight, source in sources:
        drawn = integrand(source.sample(rng, REPLICATES * rows)).reshape(REPLICATES, rows)
        means += weight * drawn.mean(axis=1)
        values.append(drawn.ravel())
    return _Batch(means, values, REPLICATES * rows * len(sources), "Monte Carlo")


def _scrambled(
    integrand: Integrand, pieces: list[Stratum], n: int, rng: np.random.Generator
) -> _Batch:
    """Scrambled Sobol draws by strata; all strata share the points, each in its own reflection."""
    counts = [_power_of_two(n / REPLICATES * s.weight) for s in pieces]
    means: Float[np.ndarray, " r"] = np.zeros(REPLICATES)
    values: list[list[Array]] = [[] for _ in pieces]
    widths = {s.dimension for s in pieces}
    for replicate in range(REPLICATES):
        points = {d: _normals(d, max(counts), rng) for d in widths}
        for stratum, count, seen in zip(pieces, counts, values, strict=True):
            z, weight = points[stratum.dimension]
            flips = rng.choice([-1.0, 1.0], stratum.dimension)
            order = rng.permutation(stratum.dimension)
            drawn = integrand(stratum.transport(z[:count, order] * flips))
            w = weight[:count]
            level = float(w @ drawn) / float(w.sum())
            # The weights average to 1: what they miss of it is taken out at the mean level.
            mean = float(w @ drawn) / count - level * (float(w.sum()) / count - 1.0)
            means[replicate] += stratum.weight * mean
            seen.append(drawn[:_LOOKED_AT])
    total = REPLICATES * sum(counts)
    return _Batch(means, [np.concatenate(v) for v in values], total, "stratified quasi-Monte Carlo")


def _quadratic(d: Distribution) -> bool:
    """Whether log d is bounded by a quadratic and d's tails are Gaussian: every moment exists."""
    if isinstance(d, Mixture):
        return all(_quadratic(c) for c in d.components)
    return isinstance(d, (Normal, MultivariateNormal, GaussianMixture))


def _power_of_two(count: float) -> int:
    return 2 ** max(4, math.floor(math.log2(max(count, 1.0))))


def _normals(
    d: int, n: int, rng: np.random.Generator
) -> tuple[Float[np.ndarray, "n d"], Float[np.ndarray, " n"]]:
    """Returns scrambled Sobol normals, wider than standard in few dimensions, and their weights."""
    u = stats.qmc.Sobol(d, rng=rng).random(n).clip(1e-15, 1.0 - 1e-15)
    t = special.ndtri(u)
    if d > _WIDE:
        return t, np.ones(n)
    scale = 1.0 + 0.7 / math.sqrt(d)
    squares = np.einsum("nd,nd->n", t, t)
    return scale * t, np.exp(d * math.log(scale) - 0.5 * (scale**2 - 1.0) * squares)
