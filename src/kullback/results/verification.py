"""Published numbers, recomputed, and known values on this machine."""

from dataclasses import dataclass, field
from typing import ClassVar, Literal, final

from kullback.results.estimate import Estimate
from kullback.results.serialise import NATS, Shown
from kullback.results.status import Status, status_of

Stamp = Literal["confirmed", "refuted", "cannot tell"]


@final
@dataclass(frozen=True)
class ClaimFinding:
    """One published number against what it should be.

    Attributes:
        claim: what was claimed, in words.
        claimed: the published number; None if there is none.
        stamp: "confirmed", "refuted" or "cannot tell".
        found: what it was recomputed to be, with its error; None if it could not be.
        reading: how an ambiguous claim was read, such as "2 is a variance"; "" if it is not ambiguous.
        remark: what else there is to say: a better fit, another direction that matches.
        unit: of the published number.
    """

    claim: str
    claimed: float | None = field(metadata=NATS)
    stamp: Stamp
    found: Estimate | None
    reading: str = ""
    remark: str = ""
    unit: str = ""


@final
@dataclass(frozen=True)
class Verification(Shown):
    """The findings on one source."""

    derived: ClassVar[dict[str, str]] = {"passes": "passes", "status": "status"}

    title: str
    source: str
    findings: tuple[ClaimFinding, ...]

    @property
    def passes(self) -> bool:
        """Whether nothing was refuted."""
        return not any(f.stamp == "refuted" for f in self.findings)

    @property
    def status(self) -> Status:
        """Failed where something was refuted, unresolved where a number has no error that holds."""
        return status_of(*(f.found for f in self.findings)) if self.passes else Status.FAILED

    def __str__(self) -> str:
        rows = [
            f"{f.stamp:>11}  {f.claim}"
            + ("" if f.claimed is None else f" = {f.claimed:g}")
            + (f" (read: {f.reading})" if f.reading else "")
            + (f"; found {f.found}" if f.found else "")
            + (f"; {f.remark}" if f.remark else "")
            for f in self.findings
        ]
        return "\n".join([f"{self.title} ({self.source})", *rows])


@final
@dataclass(frozen=True)
class Check:
    """A known value, what this installation finds, and whether they agree."""

    name: str
    expected: float
    found: Estimate | None
    passed: bool
    detail: str
