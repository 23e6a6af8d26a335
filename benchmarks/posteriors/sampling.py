"""Reference draws and evidences from long runs: NUTS, importance and bridge sampling, tempered SMC."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import gammaln, logsumexp

from benchmarks.posteriors.record import Posterior

LOG_2PI = math.log(2.0 * math.pi)


@dataclass(frozen=True, eq=False)
class Evidence:
    """A log evidence with its standard error, and how it was found."""

    value: float
    standard_error: float
    method: str


def nuts(
    posterior: Posterior, start: tuple[np.ndarray, np.ndarray], draws: int, seed: int
) -> tuple[np.ndarray, int]:
    """Returns draws (4 chains, draws, d) of NumPyro's NUTS, run in coordinates whitened by a Gaussian."""
    from numpyro.infer import MCMC, NUTS

    mean, root = (jnp.asarray(a) for a in start)
    kernel = NUTS(
        potential_fn=lambda y: -posterior.log_density(mean + root @ y),
        dense_mass=posterior.dimension <= 40,
        target_accept_prob=0.9,
    )
    run = MCMC(
        kernel,
        num_warmup=1000,
        num_samples=draws,
        num_chains=4,
        chain_method="vectorized",
        progress_bar=False,
    )
    first = 0.3 * np.random.default_rng(seed).standard_normal((4, posterior.dimension))
    run.run(jax.random.key(seed), init_params=jnp.asarray(first), extra_fields=("diverging",))
    y = np.asarray(run.get_samples(group_by_chain=True))
    diverging = int(np.asarray(run.get_extra_fields()["diverging"]).sum())
    return np.asarray(mean) + y @ np.asarray(root).T, diverging


def batched(posterior: Posterior) -> Callable[[np.ndarray], np.ndarray]:
    """Returns the log density of many points, compiled for chunks of 4096."""
    compiled = jax.jit(jax.vmap(posterior.log_density))

    def call(x: np.ndarray) -> np.ndarray:
        found = []
        for i in range(0, len(x), 4096):
            part = x[i : i + 4096]
            padded = np.concatenate([part, np.repeat(part[:1], 4096 - len(part), axis=0)])
            found.append(np.asarray(compiled(jnp.asarray(padded)))[: len(part)])
        return np.concatenate(found)

    return call


def log_student(e: np.ndarray, df: float) -> np.ndarray:
    """Returns the log density of the multivariate t with unit scale."""
    d = e.shape[1]
    constant = gammaln((df + d) / 2) - gammaln(df / 2) - d / 2 * math.log(df * math.pi)
    return constant - (df + d) / 2 * np.log1p((e**2).sum(1) / df)


def symmetric(
    posterior: Posterior, mean: np.ndarray, root: np.ndarray
) -> Callable[[np.ndarray], np.ndarray]:
    """Returns log ½ (p(z) + p(-z)) in whitened coordinates z: of the same evidence, but without skewness.

    That is the warp of Meng and Schilling (2002): what is symmetric is nearer to a Gaussian.
    """
    log_p = batched(posterior)
    log_det = np.log(np.abs(np.diag(root))).sum()

    def call(z: np.ndarray) -> np.ndarray:
        both = np.logaddexp(log_p(mean + z @ root.T), log_p(mean - z @ root.T))
        return both - math.log(2.0) + log_det

    return call


