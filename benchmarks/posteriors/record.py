"""A target posterior: a log density over R^d whose evidence and best fits are on record."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, eq=False)
class Posterior:
    """A target of the suite.

    Attributes:
        name: its key in truth.json.
        log_density: a JAX function of a float64 vector (d,), unnormalised; models with bounded
            parameters are written in unconstrained space, their Jacobian included.
        dimension: d.
        start: where a user would begin, (d,); no fit may depend on it being good.
        about: one line for the tables.
    """

    name: str
    log_density: Callable[[Any], Any]
    dimension: int
    start: np.ndarray
    about: str


def zeros(name: str, log_density: Callable[[Any], Any], dimension: int, about: str) -> Posterior:
    """Returns a target started at the origin."""
    return Posterior(name, log_density, dimension, np.zeros(dimension), about)
