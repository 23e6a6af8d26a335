"""Log density of Gaussian mixtures as one matrix product, for NumPy and for traced JAX arrays.

Each component's log density is a quadratic in x, so that with the features [1, x, upper(x x')] of
n points all of them are one product (k, f) @ (f, n). Written against the array namespace: the
same lines serve NumPy/BLAS, JAX tracers and GPUs.
"""

import math
from typing import Any

import numpy as np

#: Rows at a time in NumPy: the features and the component densities stay in the cache.
CHUNK = 4096

#: An array of whichever namespace; no type says that.
Array = Any
#: Weights, means and Cholesky factors.
Mixture = tuple[Array, Array, Array]


def namespace(*arrays: Array) -> Any:
    """Returns jax.numpy if any array is a JAX array or tracer, otherwise NumPy."""
    for array in arrays:
        if type(array).__module__.partition(".")[0] in ("jax", "jaxlib"):
            return array.__array_namespace__()
    return np


def gaussian_mixture_log_prob(x: Array, weights: Array, means: Array, scale_trils: Array) -> Array:
    """Returns log sum_k w_k N(x_i; m_k, L_k L_k') for n points.

    Differentiable and traceable in every argument. Accurate while no mean lies more than some
    1e4 of its own sds from the mixture's mean; `GaussianMixture` guards that, this does not.

    Args:
        x: points (n, d).
        weights: (k,), positive.
        means: (k, d).
        scale_trils: (k, d, d), lower triangular.

    Example:
        >>> one = np.ones((1, 1))
        >>> gaussian_mixture_log_prob(np.zeros((1, 1)), np.ones(1), 0 * one, one[None])
        array([-0.91893853])
    """
    xp = namespace(x, weights, means, scale_trils)
    center = xp.sum(weights[:, None] * means, axis=0) / xp.sum(weights)
    table = coefficients(weights, means - center, scale_trils, xp)
    return log_sum_exp(table @ features((x - center).T, xp), xp)


def gaussian_mixture_kl(p: Mixture, q: Mixture, normals: Array) -> Array:
    """Returns an estimate of KL(p||q) between Gaussian mixtures, differentiable in every parameter.

    sum_k w_k mean_j [log p - log q](m_k + L_k z_j), over p's components k and fixed draws z_j: with the
    same z it is a smooth function of the parameters, so it may be traced, compiled and minimised.
    `kl_divergence` gives the same number with its error, for parameters that are numbers.

    Args:
        p, q: (weights (k,), means (k, d), scale_trils (k, d, d)).
        normals: draws of a standard normal (n, d), best scrambled Sobol points.

    Example:
        >>> one = (np.ones(1), np.zeros((1, 1)), np.ones((1, 1, 1)))
        >>> float(gaussian_mixture_kl(one, one, np.array([[-1.0], [1.0]])))
        0.0
    """
    weights, means, scale_trils = p
    xp = namespace(*p, *q, normals)
    total = 0.0
    for k in range(means.shape[0]):
        x = means[k] + normals @ scale_trils[k].T
        gap = gaussian_mixture_log_prob(x, *p) - gaussian_mixture_log_prob(x, *q)
        total = total + weights[k] * xp.mean(gap)
    return total


def coefficients(weights: Array, means: Array, scale_trils: Array, xp: Any) -> Array:
    """Returns the (k, f) coefficients of the features in each component's log joint density."""
    k, d = means.shape
    inverse = xp.linalg.inv(scale_trils)
    precision = xp.einsum("kji,kjl->kil", inverse, inverse)
    linear = xp.einsum("kij,kj->ki", precision, means)
    quadratic = xp.sum(linear * means, axis=1)
    log_det = xp.sum(xp.log(xp.diagonal(scale_trils, axis1=1, axis2=2)), axis=1)
    constant = xp.log(weights) - log_det - 0.5 * d * math.log(2.0 * math.pi) - 0.5 * quadratic
    rows, columns = np.triu_indices(d)
    halves = np.where(rows == columns, -0.5, -1.0)
    products = precision[:, rows, columns] * halves
    return xp.concatenate([xp.reshape(constant, (k, 1)), linear, products], axis=1)


def features(x: Array, xp: Any) -> Array:
    """Returns [1, x, upper(x x')] of n points given as (d, n), as (f, n)."""
    rows, columns = np.triu_indices(x.shape[0])
    return xp.concatenate([xp.ones_like(x[:1]), x, x[rows] * x[columns]], axis=0)


def log_sum_exp(logs: Array, xp: Any) -> Array:
    """Returns log sum_k exp(logs[k]) for (k, n); -inf where all are."""
    peak = xp.max(logs, axis=0)
    shift = xp.where(xp.isfinite(peak), peak, 0.0)
    return shift + xp.log(xp.sum(xp.exp(logs - shift), axis=0))
