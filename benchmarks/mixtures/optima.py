"""Whether mixtures of rows find what ten plain starts of scikit-learn find: nats in total, spikes, CPU time.

Run: OPENBLAS_NUM_THREADS=1 python -m benchmarks.mixtures.optima [--keys 5] [--components 2 3 5 8 10] [--only iris ...].
Writes benchmarks/results/mixture_optima.md.
"""

import argparse
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import numpy as np

from benchmarks.table import write

#: Nats in total by which an optimum may be below.
SAME = 0.5
#: A component this narrow beside the data, in some direction, is a spike.
NARROW = 1e-3
#: Most decimals that values are looked at for.
DIGITS = 6
Rows = np.ndarray


def _of_sklearn(name: str, columns: slice | list[int] = slice(None)) -> Callable[[], Rows]:
    from sklearn import datasets

    return lambda: getattr(datasets, f"load_{name}")().data[:, columns]


def _generated(name: str, **options: object) -> Callable[[], Rows]:
    from sklearn import datasets

    return lambda: getattr(datasets, f"make_{name}")(random_state=0, **options)[0]


def _digits() -> Rows:
    from sklearn.datasets import load_digits

    x = load_digits().data
    x = x - x.mean(axis=0)
    return (x @ np.linalg.svd(x, full_matrices=False)[2][:6].T)[:1000]


def _scales() -> Rows:
    """Ten groups of unequal scales and weights."""
    rng = np.random.default_rng(1)
    means, scales = 2.0 * rng.normal(size=(10, 5)), np.exp(0.8 * rng.normal(size=(10, 5)) - 0.5)
    which = rng.choice(10, p=rng.dirichlet(np.ones(10)), size=2000)
    return means[which] + scales[which] * rng.normal(size=(2000, 5))


def _units() -> Rows:
    """Columns of which one is 1e5 times as wide as another."""
    return _generated("blobs", n_samples=800, n_features=3, centers=5)() * [1e-2, 1.0, 1e3]


def _counts() -> Rows:
    rng = np.random.default_rng(2)
    which = rng.integers(0, 4, 900)
    return rng.poisson(np.array([[8, 60, 30], [20, 40, 80], [50, 20, 40], [30, 90, 15]])[which])


def _copies() -> Rows:
    """Rows drawn again with all their digits: each a few times."""
    rng = np.random.default_rng(3)
    x = np.concatenate([rng.normal(size=(150, 2)), rng.normal(3.0, 0.5, size=(150, 2))])
    return x[rng.integers(0, 300, 900)]


def _line() -> Rows:
    rng = np.random.default_rng(4)
    return np.concatenate([rng.normal(m, s, 100) for m, s in ((0, 1), (4, 0.3), (6, 2), (15, 1))])[
        :, None
    ]


def _tails() -> Rows:
    rng = np.random.default_rng(0)
    return rng.standard_t(3, size=(1000, 3)) @ rng.normal(size=(3, 3))


#: Names and rows.
DATASETS: dict[str, Callable[[], Rows]] = {
    "iris": _of_sklearn("iris"),
    "wine, 5 columns": _of_sklearn("wine", [0, 1, 6, 9, 12]),
    "wine": _of_sklearn("wine"),
    "breast_cancer, 5 columns": _of_sklearn("breast_cancer", [0, 1, 4, 6, 9]),
    "breast_cancer, 10 columns": _of_sklearn("breast_cancer", slice(10)),
    "diabetes, 5 columns": _of_sklearn("diabetes", [0, 2, 3, 4, 8]),
    "digits, 6 axes": _digits,
    "s_curve": _generated("s_curve", n_samples=1500, noise=0.1),
    "swiss_roll": _generated("swiss_roll", n_samples=1200, noise=0.3),
    "circles": _generated("circles", n_samples=1500, noise=0.08, factor=0.4),
    "moons": _generated("moons", n_samples=1000, noise=0.1),
    "blobs": _generated(
        "blobs",
        n_samples=1200,
        n_features=4,
        centers=8,
        cluster_std=[0.3, 0.5, 1, 1.5, 2, 0.4, 0.6, 0.8],
    ),
    "overlapping blobs": _generated(
        "blobs", n_samples=1000, n_features=2, centers=6, cluster_std=2.5
    ),
    "quantiles": _generated("gaussian_quantiles", n_samples=800, n_features=3),
    "classification": _generated(
        "classification", n_samples=900, n_features=6, n_informative=6, n_redundant=0, n_classes=4
    ),
    "friedman": _generated("friedman1", n_samples=700, n_features=5),
    "ten scales": _scales,
    "units": _units,
    "heavy tails": _tails,
    "skewed": lambda: np.exp(
        np.random.default_rng(5).normal(size=(700, 2)) @ [[1.0, 0.4], [0.0, 0.6]]
    ),
    "one Gaussian": lambda: np.random.default_rng(6).normal(size=(600, 4)),
    "uniform": lambda: np.random.default_rng(7).random((800, 2)),
    "line": _line,
    "rounded": lambda: np.round(_generated("blobs", n_samples=600, n_features=2, centers=4)(), 1),
    "coarse": lambda: (
        np.round(2.0 * np.random.default_rng(8).normal(size=(500, 2)) @ [[1.0, 0.6], [0.0, 0.8]])
        / 2.0
    ),
    "counts": _counts,
    "copies": _copies,
}


