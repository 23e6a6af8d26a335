"""KL between diagonal Gaussians given by mean and log variance, as encoders give them.

Written against the array namespace: the same lines serve NumPy, JAX tracers and torch, in the
caller's dtype.
"""

import math
import sys
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Float

from kullback.core.errors import InputError
from kullback.losses.mixture import namespace as mixture_namespace

#: An array of whichever namespace; no type says that.
Array: TypeAlias = Any
#: Mean and log variance, each (..., d); leading axes broadcast.
DiagonalGaussian: TypeAlias = tuple[Float[Array, "*#batch d"], Float[Array, "*#batch d"]]

#: Below this |t| exp(t) - 1 - t is summed as its series, to t^9; both sides then keep 4e-15.
_NEAR = 0.1
_SERIES = tuple(1.0 / math.factorial(n) for n in range(9, 1, -1))


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


def namespace(*arrays: Array) -> Any:
    """Returns torch if any array is a tensor, jax.numpy if any is JAX's, otherwise NumPy."""
    for array in arrays:
        if type(array).__module__.partition(".")[0] == "torch":
            return sys.modules["torch"]
    return mixture_namespace(*arrays)


def as_array(array: Array, xp: Any) -> Array:
    """Returns lists and the like as arrays; tensors as they are, with their gradient."""
    return array if hasattr(array, "detach") else xp.asarray(array)


def expm1_minus(t: Array, xp: Any) -> Array:
    """exp(t) - 1 - t >= 0, with its digits near 0, and its gradient everywhere."""
    near = xp.abs(t) < _NEAR
    small = xp.where(near, t, 0.0)
    series = _SERIES[0] * small
    for coefficient in _SERIES[1:-1]:
        series = (series + coefficient) * small
    series = (series + _SERIES[-1]) * small**2
    return xp.where(near, series, xp.expm1(t) - t)


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
