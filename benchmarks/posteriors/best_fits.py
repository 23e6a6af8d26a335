"""The best reverse KL of the Gaussian families on one target, by the surest way there is for it."""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy.optimize import minimize

from benchmarks.posteriors import optimum
from benchmarks.posteriors.conjugate import GAUSSIANS
from benchmarks.posteriors.exact import Exact
from benchmarks.posteriors.record import Posterior
from benchmarks.posteriors.shapes import DF, FUNNEL_SD

Normal = tuple[np.ndarray, np.ndarray]


def gaussian_best(name: str, family: optimum.Family) -> dict[str, Any]:
    """Returns the closed form: KL 0, or half of sum log precision_ii minus log det precision."""
    g = GAUSSIANS[name]
    diagonal = np.diag(g.precision)
    loss = 0.5 * float(np.log(diagonal).sum() - np.linalg.slogdet(g.precision)[1])
    covariance = np.linalg.inv(g.precision)
    sd = np.sqrt(np.diag(covariance)) if family == "full" else 1.0 / np.sqrt(diagonal)
    return {
        "kl": 0.0 if family == "full" else max(loss, 0.0),
        "error": 0.0,
        "method": "closed form",
        "mean": g.mean.tolist(),
        "sd": sd.tolist(),
    }


def _grid(n: int, d: int) -> tuple[np.ndarray, np.ndarray]:
    line = np.linspace(-9.0, 9.0, n)
    weight = np.exp(-0.5 * line**2)
    weight /= weight.sum()
    if d == 1:
        return line[:, None], weight
    return np.stack(np.meshgrid(line, line), -1).reshape(-1, 2), np.outer(weight, weight).ravel()


def grid_best(posterior: Posterior, known: Exact, family: optimum.Family) -> dict[str, Any]:
    """Returns the best fit by the trapezoid rule and BFGS from many starts, for d <= 2."""
    d = posterior.dimension
    batched = jax.vmap(posterior.log_density)

    @jax.jit
    def loss(parameters: Any, e: Any, w: Any) -> Any:
        mean, root = optimum.unpack(parameters, d, family)
        return -w @ batched(mean + e @ root.T) - jnp.sum(jnp.log(jnp.diag(root)))

    value_and_grad = jax.jit(jax.value_and_grad(loss))
    sizes = (1001, 4001) if d == 1 else (121, 361)
    grids = [[jnp.asarray(a) for a in _grid(n, d)] for n in sizes]
    rng = np.random.default_rng(8)
    sample = known.sample(rng, 4000)
    spread = np.subtract(*np.percentile(sample, [75, 25], axis=0)) / 1.35
    found = []
    for i in range(24):
        start = optimum.pack(sample[i], np.diag(spread * (0.1, 0.3, 1.0)[i % 3]), family)
        answer = minimize(
            lambda p: tuple(np.asarray(a) for a in value_and_grad(jnp.asarray(p), *grids[0])),
            start,
            jac=True,
            method="BFGS",
        )
        found.append((answer.fun, answer.x))
    x = min(found, key=lambda f: f[0])[1]
    answer = minimize(
        lambda p: tuple(np.asarray(a) for a in value_and_grad(jnp.asarray(p), *grids[1])),
        x,
        jac=True,
        method="BFGS",
        options={"gtol": 1e-9},
    )
    constant = known.log_evidence - 0.5 * d * (math.log(2.0 * math.pi) + 1.0)
    fine = constant + float(answer.fun)
    coarse = constant + float(loss(jnp.asarray(answer.x), *grids[0]))
    mean, root = (np.asarray(a) for a in optimum.unpack(jnp.asarray(answer.x), d, family))
    local = sorted({round(constant + float(f), 3) for f, _ in found if math.isfinite(f)})
    return {
        "kl": fine,
        "error": abs(fine - coarse) + 1e-7,
        "method": "trapezoid rule, 24 starts",
        "local_optima": local[:8],
        "mean": mean.tolist(),
        "sd": np.sqrt((root**2).sum(1)).tolist(),
    }


def _funnel_elbo(parameters: np.ndarray) -> tuple[float, np.ndarray]:
    """Returns the ELBO without log q's constant: v ~ N(m, s²), the other nine N(0, w²), all independent.

    E x² e^-v is in closed form under any Gaussian, and correlation with v only adds to it: the best
    Gaussian is diagonal.
    """
    mean, log_sd, log_width = parameters
    tilted = math.exp(2.0 * log_width - mean + 0.5 * math.exp(2.0 * log_sd))
    prior = -0.5 * (mean**2 + math.exp(2.0 * log_sd)) / FUNNEL_SD**2
    sds = np.exp([log_sd, *[log_width] * 9])
    return prior - 4.5 * tilted - 4.5 * mean + float(np.log(sds).sum()), sds


def _student_elbo(parameters: np.ndarray) -> tuple[float, np.ndarray]:
    """Returns the ELBO without log q's constant: a round Gaussian, by quadrature over its radius."""
    sd = math.exp(parameters[0])
    radius = np.linspace(0.0, 12.0, 20_001)[1:]
    weight = radius**4 * np.exp(-0.5 * radius**2)
    energy = weight @ np.log1p((sd * radius) ** 2 / DF) / weight.sum()
    return 5.0 * math.log(sd) - 0.5 * (DF + 5) * float(energy), np.full(5, sd)


CLOSED = {"funnel": (_funnel_elbo, 3), "student_5": (_student_elbo, 1)}


def closed_best(name: str, known: Exact, sampled: dict[str, Any]) -> dict[str, Any]:
    """Returns the best fit by symmetry and a few parameters; the sampled one is kept as a check."""
    elbo, size = CLOSED[name]
    answer = minimize(lambda p: -elbo(p)[0], np.zeros(size), method="BFGS", tol=1e-10)
    sds = elbo(answer.x)[1]
    constant = 0.5 * len(sds) * (math.log(2.0 * math.pi) + 1.0)
    mean = np.zeros(len(sds))
    mean[0] = answer.x[0] if name == "funnel" else 0.0
    return {
        "kl": known.log_evidence - constant + float(answer.fun),
        "error": 1e-6,
        "method": "closed form by symmetry",
        "sampled": [sampled["kl"], sampled["error"]],
        "mean": mean.tolist(),
        "sd": sds.tolist(),
    }


def sampled_best(
    posterior: Posterior,
    evidence: dict[str, Any],
    family: optimum.Family,
    starts: list[Normal],
    tell: Callable[[str], None],
) -> dict[str, Any]:
    """Returns the best fit by L-BFGS on fixed draws, judged on fresh ones."""
    found = optimum.best(posterior, family, starts, tell)
    kl = evidence["log_evidence"] - found.elbo
    low = evidence["log_evidence"] - found.optimistic
    error = math.hypot(found.standard_error, evidence["log_evidence_error"])
    tell(f"{family}: KL {kl:.4f} ± {error:.4f}; on its own draws {low:.4f}")
    return {
        "kl": kl,
        "error": error,
        "elbo": found.elbo,
        "elbo_standard_error": found.standard_error,
        "on_own_draws": low,
        "method": "L-BFGS on fixed draws, 262,144 fresh draws",
        "mean": found.mean.tolist(),
        "sd": np.sqrt((found.root**2).sum(1)).tolist(),
    }
