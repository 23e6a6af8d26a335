"""Published numbers, recomputed."""

import math
from dataclasses import dataclass, field
from typing import ClassVar, Literal, final

from kullback.distributions.base import Distribution
from kullback.results.estimate import Estimate
from kullback.results.fit import Fit
from kullback.results.serialise import EXPRESSION, HIDDEN, MERGED, NATS, Shown
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
class Side:
    """One direction.

    Attributes:
        name: "forward" or "reverse".
        value: the divergence.
        cross_entropy, entropy: whose difference the KL is; None where they are not known.
    """

    derived: ClassVar[dict[str, str]] = {"split": "split"}

    name: str = field(metadata=HIDDEN)
    value: Estimate = field(metadata=MERGED)
    cross_entropy: Estimate | None = field(default=None, metadata=HIDDEN)
    entropy: Estimate | None = field(default=None, metadata=HIDDEN)

    @property
    def split(self) -> dict[str, Estimate] | None:
        """The two parts by name; None where neither is known."""
        parts = {"cross_entropy": self.cross_entropy, "entropy": self.entropy}
        return {name: part for name, part in parts.items() if part is not None} or None


@final
@dataclass(frozen=True)
class Sides:
    """Both directions.

    Attributes:
        forward: of (p, q), as they were given.
        reverse: of (q, p); None where the divergence is symmetric or no method can tell.
        missing: why no method can tell.
        max_kl: the largest forward divergence allowed; None where there is no gate.
    """

    forward: Side
    reverse: Side | None
    missing: str = ""
    max_kl: float | None = None

    @property
    def known(self) -> tuple[Side, ...]:
        """The one or two that there are."""
        return (self.forward,) if self.reverse is None else (self.forward, self.reverse)

    @property
    def status(self) -> Status:
        """Failed where the forward divergence may be above the limit; without one, whether errors hold."""
        value = self.forward.value
        if self.max_kl is None:
            return status_of(*(side.value for side in self.known))
        if value.kind == "unresolved":
            return Status.UNRESOLVED
        return Status.DONE if value.interval[1] <= self.max_kl else Status.FAILED


# Which method would answer, and why the two directions differ, before anything is computed.


@final
@dataclass(frozen=True)
class PlanRow:
    """A row of the table of methods.

    Attributes:
        method: its name, as in `method=`.
        applies: to what, in words.
        gives: the kinds of number it may return.
        forward, reverse: whether it is the one chosen for KL(p||q), for KL(q||p).
    """

    method: str
    applies: str
    gives: str
    forward: bool
    reverse: bool


@final
@dataclass(frozen=True)
class Cell:
    """What one direction needs and does.

    Attributes:
        direction: "KL(p||q)" or "KL(q||p)".
        name: "forward" or "reverse".
        method: the chosen method, or why there is none.
        expectation: under which distribution the mean is taken.
        needs: what must be known.
        does: what minimising it does.
        status: refused where there is no method.
    """

    direction: str
    name: str
    method: str
    expectation: str
    needs: str
    does: str
    status: Status = Status.DONE


@final
@dataclass(frozen=True)
class Plan(Shown):
    """The table of methods with the chosen rows, and both directions side by side.

    Attributes:
        rows: the methods that measure or, with a family, the routes that fit.
        forward, reverse: both directions.
        family: what would be fitted; "" for a plan of measuring.
    """

    derived: ClassVar[dict[str, str]] = {"status": "status"}

    rows: tuple[PlanRow, ...]
    forward: Cell
    reverse: Cell
    family: str = ""

    @property
    def status(self) -> Status:
        """Refused where no method answers in either direction."""
        return self.reverse.status if self.forward.status is Status.REFUSED else Status.DONE

    def __str__(self) -> str:
        lines = [
            f"{c.direction} ({c.name}): {c.method}; {c.expectation}; {c.does}"
            for c in (self.forward, self.reverse)
        ]
        return "\n".join(lines)


# Which regions contribute to a divergence: parts that add up.


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


# What a model says of rows: how probable they are.


@final
@dataclass(frozen=True)
class Score(Shown):
    """The log densities of rows, in short.

    Attributes:
        mean: E_p[log q] over the rows within the support of q.
        rows: how many there were.
        outside: rows of which q says that they cannot be: their log density is -inf.
        left_out: rows without a score, because cells in them were missing.
    """

    mean: Estimate
    rows: int
    outside: int
    left_out: int

    @property
    def status(self) -> Status:
        """Unresolved where no row has a score."""
        return Status.DONE if math.isfinite(self.mean.value) else Status.UNRESOLVED


# The experiment of three modes and two components, as data.


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


# One exact value recomputed on this machine.


@final
@dataclass(frozen=True)
class Check:
    """A known value, what this installation finds, and whether they agree."""

    name: str
    expected: float
    found: Estimate | None
    passed: bool
    detail: str


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
