"""Where a fit to a log density may start: its modes, from several sides, and Gaussians around them."""

import math
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float

from kullback._core.errors import DensityError
from kullback.fitting._natural_gradient import Gaussians, slope_at
from kullback.solvers._density import Density
from kullback.solvers._modes import Mode, climb, find, mode_at
from kullback.solvers._whitened import whitened

Vector = Float[np.ndarray, " d"]

#: How far from the first mode, in its own sds, the other climbs begin.
_REACHES = (2.0, 4.0, 8.0, 16.0, 32.0)
#: Random points tried until the density is positive at one.
_TRIES = 200
_MOST_MODES = 8
_PILOT = 32
#: Climbs of the search for modes that a fit has missed; fewer where there are many coordinates.
_OUTLIERS = 24
_WIDE_CLIMBS, _MANY, _MOST_FOUND = 160, 60, 32


@final
@dataclass(frozen=True, eq=False)
class Search:
    """What was found by climbing.

    Attributes:
        modes: the distinct ones, highest mass first; the climbs that ended nowhere last.
        starts: Gaussians to fit from, best first.
        climbs: how many climbs were made.
    """

    modes: tuple[Mode, ...]
    starts: tuple[Gaussians, ...]
    climbs: int


def search(density: Density, start: Vector, rng: np.random.Generator, *, climbs: int) -> Search:
    """Returns the modes that climbs from the start, and from far around what it finds, lead to."""
    begin = _alive(density, start, rng)
    first = find(density, begin)
    modes = [first]
    # Where the first climb found no top, others will hardly: each costs hundreds of gradients.
    others = climbs - 1 if first.proper else min(climbs - 1, 2)
    reaches = [_REACHES[i % len(_REACHES)] for i in range(others)]
    for reach in reaches:
        direction = rng.standard_normal(len(start))
        far = reach * direction
        origin = first.at + first.root @ far if first.proper else begin + 0.5 * far
        other = mode_from(density, origin, modes)
        if other is not None:
            modes.append(other)
        if len(modes) == _MOST_MODES:
            break
    modes.sort(key=lambda m: (m.proper, m.log_mass), reverse=True)
    starts = _starts(density, begin, modes, rng)
    return Search(tuple(modes), starts, 1 + others)


def _alive(density: Density, start: Vector, rng: np.random.Generator) -> Vector:
    """The start, or a point around it, where the density is not 0."""
    if np.isfinite(density(start[None])[0][0]):
        return start
    for reach in (1.0, 2.0, 10.0, 100.0):
        tried = start + reach * rng.uniform(-1.0, 1.0, (_TRIES // 4, len(start)))
        fine = np.isfinite(density(tried)[0])
        if fine.any():
            return tried[int(np.argmax(fine))]
    what = "NaN" if any(kind == "value" for kind, _ in density.faults) else "-inf"
    raise DensityError(
        f"the log density is {what} at the example and at {_TRIES} points around it: give an example "
        "where it is finite, and say with support= where the parameters live"
    )


def look_around(
    density: Density,
    found: Search,
    center: Vector,
    root: Float[np.ndarray, "d d"],
    draws: Float[np.ndarray, "n d"],
    rng: np.random.Generator,
) -> Search:
    """Returns the search with the modes that climbs from far and wide lead to.

    Args:
        density: what is climbed.
        found: what is known.
        center, root: of a wide normal, from which half of the climbs start; the others start up to a
            thousand sds from the first mode.
        draws: of p, about: climbs start at those that are furthest from the modes too.
        rng: randomness.
    """
    modes, d = list(found.modes), len(center)
    proper = [m for m in modes if m.proper]
    if proper:
        away = np.min([[m.distance(x) for x in draws] for m in proper], axis=0)
        for x in draws[np.argsort(away)[-_OUTLIERS:]]:
            other = mode_from(density, x, modes)
            if other is not None:
                modes.append(other)
    count = _WIDE_CLIMBS if d <= _MANY else _WIDE_CLIMBS // 8
    first = modes[0]
    for i in range(count):
        z = rng.standard_normal(d)
        origin = center + root @ z
        if i % 2 and first.proper:
            origin = first.at + 10.0 ** rng.uniform(0.3, 3.0) * first.root @ z
        other = mode_from(density, origin, modes)
        if other is not None:
            modes.append(other)
        if len(modes) >= _MOST_FOUND:
            break
    modes.sort(key=lambda m: (m.proper, m.log_mass), reverse=True)
    return Search(tuple(modes), found.starts, found.climbs + count)


def mode_from(density: Density, origin: Vector, known: list[Mode]) -> Mode | None:
    """The mode above a point, unless it is one that is known or nothing is found."""
    if not np.isfinite(density(origin[None])[0][0]):
        return None
    root = known[0].root if known[0].proper else None
    end = climb(density, origin, root=root)[-1]
    if any(m.proper and m.distance(end) < 2.0 for m in known):
        return None
    mode = mode_at(density, end)
    if not mode.proper or any(m.proper and m.distance(mode.at) < 1.0 for m in known):
        return None
    return mode


def _starts(
    density: Density, begin: Vector, modes: list[Mode], rng: np.random.Generator
) -> tuple[Gaussians, ...]:
    """Gaussians at the modes and, where that is no good, along the way to them; best ELBO first."""
    d = len(begin)
    laplace = [one(m.at, m.root) for m in modes if m.proper]
    unit = [one(begin, np.eye(d))]
    if not modes[0].proper or len(laplace) < len(modes):
        path = next(m for m in modes if not m.proper).path or (begin,)
        picked = [path[i] for i in np.unique(np.linspace(0, len(path) - 1, 8).astype(int))]
        unit += [one(x, scale * np.eye(d)) for x in picked for scale in (1.0, 0.1)]
    z = whitened(d, _PILOT, rng)
    scored = [(slope_at(density, q, z).elbo, q) for q in (*laplace, *unit)]
    scored.sort(key=lambda pair: pair[0], reverse=True)
    best = scored[0][0]
    if not math.isfinite(best):
        return (scored[0][1],)
    # What is far below the best of the modes' own Gaussians is not worth a fit, a mode always is.
    own = {id(q) for q in laplace}
    return tuple(q for i, (_, q) in enumerate(scored) if i == 0 or id(q) in own)


def one(mean: Vector, root: Float[np.ndarray, "d d"]) -> Gaussians:
    """Returns a single Gaussian."""
    return Gaussians(np.ones(1), mean[None], root[None])
