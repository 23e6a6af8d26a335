"""Rows shared out to components, to start from: by k-means in some metric, or around random rows."""

from typing import Literal

import numpy as np
from jaxtyping import Float

from kullback._core.errors import InputError

Kind = Literal["scaled", "white", "spread", "column", "points"]
#: The kinds of the first starts: no kind is the best for all data.
FIRST: tuple[Kind, ...] = ("scaled", "white", "points", "spread", "column", "scaled")
_LLOYD = 8
#: Centres that move less are at their ends.
_STILL = 1e-3


def shares_of(
    kind: Kind,
    points: dict[bool, Float[np.ndarray, "c n"]],
    weights: Float[np.ndarray, " n"],
    k: int,
    rng: np.random.Generator,
) -> Float[np.ndarray, "k n"]:
    """Returns the shares of rows in k components.

    Args:
        kind: "scaled" for k-means of columns scaled by their quartiles, "spread" by their sds, "white" of
            uncorrelated ones, "column" of a random one; "points" for the nearest of random rows.
        points: the rows, as columns, as they are (False) and made uncorrelated (True).
        weights: of the rows.
        k: components.
        rng: randomness.

    Raises:
        InputError: there are fewer distinct rows than components.
    """
    z = points[kind in ("white", "points")]
    if kind == "points":
        marks = rng.random(k) * weights.sum()
        at = np.searchsorted(np.cumsum(weights), marks)
        return _nearest(z, z[:, np.minimum(at, len(weights) - 1)])
    if kind == "spread":
        z = z / np.maximum(z.std(axis=1, keepdims=True), 1e-12)
    if kind == "column":
        chosen = z[[rng.integers(len(z))]]
        if len(np.unique(chosen)) > k:
            z = chosen
    centers = _spread(z, weights, k, rng)
    for _ in range(_LLOYD):
        shares = _nearest(z, centers)
        hard = shares * weights
        moved = (z @ hard.T) / np.add.reduce(hard, axis=1)
        if np.abs(moved - centers).max() < _STILL:
            return shares
        centers = moved
    return _nearest(z, centers)


def halves_of(
    z: Float[np.ndarray, " n"], weights: Float[np.ndarray, " n"]
) -> Float[np.ndarray, "2 n"]:
    """Returns the shares of rows in two components: below the mean of a coordinate, and above.

    Args:
        z: the coordinate.
        weights: of the rows.
    """
    above = z > weights @ z / weights.sum()
    return (1.0 - 1e-3) * np.array([~above, above]) + 0.5e-3


def _spread(
    z: Float[np.ndarray, "d n"], weights: Float[np.ndarray, " n"], k: int, rng: np.random.Generator
) -> Float[np.ndarray, "d k"]:
    """k-means++ (Arthur, Vassilvitskii 2007)."""
    chosen = [int(np.searchsorted(np.cumsum(weights), rng.random() * weights.sum()))]
    nearest = np.full(z.shape[1], np.inf)
    for _ in range(k - 1):
        moved = z - z[:, chosen[-1]][:, None]
        nearest = np.minimum(nearest, np.einsum("dn,dn->n", moved, moved))
        odds = np.cumsum(nearest * weights)
        if odds[-1] <= 0.0:
            raise InputError(
                f"{k} components, but only {len(chosen)} distinct row(s); ask for fewer components"
            )
        chosen.append(int(np.searchsorted(odds, rng.random() * odds[-1])))
    return z[:, chosen]


def _nearest(
    z: Float[np.ndarray, "d n"], centers: Float[np.ndarray, "d k"]
) -> Float[np.ndarray, "k n"]:
    distance = -2.0 * centers.T @ z + np.einsum("dk,dk->k", centers, centers)[:, None]
    return (1.0 - 1e-3) * (distance <= distance.min(axis=0)) + 1e-3 / len(distance)
