"""Lines of equal density of the plane: marching squares, and the levels that hold given masses."""

import numpy as np
from jaxtyping import Float

#: The edges of a cell that the line joins, by which of its corners are high.
#: Corners and edges count from the lower left, against the clock; an edge starts at its corner.
_JOINS: dict[int, tuple[tuple[int, int], ...]] = {
    1: ((3, 0),), 2: ((0, 1),), 3: ((3, 1),), 4: ((1, 2),), 5: ((3, 2), (0, 1)), 6: ((0, 2),),
    7: ((3, 2),), 8: ((2, 3),), 9: ((2, 0),), 10: ((3, 0), (1, 2)), 11: ((2, 1),), 12: ((1, 3),),
    13: ((1, 0),), 14: ((0, 3),),
}  # fmt: skip
Points = tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]


def contour(
    x: Float[np.ndarray, " nx"],
    y: Float[np.ndarray, " ny"],
    z: Float[np.ndarray, "ny nx"],
    level: float,
) -> Points:
    """Returns the line z = level as pieces of two points, NaN between them."""
    corners = np.stack([z[:-1, :-1], z[:-1, 1:], z[1:, 1:], z[1:, :-1]])
    xs = np.broadcast_to(x, z.shape)
    ys = np.broadcast_to(y[:, None], z.shape)
    places = [np.stack([a[:-1, :-1], a[:-1, 1:], a[1:, 1:], a[1:, :-1]]) for a in (xs, ys)]
    kind = ((corners > level) * np.array([1, 2, 4, 8])[:, None, None]).sum(axis=0)
    pieces = []
    for code, joins in _JOINS.items():
        at = np.nonzero(kind == code)
        for start, stop in joins:
            ends = [_crossing(corners, places, e, at, level) for e in (start, stop)]
            gap = np.full_like(ends[0], np.nan)
            pieces.append(np.stack([ends[0], ends[1], gap], axis=2))
    joined = np.concatenate(pieces, axis=1).reshape(2, -1)
    return joined[0], joined[1]


def levels(z: Float[np.ndarray, "ny nx"], masses: tuple[float, ...]) -> list[float]:
    """Returns the densities above which these shares of the whole lie."""
    values = np.sort(z.ravel())[::-1]
    total = np.cumsum(values)
    index = np.searchsorted(total, np.array(masses) * total[-1]).clip(max=len(values) - 1)
    return [float(values[i]) for i in index]


def _crossing(
    corners: Float[np.ndarray, "4 n m"], places: list[Float[np.ndarray, "4 n m"]], edge: int,
    at: tuple[np.ndarray, ...], level: float,
) -> Float[np.ndarray, "2 c"]:  # fmt: skip
    """Returns where the level is crossed on an edge of the cells `at`."""
    a, b = edge, (edge + 1) % 4
    first, second = corners[a][at], corners[b][at]
    share = (level - first) / (second - first)
    return np.stack([p[a][at] + share * (p[b][at] - p[a][at]) for p in places])
