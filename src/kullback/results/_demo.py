"""The experiment of three modes and two components, as data."""

from dataclasses import dataclass
from typing import final

from kullback.distributions._base import Distribution
from kullback.results._contributions import Contributions
from kullback.results._estimate import Estimate
from kullback.results._fit import Fit
from kullback.results._verification import Verification


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


@final
@dataclass(frozen=True, eq=False)
class Demo:
    """Everything the demonstration prints and draws.

    Attributes:
        target: p.
        forward, reverse: the fits in both directions.
        forward_cover, reverse_cover: what each does with the modes of p.
        forward_parts, reverse_parts: where each fit's divergence is paid.
        price: KL(p_A||p) = -log p(A), p_A being p without the modes that the reverse fit drops.
        claims: the article's numbers, recomputed.
        seconds: CPU seconds.
    """

    target: Distribution
    forward: Fit
    reverse: Fit
    forward_cover: Coverage
    reverse_cover: Coverage
    forward_parts: Contributions
    reverse_parts: Contributions
    price: Estimate
    claims: Verification
    seconds: float
