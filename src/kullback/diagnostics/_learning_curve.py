"""What fewer rows cost: fits to some of the rows, scored on rows left out, against the fit to all.

Of a family that holds p, a fit to n rows has the expected forward KL m / (2n), m the number of its
parameters (Wilks 1938): the line on which the excess falls as n grows.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from kullback.fitting._final_climb import final_climb
from kullback.fitting._rows import Rows
from kullback.fitting._scores import Score
from kullback.results._likelihood import Learnt

#: Repetitions, each with rows of its own left out; halvings of the rows.
_REPEATS, _HALVINGS = 5, 5
#: Fewer rows than this a parameter do not follow the line.
_FEWEST = 3
#: Rows, and rows times components times sums, beyond which it is not worth its time.
MOST_ROWS, MOST_WORK = 50_000, 4e6
_TOLERANCE, _PASSES = 0.1, 200


def too_much(family: Any, rows: Rows, k: int) -> bool:
    """Whether refits to parts of the rows would take long."""
    work = rows.n * k * family.structure.width
    return not rows.in_memory or rows.n > MOST_ROWS or work > MOST_WORK


def learning_curve(
    family: Any, rows: Rows, left_out: Score, rng: np.random.Generator, watch: Callable[[str], None]
) -> tuple[Learnt, ...]:
    """Returns the excess KL of fits to a half, a quarter, an eighth ... of the rows, fewest last.

    Measured is how much less the rows left out score under the fit to some of the others than under the
    fit to all others; the excess of the latter, which no rows tell, is added as m / (2n).

    Args:
        family: of the mixtures.
        rows: all, in memory.
        left_out: the score of rows left out, with its parts.
        rng: randomness.
        watch: told what is being done.
    """
    folds = len(left_out.parts)
    if folds < 2:
        return ()
    m = family.parameters(len(left_out.parts[0][0].weights))
    n = round(rows.effective)
    sizes = [s for i in range(1, _HALVINGS + 1) if (s := n >> i) >= max(_FEWEST * m, 20)]
    repeats = min(_REPEATS, folds)
    losses = np.empty((repeats, len(sizes)))
    for i, (q, test) in enumerate(left_out.parts[:repeats]):
        watch(f"fits to fewer rows, {i + 1} of {repeats}")
        losses[i] = _losses(family, q, test, rows.without(i, folds), sizes, rng)
    own = m / (2.0 * n * (folds - 1) / folds)
    errors = losses.std(axis=0, ddof=1) / math.sqrt(repeats)
    return tuple(
        Learnt(size, float(mean) + own, float(error))
        for size, mean, error in zip(sizes, losses.mean(axis=0), errors, strict=True)
    )


def _losses(
    family: Any, q: Any, test: Rows, train: Rows, sizes: list[int], rng: np.random.Generator
) -> list[float]:
    """What fits to so many rows score less than q on the rows left out."""
    x, weights = test.whole()
    used = weights > 0.0
    x, share = x[:, used], weights[used] / weights.sum()
    full = float(share @ family.final.log_prob(q, x))
    order = _expanded(train, rng)
    found = []
    for size in sizes:
        q = _fit(family, q, _some(train, order[:size]))
        found.append(full - float(share @ family.final.log_prob(q, x)))
    return found


def _fit(family: Any, q: Any, rows: Rows) -> Any:
    end = final_climb(family, rows, q, tolerance=_TOLERANCE, passes=_PASSES).end
    if end.interrupted:
        raise KeyboardInterrupt
    return end.at


def _expanded(rows: Rows, rng: np.random.Generator) -> np.ndarray:
    """Indices of rows in random order, as often as they count."""
    _, weights = rows.whole()
    held = np.flatnonzero(weights)
    given = weights[held]
    if (given == np.floor(given)).all() and given.sum() < 10.0 * MOST_ROWS:
        held = np.repeat(held, given.astype(np.int64))
        return rng.permutation(held)
    return rng.choice(held, len(held), p=given / given.sum())


def _some(rows: Rows, picked: np.ndarray) -> Rows:
    x, _ = rows.whole()
    index, counts = np.unique(picked, return_counts=True)
    values = x[:, index].T * rows.scale + rows.center
    return rows.subset(values, counts.astype(np.float64))
