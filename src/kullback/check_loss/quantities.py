"""What a loss is compared with: a quantity on every problem, as value and as gradient."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np

Array = np.ndarray


@final
@dataclass(frozen=True, eq=False)
class Quantity:
    """A divergence, or another functional of p and q, on K problems.

    Attributes:
        name: its key, such as "forward".
        label: as it prints, such as "KL(p||q)".
        values: (K,), mean over rows.
        gradients: K vectors, with respect to the parameters of q.
        parameters: names and values of what was fitted, such as a temperature.
    """

    name: str
    label: str
    values: Array
    gradients: tuple[Array, ...]
    parameters: tuple[tuple[str, float], ...] = ()


@final
@dataclass(frozen=True)
class Family:
    """Quantities with one free parameter.

    Attributes:
        name, parameter: keys.
        grid: where the search starts.
        at: the quantity at a parameter, on the problems of the catalogue it belongs to.
    """

    name: str
    parameter: str
    grid: tuple[float, ...]
    at: Callable[[float], Quantity]


@final
@dataclass(frozen=True)
class Plane:
    """Quantities with two free parameters, both positive.

    Attributes:
        name: key.
        starts: where the search starts.
        at: the quantity at two parameters.
    """

    name: str
    starts: tuple[tuple[float, float], ...]
    at: Callable[[float, float], Quantity]


@final
@dataclass(frozen=True)
class Catalogue:
    """All that a loss may turn out to be on one set of problems.

    Attributes:
        plain: without free parameters, the commonest first.
        families: with one.
        planes: with two.
        mixed: names of those whose mixtures are tried, two at a time.
        extra: what may be added to any of them: the cross-entropy with labels.
    """

    plain: tuple[Quantity, ...]
    families: tuple[Family, ...] = ()
    planes: tuple[Plane, ...] = ()
    mixed: tuple[str, ...] = ()
    extra: tuple[Quantity, ...] = ()

    def named(self, name: str) -> Quantity | None:
        """Returns a plain quantity by its name; None if it is not there."""
        return next((q for q in self.plain if q.name == name), None)

    def values(self, name: str) -> Array:
        """Returns the values of a plain quantity; NaN if it is not there."""
        found = self.named(name)
        return np.full(len(self.plain[0].values), np.nan) if found is None else found.values


@final
@dataclass(frozen=True, eq=False)
class Seen:
    """What a loss did on K problems.

    Attributes:
        values: (K,).
        gradients: K vectors; None where there is none.
        sizes: K dicts of sizes, such as {"B": 2, "V": 5}.
        tolerance: relative error up to which two things are called equal.
    """

    values: Array
    gradients: tuple[Array, ...]
    sizes: Sequence[dict[str, int]]
    tolerance: float
