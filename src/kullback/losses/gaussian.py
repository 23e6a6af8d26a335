"""KL between Gaussians: diagonal ones as encoders give them, full ones, and mixtures.

Written against the array namespace: the same lines serve NumPy, JAX tracers and torch, in the
caller's dtype.
"""

import math
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Float

from kullback.core.errors import InputError
from kullback.losses.arrays import Array, as_array, namespace, near_zero, small_excess

#: Mean and log variance, each (..., d); leading axes broadcast.
DiagonalGaussian: TypeAlias = tuple[Float[Array, "*#batch d"], Float[Array, "*#batch d"]]


def gaussian_kl(p: DiagonalGaussian, q: DiagonalGaussian | None = None) -> Float[Array, " *batch"]:
    """Returns KL(p||q) between diagonal Gaussians in nats, summed over the last axis.

    KL(p||q) = sum_j [ (m_pj - m_qj)^2 / v_qj + v_pj / v_qj - 1 - log(v_pj / v_qj) ] / 2

    It is a sum and is never divided by d: a mean over the latent axis is an unannounced beta = 1/d.
    In a variational autoencoder p is the encoder's q(z|x) and q the prior; without q it is N(0, I).
    No digits cancel where p is close to q. Differentiable in every argument.

    Args:
        p: (mean, log variance), each (..., d); a log variance is 2 log sd.
        q: the same; standard normal where not given. Leading axes broadcast.

    Raises:
        InputError: the last axes differ, or there is none.

    Example:
        >>> gaussian_kl((np.array([[1.0, 0.0], [3.0, 4.0]]), np.zeros((2, 2))))
        array([ 0.5, 12.5])

    Source:
        Kingma and Welling, "Auto-Encoding Variational Bayes" (2014), appendix B.
    """
    per_dimension = gaussian_kl_per_dimension(p, q)
    return namespace(per_dimension).sum(per_dimension, axis=-1)


def gaussian_kl_per_dimension(
    p: DiagonalGaussian, q: DiagonalGaussian | None = None
) -> Float[Array, "*batch d"]:
    """Returns what each coordinate adds to KL(p||q) between diagonal Gaussians, in nats.

    KL_j = [ (m_pj - m_qj)^2 / v_qj + v_pj / v_qj - 1 - log(v_pj / v_qj) ] / 2 >= 0

    Args:
        p: (mean, log variance), each (..., d).
        q: the same; standard normal where not given.

    Raises:
        InputError: the last axes differ, or there is none.

    Example:
        >>> gaussian_kl_per_dimension((np.array([1.0, 0.0]), np.log([1.0, 4.0]))).round(4)
        array([0.5   , 0.8069])

    Source:
        Kingma and Welling, "Auto-Encoding Variational Bayes" (2014), appendix B.
    """
    pair = p if q is None else (*p, *q)
    xp = namespace(*pair)
    arrays = [as_array(array, xp) for array in pair]
    _same_last_axis(arrays)
    with np.errstate(over="ignore"):  # a KL beyond the dtype is inf
        if q is None:
            mean, log_variance = arrays
            return 0.5 * (mean**2 + expm1_minus(log_variance, xp))
        mean, log_variance, q_mean, q_log_variance = arrays
        standardized = (mean - q_mean) * xp.exp(-0.5 * q_log_variance)
        return 0.5 * (standardized**2 + expm1_minus(log_variance - q_log_variance, xp))


def expm1_minus(t: Array, xp: Any) -> Array:
    """exp(t) - 1 - t >= 0, with its digits near 0, and its gradient everywhere."""
    near = near_zero(t, xp)
    return xp.where(near, small_excess(xp.where(near, t, 0.0), xp), xp.expm1(t) - t)


