"""`kullback watch`: is it still the law of the reference; which column is not, since when; evidence by day."""

import numpy as np

from kullback.render.document import (
    Axis,
    Badge,
    Banner,
    Bar,
    Block,
    Cell,
    Detail,
    Document,
    Figure,
    Notes,
    Role,
    Section,
    Series,
    Table,
    heads,
)
from kullback.results.serialise import to_json
from kullback.results.watch import ColumnWatch, Watch
from kullback.views.components import provenance
from kullback.views.numbers import number, percent

#: Columns that a terminal lists, and that are drawn.
_BRIEF, _DRAWN = 40, 8
_READING = (
    """Evidence is the log of an e-value: likelihood ratios of what came, from each day on, to what exchangeable rows
    do. Where nothing changes it reaches the threshold at any time with a probability of at most 5 %, for all columns
    and days together; it may be looked at every day.""",
    """Where a column changes, its evidence grows at KL(current||reference) a row, less what it costs not to know which
    column, which day and which change: the log of their number. It stops to grow where more rows came than the
    reference has.""",
    """Each column is drawn less the log of the number of columns, so that one threshold is that of all. An alarm
    stays: when it is understood, begin anew with another reference.""",
)


def watch_document(watched: Watch) -> Document:
    """Returns what the days show, in the unit of the result."""
    rows = sum(d.rows for d in watched.days)
    came = f", the last {watched.days[-1].name}" if watched.days else ""
    headline = (
        f"reference = {watched.reference} ({watched.rows:,} rows)",
        f"current   = {rows:,} rows on {len(watched.days)} day(s){came}",
    )
    drawn: tuple[Block, ...] = ()
    if watched.days:
        drawn = (Detail(lambda: (_evidence(watched),)),)
    sections = [Section("Evidence", "", (_table(watched), *drawn))]
    sections += [
        Section(f"What changed: {c.name}", _told(c), (_shares(c),)) for c in watched.differing
    ]
    reading = tuple(" ".join(note.split()) for note in _READING)
    sections.append(Section("How to read this", "", (Detail(lambda: (Notes(reading),)),)))
    left = tuple(f"{name} is not watched: {reason}" for name, reason in watched.left_out)
    return Document(
        f"A watch on {watched.reference}", lambda: to_json(watched), headline, (), tuple(sections),
        (*left, *watched.notes), provenance(key=watched.key, seconds=0.0, clock=""), _banner(watched),
    )  # fmt: skip


def _banner(watched: Watch) -> Banner:
    stands = (
        f"evidence {number(watched.evidence, 3)} {watched.unit} of the {number(watched.threshold, 3)} that are an "
        "alarm"
    )
    if not watched.alarm:
        return Banner("no alarm", "good", f"{len(watched.columns)} column(s): {stands}")
    changed = [f"{c.name}: {c.change} since {c.since}" for c in watched.differing]
    changed += [f"{name}: {reason}" for name, reason in watched.lost]
    remedy = "It stays: when the change is understood, begin anew with another reference."
    return Banner("alarm", "bad", f"on {watched.alarm_day}: {'; '.join(changed)}", remedy)


def _told(c: ColumnWatch) -> str:
    return f"{c.change[:1].upper()}{c.change[1:]}, most likely since {c.since}: {c.divergence}."


def _table(watched: Watch) -> Table:
    limit = watched.threshold + watched.correction
    columns = heads("column", "", f">evidence, {watched.unit}", ">highest", "since", "change")
    order = sorted(watched.columns, key=lambda c: -c.highest)
    rows = tuple(_row(c, limit) for c in order)
    caption = (
        f"Log e-values; an alarm from {number(limit, 3)} {watched.unit} on, "
        f"log({len(watched.columns)} / .05)."
    )
    return Table("", columns, rows, caption, brief=None if len(rows) <= _BRIEF + 1 else _BRIEF)


def _row(c: ColumnWatch, limit: float) -> tuple[Cell, ...]:
    differs = c.finding == "differs"
    badge = Badge("differs", "bad") if differs else Badge("no evidence", "good")
    share = min(max(c.evidence / limit, 0.0), 1.0)
    return (
        c.name, badge, Bar(number(c.evidence, 3), share), number(c.highest, 3), c.since or "", c.change
    )  # fmt: skip


def _evidence(watched: Watch) -> Figure:
    days = np.arange(1.0, len(watched.days) + 1.0)
    highest = sorted(watched.columns, key=lambda c: -c.highest)[:_DRAWN]
    series = [Series("all together", days, watched.history, "forward", "line")]
    if len(watched.columns) > 1:  # above it, where each is the highest
        series += [_line(c, days, watched) for c in reversed(highest)]
    line = np.full(2, watched.threshold)
    ends = np.array([0.5, len(days) + 0.5])
    series.append(Series("alarm from here on", ends, line, "neutral", "dashed"))
    more = len(watched.columns) - len(highest)
    caption = "Log e-values after each day, columns less the log of their number."
    if more > 0:
        caption += f" The {len(highest)} highest of {len(watched.columns)} columns."
    return Figure(
        "Evidence by day", caption, Axis("day", (0.5, len(days) + 0.5), whole=True),
        Axis(watched.unit), tuple(series), size="wide",
    )  # fmt: skip


def _line(c: ColumnWatch, days: np.ndarray, watched: Watch) -> Series:
    role: Role = "q" if c.finding == "differs" else "neutral"
    height = c.history - watched.correction
    return Series(c.name, days, height, role, "line", 1.0 if c.finding == "differs" else 0.5)


def _shares(c: ColumnWatch) -> Table:
    rows = tuple((s.label, percent(s.share_reference), percent(s.share_current)) for s in c.shares)
    head = heads(c.name, ">of reference", f">since {c.since}")
    return Table("", head, rows, "Groups whose shares changed most.")
