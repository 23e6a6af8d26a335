"""Judging one reading of a loss: what its value and gradient are under each way of drawing."""

import bisect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from kullback.check_loss.functionals import Array, Catalogue, catalogue
from kullback.check_loss.matching import (
    Match,
    Observations,
    label,
    match_gradient,
    match_values,
    norms,
)
from kullback.check_loss.problems import Experiment
from kullback.interop.loss_calls import LossCall

#: Below this share of the length of the reverse KL's gradient, a gradient is zero.
_ZERO = 1e-9
#: Ways of drawing that do not change with q, or whose change the gradient has in it.
_STILL = ("", "labels", "p", "path")


@final
@dataclass(frozen=True, eq=False)
class Under:
    """Value and gradient under one way of drawing.

    Attributes:
        drawn: who draws.
        gradient: what the gradient is or is nearest to; None if it is zero.
        value: what the value is or is nearest to; None if it is zero.
        gradient_named, value_named: whether they are that.
        offset: what the value has besides the gradient's divergence, in words.
        values, deviations: of the loss on every problem.
        forward, reverse: the two divergences on every problem.
    """

    drawn: str
    gradient: Match | None
    value: Match | None
    gradient_named: bool
    value_named: bool
    offset: str
    values: Array
    deviations: Array
    forward: Array
    reverse: Array

    @property
    def gradient_label(self) -> str:
        """The gradient in a few words."""
        return "zero" if self.gradient is None else label(self.gradient)


@final
@dataclass(frozen=True, eq=False)
class Judged:
    """A reading, judged.

    Attributes:
        under: by way of drawing, the headline first.
        detached: "none", "partly" or "wholly".
        reaches_p: whether p gets a gradient.
        bits: the precision of the loss.
        notes: what was noted on the way.
    """

    under: tuple[Under, ...]
    detached: str
    reaches_p: bool
    bits: int
    notes: tuple[str, ...] = ()

    @property
    def headline(self) -> Under:
        return self.under[0]

    @property
    def _descends(self) -> bool:
        return self.headline.gradient_named and self.headline.gradient is not None

    @property
    def named(self) -> bool:
        """Whether value or gradient of the headline have a name that says something."""
        return self._descends or (self.headline.value_named and self.headline.value is not None)

    @property
    def rank(self) -> int:
        """0 if both are named."""
        return 2 - int(self._descends) - int(self.headline.value_named)

    @property
    def error(self) -> float:
        """How far the gradient is from its nearest."""
        return 1.0 if self.headline.gradient is None else self.headline.gradient.error


def judge(
    call: LossCall,
    experiments: Sequence[Experiment],
    of_q: Sequence[str],
    of_p: Sequence[str],
    *,
    deep: bool,
) -> Judged:
    """Returns what a reading of a loss is; `deep` searches families with parameters as well."""
    with np.errstate(all="ignore"):
        seen = [(e, _observe(call, e, of_q, of_p)) for e in experiments]
    policies = list(dict.fromkeys(p for _, found in seen for p in found))
    first, observed = seen[0]
    top = observed[policies[0]]
    differences = call.name == "numpy"
    cut = "none" if differences else _hidden(call, first, top, policies[0])
    bits = min(o.bits for _, found in seen for o in found.values())
    tolerance = _TOLERANCES[bits] * (10.0 if differences and bits == 32 else 1.0)
    parts = []
    for policy in policies:
        chosen = [(e, found[policy]) for e, found in seen if policy in found]
        observations = Observations(
            np.array([o.value for _, o in chosen]),
            tuple(o.gradient for _, o in chosen),
            [e.sizes for e, _ in chosen],
            tolerance,
        )
        part = under(
            policy,
            observations,
            _known([e for e, _ in chosen]),
            deviations=np.array([o.deviation for _, o in chosen]),
            whole=cut == "none" and policy in _STILL,
            deep=deep and not parts,
        )
        parts.append(part)
    return Judged(tuple(parts), cut, top.given > 0.0, bits)


def _known(experiments: Sequence[Experiment]) -> Catalogue:
    labels = [e.labels for e in experiments if e.labels is not None]
    with np.errstate(all="ignore"):
        return catalogue([e.pair for e in experiments], labels)


def under(
    drawn: str,
    seen: Observations,
    table: Catalogue,
    *,
    deviations: Array,
    whole: bool,
    deep: bool,
) -> Under:
    """Returns what value and gradient are, in terms of a table.

    Args:
        drawn: who draws.
        seen: the loss on all problems.
        table: what it may be.
        deviations: of the loss on every problem.
        whole: whether the gradient is the whole slope of the value, so that the rest cannot depend on q.
        deep: whether to search families with parameters as well.
    """
    gradient = _gradient(
        seen, table if deep else Catalogue(table.plain), table.named("reverse").gradients
    )
    close = gradient is None or gradient.error <= seen.tolerance
    value, exact, offset = _value(seen, table, gradient if close else None, whole=whole)
    forward, reverse = (table.named(name).values for name in ("forward", "reverse"))
    return Under(
        drawn, gradient, value, close, exact, offset, seen.values, deviations, forward, reverse
    )


