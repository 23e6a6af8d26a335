"""How one column of two tables differs: divergences, chance, regions, what is drawn."""

import datetime as dt
import functools
import itertools
import math
from dataclasses import dataclass, replace
from typing import final

import numpy as np
from jaxtyping import Float

from kullback.core.errors import UnsupportedError
from kullback.measure.samples.cells import of_counts, terms
from kullback.measure.samples.counts import (
    MISSING,
    Tallied,
    Tally,
    TallyKl,
    certificate,
    of_codes,
    of_numbers,
    tally_kl,
)
from kullback.measure.samples.counts import p_value as counts_p_value
from kullback.measure.samples.estimates import of_tally
from kullback.measure.samples.ranks import log_ratio, ordered_kl
from kullback.measure.samples.tests import Certificate, detectable
from kullback.results import quantity
from kullback.results.diff import ColumnDiff, ColumnRegion, Finding, JointDiff, Picture
from kullback.results.estimate import Estimate
from kullback.results.quantity import FORWARD_KL
from kullback.tables.kinds import Column, declare
from kullback.tables.table import row_number

Values = Float[np.ndarray, "_n"]
FORWARD, REVERSE = "KL(reference||current)", "KL(current||reference)"
JEFFREYS = "Jeffreys(reference,current)"
#: Pairs without a difference that are made to find the floor, and the rows they have at most.
_PAIRS, _MOST_ROWS = 60, 2000
#: Column that are enough for the floor; regions and bins that are shown, levels that are named.
_CELLS, _REGIONS, _BINS, _NAMED = 200, 8, 40, 20
_MICROSECONDS = 1e6
_MIXED = "numbers in one table and names in the other"
#: A difference is more than chance where its p-value, corrected, is below.
LEVEL = 0.05


@final
@dataclass(frozen=True, eq=False)
class WeightedColumn:
    """A column of one table: its cells and what each row counts for; None for 1."""

    cells: Column
    weights: Values | None


def alike(left: Column, right: Column) -> tuple[Column, Column]:
    """Returns two columns of one kind, codes of the same labels. Raises UnsupportedError if they are not."""
    if "identifier" in (left.declared, right.declared):
        raise UnsupportedError("an identifier: it names rows, and there is nothing to compare")
    if left.scale != right.scale:
        empty = "empty" in (left.kind, right.kind)
        if "levels" in (left.scale, right.scale) and not empty:
            raise UnsupportedError(_MIXED)
        scale = left.scale if right.scale == "numbers" or right.kind == "empty" else right.scale
        left, right = replace(left, scale=scale), replace(right, scale=scale)
    if left.scale != "levels":
        return left, right
    labels = tuple(dict.fromkeys((*left.labels, *right.labels)))
    return _recoded(left, labels), _recoded(right, labels)


def coded_like(column: Column, other: Column) -> Column:
    """Returns whole numbers as codes where the other table has digits that name something."""
    if (
        other.kind == "code"
        and column.kind in ("integer", "constant")
        and column.scale == "numbers"
    ):
        return declare(column, "code", "", "", row_number)
    return column


def _recoded(cells: Column, labels: tuple[str, ...]) -> Column:
    if cells.labels == labels or not cells.labels:
        return replace(cells, labels=labels)
    place = {label: float(i) for i, label in enumerate(labels)}
    table = np.array([place[label] for label in cells.labels])
    codes = np.nan_to_num(cells.values).astype(np.int64)
    return Column("levels", np.where(np.isnan(cells.values), np.nan, table[codes]), labels)


def tallied(reference: WeightedColumn, current: WeightedColumn) -> Tallied:
    """Returns the counts of a column of both tables. Codes must be of the same labels."""
    x, y = reference.cells, current.cells
    if x.scale == "levels":
        return of_codes(x.values, y.values, x.labels, reference.weights, current.weights)
    found = of_numbers(x.values, y.values, reference.weights, current.weights)
    return dated(found) if x.scale == "dates" else found


def dated(found: Tallied) -> Tallied:
    """Returns counts of dates whose levels are written as dates; "missing" and the like stay."""
    levels = []
    for level in found.levels:
        try:
            levels.append(in_words(float(level), "dates"))
        except ValueError:
            levels.append(level)
    # Two moments of one minute must not become one level.
    return replace(found, levels=tuple(levels)) if len(set(levels)) == len(levels) else found


