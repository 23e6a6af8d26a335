"""The known answers: log evidence, moments, and the best reverse KL of the Gaussian families, target by target.

Run: NPROC=8 python -m benchmarks.posteriors.truth [target ...]. Each target is a process of its own and lands in
truth.json when done; without names, those still missing are computed. --table prints what is there. Reference draws are
kept outside git, in $KULLBACK_POSTERIORS or ~/.cache/kullback-posteriors. Nothing of kullback is used.
"""

import json
import math
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy.optimize import minimize

from benchmarks.posteriors import best_fits, optimum, sampling
from benchmarks.posteriors.conjugate import GAUSSIANS
from benchmarks.posteriors.exact import Exact, exact
from benchmarks.posteriors.record import Posterior
from benchmarks.posteriors.targets import TARGETS

RESULTS = Path(__file__).parent / "truth.json"
CACHE = Path(os.environ.get("KULLBACK_POSTERIORS", Path.home() / ".cache/kullback-posteriors"))
REFERENCE = 20_000
FAMILIES: tuple[optimum.Family, ...] = ("full", "mean")
Normal = tuple[np.ndarray, np.ndarray]


def load() -> dict[str, Any]:
    """Returns what is known so far, by target."""
    return json.loads(RESULTS.read_text()) if RESULTS.exists() else {}


def reference_draws(name: str) -> np.ndarray | None:
    """Returns draws of the target, None if they were not made on this machine."""
    known = exact(name)
    if known is not None:
        return known.sample(np.random.default_rng(900), REFERENCE)
    file = CACHE / f"{name}.npz"
    return np.load(file)["draws"] if file.exists() else None


def tell(text: str) -> None:
    print(f"  {text}", file=sys.stderr, flush=True)


# ---- where the density lies


def laplace(posterior: Posterior) -> Normal:
    """Returns the Gaussian of the mode, its curvature clipped; at the start if there is no mode."""
    value_and_grad = jax.jit(jax.value_and_grad(lambda x: -posterior.log_density(x)))
    hessian = jax.jit(jax.hessian(lambda x: -posterior.log_density(x)))
    found = minimize(
        lambda x: tuple(np.asarray(a) for a in value_and_grad(jnp.asarray(x))),
        posterior.start,
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": 2000, "maxfun": 5000},
    )
    mode = found.x if np.abs(found.x).max() < 30.0 else posterior.start
    values, vectors = np.linalg.eigh(np.asarray(hessian(jnp.asarray(mode))))
    values = np.maximum(values, 0.1)
    return mode, np.linalg.cholesky((vectors / values) @ vectors.T)


def first_fit(posterior: Posterior) -> Normal:
    """Returns a Gaussian near the target, by the full-rank objective on few draws."""
    start = laplace(posterior)
    objective = optimum.Objective(posterior, "full")
    e = optimum.draws(1024 if posterior.dimension <= 50 else 2048, posterior.dimension, 7)
    mean, root, elbo = objective.minimise((start[0], 0.5 * start[1]), e, 200)
    tell(f"first fit: ELBO about {elbo:.3f}")
    return mean, root


def moments(draws: np.ndarray) -> Normal:
    flat = draws.reshape(-1, draws.shape[-1])
    covariance = np.cov(flat.T).reshape(flat.shape[1], flat.shape[1])
    return flat.mean(0), np.linalg.cholesky(covariance)


# ---- the evidence and the reference


def _moment_record(chains: np.ndarray) -> dict[str, Any]:
    """Returns means and sds of (chains, draws, d) with their Monte Carlo standard errors."""
    from numpyro.diagnostics import effective_sample_size, split_gelman_rubin

    flat = chains.reshape(-1, chains.shape[-1])
    mean, sd = flat.mean(0), flat.std(0)
    squares = (chains - mean) ** 2
    size, square_size = effective_sample_size(chains), effective_sample_size(squares)
    square_sd = squares.reshape(flat.shape).std(0)
    return {
        "mean": mean.tolist(),
        "sd": sd.tolist(),
        "mean_mcse": (sd / np.sqrt(size)).tolist(),
        "sd_mcse": (square_sd / np.sqrt(square_size) / (2.0 * sd)).tolist(),
        "worst_rhat": float(np.max(split_gelman_rubin(chains))),
        "least_ess": float(min(np.min(size), np.min(square_size))),
    }


def from_exact(posterior: Posterior, known: Exact) -> tuple[dict[str, Any], Normal]:
    """Returns the record of an exact target, and its moments; sampled as a check where it is a model."""
    rng = np.random.default_rng(77)
    record: dict[str, Any] = {}
    heavy = posterior.name in ("cauchy", "student_5", "funnel")  # no moments to go by
    if known.moments is None:
        draws = known.sample(rng, 400_000)
        record |= _moment_record(draws.reshape(4, 100_000, -1))
        shape = moments(draws)
    else:
        mean, sd = known.moments
        zeros = np.zeros(len(mean)).tolist()
        known_moments = bool(np.isfinite(mean).all())
        record |= {
            "mean": mean.tolist() if known_moments else None,
            "sd": sd.tolist() if known_moments else None,
            "mean_mcse": zeros,
            "sd_mcse": zeros,
        }
        shape = (
            (np.zeros(len(mean)), np.eye(len(mean)))
            if heavy
            else moments(known.sample(rng, 100_000))
        )
        if posterior.name in GAUSSIANS:
            g = GAUSSIANS[posterior.name]
            shape = g.mean, np.linalg.cholesky(np.linalg.inv(g.precision))
    routes = [sampling.Evidence(known.log_evidence, known.error, known.method)]
    found, share = sampling.importance(posterior, *shape, 1 << 18, 1, df=1.0 if heavy else None)
    if share > 1e-3 and posterior.name != "funnel":
        routes.append(found)
    if known.moments is None:
        routes.append(
            sampling.bridge(posterior, known.sample(rng, 40_000).reshape(4, 10_000, -1), 2)
        )
    return record | _evidence(routes, best=routes[0]), shape


