"""The trust report of a reverse fit over discrete latents: exact where the states can be counted up.

Up to 2^16 states everything is a finite sum. Beyond, draws of q are weighted, as for densities, and tempered
Gibbs sweeps that start uniform and never saw q are the second route.
"""

import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from typing import final

import numpy as np
from arviz_stats.base import array_stats  # pyright: ignore[reportPrivateImportUsage]
from jaxtyping import Float, Int
from scipy import special

from kullback.diagnostics import _verdict
from kullback.diagnostics._verdict import Remedies
from kullback.distributions._independent import Independent
from kullback.fitting._discrete import DiscreteFit
from kullback.fitting._run import Run
from kullback.results._diagnosis import Diagnosis, Draws, Parameter, Posterior
from kullback.results._estimate import Estimate, Kind
from kullback.solvers._gibbs import Swept, sweep, temper_discrete

Array = np.ndarray
Value = tuple[float, float]
Values = Callable[[Int[np.ndarray, "n m"]], Float[np.ndarray, " n"]]

#: States up to which everything is summed exactly.
MOST_STATES = 2**16
_DRAWS, _PROBED, _SWEEPS = 4096, 256, 5
_SIGMAS = 3.0
#: Above this Pareto k importance sampling is not reliable (Vehtari et al. 2024).
RELIABLE = 0.7
#: Log weights closer together than this are constant.
_CONSTANT = 1e-6
#: The largest weight met so often is no stray.
_REPEATS = 20
UNSEEN = (
    "a separate group of states that neither the starts nor the tempering visited cannot be seen"
)


@final
@dataclass(frozen=True, eq=False)
class DiscreteReport:
    """A posterior with the two KLs that the fit itself carries."""

    posterior: Posterior
    reverse_kl: Estimate
    forward_kl: Estimate


@final
@dataclass(frozen=True, eq=False)
class Weighed:
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
        return -math.inf if np.sum(finite > finite.max() - _CONSTANT) >= _REPEATS else math.inf

    @property
    def constant(self) -> bool:
        """Whether the weights of q's own draws are constant."""
        return bool(np.ptp((self.log_p - self.log_q)[: self.own]) < _CONSTANT)


@final
@dataclass(frozen=True, eq=False)
class _Known:
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
        kind: Kind = "estimate",
        unit: str = "nats",
    ) -> Estimate:
        """Returns a value with what is known of it."""
        n = len(self.x)
        if self.exact:
            return _exact(value[0], quantity, words, self.method, n, unit)
        return _estimate(value, quantity, words, self.method, n, kind=kind, unit=unit)


def states(m: int, k: int) -> Int[np.ndarray, "n m"]:
    """Returns all k^m states.

    Example:
        >>> states(2, 2).tolist()
        [[0, 0], [0, 1], [1, 0], [1, 1]]
    """
    return np.indices((k,) * m).reshape(m, -1).T


def diagnose_discrete(
    values: Values, made: DiscreteFit, shape: tuple[int, ...], run: Run, remedies: Remedies
) -> DiscreteReport:
    """Returns the trust report.

    Args:
        values: log p at codes (n, m).
        made: the fit.
        shape: of an event.
        run: randomness, progress.
        remedies: what to type next.
    """
    m, k = made.log_probabilities.shape
    q = Independent(made.log_probabilities, (m,))
    run.watch("measuring the ELBO on fresh draws")
    weighed = _weighed(values, q, run.generator("weights"))
    probed, risen = _probe(values, q, weighed, k, run.generator("probe"))
    swept: Swept | None = None
    if k**m <= MOST_STATES:
        known = _counted(values, q, weighed)
        first = (known.log_evidence[0], 0.0)
        names, other = ("sum over all states", "importance weighting"), weighed.log_evidence
        reliable = (True, weighed.pareto_k() < RELIABLE)
        n = (k**m, len(weighed.x))
    else:
        swept = temper_discrete(
            values, m, k, run.generator("tempering"), lambda b: run.watch(f"tempering, β = {b:.2g}")
        )
        known = _weighed_up(q, weighed, swept)
        first, other = weighed.log_evidence, (swept.log_evidence, swept.standard_error)
        names = ("importance weighting", "tempering from afar")
        reliable = (weighed.pareto_k() < RELIABLE, swept.complete)
        n = (len(weighed.x), len(swept.x))
    routes = tuple(
        _estimate(value, "log_evidence", "log evidence", name, count)
        if fine
        else _unresolved(value[0], "the weights are not reliable", "log_evidence", "log evidence")
        for value, name, fine, count in zip((first, other), names, reliable, n, strict=True)
    )
    if known.exact:
        counted = _exact(first[0], "log_evidence", "log evidence", names[0], n[0], "nats")
        routes = (counted, *routes[1:])
    gap = (other[0] - first[0], math.hypot(first[1], other[1]) if all(reliable) else math.inf)
    return _report(made, q, shape, weighed, probed, risen, known, routes, gap, swept, remedies)


