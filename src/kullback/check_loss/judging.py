"""Judging one reading of a loss: what its value and gradient are under each way of drawing."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from kullback.check_loss.formulas import Inputs, formula_catalogue
from kullback.check_loss.functionals import Array, Catalogue, catalogue
from kullback.check_loss.masks import MaskFault
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
#: Names that are no answer as to a gradient, beyond the nearest.
NO_DIVERGENCE = (
    "squared_probabilities", "squared_logits", "sd_for_variance", "squared_mean", "half_squared_ratio",
    "preference_turned", "reference_unused", "reference_turned", "variance_for_sd", "without_half",
)  # fmt: skip
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
        mask_faults: what is wrong with its masks.
    """

    under: tuple[Under, ...]
    detached: str
    reaches_p: bool
    bits: int
    notes: tuple[str, ...] = ()
    mask_faults: tuple[MaskFault, ...] = ()

    @property
    def headline(self) -> Under:
        """What comes first in reports."""
        return self.under[0]

    @property
    def _descends(self) -> bool:
        return self.headline.gradient_named and self.headline.gradient is not None

    @property
    def named(self) -> bool:
        """Whether value or gradient of the headline have a name that says something."""
        return self._descends or (self.headline.value_named and self.headline.value is not None)

    @property
    def weak(self) -> bool:
        """Whether its only name is that of a distance which is no divergence: another reading may say more."""
        match = self.headline.gradient
        return match is not None and match.functional.name in NO_DIVERGENCE

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
    """Returns what a reading of a loss is.

    Args:
        call: the loss.
        experiments: the problems.
        of_q, of_p: the arguments that are differentiated.
        deep: whether to search families with parameters as well.
    """
    with np.errstate(all="ignore"):
        seen = [(e, observe(call, e, of_q, of_p)) for e in experiments]
    policies = list(dict.fromkeys(p for _, found in seen for p in found))
    first, observed = seen[0]
    top = observed[policies[0]]
    differences = call.name == "numpy"
    cut = "none" if differences else _hidden(call, first, top, policies[0])
    every = [o for _, found in seen for o in found.values()]
    tolerance, bits = tolerance_of(every, differences=differences), min(o.bits for o in every)
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
            known([e for e, _ in chosen]),
            deviations=np.array([o.deviation for _, o in chosen]),
            whole=cut == "none" and policy in _STILL,
            deep=deep and not parts,
        )
        parts.append(part)
    return Judged(tuple(parts), cut, top.given != 0.0, bits)


def known(experiments: Sequence[Experiment]) -> Catalogue:
    """Returns the catalogue for the pairs of these experiments."""
    pairs = [e.pair for e in experiments]
    if isinstance(pairs[0], Inputs):
        return formula_catalogue(pairs)
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
        seen,
        table if deep else Catalogue(table.plain),
        (*table.named("reverse"), *table.plain)[0].gradients,
    )
    close = gradient is None or gradient.error <= seen.tolerance
    value, exact, offset = _value(seen, table, gradient if close else None, whole=whole)
    forward, reverse = (table.values(name) for name in ("forward", "reverse"))
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
class Observed:
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


def observe(
    call: LossCall, experiment: Experiment, of_q: Sequence[str], of_p: Sequence[str]
) -> dict[str, Observed]:
    """Returns what a loss does on an experiment, for each way of drawing.

    Args:
        call: the loss.
        experiment: the problem.
        of_q, of_p: names of the arguments of q, and of p, that are differentiated.
    """
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
        found[policy] = Observed(mean, spread, gradient, given, bits)
    return found


def tolerance_of(observed: Sequence[Observed], *, differences: bool) -> float:
    """Returns the relative error up to which two things are equal."""
    bits = min(o.bits for o in observed)
    return _TOLERANCES[bits] * (10.0 if differences and bits == 32 else 1.0)


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


def _hidden(call: LossCall, experiment: Experiment, seen: Observed, policy: str) -> str:
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
