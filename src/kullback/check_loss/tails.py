"""A closer look at a loss of distributions: where they are far apart, and with the tails exchanged."""

import bisect
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from kullback.check_loss.functionals import Catalogue, top_k
from kullback.check_loss.judging import Judged, known, observe, tolerance_of
from kullback.check_loss.matching import Observations, match_gradient, match_values, norms
from kullback.check_loss.problems import Experiment
from kullback.interop.loss_calls import LossCall

#: Relative error beyond which a loss is another far away.
_OTHER = 1e-3


def far_notes(
    call: LossCall, far: Sequence[Experiment], of_q: Sequence[str], judged: Judged
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
    if match is None or not top.gradient_named or match.terms or match.functional.parameters:
        return []
    chosen = [e for e in far if top.drawn in e.weights]
    if not chosen:
        return []
    reach = max(np.abs(e.pair.log_p - e.pair.log_q).max() for e in chosen)
    where = f"where p and q are far apart (log-ratios to {reach:.0f})"
    try:
        with np.errstate(all="ignore"):
            seen = [observe(call, e, of_q, ())[top.drawn] for e in chosen]
    except Exception:  # noqa: BLE001 - what fails far away says nothing of what it is
        return []
    if not all(np.isfinite(o.value) and np.isfinite(o.gradient).all() for o in seen):
        return [f"{where} it is not finite: compute it from logits"]
    functional = next(q for q in known(chosen).plain if q.label == match.functional.label)
    scales = match.scale * norms(match.powers, [e.sizes for e in chosen])
    for o, slope, scale in zip(seen, functional.gradients, scales, strict=True):
        expected = scale * slope
        if not np.isfinite(expected).all():
            continue  # so far apart that the table itself has no numbers
        if np.linalg.norm(o.gradient - expected) > _OTHER * np.linalg.norm(expected):
            return [f"{where} its gradient is another: something inside clips or adds an epsilon"]
    return []


def with_truncation(
    call: LossCall, experiments: Sequence[Experiment], names: dict[str, list[str]], judged: Judged
) -> Judged:
    """Returns what was judged, with what a loss is in which the k likeliest outcomes of a side alone matter.

    The tail of p (or of q) is rolled by one place: what depends on all of it changes.

    Args:
        call: the loss.
        experiments: problems without draws; the one with most outcomes is used.
        names: the arguments of "p" and of "q".
        judged: what the loss is on these.
    """
    experiment = max(experiments, key=lambda e: e.sizes.get("V", 0))
    v = experiment.sizes.get("V", 0)
    if "" not in experiment.weights or v < 8:
        return judged
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
            return _truncated(
                call, [e for e in experiments if e.sizes["V"] > k], names["q"], judged, side, k
            )
    return judged


def _truncated(
    call: LossCall, experiments: Sequence[Experiment], of_q: Sequence[str], judged: Judged, side: str, k: int
) -> Judged:  # fmt: skip
    """A bound, renormalised, or a sum that is no divergence."""
    seen = [observe(call, e, of_q, ())[""] for e in experiments]
    signal = Observations(
        np.array([o.value for o in seen]), tuple(o.gradient for o in seen), [e.sizes for e in experiments],
        tolerance_of(seen, differences=call.name == "numpy"),
    )  # fmt: skip
    table = Catalogue(top_k([e.pair for e in experiments], side, k))
    gradient, value = match_gradient(signal, table), match_values(signal, table.plain)
    if gradient.error <= signal.tolerance:
        exact = value.error <= signal.tolerance
        top = replace(
            judged.headline, gradient=gradient, gradient_named=True, value=value if exact else judged.headline.value,
            value_named=exact,
        )  # fmt: skip
        return replace(judged, under=(top, *judged.under[1:]))
    negative = " (here it is negative)" if (judged.headline.values < 0.0).any() else ""
    text = (
        f"only the {k} likeliest outcomes of {side} enter one by one: truncated at the top {k}. A truncated sum is "
        f"not a divergence and may be negative{negative}; with a bucket for the rest it is a lower bound: "
        f"losses.top_k_kl_lower_bound(p=..., q=..., k={k}, reduction=...)"
    )
    return replace(judged, notes=(*judged.notes, text))


def _rolled(array: np.ndarray, k: int) -> np.ndarray:
    """Numbers after the k largest of each row, each moved to its neighbour's place."""
    flat = array.reshape(-1, array.shape[-1]).copy()
    for row in flat:
        tail = np.argsort(-row, kind="stable")[k:]
        row[tail] = row[np.roll(tail, 1)]
    return flat.reshape(array.shape)
