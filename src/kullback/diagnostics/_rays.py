"""How a density falls far out: whether it can be integrated, and whether it has a variance."""

import itertools
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float

from kullback._core.errors import DensityError
from kullback.diagnostics._towards_p import overall_root
from kullback.fitting._natural_gradient import Gaussians
from kullback.solvers._density import Density
from kullback.targets import Unconstrained

#: Where along a ray the fall is measured, in sds: a power law falls alike from each to the next.
_PLACES = (1e2, 1e4, 1e6)
_RANDOM, _MOST_AXES = 16, 64
#: The exponent of a power law is known to about this share.
_SLACK = 1.03


@final
@dataclass(frozen=True, eq=False)
class Rays:
    """Exponents a of the fall of p as distance^-a; infinite where it falls faster than any power.

    Attributes:
        directions: (m, d), in the coordinates of q's root, along which was looked.
        exponents: (m,); NaN where the density could not be computed.
        generic: which directions are random, (m,).
    """

    directions: Float[np.ndarray, "m d"]
    exponents: Float[np.ndarray, " m"]
    generic: np.ndarray

    @property
    def improper(self) -> Float[np.ndarray, " d"] | None:
        """A direction along which the integral diverges; None if there is none."""
        limit = np.where(self.generic, self.directions.shape[1], 1.0)
        return self._first(self.exponents <= limit / _SLACK)

    @property
    def without_variance(self) -> Float[np.ndarray, " d"] | None:
        """A direction along which p has no variance: no Gaussian is near it in KL(p||q)."""
        limit = np.where(self.generic, self.directions.shape[1] + 2.0, 3.0)
        return self._first(self.exponents <= limit * _SLACK)

    @property
    def heavy(self) -> float:
        """The smallest exponent; infinite if p falls faster than any power everywhere."""
        known = self.exponents[~np.isnan(self.exponents)]
        return float(known.min()) if len(known) else np.inf

    def _first(self, rows: np.ndarray) -> Float[np.ndarray, " d"] | None:
        return self.directions[int(np.argmax(rows))] if rows.any() else None


def check_proper(
    target: Unconstrained, density: Density, q: Gaussians, rng: np.random.Generator
) -> Rays:
    """Returns how p falls far from q. Raises DensityError if it cannot be normalised."""
    rays = look_out(density, q.means[0], overall_root(q), rng)
    direction = rays.improper
    if direction is None:
        return rays
    along = overall_root(q) @ direction
    scaled = along / np.abs(along).max()
    named = [
        f"{value:+.2g} {name}"
        for value, name in zip(scaled, target.coordinates, strict=True)
        if abs(value) > 0.05
    ]
    raise DensityError(
        f"the log density does not fall along {' '.join(named[:6])}: it cannot be normalised there "
        "(improper or flat). Add a proper prior on these parameters, or remove the direction that the "
        "data do not determine"
    )


def look_out(
    density: Density,
    mean: Float[np.ndarray, " d"],
    root: Float[np.ndarray, "d d"],
    rng: np.random.Generator,
) -> Rays:
    """Returns how p falls along the axes of the parameters, the longest axis of q and random rays."""
    d = len(mean)
    picked = np.eye(d)[rng.permutation(d)[:_MOST_AXES]] * np.linalg.norm(root, axis=1)
    axes = np.linalg.solve(root, picked.T).T
    axes /= np.linalg.norm(axes, axis=1, keepdims=True)
    longest = np.linalg.svd(root)[2][:1]
    random = rng.standard_normal((_RANDOM, d))
    random /= np.linalg.norm(random, axis=1, keepdims=True)
    special = np.concatenate([axes, -axes, longest, -longest])
    directions = np.concatenate([special, random])
    generic = np.arange(len(directions)) >= len(special)
    with np.errstate(all="ignore"):
        logs = [density(mean + t * directions @ root.T)[0] for t in _PLACES]
        falls = [(a - b) / np.log(1e2) for a, b in itertools.pairwise(logs)]
        # Past where a density underflows nothing is known but that it fell.
        falls = [np.where(np.isneginf(b), np.inf, f) for f, b in zip(falls, logs[1:], strict=True)]
    exponents = np.maximum(falls[0], falls[1])
    exponents = np.where(exponents > 1e3, np.inf, exponents)
    return Rays(directions, exponents, generic)
