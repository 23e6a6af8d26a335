"""How all columns of two tables together differ: the joint divergence, what pairs add, which rows pay."""

import math
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float, Int
from scipy import special

from kullback.diff.column import FORWARD, REVERSE, certified_estimate, jeffreys
from kullback.measure.samples.classifiers import encode
from kullback.measure.samples.counts import of_codes, of_numbers, tally_kl
from kullback.measure.samples.estimates import of_joint, of_tally
from kullback.measure.samples.joint import JointKl, joint_kl
from kullback.measure.samples.tests import holm
from kullback.results.diff import ColumnDiff, Interaction, JointDiff, UnlikeRow
from kullback.results.estimate import Estimate
from kullback.results.quantity import FORWARD_KL, INTERACTION

Table = Float[np.ndarray, "_n _d"]
#: Pairs whose divergence is measured, on so many rows of each table; rows that are listed.
_PAIRS, _PAIR_ROWS, _LISTED = 3, 1500, 10


@final
@dataclass(frozen=True, eq=False)
class JointRows:
    """Rows of one table that were drawn to look at all columns together.

    Attributes:
        values: numbers and codes, NaN where a value is missing; rows are independent and count alike.
        index: their numbers in the table.
    """

    values: Table
    index: Int[np.ndarray, " n"]


def joint_diff(
    reference: JointRows, current: JointRows, names: tuple[str, ...], labels: tuple[tuple[str, ...] | None, ...],
    columns: tuple[ColumnDiff, ...], rng: np.random.Generator,
) -> JointDiff:  # fmt: skip
    """Returns how all columns together differ, before what is corrected for the columns.

    Args:
        reference, current: rows of both.
        names: of the columns.
        labels: of their codes; None where a column has an order.
        columns: what was found of each alone.
        rng: randomness of folds and halves.
    """
    coded = np.array([known is not None for known in labels])
    rows = encode(reference.values, current.values, coded)
    found = joint_kl(rows, rng)
    total = len(reference.values) + len(current.values)
    estimates = tuple(
        of_joint(found, which, direction, total, len(names))
        for which, direction in ((0, FORWARD), (1, REVERSE))
    )
    summed = _sum(tuple(c.forward for c in columns))
    certified = certified_estimate(found.certificates[0], FORWARD, total)
    unlike_reference, unlike_current = _unlike(found, reference, current)
    return JointDiff(
        estimates[0], estimates[1], jeffreys(*estimates), found.p_value, found.p_value,
        "no evidence", certified, summed, _less(estimates[0], summed, "joint less sum of columns"),
        _interactions(reference, current, names, labels, rng), unlike_reference, unlike_current,
        found.curve, (len(reference.values), len(current.values)),
    )  # fmt: skip


def _sum(parts: tuple[Estimate, ...]) -> Estimate:
    """Returns the sum of the divergences of the columns; errors are added, for columns may go together."""
    method, quantity = "sum over columns", FORWARD_KL.called(f"sum of {FORWARD}")
    if any(e.kind == "unresolved" for e in parts):
        names = sum(e.kind == "unresolved" for e in parts)
        return Estimate.unresolved(
            math.nan, f"{names} of {len(parts)} column(s) are unresolved", quantity,
            method=method, at_least=sum(e.interval[0] for e in parts),
        )  # fmt: skip
    value, error = sum(e.value for e in parts), sum(e.standard_error for e in parts)
    limits = (sum(e.interval[0] for e in parts), sum(e.interval[1] for e in parts))
    return Estimate(value, error, limits, quantity, "estimate", method)


def _less(joint: Estimate, columns: Estimate, what: str) -> Estimate:
    """Returns a joint divergence less that of its columns; it may be negative where they say the same."""
    quantity, method = INTERACTION.called(what), "difference"
    low = joint.interval[0] - columns.interval[1]
    if joint.kind != "estimate" or columns.kind != "estimate":
        reason = "the joint divergence is known as a bound only"
        if columns.kind != "estimate":
            reason = columns.notes[0]
        return Estimate.unresolved(math.nan, reason, quantity, method=method, at_least=low)
    error = math.hypot(joint.standard_error, columns.standard_error)
    limits = (low, joint.interval[1] - columns.interval[0])
    return Estimate(joint.value - columns.value, error, limits, quantity, "estimate", method)


