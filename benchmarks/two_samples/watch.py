"""How often `watch` alarms where nothing changes, and how many rows it takes to find a shift.

Run: python -m benchmarks.two_samples.watch alarms|delays [runs]. Writes benchmarks/results/two_samples_watch_*.md.

Null: a reference, then 100 days of rows of the same law, an alarm at any time counts. The columns depend on each
other: a normal, its square with 10 % missing, counts, one decimal of the normal with noise, and a category that
goes with its sign. Delays: a shift of .3 sd in one of m independent normal columns; rows to the end of the day of the
alarm, from the first day on or after 50 quiet days; runs without an alarm count as endless.
"""

import math
import sys
import time
from importlib import import_module
from unittest import mock

import numpy as np
import polars as pl
from scipy.special import gammaln, logsumexp

from benchmarks.table import write
from kullback.diff.watch import watch
from kullback.measure.samples.bets import Bets, Wealth, bets_on, is_start, stake
from kullback.results.watch import Watch, WatchedGroups

#: KL of a shift of .3 sd, either way.
SHIFT = 0.3
KL = 0.5 * SHIFT**2


def mixed(rng: np.random.Generator, n: int) -> pl.DataFrame:
    """Returns dependent columns of several kinds, with ties and missing values."""
    x = rng.normal(size=n)
    squared = np.where(rng.random(n) < 0.1, np.nan, x**2)
    city = np.where(rng.random(n) < 0.7, np.where(x > 0.0, "A", "B"), rng.choice(["C", "D"], n))
    return pl.DataFrame({
        "x": x, "squared": pl.Series(squared).fill_nan(None), "count": rng.poisson(np.exp(0.3 * x)),
        "rounded": np.round(x + rng.normal(size=n), 1), "city": city,
    })  # fmt: skip


def null(reference: int, rows: int, days: int, runs: int) -> list[str]:
    """Returns how many watches alarm where nothing changes, at any time."""
    began, alarms = time.process_time(), 0
    for run in range(runs):
        alarms += alarms_in(reference, rows, days, run, check=run < 2)
        if run % 50 == 49:
            print(run + 1, alarms, flush=True)
    seconds = (time.process_time() - began) / runs
    return [
        f"{reference:,}", str(rows), str(days), f"{runs:,}", f"{100 * alarms / runs:.1f}",
        f"{seconds:.1f}",
    ]  # fmt: skip


def alarms_in(reference: int, rows: int, days: int, run: int, *, check: bool) -> bool:
    """Returns whether a watch ever alarms; the evidence of all days is computed at once, which is faster.

    Args:
        reference, rows, days: sizes.
        run: its number.
        check: compare with the evidence that `watch` itself computes day by day.
    """
    rng = np.random.default_rng([run, reference, rows])
    began = watch(mixed(rng, reference), key=run)
    tables = [mixed(rng, rows) for _ in range(days)]
    product = import_module("kullback.diff.watch")
    idle = Wealth(0.0, np.ones(1), np.ones(1))
    with (
        mock.patch.object(product, "wealth", return_value=idle),
        mock.patch.object(product, "is_start", every_day),
        mock.patch.object(product, "bets_on"),
    ):
        counted = began
        for table in tables:
            counted = counted.update(table)
    evidence = [history(c.groups) for c in counted.columns]
    if check:
        for table in tables[:40]:
            began = began.update(table)
        for column, mine in zip(began.columns, evidence, strict=True):
            np.testing.assert_allclose(column.history, mine[:40], atol=1e-7)
    return bool(np.max(evidence) >= math.log(20.0 * len(evidence)))


def every_day(_: int) -> bool:
    """Stands for `is_start`: counts are kept for each day."""
    return True


def history(groups: WatchedGroups) -> np.ndarray:
    """Returns the evidence of a column after each day, from the counts of all days."""
    bets = bets_on(groups.gaps, groups.values, groups.names)
    came = np.cumsum(groups.counts, axis=0, dtype=np.float64)
    starts = [d for d in range(len(came)) if is_start(d)]
    total = np.ones(len(came)) - np.array(
        [sum(stake(s) for s in starts if s <= d) for d in range(len(came))]
    )
    for start in starts:
        before = came[start - 1] if start else np.zeros(came.shape[1])
        urn, new = groups.gaps + before, came[start:] - before
        ratio = _ratios(urn, new, bets)
        total[start:] += stake(start) * np.exp(ratio)
    return np.log(total)


