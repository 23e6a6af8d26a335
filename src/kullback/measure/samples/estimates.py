"""What was learnt of two samples, as Estimates that say what they may be used for."""

import math

from kullback.measure.samples.counts import TallyKl
from kullback.measure.samples.joint import (
    MOST_JOINT_COLUMNS,
    JointKl,
    to_come,
)
from kullback.measure.samples.ranks import OrderedKl
from kullback.results.estimate import Estimate
from kullback.results.quantity import FORWARD_KL, Sentence

# What was found of two samples, as Estimates that say what they may be used for.

LEVELS = "digamma counts"
RANKS = "ranks: counts of parts, smooth within, tails"
#: Half-widths of a 95 % interval, and of a one-sided limit, in standard errors.
_TWO, _ONE = 1.96, 1.645
#: Fewer rows than this of either sample do not show what more of them would teach about several columns.
_FEWEST_LEARNED = 500
#: Two measurements disagree where they are so many of their common errors apart.
_APART = 1.7
_SCORE = "scores from other rows"


def of_tally(found: TallyKl, direction: str, n: int) -> Estimate:
    """Returns KL of one column as an Estimate: with an interval, or unresolved with what it is at least.

    Args:
        found: the measurement.
        direction: such as "KL(p||q)".
        n: rows of both.
    """
    method = LEVELS if found.rest is None else RANKS
    notes = ()
    if found.unseen > 0.0:
        notes = (
            f"{100.0 * found.unseen:.2g} % of {{p}}'s rows are at levels of which {{q}} has no row",
        )
    limit = found.bound - _ONE * found.bound_error
    if found.reason:
        return _unresolved(found.reason, limit, direction, method, n, notes)
    return _interval(found.value, found.error, found.upward, direction, method, n, notes)


def of_joint(found: JointKl, which: int, direction: str, n: int, columns: int) -> Estimate:
    """Returns KL of several columns as an Estimate.

    Up to five columns an interval, longer upwards by what more rows may add, and to where that of nearest
    neighbours, or that of a column or of the distance from the middle, ends; beyond them a lower bound; unresolved
    where the value still rises with the rows, neighbours find more, or a column is. Downwards the score alone counts:
    what it keeps is a lower bound.

    Args:
        found: the measurement.
        which: 0 for KL(p||q), 1 for KL(q||p).
        direction: its name.
        n: rows of both.
        columns: of the table.
    """
    side: OrderedKl = (found.forward, found.reverse)[which]
    more, rises = to_come(found.curve, which, side.error)
    limit = side.bound - _ONE * side.bound_error
    near = found.near[which]
    notes = (curve_in_words(found, which), f"the scores are by {found.members}")
    if near is not None:
        notes = (*notes, Sentence("nearest neighbours say {:.3g} ± {:.2g} {unit}", *near))
    few = found.curve[-1][0] if columns <= MOST_JOINT_COLUMNS else math.inf
    reason = side.reason
    if not reason and near is not None and _finds_more(near, side):
        reason = "nearest neighbours find more than the scores have learned"
    if not reason and rises:
        reason = "it still rises with the number of rows"
    lines = [pair[which] for pair in found.lines]
    if not reason:
        reason = next((line.reason for line in lines if line.reason), "")
    if not reason and few < _FEWEST_LEARNED:
        reason = f"{few} rows do not show what more would teach: it takes {_FEWEST_LEARNED} of each"
    if reason:
        return _unresolved(reason, limit, direction, _SCORE, n, notes)
    if columns > MOST_JOINT_COLUMNS:
        return Estimate.bounded(
            max(limit, 0.0), side.error, FORWARD_KL.called(direction), method=_SCORE, n=n,
            notes=notes,
        )  # fmt: skip
    ends = [line.value + _TWO * line.error + line.upward for line in lines]
    if near is not None:
        ends.append(near[0] + _TWO * near[1])
    beyond = max(ends, default=-math.inf) - (side.value + _TWO * side.error)
    upward = max(side.upward + more, beyond)
    return _interval(side.value, side.error, upward, direction, _SCORE, n, notes)


def _finds_more(near: tuple[float, float], side: OrderedKl) -> bool:
    return near[0] - side.value > _APART * math.hypot(near[1], side.error)


def curve_in_words(found: JointKl, which: int) -> str:
    """Returns the values at a quarter, a half and all of the rows."""
    values = [float(c[1 + which]) for c in found.curve]
    places = ", ".join(["{:.3g}"] * len(values))
    rows = ", ".join(f"{c[0]:,}" for c in found.curve)
    said = f"values from {rows} rows of the smaller sample: {places} {{unit}}"
    return Sentence(said, *values)


def _interval(
    value: float, error: float, upward: float, direction: str, method: str, n: int,
    notes: tuple[str, ...],
) -> Estimate:  # fmt: skip
    # Chance may take it below 0, but an interval of what cannot be negative begins there.
    shown = max(value, 0.0)
    high = max(value + _TWO * error, 0.0) + upward
    limits = (max(value - _TWO * error, 0.0), high)
    if not (math.isfinite(shown) and math.isfinite(high)):
        return _unresolved("its error is not known", 0.0, direction, method, n, notes)
    spoken = tuple(_named(note, direction) for note in notes)
    return Estimate(
        shown, error, limits, FORWARD_KL.called(direction), "estimate", method, n, spoken
    )


def _unresolved(
    reason: str, limit: float, direction: str, method: str, n: int, notes: tuple[str, ...]
) -> Estimate:
    spoken = tuple(_named(note, direction) for note in notes)
    return Estimate.unresolved(
        math.nan, _named(reason, direction), FORWARD_KL.called(direction), method=method, n=n,
        notes=spoken,
        at_least=max(limit, 0.0) if math.isfinite(limit) else 0.0,
    )  # fmt: skip


def _named(text: str, direction: str) -> str:
    """Returns a remark with the names of the two in place of {p} and {q}."""
    if isinstance(text, Sentence):
        return text
    p, _, q = direction.removeprefix("KL(").removesuffix(")").partition("||")
    return text.replace("{p}", p).replace("{q}", q)
