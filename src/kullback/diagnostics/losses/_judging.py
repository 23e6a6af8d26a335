"""Judging one reading of a loss: what its value and gradient are under each way of drawing."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np

from kullback.diagnostics.losses import _categoricals, _gaussians, _wording
from kullback.diagnostics.losses._experiments import Experiment
from kullback.diagnostics.losses._gaussians import GaussianPair
from kullback.diagnostics.losses._matching import Match, match_gradient, match_values, norms
from kullback.diagnostics.losses._observing import Call, Observed, hidden, observe, tolerance
from kullback.diagnostics.losses._quantities import Array, Catalogue, Quantity, Seen

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
        sizes: of every problem.
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
    sizes: tuple[dict[str, int], ...]

    @property
    def gradient_label(self) -> str:
        """The gradient in a few words."""
        return "zero" if self.gradient is None else _wording.label(self.gradient)


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
        """The first."""
        return self.under[0]

    @property
    def named(self) -> bool:
        """Whether value or gradient of the headline have a name that says something."""
        top = self.headline
        return (top.gradient_named and top.gradient is not None) or (
            top.value_named and top.value is not None
        )

    @property
    def rank(self) -> int:
        """0 if both are named."""
        top = self.headline
        return 2 - int(top.gradient_named and top.gradient is not None) - int(top.value_named)

    @property
    def error(self) -> float:
        """How far the gradient is from its nearest."""
        top = self.headline
        return 1.0 if top.gradient is None else top.gradient.error


def judge(
    call: Call,
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
    differences = call.name == "numpy"
    first, observed = seen[0]
    top = observed[policies[0]]
    cut = "none" if differences else hidden(call, first, top, policies[0])
    tolerance_of = tolerance(
        [o for _, found in seen for o in found.values()], differences=differences
    )
    parts = []
    for policy in policies:
        chosen = [(e, found[policy]) for e, found in seen if policy in found]
        parts.append(_under(policy, chosen, cut, tolerance_of, deep=deep and not parts))
    bits = min(o.bits for _, found in seen for o in found.values())
    return Judged(tuple(parts), cut, top.given > 0.0, bits)


def known(experiments: Sequence[Experiment]) -> Catalogue:
    """Returns the catalogue for the pairs of these experiments."""
    pairs = [e.pair for e in experiments]
    labels = [e.labels for e in experiments if e.labels is not None]
    with np.errstate(all="ignore"):
        if isinstance(pairs[0], GaussianPair):
            return _gaussians.catalogue(pairs)
        return _categoricals.catalogue(pairs, labels)


def _under(
    policy: str,
    chosen: Sequence[tuple[Experiment, Observed]],
    cut: str,
    tolerance_of: float,
    *,
    deep: bool,
) -> Under:
    experiments = [e for e, _ in chosen]
    observed = [o for _, o in chosen]
    table = known(experiments)
    seen = Seen(
        np.array([o.value for o in observed]),
        tuple(o.gradient for o in observed),
        [e.sizes for e in experiments],
        tolerance_of,
    )
    gradient = _gradient(seen, table, deep=deep)
    close = gradient is None or gradient.error <= seen.tolerance
    fixed = cut == "none" and policy in _STILL
    value, exact, offset = _value(seen, table, gradient if close else None, fixed=fixed)
    return Under(
        policy,
        gradient,
        value,
        close,
        exact,
        offset,
        seen.values,
        np.array([o.deviation for o in observed]),
        table.named("forward").values,
        table.named("reverse").values,
        tuple(seen.sizes),
    )


def _gradient(seen: Seen, table: Catalogue, *, deep: bool) -> Match | None:
    reference = table.named("reverse").gradients
    pairs = zip(seen.gradients, reference, strict=True)
    floor = max(_ZERO, 1e-3 * seen.tolerance)
    if all(np.linalg.norm(g) <= floor * np.linalg.norm(r) for g, r in pairs):
        return None
    if not all(np.isfinite(g).all() for g in seen.gradients):
        return Match(table.plain[0], float("nan"), (), 0.0, 1.0)
    if deep:
        return match_gradient(seen, table)
    return match_gradient(seen, Catalogue(table.plain))


def _value(
    seen: Seen, table: Catalogue, gradient: Match | None, *, fixed: bool
) -> tuple[Match | None, bool, str]:
    """What the value is, whether exactly, and what it has besides the gradient's divergence.

    `fixed` says that the gradient is the whole slope of the value, so that the rest cannot depend on q.
    """
    if not np.isfinite(seen.values).all():
        return Match(table.plain[0], float("nan"), (), 0.0, 1.0), False, ""
    if np.abs(seen.values).max() <= _ZERO:
        return None, True, ""
    options: list[Quantity] = [*table.plain]
    if gradient is not None and not gradient.terms and gradient.quantity.parameters:
        options.insert(0, gradient.quantity)
    found = match_values(seen, options)
    if found.error <= seen.tolerance:
        return found, True, ""
    if gradient is None:
        return found, False, ""
    rest = seen.values - gradient.predicted_values(seen.sizes)
    size = np.abs(seen.values).max()
    if np.abs(rest).max() <= seen.tolerance * size:
        return gradient, True, ""
    if np.ptp(rest) <= seen.tolerance * size:
        return gradient, True, f"the constant {rest.mean():.6g}"
    norm = norms(gradient.powers, seen.sizes)
    for quantity in (q for q in table.plain if q.name == "entropy_p"):
        times = norm * quantity.values
        factor = float(times @ rest / (times @ times))
        if np.abs(rest - factor * times).max() <= seen.tolerance * size:
            times_words = "" if abs(factor - 1.0) < 1e-4 else f"{factor:.4g} × "
            return gradient, True, f"{times_words}the entropy of p"
    if fixed:
        return gradient, True, "what does not depend on q"
    return found, False, ""
