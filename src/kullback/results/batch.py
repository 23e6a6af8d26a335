"""Many numbers of one kind: what an Estimate is, element by element."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, final

import numpy as np

from kullback.results.estimate import Estimate
from kullback.results.quantity import Quantity, Sentence, Units, factor
from kullback.results.serialise import Shown

#: Elements of a batch that are printed.
_SHOWN = 8


@final
@dataclass(frozen=True, eq=False)
class EstimateArray(Shown):
    """Estimates of one quantity in an array: `value`, `standard_error`, `interval` and `kind` by element.

    Indexing gives an Estimate, or a smaller array of them.

    Attributes:
        value: the numbers, in the unit of the quantity.
        standard_error: their errors, as of an Estimate.
        interval: where the truths lie, as of an Estimate, (..., 2).
        kind: how much each may be trusted, as of an Estimate.
        quantity: what they are of.
        method: how they were computed, all of them or each.
        n: draws or evaluations that each took; None if none were.
        notes: by index, what there is to say about an element.

    Example:
        >>> from scipy import stats
        >>> import kullback as kb
        >>> print(kb.kl_divergence(stats.norm([0.0, 1.0], 1.0), "normal(0, sd=1)"))
        KL(p||q): 2 of shape (2,)
          [0] KL(p||q) = 0 nats (exact, closed form)
          [1] KL(p||q) = 0.5 nats (exact, closed form)
    """

    derived: ClassVar[dict[str, str]] = {"direction": "quantity.direction", "unit": "unit"}

    value: np.ndarray
    standard_error: np.ndarray
    interval: np.ndarray
    kind: np.ndarray
    quantity: Quantity
    method: str | np.ndarray
    n: np.ndarray | None
    notes: dict[tuple[int, ...], tuple[str, ...]]

    @classmethod
    def of(cls, estimates: np.ndarray) -> "EstimateArray":
        """Returns an array of Estimates of one quantity as one."""
        shape, flat = estimates.shape, list(estimates.flat)
        value, error, kind, method = (
            np.array([getattr(e, name) for e in flat]).reshape(shape)
            for name in ("value", "standard_error", "kind", "method")
        )
        interval = np.array([e.interval for e in flat]).reshape(*shape, 2)
        n = np.array([e.n for e in flat], dtype=object).reshape(shape)
        notes = {at: e.notes for at, e in np.ndenumerate(estimates) if e.notes}
        return cls(value, error, interval, kind, flat[0].quantity, method, n, notes)

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
        """Returns the same in a unit, what its notes say included; as they are where they have none."""
        size = factor(self.unit, unit)
        return replace(
            self,
            value=self.value * size,
            standard_error=self.standard_error * size,
            interval=self.interval * size,
            quantity=self.quantity.in_unit(unit),
            notes={
                at: tuple(n.in_unit(unit) if isinstance(n, Sentence) else n for n in notes)
                for at, notes in self.notes.items()
            },
        )

    def __len__(self) -> int:
        return len(self.value)

    def __getitem__(self, index: Any) -> "Estimate | EstimateArray":
        places = np.arange(self.value.size).reshape(self.shape)[index]
        if np.ndim(places) == 0:
            return self._one(tuple(int(i) for i in np.unravel_index(int(places), self.shape)))
        order = {int(place): new for new, place in np.ndenumerate(places)}
        moved = {
            order[place]: notes
            for at, notes in self.notes.items()
            if (place := int(np.ravel_multi_index(at, self.shape))) in order
        }
        kept = np.unravel_index(places, self.shape)
        return replace(
            self,
            value=self.value[kept],
            standard_error=self.standard_error[kept],
            interval=self.interval[kept],
            kind=self.kind[kept],
            method=self.method if isinstance(self.method, str) else self.method[kept],
            n=None if self.n is None else self.n[kept],
            notes=moved,
        )

    def _one(self, at: tuple[int, ...]) -> Estimate:
        kind: Any = str(self.kind[at])
        low, high = (float(end) for end in self.interval[at])
        method = self.method if isinstance(self.method, str) else str(self.method[at])
        n = None if self.n is None else self.n[at]
        value, error, notes = (
            float(self.value[at]),
            float(self.standard_error[at]),
            self.notes.get(at, ()),
        )
        return Estimate(value, error, (low, high), self.quantity, kind, method, n, notes)

    @property
    def answer(self) -> "Answer":
        """The same, as what a verb returns."""
        whole: Any = self
        return whole

    def __str__(self) -> str:
        head = f"{self.quantity.direction}: {self.value.size} of shape {self.shape}"
        lines = [f"  {list(at)} {self._one(at)}" for at in list(np.ndindex(self.shape))[:_SHOWN]]
        more = self.value.size - len(lines)
        return "\n".join([head, *lines, *([f"  ... {more} more"] if more > 0 else [])])


if TYPE_CHECKING:
    #: What a verb returns, typed as the one number that it is unless a batch was given.
    Answer = Estimate
else:
    Answer = Estimate | EstimateArray
