"""What is asked of p and q, as something that every method can integrate."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float

from kullback.losses.divergences import PointwiseDivergence, excess_kl, forward_kl
from kullback.results import quantity
from kullback.results.quantity import Quantity

Logs = Float[np.ndarray, " n"]
Contribution = Callable[[Logs, Logs, Logs], Logs]


@final
@dataclass(frozen=True)
class Question:
    """An integral over x of a function of log p and log q.

    Attributes:
        quantity: what the answer is of.
        contribution: what a point adds, from log p, log q and the log of a factor dx/dt.
        nonnegative: another integrand with the same integral that never cancels, if there is one.
        finish: from the integral to the answer.
        convention: as of a PointwiseDivergence.
        over_q: whether places where only q has mass add something.
        order: as of a PointwiseDivergence.
    """

    quantity: Quantity
    contribution: Contribution
    nonnegative: Contribution | None = None
    finish: Callable[[float], float] = float
    convention: str = ""
    over_q: bool = False
    order: float | None = None

    @property
    def name(self) -> str:
        """The name of the quantity."""
        return self.quantity.name

    @property
    def label(self) -> str:
        """The quantity with its arguments."""
        return self.quantity.direction

    @property
    def of_scale(self) -> bool:
        """Whether the answer depends on the scale of x, as entropies of densities do."""
        return self.name in ("entropy", "cross_entropy")

    @property
    def needs_support(self) -> bool:
        """Whether p's mass outside q's support makes the answer infinite."""
        return self.name in _INFINITE_OUTSIDE_Q or (self.order is not None and self.order >= 1.0)

    @property
    def needs_reverse_support(self) -> bool:
        """Whether q's mass outside p's support makes the answer infinite."""
        return self.name in ("reverse_kl", "jeffreys") or (
            self.order is not None and self.order <= 0.0
        )

    @property
    def of_logs(self) -> bool:
        """Whether a draw of p adds a difference of logs, not a ratio of densities."""
        return self.name in ("kl", "cross_entropy", "entropy", "forward_kl")

    @property
    def bounded(self) -> bool:
        """Whether what a draw of (p + q)/2 adds is bounded, so that its mean has a variance."""
        return self.name in _BOUNDED


_BOUNDED = (
    "jensen_shannon",
    "jensen_shannon_sum",
    "jensen_shannon_distance",
    "squared_hellinger",
    "total_variation",
)

_INFINITE_OUTSIDE_Q = ("kl", "cross_entropy", "forward_kl", "jeffreys")


def _cross(log_p: Logs, log_q: Logs, log_speed: Logs) -> Logs:
    with np.errstate(invalid="ignore"):
        return np.where(np.isneginf(log_p), 0.0, -np.exp(log_p + log_speed) * log_q)


def _moved(contribution: Callable[[Logs, Logs], Logs]) -> Contribution:
    """An f-divergence is homogeneous: a factor on both densities is a factor on the result."""
    return lambda log_p, log_q, log_speed: contribution(log_p + log_speed, log_q + log_speed)


KL = Question(quantity.FORWARD_KL, _moved(forward_kl), _moved(excess_kl))
CROSS_ENTROPY = Question(quantity.CROSS_ENTROPY, _cross)
ENTROPY = Question(quantity.ENTROPY, _cross)


def of_divergence(row: PointwiseDivergence) -> Question:
    """Returns the question that a symmetric or other f-divergence asks."""
    return Question(
        Quantity(row.kind, row.label, row.unit, nonnegative=True),
        _moved(row.contribution),
        None,
        row.finish,
        row.convention,
        over_q=row.needs_q,
        order=row.order,
    )
