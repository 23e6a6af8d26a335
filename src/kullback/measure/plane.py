"""The KL of an unnormalised density in the plane, by sums over a rectangle that holds its mass."""

import math

import numpy as np
from jaxtyping import Float

from kullback.distributions.base import Distribution
from kullback.losses.divergences import forward_kl
from kullback.results.estimate import Outcome, unresolved
from kullback.results.fit import Direction

_METHOD = "plane sums"
#: Points along an axis; of p's rectangle a quarter more on each side is summed over.
SIDE = 321
_WIDER = 1.5


def rectangle(
    p: Distribution, center: Float[np.ndarray, " 2"], reach: Float[np.ndarray, " 2"], side: int
) -> tuple[Float[np.ndarray, "n 2"], Float[np.ndarray, " n"]]:
    """Returns the points of a grid about a center, `side` along each axis, and p's log density there."""
    axes = [np.linspace(c - r, c + r, side) for c, r in zip(center, reach, strict=True)]
    x = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(axes))
    return x, p.log_prob(x)


def kl(
    p: Distribution,
    q: Distribution,
    low: Float[np.ndarray, " 2"],
    high: Float[np.ndarray, " 2"],
    direction: Direction,
) -> Outcome:
    """Returns KL(p||q) or KL(q||p), p being unnormalised, with its mass between two corners.

    The error is the distance from the same sum over every other point.
    """
    center, reach = 0.5 * (low + high), 0.5 * _WIDER * (high - low)
    values = []
    for side in (SIDE, SIDE // 2 + 1):
        x, log_p = rectangle(p, center, reach, side)
        cell = math.log(float(np.prod(2.0 * reach / (side - 1))))
        log_p = log_p - np.logaddexp.reduce(log_p) - cell
        log_q = q.log_prob(x)
        terms = forward_kl(log_p, log_q) if direction == "forward" else forward_kl(log_q, log_p)
        mass = np.exp((log_p if direction == "forward" else log_q) + cell).sum()
        values.append((float(terms.sum()) * math.exp(cell), float(mass)))
    (value, mass), (coarse, _) = values
    if direction == "reverse" and abs(mass - 1.0) > 1e-4:
        return unresolved(value, f"{1.0 - mass:.2g} of q's mass is off the rectangle", _METHOD)
    if value < -abs(value - coarse) - 1e-9:
        return unresolved(value, "p's mass does not end within any rectangle tried", _METHOD)
    error = abs(value - coarse) + abs(mass - 1.0) * (1.0 + abs(value)) * 10.0 + 1e-12
    return Outcome(value, error, "numeric", _METHOD, SIDE * SIDE)