def _report(
    made: DiscreteFit,
    q: Independent,
    shape: tuple[int, ...],
    weighed: Weighed,
    probed: Array,
    risen: Value,
    known: _Known,
    routes: tuple[Estimate, ...],
    gap: Value,
    swept: Swept | None,
    remedies: Remedies,
) -> DiscreteReport:
    count, of = len(known.x), known.of
    reverse = of(_less(known.log_evidence, known.elbo), "kl", "KL(q||p)")
    forward = of(_less(known.eubo, known.log_evidence), "kl", "KL(p||q)")
    jeffreys = of(_less(known.eubo, known.elbo), "jeffreys", "KL(q||p) + KL(p||q)")
    log_evidence = of(known.log_evidence, "log_evidence", "log evidence")
    elbo = of(known.elbo, "elbo", "ELBO", kind="lower_bound")
    eubo = of(known.eubo, "eubo", "EUBO")
    outside = of(known.outside, "mass", "p's mass outside q", unit="")
    agreement = _estimate(gap, "log_evidence", "difference of the routes", "two routes", count)
    rise = _estimate(risen, "jeffreys", "EUBO - ELBO", f"{_SWEEPS} Gibbs sweeps from q", _PROBED)
    parameters = _parameters(q, known, shape)
    pareto = weighed.pareto_k(own=True)
    findings = [
        _verdict.divergence(reverse, remedies),
        _verdict.divergence(forward, remedies),
        _verdict.outside(outside, 0.0, remedies),
        _verdict.sandwich(elbo, log_evidence, eubo),
        replace(_verdict.probe(rise, jeffreys, 1.0, remedies), name="Gibbs probe"),
        _verdict.marginals(parameters, remedies),
        _verdict.pareto(pareto, constant=weighed.constant, remedies=remedies),
        _verdict.error_of_fit(*made.noise, made.trace[-1][0]),
    ]
    if not known.exact:
        findings.insert(3, _verdict.routes(agreement, nowhere=False))
    posterior = Posterior(
        elbo=elbo,
        entropy=Estimate.exact(
            q.entropy, quantity="entropy", direction="H(q)", method="closed form"
        ),
        energy=of((known.elbo[0] - q.entropy, known.elbo[1]), "energy", "E_q[log p]"),
        log_evidence=log_evidence,
        eubo=eubo,
        routes=routes,
        agreement=agreement,
        jeffreys=jeffreys,
        probe=rise,
        outside=outside,
        pareto_k=pareto,
        parameters=parameters,
        draws=_draws(weighed, probed, known, swept, shape),
        trace=made.trace,
        fit_error=made.noise,
        diagnosis=Diagnosis(tuple(findings), UNSEEN),
    )
    return DiscreteReport(posterior, reverse, forward)


