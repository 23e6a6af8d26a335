"""Published numbers, recomputed."""

from dataclasses import dataclass
from typing import Literal, final

from kullback.results._estimate import Estimate

Stamp = Literal["confirmed", "refuted", "cannot tell"]


@final
@dataclass(frozen=True)
class Finding:
    """One published number against what it should be.

    Attributes:
        claim: what was claimed, in words.
        claimed: the published number; None if there is none.
        stamp: "confirmed", "refuted" or "cannot tell".
        found: what it was recomputed to be, with its error; None if it could not be.
        reading: how an ambiguous claim was read, such as "2 is a variance"; "" if it is not ambiguous.
        remark: what else there is to say: a better fit, another direction that matches.
    """

    claim: str
    claimed: float | None
    stamp: Stamp
    found: Estimate | None
    reading: str = ""
    remark: str = ""


@final
@dataclass(frozen=True)
class Verification:
    """The findings on one source."""

    title: str
    source: str
    findings: tuple[Finding, ...]

    @property
    def passes(self) -> bool:
        """Whether nothing was refuted."""
        return not any(f.stamp == "refuted" for f in self.findings)

    def as_dict(self) -> dict[str, object]:
        """Returns plain JSON values."""
        return {
            "title": self.title,
            "source": self.source,
            "passes": self.passes,
            "findings": [
                {
                    "claim": f.claim,
                    "claimed": f.claimed,
                    "stamp": f.stamp,
                    "found": None if f.found is None else f.found.as_dict(),
                    "reading": f.reading,
                    "remark": f.remark,
                }
                for f in self.findings
            ],
        }

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
