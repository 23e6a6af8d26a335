"""How often intervals and bounds from two samples hold the truth.

Run: python -m benchmarks.two_samples.coverage [runs] [line|plane|space]. Writes
benchmarks/results/two_samples_<what>.md.
"""

import math
import sys
import time

import numpy as np

from benchmarks.table import write
from benchmarks.two_samples.problems import Problem, line, plane
from kullback.api.measure import kl_divergence
from kullback.targets import Samples

#: Rows of each sample, and a divisor of the number of runs where one takes long.
SIZES = {
    "line": {200: 1, 1000: 1, 10_000: 1},
    "plane": {200: 1, 1000: 2, 10_000: 16},
    "space": {1000: 8},
}


def measured(problem: Problem, n: int, runs: int) -> list[str]:
    """Returns a row of the table."""
    began, found = time.process_time(), []
    for run in range(runs):
        rng = np.random.default_rng([run, n])
        p, q = Samples(problem.p(rng, n)), Samples(problem.q(rng, n))
        found.append(kl_divergence(p, q, key=run))
    seconds = (time.process_time() - began) / runs
    two_sided = [e for e in found if e.kind == "estimate"]
    lows = np.array([e.interval[0] for e in found])
    row = [problem.name, str(problem.columns), f"{n:,}", f"{problem.kl:.4f}"]
    if two_sided:
        values = np.array([e.value for e in two_sided])
        inside = np.mean([e.interval[0] <= problem.kl <= e.interval[1] for e in two_sided])
        width = np.median([e.interval[1] - e.interval[0] for e in two_sided])
        row += [
            f"{values.mean():.4f}",
            f"{values.std():.4f}",
            f"{width:.3f}",
            f"{100 * inside:.1f}",
        ]
    else:
        row += ["", "", "", ""]
    held = np.mean(lows <= problem.kl)
    return [
        *row, f"{100 * len(two_sided) / runs:.0f}", f"{np.median(lows):.3f}", f"{100 * held:.1f}", f"{seconds:.2f}"
    ]  # fmt: skip


def main() -> None:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 400
    what = sys.argv[2] if len(sys.argv) > 2 else "line"
    problems = {
        "line": line, "plane": plane, "space": lambda: [*plane(5), *plane(10), *plane(30)],
    }[what]()  # fmt: skip
    rows = []
    for problem in problems:
        for n, divisor in SIZES[what].items():
            rows.append(measured(problem, n, math.ceil(runs / divisor)))
            print(rows[-1], flush=True)
    write(
        f"two_samples_{what}",
        f"KL from two samples: {what}",
        ["problem", "columns", "rows", "true", "mean", "sd", "width", "covers, %", "printed, %",
         "low end", "low end holds, %", "CPU s"],
        rows,
        f"{runs} runs, fewer where one takes seconds. covers: of the intervals that are printed; the others are "
        "unresolved or bounds. low end: median of the lower ends of all, and how often these are below the truth.",
    )  # fmt: skip


if __name__ == "__main__":
    main()
