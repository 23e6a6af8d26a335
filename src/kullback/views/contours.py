"""Lines of equal density of the plane: marching squares, and the levels that hold given masses."""

import numpy as np
from jaxtyping import Float

#: The sides of a cell that the line joins, by which of its corners are high, which stay on its left.
#: Corners and sides count from the lower left, against the clock; a side starts at its corner.
_JOINS: dict[int, tuple[tuple[int, int], ...]] = {
    1: ((0, 3),), 2: ((1, 0),), 3: ((1, 3),), 4: ((2, 1),), 5: ((0, 3), (2, 1)), 6: ((2, 0),),
    7: ((2, 3),), 8: ((3, 2),), 9: ((0, 2),), 10: ((1, 0), (3, 2)), 11: ((1, 2),), 12: ((3, 1),),
    13: ((0, 1),), 14: ((3, 0),),
}  # fmt: skip
#: Row, column and whether it is upright.
Edge = tuple[int, int, int]
Points = tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]


def contour(
    x: Float[np.ndarray, " nx"],
    y: Float[np.ndarray, " ny"],
    z: Float[np.ndarray, "ny nx"],
    level: float,
) -> Points:
    """Returns the lines z = level, one after the other, NaN between them."""
    joins, places = _segments(x, y, z, level)
    parts = []
    for chain in _chains(joins):
        parts.append(np.array([places[e] for e in chain]))
        parts.append(np.full((1, 2), np.nan))
    if not parts:
        return np.empty(0), np.empty(0)
    joined = np.concatenate(parts)
    return joined[:, 0], joined[:, 1]


def levels(z: Float[np.ndarray, "ny nx"], masses: tuple[float, ...]) -> list[float]:
    """Returns the densities above which these shares of the whole lie."""
    values = np.sort(z.ravel())[::-1]
    total = np.cumsum(values)
    index = np.searchsorted(total, np.array(masses) * total[-1]).clip(max=len(values) - 1)
    return [float(values[i]) for i in index]


def _segments(
    x: Float[np.ndarray, " nx"],
    y: Float[np.ndarray, " ny"],
    z: Float[np.ndarray, "ny nx"],
    level: float,
) -> tuple[list[tuple[Edge, Edge]], dict[Edge, tuple[float, float]]]:
    """Returns which edges of the grid are joined, and where the level is crossed on each."""
    high = z > level
    kind = high[:-1, :-1] + 2 * high[:-1, 1:] + 4 * high[1:, 1:] + 8 * high[1:, :-1]
    joins, places = [], {}
    for i, j in np.argwhere((kind > 0) & (kind < 15)).tolist():
        for start, stop in _JOINS[int(kind[i, j])]:
            pair = _edge(i, j, start), _edge(i, j, stop)
            joins.append(pair)
            for edge in pair:
                if edge not in places:
                    places[edge] = _crossing(x, y, z, level, edge)
    return joins, places


def _edge(i: int, j: int, side: int) -> Edge:
    """Returns the edge of the grid that is this side of cell (i, j)."""
    return ((i, j, 0), (i, j + 1, 1), (i + 1, j, 0), (i, j, 1))[side]


def _crossing(
    x: Float[np.ndarray, " nx"],
    y: Float[np.ndarray, " ny"],
    z: Float[np.ndarray, "ny nx"],
    level: float,
    edge: Edge,
) -> tuple[float, float]:
    i, j, upright = edge
    k, m = (i + 1, j) if upright else (i, j + 1)
    share = float((level - z[i, j]) / (z[k, m] - z[i, j]))
    return float(x[j] + share * (x[m] - x[j])), float(y[i] + share * (y[k] - y[i]))


def _chains(joins: list[tuple[Edge, Edge]]) -> list[list[Edge]]:
    """Returns the lines that segments make up: each ends where it began or at the border."""
    after = dict(joins)
    starts = [a for a in after if a not in set(after.values())]
    chains = []
    for start in [*starts, *list(after)]:
        chain = [start]
        while chain[-1] in after:
            chain.append(after.pop(chain[-1]))
        if len(chain) > 1:
            chains.append(chain)
    return chains
