"""Whether mixtures of rows find what ten plain starts of scikit-learn find: nats in total, spikes, CPU time.

Run: OPENBLAS_NUM_THREADS=1 python -m benchmarks.mixtures.optima [--seeds 5] [--keys 5] [--components 2 3 ...].
Writes benchmarks/results/mixture_optima.md. A mark to be reached is an optimum without a spike, which is a component
of fewer rows than a covariance needs, or of an sd below 1e-3 of the data's in some direction.
"""

import argparse
import time
import warnings
from collections.abc import Iterator

import numpy as np

from benchmarks.table import write

#: Nats in total by which an optimum may be below.
SAME = 0.5
#: A component this narrow beside the data is a spike, and so is one of no more rows than columns.
NARROW = 1e-3


def datasets(seeds: int) -> Iterator[tuple[str, np.ndarray]]:
    """Yields names and rows: eight kinds, each as often as there are seeds."""
    from sklearn import datasets as made

    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        few = rng.permutation(500)[:300]
        spreads = [0.3, 0.5, 1, 1.5, 2, 0.4, 0.6, 0.8]
        blobs = made.make_blobs(1200, 4, centers=8, cluster_std=spreads, random_state=seed)[0]
        ring = made.make_circles(1500, noise=0.08, factor=0.4, random_state=seed)[0]
        tails = rng.standard_t(3, size=(1000, 3)) @ rng.normal(size=(3, 3))
        yield f"s_curve {seed}", made.make_s_curve(1500, noise=0.1, random_state=seed)[0]
        yield f"circles {seed}", ring
        yield f"blobs {seed}", blobs
        yield f"moons {seed}", made.make_moons(1000, noise=0.1, random_state=seed)[0]
        yield f"swiss_roll {seed}", made.make_swiss_roll(1200, noise=0.3, random_state=seed)[0]
        yield f"tails {seed}", tails
        yield f"iris {seed}", made.load_iris().data[rng.permutation(150)[:140]]
        yield f"cancer {seed}", made.load_breast_cancer().data[few][:, [0, 1, 4, 6, 9]]


def spiked(weights: np.ndarray, covariances: np.ndarray, x: np.ndarray) -> bool:
    """Whether some component has next to no rows, or next to no width."""
    unit = x.std(axis=0)
    least = min(np.linalg.eigvalsh(c / np.outer(unit, unit)).min() for c in covariances)
    return weights.min() * len(x) < x.shape[1] + 0.5 or least < NARROW**2


def theirs(x: np.ndarray, k: int) -> tuple[float, float]:
    """The greatest log likelihood of ten plain starts that is no spike, and CPU seconds."""
    from sklearn.mixture import GaussianMixture

    began, best = time.process_time(), -np.inf
    for start in range(10):
        q = GaussianMixture(k, random_state=start, max_iter=1000, tol=1e-7).fit(x)
        if not spiked(q.weights_, q.covariances_, x):
            best = max(best, float(q.score(x)) * len(x))
    return best, time.process_time() - began


def ours(x: np.ndarray, k: int, key: int) -> tuple[float, bool, float]:
    """The log likelihood, whether it is a spike's, and CPU seconds."""
    import kullback as kb

    began = time.process_time()
    fit = kb.fit(kb.Samples(x), kb.Mixture(k), direction="forward", key=key)
    spent = time.process_time() - began
    q = fit.q
    return -fit.divergence.value * len(x), spiked(q.weights, q.covariances, x), spent


def main() -> None:
    warnings.simplefilter("ignore")
    asked = argparse.ArgumentParser()
    asked.add_argument("--seeds", type=int, default=5)
    asked.add_argument("--keys", type=int, default=5)
    asked.add_argument("--components", type=int, nargs="*", default=range(2, 11))
    given = asked.parse_args()
    ours(np.random.default_rng(0).normal(size=(50, 2)), 2, 0)
    table: dict[str, list[list[float]]] = {}
    for name, x in datasets(given.seeds):
        for k in given.components:
            mark, their_time = theirs(x, k)
            found = [ours(x, k, key) for key in range(given.keys)]
            values = np.array([value for value, _, _ in found])
            close = np.mean(values > mark - SAME)
            alike = np.mean(values > values.max() - SAME)
            spikes = np.mean([spike for _, spike, _ in found])
            spent = float(np.mean([seconds for _, _, seconds in found]))
            row = [
                close,
                alike,
                spikes,
                values.mean() - mark,
                values.min() - mark,
                spent,
                their_time,
            ]
            table.setdefault(name.split()[0], []).append([float(v) for v in row])
            print(name, k, " ".join(f"{v:.2f}" for v in row), flush=True)
    lines = [_line(name, cells) for name, cells in table.items()]
    lines.append(_line("all", [cell for cells in table.values() for cell in cells]))
    write(
        "mixture_optima",
        "Mixtures of Gaussians on hard rows against the best of ten plain starts of scikit-learn",
        [
            "rows",
            "fits",
            "not below",
            "best of the keys",
            "spikes",
            "worst, nats",
            "CPU s",
            "theirs",
        ],
        lines,
        f"Not below: within {SAME} nats in total of the best of ten starts that is no spike, or above it. A fit of "
        "ours is what a user calls, with scores on rows left out and standard errors.",
    )


def _line(name: str, cells: list[list[float]]) -> list[str]:
    c = np.array(cells)
    finite = c[np.isfinite(c[:, 4]), 4]
    shares = [f"{c[:, i].mean():.1%}" for i in range(3)]
    worst = f"{finite.min():.1f}" if len(finite) else "none"
    return [name, str(len(c)), *shares, worst, f"{c[:, 5].sum():.1f}", f"{c[:, 6].sum():.1f}"]


if __name__ == "__main__":
    main()