def _ratios(urn: np.ndarray, new: np.ndarray, bets: Bets) -> np.ndarray:
    """Returns the log of the mean likelihood ratio after each day from a start on."""
    tilted = urn * bets.factors
    tilted *= urn.sum() / tilted.sum(axis=1, keepdims=True)
    null = np.sum(gammaln(urn + new) - gammaln(urn), axis=1)
    logs = [np.sum(gammaln(t + new), axis=1) - np.sum(gammaln(t)) - null for t in tilted]
    for part, worth in zip(bets.parts, bets.worth, strict=True):
        firsts = np.unique(part, return_index=True)[1]
        a, k = np.add.reduceat(urn, firsts), np.add.reduceat(new, firsts, axis=1)
        b, n = worth * a / a.sum(), k.sum(axis=1)
        of = np.sum(gammaln(b + k) - gammaln(b), axis=1) - gammaln(worth + n) + gammaln(worth)
        logs.append(
            of
            - np.sum(gammaln(a + k) - gammaln(a), axis=1)
            + gammaln(a.sum() + n)
            - gammaln(a.sum())
        )
    return np.asarray(logsumexp(np.array(logs), axis=0, b=bets.stakes[:, None]))


def delay(watched: Watch, rng: np.random.Generator, m: int, rows: int, quiet: int) -> float:
    """Returns how many rows came since the change until the alarm; NaN where the alarm was before."""
    for _ in range(quiet):
        watched = watched.update(rng.normal(size=(rows, m)))
    if watched.alarm:
        return math.nan
    most = 20.0 * math.log(20.0 * m) / KL
    came = 0
    shift = np.append(SHIFT, np.zeros(m - 1))
    while came < most:
        watched, came = watched.update(rng.normal(shift, 1.0, (rows, m))), came + rows
        if watched.alarm:
            return float(came)
    return math.inf


def delays(reference: int, rows: int, m: int, quiet: int, runs: int) -> list[str]:
    """Returns the median and the 90 % quantile of delays."""
    found = []
    for run in range(runs):
        rng = np.random.default_rng([run, m, reference])
        found.append(delay(watch(rng.normal(size=(reference, m)), key=run), rng, m, rows, quiet))
    known = np.array(found)[~np.isnan(found)]
    held = 2.0 * math.log(20.0 * m) / KL
    middle, late = np.quantile(known, [0.5, 0.9], method="inverted_cdf")
    return [
        f"{reference:,}", str(m), str(rows), str(quiet), str(len(known)), f"{middle:.0f}", f"{late:.0f}",
        f"{held:.0f}", "yes" if middle <= held else "no",
    ]  # fmt: skip


#: Reference, rows a day, columns, quiet days.
DELAYS = (
    (10_000, 10, 1, 0), (10_000, 10, 5, 0), (10_000, 10, 20, 0), (10_000, 50, 1, 0), (10_000, 50, 5, 0),
    (10_000, 50, 20, 0), (1000, 10, 1, 0), (1000, 10, 5, 0), (10_000, 10, 1, 50), (10_000, 10, 5, 50),
)  # fmt: skip


def main() -> None:
    """Counts alarms, or measures delays."""
    what, *more = sys.argv[1:] or ["alarms"]
    runs = int(more[0]) if more else {"alarms": 1000, "delays": 60}[what]
    if what == "alarms":
        sizes = ((200, 50, runs), (2000, 20, max(runs // 10, 10)))
        write(
            "two_samples_watch_alarms",
            "watch: alarms where nothing changes",
            ["reference", "rows a day", "days", "runs", "ever alarm, % (at most 5)", "CPU s a run"],
            [null(reference, rows, 100, n) for reference, rows, n in sizes],
            "Five columns that depend on each other: a normal, its square with missing values, counts, decimals, a "
            "category.",
        )  # fmt: skip
        return
    write(
        "two_samples_watch_delays",
        "watch: rows from a shift of .3 sd in one of m columns to the alarm",
        ["reference", "m", "rows a day", "quiet days before", "runs", "median", "90 %", "2 log(20 m) / KL", "held"],
        [delays(*size, runs=runs if size[2] < 20 else max(runs // 2, 10)) for size in DELAYS],
        "Rows to the end of the day of the alarm; runs that alarm in the quiet days are left out.",
    )  # fmt: skip


if __name__ == "__main__":
    main()
