"""The best reverse KL of a Gaussian family, found without kullback: fixed draws, L-BFGS over all parameters.

Coordinates are first whitened, so that L-BFGS needs few steps. The objective on fixed draws, minimised, is too low on
average and the same q on fresh draws is too high, so that the best KL lies between the two.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from scipy.optimize import minimize
from scipy.stats import norm, qmc

from benchmarks.posteriors.record import Posterior

Family = Literal["full", "mean"]
LOG_2PI = math.log(2.0 * math.pi)


@dataclass(frozen=True, eq=False)
class Fitted:
    """q = N(mean, root root'), its ELBO on fresh draws, and the ELBO on the draws it was fitted to."""

    mean: np.ndarray
    root: np.ndarray
    elbo: float
    standard_error: float
    optimistic: float
    starts: int


def draws(n: int, d: int, seed: int) -> np.ndarray:
    """Returns n scrambled Sobol points of N(0, I), antithetic, of covariance exactly I if n allows."""
    points = norm.ppf(qmc.Sobol(d, rng=seed).random(n // 2).clip(1e-12, 1.0 - 1e-12))
    both = np.concatenate([points, -points])
    return np.linalg.solve(np.linalg.cholesky(np.cov(both.T, bias=True).reshape(d, d)), both.T).T


def unpack(parameters: Any, d: int, family: Family) -> tuple[Any, Any]:
    mean, scale = parameters[:d], parameters[d:]
    if family == "mean":
        return mean, jnp.diag(jnp.exp(scale))
    lower = jnp.zeros((d, d)).at[np.tril_indices(d, -1)].set(scale[d:])
    return mean, lower + jnp.diag(jnp.exp(scale[:d]))


def pack(mean: np.ndarray, root: np.ndarray, family: Family) -> np.ndarray:
    d = len(mean)
    parts = [mean, np.log(np.diag(root))]
    return np.concatenate(parts if family == "mean" else [*parts, root[np.tril_indices(d, -1)]])


class Objective:
    """Minus the ELBO in coordinates x = shift + scale @ y, over q(y) = N(mean, root root')."""

    def __init__(self, posterior: Posterior, family: Family) -> None:
        self.d, self.family = posterior.dimension, family
        batched = jax.vmap(posterior.log_density)

        def loss(parameters: Any, shift: Any, scale: Any, e: Any) -> Any:
            mean, root = unpack(parameters, self.d, family)
            values = batched(shift + (mean + e @ root.T) @ scale.T)
            return -jnp.mean(values) - jnp.sum(jnp.log(jnp.diag(root)))

        self._compiled = jax.jit(jax.value_and_grad(loss))

    def minimise(
        self, start: tuple[np.ndarray, np.ndarray], e: np.ndarray, steps: int
    ) -> tuple[np.ndarray, np.ndarray, float]:
        """Returns mean, root, and the ELBO on the draws e."""
        shift, scale = start
        device = [jnp.asarray(a) for a in (shift, scale, e)]

        def call(parameters: np.ndarray) -> tuple[float, np.ndarray]:
            value, gradient = self._compiled(jnp.asarray(parameters), *device)
            value, gradient = float(value), np.asarray(gradient)
            if not (math.isfinite(value) and np.isfinite(gradient).all()):
                return 1e10, np.zeros_like(gradient)
            return value, gradient

        origin = pack(np.zeros(self.d), np.eye(self.d), self.family)
        found = minimize(
            call,
            origin,
            jac=True,
            method="L-BFGS-B",
            options={
                "maxiter": steps,
                "maxfun": 2 * steps,
                "maxcor": 30,
                "ftol": 1e-13,
                "gtol": 1e-7,
            },
        )
        mean, root = (np.asarray(a) for a in unpack(jnp.asarray(found.x), self.d, self.family))
        constant = np.log(np.diag(scale)).sum() + 0.5 * self.d * (LOG_2PI + 1.0)
        return shift + scale @ mean, scale @ root, float(constant - found.fun)


def fresh_elbo(
    log_density: Callable[[Any], Any], mean: np.ndarray, root: np.ndarray, n: int, seed: int
) -> tuple[float, float]:
    """Returns the ELBO from n independent draws of q, and its standard error.

    Two control variates of mean 0, the linear and the quadratic term of log p at q's mean, take away
    the noise of a log density that is nearly quadratic.
    """
    d = len(mean)
    batched = jax.jit(jax.vmap(log_density))
    whitened = lambda e: log_density(jnp.asarray(mean) + jnp.asarray(root) @ e)
    origin = jnp.zeros(d)
    slope = np.nan_to_num(np.asarray(jax.jit(jax.grad(whitened))(origin)))
    curvature = np.nan_to_num(np.asarray(jax.jit(jax.hessian(whitened))(origin)))
    rng, log_p, controls = np.random.default_rng(seed), [], []
    for _ in range(n // 8192):
        e = rng.standard_normal((8192, d))
        log_p.append(np.asarray(batched(jnp.asarray(mean + e @ root.T))))
        square = 0.5 * ((e @ curvature) * e).sum(1) - 0.5 * np.trace(curvature)
        controls.append(np.column_stack([e @ slope, square, 0.5 * (e**2).sum(1) - 0.5 * d]))
    values, terms = np.concatenate(log_p), np.concatenate(controls)
    centred = terms - terms.mean(0)
    coefficients = np.linalg.lstsq(centred, values - values.mean(), rcond=None)[0]
    values = values - terms @ coefficients
    entropy = 0.5 * d * (LOG_2PI + 1.0) + np.log(np.abs(np.diag(root))).sum()
    return float(values.mean() + entropy), float(values.std() / math.sqrt(len(values)))


def best(
    posterior: Posterior,
    family: Family,
    starts: list[tuple[np.ndarray, np.ndarray]],
    tell: Callable[[str], None],
) -> Fitted:
    """Returns the best fit of the family from several starting Gaussians (mean, root)."""
    objective, d = Objective(posterior, family), posterior.dimension
    coarse = draws(1 << (10 if d <= 12 else 11), d, 101)
    candidates = []
    for mean, root in starts:
        scale = np.diag(np.sqrt((root**2).sum(1))) if family == "mean" else root
        found = (mean, scale, -math.inf)
        for shrink in (1.0, 1.0):
            found = objective.minimise((found[0], shrink * found[1]), coarse, 300)
        candidates.append(found)
        tell(f"{family}: start {len(candidates)} reaches {found[2]:.4f}")
    mean, root, _ = max(candidates, key=lambda c: c[2])
    fine = draws(1 << 15, d, 202)
    for _ in range(2):
        mean, root, optimistic = objective.minimise((mean, root), fine, 400)
    elbo, error = fresh_elbo(posterior.log_density, mean, root, 1 << 18, 303)
    return Fitted(mean, root, elbo, error, optimistic, len(starts))
