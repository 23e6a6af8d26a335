"""A Gaussian or mixture of the unconstrained coordinates as a distribution of the user's parameters."""

import numpy as np

from kullback.distributions._approximation import Approximation
from kullback.distributions._base import Distribution
from kullback.distributions._gaussian_mixture import GaussianMixture
from kullback.distributions._vector import MultivariateNormal
from kullback.fitting._gaussians import member
from kullback.fitting._natural_gradient import Gaussians
from kullback.targets import Unconstrained


def named(target: Unconstrained, q: Gaussians) -> Distribution:
    """Returns q in the user's parameters."""
    if target.plain is not None:
        base = flat(q)
        mixture = base if isinstance(base, GaussianMixture) else _single(base)
        return member(mixture, scalar=target.plain == "scalar")
    return Approximation(
        flat(q),
        target.constrain,
        target.log_jacobian,
        target.unconstrain,
        target.coordinates,
        target.bare,
        target.layout,
    )


def _single(base: MultivariateNormal) -> GaussianMixture:
    return GaussianMixture(np.ones(1), base.loc[None], base.scale_tril[None])


def flat(q: Gaussians) -> MultivariateNormal | GaussianMixture:
    """Returns q over the unconstrained coordinates."""
    roots = [np.diag(r) for r in q.roots] if q.diagonal else [_lower(r) for r in q.roots]
    if len(roots) == 1:
        return MultivariateNormal(q.means[0], roots[0])
    order = np.lexsort(q.means.T[::-1])
    weights = q.weights / q.weights.sum()
    return GaussianMixture(weights[order], q.means[order], np.array(roots)[order])


def _lower(root: np.ndarray) -> np.ndarray:
    """The lower triangular root of the same covariance, by a QR: no square of the condition."""
    upper: np.ndarray = np.linalg.qr(root.T)[1]
    return (upper * np.sign(np.diag(upper))[:, None]).T
