"""Published numbers, recomputed."""

from dataclasses import asdict, dataclass
from typing import Literal, final

from kullback.distributions.base import Distribution
from kullback.results.display import html_of
from kullback.results.estimate import Estimate
from kullback.results.fit import Fit

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

    def _repr_html_(self) -> str | None:
        """Returns what a notebook shows."""
        return html_of(self)


@final
@dataclass(frozen=True)
class Side:
    """One direction.

    Attributes:
        name: "forward" or "reverse".
        value: the divergence.
        cross_entropy, entropy: whose difference the KL is; None where they are not known.
    """

    name: str
    value: Estimate
    cross_entropy: Estimate | None = None
    entropy: Estimate | None = None

    def as_dict(self) -> dict[str, object]:
        """Returns plain JSON values."""
        parts = {"cross_entropy": self.cross_entropy, "entropy": self.entropy}
        known = {k: v.as_dict() for k, v in parts.items() if v is not None}
        return {**self.value.as_dict(), **({"split": known} if known else {})}


@final
@dataclass(frozen=True)
class Sides:
    """Both directions.

    Attributes:
        forward: of (p, q), as they were given.
        reverse: of (q, p); None where the divergence is symmetric or no method can tell.
        missing: why no method can tell.
    """

    forward: Side
    reverse: Side | None
    missing: str = ""

    @property
    def known(self) -> tuple[Side, ...]:
        """The one or two that there are."""
        return (self.forward,) if self.reverse is None else (self.forward, self.reverse)


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
    """

    direction: str
    name: str
    method: str
    expectation: str
    needs: str
    does: str


@final
@dataclass(frozen=True)
class Plan:
    """The table of methods with the chosen rows, and both directions side by side."""

    rows: tuple[PlanRow, ...]
    forward: Cell
    reverse: Cell

    def as_dict(self) -> dict[str, object]:
        """Returns plain JSON values."""
        return asdict(self)

    def __str__(self) -> str:
        lines = [
            f"{c.direction} ({c.name}): {c.method}; {c.expectation}; {c.does}"
            for c in (self.forward, self.reverse)
        ]
        return "\n".join(lines)

    def _repr_html_(self) -> str | None:
        """Returns what a notebook shows."""
        return html_of(self)


# Where a divergence is paid: its parts by region, which add up.


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

    def _repr_html_(self) -> str | None:
        """Returns what a notebook shows."""
        return html_of(self)


# What a model says of rows: how probable they are.


@final
@dataclass(frozen=True)
class Score:
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

    def as_dict(self) -> dict[str, object]:
        """Returns plain JSON values."""
        return {
            "mean": self.mean.as_dict(),
            "rows": self.rows,
            "outside": self.outside,
            "left_out": self.left_out,
        }


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
