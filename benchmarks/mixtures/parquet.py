"""A directory of Parquet files of twenty million rows, fitted in pieces and in memory: answers, memory, time.

Run: OPENBLAS_NUM_THREADS=1 python -m benchmarks.mixtures.parquet; it writes 0.6 GB into a temporary directory.
Each fit runs in a process of its own. Writes benchmarks/results/mixture_parquet.md.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

FILES, ROWS, COLUMNS, COMPONENTS = 20, 1_000_000, 4, 5


def make(where: Path) -> None:
    """Writes rows of a mixture of five Gaussians in units of their own."""
    import polars as pl

    rng = np.random.default_rng(0)
    means = 3.0 * rng.normal(size=(COMPONENTS, COLUMNS))
    mixing = rng.normal(size=(COMPONENTS, COLUMNS, COLUMNS)) / 2.0
    for i in range(FILES):
        which = rng.integers(COMPONENTS, size=ROWS)
        z = rng.normal(size=(ROWS, COLUMNS))
        for k in range(COMPONENTS):
            z[which == k] = z[which == k] @ mixing[k] + means[k]
        z = z * [1.0, 1e-3, 60.0, 1.0] + [0.0, 0.0, 1.7e9, 1e5]
        names = ("a", "b", "seconds", "d")
        pl.DataFrame(dict(zip(names, z.T, strict=True))).write_parquet(where / f"{i:02}.parquet")


def fitted(how: str, where: str) -> dict[str, object]:
    """In this process: the parameters, seconds, and the peak of memory."""
    from kullback.api.fit import fit
    from kullback.families import Mixture
    from kullback.inputs.stream import scan
    from kullback.targets import Samples

    pieces = scan(where)
    if how == "in memory":
        parts = [values for values, _ in pieces.read()]
        rows = Samples(np.concatenate(parts), columns=pieces.columns)
        del parts
    began, spent = time.perf_counter(), time.process_time()
    found = fit(pieces if how == "in pieces" else rows, Mixture(COMPONENTS), direction="forward")
    status = Path("/proc/self/status").read_text().splitlines()
    peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1e3
    q = found.q
    return {
        "parameters": [*q.weights, *q.means.ravel(), *q.covariances.ravel()],
        "score": -found.divergence.value,
        "held_out": found.held_out.value,
        "passes": found.likelihood.passes,
        "wall": time.perf_counter() - began,
        "cpu": time.process_time() - spent,
        "megabytes": peak,
    }


def main() -> None:
    from benchmarks.table import write

    with tempfile.TemporaryDirectory() as where:
        make(Path(where))
        size = sum(f.stat().st_size for f in Path(where).iterdir()) / 1e6
        found = {}
        for how in ("in pieces", "in memory"):
            ran = subprocess.run(
                [sys.executable, "-m", "benchmarks.mixtures.parquet", how, where],
                check=True,
                capture_output=True,
                text=True,
            )
            found[how] = json.loads(ran.stdout)
            print(how, found[how], flush=True)
    a, b = (np.array(found[how]["parameters"]) for how in ("in pieces", "in memory"))
    apart = float(np.max(np.abs(a - b) / np.abs(b)))
    rows = [
        [
            how,
            f"{one['megabytes']:.0f} MB",
            f"{one['passes']}",
            f"{one['cpu']:.0f} s",
            f"{one['wall']:.0f} s",
            f"{one['score']:.12f}",
            f"{one['held_out']:.12f}",
        ]
        for how, one in found.items()
    ]
    write(
        "mixture_parquet",
        f"{FILES * ROWS:,} rows of {COLUMNS} columns in {FILES} Parquet files ({size:.0f} MB), Mixture({COMPONENTS})",
        ["fit", "peak memory", "passes over all rows", "CPU", "wall", "score", "held out"],
        rows,
        f"Largest relative difference of a parameter: {apart:.1e}.",
        "Peak memory is that of the whole process, with Python and its libraries. One thread of BLAS.",
    )


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(fitted(*sys.argv[1:])))
    else:
        main()
