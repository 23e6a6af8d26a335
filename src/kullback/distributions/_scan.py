"""Where the mass of an unknown density on the line lies, found by looking."""

import math
from collections.abc import Callable

import numpy as np
from jaxtyping import Float

Density = Callable[[np.ndarray], np.ndarray]

#: How far below the peak, in nats, a point still counts as carrying mass.
_DROP = 60.0


def scan(
    log_prob: Density, low: float, high: float, hints: Float[np.ndarray, " h"]
) -> Float[np.ndarray, " m"]:
    """Returns points around every mode that a grid over all scales finds.

    The grid is dense around 0 (or the middle, or the ends) and geometric outwards; each local
    maximum is refined and surrounded by points at geometric distances, out to where the density
    has dropped by 60 nats.
    """
    grid = np.unique(np.concatenate([_grid(low, high), hints]))
    values = log_prob(grid)
    modes = [_climb(log_prob, *grid[_around(i, len(grid))]) for i in _maxima(values)]
    points = [_halo(log_prob, m, low, high) for m in modes]
    found = np.concatenate([hints, *points]) if points else hints
    return np.unique(found[(found > low) & (found < high)])


def _grid(low: float, high: float) -> np.ndarray:
    steps = np.concatenate([np.linspace(0.0, 4.0, 81)[1:], np.geomspace(4.0, 1e12, 600)[1:]])
    small = np.geomspace(1e-12, 0.05, 100)
    if math.isfinite(low) and math.isfinite(high):
        width = high - low
        inner = np.linspace(low, high, 402)[1:-1]
        return np.unique(np.concatenate([low + width * small / 2, inner, high - width * small / 2]))
    out = np.concatenate([small, steps])
    if math.isfinite(low):
        return low + out
    if math.isfinite(high):
        return high - out[::-1]
    return np.concatenate([-out[::-1], [0.0], out])


def _maxima(values: np.ndarray) -> list[int]:
    """Indices of local maxima within the drop of the highest, plateaus once."""
    padded = np.concatenate([[-math.inf], values, [-math.inf]])
    peak = (padded[1:-1] > padded[:-2]) & (padded[1:-1] >= padded[2:])
    peak &= values > values.max() - 10.0 * _DROP
    order = [int(i) for i in np.flatnonzero(peak)]
    return sorted(order, key=lambda i: -values[i])[:50]


def _around(i: int, n: int) -> list[int]:
    return [max(i - 1, 0), i, min(i + 1, n - 1)]


def _climb(log_prob: Density, low: float, middle: float, high: float) -> float:
    """Returns the mode between low and high, by a shrinking grid."""
    for _ in range(40):
        x = np.unique(np.concatenate([np.linspace(low, high, 17), [middle]]))
        i = int(np.argmax(log_prob(x)))
        low, middle, high = (float(v) for v in x[_around(i, len(x))])
        if high - low <= 1e-9 * max(abs(middle), 1e-300):
            break
    return middle


def _halo(log_prob: Density, mode: float, low: float, high: float) -> np.ndarray:
    """Returns the mode and points on both sides, out to the drop."""
    peak = float(log_prob(np.array([mode]))[0])
    if not math.isfinite(peak):
        return np.array([mode])
    distance = np.geomspace(max(abs(mode), 1.0) * 1e-15, 1e15 * max(abs(mode), 1.0), 121)
    kept = [np.array([mode])]
    for sign, end in ((1.0, high), (-1.0, low)):
        x = mode + sign * distance
        x = x[(x < end) if sign > 0 else (x > end)]
        if not len(x):
            continue
        fallen = peak - log_prob(x)
        near = np.searchsorted(np.maximum.accumulate(fallen), [1e-3, _DROP])
        kept.append(x[max(near[0] - 1, 0) : near[1] + 1])
    return np.concatenate(kept)
