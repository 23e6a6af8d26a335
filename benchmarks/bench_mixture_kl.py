"""Monte Carlo KL between Gaussian mixtures: draws per CPU second, against NumPyro and torch, one run.

Run: NPROC=8 python -m benchmarks.bench_mixture_kl (with two XLA threads, batched LAPACK calls of JAX 0.10 can
wait for each other for ever). Writes benchmarks/results/mixture_kl.md.
"""

import importlib.util
import time
from collections.abc import Callable

import numpy as np

from benchmarks.table import write
from kullback.api.measure import kl_divergence
from kullback.distributions.gaussian_mixture import GaussianMixture

COMPONENTS = 10


def mixture(d: int, seed: int) -> GaussianMixture:
    rng = np.random.default_rng(seed)
    roots = np.tril(0.3 * rng.standard_normal((COMPONENTS, d, d)), -1) + 0.8 * np.eye(d)
    weights = rng.dirichlet(np.full(COMPONENTS, 5.0))
    return GaussianMixture(weights, 1.5 * rng.standard_normal((COMPONENTS, d)), roots)


def ours(p: GaussianMixture, q: GaussianMixture) -> Callable[[int], tuple[float, int]]:
    def run(n: int) -> tuple[float, int]:
        found = kl_divergence(p, q, method="monte carlo", n=n)
        return found.value, found.n or 0

    return run


def numpyro(p: GaussianMixture, q: GaussianMixture) -> Callable[[int], tuple[float, int]]:
    import jax
    import numpyro.distributions as dist

    def made(m: GaussianMixture) -> object:
        parts = dist.MultivariateNormal(m.means, scale_tril=m.scale_trils)
        return dist.MixtureSameFamily(dist.Categorical(probs=m.weights), parts)

    def average(key: object, n: int) -> object:
        left, right = made(p), made(q)
        x = left.sample(key, (n,))
        return (left.log_prob(x) - right.log_prob(x)).mean()

    compiled = jax.jit(average, static_argnums=1)
    return lambda n: (float(compiled(jax.random.key(0), n)), n)


def torch(p: GaussianMixture, q: GaussianMixture) -> Callable[[int], tuple[float, int]]:
    import torch
    from torch import distributions as dist

    def made(m: GaussianMixture) -> object:
        parts = dist.MultivariateNormal(
            torch.tensor(m.means), scale_tril=torch.tensor(m.scale_trils)
        )
        return dist.MixtureSameFamily(dist.Categorical(probs=torch.tensor(m.weights)), parts)

    left, right = made(p), made(q)

    def run(n: int) -> tuple[float, int]:
        with torch.no_grad():
            x = left.sample((n,))
            return float((left.log_prob(x) - right.log_prob(x)).mean()), n

    return run


def timed(
    run: Callable[[int], tuple[float, int]], n: int, repeats: int
) -> tuple[float, float, float]:
    """Returns million draws per CPU second (best of repeats), CPU seconds of the first call, the value."""
    began = time.process_time()
    run(n)
    first = time.process_time() - began
    rates, value = [], 0.0
    for _ in range(repeats):
        began = time.process_time()
        value, drawn = run(n)
        rates.append(drawn / (time.process_time() - began) / 1e6)
    return max(rates), first, value


def main() -> None:
    import jax

    rows = []
    for d in (2, 5, 10, 20):
        p, q = mixture(d, 0), mixture(d, 1)
        rate, first, value = timed(ours(p, q), 2**20, 5)
        row = [str(d), f"{rate:.2f} ({first:.2f})"]
        with jax.enable_x64(True):
            peer, start, other = timed(numpyro(p, q), 2**15, 3)
        row += [f"{peer:.2f} ({start:.2f})", f"{rate / peer:.0f}"]
        if importlib.util.find_spec("torch"):
            peer, start, _ = timed(torch(p, q), 2**16, 3)
            row += [f"{peer:.2f} ({start:.2f})", f"{rate / peer:.0f}"]
        else:
            row += ["not installed", ""]
        row.append(f"{value:.4f} / {other:.4f}")
        rows.append(row)
    write(
        "mixture_kl",
        f"KL between Gaussian mixtures, K = {COMPONENTS}, float64: million draws per CPU second (first call, CPU s)",
        ["d", "kullback", "NumPyro, jit", "ratio", "torch", "ratio", "value / NumPyro's"],
        rows,
    )


if __name__ == "__main__":
    main()
