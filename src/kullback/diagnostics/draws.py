"""Draws of anyone against a log density: a mixture is fitted to the first half, everything measured on the second."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import final

import numpy as np
from jaxtyping import Float

from kullback.core.run import Run
from kullback.diagnostics.adaptive import close_to
from kullback.diagnostics.covering import Covering
from kullback.diagnostics.evidence import Evidence, weigh_up
from kullback.diagnostics.importance import Value, Weighed, weigh
from kullback.diagnostics.integrability import check_found, check_proper
from kullback.diagnostics.posterior import named_parameters
from kullback.diagnostics.tempered import Afar, from_afar, mode_share
from kullback.diagnostics.verdict import (
    Remedies,
    at_least,
    effective_size,
    marginals,
    missed_mass,
    outside,
    routes,
    unseen_modes,
)
from kullback.fitting.climbs import Climbs
from kullback.fitting.components import Components, one
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
from kullback.solvers.bridge import bridge
from kullback.solvers.modes import CountedDensity
from kullback.solvers.tempering import Tempered
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
#: One side of a 95 % interval, and of two of which the better is told.
_ONE_SIDED, _BETTER_OF_TWO = 1.645, 1.96
_BY_DRAWS = "bridge sampling, the draws to a mixture fitted to half of them"


@final
@dataclass(frozen=True, eq=False)
class Chained:
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


def in_chains(columns: Mapping[str, Array], rows: Rows, n: int) -> Chained:
    """Returns all draws in their chains, and how long they remember."""
    series = list(columns.values())
    if not rows.dependent and lasting(series, [False] * len(series), rows)[0] <= 1.0:
        return Chained(np.arange(n), (), 1.0)
    chains = tuple(chains_of(rows, n))
    return Chained(np.arange(n), chains, max(memory(x, chains) for x in series))


def halves(every: Chained) -> tuple[Chained, Chained]:
    """Returns the first and the second half of each chain, thinned where they are many."""
    parts = every.chains or (every.index,)
    stride = max(1, math.ceil(len(every.index) / (2 * _MOST)))
    cut = [np.split(c, [len(c) // 2]) for c in parts]
    return tuple(_picked([c[i][::stride] for c in cut], every, stride) for i in (0, 1))  # pyright: ignore[reportReturnType]


def _picked(parts: list[Array], every: Chained, stride: int) -> Chained:
    ends = np.cumsum([len(p) for p in parts])[:-1]
    chains = tuple(np.split(np.arange(sum(map(len, parts))), ends)) if every.chains else ()
    return Chained(np.concatenate(parts), chains, max(every.length / stride, 1.0))


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

    series: Chained
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


def judge_draws(
    target: Unconstrained,
    density: CountedDensity,
    found: Climbs,
    tempered: Tempered,
    covering: Covering | None,
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
        covering: draws that cover p, where there was time for them.
        drawn: what is judged.
        run: randomness and progress.
        remedies: what to type next.

    Raises:
        DensityError: the log density is no log density: NaN, or improper.
    """
    every = in_chains(drawn.columns, drawn.rows, drawn.n)
    known = _measured(target, density, (found, tempered, covering), drawn, halves(every), run)
    held, evidence = known.held, known.evidence
    mass, by_draws = _missed(known), known.by_draws
    parameters = _parameters(target, known, drawn, every)
    kls = _reverse(held, evidence), _forward(known)
    share = mode_share(known.afar.modes, evidence.log_evidence.value)
    lost, spread = outside(mass, share, remedies, seen=math.inf), marginals(parameters, remedies)
    off = spread if _off(parameters) else None
    findings = (
        missed_mass(lost, off, separate=share, remedies=remedies),
        *(at_least(kl, remedies) for kl in kls),
        spread,
        routes(_agreement(evidence, by_draws), nowhere=False),
        effective_size(every.worth, drawn.n),
    )
    chains = max(len(every.chains), 1)
    return Judgement(
        judged=JudgedDraws(drawn.n, chains, every.worth, known.components),
        log_evidence=evidence.log_evidence,
        by_draws=by_draws,
        routes=evidence.routes,
        reverse_kl=kls[0],
        forward_kl=kls[1],
        outside=mass,
        parameters=parameters,
        diagnosis=Diagnosis(findings, unseen_modes(found.looks, found.narrowest)),
        tempered=target.constrain(tempered.x),
        evaluations=density.count,
        seconds=run.seconds,
        interrupted=tempered.interrupted,
    )


