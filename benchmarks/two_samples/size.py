"""Two Parquet files of ten million rows and twenty columns: memory and time of `diff`, column by column and together.

Run: python -m benchmarks.two_samples.size [rows]. Writes benchmarks/results/two_samples_size.md.
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl

from benchmarks.table import write

COLUMNS = 20


def make(path: Path, rows: int, seed: int, shift: float) -> None:
    """Writes a directory of files of a million rows."""
    path.mkdir()
    for part in range(max(rows // 1_000_000, 1)):
        rng = np.random.default_rng([seed, part])
        n = min(rows, 1_000_000)
        frame = {f"x{i}": rng.normal(shift if i == 3 else 0.0, 1.0, n) for i in range(12)}
        frame |= {f"l{i}": rng.lognormal(0.0, 1.0, n) for i in range(3)}
        frame["count"] = rng.poisson(5.0, n)
        frame["age"] = np.round(rng.normal(40.0, 10.0, n))
        frame["zeros"] = np.where(rng.random(n) < 0.3, 0.0, rng.exponential(1.0, n))
        frame["city"] = rng.choice(list("ABCDEFG"), n)
        frame["member"] = rng.random(n) < 0.3
        pl.DataFrame(frame).write_parquet(path / f"{part:03}.parquet")


def child(reference: str, current: str, joint: str) -> None:
    """Compares in a process of its own and prints what it took."""
    from kullback.diff.driver import diff

    began, wall = time.process_time(), time.monotonic()
    found = diff(reference, current, joint=joint == "joint")
    x3 = found.column("x3")
    print(json.dumps({
        "cpu": time.process_time() - began, "wall": time.monotonic() - wall,
        "mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3,
        "differ": [c.name for c in found.differing], "x3": str(x3.forward), "jax": "jax" in sys.modules,
    }))  # fmt: skip


def main() -> None:
    """Runs one and ten million rows."""
    if sys.argv[1:2] == ["child"]:
        child(*sys.argv[2:])
        return
    rows_asked = int(float(sys.argv[1])) if len(sys.argv) > 1 else 10_000_000
    rows = []
    for n in (1_000_000, rows_asked):
        for joint in ("columns", "joint"):
            with tempfile.TemporaryDirectory() as place:
                paths = [Path(place) / name for name in ("reference", "current")]
                for path, seed, shift in zip(paths, (0, 1), (0.0, 0.02), strict=True):
                    make(path, n, seed, shift)
                command = [
                    sys.executable,
                    "-m",
                    "benchmarks.two_samples.size",
                    "child",
                    *map(str, paths),
                    joint,
                ]
                said = json.loads(
                    subprocess.run(command, capture_output=True, text=True, check=True).stdout
                )
            rows.append([
                f"{n:,} x {COLUMNS}", "and together" if joint == "joint" else "by column", f"{said['cpu']:.1f}",
                f"{said['mb']:.0f}", ", ".join(said["differ"]), said["x3"].partition(" (")[0],
                "yes" if said["jax"] else "no",
            ])  # fmt: skip
            print(rows[-1], flush=True)
    write(
        "two_samples_size",
        "diff of two directories of Parquet files: CPU seconds and peak memory of the whole process",
        ["rows x columns of each", "compared", "CPU s", "peak MB", "said to differ", "x3, true .0002", "JAX loaded"],
        rows,
        "x3 is shifted by .02 sd, nothing else differs. One thread of BLAS. All columns together are compared on 10,000 rows.",
    )  # fmt: skip


if __name__ == "__main__":
    main()
