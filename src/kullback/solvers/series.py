"""Sums over the integers, with what is left beyond the last term."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import final

import numpy as np
from jaxtyping import Float

#: n integers and the log of a factor to n terms of m columns, times that factor: far out, blocks are so long that their
#: terms alone would underflow.
Terms = Callable[[np.ndarray, float], np.ndarray]

_BLOCK = 4096
#: Terms after which no more are taken one by one.
_SERIES_BUDGET = 100_000
#: Terms of a block that doubles are a polynomial in k of this degree: at 2 to 1, 1/k^a is one to 1e-16.
_DEGREE = 24
#: Blocks in a row that add no less than the one before, after which a sum diverges.
_GROWING = 300
#: Blocks until k is beyond what a float64 holds.
_DOUBLINGS = 900


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


def add_up(f: Terms, start: float, low: float, high: float, of: tuple[int, int] = (0, 0)) -> Sum:
    """Returns the sums of the columns of f over the integers from low to high.

    Works outwards from `start` in growing blocks until the last block adds nothing.

    Args:
        f: maps n integers, and the log of a factor, to an array (n, m).
        start: an integer where the terms are large.
        low, high: the ends; may be infinite.
        of: a column that may diverge, and one of a mass that does not; the same if there is none.
    """
    parts = [
        part
        for first, last, step in (
            *_stretches(start, high, 1.0),
            *_stretches(start - 1.0, low, -1.0),
        )
        if (part := _run(f, first, last, step, of)) is not None
    ]
    return Sum(
        np.sum([part.value for part in parts], axis=0),
        np.sum([part.beyond for part in parts], axis=0),
        np.sum([part.absolute for part in parts], axis=0),
        sum(part.terms for part in parts),
        max(part.slope for part in parts),
    )


def _stretches(start: float, end: float, step: float) -> list[tuple[float, float, float]]:
    """Where to begin, to stop and how to step: far from a start, terms may change as fast at a finite end."""
    if not math.isfinite(end) or (end - start) * step < 2.0 * _SERIES_BUDGET:
        return [(start, end, step)]
    middle = math.floor(0.5 * (start + end))
    return [(start, middle, step), (end, middle + step, -step)]


def _run(f: Terms, start: float, end: float, step: float, of: tuple[int, int]) -> Sum | None:
    if (end - start) * step < 0.0:
        return None
    value = absolute = 0.0
    size, k, count = _BLOCK, start, 0
    while True:
        length = int(min(size, (end - k) * step + 1.0)) if math.isfinite(end) else size
        x = k + step * np.arange(length)
        y = f(x, 0.0)
        added = np.abs(y).sum(axis=0)
        value, absolute = value + y.sum(axis=0), absolute + added
        count += length
        k += step * length
        if (end - k) * step < 0.0:
            return Sum(value, np.zeros_like(added), absolute, count, -math.inf)
        done = (added <= 2.0**-60 * absolute).all()
        if done or not np.isfinite(value).all():
            last, slope = _last(y, x, start)
            return Sum(value, last, absolute, count, -math.inf if done else slope)
        if count >= _SERIES_BUDGET:
            rest = _doubling(f, start, k, end, step, absolute, of)
            return Sum(
                value + rest.value,
                rest.beyond,
                absolute + rest.absolute,
                count + rest.terms,
                rest.slope,
            )
        size = min(2 * size, 2**19)


def _doubling(
    f: Terms,
    start: float,
    k: float,
    end: float,
    step: float,
    before: np.ndarray,
    of: tuple[int, int],
) -> Sum:
    """Returns the sum from k on: blocks whose length doubles, each from its terms at a few integers.

    The terms are smooth in k so far out. A block's error is how far the sum moves when every other
    integer is left out.
    """
    value = absolute = beyond = np.zeros_like(before)
    # Beyond 2^53 the first few thousand integers are one float.
    count, length = 0, max((k - start) * step, float(_SERIES_BUDGET))
    growing, previous = 0, np.zeros(len(of))
    while True:
        last = k + step * (length - 1.0)
        closing = (end - last) * step <= 0.0
        if closing:
            length = max((end - k) * step + 1.0, 1.0)
        nodes, fine, coarse = _block_rule(length)
        x = k + step * nodes
        y = f(x, math.log(length))
        added = fine @ y / length
        less = added if coarse is None else coarse @ y[::2] / length
        size = fine @ np.abs(y) / length
        value, absolute = value + added, absolute + np.abs(size)
        beyond = beyond + np.abs(added - less)
        count += len(nodes)
        if closing:
            return Sum(value, beyond, absolute, count, -math.inf)
        done = (np.abs(size) <= 2.0**-60 * (before + absolute)).all()
        k += step * length
        # Terms that fall like 1/k or slower add as much with every block; far out, they underflow.
        # What has not come to its bulk grows as well: there, its mass does.
        tail = (np.abs(size[list(of)]) > (1.0 - 1e-3) * previous) & (previous > 0.0)
        growing = growing + 1 if tail[0] and not tail[-1] else 0
        previous = np.abs(size[list(of)])
        if growing >= _GROWING:
            return Sum(value, np.full_like(beyond, math.inf), absolute, count, 0.0)
        if done or abs(k) > 2.0**_DOUBLINGS or not np.isfinite(value).all():
            rest, slope = _last(y, x, start)
            return Sum(value, beyond + rest / length, absolute, count, -math.inf if done else slope)
        length *= 2.0


@lru_cache(maxsize=1024)
def _block_rule(length: float) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Returns integers 0 <= k < length and weights: exact sums of polynomials of k over all of them.

    The coarser weights are for every other one of the integers; none where they are all taken.
    """
    if length <= _BLOCK:
        return np.arange(length), np.ones(int(length)), None
    degree = 2 * _DEGREE
    middle = 0.5 * (length - 1.0)
    nodes = np.rint(middle * (1.0 - np.cos(math.pi * np.arange(degree + 1) / degree)))
    sums = _chebyshev_sums(degree, length)

    def weights(chosen: np.ndarray) -> np.ndarray:
        table = np.polynomial.chebyshev.chebvander(chosen / middle - 1.0, len(chosen) - 1)
        return np.linalg.solve(table.T, sums[: len(chosen)])

    return nodes, weights(nodes), weights(nodes[::2])


