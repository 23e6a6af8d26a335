"""How two tables differ: column by column, and all columns together."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal, final

import numpy as np
from jaxtyping import Float

from kullback.results.estimate import Estimate
from kullback.results.quantity import Units
from kullback.results.serialise import HIDDEN, NATS, PAIRS, Shown, key, keys
from kullback.results.status import Status

#: "differs" by more than chance; "negligible", where it does and is certainly smaller than what is to be ignored; "no
#: evidence" of it.
Finding = Literal["differs", "negligible", "no evidence"]
#: Of the gate on one column or on all together.
Gate = Literal["passed", "failed", "cannot tell"]
Grid = Float[np.ndarray, " g"]


@final
@dataclass(frozen=True)
class ColumnRegion:
    """A part of a column and what it adds to KL(reference||current).

    Attributes:
        label: the values in it, in words.
        share_reference, share_current: of the rows.
        contribution: regions add up to the divergence, and one may be negative.
        unit: of the contribution.
    """

    label: str
    share_reference: float
    share_current: float
    contribution: float = field(metadata=NATS)
    unit: Units = "nats"


@final
@dataclass(frozen=True, eq=False)
class Picture:
    """Both densities of a column, for drawing.

    Attributes:
        edges: of bins in the units of the column, one more than there are bins; () for levels.
        names: of levels; () for bins.
        reference, current: shares of the rows in each.
        integrand: what each adds to KL(reference||current).
        unit: of the integrand.
    """

    edges: Grid
    names: tuple[str, ...]
    reference: Grid
    current: Grid
    integrand: Grid = field(metadata=NATS)
    unit: Units = "nats"


@final
@dataclass(frozen=True, eq=False)
class ColumnDiff:
    """How one column differs.

    Attributes:
        name: of the column.
        kind: "numbers", "levels" or "dates".
        forward, reverse: KL(reference||current) and KL(current||reference).
        jeffreys: their sum, which is what is called PSI.
        p_value: how likely two samples of one distribution differ as much.
        adjusted: the Holm-adjusted p-value, over all columns and all together.
        finding: whether `adjusted` is below .05; "negligible" where KL(reference||current) is certainly below
            `ignore_below`, and nothing says that the other is not.
        floor: a KL that 95 of 100 pairs of samples without a difference stay below, at these sizes.
        detectable: the KL that a smooth change needs to be found in four cases of five.
        certified: KL(reference||current) at least, without assumptions; None where rows are not
            independent or have weights.
        regions: what each contributes, the largest first.
        new, gone: levels with rows in current only, in reference only, and their shares.
        missing: shares of missing values in reference and current.
        medians: in the units of the column; None for levels.
        picture: for drawing.
        gate: against the largest KL allowed; None if none was said.
        like: what another tool says, by its name.
        rows: effective numbers of rows of reference and current.
        unit: of `floor` and `detectable`.
    """

    name: str
    kind: str
    forward: Estimate
    reverse: Estimate
    jeffreys: Estimate
    p_value: float
    adjusted: float = field(metadata=key("adjusted_p_value"))
    finding: Finding
    floor: float = field(metadata=NATS | key("noise_floor"))
    detectable: float = field(metadata=NATS | key("smallest_detectable"))
    certified: Estimate | None
    regions: tuple[ColumnRegion, ...]
    new: tuple[tuple[str, float], ...] = field(metadata=key("new_levels") | keys("level", "share"))
    gone: tuple[tuple[str, float], ...] = field(
        metadata=key("gone_levels") | keys("level", "share")
    )
    missing: tuple[float, float]
    medians: tuple[float, float] | None
    picture: Picture = field(metadata=HIDDEN)
    rows: tuple[float, float] = field(metadata=key("effective_rows"))
    gate: Gate | None = None
    like: tuple[tuple[str, float], ...] = field(default=(), metadata=PAIRS)
    unit: Units = "nats"


@final
@dataclass(frozen=True)
class Interaction:
    """What two columns say together beyond what each says alone.

    Attributes:
        columns: their names.
        value: KL(reference||current) of both less those of each.
        p_value: of a change in how they go together, corrected for all pairs.
    """

    columns: tuple[str, str]
    value: Estimate
    p_value: float


@final
@dataclass(frozen=True)
class UnlikeRow:
    """A row that is far likelier in its own table than in the other.

    Attributes:
        row: its number in the table, from 0.
        log_ratio: log of its density there over that in the other table, by other rows.
        unit: of the log ratio.
    """

    row: int
    log_ratio: float = field(metadata=NATS)
    unit: Units = "nats"


@final
@dataclass(frozen=True, eq=False)
class JointDiff:
    """How all columns together differ.

    Attributes:
        forward, reverse, jeffreys, p_value, adjusted, finding, certified, gate: as of a column.
        sum_of_columns: the divergences of the columns, added.
        interaction: the joint divergence less that sum; below 0 where columns repeat each other.
        interactions: pairs of columns that change in how they go together.
        unlike_reference, unlike_current: rows of current least like the reference, and the other way round.
        curve: rows, and both values, at a quarter, a half and all of the rows used.
        rows: rows of reference and current that were used.
        unit: of the curve.
    """

    forward: Estimate
    reverse: Estimate
    jeffreys: Estimate
    p_value: float
    adjusted: float = field(metadata=key("adjusted_p_value"))
    finding: Finding
    certified: Estimate | None
    sum_of_columns: Estimate
    interaction: Estimate
    interactions: tuple[Interaction, ...]
    unlike_reference: tuple[UnlikeRow, ...]
    unlike_current: tuple[UnlikeRow, ...]
    curve: tuple[tuple[int, float, float], ...] = field(metadata=NATS)
    rows: tuple[int, int]
    gate: Gate | None = None
    unit: Units = "nats"


@final
@dataclass(frozen=True, eq=False)
class Diff(Shown):
    """How two tables differ by more than chance, where, and by how much.

    Attributes:
        reference, current: what was compared, in words.
        rows: of each.
        columns: by p-value, the clearest first.
        joint: all columns together; None where it was not asked for or cannot be had.
        left_out: columns that were not compared, with the reason.
        only_reference, only_current: columns that one table lacks.
        max_kl: the largest KL allowed, if one was said.
        ignore_below: what is certainly smaller is no finding.
        gate: whether all of it stays below and no column is lost; None if no limit was said.
        groups: a Diff for each value of the column it was split by.
        notes: what a careful reader should know.
        interrupted: whether columns are missing because somebody interrupted.
        seconds: of wall time.
        key: randomness.
        lost: columns and groups of the reference that current lacks, has in another type or without a
            value, with the reason: what was to be compared is not there, so the gate fails.
        unit: of `max_kl` and `ignore_below`.

    Example:
        >>> import kullback as kb
        >>> import numpy as np
        >>> rng = np.random.default_rng(0)
        >>> found = kb.diff(rng.normal(0, 1, 500), rng.normal(1, 1, 500))
        >>> found.columns[0].adjusted < 0.05  # the p-value, over all columns
        True
    """

    derived: ClassVar[dict[str, str]] = {"finding": "finding", "status": "status"}

    reference: str
    current: str
    rows: tuple[int, int]
    columns: tuple[ColumnDiff, ...]
    joint: JointDiff | None
    left_out: tuple[tuple[str, str], ...] = field(default=(), metadata=keys("column", "reason"))
    only_reference: tuple[str, ...] = ()
    only_current: tuple[str, ...] = ()
    max_kl: float | None = field(default=None, metadata=NATS)
    ignore_below: float = field(default=0.0, metadata=NATS)
    gate: Gate | None = None
    groups: tuple[tuple[str, "Diff"], ...] = field(default=(), metadata=keys("group", ""))
    notes: tuple[str, ...] = ()
    interrupted: bool = False
    seconds: float = 0.0
    key: int = 0
    lost: tuple[tuple[str, str], ...] = field(default=(), metadata=keys("name", "reason"))
    unit: Units = "nats"

    @property
    def differing(self) -> tuple[ColumnDiff, ...]:
        """The columns that differ by more than chance."""
        return tuple(c for c in self.columns if c.finding == "differs")

    @property
    def finding(self) -> Finding:
        """Whether anything differs by more than chance; wrong in at most 5 % of tables where nothing does."""
        joint = self.joint is not None and self.joint.finding == "differs"
        groups = any(d.finding == "differs" for _, d in self.groups)
        return "differs" if self.differing or joint or groups else "no evidence"

    @property
    def status(self) -> Status:
        """How it ended; unresolved where what differs has no upper end to hold against the limit."""
        if self.interrupted:
            return Status.INTERRUPTED
        if self.gate == "failed":
            return Status.FAILED
        doubtful = self.gate == "cannot tell" and _unresolved(self)
        return Status.UNRESOLVED if doubtful else Status.DONE

    def column(self, name: str) -> ColumnDiff:
        """Returns how a column differs. Raises KeyError if it was not compared."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(name)

    def __str__(self) -> str:
        found = [f"{c.name}: {c.forward}" for c in self.differing]
        if self.joint is not None and self.joint.finding == "differs":
            found.append(f"together: {self.joint.forward}")
        head = (
            f"{self.reference} against {self.current}, {self.rows[0]:,} and {self.rows[1]:,} rows: "
        )
        if self.groups:
            names = [name for name, d in self.groups if d.finding == "differs"]
            return f"{head}{len(names)} of {len(self.groups)} groups differ"
        lost = [f"{name}: {reason}" for name, reason in self.lost]
        if not found:
            none = f"{head}no evidence of a difference in {len(self.columns)} column(s)"
            return "\n".join([none, *lost])
        return "\n".join(
            [f"{head}{len(self.differing)} of {len(self.columns)} column(s) differ", *found, *lost]
        )