def steps(x: Rows) -> np.ndarray:
    """The distance of neighbouring values of each column of decimals; 0 of others."""
    found = np.zeros(x.shape[1])
    for i, column in enumerate(x.T):
        for digits in range(DIGITS):
            if np.allclose(column, np.round(column, digits), rtol=0.0, atol=1e-9):
                found[i] = np.diff(np.unique(np.round(column, digits))).min()
                break
    return found


def spiked(weights: np.ndarray, covariances: np.ndarray, shares: np.ndarray, x: Rows) -> bool:
    """Whether a component owes its density to rounding, to copies, or to rows that lie in a plane by chance.

    Args:
        weights, covariances: of the components.
        shares: of the rows in the components (n, k).
        x: the rows.
    """
    d = x.shape[1]
    numbers = np.unique(x, axis=0, return_inverse=True)[1].ravel()
    distinct = [len(np.unique(numbers[share > 0.5])) for share in shares.T]
    few = weights * len(x) < 4 * (d + 1)
    noise = np.maximum(steps(x), 1e-150)
    unit = x.std(axis=0)
    by_rounding = np.linalg.eigvalsh(covariances / np.outer(noise, noise))[:, 0]
    least = np.linalg.eigvalsh(covariances / np.outer(unit, unit))[:, 0]
    plane = least < np.where(few, 10.0 * NARROW, NARROW) ** 2
    return bool((by_rounding < 0.999 / 12.0).any() or plane.any() or min(distinct) <= d)


@final
@dataclass(frozen=True)
class Fitted:
    """A fit: the log likelihood, whether a component is a spike, CPU seconds."""

    value: float
    spike: bool
    seconds: float


def theirs(x: Rows, k: int) -> list[Fitted]:
    """Ten plain starts of scikit-learn."""
    from sklearn.mixture import GaussianMixture

    made = []
    for start in range(10):
        began = time.process_time()
        try:
            q = GaussianMixture(k, random_state=start, max_iter=1000, tol=1e-7).fit(x)
        except ValueError:  # a component collapsed
            made.append(Fitted(-np.inf, True, time.process_time() - began))
            continue
        spent = time.process_time() - began
        spike = spiked(q.weights_, q.covariances_, q.predict_proba(x), x)
        made.append(Fitted(float(q.score(x)) * len(x), spike, spent))
    return made


def ours(x: Rows, k: int, key: int) -> Fitted:
    """What a user calls, with scores on rows left out and standard errors."""
    import kullback as kb

    d = x.shape[1]
    rows = kb.Samples(x, kinds=("continuous",) * d)
    began = time.process_time()
    fit = kb.fit(rows, kb.Mixture(k), direction="forward", key=key)
    spent = time.process_time() - began
    if d == 1:
        parts = fit.q.components
        mean = np.array([[c.loc] for c in parts])
        covariances = np.array([[[c.scale**2]] for c in parts])
    else:
        mean, covariances = fit.q.means, fit.q.covariances
    shares = _shares(fit.q.weights, mean, covariances, x)
    spike = spiked(np.asarray(fit.q.weights), covariances, shares, x)
    return Fitted(-fit.divergence.value * len(x), spike, spent)


