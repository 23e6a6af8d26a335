"""A closer look at a pair of distributions: far apart, with zeros, with tails exchanged."""

from collections.abc import Sequence

import numpy as np

from kullback.diagnostics.losses._experiments import Experiment
from kullback.diagnostics.losses._judging import Judged, known
from kullback.diagnostics.losses._matching import norms
from kullback.diagnostics.losses._observing import Call, observe

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
