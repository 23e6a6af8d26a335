"""Parameters as exact numbers, and the small distributions that every library needs."""

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
from jaxtyping import Float
from mpmath import mp
from scipy import linalg

from kullback._core.errors import InputError, UnsupportedError
from kullback.distributions._base import Array, Distribution, Support
from kullback.distributions._compound import Mixture, Product
from kullback.distributions._counting import Chance, Geometric
from kullback.distributions._foreign import Foreign
from kullback.distributions._gaussian_mixture import GaussianMixture
from kullback.distributions._real import Normal
from kullback.distributions._statistics import Real
from kullback.distributions._vector import Categorical, MultivariateNormal

#: Probabilities whose sum is this close to 1 are kept as given.
_SUM = 1e-12
#: A discrete uniform with more outcomes is kept as a formula, not a table.
_TABLE = 1_000_000
#: Exact numbers with more bits than this would slow everything down.
_DIGITS = 50


def nearest(value: Fraction | float) -> float:
    """Returns the float64 nearest to an exact number: the only place where one is rounded."""
    return float(value)


def kept(value: Fraction) -> Real:
    """Returns an exact number as the float64 that it is, or as it is if it is none."""
    return float(value) if Fraction(float(value)) == value else value


def positive_fraction(value: float, what: str) -> Fraction:
    """Returns a positive, finite number as a fraction, so that 1/value is not rounded."""
    if not 0.0 < value < math.inf:
        raise InputError(f"{what} must be positive and finite, got {value}")
    return Fraction(value)


def logarithm(value: Real) -> Fraction:
    """Returns log(value) to 50 digits; value is positive."""
    with mp.workdps(_DIGITS):
        exact = Fraction(value)
        log = mp.log(mp.mpf(exact.numerator) / exact.denominator)
        return Fraction(int(mp.nint(log * 2**200)), 2**200)


def log_odds(name: str, value: float) -> float:
    """Returns the log odds of a parameter that is a probability or is log odds already."""
    if name == "logits":
        return value
    if not 0.0 < value < 1.0:
        raise InputError(f"a probability must be inside (0, 1) here, got {value}")
    return nearest(logarithm(Fraction(value) / (1 - Fraction(value))))


def chance(name: str, value: float) -> Chance:
    """Returns a probability, as it was given."""
    return Chance(logit=value) if name == "logits" else Chance(probability=value)


def categorical(
    name: str, values: Float[np.ndarray, " k"], *, one_hot: bool = False
) -> Categorical:
    """Returns a Categorical from the parameter `probs` or `logits`."""
    if name == "logits":
        if np.isnan(values).any() or (values == np.inf).any() or np.isneginf(values).all():
            raise InputError(f"Categorical: logits must be numbers below infinity, got {values}")
        return Categorical.from_logits(values, one_hot=one_hot)
    return Categorical.from_probabilities(probabilities(values, "Categorical"), one_hot=one_hot)


def probabilities(values: Float[np.ndarray, " k"], what: str) -> Float[np.ndarray, " k"]:
    """Returns probabilities that sum to 1; the sum of float32 ones is off by 1e-8."""
    if not (np.isfinite(values).all() and (values >= 0.0).all() and values.any()):
        raise InputError(f"{what}: probabilities must be non-negative and finite, got {values}")
    total = math.fsum(values)
    return values if abs(total - 1.0) < _SUM else values / total


def point(value: float, what: str) -> Distribution:
    """Returns the point mass at an integer.

    Raises:
        UnsupportedError: the value is not an integer.
    """
    if value != math.floor(value):
        raise UnsupportedError(
            f"{what} is a point mass at {value}: the KL from a point mass to a continuous q is "
            "infinite; use -q.log_prob(value) if that is what is wanted"
        )
    return Geometric(Chance(probability=1.0), value)


def integers(low: float, high: float) -> Distribution:
    """Returns the uniform distribution on low, low + 1, ..., high."""
    if not (low == math.floor(low) and high == math.floor(high) and low <= high):
        raise InputError(f"a discrete uniform needs integers low <= high, got {low} and {high}")
    count = high - low + 1.0
    if low == 0.0 and count <= _TABLE:
        return Categorical.from_logits(np.zeros(int(count)))

    def density(x: Array) -> Array:
        inside = (x >= low) & (x <= high) & (x == np.floor(x))
        return np.where(inside, -math.log(count), -math.inf)

    return Foreign(
        f"the uniform distribution on {low:g}, ..., {high:g}",
        Support("integers", low, high),
        density,
        sampler=lambda rng, n: rng.integers(int(low), int(high) + 1, n).astype(np.float64),
        inverse=lambda u: low + np.minimum(np.floor(u * count), count - 1.0),
        strict=True,
    )


def tril_of_precision(precision: Float[np.ndarray, "d d"]) -> Float[np.ndarray, "d d"]:
    """Returns the Cholesky factor of the inverse of a positive-definite matrix."""
    flipped = cholesky(precision[::-1, ::-1], "the precision matrix")[::-1, ::-1]
    return linalg.solve_triangular(flipped.T, np.eye(len(precision)), lower=True)


def cholesky(matrix: Float[np.ndarray, "d d"], what: str) -> Float[np.ndarray, "d d"]:
    """Returns the Cholesky factor. Raises InputError unless the matrix is positive definite."""
    try:
        return np.linalg.cholesky(matrix)
    except np.linalg.LinAlgError:
        low = float(np.linalg.eigvalsh(matrix)[0])
        raise InputError(
            f"{what} must be positive definite; its smallest eigenvalue is {low:.3g}"
        ) from None


def product(parts: Sequence[Distribution], what: str) -> Distribution:
    """Returns independent parts side by side, nested products unpacked."""
    if not parts:
        raise InputError(f"{what} has no coordinates")
    unpacked = [q for p in parts for q in (p.parts if isinstance(p, Product) else (p,))]
    return Product(tuple(unpacked))


def mixture(weights: Float[np.ndarray, " k"], components: Sequence[Any]) -> Distribution:
    """Returns a mixture, of Gaussian vectors as one object."""
    weights = probabilities(weights, "Mixture")
    if len(components) == 1:
        return components[0]
    gaussians = [_gaussian_vector(c) for c in components]
    known = [g for g in gaussians if g is not None]
    if len(known) < len(components) or len({len(loc) for loc, _ in known}) > 1:
        return Mixture(weights, tuple(components))
    means = np.stack([loc for loc, _ in known])
    return GaussianMixture(weights, means, np.stack([root for _, root in known]))


def _gaussian_vector(p: Distribution) -> tuple[Array, Array] | None:
    """The mean and Cholesky factor of a Gaussian vector; None for anything else."""
    if isinstance(p, MultivariateNormal):
        return p.loc, p.scale_tril
    if isinstance(p, Product) and all(isinstance(part, Normal) for part in p.parts):
        normals: Any = p.parts
        return np.array([n.loc for n in normals]), np.diag([float(n.scale) for n in normals])
    return None