def _chebyshev_sums(degree: int, length: float) -> np.ndarray:
    """Returns the sums of T_m(u_k) over u_k = 2 k / (length - 1) - 1, k = 0, ..., length - 1.

    By Euler and Maclaurin: the integral, half of both ends, and what odd derivatives at the ends add.
    """
    step = 2.0 / (length - 1.0)
    powers = np.concatenate([[1.0 / step, 1.0], step ** np.array([1.0, 3.0, 5.0, 7.0])])
    return powers @ _end_terms()[:, : degree + 1]


@lru_cache(maxsize=1)
def _end_terms() -> np.ndarray:
    """The coefficients of these, for m = 0, ..., 2 _DEGREE; 0 for odd m."""
    bernoulli = [1.0 / 12.0, -1.0 / 720.0, 1.0 / 30240.0, -1.0 / 1209600.0]  # B_2j / (2j)!
    table = np.zeros((6, 2 * _DEGREE + 1))
    for m in range(0, 2 * _DEGREE + 1, 2):
        series = np.polynomial.Chebyshev.basis(m)
        slopes = [series.deriv(2 * j + 1) for j in range(4)]
        ends = [b * (d(1.0) - d(-1.0)) for b, d in zip(bernoulli, slopes, strict=True)]
        table[:, m] = [series.integ(lbnd=-1.0)(1.0), 0.5 * (series(-1.0) + series(1.0)), *ends]
    return table


def _last(y: np.ndarray, x: np.ndarray, start: float) -> tuple[np.ndarray, float]:
    """Returns what the terms beyond the last add, from the power with which they fall."""
    distance = np.abs(x[[len(x) // 2, -1]] - start) + 1.0
    sizes = np.abs(y[[len(y) // 2, -1]])
    with np.errstate(all="ignore"):
        slopes = np.log(sizes[1] / sizes[0]) / math.log(distance[1] / distance[0])
        beyond = np.where(slopes < -1.0, sizes[1] * distance[1] / (-slopes - 1.0), math.inf)
    beyond = np.where(sizes[1] == 0.0, 0.0, beyond)
    return beyond, -math.inf if sizes[1, 0] == 0.0 else float(slopes[0])
