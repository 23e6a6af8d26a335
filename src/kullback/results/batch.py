"""Many numbers of one kind: what an Estimate is, element by element."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, final

import numpy as np

from kullback.results.estimate import Estimate
from kullback.results.quantity import Quantity, Units, factor

#: Elements of a batch that are printed.
_SHOWN = 8


@final
@dataclass(frozen=True, eq=False)
class EstimateArray:
    """Estimates of one quantity in an array: `value`, `standard_error` and `kind` by element.

    Indexing gives an Estimate, or a smaller array of them.

    Attributes:
        value: the numbers, in the unit of the quantity.
        standard_error: their errors, as of an Estimate.
        kind: how much each may be trusted, as of an Estimate.
        quantity: what they are of.
        method: how they were computed, all of them or each.
        notes: by index, what there is to say about an element.
    """

    value: np.ndarray
    standard_error: np.ndarray
    kind: np.ndarray
    quantity: Quantity
    method: str | np.ndarray
    notes: dict[tuple[int, ...], tuple[str, ...]]

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the batch."""
        return self.value.shape

    @property
    def unit(self) -> str:
        """Nats or bits; empty for quantities without a unit."""
        return self.quantity.unit

    @property
    def nats(self) -> "EstimateArray":
        """The same in nats."""
        return self.in_unit("nats")

    @property
    def bits(self) -> "EstimateArray":
        """The same in bits."""
        return self.in_unit("bits")

    def in_unit(self, unit: Units) -> "EstimateArray":
        """Returns the same in a unit; as they are where they have none."""
        size = factor(self.unit, unit)
        return replace(
            self,
            value=self.value * size,
            standard_error=self.standard_error * size,
            quantity=self.quantity.in_unit(unit),
        )

    def __len__(self) -> int:
        return len(self.value)

    def __getitem__(self, index: Any) -> "Estimate | EstimateArray":
        places = np.arange(self.value.size).reshape(self.shape)[index]
        method = self.method if isinstance(self.method, str) else self.method[index]
        if np.ndim(places) == 0:
            at = tuple(int(i) for i in np.unravel_index(int(places), self.shape))
            value, error = float(self.value[at]), float(self.standard_error[at])
            kind: Any = str(self.kind[at])
            reach = 1.96 * error if kind == "estimate" else error
            ends = (value, value) if kind == "infinite" else (value - reach, value + reach)
            notes = self.notes.get(at, ())
            return Estimate(value, error, ends, self.quantity, kind, str(method), None, notes)
        order = {int(place): new for new, place in np.ndenumerate(places)}
        moved = {
            order[place]: notes
            for at, notes in self.notes.items()
            if (place := int(np.ravel_multi_index(at, self.shape))) in order
        }
        value, error, kind = (a[index] for a in (self.value, self.standard_error, self.kind))
        return EstimateArray(value, error, kind, self.quantity, method, moved)

    @property
    def answer(self) -> "Answer":
        """The same, as what a verb returns."""
        whole: Any = self
        return whole

    def __str__(self) -> str:
        head = f"{self.quantity.direction}: {self.value.size} of shape {self.shape}"
        lines = [f"  {list(at)} {self[at]}" for at in list(np.ndindex(self.shape))[:_SHOWN]]
        more = self.value.size - len(lines)
        return "\n".join([head, *lines, *([f"  ... {more} more"] if more > 0 else [])])


if TYPE_CHECKING:
    #: What a verb returns, typed as the one number that it is unless a batch was given.
    Answer = Estimate
else:
    Answer = Estimate | EstimateArray
