"""How often the 95 % intervals of Monte Carlo hold the truth, over many keys and ten targets.

Run: python -m benchmarks.bench_coverage [runs]. Writes benchmarks/results/coverage.md.
"""

import math
import sys
import time
from collections.abc import Callable

import numpy as np

from benchmarks.table import write
from kullback.api.measure import kl_divergence
from kullback.core.errors import KullbackError
from kullback.distributions.compound import Product
from kullback.distributions.gaussian_mixture import GaussianMixture
from kullback.distributions.vector import MultivariateNormal
from kullback.expressions.parse import parse
from kullback.targets import Known

THREE = "0.3*normal(-2, sd=0.3) + 0.4*normal(0, sd=0.4) + 0.3*normal(2, sd=0.3)"
CLAIMED = "0.52*normal(-1.98, sd=0.41) + 0.48*normal(1.97, sd=0.42)"
REVERSE = "0.426*normal(-2.001, sd=0.299) + 0.574*normal(0.010, sd=0.418)"


def known(expression: str) -> Known:
    """Returns a distribution of the line hidden behind functions, so that it is drawn plainly."""
    d = parse(expression)
    return Known(log_prob=d.log_prob, sample=d.sample)


def student(df: float, d: int) -> Known:
    """Returns a multivariate t with independent coordinates given the common scale."""

    def sample(rng: np.random.Generator, n: int) -> np.ndarray:
        return rng.standard_normal((n, d)) / np.sqrt(rng.chisquare(df, (n, 1)) / df)

    def log_prob(x: np.ndarray) -> np.ndarray:
        constant = math.lgamma((df + d) / 2) - math.lgamma(df / 2) - d / 2 * math.log(df * math.pi)
        return constant - (df + d) / 2 * np.log1p(np.sum(x * x, axis=-1) / df)

    return Known(log_prob=log_prob, sample=sample, example=np.zeros(d))


def far_modes(d: int, weight: float) -> tuple[GaussianMixture, MultivariateNormal]:
    """Returns two separate modes and a q that drops the second."""
    means = np.zeros((2, d))
    means[1, 0] = 8.0
    p = GaussianMixture(np.array([1.0 - weight, weight]), means, np.stack([np.eye(d)] * 2))
    return p, MultivariateNormal(np.zeros(d), np.eye(d))


def two_mixtures(k: int, d: int) -> tuple[GaussianMixture, GaussianMixture]:
    """Returns two random mixtures."""
    found = []
    for seed in (0, 1):
        rng = np.random.default_rng(seed)
        roots = np.tril(0.3 * rng.standard_normal((k, d, d)), -1) + 0.8 * np.eye(d)
        found.append(
            GaussianMixture(
                rng.dirichlet(np.full(k, 5.0)), 1.5 * rng.standard_normal((k, d)), roots
            )
        )
    return found[0], found[1]


def product(*expressions: str) -> Product:
    return Product(tuple(parse(e) for e in expressions))


TARGETS: dict[str, tuple[object, object]] = {
    "three modes, claimed q": (parse(THREE), parse(CLAIMED)),
    "reverse fit, three modes": (parse(REVERSE), parse(THREE)),
    "three modes, claimed q, plain draws": (known(THREE), parse(CLAIMED)),
    "reverse fit, three modes, plain draws": (known(REVERSE), parse(THREE)),
    "dropped mode of .3, d=2": far_modes(2, 0.3),
    "dropped mode of .01, d=5": far_modes(5, 0.01),
    "mixtures, K=10, d=5": two_mixtures(10, 5),
    "mixtures, K=3, d=10": two_mixtures(3, 10),
    "t(8) against normal, d=3": (student(8.0, 3), MultivariateNormal(np.zeros(3), np.eye(3))),
    "t(5) against normal, d=3": (student(5.0, 3), MultivariateNormal(np.zeros(3), np.eye(3))),
    "t(3) against normal, d=3": (student(3.0, 3), MultivariateNormal(np.zeros(3), np.eye(3))),
    "normal against t(3), d=3": (MultivariateNormal(np.zeros(3), np.eye(3)), student(3.0, 3)),
    "gamma and lognormal blocks": (
        product("gamma(2, rate=1)", "lognormal(0, sd=1)"),
        product("lognormal(0.4, sd=0.8)", "gamma(1, rate=1)"),
    ),
    "laplace against normal, plain draws": (known("laplace(0, scale=1)"), parse("normal(0, sd=1)")),
}


def truth(p: object, q: object) -> float:
    """Returns the divergence by quadrature, or by Monte Carlo with a hundred times the draws."""
    try:
        found = kl_divergence(p, q)
        if found.kind in ("exact", "numeric"):
            return found.value
    except KullbackError:
        pass
    return float(
        np.mean(
            [
                kl_divergence(p, q, method="monte carlo", n=2_000_000, key=10**6 + k).value
                for k in range(4)
            ]
        )
    )


def run(runs: int, draws: int, tell: Callable[[str], None]) -> list[list[str]]:
    rows = []
    for name, (p, q) in TARGETS.items():
        began = time.process_time()
        value = truth(p, q)
        found = [kl_divergence(p, q, method="monte carlo", n=draws, key=key) for key in range(runs)]
        said = [e for e in found if e.kind == "estimate"]
        inside = (
            np.mean([e.interval[0] <= value <= e.interval[1] for e in said]) if said else math.nan
        )
        errors = np.array([e.value - value for e in said])
        ratio = (
            np.mean([e.standard_error for e in said]) / errors.std() if len(said) > 1 else math.nan
        )
        row = [
            name,
            f"{value:.5f}",
            f"{1.0 - len(said) / runs:.3f}",
            f"{inside:.3f}",
            f"{ratio:.2f}",
            f"{np.abs(errors).mean() if said else math.nan:.1e}",
        ]
        rows.append(row)
        tell(f"{row} {time.process_time() - began:.0f} s")
    return rows


def main() -> None:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    rows = run(runs, 20_000, lambda text: print(text, file=sys.stderr, flush=True))
    write(
        "coverage",
        f"Coverage of the 95 % intervals of Monte Carlo, {runs} keys, 20,000 draws",
        [
            "target",
            "truth, nats",
            "unresolved",
            "covered, of the rest",
            "standard error / sd",
            "mean error",
        ],
        rows,
    )


if __name__ == "__main__":
    main()
