"""Draws of a standard normal with its mean and covariance exactly, so that Gaussians are met exactly."""

import numpy as np
from jaxtyping import Float
from scipy import linalg, special, stats

#: Sobol points exist up to this many coordinates.
_SOBOL = stats.qmc.Sobol.MAXDIM


def whitened(d: int, n: int, rng: np.random.Generator) -> Float[np.ndarray, "n d"]:
    """Returns n (even) draws in pairs z, -z, row i and row i + n/2: mean 0 and, if n >= 2 d, covariance I."""
    half = n // 2
    if d <= _SOBOL:
        count = 1 << (half - 1).bit_length()
        u = stats.qmc.Sobol(d, rng=rng).random(count)[:half]
        z = special.ndtri(u.clip(1e-12, 1.0 - 1e-12))
    else:
        z = rng.standard_normal((half, d))
    if half >= d:
        root = np.linalg.cholesky(z.T @ z / half)
        z = linalg.solve_triangular(root, z.T, lower=True).T
    else:
        z /= np.sqrt(np.mean(z * z, axis=0))
    return np.concatenate([z, -z])
