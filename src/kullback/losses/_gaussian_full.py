"""KL between Gaussians with full covariances, given by their Cholesky factors."""

from typing import TypeAlias

from jaxtyping import Float

from kullback._core.errors import InputError
from kullback.losses._gaussian import Array, as_array, expm1_minus, namespace

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