def importance(
    posterior: Posterior,
    mean: np.ndarray,
    root: np.ndarray,
    n: int,
    seed: int,
    *,
    df: float | None = None,
) -> tuple[Evidence, float]:
    """Returns the evidence from antithetic draws of a t of the given moments, and the effective share."""
    log_p, rng, d = symmetric(posterior, mean, root), np.random.default_rng(seed), len(mean)
    df, log_weights = df or max(8.0, 4.0 * d), []
    for _ in range(n // 16384):
        z = rng.standard_normal((16384, d)) / np.sqrt(rng.chisquare(df, (16384, 1)) / df)
        log_weights.append(log_p(z) - log_student(z, df))
    log_w = np.concatenate(log_weights)
    total = logsumexp(log_w)
    w = np.exp(log_w - total)
    share = 1.0 / (w**2).sum() / len(w)
    error = math.sqrt(max(1.0 / share - 1.0, 0.0) / len(w))
    return Evidence(float(total - math.log(len(w))), error, "importance sampling"), float(share)


def bridge(posterior: Posterior, chains: np.ndarray, seed: int) -> Evidence:
    """Returns the evidence by Meng and Wong's bridge to a Gaussian, p made symmetric.

    The Gaussian is fitted to half of each chain; eight blocks of the other halves, each with its own
    Gaussian draws, give the standard error.
    """
    half, d = chains.shape[1] // 2, chains.shape[2]
    rng, parts = np.random.default_rng(seed), []
    for fitted, used in (
        (chains[:, :half], chains[:, half:]),
        (chains[:, half:], chains[:, :half]),
    ):
        flat = fitted.reshape(-1, d)
        mean, root = flat.mean(0), np.linalg.cholesky(np.cov(flat.T).reshape(d, d))
        log_p = symmetric(posterior, mean, root)
        for chain in used:
            z = np.linalg.solve(root, (chain - mean).T).T
            e = rng.standard_normal((4 * len(z), d))
            parts.append(_meng_wong(log_p(e) - _log_normal(e), log_p(z) - _log_normal(z)))
    values = np.array(parts)
    error = float(values.std(ddof=1) / math.sqrt(len(values)))
    return Evidence(float(values.mean()), error, "bridge sampling")


def _log_normal(e: np.ndarray) -> np.ndarray:
    return -0.5 * (e**2).sum(1) - 0.5 * e.shape[1] * LOG_2PI


def _meng_wong(proposed: np.ndarray, sampled: np.ndarray) -> float:
    """Returns log Z from log(p/q) at draws of q and of p."""
    n1, n2 = len(proposed), len(sampled)
    log_s1, log_s2, log_z = math.log(n1 / (n1 + n2)), math.log(n2 / (n1 + n2)), np.median(sampled)
    for _ in range(500):
        top = logsumexp(proposed - np.logaddexp(log_s2 + proposed, log_s1 + log_z)) - math.log(n1)
        bottom = logsumexp(-np.logaddexp(log_s2 + sampled, log_s1 + log_z)) - math.log(n2)
        if abs(top - bottom - log_z) < 1e-10:
            break
        log_z = top - bottom
    return float(log_z)


def tempered(
    posterior: Posterior,
    mean: np.ndarray,
    root: np.ndarray,
    seed: int,
    *,
    particles: int = 2048,
    steps: int = 40,
    moves: int = 3,
    runs: int = 6,
    spread: float = 1.2,
) -> tuple[Evidence, np.ndarray, np.ndarray]:
    """Returns the evidence, means and sds from tempered SMC with HMC moves, started wider than the target.

    It starts at N(mean, spread² root root') and knows nothing of the NUTS draws but these moments.
    """
    d = len(mean)
    centre, scale = jnp.asarray(mean), spread * jnp.asarray(root)
    log_det = float(np.log(np.abs(np.diag(root))).sum() + d * math.log(spread))

    def base(y: Any) -> Any:
        return -0.5 * jnp.sum(y**2) - 0.5 * d * LOG_2PI

    def target(y: Any) -> Any:
        return posterior.log_density(centre + scale @ y) + log_det

    def tempering(y: Any, t: Any) -> Any:
        return (1.0 - t) * base(y) + t * target(y)

    value_and_grad = jax.vmap(jax.value_and_grad(tempering), in_axes=(0, None))
    log_ratio = jax.vmap(lambda y: target(y) - base(y))

    def hmc(carry: Any, key: Any) -> Any:
        y, t, size = carry
        k1, k2, k3 = jax.random.split(key, 3)
        p = jax.random.normal(k1, y.shape)
        step = size * jax.random.uniform(k3, (len(y), 1), minval=0.6, maxval=1.2)
        value, gradient = value_and_grad(y, t)
        z, q, g, v = y, p, gradient, value
        for _ in range(6):
            q = q + 0.5 * step * g
            z = z + step * q
            v, g = value_and_grad(z, t)
            q = q + 0.5 * step * g
        log_accept = v - value - 0.5 * jnp.sum(q**2, 1) + 0.5 * jnp.sum(p**2, 1)
        accept = jnp.log(jax.random.uniform(k2, value.shape)) < log_accept
        rate = jnp.mean(
            jnp.minimum(1.0, jnp.exp(jnp.where(jnp.isnan(log_accept), -jnp.inf, log_accept)))
        )
        size = jnp.clip(size * jnp.exp(0.7 * (rate - 0.8)), 1e-3, 1.0)
        return (jnp.where(accept[:, None], z, y), t, size), rate

    @jax.jit
    def stage(key: Any, y: Any, t0: Any, t1: Any, size: Any) -> Any:
        k1, k2 = jax.random.split(key)
        log_w = (t1 - t0) * log_ratio(y)
        gain = jax.nn.logsumexp(log_w) - jnp.log(len(y))
        # systematic resampling
        w = jnp.cumsum(jnp.exp(log_w - jax.nn.logsumexp(log_w)))
        grid = (jnp.arange(len(y)) + jax.random.uniform(k1)) / len(y)
        y = y[jnp.clip(jnp.searchsorted(w, grid), 0, len(y) - 1)]
        (y, _, size), _ = jax.lax.scan(hmc, (y, t1, size), jax.random.split(k2, moves))
        return y, size, gain

    path = np.linspace(0.0, 1.0, steps + 1) ** 1.5
    values, ends = [], []
    for run in range(runs):
        key = jax.random.key(seed + run)
        y = jax.random.normal(key, (particles, d))
        size, log_z = jnp.asarray(0.5 * d**-0.25), 0.0
        for i in range(steps):
            key, sub = jax.random.split(key)
            y, size, gain = stage(sub, y, path[i], path[i + 1], size)
            log_z += float(gain)
        values.append(log_z)
        ends.append(np.asarray(centre + y @ scale.T))
    found = np.array(values)
    x = np.concatenate(ends)
    error = 1.3 * float(found.std(ddof=1) / math.sqrt(runs))  # six runs: Student's t
    return Evidence(float(found.mean()), error, "tempered SMC"), x.mean(0), x.std(0)
