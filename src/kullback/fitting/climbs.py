"""Where a fit to a log density may start: its modes, from several sides, and Gaussians around them."""

import math
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float
from scipy import special

from kullback.core.errors import DensityError
from kullback.fitting.components import Components, Vector, one
from kullback.fitting.natural_gradient import slope_at
from kullback.solvers.modes import CountedDensity, Mode, climb, find, mode_at, whitened

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
class Climbs:
    """What was found by climbing.

    Attributes:
        modes: the distinct ones, highest mass first; the climbs that ended nowhere last.
        starts: Gaussians to fit from, best first.
        climbs: how many climbs were made.
        looks: points around the first mode that were only looked at.
    """

    modes: tuple[Mode, ...]
    starts: tuple[Components, ...]
    climbs: int
    looks: int = 0

    @property
    def narrowest(self) -> float:
        """How wide, in sds of the first mode, another is at least that the looks meet with 95 %; 1 if none is."""
        d = len(self.modes[0].at)
        met = (w for w in _WIDTHS if chance_of_meeting(d, w, 10.0, self.looks) >= _SURE)
        return next(met, 1.0)


def search(
    density: CountedDensity, start: Vector, rng: np.random.Generator, *, climbs: int
) -> Climbs:
    """Returns the modes that climbs from the start, and from far around what it finds, lead to."""
    begin = _alive(density, start, rng)
    first = find(density, begin)
    modes = [first]
    # Where the first climb found no top, others will hardly: each costs hundreds of gradients.
    others = climbs - 1 if first.proper else min(climbs - 1, 2)
    for reach in (_REACHES[i % len(_REACHES)] for i in range(others)):
        direction = rng.standard_normal(len(start))
        far = reach * direction
        origin = first.at + first.root @ far if first.proper else begin + 0.5 * far
        _add_mode(density, origin, modes)
        if len(modes) == _MOST_MODES:
            break
    looks = _looks(len(start)) if first.proper else 0
    around = 0
    while looks and around < min(len(modes), _MOST_AROUND):
        # A mode that is narrower than the first is met more often from another one.
        if modes[around].proper:
            _add_odd_ones(density, modes[around], modes, looks, rng)
        around += 1
    modes.sort(key=lambda m: (m.proper, m.log_mass), reverse=True)
    starts = _starts(density, begin, modes, rng)
    return Climbs(tuple(modes), starts, 1 + others, looks)


def _alive(density: CountedDensity, start: Vector, rng: np.random.Generator) -> Vector:
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
    density: CountedDensity,
    found: Climbs,
    center: Vector,
    root: Float[np.ndarray, "d d"],
    draws: Float[np.ndarray, "n d"],
    rng: np.random.Generator,
) -> Climbs:
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
            _add_mode(density, x, modes)
    count = _WIDE_CLIMBS if d <= _MANY else _WIDE_CLIMBS // 8
    first = modes[0]
    for i in range(count):
        z = rng.standard_normal(d)
        origin = center + root @ z
        if i % 2 and first.proper:
            # In many coordinates a mode is met from about as far as it is away, and no further.
            around = proper[rng.integers(len(proper))]
            origin = around.at + 10.0 ** rng.uniform(0.3, 3.0) * around.root @ z / np.linalg.norm(z)
        _add_mode(density, origin, modes)
        if len(modes) >= _MOST_FOUND:
            break
    modes.sort(key=lambda m: (m.proper, m.log_mass), reverse=True)
    return Climbs(tuple(modes), found.starts, found.climbs + count, found.looks)


def _add_mode(density: CountedDensity, origin: Vector, known: list[Mode]) -> None:
    """Adds the mode above a point, unless it is one that is known or nothing is found."""
    if not np.isfinite(density(origin[None])[0][0]):
        return
    root = known[0].root if known[0].proper else None
    end = climb(density, origin, root=root, known=known)[-1]
    if any(m.proper and m.distance(end) < 2.0 for m in known):
        return
    mode = mode_at(density, end)
    if mode.proper and not any(m.proper and m.distance(mode.at) < 1.0 for m in known):
        known.append(mode)


