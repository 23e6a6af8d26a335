"""What BridgeStan compiles, with the interface of what pystan builds."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, final

import numpy as np

Array = np.ndarray
#: Entries of tuples and complex numbers stand for themselves.
_IN_PARTS = re.compile(r":|\.(real|imag)$")


def is_bridged(thing: object) -> bool:
    """Whether something has the methods of BridgeStan's models; no library is imported to look at it."""
    return all(
        callable(getattr(thing, name, None)) for name in ("log_density_gradient", "param_names")
    )


@final
@dataclass(frozen=True, eq=False)
class Bridged:
    """A model of BridgeStan, as `stan.build` would return it.

    Attributes:
        model: has log_density, log_density_gradient, param_names, param_constrain, param_unconstrain, param_unc_num.
    """

    model: Any

    @property
    def dimension(self) -> int:
        """The number of unconstrained parameters."""
        return int(self.model.param_unc_num())

    @cached_property
    def _shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of each parameter and transformed one, from the names of their entries: a.1.2 is of a matrix a."""
        shapes: dict[str, tuple[int, ...]] = {}
        for entry in self.model.param_names(include_tp=True, include_gq=False):
            if _IN_PARTS.search(entry):
                shapes[entry] = ()
                continue
            name, *indices = entry.split(".")
            at, known = tuple(map(int, indices)), shapes.get(name)
            shapes[name] = (
                at if known is None else tuple(max(a, b) for a, b in zip(at, known, strict=True))
            )
        return shapes

    @property
    def param_names(self) -> tuple[str, ...]:
        """Of parameters, then of transformed ones."""
        return tuple(self._shapes)

    @property
    def dims(self) -> tuple[tuple[int, ...], ...]:
        """Their shapes."""
        return tuple(self._shapes.values())

    def constrain_pars(
        self, point: list[float], *, include_tparams: bool, include_gqs: bool
    ) -> list[float]:
        """Returns all entries, column-major."""
        u = np.array(point)
        found = self.model.param_constrain(u, include_tp=include_tparams, include_gq=include_gqs)
        return np.asarray(found, dtype=np.float64).tolist()

    def unconstrain_pars(self, values: Mapping[str, Any]) -> Array:
        """Returns the unconstrained parameters of a point given by name."""
        flat = [np.ravel(np.asarray(v, dtype=np.float64), order="F") for v in values.values()]
        return np.asarray(self.model.param_unconstrain(np.concatenate(flat)))

    def log_prob(self, point: list[float], *, adjust_transform: bool = True) -> float:
        """Returns the log density with its constants, by which evidences of models can be compared."""
        found = self.model.log_density(np.array(point), propto=False, jacobian=adjust_transform)
        return float(found)

    def both(self, point: list[float]) -> tuple[float, Array]:
        """Returns the log density and its gradient."""
        value, slope = self.model.log_density_gradient(np.array(point), propto=False, jacobian=True)
        return float(value), np.array(slope)