def _gradient(seen: Observations, table: Catalogue, reference: Sequence[Array]) -> Match | None:
    pairs = zip(seen.gradients, reference, strict=True)
    floor = max(_ZERO, 1e-3 * seen.tolerance)
    if all(np.linalg.norm(g) <= floor * np.linalg.norm(r) for g, r in pairs):
        return None
    if not all(np.isfinite(g).all() for g in seen.gradients):
        return Match(table.plain[0], float("nan"), (), 0.0, 1.0)
    return match_gradient(seen, table)


def _value(
    seen: Observations, table: Catalogue, gradient: Match | None, *, whole: bool
) -> tuple[Match | None, bool, str]:
    """What the value is, whether exactly, and what it has besides the gradient's divergence."""
    if not np.isfinite(seen.values).all():
        return Match(table.plain[0], float("nan"), (), 0.0, 1.0), False, ""
    size = np.abs(seen.values).max()
    if size <= _ZERO:
        return None, True, ""
    options = [*table.plain]
    if gradient is not None and not gradient.terms and gradient.functional.parameters:
        options.insert(0, gradient.functional)
    found = match_values(seen, options)
    if found.error <= seen.tolerance:
        return found, True, ""
    if gradient is None:
        return found, False, ""
    rest, slack = seen.values - gradient.predicted_values(seen.sizes), seen.tolerance * size
    if np.abs(rest).max() <= slack:
        return gradient, True, ""
    if np.ptp(rest) <= slack:
        return gradient, True, f"the constant {rest.mean():.6g}"
    for functional in (q for q in table.plain if q.name == "entropy_p"):
        times = norms(gradient.powers, seen.sizes) * functional.values
        factor = float(times @ rest / (times @ times))
        if np.abs(rest - factor * times).max() <= slack:
            words = "" if abs(factor - 1.0) < 1e-4 else f"{factor:.4g} × "
            return gradient, True, f"{words}the entropy of p"
    return (gradient, True, "what does not depend on q") if whole else (found, False, "")


# Looking at a loss on experiments: expectations of its value and of its gradient.

#: Step of the differences and their weights, of fourth order.
_STEP = 1e-3
_STENCIL = ((1, 8.0 / 12.0), (-1, -8.0 / 12.0), (2, -1.0 / 12.0), (-2, 1.0 / 12.0))
#: Relative errors up to which two things are equal, by the bits of the loss.
_TOLERANCES = {64: 2e-5, 32: 2e-4, 16: 4e-3}


@final
@dataclass(frozen=True, eq=False)
class _Observed:
    """A loss on one experiment, under one way of drawing.

    Attributes:
        value: its expectation.
        deviation: the standard deviation of one batch.
        gradient: with respect to the parameters of q.
        given: the length of the gradient with respect to p's arguments.
        bits: the precision, 64, 32 or 16.
    """

    value: float
    deviation: float
    gradient: Array
    given: float
    bits: int


def _observe(
    call: LossCall, experiment: Experiment, of_q: Sequence[str], of_p: Sequence[str]
) -> dict[str, _Observed]:
    """What a loss does on an experiment, for each way of drawing."""
    draws = experiment.at(experiment.theta)
    values, slopes, bits = call.many(draws, (*of_q, *of_p), experiment.weigh)
    differences = None if slopes is not None else _differences(call, experiment)
    found = {}
    for policy, weights in experiment.weights.items():
        mean = float(weights @ values)
        spread = float(np.sqrt(max(weights @ (values - mean) ** 2, 0.0)))
        if slopes is None:
            gradient, given = (weights @ differences)[experiment.kept], 0.0
        else:
            gradient = experiment.pull({n: slopes[n] for n in of_q}, weights)
            given = float(sum(np.abs(slopes[n]).sum() for n in of_p))
        found[policy] = _Observed(mean, spread, gradient, given, bits)
    return found


def _differences(call: LossCall, experiment: Experiment) -> Array:
    """Gradients of every draw's loss, (M, n), by differences in the parameters of q."""
    directions = np.eye(len(experiment.theta))
    return np.stack([_slope_along(call, experiment, step) for step in directions], axis=1)


def _slope_along(call: LossCall, experiment: Experiment, direction: Array) -> Array:
    """The slope of every draw's loss along one direction, by differences; the draws stay."""
    slope: Any = 0.0
    for step, weight in _STENCIL:
        draws = experiment.at(experiment.theta + step * _STEP * direction)
        slope = slope + weight * call.many(draws, (), experiment.weigh)[0]
    return slope / _STEP


