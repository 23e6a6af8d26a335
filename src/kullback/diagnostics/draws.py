"""Draws of anyone against a log density: a mixture is fitted to the first half, everything measured on the second."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import final

import numpy as np
from jaxtyping import Float

from kullback.core.run import Run
from kullback.diagnostics.adaptive import cover, mixture_of
from kullback.diagnostics.evidence import Evidence, weigh_up
from kullback.diagnostics.importance import Value, Weighed, weigh
from kullback.diagnostics.integrability import check_found, check_proper
from kullback.diagnostics.posterior import named_parameters
from kullback.diagnostics.tempered import Afar, from_afar, mode_share
from kullback.diagnostics.verdict import (
    UNSEEN_MODES,
    Remedies,
    at_least,
    effective_size,
    marginals,
    missed_mass,
    outside,
    routes,
)
from kullback.fitting.components import Components, one
from kullback.fitting.reverse import Climbs
from kullback.inputs.draws import Drawn
from kullback.measure.samples.dependence import chains_of, lasting, memory
from kullback.results.estimate import Estimate
from kullback.results.judgement import JudgedDraws, Judgement
from kullback.results.posterior import Coordinate, Diagnosis
from kullback.results.quantity import (
    BY_DRAWS,
    LOG_EVIDENCE,
    MASS_OUTSIDE,
    REVERSE_KL,
)
from kullback.solvers.modes import CountedDensity
from kullback.solvers.tempering import Tempered, bridge
from kullback.tables.rows import Rows
from kullback.targets import Unconstrained

Array = np.ndarray
#: Draws of a half that are used: more would tell little more, and cost as many gradients.
_MOST = 4096
#: The share of draws beyond which there are none to speak of, and how many independent ones that is at least.
_EDGE, _FEW = 0.01, 10.0
#: Draws with sds below this share of p's at a mode have none to speak of.
_NARROWEST = 1e-4
#: Errors of one of many parameters that are no chance.
_SIGMAS = 4.0
#: One side of a 95 % interval.
_ONE_SIDED = 1.645
_BY_DRAWS = "bridge sampling, the draws to a mixture fitted to half of them"


@final
@dataclass(frozen=True, eq=False)
class Series:
    """Draws in the order of their chains.

    Attributes:
        index: which draws, (n,).
        chains: places in `index` of each chain, in order; () where draws are independent.
        length: how many draws are worth an independent one, for the mean of the slowest parameter.
    """

    index: Array
    chains: tuple[Array, ...]
    length: float

    @property
    def worth(self) -> float:
        """How many independent draws these are worth."""
        return len(self.index) / self.length

    def error(self, values: Float[np.ndarray, " n"]) -> float:
        """Returns the standard error of the mean of values at the draws."""
        alone = float(np.std(values, ddof=1)) / math.sqrt(len(values))
        return alone * math.sqrt(memory(values, self.chains)) if self.chains else alone


def in_chains(columns: Mapping[str, Array], rows: Rows, n: int) -> Series:
    """Returns all draws in their chains, and how long they remember."""
    series = list(columns.values())
    if not rows.dependent and lasting(series, [False] * len(series), rows)[0] <= 1.0:
        return Series(np.arange(n), (), 1.0)
    chains = tuple(chains_of(rows, n))
    return Series(np.arange(n), chains, max(memory(x, chains) for x in series))


def halves(every: Series) -> tuple[Series, Series]:
    """Returns the first and the second half of each chain, thinned where they are many."""
    parts = every.chains or (every.index,)
    stride = max(1, math.ceil(len(every.index) / (2 * _MOST)))
    cut = [np.split(c, [len(c) // 2]) for c in parts]
    return tuple(_picked([c[i][::stride] for c in cut], every, stride) for i in (0, 1))  # pyright: ignore[reportReturnType]


def _picked(parts: list[Array], every: Series, stride: int) -> Series:
    ends = np.cumsum([len(p) for p in parts])[:-1]
    chains = tuple(np.split(np.arange(sum(map(len, parts))), ends)) if every.chains else ()
    return Series(np.concatenate(parts), chains, max(every.length / stride, 1.0))


@final
@dataclass(frozen=True, eq=False)
class Held:
    """The second half of the draws, against a mixture fitted to the first half and against p.

    Attributes:
        series: which draws these are.
        log_p, log_q: log densities of p and of the mixture.
        most: the largest log p - log q on the first half.
        least: the smallest log q on all draws.
    """

    series: Series
    log_p: Float[np.ndarray, " n"]
    log_q: Float[np.ndarray, " n"]
    most: float
    least: float

    @property
    def dead(self) -> int:
        """At how many draws p is 0."""
        return int(np.isneginf(self.log_p).sum())

    @property
    def share(self) -> float:
        """Of the draws, that lies at the edge."""
        return min(max(_EDGE, _FEW / self.series.worth), 0.5)

    @cached_property
    def edge(self) -> float:
        """The log density of the mixture below which that share lies."""
        return float(np.quantile(self.log_q, self.share))

    @property
    def edge_error(self) -> float:
        """The standard error of the share of the law of the draws that lies beyond the edge."""
        return self.series.error((self.log_q < self.edge).astype(float))

    def log_evidence(self, weighed: Weighed) -> Value:
        """Returns the log evidence by a bridge from draws of the mixture, which knows p by these draws alone."""
        own = weighed.log_ratio[: weighed.own]
        ours = self.log_p - self.log_q
        return bridge(
            np.where(np.isfinite(own), own, -1e300),
            np.where(np.isfinite(ours), ours, -1e300),
            error_1=self.series.error,
        )


def close_to(
    x: Float[np.ndarray, "n d"],
    worth: float,
    rng: np.random.Generator,
    least: Float[np.ndarray, " d"] | float = 0.0,
) -> Components:
    """Returns a mixture of Gaussians close to draws worth so many; one with a shrunk covariance where these are few.

    Args:
        x: the draws.
        worth: how many independent ones they are worth.
        rng: randomness.
        least: sds; draws that are narrower are taken to have these.
    """
    narrow = x.std(axis=0) <= least
    found = None if narrow.any() else mixture_of(x, np.ones(len(x)), worth, rng)
    if found is not None:
        return found
    covariance = np.atleast_2d(np.cov(x.T))
    scale = np.maximum(np.diag(covariance), np.broadcast_to(np.square(least), x.shape[1]))
    keep = worth / (worth + 2.0 * x.shape[1])
    mixed = keep * covariance + (1.0 - keep + 1e-10) * np.diag(scale)
    return one(x.mean(axis=0), np.linalg.cholesky(mixed + np.diag(np.where(narrow, scale, 0.0))))


def judge_draws(
    target: Unconstrained,
    density: CountedDensity,
    found: Climbs,
    tempered: Tempered,
    drawn: Drawn,
    run: Run,
    remedies: Remedies,
) -> Judgement:
    """Returns what there is to say of draws.

    Args:
        target: p, for names.
        density: p.
        found: what climbing found.
        tempered: draws of p that owe nothing to those that are judged.
        drawn: what is judged.
        run: randomness and progress.
        remedies: what to type next.

    Raises:
        DensityError: the log density is no log density: NaN, or improper.
    """
    every = in_chains(drawn.columns, drawn.rows, drawn.n)
    first, second = halves(every)
    run.watch("fitting a mixture to half of the draws")
    start = found.starts[0]
    anchor = one(start.means[0], start.matrices[0])
    q = close_to(
        drawn.u[first.index],
        first.worth,
        run.generator("mixture of draws"),
        _NARROWEST * anchor.sds[0],
    )
    ours = cover(density, anchor, found, tempered, run).proposal
    density.forget()
    run.watch("weighing draws of both mixtures")
    weighed = weigh(density, q, q.log_prob, run.generator("weights"), ours)
    held = _held(density, q, drawn, (first, second))
    check_found(density, target)
    rays = check_proper(target, density, anchor, run.generator("rays", 1))
    afar = from_afar(tempered, found, q.log_prob, weighed)
    missed = tuple(m for m in found.modes if m.proper and q.log_prob(m.at[None])[0] < held.least)
    afar = replace(afar, threshold=held.edge, modes=missed)
    evidence = weigh_up(weighed, afar, rays)
    mass = _missed(held, evidence, weighed, afar)
    by_draws = Estimate.sampled(
        *held.log_evidence(weighed), BY_DRAWS, method=_BY_DRAWS, n=len(second.index)
    )
    parameters = _parameters(target, weighed, afar, drawn, every, by_weights=evidence.by_weights)
    kls = _reverse(held, evidence), _forward(held, evidence, weighed, afar)
    agreement = _agreement(evidence, by_draws)
    share = mode_share(afar.modes, evidence.log_evidence.value)
    spread = marginals(parameters, remedies)
    diagnosis = Diagnosis(
        (
            missed_mass(
                outside(mass, share, remedies, seen=math.inf),
                spread if _off(parameters) else None,
                separate=share,
                remedies=remedies,
            ),
            at_least(kls[0], remedies),
            at_least(kls[1], remedies),
            spread,
            routes(agreement, nowhere=False),
            effective_size(every.worth, drawn.n),
        ),
        UNSEEN_MODES,
    )
    chains = max(len(every.chains), 1)
    return Judgement(
        judged=JudgedDraws(drawn.n, chains, every.worth, len(q.weights)),
        log_evidence=evidence.log_evidence,
        by_draws=by_draws,
        routes=evidence.routes,
        reverse_kl=kls[0],
        forward_kl=kls[1],
        outside=mass,
        parameters=parameters,
        diagnosis=diagnosis,
        tempered=target.constrain(afar.x),
        evaluations=density.count,
        seconds=run.seconds,
        interrupted=tempered.interrupted,
    )


def _held(
    density: CountedDensity,
    q: Components,
    drawn: Drawn,
    parts: tuple[Series, Series],
) -> Held:
    first, second = (drawn.u[part.index] for part in parts)
    own, log_p = density(first)[0], density(second)[0]
    known, log_q = q.log_prob(first), q.log_prob(second)
    alive = np.isfinite(own)
    most = float(np.max((own - known)[alive], initial=-math.inf))
    least = float(min(known.min(), log_q.min()))
    return Held(parts[1], log_p, log_q, most, least)


def _missed(held: Held, evidence: Evidence, weighed: Weighed, afar: Afar) -> Estimate:
    """The share of p that lies beyond the edge in excess of the draws' own share there: what they miss.

    If the draws follow p on a part of the space, this is p's mass outside that part; if on all of it, 0.
    """
    (share, error), method = _beyond(held, evidence, weighed, afar)
    kept = 1.0 - held.share
    return Estimate.sampled(
        max((share - held.share) / kept, 0.0),
        math.hypot(error, held.edge_error * (1.0 - share) / kept) / kept,
        MASS_OUTSIDE,
        method=method,
        n=len(weighed.x if evidence.by_weights else afar.x),
        reason="tempered SMC did not reach p",
    )


def _beyond(held: Held, evidence: Evidence, weighed: Weighed, afar: Afar) -> tuple[Value, str]:
    """The share of p where the mixture has less density than at the edge, and how that was had."""
    if not evidence.by_weights:
        return afar.outside, "tempered SMC"
    return _weighted(weighed, (weighed.log_q < held.edge).astype(float)), "importance weighting"


def _weighted(weighed: Weighed, values: Float[np.ndarray, " n"]) -> Value:
    """The mean of values under p, by weights."""
    weights = weighed.weights
    mean = float(np.mean(weights * values))
    return mean, float(np.std(weights * (values - mean))) / math.sqrt(len(values))


def _agreement(evidence: Evidence, by_draws: Estimate) -> Estimate:
    """By how much the log evidence of the draws differs from that which owes little to them."""
    ours = evidence.log_evidence
    unknown = "unresolved" in (ours.kind, by_draws.kind)
    return Estimate.sampled(
        by_draws.value - ours.value,
        math.inf if unknown else math.hypot(by_draws.standard_error, ours.standard_error),
        LOG_EVIDENCE.called("by the draws - without them"),
        method="difference of the two estimates",
        reason="one of its parts has no answer",
    )


# Both KLs from below (Donsker and Varadhan 1983), by the critic log of the mixture over p.


def _bound(value: float, error: float, of: Estimate, n: int) -> Estimate:
    low = value - _ONE_SIDED * error
    if not math.isfinite(low):
        return Estimate.unresolved(
            value,
            "no bound: the log evidence, or a mean, is not known",
            of.quantity,
            method=_CRITIC,
            n=n,
        )
    return Estimate.bounded(max(low, 0.0), error, of.quantity, method=_CRITIC, n=n)


_CRITIC = "mixture fitted to half of the draws"


def _reverse(held: Held, evidence: Evidence) -> Estimate:
    """KL(q||p) is at least the mean of log mixture - log p under the draws, and the log evidence."""
    if held.dead:
        reason = f"p is 0 at {held.dead} of {len(held.log_p)} draws"
        return Estimate.infinite(reason, REVERSE_KL, method="log p at the draws")
    critic, level = held.log_q - held.log_p, evidence.log_evidence
    value = float(critic.mean()) + level.value
    known = level.kind != "unresolved"
    error = math.hypot(held.series.error(critic), level.standard_error) if known else math.inf
    return _bound(value, error, evidence.reverse_kl, len(critic))


def _forward(held: Held, evidence: Evidence, weighed: Weighed, afar: Afar) -> Estimate:
    """KL(p||q) by the critic held below its largest value on the first half, or by the mass at the edge."""
    n = len(held.log_p)

    def cut(log_p: Array, log_q: Array) -> Array:
        ratio = np.where(np.isfinite(log_p), log_p - log_q, -1e300)
        return np.minimum(ratio, held.most) - held.most

    if evidence.by_weights:
        values = cut(weighed.log_p, weighed.log_q)
        mean, error = _weighted(weighed, np.where(weighed.weights > 0.0, values, 0.0))
    elif afar.tempered.complete:
        values = cut(afar.tempered.log_p, afar.log_q)
        mean, error = float(values.mean()), afar.error(values)
    else:
        return _bound(math.nan, math.inf, evidence.forward_kl, n)
    raised = np.exp(cut(held.log_p, held.log_q))
    size = float(raised.mean())
    value = mean - math.log(max(size, 1e-300))
    error = math.hypot(error, held.series.error(raised) / max(size, 1e-300))
    options = [(value, error), _at_the_edge(held, _beyond(held, evidence, weighed, afar)[0])]
    best = max(options, key=lambda v: v[0] - _ONE_SIDED * v[1])
    return _bound(*best, evidence.forward_kl, n)


def _at_the_edge(held: Held, beyond: Value) -> Value:
    """The KL of the shares of p and of the draws beyond the edge, which is no more than that of the two."""
    p, r = beyond[0], held.share
    if not r < p < 1.0:
        return 0.0, 0.0
    slope = math.log(p / r) - math.log((1.0 - p) / (1.0 - r))
    turn = (1.0 - p) / (1.0 - r) - p / r
    value = p * math.log(p / r) + (1.0 - p) * math.log((1.0 - p) / (1.0 - r))
    return value, math.hypot(slope * beyond[1], turn * held.edge_error)


# Each parameter of the draws and of p.


def _parameters(
    target: Unconstrained,
    weighed: Weighed,
    afar: Afar,
    drawn: Drawn,
    every: Series,
    *,
    by_weights: bool,
) -> tuple[Coordinate, ...]:
    """The means and sds of the draws against those of p; errors are of both."""
    moments = {name: (float(x.mean()), float(x.std())) for name, x in drawn.columns.items()}
    ours = named_parameters(target, weighed, afar, moments, {}, by_weights=by_weights)
    return tuple(c if c.fixed else _doubted(c, drawn.columns[c.name], every) for c in ours)


def _off(parameters: tuple[Coordinate, ...]) -> bool:
    """Whether the mean or the sd of a parameter is off by more than chance and a hundredth."""
    known = [c for c in parameters if not c.fixed and math.isfinite(c.mean_shift.standard_error)]
    return any(
        abs(e.value - right) > _SIGMAS * e.standard_error + 0.01
        for c in known
        for e, right in ((c.mean_shift, 0.0), (c.shrinkage, 1.0))
    )


def _doubted(c: Coordinate, x: Array, every: Series) -> Coordinate:
    """A coordinate whose errors have those of the draws' own mean and sd in them."""
    shift, ratio = c.mean_shift, c.shrinkage
    if not math.isfinite(shift.standard_error) or ratio.value <= 0.0:
        return c
    sd = c.sd / ratio.value
    own = every.error(x) / sd
    spread = 0.5 * every.error((x - c.mean) ** 2) / max(c.sd**2, 1e-300) * ratio.value
    return replace(
        c,
        mean_shift=Estimate.sampled(
            shift.value, math.hypot(shift.standard_error, own), shift.quantity, method=shift.method
        ),
        shrinkage=Estimate.sampled(
            ratio.value,
            math.hypot(ratio.standard_error, spread),
            ratio.quantity,
            method=ratio.method,
        ),
    )
