"""Judging one reading of a loss: what its value and gradient are under each way of drawing."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np

from kullback.check_loss.categoricals import catalogue as categoricals_catalogue
from kullback.check_loss.formulas import Inputs, formula_catalogue
from kullback.check_loss.gaussians import GaussianPair, catalogue
from kullback.check_loss.masks import MaskFault
from kullback.check_loss.matching import Match, label, match_gradient, match_values, norms
from kullback.check_loss.problems import Call, Experiment, Observed, hidden, observe, tolerance
from kullback.check_loss.quantities import Array, Catalogue, Quantity, Seen

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
    def weak(self) -> bool:
        """Whether its only name is that of a distance which is no divergence: another reading may say more."""
        match = self.headline.gradient
        return match is not None and match.quantity.name in NO_DIVERGENCE

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
            return catalogue(pairs)
        if isinstance(pairs[0], Inputs):
            return formula_catalogue(pairs)
        return categoricals_catalogue(pairs, labels)


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
        table.values("forward"),
        table.values("reverse"),
        tuple(seen.sizes),
    )


def _gradient(seen: Seen, table: Catalogue, *, deep: bool) -> Match | None:
    reference = (table.named("reverse") or table.plain[0]).gradients
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


# A closer look at a pair of distributions: far apart, with zeros, with tails exchanged.

#: Relative error beyond which a loss is another far away.
_OTHER = 1e-3


def far_notes(
    call: Call, far: Sequence[Experiment], of_q: Sequence[str], judged: Judged
) -> list[str]:
    """Returns whether a loss is still what it is where p and q are far apart: clips and epsilons show.

    Args:
        call: the loss.
        far: problems with large log-ratios.
        of_q: the arguments of q.
        judged: what the loss is on ordinary problems.
    """
    top = judged.headline
    match = top.gradient
    if match is None or not top.gradient_named or match.terms or match.quantity.parameters:
        return []
    policy = top.drawn
    chosen = [e for e in far if policy in e.weights]
    if not chosen:
        return []
    try:
        with np.errstate(all="ignore"):
            seen = [observe(call, e, of_q, ())[policy] for e in chosen]
    except Exception:  # noqa: BLE001 - what fails far away says nothing of what it is
        return []
    if not all(np.isfinite(o.value) and np.isfinite(o.gradient).all() for o in seen):
        return [
            f"where p and q are far apart ({_reach(chosen)}) it is not finite: compute it from logits"
        ]
    table = known(chosen)
    quantity = next(q for q in table.plain if q.label == match.quantity.label)
    scales = match.scale * norms(match.powers, [e.sizes for e in chosen])
    for o, expected, scale in zip(seen, quantity.gradients, scales, strict=True):
        if not np.isfinite(expected).all():
            continue  # so far apart that the table itself has no numbers
        size = np.linalg.norm(scale * expected)
        if np.linalg.norm(o.gradient - scale * expected) > _OTHER * size:
            place = f"where p and q are far apart ({_reach(chosen)}) its gradient is another"
            return [f"{place}: something inside clips or adds an epsilon"]
    return []


def _reach(experiments: Sequence[Experiment]) -> str:
    reach = max(np.abs(e.pair.log_p - e.pair.log_q).max() for e in experiments)
    return f"log-ratios to {reach:.0f}"


def truncation(
    call: Call, experiments: Sequence[Experiment], names: dict[str, list[str]]
) -> tuple[str, int] | None:
    """Returns whose k likeliest outcomes alone matter, and k; None if all do.

    The tail of p (or of q) is rolled by one place: what depends on all of it changes.

    Args:
        call: the loss.
        experiments: problems without draws; the one with most outcomes is used.
        names: the arguments of "p" and of "q".
    """
    experiment = max(experiments, key=lambda e: e.sizes.get("V", 0))
    if "" not in experiment.weights or experiment.sizes.get("V", 0) < 8:
        return None
    base = experiment.at(experiment.theta)[0]
    value = call.many([base], (), experiment.weigh)[0][0]
    for side in ("p", "q"):
        if not names[side]:
            continue

        def same(k: int, side: str = side) -> bool:
            moved = dict(base)
            for name in names[side]:
                moved[name] = _rolled(base[name], k)
            found = call.many([moved], (), experiment.weigh)[0][0]
            return bool(abs(found - value) <= 1e-10 * max(abs(value), 1e-3))

        v = experiment.sizes["V"]
        if not same(v - 2):
            continue
        low, high = 0, v - 2
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if same(middle) else (middle, high)
        if high > 0 and not same(high - 1):
            return side, high
    return None


def _rolled(array: np.ndarray, k: int) -> np.ndarray:
    """Numbers after the k largest of each row, each moved to its neighbour's place."""
    flat = array.reshape(-1, array.shape[-1]).copy()
    for row in flat:
        tail = np.argsort(-row, kind="stable")[k:]
        row[tail] = row[np.roll(tail, 1)]
    return flat.reshape(array.shape)
