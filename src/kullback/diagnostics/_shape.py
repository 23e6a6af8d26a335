"""The shape of a density of the line: its modes and the valleys between them."""

import itertools
import math

import numpy as np
from jaxtyping import Float

from kullback.distributions._base import Distribution
from kullback.solvers._quadrature import fill

#: A dip between two modes counts as a valley if the density halves there.
_DIP = math.log(2.0)


def grid(*densities: Distribution) -> Float[np.ndarray, " n"]:
    """Returns points dense enough to see every mode of the densities."""
    points = []
    for d in densities:
        s = d.support
        marks = fill(d.landmarks(), s.low, s.high)
        points += [np.linspace(a, b, 12) for a, b in itertools.pairwise(marks)]
        points.append(marks)
    return np.unique(np.concatenate(points))


def modes_and_valleys(
    p: Distribution,
) -> tuple[Float[np.ndarray, " m"], Float[np.ndarray, " v"]]:
    """Returns the modes of p and the lowest points between neighbours."""
    x = grid(p)
    height = p.log_prob(x)
    peaks = [int(i) for i in range(len(x)) if _is_peak(height, i)]
    modes: list[int] = []
    valleys: list[int] = []
    for i in peaks:
        if not modes:
            modes.append(i)
            continue
        between = modes[-1] + int(np.argmin(height[modes[-1] : i + 1]))
        deep = height[between] < min(height[modes[-1]], height[i]) - _DIP
        if deep:
            modes.append(i)
            valleys.append(between)
        elif height[i] > height[modes[-1]]:
            modes[-1] = i
    worth = height[modes] > height.max() - 12.0
    kept = [m for m, w in zip(modes, worth, strict=True) if w]
    return x[kept], x[[v for v, w in zip(valleys, worth[1:], strict=True) if w]]


def crossings(p: Distribution, q: Distribution) -> Float[np.ndarray, " c"]:
    """Returns where p and q are equal."""
    x = grid(p, q)
    with np.errstate(invalid="ignore"):
        ratio = p.log_prob(x) - q.log_prob(x)
    seen = np.isfinite(ratio) & (p.log_prob(x) > p.log_prob(x).max() - 30.0)
    x, ratio = x[seen], ratio[seen]
    at = np.flatnonzero(np.sign(ratio[1:]) * np.sign(ratio[:-1]) < 0)
    share = ratio[at] / (ratio[at] - ratio[at + 1])
    return x[at] + share * (x[at + 1] - x[at])


def _is_peak(height: np.ndarray, i: int) -> bool:
    left = height[i - 1] if i > 0 else -math.inf
    right = height[i + 1] if i + 1 < len(height) else -math.inf
    return bool(height[i] > left and height[i] >= right and math.isfinite(height[i]))
