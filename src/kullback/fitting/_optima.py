"""Descents that ended in the same place, counted together."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float

from kullback.solvers._minimise import Minimum


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
