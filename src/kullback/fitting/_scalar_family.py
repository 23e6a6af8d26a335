"""Families of scalars for maximum likelihood: where they live and what fitting one gives."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, final, runtime_checkable

import numpy as np
from jaxtyping import Float

from kullback.distributions._base import Distribution

Values = Float[np.ndarray, " n"]
Vector = Float[np.ndarray, " m"]


@final
@dataclass(frozen=True)
class Domain:
    """The values that a family can give a finite log density.

    Attributes:
        low, high: the ends.
        closed: whether each end belongs to it.
        integers: whether only integers do.
    """

    low: float = -math.inf
    high: float = math.inf
    closed: tuple[bool, bool] = (False, False)
    integers: bool = False

    def outside(self, x: Values) -> np.ndarray:
        """Returns which values do not belong to it."""
        below = x < self.low if self.closed[0] else x <= self.low
        above = x > self.high if self.closed[1] else x >= self.high
        return below | above | (self.integers & (x != np.floor(x)))

    def __str__(self) -> str:
        if self.integers:
            return f"the integers from {self.low:g} to {self.high:g}"
        ends = f"{self.low:g}, {self.high:g}"
        return f"{'[' if self.closed[0] else '('}{ends}{']' if self.closed[1] else ')'}"


@final
@dataclass(frozen=True, eq=False)
class Best:
    """The member of a family with the greatest likelihood.

    Attributes:
        q: the member.
        notes: what a careful reader should know.
        evaluations: of the likelihood.
        at: unconstrained parameters, where a fit to a part of the rows may start.
        frame: what was subtracted from the rows and divided by, for `at`.
        score: log densities by something faster than `q.log_prob`.
    """

    q: Distribution
    notes: tuple[str, ...] = ()
    evaluations: int = 1
    at: Vector | None = None
    frame: tuple[float, float] = (0.0, 1.0)
    score: Callable[[Values], Values] | None = None

    def log_prob(self, x: Values) -> Values:
        """Returns log q(x)."""
        return self.q.log_prob(x) if self.score is None else self.score(x)


@runtime_checkable
class Maximise(Protocol):
    """Maps rows and weights, not normalised, to the best member; `near` is one to start from."""

    def __call__(self, x: Values, weights: Values, near: Best | None = None, /) -> Best: ...


@final
@dataclass(frozen=True)
class ScalarFamily:
    """A family of scalars that is fitted by maximum likelihood.

    Attributes:
        name: in messages.
        parameters: how many there are.
        domain: where it lives.
        maximise: finds the best member.
        moving_ends: whether the ends of its support are fitted.
    """

    name: str
    parameters: int
    domain: Domain
    maximise: Maximise
    moving_ends: bool = False


def mean(weights: Values, values: Values) -> float:
    """Returns the weighted mean."""
    return float(weights @ values) / float(weights.sum())


def median(x: Values, weights: Values) -> float:
    """Returns the weighted median: the middle of all of them, as of rows that are repeated."""
    order = np.argsort(x, kind="stable")
    x, below = x[order], np.cumsum(weights[order])
    half = 0.5 * below[-1]
    left = x[np.searchsorted(below, half, side="left")]
    right = x[min(int(np.searchsorted(below, half, side="right")), len(x) - 1)]
    return float(left) + 0.5 * float(right - left)


def frame(x: Values, weights: Values) -> tuple[float, float]:
    """Returns the median and a scale: the mean distance from it."""
    center = median(x, weights)
    return center, mean(weights, np.abs(x - center)) or 1.0