def _hidden(call: LossCall, experiment: Experiment, seen: _Observed, policy: str) -> str:
    """Returns "none", "partly" or "wholly": how much of a loss's slope its gradient does not show."""
    if seen.bits == 16:
        return "none"  # differences of so few digits show nothing
    direction = np.zeros_like(experiment.theta)
    random = np.random.default_rng(0).standard_normal(len(direction))
    direction[experiment.kept] = random[experiment.kept]
    direction /= np.linalg.norm(direction)
    moved = float(experiment.weights[policy] @ _slope_along(call, experiment, direction))
    shown = float(seen.gradient @ direction[experiment.kept])
    size = max(abs(moved), abs(shown), 1e-6)
    slack = 1e-4 * size + 1e-7 if seen.bits == 64 else 0.05 * size + 1e-3
    if abs(moved - shown) <= slack:
        return "none"
    return "wholly" if not np.any(seen.gradient) else "partly"


# A closer look at a pair of distributions: far apart, with zeros, with tails exchanged.

#: Relative error beyond which a loss is another far away.
_OTHER = 1e-3


def far_notes(
    call: LossCall, far: Sequence[Experiment], of_q: Sequence[str], judged: Judged
) -> list[str]:
    """Returns whether a loss is still what it is where p and q are far apart: clips and epsilons show."""
    top = judged.headline
    match = top.gradient
    if match is None or not top.gradient_named or match.terms or match.functional.parameters:
        return []
    chosen = [e for e in far if top.drawn in e.weights]
    if not chosen:
        return []
    reach = max(np.abs(e.pair.log_p - e.pair.log_q).max() for e in chosen)
    where = f"where p and q are far apart (log-ratios to {reach:.0f})"
    try:
        with np.errstate(all="ignore"):
            seen = [_observe(call, e, of_q, ())[top.drawn] for e in chosen]
    except Exception:  # noqa: BLE001 - what fails far away says nothing of what it is
        return []
    if not all(np.isfinite(o.value) and np.isfinite(o.gradient).all() for o in seen):
        return [f"{where} it is not finite: compute it from logits"]
    functional = next(q for q in _known(chosen).plain if q.label == match.functional.label)
    scales = match.scale * norms(match.powers, [e.sizes for e in chosen])
    for o, slope, scale in zip(seen, functional.gradients, scales, strict=True):
        expected = scale * slope
        if not np.isfinite(expected).all():
            continue  # so far apart that the table itself has no numbers
        if np.linalg.norm(o.gradient - expected) > _OTHER * np.linalg.norm(expected):
            return [f"{where} its gradient is another: something inside clips or adds an epsilon"]
    return []


def truncation_notes(
    call: LossCall, experiments: Sequence[Experiment], names: dict[str, list[str]], judged: Judged
) -> list[str]:
    """Returns whether the k likeliest outcomes of a side alone matter: no divergence has that.

    The tail of p (or of q) is rolled by one place: what depends on all of it changes.
    """
    experiment = max(experiments, key=lambda e: e.sizes.get("V", 0))
    v = experiment.sizes.get("V", 0)
    if "" not in experiment.weights or v < 8:
        return []
    base = experiment.at(experiment.theta)[0]

    def value(side: str, k: int) -> float:
        moved = {name: _rolled(base[name], k) for name in names[side]}
        return call.many([base | moved], (), experiment.weigh)[0][0]

    for side in (side for side in ("p", "q") if names[side]):
        whole = value(side, v)

        def differs(k: int, side: str = side, whole: float = whole) -> bool:
            return bool(abs(value(side, k) - whole) > 1e-10 * max(abs(whole), 1e-3))

        if differs(v - 2):
            continue
        k = bisect.bisect(range(v - 2), 0, key=lambda k: int(not differs(k)))
        if k > 0:
            negative = " (here it is negative)" if (judged.headline.values < 0.0).any() else ""
            text = (
                f"only the {k} likeliest outcomes of {side} enter one by one: truncated at the top {k}. A truncated "
                f"sum is not a divergence and may be negative{negative}; with a bucket for the rest it is a lower "
                f"bound: losses.top_k_kl_lower_bound(p=..., q=..., k={k}, reduction=...)"
            )
            return [text]
    return []


def _rolled(array: np.ndarray, k: int) -> np.ndarray:
    """Numbers after the k largest of each row, each moved to its neighbour's place."""
    flat = array.reshape(-1, array.shape[-1]).copy()
    for row in flat:
        tail = np.argsort(-row, kind="stable")[k:]
        row[tail] = row[np.roll(tail, 1)]
    return flat.reshape(array.shape)