def _same_last_axis(arrays: list[Array]) -> None:
    shapes = [tuple(array.shape) for array in arrays]
    if any(not shape or shape[-1] != shapes[0][-1] for shape in shapes):
        names = ("mean", "log variance", "mean of q", "log variance of q")
        given = ", ".join(f"{n} {s}" for n, s in zip(names, shapes, strict=False))
        raise InputError(
            f"means and log variances must agree in their last axis, the latent one; got {given}. "
            "For one variance in all coordinates pass log_variance + 0 * mean"
        )


# KL between Gaussians with full covariances, given by their Cholesky factors.

#: Mean (..., d) and lower Cholesky factor of the covariance (..., d, d).
FullGaussian: TypeAlias = tuple[Float[Array, "*#batch d"], Float[Array, "*#batch d d"]]


def full_gaussian_kl(p: FullGaussian, q: FullGaussian | None = None) -> Float[Array, " *batch"]:
    """Returns KL(p||q) between Gaussians with full covariances L L', in nats.

    KL(p||q) = [ |z|^2 + |A|^2 - d ] / 2 - sum_j log A_jj,  A = L_q^-1 L_p,  z = L_q^-1 (m_p - m_q)

    Summed as off-diagonal squares and exp(t) - 1 - t of t = log A_jj^2, so that no digits cancel where p is
    close to q.

    Args:
        p: (mean, Cholesky factor): (..., d) and (..., d, d), lower with a positive diagonal.
        q: the same; standard normal where not given.

    Raises:
        InputError: the shapes do not fit.

    Example:
        >>> import numpy as np
        >>> root = np.array([[1.0, 0.0], [0.6, 0.8]])
        >>> round(float(full_gaussian_kl((np.zeros(2), root))), 6)  # -log(1 - 0.6**2) / 2
        0.223144

    Source:
        Kullback, "Information Theory and Statistics" (1959), chapter 9.
    """
    pair = p if q is None else (*p, *q)
    xp = namespace(*pair)
    mean, root, *other = (as_array(array, xp) for array in pair)
    if root.shape[-2:] != (mean.shape[-1],) * 2 or (
        other and other[1].shape[-2:] != root.shape[-2:]
    ):
        shapes = ", ".join(str(tuple(a.shape)) for a in (mean, root, *other))
        raise InputError(f"means must be (..., d) and Cholesky factors (..., d, d); got {shapes}")
    if other:
        mean = xp.linalg.solve(other[1], (mean - other[0])[..., None])[..., 0]
        root = xp.linalg.solve(other[1], root)
    diagonal = xp.einsum("...ii->...i", root)
    below = xp.tril(root, -1)
    widths = xp.sum(expm1_minus(2.0 * xp.log(diagonal), xp), axis=-1)
    return 0.5 * (widths + xp.sum(mean**2, axis=-1) + xp.sum(below**2, axis=(-2, -1)))


# Mixtures of Gaussians, for NumPy and JAX. Each component's log density is a quadratic in x, so that with the features
# [1, x, upper(x x')] of n points all of them are one product (k, f) @ (f, n).

#: Weights, means and Cholesky factors.
GaussianMixtureArrays: TypeAlias = tuple[Array, Array, Array]


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
    return _log_sum_exp(table @ _features((x - center).T, xp), xp)


def gaussian_mixture_kl(
    p: GaussianMixtureArrays, q: GaussianMixtureArrays, normals: Array
) -> Array:
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


def _features(x: Array, xp: Any) -> Array:
    """Returns [1, x, upper(x x')] of n points given as (d, n), as (f, n)."""
    rows, columns = np.triu_indices(x.shape[0])
    return xp.concatenate([xp.ones_like(x[:1]), x, x[rows] * x[columns]], axis=0)


def _log_sum_exp(logs: Array, xp: Any) -> Array:
    """Returns log sum_k exp(logs[k]) for (k, n); -inf where all are."""
    peak = xp.max(logs, axis=0)
    shift = xp.where(xp.isfinite(peak), peak, 0.0)
    return shift + xp.log(xp.sum(xp.exp(logs - shift), axis=0))
