"""Adam: gradient steps, each coordinate's by its own running size. Kingma and Ba (2015), algorithm 1.

In NumPy: a step of a few hundred numbers takes 10 µs, optax's 60 µs after .1 s of compilation and .2 s
of import. Tested against optax.adam.
"""

from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float

_FIRST, _SECOND, _FLOOR = 0.9, 0.999, 1e-8


@final
@dataclass(frozen=True, eq=False)
class Adam:
    """The running means of a gradient and of its square.

    Attributes:
        first, second: the two means, before their correction for having started at 0.
        steps: how many gradients are in them.
    """

    first: Float[np.ndarray, " p"]
    second: Float[np.ndarray, " p"]
    steps: int = 0

    @classmethod
    def start(cls, p: int) -> "Adam":
        """Returns the state before the first of p coordinates' gradients."""
        return cls(np.zeros(p), np.zeros(p))

    def after(self, gradient: Float[np.ndarray, " p"]) -> "Adam":
        """Returns the state after one gradient more."""
        return Adam(
            _FIRST * self.first + (1.0 - _FIRST) * gradient,
            _SECOND * self.second + (1.0 - _SECOND) * gradient**2,
            self.steps + 1,
        )

    @property
    def direction(self) -> Float[np.ndarray, " p"]:
        """The step of length 1: m / (sqrt(v) + 1e-8), both corrected."""
        first = self.first / (1.0 - _FIRST**self.steps)
        second = self.second / (1.0 - _SECOND**self.steps)
        return first / (np.sqrt(second) + _FLOOR)
