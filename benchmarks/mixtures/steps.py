"""An iteration of EM for a mixture with full covariances: CPU seconds and memory, against the peers, in one run.

Run: python -m benchmarks.mixtures.steps; each contender runs in a process of its own on one thread. With
KULLBACK_PEERS=/path/to/python of an environment with pomegranate, that takes part too. Writes
benchmarks/results/mixture_steps.md.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

SIZES = [(1_000_000, 2, 10), (100_000, 10, 10), (1_000_000, 10, 50), (100_000, 50, 50)]
ASKED = {SIZES[0]: 25, SIZES[1]: 9, SIZES[2]: 20, SIZES[3]: 5}
CONTENDERS = ("ours", "sklearn", "pomegranate")


def data(n: int, d: int, k: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    means = 3.0 * rng.normal(size=(k, d))
    x = rng.normal(size=(n, d))
    x += means[rng.integers(k, size=n)]
    return x, means


def ours(x: np.ndarray, means: np.ndarray, steps: int) -> float:
    from kullback.fitting.components import Components
    from kullback.fitting.covariances import Prior, Structure
    from kullback.fitting.em import MixtureModel
    from kullback.fitting.rows import rows_of
    from kullback.targets import Samples

    k, d = means.shape
    rows = rows_of(Samples(x))
    model = MixtureModel(Structure("full", d), Prior(0.0, 1e-9 * np.eye(d)))
    roots = np.array([np.diag(1.0 / rows.scale)] * k)
    q = Components(np.full(k, 1.0 / k), (means - rows.center) / rows.scale, roots)
    began = time.process_time()
    for _ in range(steps):
        q = model.maximize(model.expect(rows, q))
    return (time.process_time() - began) / steps


def sklearn(x: np.ndarray, means: np.ndarray, steps: int) -> float:
    import warnings

    from sklearn.mixture import GaussianMixture

    warnings.simplefilter("ignore")
    k, d = means.shape
    spent = []
    for count in (1, steps + 1):
        model = GaussianMixture(
            k,
            weights_init=np.full(k, 1.0 / k),
            means_init=means,
            precisions_init=np.array([np.eye(d)] * k),
            max_iter=count,
            tol=0.0,
        )
        began = time.process_time()
        model.fit(x)
        spent.append(time.process_time() - began)
    return (spent[1] - spent[0]) / steps


def pomegranate(x: np.ndarray, means: np.ndarray, steps: int) -> float:
    import torch
    from pomegranate.distributions import Normal
    from pomegranate.gmm import GeneralMixtureModel

    torch.set_num_threads(1)
    d = means.shape[1]
    rows = torch.tensor(x, dtype=torch.float32)
    spent = []
    for count in (1, steps + 1):
        parts = [
            Normal(torch.tensor(m, dtype=torch.float32), torch.eye(d), covariance_type="full")
            for m in means
        ]
        model = GeneralMixtureModel(parts, max_iter=count, tol=-1e9)
        began = time.process_time()
        model.fit(rows)
        spent.append(time.process_time() - began)
    return (spent[1] - spent[0]) / steps


def measured(who: str, size: tuple[int, int, int]) -> dict[str, float]:
    """In this process: CPU seconds an iteration, and MB above what the data take."""
    small, few = data(200, 2, 2)
    globals()[who](small, few, 1)  # what is imported is not counted
    x, means = data(*size)
    Path("/proc/self/clear_refs").write_text("5")
    before = resident("VmRSS")
    seconds = globals()[who](x, means, 3 if size[0] * size[2] > 2e7 else 8)
    return {"seconds": seconds, "megabytes": resident("VmHWM") - before}


def exponentials() -> float:
    """Nanoseconds of CPU that NumPy's exp takes for a number, at best."""
    x = -40.0 * np.random.default_rng(0).random(50_000)
    spent = []
    for _ in range(50):
        began = time.process_time()
        np.exp(x)
        spent.append(time.process_time() - began)
    return 1e9 * min(spent) / len(x)


def resident(what: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(what)) / 1024.0


def main() -> None:
    from benchmarks.table import write

    rows = []
    for size in SIZES:
        found = {}
        for who in CONTENDERS:
            python = os.environ.get("KULLBACK_PEERS") if who == "pomegranate" else sys.executable
            if python is None or (who == "pomegranate" and size[2] > 10):
                continue  # pomegranate needs minutes for 50 components
            run = subprocess.run(
                [python, "-m", "benchmarks.mixtures.steps", who, *map(str, size)],
                capture_output=True,
                text=True,
                check=False,
                env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
            )
            found[who] = json.loads(run.stdout) if run.returncode == 0 else None
        mine = found["ours"]
        cells = [f"{mine['seconds']:.4f} s, {mine['megabytes']:.0f} MB"]
        for who in CONTENDERS[1:]:
            it = found.get(who)
            times = (
                "-" if not it else
                f"{it['seconds'] / mine['seconds']:.1f}x, {it['megabytes'] / max(mine['megabytes'], 1.0):.0f}x"
            )  # fmt: skip
            cells.append(times)
        n, d, k = size
        rows.append([f"{n:,} x {d}, K = {k}", *cells, f"{ASKED[size]}x, 10x"])
        print(rows[-1], flush=True)
    write(
        "mixture_steps",
        "One iteration of EM, full covariances, float64: CPU time and peak memory beside the data",
        ["rows", "ours", "scikit-learn", "pomegranate (float32)", "asked of scikit-learn"],
        rows,
        "One thread each, a process each, same start. Memory is the peak above what was resident before.",
        f"NumPy's exp takes {exponentials():.1f} ns a number here (1 to 2 where it has AVX-512); a row needs K of them, so that "
        "a pass over the first rows cannot take less than ten times that a row.",
    )


if __name__ == "__main__":
    if len(sys.argv) > 1:
        size = tuple(map(int, sys.argv[2:5]))
        print(json.dumps(measured(sys.argv[1], size)))
    else:
        main()