def _unlike(
    found: JointKl, reference: JointRows, current: JointRows
) -> tuple[tuple[UnlikeRow, ...], tuple[UnlikeRow, ...]]:
    """Returns rows of current least like the reference, and of reference least like current."""
    scores, n = found.stacked.scores, len(reference.values)

    def listed(rows: JointRows, log_ratio: Float[np.ndarray, " n"]) -> tuple[UnlikeRow, ...]:
        order = np.argsort(-log_ratio, kind="stable")[:_LISTED]
        return tuple(UnlikeRow(int(rows.index[i]), float(log_ratio[i])) for i in order)

    return listed(current, -scores[n:]), listed(reference, scores[:n])


def _interactions(
    reference: JointRows, current: JointRows, names: tuple[str, ...],
    labels: tuple[tuple[str, ...] | None, ...], rng: np.random.Generator,
) -> tuple[Interaction, ...]:  # fmt: skip
    """Returns pairs of columns whose going together changes by more than chance, the clearest measured."""
    d = len(names)
    if d < 2:
        return ()
    coded = np.array([known is not None for known in labels])
    rows = encode(reference.values, current.values, coded)
    marks = _marks(rows.trees, rows.categories)
    n = len(reference.values)
    pairs = [(i, j) for i in range(d) for j in range(i + 1, d)]
    p_values = np.array([_changed(marks[i], marks[j], n) for i, j in pairs])
    adjusted = holm(p_values)
    best = [k for k in np.argsort(p_values, kind="stable") if adjusted[k] < 0.05][:_PAIRS]
    return tuple(
        Interaction(
            (names[pairs[k][0]], names[pairs[k][1]]),
            _measured(reference, current, pairs[k], labels, rng), float(adjusted[k]),
        )
        for k in best
    )  # fmt: skip


def _marks(trees: Table, coded: np.ndarray) -> list[Table]:
    """Returns for each column what is multiplied with that of others: score and its square, or indicators."""
    found = []
    for column, code in zip(trees.T, coded, strict=True):
        known = ~np.isnan(column)
        if code:
            levels, counts = np.unique(column[known], return_counts=True)
            common = levels[np.argsort(-counts, kind="stable")[:3]]
            made = (column[:, None] == common).astype(np.float64)
        else:
            z = np.where(known, special.ndtri(np.where(known, column, 0.5)), 0.0)
            made = np.column_stack([z, z * z])
        found.append(made - made.mean(axis=0))
    return found


def _changed(a: Table, b: Table, n: int) -> float:
    """Returns how likely products of two columns have the same means in both tables, of all their products.

    Each table's own means are taken off first, so that shifts of a column alone do not count.
    """
    deviates = []
    for x in a.T:
        for y in b.T:
            halves = []
            for part in (slice(None, n), slice(n, None)):
                u, v = x[part] - x[part].mean(), y[part] - y[part].mean()
                scale = math.sqrt(float(u @ u) * float(v @ v)) / len(u)
                product = u * v / scale if scale > 0.0 else np.zeros(len(u))
                halves.append((float(product.mean()), float(product.var()) / len(u)))
            (one, of_one), (two, of_two) = halves
            spread = math.sqrt(of_one + of_two)
            deviates.append(abs(one - two) / spread if spread > 0.0 else 0.0)
    largest = max(deviates, default=0.0)
    return min(1.0, len(deviates) * math.erfc(largest / math.sqrt(2.0)))


def _measured(
    reference: JointRows, current: JointRows, pair: tuple[int, int],
    labels: tuple[tuple[str, ...] | None, ...], rng: np.random.Generator,
) -> Estimate:  # fmt: skip
    """Returns KL of a pair of columns less that of each, on some of the rows."""
    x, y = (
        side.values[rng.permutation(len(side.values))[:_PAIR_ROWS]][:, list(pair)]
        for side in (reference, current)
    )
    coded = np.array([labels[i] is not None for i in pair])
    total = len(x) + len(y)
    joint = of_joint(joint_kl(encode(x, y, coded), rng, tested=False), 0, FORWARD, total, 2)
    alone = []
    for k, i in enumerate(pair):
        known = labels[i]
        tallied = (
            of_numbers(x[:, k], y[:, k]) if known is None else of_codes(x[:, k], y[:, k], known)
        )
        alone.append(of_tally(tally_kl(tallied.tally), FORWARD, total))
    return _less(joint, _sum(tuple(alone)), "KL of both less that of each")