def from_runs(posterior: Posterior) -> tuple[dict[str, Any], Normal, Normal]:
    """Returns the record of a target known by long runs, its moments, and the first fit."""
    begin = first_fit(posterior)
    large = posterior.dimension > 50
    chains, diverging = sampling.nuts(posterior, begin, 20_000 if large else 10_000, 3)
    record = _moment_record(chains)
    tell(
        f"NUTS: rhat {record['worst_rhat']:.4f}, ESS {record['least_ess']:.0f}, {diverging} diverged"
    )
    shape = moments(chains)
    CACHE.mkdir(parents=True, exist_ok=True)
    thin = chains[:, :: max(1, 4 * chains.shape[1] // REFERENCE)].reshape(-1, posterior.dimension)
    np.savez_compressed(CACHE / f"{posterior.name}.npz", draws=thin)
    routes = [sampling.bridge(posterior, chains, 4)]
    tell(str(routes[-1]))
    found, share = sampling.importance(posterior, *shape, 1 << (22 if large else 20), 5)
    tell(f"{found}, effective share {share:.4f}")
    if share > 2e-3:
        routes.append(found)
    found, means, sds = sampling.tempered(posterior, *shape, 6)
    routes.append(found)
    tell(str(found))
    sd = np.array(record["sd"])
    record["diverging"] = diverging
    record["smc_mean_shift"] = float(np.max(np.abs(means - record["mean"]) / sd))
    record["smc_sd_ratio"] = float(np.exp(np.max(np.abs(np.log(sds / sd)))))
    return record | _evidence(routes, best=None), shape, begin


def _evidence(routes: list[sampling.Evidence], best: sampling.Evidence | None) -> dict[str, Any]:
    """Returns the evidence: exact, or the weighted mean of routes; the error covers their disagreement.

    A route's own error is a guess: none counts for better than 1e-3. A route much less exact than the
    best one is a check, not a witness.
    """
    if best is None:
        precision = np.array([1.0 / max(r.standard_error, 1e-3) ** 2 for r in routes])
        weights = np.where(precision > 0.25 * precision.max(), precision, 0.0)
        values = np.array([r.value for r in routes])
        value = float(weights @ values / weights.sum())
        spread = float(np.abs(values - value)[weights > 0.0].max())
        error = max(1.0 / math.sqrt(weights.sum()), spread)
        method = " + ".join(r.method for r, w in zip(routes, weights, strict=True) if w > 0.0)
    else:
        value, error, method = best.value, best.standard_error, best.method
    apart = max(
        abs(r.value - value) / math.hypot(max(r.standard_error, 1e-3), error) for r in routes
    )
    return {
        "log_evidence": value,
        "log_evidence_error": error,
        "method": method,
        "routes_apart": apart,
        "routes": [[r.method, r.value, r.standard_error] for r in routes],
    }


def compute(name: str) -> dict[str, Any]:
    """Returns everything about one target."""
    began = time.perf_counter()
    posterior, known = TARGETS[name], exact(name)
    if known is not None:
        record, shape = from_exact(posterior, known)
        starts = [shape, (shape[0], 0.4 * shape[1])]
    else:
        record, shape, begin = from_runs(posterior)
        starts = [shape, begin]
    for family in FAMILIES:
        if name in GAUSSIANS:
            found = best_fits.gaussian_best(name, family)
        elif known is not None and posterior.dimension <= 2:
            found = best_fits.grid_best(posterior, known, family)
        else:
            found = best_fits.sampled_best(posterior, record, family, starts, tell)
        if known is not None and name in best_fits.CLOSED:
            found = best_fits.closed_best(name, known, found)
        record[family] = found
    record["seconds"] = time.perf_counter() - began
    return {"dimension": posterior.dimension, "about": posterior.about, **record}


def table(truth: dict[str, Any]) -> str:
    lines = [
        "| target | d | log evidence | apart, se | full rank, KL | mean field, KL | s |",
        "|" + "---|" * 7,
    ]
    for name in TARGETS:
        if name not in truth:
            lines.append(f"| {name} | {TARGETS[name].dimension} | missing | | | | |")
            continue
        t = truth[name]
        fits = [f"{t[f]['kl']:.4f} ± {t[f]['error']:.4f}" for f in FAMILIES]
        lines.append(
            f"| {name} | {t['dimension']} | {t['log_evidence']:.4f} ± {t['log_evidence_error']:.4f} "
            f"| {t['routes_apart']:.1f} | {fits[0]} | {fits[1]} | {t['seconds']:.0f} |"
        )
    return "\n".join(lines)


def main(arguments: list[str]) -> None:
    if arguments[:1] == ["--one"]:
        jax.config.update("jax_enable_x64", True)  # noqa: FBT003
        tell(arguments[1])
        record = compute(arguments[1])
        RESULTS.write_text(json.dumps(load() | {arguments[1]: record}, indent=1) + "\n")
        return
    if arguments != ["--table"]:
        for name in arguments or [n for n in TARGETS if n not in load()]:
            command = [sys.executable, "-m", "benchmarks.posteriors.truth", "--one", name]
            try:
                subprocess.run(command, check=True, timeout=1500)
            except subprocess.SubprocessError as error:
                tell(f"{name}: {error}")
    print(table(load()))


if __name__ == "__main__":
    main(sys.argv[1:])
