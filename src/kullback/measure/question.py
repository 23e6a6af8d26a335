"""What is asked of p and q, as something that every method can integrate."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float

from kullback.losses.divergences import Divergence, excess_kl, forward_kl

Logs = Float[np.ndarray, " n"]
Contribution = Callable[[Logs, Logs, Logs], Logs]


@final
@dataclass(frozen=True)
class Question:
    """An integral over x of a function of log p and log q.

    Attributes:
        quantity: as of an Estimate.
        label: the quantity with its arguments.
        contribution: what a point adds, from log p, log q and the log of a factor dx/dt.
        nonnegative: another integrand with the same integral that never cancels, if there is one.
        finish: from the integral to the answer.
        unit, convention: as of a Divergence.
        over_q: whether places where only q has mass add something.
        order: as of a Divergence.
    """

    quantity: str
    label: str
    contribution: Contribution
    nonnegative: Contribution | None = None
    finish: Callable[[float], float] = float
    unit: str = "nats"
    convention: str = ""
    over_q: bool = False
    order: float | None = None

    @property
    def of_scale(self) -> bool:
        """Whether the answer depends on the scale of x, as entropies of densities do."""
        return self.quantity in ("entropy", "cross_entropy")

    @property
    def needs_support(self) -> bool:
        """Whether p's mass outside q's support makes the answer infinite."""
        return self.quantity in _INFINITE_OUTSIDE_Q or (
            self.order is not None and self.order >= 1.0
        )

    @property
    def needs_reverse_support(self) -> bool:
        """Whether q's mass outside p's support makes the answer infinite."""
        return self.quantity in ("reverse_kl", "jeffreys") or (
            self.order is not None and self.order <= 0.0
        )

    @property
    def of_logs(self) -> bool:
        """Whether a draw of p adds a difference of logs, not a ratio of densities."""
        return self.quantity in ("kl", "cross_entropy", "entropy", "forward_kl")

    @property
    def bounded(self) -> bool:
        """Whether what a draw of (p + q)/2 adds is bounded, so that its mean has a variance."""
        return self.quantity in _BOUNDED


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


KL = Question("kl", "KL(p||q)", _moved(forward_kl), _moved(excess_kl))
CROSS_ENTROPY = Question("cross_entropy", "H(p,q)", _cross)
ENTROPY = Question("entropy", "H(p)", _cross)


def of_divergence(row: Divergence) -> Question:
    """Returns the question that a symmetric or other f-divergence asks."""
    return Question(
        row.kind,
        row.label,
        _moved(row.contribution),
        None,
        row.finish,
        row.unit,
        row.convention,
        over_q=row.needs_q,
        order=row.order,
    )
