"""Twenty million rows of Parquet, fitted in one process and on workers: the same bits, time, memory, a worker killed.

Run on cores that nothing else uses: OPENBLAS_NUM_THREADS=1 python -m benchmarks.mixtures.workers; it needs the extra
dask, and writes 1 GB into a temporary directory. Each fit runs in a process of its own; --files N makes it smaller.
Writes benchmarks/results/mixture_workers.md.
"""

import argparse
import contextlib
import hashlib
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

FILES, ROWS, COLUMNS, COMPONENTS = 32, 625_000, 6, 10
HOW = ("one process", "a pool of one", "a pool of two", "Dask, two workers", "Dask, one killed")


def make(where: Path, files: int) -> None:
    """Writes rows of a mixture of ten Gaussians that overlap."""
    import polars as pl

    rng = np.random.default_rng(0)
    means = 2.0 * rng.normal(size=(COMPONENTS, COLUMNS))
    mixing = rng.normal(size=(COMPONENTS, COLUMNS, COLUMNS)) / 2.0
    for i in range(files):
        which = rng.integers(COMPONENTS, size=ROWS)
        x = means[which] + np.einsum("nij,nj->ni", mixing[which], rng.normal(size=(ROWS, COLUMNS)))
        pl.DataFrame(x, schema=list("abcdef")).write_parquet(where / f"{i:02}.parquet")


@contextlib.contextmanager
def executor(how: str) -> Iterator[object]:
    """Yields what runs the passes; None for this process."""
    if "pool" in how:
        many = 1 if "one" in how else 2
        with ProcessPoolExecutor(many, multiprocessing.get_context("spawn")) as pool:
            yield pool
    elif "Dask" in how:
        from dask.distributed import Client, LocalCluster

        with (
            LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
            Client(cluster) as client,
        ):
            yield client.get_executor(retries=2)
    else:
        yield None


def fitted(how: str, where: str, kill_after: float) -> dict[str, object]:
    """In this process: a digest of the parameters, seconds, and peaks of memory."""
    from kullback.api.fit import fit
    from kullback.families import Mixture
    from kullback.inputs.stream import scan

    done, killed = threading.Event(), []
    with executor(how) as workers:
        list(workers.map(abs, range(4))) if workers else None  # processes are there
        if how.endswith("killed"):

            def kill() -> None:
                if not done.wait(kill_after):
                    killed.append(busiest(before))
                    os.kill(killed[0], signal.SIGKILL)

            before = spent_by()
            threading.Thread(target=kill, daemon=True).start()
        began, spent = time.perf_counter(), time.process_time()
        found = fit(scan(where), Mixture(COMPONENTS), direction="forward", executor=workers)
        done.set()
        wall, cpu = time.perf_counter() - began, time.process_time() - spent
        peaks = [peak(pid) for pid in spent_by()]
    q = found.q
    parameters = np.concatenate([q.weights, q.means.ravel(), q.covariances.ravel()])
    return {
        "digest": hashlib.sha256(parameters.tobytes()).hexdigest()[:12],
        "score": found.divergence.value,
        "passes": found.likelihood.passes,
        "wall": wall,
        "cpu": cpu,
        "peak": peak(os.getpid()),
        "peaks": max(peaks, default=0.0),
        "killed": len(killed),
    }


def peak(pid: int) -> float:
    """Returns the most megabytes a process held."""
    try:
        status = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1e3 for line in status if line.startswith("VmHWM")), 0.0)


def spent_by() -> dict[int, float]:
    """Returns the processes below this one, with the ticks each has spent."""
    parents, ticks = {}, {}
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            fields = (place / "stat").read_text().rpartition(")")[2].split()
            parents[int(place.name)] = int(fields[1])
            ticks[int(place.name)] = float(fields[11]) + float(fields[12])
    below = {os.getpid()}
    for _ in range(5):
        below |= {pid for pid, parent in parents.items() if parent in below}
    return {pid: ticks[pid] for pid in below - {os.getpid()}}


def busiest(before: dict[int, float]) -> int:
    """Returns the process that has worked most since: a worker."""
    return max((t - before.get(pid, 0.0), pid) for pid, t in spent_by().items())[1]


def main() -> None:
    from benchmarks.table import write

    parser = argparse.ArgumentParser()
    parser.add_argument("--files", type=int, default=FILES)
    files = parser.parse_args().files
    with tempfile.TemporaryDirectory() as where:
        make(Path(where), files)
        size = sum(f.stat().st_size for f in Path(where).iterdir()) / 1e6
        found: dict[str, dict] = {}
        for how in HOW:
            after = 0.8 * found["Dask, two workers"]["wall"] if how.endswith("killed") else 0.0
            ran = subprocess.run(
                [sys.executable, "-m", "benchmarks.mixtures.workers", how, where, str(after)],
                check=True,
                stdout=subprocess.PIPE,
                text=True,
            )
            found[how] = json.loads(ran.stdout.splitlines()[-1])
            print(how, found[how], flush=True)
    first = found[HOW[0]]
    rows = [
        [
            how + (f" ({one['killed']})" if one["killed"] else ""),
            one["digest"],
            f"{one['passes']}",
            f"{one['wall']:.0f} s",
            f"{first['wall'] / one['wall']:.2f}",
            f"{one['cpu']:.0f} s",
            f"{one['peak']:.0f} MB",
            f"{one['peaks']:.0f} MB" if one["peaks"] else "",
        ]
        for how, one in found.items()
    ]
    write(
        "mixture_workers",
        f"{files * ROWS:,} rows of {COLUMNS} columns in {files} Parquet files ({size:.0f} MB), Mixture({COMPONENTS})",
        [
            "fit", "digest of the parameters", "passes", "wall", "times as fast", "CPU of the driver",
            "driver's peak", "a worker's peak",
        ],
        rows,
        "Peaks are those of whole processes. The worker that is killed, by SIGKILL, is the one that has worked most.",
    )  # fmt: skip


if __name__ == "__main__":
    if len(sys.argv) > 3:
        print(json.dumps(fitted(sys.argv[1], sys.argv[2], float(sys.argv[3]))))
    else:
        main()
