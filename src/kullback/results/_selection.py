"""How a family, or a number of components, was chosen among several."""

from dataclasses import dataclass
from typing import final

from kullback.results._estimate import Estimate, finite


@final
@dataclass(frozen=True)
class Candidate:
    """One of those that were compared.

    Attributes:
        family: in words.
        parameters: how many numbers were fitted.
        log_likelihood: of all rows, in nats.
        bic: parameters times log n, less twice the log likelihood: the smaller the better.
        icl: BIC plus twice the entropy of the memberships; None without components.
        held_out: mean log-probability of rows not fitted to; None if it was not measured.
        behind: the mean, over the same rows, of what the best one's log-probability is above this one's,
            with the standard error of that difference; None for the best.
    """

    family: str
    parameters: int
    log_likelihood: float
    bic: float
    icl: float | None = None
    held_out: Estimate | None = None
    behind: Estimate | None = None

    def as_dict(self) -> dict[str, object]:
        """Returns plain JSON values."""
        return {
            "family": self.family,
            "parameters": self.parameters,
            "log_likelihood": finite(self.log_likelihood),
            "bic": finite(self.bic),
            "icl": None if self.icl is None else finite(self.icl),
            "held_out": None if self.held_out is None else self.held_out.as_dict(),
            "behind": None if self.behind is None else self.behind.as_dict(),
        }


@final
@dataclass(frozen=True)
class Selection:
    """The candidates, the chosen one, and why.

    Attributes:
        candidates: all that could be fitted, best score first.
        chosen: the index of the one that was taken.
        rule: what decided, in words.
        skipped: those that could not be fitted, each with the reason.
    """

    candidates: tuple[Candidate, ...]
    chosen: int
    rule: str
    skipped: tuple[str, ...] = ()

    @property
    def best(self) -> Candidate:
        """The one that was taken."""
        return self.candidates[self.chosen]

    def as_dict(self) -> dict[str, object]:
        """Returns plain JSON values."""
        return {
            "candidates": [c.as_dict() for c in self.candidates],
            "chosen": self.chosen,
            "rule": self.rule,
            "skipped": list(self.skipped),
        }
