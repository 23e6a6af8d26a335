"""Which regions contribute to a divergence, in parts that add up, and which modes a fit covers."""

from dataclasses import dataclass, field
from typing import final

from kullback.results.estimate import Estimate
from kullback.results.serialise import HIDDEN, Shown
from kullback.results.status import Status, status_of


@final
@dataclass(frozen=True)
class Region:
    """A part of the space.

    Attributes:
        name: in words, such as "-1.04 < x < 0.98".
        low, high: its ends, for regions of the line.
        mass_p, mass_q: how much of p and of q lies there.
        contribution: the integral of p log(p/q) over it; may be negative.
    """

    name: str
    low: float = field(metadata=HIDDEN)
    high: float = field(metadata=HIDDEN)
    mass_p: float
    mass_q: float
    contribution: Estimate


@final
@dataclass(frozen=True)
class Contributions(Shown):
    """The regions, in order, and their total: the divergence itself."""

    total: Estimate
    regions: tuple[Region, ...]
    cross_entropy: Estimate
    entropy: Estimate

    @property
    def status(self) -> Status:
        """Whether the total has an error that holds."""
        return status_of(self.total)

    def __str__(self) -> str:
        rows = [
            f"{r.name:>24}  p {r.mass_p:7.4f}  q {r.mass_q:7.4f}  {r.contribution.value:+9.4f}"
            for r in self.regions
        ]
        return "\n".join([*rows, str(self.total)])


@final
@dataclass(frozen=True)
class ModeCover:
    """What a fit does with one mode of the target.

    Attributes:
        name: in words, such as "mode at x = 2.00".
        low, high: where it lies.
        mass_p, mass_q: how much of p and of q lies there.
        verdict: "covered", "thin" or "dropped".
    """

    name: str
    low: float
    high: float
    mass_p: float
    mass_q: float
    verdict: str


@final
@dataclass(frozen=True)
class Coverage:
    """Which modes of p a q covers, how much of q spills where p has next to nothing.

    Attributes:
        modes: of p, in order.
        spilled: q's mass where p's density is below a hundredth of its lowest mode's height.
        dropped: p's mass in the modes that q drops.
    """

    modes: tuple[ModeCover, ...]
    spilled: float
    dropped: float
