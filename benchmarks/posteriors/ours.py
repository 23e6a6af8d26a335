"""kullback on one target: what it says, and what is true of the q it returns."""

import math
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.posteriors.record import Posterior

DRAWS = 100_000
FAMILIES = {"full": "full_rank", "mean": "mean_field"}


def ours(posterior: Posterior, family: str) -> tuple[Any, float]:
    """Returns the reverse fit, no option set, and the seconds until q was final: then the report began."""
    import kullback

    began, ends = time.perf_counter(), []

    def watch(said: object) -> None:
        if "looking for other modes" in str(said):
            ends.append(time.perf_counter() - began)

    target = kullback.LogDensity(posterior.log_density, posterior.start)
    fit = kullback.fit(target, FAMILIES[family], direction="reverse", progress=watch)
    return fit, ends[0]


def said(fit: Any) -> dict[str, Any]:
    """Returns what the fit reports, every number with its standard error."""
    found: dict[str, Any] = {
        "gradients": int(fit.posterior.trace[-1][0]),
        "with_report": int(fit.evaluations),
    }
    for name in ("elbo", "log_evidence", "reverse_kl", "forward_kl"):
        estimate = getattr(fit, name, None)
        if estimate is not None:
            error = estimate.standard_error
            found[name] = [float(estimate.value), None if error is None else float(error)]
    diagnosis = getattr(fit, "diagnosis", None)
    found["verdict"] = None if diagnosis is None else str(diagnosis.verdict)
    return found


def measured(
    posterior: Posterior, q: Any, log_evidence: float, reference: np.ndarray | None
) -> dict[str, Any]:
    """Returns the true KL(q||p) from fresh draws of q, and KL(p||q) from reference draws."""
    d = posterior.dimension
    batched = jax.jit(jax.vmap(posterior.log_density))

    def log_p(x: np.ndarray) -> np.ndarray:
        return np.asarray(batched(jnp.asarray(x))) - log_evidence

    def log_q(x: np.ndarray) -> np.ndarray:
        return np.asarray(q.log_prob(x)).reshape(-1)

    def mean(values: np.ndarray) -> list[float]:
        return [float(values.mean()), float(values.std() / math.sqrt(len(values)))]

    rng, parts = np.random.default_rng(20_260_101), []
    for _ in range(DRAWS // 10_000):
        x = np.asarray(q.sample(rng, 10_000)).reshape(-1, d)
        parts.append(log_q(x) - log_p(x))
    found: dict[str, Any] = {"true_reverse_kl": mean(np.concatenate(parts))}
    if reference is not None:
        gaps = [log_p(x) - log_q(x) for x in np.array_split(reference, 2)]
        found["true_forward_kl"] = mean(np.concatenate(gaps))
    return found


def report(
    posterior: Posterior, family: str, log_evidence: float, reference: np.ndarray | None
) -> dict[str, Any]:
    """Returns seconds cold and warm, what was said and what is true."""
    import kullback.routes.log_density_reverse  # noqa: F401 - imports are off the clock, as they are for the peers

    jnp.zeros(1).block_until_ready()  # the backend starts off the clock, as it does for the peers
    began = time.perf_counter()
    fit, answer = ours(posterior, family)
    cold = time.perf_counter() - began
    began = time.perf_counter()
    ours(posterior, family)
    warm = time.perf_counter() - began
    with jax.enable_x64(True):
        truth = measured(posterior, fit.q, log_evidence, reference)
    return {"answer": answer, "cold": cold, "warm": warm, **said(fit), **truth}
