"""KL(p||q) of two samples of several columns: by a score that tells them apart, as on a line.

What a score keeps of p and q is a lower bound on their divergence, by the data-processing inequality,
and reaches it where the score orders rows as p/q does. The score of a row is learned from other rows;
what better learning would add shows in how the value grows from a quarter and a half of the rows.
"""

import math
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float, Int

from kullback.measure.neighbours import between_samples
from kullback.measure.samples.cells import Ordered, ordered
from kullback.measure.samples.classifiers import NAMES, Encoded, Stacked, half_scores, stack
from kullback.measure.samples.log_ratio import LogRatio, log_ratio
from kullback.measure.samples.ranks import OrderedKl, ordered_kl
from kullback.measure.samples.tests import Certificate, certified

Scores = Float[np.ndarray, "_n"]
#: Up to so many columns an interval is tried; beyond, the value is a lower bound.
MOST_JOINT_COLUMNS = 5
#: Fewer rows than this of either sample are not learned from.
FEWEST_ROWS = 40
#: What is still to come is so many times what the second half of the rows brought: 1 / (2^b - 1) for an
#: error that falls as n^-b, b = 1 for smooth ratios of few columns.
_TO_COME = 1.5
#: The curve still rises where its last step is more than so many of its errors, and this share of the value.
_RISES, _SHARE = 1.6, 0.04
_NOTHING = Certificate(0.0, 0.0, 1.0)


@final
@dataclass(frozen=True, eq=False)
class JointKl:
    """Both divergences of two samples of several columns.

    Attributes:
        forward, reverse: KL(p||q) and KL(q||p) of the scores.
        curve: rows of the smaller sample, and both values, at a quarter, a half and all of the rows.
        stacked: the scores.
        cells: their counts.
        smooth: log p/q of the cells.
        p_value: how likely samples of one distribution are told apart as well.
        certificates: of both directions.
        near: both divergences by nearest neighbours, with their errors; None beyond a few columns, and
            where these are not all continuous.
        lines: both divergences of each column, and of the distance from the middle; none beyond a few columns.
    """

    forward: OrderedKl
    reverse: OrderedKl
    curve: tuple[tuple[int, float, float], ...]
    stacked: Stacked
    cells: Ordered
    smooth: LogRatio
    p_value: float
    certificates: tuple[Certificate, Certificate]
    near: tuple[tuple[float, float] | None, tuple[float, float] | None]
    lines: tuple[tuple[OrderedKl, OrderedKl], ...] = ()

    @property
    def members(self) -> str:
        """The classifiers that were listened to."""
        heard = [n for n, w in zip(NAMES, self.stacked.weights, strict=True) if w > 0.02]
        return ", ".join(heard) if heard else "none"


def joint_kl(
    rows: Encoded, rng: np.random.Generator, *, tested: bool = True
) -> JointKl:  # fmt: skip
    """Returns both divergences of rows of p and q.

    Args:
        rows: at least `FEWEST_ROWS` of each, all independent.
        rng: randomness of folds and halves.
        tested: also the p-value, the certificates and a quarter of the rows.
    """
    whole = stack(rows, rng)
    cells = _cells(whole.scores, rows)
    smooth = log_ratio(cells)
    forward, reverse = ordered_kl(cells, smooth), ordered_kl(cells.swapped, smooth.swapped)
    curve = [
        *(_of_part(rows, rng, whole, parts) for parts in ((4, 2) if tested else (2,))),
        (int(min(cells.p.sum(), cells.q.sum())), forward.value, reverse.value),
    ]
    p_value, certificates = math.nan, (_NOTHING, _NOTHING)
    if tested:
        p_value, certificates = _halves(rows, rng, whole)
    return JointKl(
        forward, reverse, tuple(c for c in curve if c is not None), whole, cells, smooth, p_value,
        certificates, _near(rows), _lines(rows),
    )  # fmt: skip


def to_come(
    curve: tuple[tuple[int, float, float], ...], which: int, error: float
) -> tuple[float, bool]:
    """Returns what more rows may add to the value, and whether it still rises.

    Args:
        curve: as of JointKl.
        which: 0 for KL(p||q), 1 for KL(q||p).
        error: the standard error of the last value.
    """
    if len(curve) < 2:
        return math.inf, True
    last, before = curve[-1][1 + which], curve[-2][1 + which]
    step = last - before
    rises = step > _RISES * error and step > _SHARE * abs(last)
    return _TO_COME * max(step, 0.0), rises


