"""Where a density has its middle, falls off, and is not smooth: where panels are narrow."""

import numpy as np
from jaxtyping import Float

from kullback.distributions.base import Array, Distribution, Foreign
from kullback.distributions.compound import Mixture, Transformed, Truncated


def centers(d: Distribution) -> list[float]:
    """Returns the middle of each component of a scalar: panels are narrow around each where it is narrow."""
    match d:
        case Mixture():
            return [c for part in d.components for c in centers(part)]
        case Transformed():
            return [float(c) for c in d.push(np.array(centers(d.base)))]
        case _:
            marks = d.landmarks()
            return [float(marks[len(marks) // 2])] if len(marks) else []


#: Where the outermost quantiles are this close to each other, as a share of their distance from the middle.
_STEEP = 0.05


def shoulders(d: Distribution) -> list[float]:
    """Returns the landmarks next to the outermost of each component: it may fall off far faster than it is wide."""
    match d:
        case Mixture():
            return [c for part in d.components for c in shoulders(part)]
        case Transformed():
            return [float(c) for c in d.push(np.array(shoulders(d.base)))]
        case _:
            marks = d.landmarks()
            if len(marks) < 5:
                return []
            steps, reach = np.diff(marks)[[0, -1]], np.abs(marks[[0, -1]] - np.median(marks))
            return [float(v) for v in marks[[1, -2]][steps < _STEEP * reach]]


# Where a density is not smooth.

#: A slope or a curvature that jumps bends this many times more than what is around it, at every scale.
_JUMP = 30.0
_ZOOMS, _GRID = 7, 48


def kinks(d: Distribution) -> Array:
    """Returns where a density jumps, or the slope of one that is not ours: a panel's two rules may both miss it."""
    match d:
        case Mixture():
            ends = [end for c in d.components for end in (c.support.low, c.support.high)]
            return np.concatenate([np.array(ends), *(kinks(c) for c in d.components)])
        case Transformed():
            return d.push(kinks(d.base))
        case Truncated():
            return kinks(d.base)
        case Foreign() if not d.ours and not d.support.discrete:
            return _foreign_kinks(d)
        case _:
            return np.zeros(0)


def _foreign_kinks(d: Foreign) -> Array:
    if "_kinks" not in vars(d):
        marks, found = np.unique(d.landmarks()), []
        if len(marks) > 1:
            # Neighbours overlap: a kink at a landmark is one already.
            grids = np.linspace(marks[:-1], marks[1:], _GRID, axis=1)
            values = np.reshape(_seen(d, grids.ravel()), grids.shape)
            chosen = _may_jump(values)
            rows = zip(grids[chosen], values[chosen], strict=True)
            found = [place for x, row in rows for place in _jumps(d, x, row, _ZOOMS)]
            found += _edges(d, np.unique(grids))
        vars(d)["_kinks"] = np.array(sorted({*found, *d.hints}), dtype=np.float64)
    return vars(d)["_kinks"]


def _seen(d: Distribution, x: Array) -> Array:
    with np.errstate(all="ignore"):
        return d.log_prob(x)


def _may_jump(values: Float[np.ndarray, "k m"]) -> np.ndarray:
    """Which rows hold a second or third difference that stands out as much as `_jumps` asks."""
    rows = np.all(np.isfinite(values), axis=1)
    known = np.where(np.isfinite(values), values, 0.0)
    size = 20e-14 * (np.max(np.abs(known), axis=1) + 1.0)
    bends = [np.abs(np.diff(known, n=order, axis=1)) for order in (2, 3)]
    outstanding = [np.max(b, axis=1) >= _JUMP * np.median(b, axis=1) + size for b in bends]
    return rows & (outstanding[0] | outstanding[1])


def _jumps(d: Distribution, x: Array, values: Array, zooms: int) -> list[float]:
    size = 1e-14 * float(np.abs(values).max() + 1.0)
    # The slope jumps where second differences stand out, the curvature where third ones do.
    for order in (2, 3):
        if not np.isfinite(values).all() or len(values) < 12:
            return []
        bends = np.abs(np.diff(values, n=order))
        at = int(np.argmax(bends))
        # A pole of the log at an end bends most at the edge of the grid.
        edge = order == 3 and at in (0, len(bends) - 1)
        if edge or bends[at] < _JUMP * float(np.median(bends)) + 20.0 * size:
            continue
        low, high = x[max(at - 1, 0)], x[min(at + order + 1, len(x) - 1)]
        if zooms == 0 or high - low < 1e-9 * max(abs(low), abs(high), 1e-300):
            return [float(x[at + 1])]
        closer = np.linspace(low, high, _GRID)
        return _jumps(d, closer, _seen(d, closer), zooms - 1) or (
            [0.5 * float(low + high)] if order == 3 else []
        )
    return []


def _edges(d: Distribution, x: Array) -> list[float]:
    """Where a density becomes 0 at once, by bisection."""
    with np.errstate(all="ignore"):
        empty = np.isneginf(d.log_prob(x))
        at = np.flatnonzero(empty[1:] != empty[:-1])
        low, high, left = x[at], x[at + 1], empty[at]
        for _ in range(60 if len(at) else 0):
            middle = 0.5 * (low + high)
            same = np.isneginf(d.log_prob(middle)) == left
            low, high = np.where(same, middle, low), np.where(same, high, middle)
    return [float(v) for v in high]
