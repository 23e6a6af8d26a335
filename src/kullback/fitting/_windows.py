"""Stochastic ascent in windows, whose averages are compared on draws that no gradient has seen.

As long as the ELBO gains more than .01 nats beyond twice the error of the difference, the step stays;
else it is halved and the windows are made twice as long. Where neighbouring batches of a window are
correlated, the gradients are so noisy that Adam creeps: then only the windows are made longer. The
ascent ends after three windows in a row without a gain, when the error of the average, from means of
batches of the last window, is below .01 nats and .05 sds; or at the cap on draws.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float

from kullback.fitting._reverse import NATS, settled

Array = np.ndarray

#: Neighbouring batches more correlated than this say that the window is too short to know its error.
_TIED = 0.35
_ROUNDING = 1e-20
#: Windows in a row without a gain before the end.
_FLAT = 3


@final
@dataclass(frozen=True, eq=False)
class Reached:
    """The best so far: where, its ELBO on the common draws, its error, and the draws spent."""

    at: Array
    elbo: float
    noise: tuple[float, float]
    spent: int


def windows(
    window: Callable[[int, float], Array],
    ratio_at: Callable[[Array], Float[np.ndarray, " n"]],
    errors: Callable[[Array, Array], tuple[float, float]],
    *,
    start: Array,
    step: float,
    length: int,
    per_step: int,
    compared: int,
    most: int,
) -> Iterator[Reached]:
    """Yields the start, and the best so far after each window.

    Args:
        window: makes so many steps of such a size; returns means of batches of where they led.
        ratio_at: log p - log q on the common draws.
        errors: of an average by its batches, in nats and sds.
        start: where the first window begins.
        step, length: of the first window.
        per_step, compared: the draws that a step and a comparison are counted as.
        most: draws at most.
    """
    best, ratio, noise = start, ratio_at(start), (math.inf, math.inf)
    spent, flat = compared, 0
    yield Reached(best, float(ratio.mean()), noise, spent)
    while spent + per_step * length <= most and not (flat >= _FLAT and settled(noise)):
        batches = window(length, step)
        spent += per_step * length + compared
        average = batches.mean(axis=0)
        there = ratio_at(average)
        gain, error = _paired_gain(there, ratio)
        rising = gain > NATS + 2.0 * error
        if rising or gain > -NATS - 2.0 * error:
            best, ratio, noise = average, there, errors(average, batches)
        tied = _correlation((batches - average).reshape(len(batches), -1)) > _TIED
        flat = 0 if rising or tied else flat + 1
        if not rising:
            step, length = step if tied else 0.5 * step, 2 * length
        yield Reached(best, float(ratio.mean()), noise, spent)


def inflation(apart: Float[np.ndarray, "b p"]) -> float:
    """Returns how much larger the variance of the mean of correlated batches is than that of independent ones."""
    lag = _correlation(apart)
    return (1.0 + lag) / (1.0 - lag)


def _correlation(apart: Float[np.ndarray, "b p"]) -> float:
    """Returns the correlation of neighbouring batches, from 0 to 0.9; 0 for what is rounding."""
    total = float(np.sum(apart**2))
    if total < _ROUNDING * apart.size:
        return 0.0
    # The mean is taken from the batches themselves, which lowers each correlation by 1 / b.
    lag = float(np.sum(apart[1:] * apart[:-1])) / total + 1.0 / len(apart)
    return min(max(lag, 0.0), 0.9)


def _paired_gain(there: Array, here: Array) -> tuple[float, float]:
    """Returns how much higher the mean of one log-ratio is than another's, draw by draw, with its error."""
    lives, lived = np.isfinite(there), np.isfinite(here)
    if lives.sum() != lived.sum():
        return (math.inf if lives.sum() > lived.sum() else -math.inf), 0.0
    both = lived & lives
    apart = there[both] - here[both]
    if len(apart) < 2:
        return 0.0, 0.0
    return float(apart.mean()), float(apart.std(ddof=1)) / math.sqrt(len(apart))
