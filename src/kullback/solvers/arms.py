"""Arms of a density: ways along which it goes on, narrow and bent, where nothing has been drawn.

Walks go both ways from a draw, in the direction in which p bends most: what is beside an arm, and has a law of its own,
does not bend. Each step is in directions in which p is soft, is taken back to the ridge in those in which it is stiff
(Newton's method), and gives a Gaussian as wide as p is there. How long steps are decides itself: p, with the width of
the ridge, changes by little more than a nat, and the ridge does not bend by more than its width.
"""

import math
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Bool, Float

from kullback.solvers.modes import CountedDensity

Array = np.ndarray

#: Steps at most, the first of them in sds of p, and the shortest.
_STEPS, _FIRST, _SHORTEST = 80, 0.5, 1e-4
#: The mass that a step may change, in nats, and how many sds of the ridge it may bend; less than a third of both
#: makes the next one longer.
_NATS, _BEND, _LONGER = 1.5, 3.0, 1.5
#: A walk ends where so many nats of mass are lost.
_LOST = 16.0
#: Curvature beside that of all of p from which a direction is stiff; that of the softest.
_STIFF, _SOFT = 4.0, 0.25
#: Steps of Newton's method back to the ridge, and the length of differences of gradients and of Hessians.
_BACK, _APART, _FURTHER = 3, 1e-4, 0.05
#: Change of the Hessian, in units of the covariance of p, below which p does not bend.
_STRAIGHT = 0.1


@final
@dataclass(frozen=True, eq=False)
class Arms:
    """Gaussians along arms.

    Attributes:
        log_masses: (k,), how much of p each holds, by Laplace's method.
        log_p: (k,), at the means.
        means: (k, d).
        roots: (k, d, d), of covariances.
    """

    log_masses: Float[np.ndarray, " k"]
    log_p: Float[np.ndarray, " k"]
    means: Float[np.ndarray, "k d"]
    roots: Float[np.ndarray, "k d d"]


@final
@dataclass(frozen=True, eq=False)
class _Ridge:
    """Points, with p about them in the coordinates of their walks."""

    z: Float[np.ndarray, "w d"]
    value: Float[np.ndarray, " w"]
    gradient: Float[np.ndarray, "w d"]
    hessian: Float[np.ndarray, "w d d"]
    curvature: Float[np.ndarray, "w d"]
    axes: Float[np.ndarray, "w d d"]

    @property
    def stiff(self) -> Bool[np.ndarray, "w d"]:
        return self.curvature > _STIFF

    @property
    def log_mass(self) -> Float[np.ndarray, " w"]:
        """Of a stretch of unit length."""
        logs = np.where(self.stiff, np.log(np.maximum(self.curvature, 1.0)), 0.0)
        return self.value - 0.5 * logs.sum(axis=1)

    def back(self, way: Float[np.ndarray, "w d"]) -> Float[np.ndarray, "w d"]:
        """Returns the step of Newton's method to the ridge; to the middle of it, too, where there is a way."""
        going = np.any(way != 0.0, axis=1)[:, None]
        held = self.stiff | (going & (self.curvature > _SOFT))
        along = np.einsum("wdk,wd->wk", self.axes, self.gradient)
        along = np.where(held, along / np.where(held, self.curvature, 1.0), 0.0)
        step = np.einsum("wdk,wk->wd", self.axes, along)
        return step - way * np.sum(way * step, axis=1, keepdims=True)

    def onwards(self, way: Float[np.ndarray, "w d"]) -> Float[np.ndarray, "w d"]:
        """Returns the part of ways that is in soft directions."""
        along = np.einsum("wdk,wd->wk", self.axes, way)
        return np.einsum("wdk,wk->wd", self.axes, np.where(self.stiff, 0.0, along))

    def bends(self, moved: Float[np.ndarray, "w d"]) -> Float[np.ndarray, " w"]:
        """Returns how many sds of the ridge a step back to it was."""
        along = np.einsum("wdk,wd->wk", self.axes, moved)
        squares = np.where(self.stiff, self.curvature, 0.0) * along**2
        return np.sqrt(squares.sum(axis=1))


