"""How often the 95 % intervals of nearest neighbours hold KL(p||q), and how large their bias is.

Run: python -m benchmarks.bench_entropy_coverage [runs]. Writes benchmarks/results/entropy_coverage.md.
"""

import math
import sys
import time
from collections.abc import Iterator

import numpy as np

from benchmarks.table import write
from kullback.distributions.base import Distribution
from kullback.distributions.gaussian_mixture import GaussianMixture, TableMixture
from kullback.distributions.vector import MultivariateNormal
from kullback.inputs.given import distribution
from kullback.measure.neighbours import neighbour_kl
from kullback.targets import Known


def gaussian(d: int, sd: float = 1.0) -> MultivariateNormal:
    return MultivariateNormal(np.zeros(d), sd * np.eye(d))


def mixture(d: int, weights: list[float], apart: float, sds: list[float]) -> GaussianMixture:
    """Returns two round Gaussians apart along the first axis, of mean 0."""
    means = np.zeros((2, d))
    means[:, 0] = apart * np.array([-weights[1], weights[0]])
    return GaussianMixture(np.array(weights), means, np.array([s * np.eye(d) for s in sds]))


def heavy(d: int, df: float) -> TableMixture:
    kinds = ("continuous",) * d
    one = np.ones(1), np.zeros((1, d)), np.eye(d)[None], np.full(1, df), np.ones((1, 0))
    return TableMixture(kinds, *one, ())


def box(d: int) -> Distribution:
    return distribution(
        Known(
            log_prob=lambda x: np.where((np.abs(x) < 1).all(axis=-1), -d * math.log(2.0), -np.inf),
            sample=lambda rng, n: rng.uniform(-1.0, 1.0, (n, d)),
            example=np.zeros(d),
        ),
        "p",
    )


def pairs(d: int) -> Iterator[tuple[str, Distribution, Distribution]]:
    """Yields p and q."""
    two = mixture(d, [0.4, 0.6], 4.0, [0.5, 1.0])
    yield "normal, q = p", gaussian(d), gaussian(d)
    yield "normal, q 1.3 times as wide", gaussian(d), gaussian(d, 1.3)
    yield "mixture, q = p", two, two
    yield "mixture, a mixture near by", two, mixture(d, [0.5, 0.5], 4.0, [0.6, 0.9])
    yield (
        "mixture, normal of its moments",
        two,
        MultivariateNormal(np.zeros(d), np.linalg.cholesky(two.covariance)),
    )
    yield "t(5), q = p", heavy(d, 5.0), heavy(d, 5.0)
    yield "t(5), normal of its moments", heavy(d, 5.0), gaussian(d, math.sqrt(5.0 / 3.0))
    yield "normal, t(5)", gaussian(d), heavy(d, 5.0)
    yield "box, normal of its moments", box(d), gaussian(d, math.sqrt(1.0 / 3.0))


def truth(p: Distribution, q: Distribution) -> float:
    """Returns KL(p||q) by so many draws that its error does not count."""
    total = 0.0
    for key in range(20):
        x = p.sample(np.random.default_rng([7, key]), 200_000)
        total += float(np.mean(p.log_prob(x) - q.log_prob(x))) / 20.0
    return total


def run(runs: int) -> list[list[str]]:
    rows = []
    for d in (1, 2, 5):
        for name, p, q in pairs(d):
            value = truth(p, q)
            for n in (500, 1500, 4000):
                began = time.process_time()
                found = []
                for key in range(runs):
                    rng = np.random.default_rng([key, n, d])
                    x = p.sample(rng, n)
                    found.append(neighbour_kl(x, q.log_prob(x), q, rng))
                said = [e for e in found if e.kind == "estimate"]
                inside = np.mean([e.interval[0] <= value <= e.interval[1] for e in said])
                errors = np.array([e.standard_error for e in said])
                away = np.array([e.value for e in said]) - value
                row = [
                    f"{name}, d={d}, n={n}",
                    f"{value:.4f}",
                    f"{1.0 - len(said) / runs:.2f}",
                    f"{inside:.3f}",
                    f"{away.mean():+.4f}",
                    f"{away.mean() / errors.mean():+.2f}",
                    f"{errors.mean():.4f}",
                    f"{away.std():.4f}",
                ]
                rows.append(row)
                print(row, f"{time.process_time() - began:.0f} s", file=sys.stderr, flush=True)
    return rows


def main() -> None:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    write(
        "entropy_coverage",
        f"Coverage of the 95 % intervals of KL(p||q) by nearest neighbours, {runs} keys; q is known",
        [
            "p and q",
            "truth, nats",
            "unresolved",
            "covered, of the rest",
            "bias",
            "bias / standard error",
            "standard error",
            "sd",
        ],
        run(runs),
    )


if __name__ == "__main__":
    main()
