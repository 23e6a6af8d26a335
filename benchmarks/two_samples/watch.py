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

import numpy as np
import polars as pl

from benchmarks.table import write
from kullback.diff.watch import watch
from kullback.results.watch import Watch

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
    """Returns how many watches alarm where nothing changes."""
    began, alarms = time.process_time(), 0
    for run in range(runs):
        rng = np.random.default_rng([run, reference, rows])
        watched = watch(mixed(rng, reference), key=run)
        for _ in range(days):
            watched = watched.update(mixed(rng, rows))
        alarms += watched.alarm
    seconds = (time.process_time() - began) / (runs * days)
    return [
        f"{reference:,}", str(rows), str(days), f"{runs:,}", f"{100 * alarms / runs:.1f}",
        f"{1000 * seconds:.0f}",
    ]  # fmt: skip


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
            ["reference", "rows a day", "days", "runs", "ever alarm, % (at most 5)", "CPU ms a day"],
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