# Modes that no climb enters by chance: thousands of points that are only looked at decide where to climb.

#: Points that are looked at, up to so many coordinates: in more, a narrow basin is never met; in few, sheets are, too.
_LOOKED, _NEVER = 168 * 64, 60
_LOOKED_IN_FEW, _FEW = 2**15, 4
#: So many modes are looked around.
_MOST_AROUND = 4
#: Their distances from the first mode, in its sds; and points of about one distance, held against each other.
_NEAR, _FAR, _SHELL = 1.0, 100.0, 64
#: A point is odd if it is higher than the middle of its shell by so many median deviations; the most climbs.
_ODD, _MOST_ODD = 6.0, 24
#: Widths of which the narrowest that is met with this chance is told.
_WIDTHS, _SURE = np.arange(5, 95, 5) / 100.0, 0.95


def _looks(d: int) -> int:
    """How many points are looked at in so many coordinates."""
    if d > _NEVER:
        return 0
    return _LOOKED_IN_FEW if d <= _FEW else _LOOKED


def chance_of_meeting(d: int, width: float, distance: float, looks: int) -> float:
    """Returns the probability that a look falls into the basin of a narrow mode.

    Where p is two Gaussians, one of `width` sds of the other and `distance` of its sds away, the narrow one
    is higher in a ball (of Apollonius) around distance / (1 - width^2), of width times that radius.

    Args:
        d: coordinates.
        width: its sd over that of the first mode, below 1.
        distance: from the first mode, in its sds; between 1 and 100 it does not matter.
        looks: how many.
    """
    middle = distance / (1.0 - width**2)
    r = np.geomspace(_NEAR, _FAR, 2001)
    cosine = (r**2 + middle**2 - (width * middle) ** 2) / (2.0 * r * middle)
    cap = 0.5 * special.betainc(0.5 * (d - 1), 0.5, 1.0 - np.minimum(cosine, 1.0) ** 2)
    return float(1.0 - (1.0 - cap.mean()) ** looks)


def _add_odd_ones(
    density: CountedDensity, around: Mode, known: list[Mode], n: int, rng: np.random.Generator
) -> None:
    """Adds modes above points around one that are higher than what is known explains, and than others as far away."""
    d = len(around.at)
    radius = np.geomspace(_NEAR, _FAR, n)
    z = rng.standard_normal((n, d))
    z *= (radius / np.linalg.norm(z, axis=1))[:, None]
    x = around.at + z @ around.root.T
    log_p = density(x)[0]
    explained = np.max([m.gaussian(x) for m in known if m.proper], axis=0)
    told = np.zeros(n // _SHELL, dtype=bool)
    for _ in range(_MOST_ODD):
        odd = np.where(np.repeat(told, _SHELL), 0.0, _oddness(log_p - explained))
        i = int(np.argmax(odd))
        if odd[i] <= _ODD:
            break
        before = len(known)
        _add_mode(density, x[i], known)
        if len(known) > before:
            explained = np.maximum(explained, known[-1].gaussian(x))
        else:
            told[i // _SHELL] = True


def _oddness(above: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Returns by how many median deviations points are above the middle of their shell; 0 where they are explained."""
    shells = above.reshape(-1, _SHELL)
    with np.errstate(invalid="ignore"):
        higher = shells - np.median(shells, axis=1, keepdims=True)
        odd = higher / np.maximum(np.median(np.abs(higher), axis=1, keepdims=True), 1.0)
    # A shell of which half is -inf tells nothing.
    return np.where(np.isfinite(odd) & (shells > _ODD), odd, 0.0).ravel()


def _starts(
    density: CountedDensity, begin: Vector, modes: list[Mode], rng: np.random.Generator
) -> tuple[Components, ...]:
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
