"""Tables that come day after day, against a reference: what they show, and what is kept of them."""

import math
from dataclasses import dataclass, field
from typing import ClassVar, Literal, final

import numpy as np
from jaxtyping import Float, Int

from kullback.results.diff import Finding
from kullback.results.estimate import Estimate
from kullback.results.quantity import Units, factor
from kullback.results.serialise import HIDDEN, NATS, Shown, key, keys, shows
from kullback.results.status import Status

#: What all columns and days together may alarm by chance.
LEVEL = 0.05


@final
@dataclass(frozen=True, eq=False)
class WatchedGroups:
    """What is kept of a column: how many rows came between those of the reference. No value is in it.

    Attributes:
        edges: ends of cells of numbers, rounded, below and above which few rows of the reference lie.
        levels: names that are common in the reference, "(others)" and "missing".
        names: of the groups that rows are counted in.
        first: the number of the first cell of each.
        ends: where each but the last ends: the number of a cell, and a place among its rows.
        gaps: between the ordered rows of the reference, in each group.
        values: how many groups, the first, are of ordered values.
        counts: of rows that came, by the stretches of days that changes may begin at.
        declared: the kind that the column was said to be of, "" if none was.
    """

    edges: Float[np.ndarray, " e"]
    levels: tuple[str, ...]
    names: tuple[str, ...]
    first: Int[np.ndarray, " g"]
    ends: Float[np.ndarray, " b"]
    gaps: Float[np.ndarray, " g"]
    values: int
    counts: Int[np.ndarray, "s g"]
    declared: str


@final
@dataclass(frozen=True)
class WatchedShare:
    """A group of values, and the shares of rows in it."""

    label: str
    share_reference: float
    share_current: float


@final
@dataclass(frozen=True, eq=False)
class ColumnWatch:
    """What the days show of a column.

    Attributes:
        name: of the column.
        kind: "numbers", "levels" or "dates".
        finding: "differs" where the evidence was above log(columns / .05).
        since: the likeliest day of the change; None where there is none. This, and what follows, is of the
            day on which the evidence was highest.
        change: what changed, in words.
        divergence: KL(current||reference) since then, of groups of values: at least.
        shares: groups whose share changed, the most telling first.
        history: the evidence after each day.
        groups: what is kept.
        unit: of the evidence.
    """

    derived: ClassVar[dict[str, str]] = {"evidence": "evidence", "highest": "highest"}

    name: str
    kind: Literal["numbers", "levels", "dates"]
    finding: Finding
    since: str | None
    change: str
    divergence: Estimate | None
    shares: tuple[WatchedShare, ...]
    history: Float[np.ndarray, " t"] = field(metadata=NATS | key("evidence_by_day"))
    groups: WatchedGroups = field(metadata=HIDDEN)
    unit: Units = "nats"

    @property
    def evidence(self) -> float:
        """The log of its e-value, after the last day."""
        return float(self.history[-1]) if len(self.history) else 0.0

    @property
    def highest(self) -> float:
        """The highest that the evidence has been."""
        return float(np.max(self.history, initial=0.0))


@final
@dataclass(frozen=True)
class WatchedDay:
    """A day, and how many rows came on it."""

    name: str
    rows: int


@final
@dataclass(frozen=True, eq=False)
class Watch(Shown):
    """A reference, and whether what came day after day is still of its law.

    At most 5 % of watches on which nothing changes alarm, whenever they are looked at, all columns and days
    together. `update` returns the watch with one day more; `save` and `load` keep it.

    Attributes:
        reference: what it is compared with, in words.
        rows: how many it had.
        columns: those that are watched.
        days: that came.
        alarm_day: the day of the first alarm; None where there is none.
        lost: columns that a day lacked, or had in another type, with the reason: an alarm by itself.
        left_out: columns that are not watched, with the reason.
        notes: what a careful reader should know.
        key: randomness.
        threshold: of the evidence: log(1 / .05).
        unit: of the evidence.

    Example:
        >>> import kullback as kb
        >>> rng = np.random.default_rng(0)
        >>> watched = kb.watch(rng.normal(size=(2000, 2)))
        >>> for day in range(3):
        ...     watched = watched.update(rng.normal([0.0, 0.5 * (day > 0)], 1.0, (100, 2)))
        >>> watched.alarm, watched.columns[1].since, watched.columns[1].change
        (True, 'day 2', 'higher values')
    """

    derived: ClassVar[dict[str, str]] = {
        "alarm": "alarm", "evidence": "evidence", "status": "status"
    }  # fmt: skip

    reference: str
    rows: int
    columns: tuple[ColumnWatch, ...]
    days: tuple[WatchedDay, ...] = ()
    alarm_day: str | None = None
    lost: tuple[tuple[str, str], ...] = field(default=(), metadata=keys("name", "reason"))
    left_out: tuple[tuple[str, str], ...] = field(default=(), metadata=keys("column", "reason"))
    notes: tuple[str, ...] = ()
    key: int = 0
    threshold: float = field(default=-math.log(LEVEL), metadata=NATS)
    unit: Units = "nats"

    @property
    def evidence(self) -> float:
        """The log of an e-value of all columns together, after the last day: the largest over their number.

        From `threshold` on it is an alarm; once there was one, it stays.
        """
        return float(self.history[-1]) if self.days else -self.correction

    @property
    def history(self) -> Float[np.ndarray, " t"]:
        """The evidence of all columns together after each day."""
        return np.max([c.history for c in self.columns], axis=0) - self.correction

    @property
    def alarm(self) -> bool:
        """Whether something has changed."""
        return self.alarm_day is not None

    @property
    def differing(self) -> tuple[ColumnWatch, ...]:
        """The columns that have changed."""
        return tuple(c for c in self.columns if c.finding == "differs")

    @property
    def status(self) -> Status:
        """How it stands; an alarm is a gate that failed."""
        return Status.FAILED if self.alarm else Status.DONE

    @property
    def correction(self) -> float:
        """What a column's evidence loses for being one of several: the log of their number."""
        return math.log(len(self.columns)) * factor("nats", self.unit)

    def column(self, name: str) -> ColumnWatch:
        """Returns what the days show of a column. Raises KeyError if it is not watched."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(name)

    def update(self, current: object, *, day: str | None = None) -> "Watch":
        """Returns the watch with the rows of one day more.

        Args:
            current: a table, as of `diff`.
            day: its name; "day 1", "day 2" and so on by default.

        Raises:
            InputError: it is no table, its rows are weighted or depend on each other, or the day was there.
        """
        return shows("update")(self, current, day)

    def __str__(self) -> str:
        head = f"{self.reference}, {self.rows:,} rows, and {len(self.days)} day(s)"
        found = [f"{name}: {reason}" for name, reason in self.lost]
        found += [f"{c.name}: {c.change}, since {c.since}, {c.divergence}" for c in self.differing]
        if not self.alarm:
            return f"{head}: no alarm, evidence {self.evidence:.2f} of {self.threshold:.2f} {self.unit}"
        return "\n".join([f"{head}: alarm on {self.alarm_day}", *found])
