"""Families with two or three parameters, fitted without gradients, in either direction."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float

from kullback._core.errors import KullbackError, UnsupportedError
from kullback.distributions._base import Distribution
from kullback.estimators import _select
from kullback.estimators._question import KL
from kullback.fitting._nodes import Nodes
from kullback.results._fit import Direction
from kullback.solvers._minimise import Minimum, without_gradient

Vector = Float[np.ndarray, " m"]


@final
@dataclass(frozen=True)
class Parametric:
    """A family of scalars by its unconstrained parameters.

    Attributes:
        name: in messages.
        build: maps unconstrained parameters to a member.
        starts: unconstrained parameters to try first.
    """

    name: str
    build: Callable[[Vector], Distribution]
    starts: tuple[Vector, ...]


def to_nodes(data: Nodes) -> Callable[[Distribution], float]:
    """Returns the objective -sum w log q(x): forward KL up to the entropy of p."""

    def value(q: Distribution) -> float:
        log_q = q.log_prob(data.x[:, 0])
        return -float(data.weights @ log_q) if np.isfinite(log_q).all() else math.inf

    return value


def to_density(p: Distribution, direction: Direction) -> Callable[[Distribution], float]:
    """Returns the objective KL(p||q), or KL(q||p), measured by the method that the table chooses."""

    def value(q: Distribution) -> float:
        pair = (p, q) if direction == "forward" else (q, p)
        outcome = _select.choose(KL, *pair)[1](_select.Effort())
        return outcome.value if outcome.kind in ("exact", "numeric") else math.inf

    return value


def minima(
    family: Parametric,
    objective: Callable[[Distribution], float],
    watch: Callable[[int], None],
    *,
    best: int = 3,
) -> list[Minimum]:
    """Returns the ends of descents from the best of the family's starts."""

    def value(vector: Vector) -> float:
        try:
            return objective(family.build(vector))
        except (KullbackError, OverflowError, ZeroDivisionError):
            return math.inf

    ranked = sorted(family.starts, key=value)
    usable = [s for s in ranked[:best] if math.isfinite(value(s))]
    if not usable:
        raise UnsupportedError(
            f"{family.name}: the divergence is infinite for every member tried; its support or its "
            "tails do not fit the target: choose another family, or the other direction"
        )
    found = []
    for start in usable:
        found.append(without_gradient(value, start))
        watch(len(found))
    return found