def column_diff(
    name: str, kind: str, found: Tallied, *, rng: np.random.Generator, tests: int, independent: bool, picture: Picture,
    medians: tuple[float, float] | None, rows: int,
) -> ColumnDiff:  # fmt: skip
    """Returns how a column differs, before what is corrected for other columns.

    Args:
        name, kind: of the column.
        found: its counts.
        rng: randomness of what needs it.
        tests: how many p-values are looked at in all.
        independent: whether each row counts for one and is independent of the others.
        picture, medians: as of a ColumnDiff.
        rows: of both tables, as read.
    """
    tally = found.tally
    smooth = None if tally.rest is None else log_ratio(tally.rest)
    forward = tally_kl(tally, smooth)
    reverse = tally_kl(tally.swapped, None if smooth is None else smooth.swapped)
    estimates = (
        of_tally(forward, FORWARD, rows), of_tally(reverse, REVERSE, rows)
    )  # fmt: skip
    p_value = counts_p_value(tally)
    certified = None
    if independent:
        certified = certified_estimate(certificate(tally, rng), FORWARD, rows)
    n, m = tally.rows
    new, gone = _one_sided(found)
    return ColumnDiff(
        name, kind, *estimates, jeffreys(*estimates), p_value, p_value, "no evidence",
        _floor(tally, rng), detectable(n, m, tests=tests), certified,
        _regions(found, forward, kind), new, gone, _missing(found), medians, picture, (n, m),
    )  # fmt: skip


def finding_of(found: ColumnDiff | JointDiff, p_value: float, ignore_below: float) -> Finding:
    """Returns what a corrected p-value, and a size that is to be ignored, make of a difference."""
    if p_value >= LEVEL:
        return "no evidence"
    least, most = found.reverse.interval
    back = least if found.reverse.kind == "unresolved" else most
    little = max(found.forward.interval[1], back) < ignore_below
    return "negligible" if little else "differs"


def jeffreys(forward: Estimate, reverse: Estimate) -> Estimate:
    """Returns the sum of both directions; their errors are added, for near p = q they are the same."""
    what = quantity.JEFFREYS.called(JEFFREYS)
    method, n = forward.method, forward.n
    notes = ("the sum of both directions, which is what is called PSI",)
    low = forward.interval[0] + reverse.interval[0]
    if "unresolved" in (forward.kind, reverse.kind):
        reason = next(e.notes[0] for e in (forward, reverse) if e.kind == "unresolved")
        return Estimate.unresolved(
            math.nan, reason, what, method=method, n=n, notes=notes, at_least=low
        )
    error = forward.standard_error + reverse.standard_error
    if "lower_bound" in (forward.kind, reverse.kind):
        return Estimate.bounded(low, error, what, method=method, n=n, notes=notes)
    high = forward.interval[1] + reverse.interval[1]
    return Estimate(
        forward.value + reverse.value, error, (low, high), what, "estimate", method, n, notes
    )


def certified_estimate(found: Certificate, direction: str, rows: int) -> Estimate:
    """Returns a certificate as an Estimate."""
    region = f"a region with at least {found.mass_p:.3g} of one and at most {found.mass_q:.3g} of the other"
    notes = (f"{region}, chosen on other rows (Clopper and Pearson)",)
    return Estimate.bounded(
        found.bound, 0.0, FORWARD_KL.called(direction), method="region counted on other rows",
        n=rows, notes=notes,
    )  # fmt: skip


def picture_of(reference: WeightedColumn, current: WeightedColumn, found: Tallied) -> Picture:
    """Returns bins or levels of both for drawing."""
    if found.tally.rest is None:
        shown = _largest(found)
        names = tuple(found.levels[i] for i in shown)
        return picture_of_counts(
            np.empty(0), names, found.tally.p[shown], found.tally.q[shown], found.tally
        )
    x, y = (side.cells.values for side in (reference, current))
    edges = _edges(x[np.isfinite(x)], y[np.isfinite(y)])
    counts = [
        np.histogram(side.cells.values, edges, weights=side.weights)[0].astype(np.float64)
        for side in (reference, current)
    ]
    return picture_of_counts(edges, (), counts[0], counts[1], found.tally)


def median(side: WeightedColumn) -> float:
    """Returns the value with half of the rows, by weight, on each side; NaN if there is none."""
    values = side.cells.values
    known = np.isfinite(values)
    if not known.any():
        return math.nan
    if side.weights is None:
        return float(np.median(values[known]))
    order = np.argsort(values[known], kind="stable")
    total = np.cumsum(side.weights[known][order])
    return float(values[known][order][np.searchsorted(total, 0.5 * total[-1])])


