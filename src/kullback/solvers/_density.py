"""A log density to be climbed and sampled: its values and gradients, counted and looked at."""

from collections.abc import Callable
from typing import final

import numpy as np
from jaxtyping import Float

Evaluate = Callable[
    [Float[np.ndarray, "n d"]], tuple[Float[np.ndarray, " n"], Float[np.ndarray, "n d"]]
]

_KEPT = 16


@final
class Density:
    """Values and gradients of a log density, with a count of them.

    A NaN, or a finite value with a gradient that is not, is kept in `faults` with its place and
    answered with -inf: whoever searches must get on, whoever reports must look at `faults`.
    """

    def __init__(self, evaluate: Evaluate, dimension: int) -> None:
        self.dimension = dimension
        self.count = 0
        self.faults: list[tuple[str, Float[np.ndarray, " d"]]] = []
        self.faulty = 0
        self._evaluate = evaluate

    def forget(self) -> None:
        """Forgets the faults met so far."""
        self.faults.clear()
        self.faulty = 0

    def __call__(
        self, x: Float[np.ndarray, "n d"]
    ) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, "n d"]]:
        """Returns log densities and gradients; -inf and 0 where there is nothing to stand on."""
        self.count += len(x)
        value, gradient = self._evaluate(x)
        broken = np.isnan(value) | (value == np.inf)
        bent = np.isfinite(value) & ~np.isfinite(gradient).all(axis=1)
        for rows, what in ((broken, "value"), (bent, "gradient")):
            if rows.any():
                self.faulty += int(rows.sum())
                if len(self.faults) < _KEPT:
                    self.faults.append((what, x[int(np.argmax(rows))].copy()))
        dead = broken | bent | ~np.isfinite(value)
        if dead.any():
            value = np.where(dead, -np.inf, value)
            gradient = np.where(dead[:, None], 0.0, gradient)
        return value, gradient
