"""Passes over rows in units of fixed length, here or on workers, whose results meet in a fixed order.

A unit is a stretch of 65,536 rows, wherever files begin and end: rows give the same bits from an array, from one
file, from many, in one process and on any number of workers. Sums over units are taken in a fixed binary tree.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Float

from kullback.core.errors import InputError
from kullback.core.executor import Pairwise, Workers, alone
from kullback.targets import Samples, Stream

#: Rows of a unit: .02 s of work for ten components of six columns.
UNIT = 2**16
#: Units of a task at least, since a task reads the row groups at its edges for itself, and tasks of a pass at most: a
#: scheduler takes about a millisecond for each.
_LEAST, _MOST_TASKS = 4, 2048

#: Rows of a block where columns are described.
FIRST = 2**14

Piece = tuple[Float[np.ndarray, "m d"], Float[np.ndarray, " m"]]


def pieces(source: Samples | Stream, size: int) -> Iterator[Piece]:
    """Yields rows and weights, `size` at a time but for the last, whatever size they are read in."""
    if isinstance(source, Samples):
        weights = np.ones(len(source.values)) if source.weights is None else source.weights
        weights = weights if source.frequencies is None else weights * source.frequencies
        yield from blocks_of(source.values, weights, size)
        return
    left: list[tuple[np.ndarray, np.ndarray]] = []
    count = 0
    for values, given in source.read():
        weights = np.ones(len(values)) if given is None else given
        start = 0
        if count:
            start = min(size - count, len(values))
            left.append((values[:start], weights[:start]))
            count += start
            if count == size:
                yield np.concatenate([v for v, _ in left]), np.concatenate([w for _, w in left])
                left, count = [], 0
        whole = start + (len(values) - start) // size * size
        yield from blocks_of(values[start:whole], weights[start:whole], size)
        if whole < len(values):
            left.append((values[whole:], weights[whole:]))
            count += len(values) - whole
    if count:
        yield np.concatenate([v for v, _ in left]), np.concatenate([w for _, w in left])


def blocks_of(
    values: Float[np.ndarray, "m d"], weights: Float[np.ndarray, " m"], size: int
) -> Iterator[Piece]:
    """Yields rows and weights, `size` at a time."""
    for i in range(0, len(weights), size):
        yield values[i : i + size], weights[i : i + size]


def tasks(rows: int) -> list[tuple[int, int]]:
    """Returns the first row of each task and the first one after it: 2^j units each but for the last."""
    units = _LEAST
    while units * UNIT * _MOST_TASKS < rows:
        units *= 2
    return [(i, min(i + units * UNIT, rows)) for i in range(0, rows, units * UNIT)]


def added(one: list[Any], other: list[Any]) -> list[Any]:
    """Returns the sums of arrays, or of numbers."""
    return [a + b for a, b in zip(one, other, strict=True)]


def check_in_files(given: object) -> None:
    """Raises InputError for rows that no worker of an executor can read for itself."""
    if not isinstance(given, Stream):
        raise InputError(
            "executor=: these rows are in memory, where one process is enough: give the path of .parquet files, or "
            "leave executor out"
        )
    if given.parts is None:
        raise InputError(
            f"executor=: {given.source}: these rows can only be read from the first on: give the path of "
            ".parquet files, or leave executor out"
        )


def parts_of(source: Samples | Stream) -> list[tuple[int, Stream]]:
    """Returns the first row and the rows of each task, as they are sent to workers."""
    assert isinstance(source, Stream)
    parts = source.parts
    assert parts is not None
    if not parts.count():
        raise InputError(f"{source.source}: there are no rows in it")
    return [
        (first, replace(source, read=parts.part(first, last), parts=None))
        for first, last in tasks(parts.count())
    ]


# A run is a pure function of rows that yields a result for each unit: a partial of a function with arrays, so that it
# can be sent to another process, as the rows can, which are paths and a range.


def each(
    run: Callable[[Any], Iterator[Any]], parts: Sequence[Any], workers: Workers
) -> Iterator[Any]:
    """Yields what a run over the rows of each task yields, in their order, from workers."""
    for results in workers.map(partial(_listed, run), parts):
        yield from results


def total(
    run: Callable[[Any], Iterator[Any]],
    combine: Callable[[Any, Any], Any],
    parts: Sequence[Any],
    workers: Workers,
) -> Any:
    """Returns the sum of what a run over the rows of each task yields, from workers: of all units in a fixed tree."""
    tree = Pairwise(combine)
    for sums in workers.map(partial(_reduced, run, combine), parts):
        for level, value in sums:
            tree.add(value, level)
    return tree.total()


def summed(results: Iterator[Any], combine: Callable[[Any, Any], Any]) -> Pairwise:
    """Returns the tree of the results of all units."""
    tree = Pairwise(combine)
    for result in results:
        tree.add(result)
    return tree


def _listed(run: Callable[[Any], Iterator[Any]], rows: Any) -> list[Any]:
    alone()
    return list(run(rows))


def _reduced(
    run: Callable[[Any], Iterator[Any]], combine: Callable[[Any, Any], Any], rows: Any
) -> list[tuple[int, Any]]:
    alone()
    return summed(run(rows), combine).held


# Runs over rows, as `Rows.each` takes them: what they yield is one result for each unit.


def weight(rows: Any) -> Iterator[list[float]]:
    """Yields the sum of the weights."""
    for blocks in rows.units(FIRST):
        yield [sum(float(weights.sum()) for _, _, weights in blocks)]


def counted_weight(rows: Any) -> Iterator[list[float]]:
    """Yields the sum of the weights, added up in order, as where marks on their line are looked for."""
    for _, weights in rows.counted(UNIT):
        yield [float(np.cumsum(weights)[-1])]


def picked(sought: tuple[Any, np.ndarray, np.ndarray]) -> Iterator[np.ndarray]:
    """Yields the rows of each unit in which marks lie on the line of cumulative weights.

    Args:
        sought: the rows, the weight of all before each of their units, and marks in order.
    """
    rows, below, marks = sought
    for before, (values, weights) in zip(below, rows.counted(UNIT), strict=True):
        upto = before + np.cumsum(weights)
        first, last = np.searchsorted(marks, [before, upto[-1]])
        at = np.searchsorted(upto, marks[first:last], side="right")
        yield values[np.minimum(at, len(values) - 1)]


def described(rows: Any) -> Iterator[tuple[Any, ...]]:
    """Rows, weight and its squares; of each column weight, mean and scatter of what is there, and its range."""
    copies = _copies(rows.source)
    for unit, (whole, held) in enumerate(rows.counted(UNIT)):
        found: tuple[Any, ...] | None = None
        for i, (values, weights) in enumerate(blocks_of(whole, held, FIRST)):
            times = copies(unit * UNIT + i * FIRST, weights)
            made = _of_block(values, weights, times, missing=rows.source.missing)
            found = made if found is None else merged(found, made)
        assert found is not None
        yield found


def _of_block(
    values: np.ndarray, weights: np.ndarray, times: np.ndarray, *, missing: bool
) -> tuple[Any, ...]:
    seen = ~np.isnan(values) if missing else np.ones(values.shape, dtype=bool)
    held = weights @ seen
    kept = np.where(seen, values, 0.0) if missing else values
    # Chan's update: each block is centred at its own mean, so that no digits cancel.
    mean = np.where(held > 0.0, weights @ kept / np.maximum(held, 1e-300), 0.0)
    moved = values - mean
    moved = np.where(seen, moved, 0.0) if missing else moved
    with np.errstate(over="ignore"):  # who asked refuses such units
        scatter = weights @ (moved * moved)
    shown = seen & (weights > 0.0)[:, None]
    low = np.min(values, axis=0, where=shown, initial=np.inf)
    high = np.max(values, axis=0, where=shown, initial=-np.inf)
    n, squares = int(np.sum(times[weights > 0.0])), weights @ (weights / np.maximum(times, 1.0))
    return n, float(weights.sum()), float(squares), held, mean, scatter, low, high


def merged(one: tuple[Any, ...], other: tuple[Any, ...]) -> tuple[Any, ...]:
    """Returns the counts, means and squares of two stretches of rows together (Chan's update)."""
    n, total, squares, mass, mean, square, low, high = one
    apart, held = other[4] - mean, other[3]
    share = held / np.maximum(mass + held, 1e-300)
    scatter = square + (other[5] + apart * apart * mass * share)
    return (
        n + other[0], total + other[1], squares + other[2], mass + held, mean + apart * share, scatter,
        np.minimum(low, other[6]), np.maximum(high, other[7]),
    )  # fmt: skip


def _copies(
    source: Samples | Stream,
) -> Callable[[int, Float[np.ndarray, " m"]], Float[np.ndarray, " m"]]:
    """Returns how many equal rows each stands for, of a block by its first row and its weights."""
    if isinstance(source, Stream):
        return lambda _, weights: weights if source.copies else np.ones(len(weights))
    times = source.frequencies
    if times is None:
        return lambda _, weights: np.ones(len(weights))
    return lambda first, weights: times[first : first + len(weights)]