def in_words(value: float, kind: str) -> str:
    """Returns a value of a column as a reader writes it: a date for microseconds since 1970."""
    if kind != "dates" or not math.isfinite(value):
        return f"{value:.4g}"
    try:
        moment = dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(
            seconds=value / _MICROSECONDS
        )
    except OverflowError:
        return f"{value:.4g}"
    return moment.strftime("%Y-%m-%d" if moment.time() == dt.time() else "%Y-%m-%d %H:%M")


def _largest(found: Tallied) -> np.ndarray:
    share = found.tally.p / found.tally.p.sum() + found.tally.q / found.tally.q.sum()
    return np.sort(np.argsort(-share, kind="stable")[:_NAMED])


def picture_of_counts(
    edges: Values, names: tuple[str, ...], p: Values, q: Values, tally: Tally
) -> Picture:
    """Returns counts in bins or at levels for drawing."""
    n, m = tally.rows
    of_p, of_q = (p + 0.5) / (n + 0.5 * len(p)), (q + 0.5) / (m + 0.5 * len(q))
    return Picture(edges, names, p / n, q / m, of_p * np.log(of_p / of_q))


def _edges(x: Values, y: Values) -> Values:
    """Returns edges of bins over all but the outermost rows; steps of whole numbers where they are few."""
    some = [v if len(v) < 50_000 else v[:: len(v) // 50_000 + 1] for v in (x, y)]
    ends = np.array([np.quantile(v, [0.003, 0.997]) for v in some if len(v)])
    low, high = float(ends[:, 0].min()), float(ends[:, 1].max())
    if not high > low:
        return np.array([low - 0.5, low + 0.5])
    whole = all(np.array_equal(v, np.floor(v)) for v in some)
    if whole and high - low < 2 * _BINS:
        return np.arange(np.floor(low), np.ceil(high) + 2.0) - 0.5
    return np.linspace(low, high, _BINS + 1)


def _missing(found: Tallied) -> tuple[float, float]:
    if MISSING not in found.levels:
        return 0.0, 0.0
    i, (n, m) = found.levels.index(MISSING), found.tally.rows
    return float(found.tally.p[i]) / n, float(found.tally.q[i]) / m


def _one_sided(
    found: Tallied,
) -> tuple[tuple[tuple[str, float], ...], tuple[tuple[str, float], ...]]:
    """Returns levels that current alone has, and that reference alone has, the commonest first."""
    p, q, (n, m) = found.tally.p, found.tally.q, found.tally.rows

    def listed(mine: Values, other: Values, total: float) -> tuple[tuple[str, float], ...]:
        at = np.flatnonzero((mine > 0.0) & (other <= 0.0))
        at = at[np.argsort(-mine[at], kind="stable")]
        return tuple((found.levels[i], float(mine[i]) / total) for i in at.tolist())

    return listed(q, p, m), listed(p, q, n)


def _regions(found: Tallied, forward: TallyKl, kind: str) -> tuple[ColumnRegion, ...]:
    tally, (n, m) = found.tally, found.tally.rows
    regions = []
    levels = len(tally.p) - (tally.rest is not None)
    if tally.rest is not None:
        share = float(tally.p[-1]) / n
        between = float(forward.log_ratios[-1]) - (forward.rest.value if forward.rest else 0.0)
        if forward.rest is not None:
            regions += _ordered_regions(tally, forward, share, between, kind)
    if levels:
        shares = tally.p / n
        for i in range(levels):
            regions.append(
                ColumnRegion(
                    found.levels[i],
                    float(shares[i]),
                    float(tally.q[i]) / m,
                    float(shares[i] * forward.log_ratios[i]),
                )
            )
    regions.sort(key=lambda r: -r.contribution)
    return tuple(regions[:_NAMED])


def _ordered_regions(
    tally: Tally, forward: TallyKl, share: float, between: float, kind: str
) -> list[ColumnRegion]:
    rest, cells = forward.rest, tally.rest
    assert rest is not None
    assert cells is not None
    _, m = tally.rows
    ends = np.unique(np.linspace(0, len(rest.parts), _REGIONS + 1).astype(int))
    regions = []
    for first, last in itertools.pairwise(ends):
        parts = slice(first, last)
        start, stop = rest.parts[first].start, rest.parts[last - 1].stop
        of_p = rest.shares[parts]
        # More than log m a row, rows of q cannot show: what a tail may pay beyond is in the interval.
        most = np.minimum(rest.log_ratios[parts], math.log(m + 1.0)) + between
        adds = share * float(of_p @ most)
        low = in_words(float(cells.upper[start - 1]), kind) if start else ""
        high = in_words(float(cells.upper[stop - 1]), kind) if stop < len(cells.upper) else ""
        label = (
            f"{low} to {high}"
            if low and high
            else f"up to {high}"
            if high
            else f"above {low}"
            if low
            else "all"
        )
        of_q = float(cells.q[start:stop].sum()) / m
        regions.append(ColumnRegion(label, share * float(of_p.sum()), of_q, adds))
    return regions


def _floor(tally: Tally, rng: np.random.Generator) -> float:
    """Returns what 95 of 100 pairs of samples of one distribution stay below, levels and ordered rest added."""
    n, m = tally.rows
    floor = 0.0
    if len(tally.p) > 1:
        shares = (tally.p + tally.q) / (n + m)
        pairs = zip(
            rng.multinomial(int(n), shares, _PAIRS),
            rng.multinomial(int(m), shares, _PAIRS),
            strict=True,
        )
        floor += _high([_of_levels(p.astype(np.float64), q.astype(np.float64)) for p, q in pairs])
    if tally.rest is not None and len(tally.rest.p) > 1:
        of_p, of_q = float(tally.p[-1]), float(tally.q[-1])
        sizes = (round(10.0 * math.log(max(v, 1.0))) for v in (of_p, of_q))
        floor += of_p / n * _floor_of_ranks(*sizes)
    return floor


@functools.lru_cache(maxsize=512)
def _floor_of_ranks(tenths_n: int, tenths_m: int) -> float:
    """Returns the floor of a continuous column: ranks have one law, so columns and calls share it.

    Args:
        tenths_n, tenths_m: ten times the logarithms of the numbers of rows.
    """
    n, m = math.exp(0.1 * tenths_n), math.exp(0.1 * tenths_m)
    # It falls as the number of rows grows, so that few rows tell what many would.
    shrink = max(1.0, min(n, m) / _MOST_ROWS)
    rng = np.random.default_rng([tenths_n, tenths_m])
    found, even = [], np.full(_CELLS, 1.0 / _CELLS)
    for _ in range(_PAIRS):
        p, q = rng.multinomial(int(n / shrink), even), rng.multinomial(int(m / shrink), even)
        held = (p + q) > 0
        pair = of_counts(p[held].astype(np.float64), q[held].astype(np.float64))
        found.append(ordered_kl(pair).value if p.any() and q.any() else 0.0)
    return _high(found) / shrink


def _of_levels(p: Values, q: Values) -> float:
    return float(p @ terms(p, q)) / float(p.sum()) if p.any() and q.any() else 0.0


def _high(values: list[float]) -> float:
    return max(float(np.quantile(values, 0.95)), 0.0)


# Another tool's number, as it is computed there, to be shown beside ours; not a divergence of the data.

#: What an empty bin is filled with.
_FILL = 1e-4
#: Numbers with fewer different values than this are taken for levels there.
_LEVELS = 20


def kl(reference: Column, current: Column) -> float:
    """Returns what Evidently 0.7 calls kl_div: bins of equal width after Sturges, empty ones filled.

    The bins cover the range of both samples; what is empty gets .0001, or a millionth of the smallest
    share where that is smaller; then scipy.stats.entropy, which scales both to 1.

    Args:
        reference, current: a column.
    """
    x, y = (c.values[np.isfinite(c.values)] for c in (reference, current))
    if not (len(x) and len(y)):
        return float("nan")
    both = np.concatenate([x, y])
    levels = np.unique(both)
    if reference.scale == "levels" or len(levels) <= _LEVELS:
        counts = [np.bincount(np.searchsorted(levels, v), minlength=len(levels)) for v in (x, y)]
    else:
        edges = np.histogram_bin_edges(both, bins="sturges")
        counts = [np.histogram(v, edges)[0] for v in (x, y)]
    p, q = (_filled(c / c.sum()) for c in counts)
    p, q = p / p.sum(), q / q.sum()
    return float(np.sum(p * np.log(p / q)))


def _filled(shares: np.ndarray) -> np.ndarray:
    empty = shares <= 0.0
    if not empty.any():
        return shares
    least = float(shares[~empty].min())
    return np.where(empty, _FILL if least > _FILL else least / 1e6, shares)
