"""Whether a density is one."""

from dataclasses import dataclass
from typing import ClassVar, Literal, final

from kullback.results.estimate import Estimate
from kullback.results.serialise import Shown
from kullback.results.status import Status


@final
@dataclass(frozen=True)
class DensityReport(Shown):
    """Whether a density is one.

    Attributes:
        verdict: "passed", "failed", or "inconclusive" where nothing could be compared.
        mass: what it integrates to; None where that is not known.
        problems: what is wrong, in words.
        remarks: what could not be checked, or limits what the numbers mean.
        draws: of its sampler.
    """

    derived: ClassVar[dict[str, str]] = {"passes": "passes", "status": "status"}

    verdict: Literal["passed", "failed", "inconclusive"]
    mass: Estimate | None
    problems: tuple[str, ...]
    remarks: tuple[str, ...]
    draws: int

    @property
    def passes(self) -> bool:
        """Whether nothing is wrong."""
        return self.verdict != "failed"

    @property
    def status(self) -> Status:
        """Failed where something is wrong, unresolved where nothing could be compared."""
        ends = {"passed": Status.DONE, "failed": Status.FAILED, "inconclusive": Status.UNRESOLVED}
        return ends[self.verdict]

    def __str__(self) -> str:
        said = list(self.problems)
        if self.mass is not None and not said:
            size = f"{self.mass.standard_error:.1g}"
            said.append(f"integrates to {self.mass.value:.6f} ± {size}")
        return f"{self.verdict}: {'; '.join([*said, *self.remarks])}"
