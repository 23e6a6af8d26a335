"""Monte Carlo: averages of the log ratio, with an error bar that is itself measured.

Where p is a mixture of maps of standard normals, each component is a stratum, drawn by scrambled
Sobol points from a slightly wider normal and reweighted, so that the tails, where a dropped mode
is paid for, are looked at often. The standard error comes from independent scramblings. Anything
else is drawn plainly. Where the tail of what is averaged is too heavy for a variance, the answer is
"unresolved", whatever the draws say.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import final

import numpy as np
from arviz_stats.base import array_stats  # pyright: ignore[reportPrivateImportUsage]
from jaxtyping import Float
from scipy import special, stats

from kullback.core.errors import DensityError
from kullback.core.run import split
from kullback.distributions.base import Array, Distribution, Stratum
from kullback.distributions.compound import Mixture
from kullback.distributions.gaussian_mixture import GaussianMixture, log_prob_pair
from kullback.distributions.real import Normal
from kullback.distributions.vector import MultivariateNormal
from kullback.measure.question import Question
from kullback.results.estimate import Outcome, infinite, unresolved

#: Independent scramblings from which the standard error is taken.
REPLICATES = 32
_FIRST, _MOST = 2**13, 2**21
#: Draws whose tail is examined before any are averaged.
_PILOT = 60_000
_PILOT_SEED = 20_261_130
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
class _Average:
    """A mean with its standard error, its 95 % interval and how it was taken."""

    value: float
    error: float
    interval: tuple[float, float]
    n: int
    method: str


def measure(
    question: Question, p: Distribution, q: Distribution, *, budget: Budget, key: object
) -> Outcome:
    """Returns the answer with a standard error; unresolved where it may have no variance."""
    integrand, sources = _plan(question, p, q)
    rng, _ = split(key, 2)
    # No verdict hangs on the key: whether there is a variance is a property of p and q.
    pilot = np.random.default_rng(_PILOT_SEED)
    light = question.bounded or (question.of_logs and _quadratic(p) and _quadratic(q))
    if not light:
        # The tail is judged by draws of its own: judging by those that are averaged would let
        # through the averages that happen to lack large values.
        parts = [part for _, source in sources for part in _parts(source)]
        drawn = max(_PILOT // len(parts), _PILOT // 6)
        points = [part.sample(pilot, drawn) for part in parts]
        seen = [integrand(x) for x in points]
        limit = _LIMIT
        if question.of_logs and all(moments_exist(p, q, x) for x in points):
            limit = _LIMIT_WITH_MOMENTS
        problem = reason(seen, right_only=question.of_logs, limit=limit)
        if problem is not None:
            return _stopped(seen, problem)
    strata = [source.strata() for _, source in sources]
    pieces = [
        Stratum(w * s.weight, s.dimension, s.transport)
        for (w, _), group in zip(sources, strata, strict=True)
        for s in group
    ]
    n = budget.n if budget.n is not None else _FIRST
    while True:
        average = (
            _scrambled(integrand, pieces, n, rng)
            if all(strata)
            else _plain(integrand, sources, n, rng)
        )
        if not math.isfinite(average.value):
            return infinite("support: q is 0 at some draws of p", average.method)
        if budget.met(average.value, average.error):
            return _outcome(question, p, q, average)
        if n >= _MOST:
            missed = (
                ()
                if budget.tolerance is None
                else (f"tolerance not reached: {average.n} draws are the most that are taken",)
            )
            found = _outcome(question, p, q, average)
            return replace(found, notes=(*found.notes, *missed))
        n = min(_next(n, average.value, average.error, budget), _MOST)


def _parts(d: Distribution) -> list[Distribution]:
    """The components of a mixture: a rare one may be the one whose tail is heavy."""
    if isinstance(d, Mixture):
        return [c for w, c in zip(d.weights, d.components, strict=True) if w > 0.0]
    return [d]


def _stopped(seen: list[Float[np.ndarray, " n"]], problem: str) -> Outcome:
    if any(np.isposinf(v).any() for v in seen):
        return infinite("support: q is 0 at some draws of p", "Monte Carlo")
    mean = float(np.concatenate(seen).mean())
    return unresolved(mean, problem, "Monte Carlo", sum(len(v) for v in seen))


def _next(n: int, value: float, error: float, budget: Budget) -> int:
    """Returns how many draws to take next: at least twice, at most 16 times as many."""
    goal = max(1e-3 * abs(value), 1e-6) if budget.tolerance is None else budget.tolerance
    ratio = min(error / max(goal, 1e-300), 16.0) if math.isfinite(error) else 16.0
    factor = ratio**1.5  # not more than the 16 below asks for, and nothing overflows
    return int(n * min(max(2.0, factor), 16.0))


def _outcome(question: Question, p: Distribution, q: Distribution, average: _Average) -> Outcome:
    error = math.hypot(average.error, 1e-15 * abs(average.value))
    answer = question.finish(average.value)
    spread = [abs(question.finish(average.value + e) - answer) for e in (error, -error)]
    low, high = (question.finish(end) for end in average.interval)
    notes = tuple(
        f"only up to the unknown normalising constant of {name}"
        for name, d in (("p", p), ("q", q))
        if not d.normalized
    )
    return Outcome(
        answer, max(spread), "estimate", average.method, average.n, notes, interval=(low, high)
    )


def _plan(
    question: Question, p: Distribution, q: Distribution
) -> tuple[Integrand, list[tuple[float, Distribution]]]:
    """Returns what to average and over which distributions with which weights."""
    both = _pair(p, q)
    if not question.over_q:

        def over_p(x: Array) -> Float[np.ndarray, " n"]:
            log_p, log_q = both(x)
            return question.contribution(log_p, log_q, -log_p)

        return over_p, [(1.0, p)]

    def over_both(x: Array) -> Float[np.ndarray, " n"]:
        log_p, log_q = both(x)
        middle = np.logaddexp(log_p, log_q) - math.log(2.0)
        return question.contribution(log_p, log_q, -middle)

    return over_both, [(0.5, p), (0.5, q)]


def _pair(p: Distribution, q: Distribution) -> Callable[[Array], tuple[Array, Array]]:
    """Returns what gives log p and log q at n events."""
    if isinstance(p, GaussianMixture) and isinstance(q, GaussianMixture):
        return log_prob_pair(p, q)
    return lambda x: (p.log_prob(x), q.log_prob(x))


def _plain(
    integrand: Integrand,
    sources: list[tuple[float, Distribution]],
    n: int,
    rng: np.random.Generator,
) -> _Average:
    """Independent draws; the interval is corrected for their skewness (Hall 1992)."""
    rows = max(n // len(sources), 2)
    value = variance = third = 0.0
    for weight, source in sources:
        drawn = integrand(source.sample(rng, rows))
        mean = float(drawn.mean())
        moved = drawn - mean
        value += weight * mean
        variance += weight**2 * float(moved @ moved) / (rows - 1) / rows
        third += weight**3 * float(np.sum(moved**3)) / rows**3
    error = math.sqrt(variance)
    skewness = third / max(error, 1e-300) ** 3 if error > 0.0 else 0.0
    interval = (value - error * _hall(1.96, skewness), value - error * _hall(-1.96, skewness))
    return _Average(value, error, interval, rows * len(sources), "Monte Carlo")


def _hall(z: float, skewness: float) -> float:
    """The quantile of a t statistic whose numerator has this skewness (Hall 1992, eq. 3.6)."""
    a = skewness / 3.0
    if abs(a) < 1e-8:
        return z
    inside = 1.0 + 3.0 * a * (z - skewness / 6.0)
    return (math.copysign(abs(inside) ** (1.0 / 3.0), inside) - 1.0) / a


def _scrambled(
    integrand: Integrand, pieces: list[Stratum], n: int, rng: np.random.Generator
) -> _Average:
    """Scrambled Sobol draws by strata; all strata share the points, each in its own reflection."""
    counts = [_power_of_two(n / REPLICATES * s.weight) for s in pieces]
    means: Float[np.ndarray, " r"] = np.zeros(REPLICATES)
    widths = {s.dimension for s in pieces}
    for replicate in range(REPLICATES):
        points = {d: _normals(d, max(counts), rng) for d in widths}
        for stratum, count in zip(pieces, counts, strict=True):
            z, weight = points[stratum.dimension]
            flips = rng.choice([-1.0, 1.0], stratum.dimension)
            order = rng.permutation(stratum.dimension)
            drawn = integrand(stratum.transport(z[:count, order] * flips))
            w = weight[:count]
            level = float(w @ drawn) / float(w.sum())
            # The weights average to 1: what they miss of it is taken out at the mean level.
            mean = float(w @ drawn) / count - level * (float(w.sum()) / count - 1.0)
            means[replicate] += stratum.weight * mean
    value, error = float(means.mean()), float(means.std(ddof=1)) / math.sqrt(REPLICATES)
    reach = error * float(stats.t.ppf(0.975, REPLICATES - 1))
    interval = (value - reach, value + reach)
    return _Average(
        value, error, interval, REPLICATES * sum(counts), "stratified quasi-Monte Carlo"
    )


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


# Whether what is averaged has a variance, judged by the tail of draws (Pareto k).

#: A generalised Pareto tail has no variance from 1/2 on. Well before that an interval no longer
#: covers, and k is estimated with an error of about .05.
_LIMIT = 0.27
#: Where all moments exist, k only says how far the draws are from showing it: below this an average of some
#: thousands is nearly normal (z^4 of a normal z comes to .3).
_LIMIT_WITH_MOMENTS = 0.45
#: Rays along which p's tail is followed, and distances in units of the draws'.
_RAYS = 64
_DISTANCES = np.geomspace(1e2, 1e6, 9)


def moments_exist(p: Distribution, q: Distribution, x: Array) -> bool:
    """Whether log p falls faster than any power, and the log ratio grows no faster than one, along rays.

    The rays lead from the middle of draws of p through draws of p, and back.

    Args:
        p, q: of one real space.
        x: draws of p.
    """
    if p.support.kind not in ("real", "interval") or p.support.discrete:
        return False
    rows = x.reshape(len(x), -1)
    center = np.median(rows, axis=0)
    ways = rows[:: max(len(rows) // _RAYS, 1)][:_RAYS] - center
    ways = np.concatenate([ways, -ways])
    at = center + _DISTANCES[:, None, None] * ways
    points = at.reshape(-1, rows.shape[1])
    try:
        logs = [
            d.log_prob(points if d.support.dimension else points[:, 0]).reshape(at.shape[:2])
            for d in (p, q)
        ]
    except DensityError:
        return False
    log_p, log_q = logs
    inside = np.isfinite(log_p)
    if np.isneginf(log_q[inside]).any():
        return False
    # Powers of the distance: p's of its log density beyond any constant, and how fast both grow.
    steps = np.diff(np.log(_DISTANCES))[:, None]
    with np.errstate(invalid="ignore"):
        falls = -np.diff(log_p, axis=0) / steps
        growth = np.diff(np.log(1.0 + np.abs(log_q)), axis=0) / steps
    known = np.isfinite(falls)
    quick = (falls > 50.0 + 10.0 * rows.shape[1]) | ~known
    return bool(quick.all() and (growth[known] < 20.0).all())


def pareto_k(values: Float[np.ndarray, " n"], *, right_only: bool) -> float:
    """Returns the index of the right tail, or of the heavier one; -inf if there is nothing to fit."""
    finite = values[np.isfinite(values)]
    if len(finite) < 100 or np.ptp(finite) <= 1e-12 * np.abs(finite).max():
        return -np.inf
    tail = "right" if right_only else "both"
    if len(np.unique(np.sort(finite)[-len(finite) // 50 :])) < 5:
        return -np.inf
    found = array_stats.pareto_khat(finite[None, :], tail=tail)
    return float(np.asarray(found))


def reason(
    samples: list[Float[np.ndarray, " n"]], *, right_only: bool, limit: float = _LIMIT
) -> str | None:
    """Returns why averages of such values may not be trusted, or None.

    Args:
        samples: values drawn from each source.
        right_only: for log ratios under p, whose left tail is never heavier than exponential:
            P(log p/q < -c) <= exp(-c).
        limit: the k from which they may not.
    """
    k = max(pareto_k(values, right_only=right_only) for values in samples)
    if any(not np.isfinite(values).all() for values in samples):
        return "the log ratio is not finite at some draws"
    if not k > limit:
        return None
    return f"variance may be infinite: the tail of what is averaged has Pareto k = {k:.2f}"
