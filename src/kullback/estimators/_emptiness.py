"""Where a log density of -inf means no mass, and where it is only too small for a float64."""

import numpy as np

from kullback.distributions._base import Array, Distribution
from kullback.distributions._compound import Mixture, Transformed, Truncated
from kullback.distributions._foreign import Foreign


def certainly_empty(q: Distribution, x: Array) -> np.ndarray:
    """Returns where q has no mass by its support, so that -inf is no underflow."""
    s = q.support
    outside = (x < s.low) | (x > s.high)
    match q:
        case Mixture():
            return np.logical_and.reduce([certainly_empty(c, x) for c in q.components])
        case Truncated():
            return outside | certainly_empty(q.base, x)
        case Foreign() if q.strict:
            return np.full(x.shape, fill_value=True)
        case Transformed():
            return outside | certainly_empty(q.base, q.pull(x))
        case _:
            return outside