def _unresolved(found: Diff) -> bool:
    parts = [*found.columns, *([found.joint] if found.joint else [])]
    mine = any(part.finding == "differs" and part.forward.kind == "unresolved" for part in parts)
    return mine or any(_unresolved(d) for _, d in found.groups)


def gate_of(value: Estimate, max_kl: float | None) -> Gate | None:
    """Returns whether a divergence is certainly above a limit, certainly below, or neither."""
    if max_kl is None:
        return None
    low, high = value.interval
    if math.isfinite(low) and low > max_kl:
        return "failed"
    return "passed" if high <= max_kl else "cannot tell"


def gate_of_all(
    columns: Sequence[ColumnDiff], together: JointDiff | None, lost: Sequence[tuple[str, str]] = ()
) -> Gate | None:
    """Returns what holds for all; together there is but a lower bound, which can only fail."""
    found = worst([c.gate for c in columns])
    if found is None:
        return None
    failed = bool(lost) or (together is not None and together.gate == "failed")
    return "failed" if failed else found


def worst(gates: Sequence[Gate | None]) -> Gate | None:
    """Returns "failed" where one is, else "cannot tell" where one is, else what all are."""
    order: tuple[Gate, ...] = ("failed", "cannot tell", "passed")
    return next((gate for gate in order if gate in gates), None)
