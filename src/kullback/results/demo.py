"""The experiment of three modes and two components."""

from dataclasses import dataclass, field
from typing import final

from kullback.distributions.base import Distribution
from kullback.results.contributions import Contributions, Coverage
from kullback.results.estimate import Estimate
from kullback.results.fit import Fit
from kullback.results.serialise import EXPRESSION, Shown
from kullback.results.status import Status
from kullback.results.verification import Verification


@final
@dataclass(frozen=True, eq=False)
class Demo(Shown):
    """Everything the demonstration prints and draws.

    Attributes:
        target: p.
        forward, reverse: the fits in both directions.
        forward_cover, reverse_cover: what each does with the modes of p.
        forward_parts, reverse_parts: what each region contributes to each fit's divergence.
        price: KL(p_A||p) = -log p(A), p_A being p without the modes that the reverse fit drops.
        claims: the article's numbers, recomputed.
        seconds: CPU seconds.
    """

    target: Distribution = field(metadata=EXPRESSION)
    forward: Fit
    reverse: Fit
    forward_cover: Coverage
    reverse_cover: Coverage
    forward_parts: Contributions
    reverse_parts: Contributions
    price: Estimate
    claims: Verification
    seconds: float

    @property
    def status(self) -> Status:
        """Interrupted where one of the fits was."""
        stopped = self.forward.interrupted or self.reverse.interrupted
        return Status.INTERRUPTED if stopped else Status.DONE
