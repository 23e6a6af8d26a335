"""Where a divergence is paid: its parts by region, which add up."""

from dataclasses import dataclass
from typing import final

from kullback.results._estimate import Estimate


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
    low: float
    high: float
    mass_p: float
    mass_q: float
    contribution: Estimate


@final
@dataclass(frozen=True)
class Contributions:
    """The regions, in order, and their total: the divergence itself."""

    total: Estimate
    regions: tuple[Region, ...]
    cross_entropy: Estimate
    entropy: Estimate

    def as_dict(self) -> dict[str, object]:
        """Returns plain JSON values."""
        return {
            "total": self.total.as_dict(),
            "entropy": self.entropy.as_dict(),
            "cross_entropy": self.cross_entropy.as_dict(),
            "regions": [
                {
                    "name": r.name,
                    "mass_p": r.mass_p,
                    "mass_q": r.mass_q,
                    "contribution": r.contribution.as_dict(),
                }
                for r in self.regions
            ],
        }

    def __str__(self) -> str:
        rows = [
            f"{r.name:>24}  p {r.mass_p:7.4f}  q {r.mass_q:7.4f}  {r.contribution.value:+9.4f}"
            for r in self.regions
        ]
        return "\n".join([*rows, str(self.total)])
