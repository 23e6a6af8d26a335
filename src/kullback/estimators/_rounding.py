"""How far rounding may move a log density: what limits every sum of log ratios."""

import numpy as np
from jaxtyping import Float

from kullback.distributions._base import Array, Distribution
from kullback.distributions._compound import Mixture
from kullback.distributions._scalar import Scalar

_EPSILON = 2.0**-52


def rounding(
    d: Distribution, x: Array, log_prob: Float[np.ndarray, " n"]
) -> Float[np.ndarray, " n"]:
    """Returns a bound on the rounding error of log_prob at n points."""
    if isinstance(d, Scalar):
        return 8.0 * _EPSILON * (1.0 + d.magnitude(x))
    if isinstance(d, Mixture):
        parts = [rounding(c, x, log_prob) for c in d.components]
        # The component that matters at x is not the far one whose terms are large.
        closest = np.argmax([c.log_prob(x) for c in d.components], axis=0)
        return np.choose(closest, parts) + _EPSILON if len(parts) <= 32 else np.max(parts, axis=0)
    sizes = np.where(np.isfinite(log_prob), np.abs(log_prob), 0.0)
    return 8.0 * _EPSILON * (1.0 + sizes)
