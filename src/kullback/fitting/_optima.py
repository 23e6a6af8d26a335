"""Descents that ended in the same place, counted together."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float

from kullback.solvers._minimise import Minimum


@final
@dataclass(frozen=True)
class Basin:
    """A local optimum and how many descents ended in it."""

    best: Minimum
    count: int


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
    found: list[tuple[Minimum, np.ndarray, int]] = []
    for minimum in sorted(minima, key=lambda m: m.value):
        here = features(minimum)
        for i, (best, there, count) in enumerate(found):
            near = float(np.max(np.abs(here - there), initial=0.0)) < within
            if near and minimum.value - best.value < close * (1.0 + abs(best.value)):
                found[i] = (best, there, count + 1)
                break
        else:
            found.append((minimum, here, 1))
    return [Basin(best, count) for best, _, count in found]
