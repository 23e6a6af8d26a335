"""Pieces of p: around its modes, between its quantiles, its components, and random ones.

A family that is smaller than p has an optimum for each piece that it can match, or nearly: a search
that begins at all of them meets them all.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float

from kullback.distributions.base import Distribution
from kullback.fitting.nodes import Nodes, standard_normal

#: A valley shallower than this, in nats, does not part two modes.
_DEPTH = 0.02
#: Modes told apart; of more, those with the shallowest valleys between them are joined.
_MODES = 8
#: Levels between which p's quantiles cut pieces out of it.
_LEVELS = ((0.0, 0.5), (0.5, 1.0), (0.25, 0.75), (0.0, 0.15), (0.85, 1.0), (0.0, 0.85), (0.15, 1.0))
#: The least mass of a random piece.
_LEAST = 0.01


@final
@dataclass(frozen=True)
class Piece:
    """A part of p: its share of the mass, and p restricted to it as weighted points."""

    mass: float
    nodes: Nodes

    @property
    def center(self) -> Float[np.ndarray, " d"]:
        """The median on the line, the mean on a plane."""
        return self.nodes.bulk()[0] if self.nodes.x.shape[1] == 1 else self.nodes.mean

    @property
    def root(self) -> Float[np.ndarray, "d d"]:
        """A Cholesky factor of its covariance; on the line, half the distance of two quantiles."""
        d = self.nodes.x.shape[1]
        if d == 1:
            return np.maximum(self.nodes.bulk()[1], 1e-12 * max(1.0, float(np.ptp(self.nodes.x))))
        covariance = self.nodes.covariance
        return np.linalg.cholesky(covariance + 1e-9 * np.trace(covariance) * np.eye(d))


def of_modes(p: Distribution, nodes: Nodes) -> list[Piece]:
    """Returns p around each of its modes, heaviest first, and its components if it is a mixture."""
    found = [_restricted(nodes, kept) for kept in _modes(p, nodes)]
    strata = p.strata()
    if 1 < len(strata) <= 4 * _MODES:
        z = standard_normal(nodes.x.shape[1])
        for stratum in strata:
            if stratum.dimension == z.x.shape[1]:
                x = np.asarray(stratum.transport(z.x)).reshape(z.x.shape)
                good = np.isfinite(x).all(axis=1)
                weights = z.weights[good] / z.weights[good].sum()
                found.append(Piece(stratum.weight, Nodes(x[good], weights)))
    return sorted((f for f in found if f.mass > 0.0), key=lambda piece: -piece.mass)


def of_density(p: Distribution, nodes: Nodes) -> list[Piece]:
    """Returns the pieces to begin at: all of p, its modes, its components, runs of modes, quantiles."""
    found = [Piece(1.0, nodes), *of_modes(p, nodes)]
    if nodes.x.shape[1] > 1:
        return found
    modes = sorted(_modes(p, nodes), key=lambda kept: float(nodes.x[kept].min()))
    for length in range(2, len(modes)):
        for first in range(len(modes) - length + 1):
            run = np.any(modes[first : first + length], axis=0)
            found.append(_restricted(nodes, run))
    return [*found, *(_between(nodes, low, high) for low, high in _LEVELS)]


def at_random(nodes: Nodes, rng: np.random.Generator) -> Iterator[Piece]:
    """Yields p between two random quantiles, on a plane p around a random point, of random size."""
    spread = np.maximum(np.sqrt(np.diag(nodes.covariance)), 1e-300)
    while True:
        size = float(np.exp(rng.uniform(np.log(_LEAST), 0.0)))
        if nodes.x.shape[1] == 1:
            low = float(rng.uniform(0.0, 1.0 - size))
            yield _between(nodes, low, low + size)
            continue
        at = nodes.x[rng.choice(len(nodes.x), p=nodes.weights)]
        near = np.sum(((nodes.x - at) / spread) ** 2, axis=1)
        weights = nodes.weights * np.exp(-0.5 * near / size)
        mass = float(weights.sum())
        yield Piece(mass, Nodes(nodes.x, weights / mass))


def _restricted(nodes: Nodes, kept: np.ndarray) -> Piece:
    mass = float(nodes.weights[kept].sum())
    return Piece(mass, Nodes(nodes.x[kept], nodes.weights[kept] / mass))


def _between(nodes: Nodes, low: float, high: float) -> Piece:
    """p between two of its quantiles, of at least one point."""
    order = np.argsort(nodes.x[:, 0])
    below = np.cumsum(nodes.weights[order])
    first = int(np.searchsorted(below, low))
    last = max(int(np.searchsorted(below, high)), first + 1)
    kept = order[min(first, len(order) - 1) : last + 1]
    return _restricted(nodes, np.isin(np.arange(len(order)), kept))


def _modes(p: Distribution, nodes: Nodes) -> list[np.ndarray]:
    """For each mode, which nodes belong to it."""
    if nodes.x.shape[1] == 1:
        return _modes_on_line(p.log_prob(nodes.x[:, 0]), nodes)
    return _modes_on_plane(nodes)


def _modes_on_line(log_p: Float[np.ndarray, " n"], nodes: Nodes) -> list[np.ndarray]:
    order = np.argsort(nodes.x[:, 0])
    height = log_p[order]
    padded = np.concatenate([[-np.inf], height, [-np.inf]])
    peaks = list(np.flatnonzero((padded[1:-1] > padded[:-2]) & (padded[1:-1] >= padded[2:])))
    peaks = peaks or [int(np.argmax(height))]
    cuts = [a + int(np.argmin(height[a : b + 1])) for a, b in itertools.pairwise(peaks)]
    while cuts:
        depths = [
            min(height[a], height[b]) - height[c]
            for (a, b), c in zip(itertools.pairwise(peaks), cuts, strict=True)
        ]
        i = int(np.argmin(depths))
        if depths[i] > _DEPTH and len(peaks) <= _MODES:
            break
        del cuts[i], peaks[i if height[peaks[i]] < height[peaks[i + 1]] else i + 1]
    edges = [0, *cuts, len(order)]
    places = np.arange(len(order))
    return [np.isin(places, order[a:b]) for a, b in itertools.pairwise(edges) if b > a]


def _modes_on_plane(nodes: Nodes) -> list[np.ndarray]:
    """Every point of the grid follows its highest neighbour up to a mode."""
    sides = [np.unique(column, return_inverse=True) for column in nodes.x.T]
    shape = tuple(len(values) + 2 for values, _ in sides)
    cells = np.ravel_multi_index(tuple(index + 1 for _, index in sides), shape)
    height = np.zeros(shape).ravel()
    height[cells] = nodes.weights
    best, top = cells.copy(), nodes.weights.copy()
    for step in itertools.product((-1, 0, 1), repeat=2):
        there = cells + step[0] * shape[1] + step[1]
        higher = height[there] > top
        best, top = np.where(higher, there, best), np.where(higher, height[there], top)
    parent = np.arange(height.size)
    parent[cells] = best
    while True:
        above = parent[parent]
        if np.array_equal(above, parent):
            break
        parent = above
    labels, index = np.unique(parent[cells], return_inverse=True)
    masses = np.bincount(index, weights=nodes.weights)
    heaviest = np.argsort(-masses)[:_MODES]
    return [index == i for i in heaviest if masses[i] > 1e-3 or len(labels) <= _MODES]
