"""A divergence in both directions."""

from dataclasses import dataclass, field
from typing import ClassVar, final

from kullback.results.estimate import Estimate
from kullback.results.serialise import HIDDEN, MERGED
from kullback.results.status import Status, status_of


@final
@dataclass(frozen=True)
class Side:
    """One direction.

    Attributes:
        name: "forward" or "reverse".
        value: the divergence.
        cross_entropy, entropy: whose difference the KL is; None where they are not known.
    """

    derived: ClassVar[dict[str, str]] = {"split": "split"}

    name: str = field(metadata=HIDDEN)
    value: Estimate = field(metadata=MERGED)
    cross_entropy: Estimate | None = field(default=None, metadata=HIDDEN)
    entropy: Estimate | None = field(default=None, metadata=HIDDEN)

    @property
    def split(self) -> dict[str, Estimate] | None:
        """The two parts by name; None where neither is known."""
        parts = {"cross_entropy": self.cross_entropy, "entropy": self.entropy}
        return {name: part for name, part in parts.items() if part is not None} or None


@final
@dataclass(frozen=True)
class Sides:
    """Both directions.

    Attributes:
        forward: of (p, q), as they were given.
        reverse: of (q, p); None where the divergence is symmetric or no method can tell.
        missing: why no method can tell.
        max_kl: the largest forward divergence allowed; None where there is no gate.
    """

    forward: Side
    reverse: Side | None
    missing: str = ""
    max_kl: float | None = None

    @property
    def known(self) -> tuple[Side, ...]:
        """The one or two that there are."""
        return (self.forward,) if self.reverse is None else (self.forward, self.reverse)

    @property
    def status(self) -> Status:
        """Failed where the forward divergence may be above the limit; without one, whether errors hold."""
        value = self.forward.value
        if self.max_kl is None:
            return status_of(*(side.value for side in self.known))
        if value.kind == "unresolved":
            return Status.UNRESOLVED
        return Status.DONE if value.interval[1] <= self.max_kl else Status.FAILED
