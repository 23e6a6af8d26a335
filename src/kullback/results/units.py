"""The unit of what is printed."""

from dataclasses import dataclass
from typing import TypeVar, final

from cyclopts import Parameter

from kullback.results.quantity import Units
from kullback.results.serialise import in_unit

T = TypeVar("T")


@final
@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Unit:
    """The unit of what is printed.

    Attributes:
        units: nats or bits.
    """

    units: Units = "nats"

    def of(self, result: T) -> T:
        """Returns a result, or a part of one, in the unit asked for."""
        return in_unit(result, self.units)
