"""The search of every family and direction without a closed-form optimum: descents from many starts."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float

from kullback.core.errors import UnsupportedError
from kullback.solvers.minimise import Minimum

Vector = Float[np.ndarray, " m"]
#: A member of a contained family that is better than the best descent by no more than this is where that
#: descent was going: to a limit, where the ground is level.
_SAME = 1e-6


@final
@dataclass(frozen=True)
class Basin:
    """A local optimum, how many descents ended in it, and how far apart they ended.

    `spread` is the largest distance in any feature; NaN if only one descent ended here.
    """

    best: Minimum
    count: int
    spread: float


def gather(
    minima: list[Minimum],
    features: Callable[[Minimum], Float[np.ndarray, " f"]],
    *,
    within: float = 1e-2,
    close: float = 1e-5,
) -> list[Basin]:
    """Returns the basins, best first.

    Args:
        minima: ends of descents.
        features: numbers of order 1 that two descents into one optimum share.
        within: how far features of one optimum may be apart.
        close: how far values of one optimum may be apart.
    """
    found: list[tuple[Minimum, np.ndarray, int, float]] = []
    for minimum in sorted(minima, key=lambda m: m.value):
        here = features(minimum)
        for i, (best, there, count, spread) in enumerate(found):
            apart = float(np.max(np.abs(here - there), initial=0.0))
            if apart < within and minimum.value - best.value < close * (1.0 + abs(best.value)):
                found[i] = (best, there, count + 1, max(spread, apart))
                break
        else:
            found.append((minimum, here, 1, 0.0))
    return [Basin(best, n, spread if n > 1 else math.nan) for best, _, n, spread in found]


@final
@dataclass(frozen=True)
class Descents:
    """What descents from many starts found.

    Attributes:
        basins: the local optima, best first; a count of 0 is of a member of a contained family.
        starts: descents made, also those that led nowhere.
        evaluations: of the objective, over all.
        interrupted: whether it was stopped before all starts were made.
    """

    basins: list[Basin]
    starts: int
    evaluations: int
    interrupted: bool


def search(
    starts: Iterable[Vector],
    descend: Callable[[Vector], Minimum],
    features: Callable[[Minimum], Vector],
    watch: Callable[[int], None],
    *,
    usable: Callable[[Minimum], bool],
    contained: Sequence[Minimum] = (),
    within: float = 1e-2,
    failure: str,
) -> Descents:
    """Returns the local optima that descents end in, kept also where the user stops it.

    What is best is never worse than the best of the families that are contained: a member of one that no
    descent came up to is an optimum of its own, to which none of the starts led.

    Args:
        starts: where to begin; one descent from each.
        descend: makes one descent.
        features: numbers of order 1 that two descents into one optimum share.
        watch: told of each descent.
        usable: whether an end is a member of the family, and no runaway.
        contained: the best members of smaller families, as members of this one.
        within: how far features of one optimum may be apart.
        failure: what to say where no descent led anywhere.

    Raises:
        UnsupportedError: no descent led anywhere.
    """
    ends: list[Minimum] = []
    interrupted = False
    try:
        for start in starts:
            ends.append(descend(start))
            watch(len(ends))
    except KeyboardInterrupt:
        if not ends and not contained:
            raise
        interrupted = True
    good = [m for m in ends if np.isfinite(m.value) and usable(m)]
    basins = gather(good, features, within=within)
    floor = min((m for m in contained if np.isfinite(m.value)), key=lambda m: m.value, default=None)
    if floor is not None and (not basins or floor.value < basins[0].best.value):
        basins = _with_floor(basins, floor)
    if not basins:
        raise UnsupportedError(failure)
    return Descents(basins, len(ends), sum(m.evaluations for m in ends), interrupted)


def _with_floor(basins: list[Basin], floor: Minimum) -> list[Basin]:
    """The optima, the best of them no worse than a member of a contained family."""
    if not basins or basins[0].best.value - floor.value > _SAME * (1.0 + abs(floor.value)):
        return [Basin(floor, 0, np.nan), *basins]
    best = basins[0]
    end = Minimum(floor.value, floor.at, (*best.best.path, floor.at), best.best.evaluations)
    return [Basin(end, best.count, best.spread), *basins[1:]]


def in_words(watch: Callable[[int | str], None]) -> Callable[[int | str], None]:
    """Tells in words of descents in a contained family, whose count is not that of the fit."""
    return lambda done: watch(done if isinstance(done, str) else f"smaller families: {done} starts")