@final
@dataclass(frozen=True, eq=False)
class _Measured:
    """What is known of p and of the draws, not yet judged.

    Attributes:
        held: the second half of the draws.
        weighed: draws of the mixture fitted to the first half, and of one that covers p.
        afar: tempered draws; beyond its threshold lie few of the draws.
        evidence: of p.
        components: of the mixture.
    """

    held: Held
    weighed: Weighed
    afar: Afar
    evidence: Evidence
    components: int

    @property
    def by_draws(self) -> Estimate:
        """The log evidence if the draws follow p."""
        n = len(self.held.series.index)
        value = self.held.log_evidence(self.weighed)
        return Estimate.sampled(*value, BY_DRAWS, method=_BY_DRAWS, n=n)

    @property
    def beyond(self) -> tuple[Value, str]:
        """The share of p where the mixture has less density than at the edge, and how that was had."""
        if not self.evidence.by_weights:
            return self.afar.outside, "tempered SMC"
        past = (self.weighed.log_q < self.held.edge).astype(float)
        return _weighted(self.weighed, past), "importance weighting"


def _measured(
    target: Unconstrained,
    density: CountedDensity,
    ours: tuple[Climbs, Tempered, Covering | None],
    drawn: Drawn,
    parts: tuple[Chained, Chained],
    run: Run,
) -> _Measured:
    """Fits a mixture to the first half, and measures the second half and p beside it."""
    (found, tempered, covering), (first, _) = ours, parts
    run.watch("fitting a mixture to half of the draws")
    start = found.starts[0]
    anchor = one(start.means[0], start.matrices[0])
    least, rng = _NARROWEST * anchor.sds[0], run.generator("mixture of draws")
    q = close_to(drawn.u[first.index], first.worth, rng, least)
    kin = None if covering is None else covering.kin(q.log_prob)
    density.forget()
    run.watch("weighing draws of both mixtures")
    weighed = weigh(density, q, q.log_prob, run.generator("weights"), kin)
    held = _held(density, q, drawn, parts)
    check_found(density, target)
    rays = check_proper(target, density, anchor, run.generator("rays", 1))
    afar = from_afar(tempered, found, q.log_prob, weighed)
    missed = tuple(m for m in found.modes if m.proper and q.log_prob(m.at[None])[0] < held.least)
    afar = replace(afar, threshold=held.edge, modes=missed)
    return _Measured(held, weighed, afar, weigh_up(weighed, afar, rays), len(q.weights))


def _held(
    density: CountedDensity,
    q: Components,
    drawn: Drawn,
    parts: tuple[Chained, Chained],
) -> Held:
    first, second = (drawn.u[part.index] for part in parts)
    own, log_p = density(first)[0], density(second)[0]
    known, log_q = q.log_prob(first), q.log_prob(second)
    alive = np.isfinite(own)
    most = float(np.max((own - known)[alive], initial=-math.inf))
    least = float(min(known.min(), log_q.min()))
    return Held(parts[1], log_p, log_q, most, least)


def _missed(known: _Measured) -> Estimate:
    """The share of p that lies beyond the edge in excess of the draws' own share there: what they miss.

    If the draws follow p on a part of the space, this is p's mass outside that part; if on all of it, 0.
    """
    (share, error), method = known.beyond
    held, by_weights = known.held, known.evidence.by_weights
    kept = 1.0 - held.share
    return Estimate.sampled(
        max((share - held.share) / kept, 0.0),
        math.hypot(error, held.edge_error * (1.0 - share) / kept) / kept,
        MASS_OUTSIDE,
        method=method,
        n=len(known.weighed.x if by_weights else known.afar.x),
        reason="tempered SMC did not reach p",
    )


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


def _bound(
    value: float, error: float, of: Estimate, n: int, sigmas: float = _ONE_SIDED
) -> Estimate:
    low = value - sigmas * error
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


def _forward(known: _Measured) -> Estimate:
    """KL(p||q) by the critic held below its largest value on the first half, or by the mass at the edge."""
    held, evidence, weighed, afar = known.held, known.evidence, known.weighed, known.afar
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
    options = [(value, error), _at_the_edge(held, known.beyond[0])]
    best = max(options, key=lambda v: v[0] - _BETTER_OF_TWO * v[1])
    return _bound(*best, evidence.forward_kl, n, _BETTER_OF_TWO)


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
    target: Unconstrained, known: _Measured, drawn: Drawn, every: Chained
) -> tuple[Coordinate, ...]:
    """The means and sds of the draws against those of p; errors are of both."""
    moments = {name: (float(x.mean()), float(x.std())) for name, x in drawn.columns.items()}
    by_weights = known.evidence.by_weights
    ours = named_parameters(target, known.weighed, known.afar, moments, {}, by_weights=by_weights)
    return tuple(c if c.fixed else _doubted(c, drawn.columns[c.name], every) for c in ours)


def _off(parameters: tuple[Coordinate, ...]) -> bool:
    """Whether the mean or the sd of a parameter is off by more than chance and a hundredth."""
    known = [c for c in parameters if not c.fixed and math.isfinite(c.mean_shift.standard_error)]
    return any(
        abs(e.value - right) > _SIGMAS * e.standard_error + 0.01
        for c in known
        for e, right in ((c.mean_shift, 0.0), (c.shrinkage, 1.0))
    )


def _doubted(c: Coordinate, x: Array, every: Chained) -> Coordinate:
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
