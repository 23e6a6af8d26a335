"""What measuring may ask of a distribution, in NumPy float64."""

import abc
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, final

import numpy as np
from jaxtyping import Float

Array = np.ndarray


@final
@dataclass(frozen=True)
class Support:
    """Where a distribution lives.

    Attributes:
        kind: "interval" (of the reals), "integers" (within [low, high]), or the name of a set of
            vectors ("real", "simplex", "sphere", "one_hot", "counts", "matrix").
        low, high: the ends of an interval or of a run of integers; may be infinite.
        dimension: coordinates of an event; 0 for a scalar.
    """

    kind: Literal[
        "interval", "integers", "real", "simplex", "sphere", "one_hot", "counts", "matrix"
    ]
    low: float = -math.inf
    high: float = math.inf
    dimension: int = 0

    @property
    def discrete(self) -> bool:
        return self.kind in ("integers", "one_hot", "counts")

    def __str__(self) -> str:
        if self.kind == "interval":
            return f"({self.low:g}, {self.high:g})"
        if self.kind == "integers":
            return f"the integers from {self.low:g} to {self.high:g}"
        return f"{self.kind} vectors of {self.dimension} coordinates"


class Distribution(abc.ABC):
    """A distribution that can be measured. Subclasses are final and frozen.

    An event is a float (`support.dimension == 0`) or a vector; `n` events are an array of shape
    (n,) or (n, d).
    """

    #: False when `log_prob` lacks its normalising constant.
    normalized: bool = True

    @property
    @abc.abstractmethod
    def support(self) -> Support: ...

    @abc.abstractmethod
    def log_prob(self, x: Array) -> Float[np.ndarray, " n"]:
        """Returns the log density (or log mass) at n events; -inf outside the support."""

    @abc.abstractmethod
    def sample(self, rng: np.random.Generator, n: int) -> Array:
        """Returns n independent draws. Raises UnsupportedError when none can be had."""

    def landmarks(self) -> Float[np.ndarray, " m"]:
        """Returns points of the line between which the density is smooth and has its mass.

        Only scalars have them: quadrature splits there.
        """
        raise AssertionError(f"{type(self).__name__} is not a scalar")

    def strata(self) -> "tuple[Stratum, ...]":
        """Returns the pieces p is a mixture of, each a map of standard normals; none if unknown."""
        return ()


@final
@dataclass(frozen=True)
class Stratum:
    """One piece of a mixture, drawn by pushing standard normals through a map.

    Attributes:
        weight: its share of the mixture.
        dimension: coordinates of the standard normals that `transport` takes.
        transport: maps standard normals of shape (n, dimension) to n events.
    """

    weight: float
    dimension: int
    transport: Callable[[Array], Array]