def _near(
    rows: Encoded,
) -> tuple[tuple[float, float] | None, tuple[float, float] | None]:
    if rows.scores.shape[1] > MOST_JOINT_COLUMNS or rows.scores.shape[1] < rows.trees.shape[1]:
        return None, None
    p, q = rows.scores[rows.of_p], rows.scores[~rows.of_p]
    return between_samples(p, q), between_samples(q, p)


def _lines(rows: Encoded) -> tuple[tuple[OrderedKl, OrderedKl], ...]:
    """Returns both divergences of plain functions of the rows, whose tails show where learned scores level off.

    By the data-processing inequality the divergence of all columns is at least each of theirs.
    """
    d = rows.scores.shape[1]
    if not 0 < d <= MOST_JOINT_COLUMNS:
        return ()
    found = []
    for values in (*rows.scores.T, np.linalg.norm(rows.scores, axis=1)):
        cells = _cells(values, rows)
        smooth = log_ratio(cells)
        found.append((ordered_kl(cells, smooth), ordered_kl(cells.swapped, smooth.swapped)))
    return tuple(found)


def _cells(scores: Scores, rows: Encoded) -> Ordered:
    return ordered(scores[rows.of_p], scores[~rows.of_p])


def _of_part(
    rows: Encoded, rng: np.random.Generator, whole: Stacked, parts: int
) -> tuple[int, float, float] | None:
    """Returns the values from a half or a quarter of the rows; None where these are too few."""
    share = _shares(rows, rng, parts)
    some = rows.take(share == 0)
    fewer = int(min(some.of_p.sum(), (~some.of_p).sum()))
    if fewer < FEWEST_ROWS:
        return None
    cells = _cells(stack(some, rng, whole.shape).scores, some)
    smooth = log_ratio(cells)
    return fewer, ordered_kl(cells, smooth).value, ordered_kl(cells.swapped, smooth.swapped).value


def _shares(rows: Encoded, rng: np.random.Generator, parts: int) -> Int[np.ndarray, " n"]:
    found = np.zeros(len(rows.of_p), dtype=np.int64)
    for side in (rows.of_p, ~rows.of_p):
        at = np.flatnonzero(side)
        found[at] = rng.permutation(len(at)) % parts
    return found


def _halves(
    rows: Encoded, rng: np.random.Generator, whole: Stacked
) -> tuple[float, tuple[Certificate, Certificate]]:
    """Returns a p-value and bounds from scores that were learned on one half of the rows."""
    half = _shares(rows, rng, 2)
    deviates, certificates = [], None
    for learned in (0, 1):
        seen, left = rows.take(half == learned), rows.take(half != learned)
        scores = half_scores(seen, left, whole.shape, rng)
        deviates.append(_deviate(scores, left))
        certificates = certificates or _certificates(scores, left, rng)
    assert certificates is not None
    # The two halves may say the same thing: their mean is no less spread than one of them.
    return 0.5 * math.erfc(float(np.mean(deviates)) / math.sqrt(2.0)), certificates


def _deviate(scores: Scores, rows: Encoded) -> float:
    """Returns by how many standard errors the scores of p rank above those of q."""
    distinct, which, counts = np.unique(scores, return_inverse=True, return_counts=True)
    if len(distinct) < 2:
        return 0.0
    ranks = ((np.cumsum(counts) - 0.5 * counts) / len(scores))[which]
    apart, variance = 0.0, 0.0
    for side, sign in ((rows.of_p, 1.0), (~rows.of_p, -1.0)):
        mine = ranks[side]
        apart += sign * float(mine.mean())
        variance += float(mine.var(ddof=1)) / len(mine)
    return apart / math.sqrt(variance) if variance > 0.0 else 0.0


def _certificates(
    scores: Scores, rows: Encoded, rng: np.random.Generator
) -> tuple[Certificate, Certificate]:
    """Returns bounds on both divergences: regions of the score chosen on a third of the rows, counted on the others."""
    chooses = rng.random(len(scores)) < 1.0 / 3.0
    edges = np.unique(np.quantile(scores[chooses], np.linspace(0.0, 1.0, 41)[1:-1]))
    which = np.searchsorted(edges, scores)
    found = [
        np.bincount(which[part & side], minlength=len(edges) + 1).astype(np.float64)
        for part in (chooses, ~chooses)
        for side in (rows.of_p, ~rows.of_p)
    ]
    if not all(counts.sum() for counts in found):
        return _NOTHING, _NOTHING
    chosen_p, chosen_q, counted_p, counted_q = found
    return (
        certified(chosen_p, chosen_q, counted_p, counted_q),
        certified(chosen_q, chosen_p, counted_q, counted_p),
    )