def _weighed(values: Values, q: Independent, rng: np.random.Generator) -> Weighed:
    """Draws of q and, one third, of q with its probabilities flattened, weighted to p."""
    flat = Independent(special.log_softmax(0.5 * q.log_probabilities, axis=1), q.shape)
    own = q.sample(rng, _DRAWS)
    x = np.concatenate([own, flat.sample(rng, _DRAWS // 2)])
    log_q = q.log_prob(x)
    shares = np.log([2.0 / 3.0, 1.0 / 3.0])
    log_r = np.logaddexp(shares[0] + log_q, shares[1] + flat.log_prob(x))
    return Weighed(x, _DRAWS, values(x), log_q, log_r)


def _probe(
    values: Values, q: Independent, weighed: Weighed, k: int, rng: np.random.Generator
) -> tuple[Array, Value]:
    """Draws of q after a few Gibbs sweeps, and how much log p - log q rose."""
    x = weighed.x[:_PROBED]
    log_p = weighed.log_p[:_PROBED]
    before = log_p - q.log_prob(x)
    for _ in range(_SWEEPS):
        x, log_p = sweep(values, x, k, rng)
    with np.errstate(invalid="ignore"):
        rise = log_p - q.log_prob(x) - before
    if not np.isfinite(rise).all():
        return x, (math.inf, math.inf)
    return x, (float(rise.mean()), float(rise.std(ddof=1)) / math.sqrt(_PROBED))


def _counted(values: Values, q: Independent, weighed: Weighed) -> _Known:
    """Everything by the sum over all states."""
    m, k = q.log_probabilities.shape
    x = states(m, k)
    log_p, log_q = values(x), q.log_prob(x)
    level = float(np.logaddexp.reduce(log_p))
    p, own = np.exp(log_p - level), np.exp(log_q)
    beyond = log_q < weighed.log_q[: weighed.own].min()
    with np.errstate(invalid="ignore"):
        elbo = float(np.sum(np.where(own > 0.0, own * (log_p - log_q), 0.0)))
        eubo = float(np.sum(np.where(p > 0.0, p * (log_p - log_q), 0.0)))
    return _Known(
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


def _weighed_up(q: Independent, weighed: Weighed, swept: Swept) -> _Known:
    """Everything by weights of q's draws where they hold and tempering agrees, else by tempering."""
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
        return _Known(
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
    return _Known(
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


def _parameters(q: Independent, known: _Known, shape: tuple[int, ...]) -> tuple[Parameter, ...]:
    """The indicator of each value of each latent; of binary ones that of 1."""
    k = q.log_probabilities.shape[1]
    out = []
    for i, index in enumerate(np.ndindex(*shape)):
        place = f"[{','.join(map(str, index))}]" if index else ""
        for value in range(1 if k == 2 else 0, k):
            mean_q = float(np.exp(q.log_probabilities[i, value]))
            mean_p = float(known.weights @ (known.x[:, i] == value))
            sd_q, sd_p = (math.sqrt(max(p * (1.0 - p), 1e-12)) for p in (mean_q, mean_p))
            error = known.error_of_moments
            doubt = error * abs(1.0 - 2.0 * mean_p) / (2.0 * sd_p)
            shift = ((mean_p - mean_q) / max(sd_p, sd_q), error)
            ratio = (sd_q / sd_p, sd_q / sd_p * doubt)
            name = f"x{place}" if k == 2 else f"x{place}={value}"
            out.append(
                Parameter(
                    name,
                    mean_q,
                    sd_q,
                    known.of(shift, "shift", "(mean of p - mean of q) / sd", unit=""),
                    known.of(ratio, "shrinkage", "sd of q / sd of p", unit=""),
                )
            )
    return tuple(out)


def _draws(
    weighed: Weighed, probed: Array, known: _Known, swept: Swept | None, shape: tuple[int, ...]
) -> Draws:
    own = weighed.own

    def shaped(x: Array) -> dict[str, Array]:
        return {"x": x.reshape(len(x), *shape)}

    if swept is None:
        rows = np.random.default_rng(0).choice(len(known.x), 1024, p=known.weights)
        afar = known.x[rows]
    else:
        afar = swept.x
    return Draws(
        plain=shaped(weighed.x[:own]),
        log_p=weighed.log_p[:own],
        log_q=weighed.log_q[:own],
        weights=special.softmax((weighed.log_p - weighed.log_q)[:own]),
        refreshed=shaped(probed),
        tempered=shaped(afar),
    )


def _less(a: Value, b: Value) -> Value:
    return a[0] - b[0], math.hypot(a[1], b[1])


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


def _estimate(
    value: Value,
    quantity: str,
    words: str,
    method: str,
    n: int,
    *,
    kind: Kind = "estimate",
    unit: str = "nats",
) -> Estimate:
    number, error = value
    if not (math.isfinite(error) and math.isfinite(number)):
        return _unresolved(number, "its error is not known", quantity, words)
    positive = quantity in ("kl", "jeffreys", "mass")
    number = max(number, 0.0) if positive else number
    low = max(number - 1.96 * error, 0.0) if positive else number - 1.96 * error
    return Estimate(
        number, error, (low, number + 1.96 * error), quantity, words, kind, method, n, unit=unit
    )


def _unresolved(value: float, reason: str, quantity: str, words: str) -> Estimate:
    return Estimate.unresolved(
        value, reason, quantity=quantity, direction=words, method="see diagnosis"
    )