def arms(
    density: CountedDensity,
    x: Float[np.ndarray, "w d"],
    root: Float[np.ndarray, "d d"],
) -> Arms:
    """Returns Gaussians along the arms on which some draws lie.

    Args:
        density: log p.
        x: where walks begin.
        root: (d, d), of the covariance of p, beside which arms are narrow.
    """
    x = np.tile(x, (2, 1))
    w, d = x.shape
    here = _on_ridge(density, x, root, np.zeros((w, d)), np.zeros((w, d)))
    way, held = _unit(_bending(density, x, root, here))
    way[w // 2 :] *= -1.0
    here = _on_ridge(density, x, root, here.z, way)
    step, going = np.full(w, _FIRST), np.isfinite(here.value)
    mass = here.log_mass + math.log(_FIRST)
    highest = mass.copy()
    found: list[tuple[Array, ...]] = []
    for _ in range(_STEPS):
        going &= (held > 0.0) & (step > _SHORTEST) & (mass > highest - _LOST)
        if not going.any():
            break
        at = np.flatnonzero(going)
        straight = here.z[at] + step[at, None] * way[at]
        there = _on_ridge(density, x[at], root, straight, way[at])
        change, bend = there.log_mass - here.log_mass[at], there.bends(there.z - straight)
        good = np.isfinite(there.value) & (np.abs(change) < _NATS) & (bend < _BEND)
        easy = good & (np.abs(change) < _NATS / 3.0) & (bend < _BEND / 3.0)
        taken = at[good]
        way[taken] = there.z[good] - here.z[taken]
        here = _mended(here, taken, there, good)
        way, held = _unit(here.onwards(way))
        found.append(_gaussians(here, taken, x, root, way, step))
        mass[taken] = here.log_mass[taken] + np.log(step[taken])
        highest = np.maximum(highest, mass)
        step[at[easy]] *= _LONGER
        step[at[~good]] *= 0.5
    nothing = np.empty(0), np.empty(0), np.empty((0, d)), np.empty((0, d, d))
    return Arms(*(np.concatenate(parts) for parts in zip(nothing, *found, strict=True)))


def _unit(ways: Array) -> tuple[Array, Array]:
    """Ways of length 1, and how long they were."""
    lengths = np.linalg.norm(ways, axis=1)
    return ways / np.maximum(lengths, 1e-300)[:, None], lengths


def _bending(density: CountedDensity, x: Array, root: Array, here: _Ridge) -> Array:
    """The soft direction of each walk in which the Hessian changes most; 0 where it hardly does."""
    w, d = here.z.shape
    beside = here.z[:, None] + _FURTHER * here.axes.transpose(0, 2, 1)
    hessians = _hessians(density, np.repeat(x, d, axis=0), root, beside.reshape(-1, d))[2]
    apart = hessians.reshape(w, d, d, d) - here.hessian[:, None]
    apart = np.where(here.stiff[:, :, None, None], 0.0, apart / _FURTHER)
    squares, ways = np.linalg.eigh(np.einsum("wkij,wlij->wkl", apart, apart))
    bent = squares[:, -1] > _STRAIGHT**2
    return np.where(bent[:, None], np.einsum("wik,wk->wi", here.axes, ways[:, :, -1]), 0.0)


def _on_ridge(density: CountedDensity, x: Array, root: Array, z: Array, way: Array) -> _Ridge:
    """The ridge close to some points."""
    found = _ridge(density, x, root, z)
    for _ in range(_BACK):
        found = _ridge(density, x, root, found.z + found.back(way))
    return found


def _ridge(density: CountedDensity, x: Array, root: Array, z: Array) -> _Ridge:
    value, gradient, hessian = _hessians(density, x, root, z)
    curvature, axes = np.linalg.eigh(-hessian)
    return _Ridge(z, value, gradient, hessian, curvature, axes)


def _hessians(
    density: CountedDensity, x: Array, root: Array, z: Array
) -> tuple[Array, Array, Array]:
    """Values, gradients and, by differences of these, Hessians in the coordinates of the walks."""
    w, d = z.shape
    apart = _APART * np.concatenate([np.zeros((1, d)), np.eye(d)])
    points = x[:, None] + np.einsum("ij,wkj->wki", root, z[:, None] + apart)
    value, gradient = density.far_out(points.reshape(-1, d))
    value, inner = value.reshape(w, -1), (gradient @ root).reshape(w, -1, d)
    hessian = (inner[:, 1:] - inner[:, :1]) / _APART
    hessian = np.where(np.isfinite(hessian), 0.5 * (hessian + hessian.transpose(0, 2, 1)), 0.0)
    alive = np.isfinite(value).all(axis=1)
    return np.where(alive, value[:, 0], -np.inf), inner[:, 0], hessian


def _mended(here: _Ridge, taken: Array, there: _Ridge, good: Array) -> _Ridge:
    parts = []
    for name in ("z", "value", "gradient", "hessian", "curvature", "axes"):
        whole = getattr(here, name).copy()
        whole[taken] = getattr(there, name)[good]
        parts.append(whole)
    return _Ridge(*parts)


def _gaussians(
    here: _Ridge, taken: Array, x: Array, root: Array, way: Array, step: Array
) -> tuple[Array, Array, Array, Array]:
    """One for each step: as wide as p is, and as long as the step."""
    axes, curvature = here.axes[taken], np.maximum(here.curvature[taken], _SOFT)
    covariance = np.einsum("wik,wk,wjk->wij", axes, 1.0 / curvature, axes)
    # Along the way, no longer than the step.
    u = way[taken]
    onto = np.eye(u.shape[1]) - u[:, :, None] * u[:, None, :]
    long = step[taken, None, None] ** 2 * u[:, :, None] * u[:, None, :]
    covariance = onto @ covariance @ onto + long
    inner = np.linalg.cholesky(covariance + 1e-12 * np.eye(u.shape[1]))
    means = x[taken] + np.einsum("ij,wj->wi", root, here.z[taken])
    mass = here.log_mass[taken] + np.log(step[taken]) + 0.5 * math.log(2.0 * math.pi)
    upper = np.linalg.qr((root @ inner).transpose(0, 2, 1)).R
    signs = np.sign(np.diagonal(upper, axis1=1, axis2=2))
    return mass, here.value[taken], means, (upper * signs[:, :, None]).transpose(0, 2, 1)
