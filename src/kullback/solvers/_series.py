"""Sums over the integers, with what is left beyond the last term."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float

Terms = Callable[[np.ndarray], np.ndarray]

_BLOCK = 4096
#: Terms after which a sum is extrapolated.
_BUDGET = 1_000_000


@final
@dataclass(frozen=True)
class Sum:
    """Sums of m columns: values, and a bound on what the terms beyond `last` add.

    `slope` is the power of k with which the first column falls at the end: above -1 it diverges.
    """

    value: Float[np.ndarray, " m"]
    beyond: Float[np.ndarray, " m"]
    absolute: Float[np.ndarray, " m"]
    terms: int
    slope: float


def add_up(f: Terms, start: float, low: float, high: float) -> Sum:
    """Returns the sums of the columns of f over the integers from low to high.

    Works outwards from `start` in growing blocks until the last block adds nothing.

    Args:
        f: maps n integers to an array (n, m).
        start: an integer where the terms are large.
        low, high: the ends; may be infinite.
    """
    up = _run(f, start, high, 1.0)
    down = _run(f, start - 1.0, low, -1.0)
    parts = [part for part in (up, down) if part is not None]
    return Sum(
        np.sum([part.value for part in parts], axis=0),
        np.sum([part.beyond for part in parts], axis=0),
        np.sum([part.absolute for part in parts], axis=0),
        sum(part.terms for part in parts),
        max(part.slope for part in parts),
    )


def _run(f: Terms, start: float, end: float, step: float) -> Sum | None:
    if (end - start) * step < 0.0:
        return None
    value = absolute = 0.0
    size, k, count = _BLOCK, start, 0
    while True:
        length = int(min(size, (end - k) * step + 1.0)) if math.isfinite(end) else size
        x = k + step * np.arange(length)
        y = f(x)
        added = np.abs(y).sum(axis=0)
        value, absolute = value + y.sum(axis=0), absolute + added
        count += length
        k += step * length
        if (end - k) * step < 0.0:
            return Sum(value, np.zeros_like(added), absolute, count, -math.inf)
        last, slope = _last(y, x, start)
        done = (added <= 2.0**-60 * absolute).all()
        if done or count >= _BUDGET or not np.isfinite(value).all():
            return Sum(value, last, absolute, count, -math.inf if done else slope)
        size = min(2 * size, 2**19)


def _last(y: np.ndarray, x: np.ndarray, start: float) -> tuple[np.ndarray, float]:
    """Returns what the terms beyond the last add, from the power with which they fall."""
    distance = np.abs(x[[len(x) // 2, -1]] - start) + 1.0
    sizes = np.abs(y[[len(y) // 2, -1]])
    with np.errstate(all="ignore"):
        slopes = np.log(sizes[1] / sizes[0]) / math.log(distance[1] / distance[0])
        beyond = np.where(slopes < -1.0, sizes[1] * distance[1] / (-slopes - 1.0), math.inf)
    beyond = np.where(sizes[1] == 0.0, 0.0, beyond)
    return beyond, -math.inf if sizes[1, 0] == 0.0 else float(slopes[0])