def _shares(weights: np.ndarray, means: np.ndarray, covariances: np.ndarray, x: Rows) -> np.ndarray:
    moved = x[:, None] - means
    inverse = np.linalg.inv(covariances)
    distance = np.einsum("nkd,kde,nke->nk", moved, inverse, moved)
    logs = np.log(weights) - 0.5 * (distance + np.linalg.slogdet(covariances)[1])
    shares = np.exp(logs - logs.max(axis=1, keepdims=True))
    return shares / shares.sum(axis=1, keepdims=True)


@final
@dataclass(frozen=True)
class Cell:
    """One data set and number of components."""

    below: np.ndarray
    alike: float
    spikes: float
    seconds: float
    theirs: float

    @property
    def line(self) -> list[float]:
        """The share of keys not below the mark, the share at the best of them, spikes, gap of the worst, seconds."""
        close = float(np.mean(self.below > -SAME))
        return [close, self.alike, self.spikes, float(self.below.min()), self.seconds, self.theirs]


def cell(x: Rows, k: int, keys: int) -> Cell:
    """Compares."""
    plain = theirs(x, k)
    mark = max([one.value for one in plain if not one.spike], default=-np.inf)
    found = [ours(x, k, key) for key in range(keys)]
    values = np.array([one.value for one in found])
    alike = max(float(np.mean(np.abs(values - value) < SAME)) for value in values)
    spent = float(np.mean([one.seconds for one in found]))
    spikes = float(np.mean([one.spike for one in found]))
    return Cell(values - mark, alike, spikes, spent, sum(one.seconds for one in plain))


def main() -> None:
    warnings.simplefilter("ignore")
    asked = argparse.ArgumentParser()
    asked.add_argument("--keys", type=int, default=5)
    asked.add_argument("--components", type=int, nargs="*", default=(2, 3, 5, 8, 10))
    asked.add_argument("--only", nargs="*", default=())
    given = asked.parse_args()
    ours(np.random.default_rng(0).normal(size=(50, 2)), 2, 0)
    table: dict[str, list[Cell]] = {}
    for name in given.only or DATASETS:
        x = np.asarray(DATASETS[name](), dtype=float)
        for k in given.components:
            table.setdefault(name, []).append(cell(x, k, given.keys))
            print(name, k, " ".join(f"{v:.2f}" for v in table[name][-1].line), flush=True)
    if given.only:
        return
    lines = [_line(name, cells) for name, cells in table.items()]
    lines.append(_line("all", [one for cells in table.values() for one in cells]))
    write(
        "mixture_optima",
        "Mixtures of Gaussians against the best of ten plain starts of scikit-learn",
        [
            "rows",
            "cells",
            "keys not below",
            "cells with 4 of 5 keys alike",
            "spikes",
            "worst, nats",
            "CPU s",
            "theirs",
        ],
        lines,
        f"A cell is a data set and K in {tuple(given.components)}, with {given.keys} keys. Not below: within {SAME} nats in "
        "total of the best of ten starts (tol 1e-7, at most 1,000 passes) that has no spike, or above it; all keys "
        "where each has one. Alike: the same optimum within as much. A spike is a component narrower in some "
        "direction than rounding (variance step^2/12) or than 1e-3 of the data (1e-2 where it has fewer than four "
        "rows a column), or of no more distinct rows than columns. A fit of ours is what a user calls, with scores "
        "on rows left out and standard errors.",
    )


def _line(name: str, cells: list[Cell]) -> list[str]:
    table = np.array([one.line for one in cells])
    finite = table[np.isfinite(table[:, 3]), 3]
    worst = f"{finite.min():.1f}" if len(finite) else "none"
    shares = (table[:, 0].mean(), np.mean(table[:, 1] >= 0.799), table[:, 2].mean())
    seconds = (f"{table[:, 4].sum():.1f}", f"{table[:, 5].sum():.1f}")
    return [name, str(len(cells)), *(f"{share:.0%}" for share in shares), worst, *seconds]


if __name__ == "__main__":
    main()
