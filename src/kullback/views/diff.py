"""`kullback diff`: a verdict, a table of columns, and pictures of those that differ."""

import math
from dataclasses import dataclass
from typing import final

import numpy as np

from kullback.diff.column import in_words
from kullback.render.document import (
    Axis,
    Badge,
    Banner,
    Bar,
    Block,
    Cell,
    Column,
    Detail,
    Document,
    Fact,
    Figure,
    Gallery,
    Lines,
    Notes,
    Role,
    Section,
    Series,
    Table,
)
from kullback.results.diff import ColumnDiff, Diff, JointDiff, Picture, UnlikeRow
from kullback.results.estimate import Estimate
from kullback.results.serialise import to_json
from kullback.results.units import Unit
from kullback.views.components import fact, made
from kullback.views.numbers import number, percent, sentence, with_error

#: Columns that a terminal lists, that are told of, and that are drawn; regions and rows that are shown.
_BRIEF, _TOLD, _DRAWN, _REGIONS, _UNLIKE = 40, 10, 8, 5, 8
_READING = (
    """KL(reference||current) is what it costs a row to describe rows of the reference by the distribution of current;
    KL(current||reference) the other way round. 0 means no difference; .1 nats is a shift of a normal column by .45 of
    its standard deviations.""",
    """p: how likely samples of one distribution differ as much, corrected for all columns (Holm). If nothing
    differs, a page like this says that something does in at most 5 of 100 cases.""",
    "Jeffreys is the sum of both directions, which is what is called the population stability index (PSI).",
    """From samples alone nothing bounds a KL from above without assumptions: intervals take it that tails go on
    as far as they can be seen; where they cannot be seen, the answer is unresolved, with what it is at least.""",
)


@final
@dataclass(frozen=True)
class _In:
    """Numbers in the unit that is shown."""

    unit: Unit

    @property
    def name(self) -> str:
        return self.unit.units

    @property
    def size(self) -> float:
        """A nat in it."""
        return 1.0 / math.log(2.0) if self.name == "bits" else 1.0

    def value(self, estimate: Estimate) -> str:
        e = self.unit.of(estimate)
        low = e.interval[0]
        if e.kind == "unresolved":
            return Lines.of((f"≥ {number(low, 2)}", "unresolved")) if low > 0.0 else "unresolved"
        return with_error(e)

    def line(self, estimate: Estimate) -> str:
        return self.value(estimate).replace("\n", ", ")

    def sentence(self, estimate: Estimate) -> str:
        return sentence(self.unit.of(estimate))

    def limits(self, estimate: Estimate) -> str:
        low, high = self.unit.of(estimate).interval
        if not math.isfinite(low):
            return ""
        return f"{_near(low)} to {_near(high)}" if math.isfinite(high) else f"from {_near(low)}"

    def nats(self, value: float, digits: int = 3) -> str:
        """Returns a number of nats."""
        return number(value * self.size, digits)


def _near(value: float) -> str:
    return f"{value:.3f}" if value >= 0.01 or value == 0.0 else f"{value:.1g}"


def diff_document(found: Diff, *, unit: Unit = Unit()) -> Document:  # noqa: B008 - frozen
    """Returns whether and how two tables differ.

    Args:
        found: what was found.
        unit: of what is shown; plain values stay in nats.
    """
    say = _In(unit)
    parts = [(f"{name}: ", part) for name, part in found.groups] or [("", found)]
    headline = (
        f"reference = {found.reference} ({found.rows[0]:,} rows)",
        f"current   = {found.current} ({found.rows[1]:,} rows)",
    )
    sections = [section for prefix, part in parts for section in _sections(part, prefix, say)]
    reading = tuple(" ".join(note.split()) for note in _READING)
    sections.append(Section("How to read this", "", (Detail(lambda: (Notes(reading),)),)))
    return Document(
        f"{_short(found.reference)} against {_short(found.current)}",
        lambda: to_json(unit.of(found)),
        headline,
        _facts(found, say),
        tuple(sections),
        _notes(unit.of(found)),
        made(key=found.key, seconds=found.seconds, clock="wall"),
        _banner(found, say),
    )


def _short(source: str) -> str:
    return source.replace("\\", "/").rstrip("/").split("/")[-1] or source


def _banner(found: Diff, say: _In) -> Banner:
    if found.gate is not None:
        return _gate(found)
    if found.finding == "differs":
        return Banner("they differ", "unsure", _what(found), _look(found))
    if found.lost:
        return Banner("not all there", "unsure", _what(found), _look(found))
    smallest = [c.detectable for c in found.columns if math.isfinite(c.detectable)]
    least = (
        f"A smooth change is found from about {say.nats(max(smallest), 2)} {say.name} on."
        if smallest
        else ""
    )
    return Banner("no evidence of a difference", "good", _what(found), least)


def _gate(found: Diff) -> Banner:
    limit = f"{found.max_kl:g} nats"
    over = f"{', '.join(_over(found))} above {limit} for certain" if _over(found) else ""
    lost = "; ".join(f"{name}: {reason}" for name, reason in found.lost)
    differing, look = _differing(found), "" if found.finding == "no evidence" else _look(found)
    match found.gate:
        case "passed":
            return Banner(
                "gate passed", "good", f"nothing reaches more than {limit}. {differing}", look
            )
        case "failed":
            why = "; ".join(words for words in (over, lost) if words)
            return Banner("gate failed", "bad", f"{why}. {differing}", look)
        case _:
            why = f"nothing is above {limit} for certain, and not everything below it"
            return Banner("gate open", "unsure", f"{why}. {differing}", look)


def _over(found: Diff) -> list[str]:
    names = [c.name for c in found.columns if c.gate == "failed"]
    names += ["all together"] if found.joint is not None and found.joint.gate == "failed" else []
    for label, part in found.groups:
        names += [f"{label}: {name}" for name in _over(part)]
    return names


def _what(found: Diff) -> str:
    lost = "; ".join(f"{name}: {reason}" for name, reason in found.lost)
    return f"{_differing(found)} Not compared as asked: {lost}." if lost else _differing(found)


def _differing(found: Diff) -> str:
    if found.groups:
        differing = [name for name, d in found.groups if d.finding == "differs"]
        names = f": {', '.join(differing[:8])}" if differing else ""
        return f"{len(differing)} of {len(found.groups)} groups differ by more than chance{names}."
    count = len(found.differing)
    together = ""
    if found.joint is not None:
        says = "do" if found.joint.finding == "differs" else "do not"
        together = f" All columns together {says}."
    return f"{count} of {len(found.columns)} columns differ by more than chance.{together}"


def _look(found: Diff) -> str:
    part = next((d for _, d in found.groups if d.finding == "differs"), found)
    names = [f"{c.name} ({_words(c)})" for c in part.differing[:3]]
    if found.lost and not names:
        return f"Look first at {', '.join(name for name, _ in found.lost[:3])}."
    if not names:
        return "No column differs by itself: look at how they go together, below."
    return f"Look first at {'; then '.join(names)}."


def _words(c: ColumnDiff) -> str:
    """Returns what changed most plainly in a column."""
    if c.new:
        return f"{len(c.new)} new level(s) with {percent(sum(s for _, s in c.new))} of the rows"
    if abs(c.missing[1] - c.missing[0]) > 0.01:
        return f"missing values {percent(c.missing[0])} to {percent(c.missing[1])}"
    if c.medians is not None and all(math.isfinite(m) for m in c.medians):
        low, high = (in_words(m, c.kind) for m in c.medians)
        return f"median {low} to {high}"
    if c.regions:
        r = c.regions[0]
        return f"{r.label}: {percent(r.share_reference)} to {percent(r.share_current)}"
    return "see below"


def _facts(found: Diff, say: _In) -> tuple[Fact, ...]:
    joint = () if found.joint is None else (found.joint.forward, found.joint.reverse)
    facts = [_fact(e, "all together", say) for e in joint]
    return (*facts, *(_fact(c.forward, c.name, say) for c in found.differing[:2]))


def _fact(estimate: Estimate, of: str, say: _In) -> Fact:
    e = say.unit.of(estimate)
    low = e.interval[0]
    if e.kind == "unresolved" and low > 0.0:
        detail, value = f"95 % confidence; unresolved: {e.reason}", f"≥ {number(low, 3)} {e.unit}"
        return Fact(of, e.direction, value, detail, str(e), repeated=True)
    return fact(e, "neutral", of, repeated=True)


def _sections(found: Diff, prefix: str, say: _In) -> list[Section]:
    rows = f"{found.rows[0]:,} and {found.rows[1]:,} rows" if prefix else ""
    sections = [Section(f"{prefix}Column by column", rows, (_table(found, say),))]
    differing = found.differing
    if differing:
        more = len(differing) - _DRAWN
        lead = "The clearest first." + (f" {more} more are in the table." if more > 0 else "")
        told = Notes(tuple(f"{c.name}: {_changes(c)}" for c in differing[:_TOLD]))
        drawn = Detail(lambda: tuple(b for c in differing[:_DRAWN] for b in _column(c, say)))
        sections.append(Section(f"{prefix}What changed", lead, (told, drawn)))
    if found.joint is not None:
        sections.append(_together(found.joint, prefix, say))
    return sections


def _table(found: Diff, say: _In) -> Table:
    like = [name for name, _ in found.columns[0].like] if found.columns else []
    gated = found.max_kl is not None
    heads = (
        Column("column"), Column(""), *([Column("limit")] if gated else []),
        Column("KL(ref||cur)", "right"), Column("95 %", "right"),
        Column("KL(cur||ref)", "right"), Column("PSI", "right", detail=True),
        Column("noise", "right"), Column("p", "right"), *(Column(name, "right") for name in like),
    )  # fmt: skip
    largest = max((_size(c.forward) for c in found.columns), default=0.0)
    rows = [_row(c, c.name, largest, say, gated=gated) for c in found.columns]
    if found.joint is not None:
        together = _row(found.joint, "all together", largest, say, gated=gated)
        rows.append((*together, *([""] * len(like))))
    smallest = [c.detectable for c in found.columns if math.isfinite(c.detectable)]
    change = (
        f" A smooth change is found from about {say.nats(max(smallest), 2)} {say.name} on."
        if smallest
        else ""
    )
    caption = (
        f"KL in {say.name}. Noise: 95 of 100 pairs of samples without a difference stay below. "
        f"p: corrected for all columns.{change}"
    )
    return Table("", heads, tuple(rows), caption, brief=None if len(rows) <= _BRIEF + 1 else _BRIEF)


def _size(e: Estimate) -> float:
    return max(e.interval[0], 0.0) if math.isnan(e.value) else e.value


def _row(
    part: ColumnDiff | JointDiff, name: str, largest: float, say: _In, *, gated: bool
) -> tuple[Cell, ...]:
    share = min(_size(part.forward) / largest, 1.0) if largest > 0.0 else 0.0
    differs = part.finding == "differs"
    gate = {
        "passed": Badge("below", "good"), "failed": Badge("above", "bad"),
        "cannot tell": "cannot tell", None: "",
    }[part.gate]  # fmt: skip
    of_column = isinstance(part, ColumnDiff)
    return (
        name, Badge("differs", "unsure") if differs else Badge("no evidence", "good"),
        *([gate] if gated else []), Bar(say.value(part.forward), share), say.limits(part.forward),
        say.value(part.reverse), _psi(part.jeffreys, say) if of_column else "",
        say.nats(part.floor, 2) if of_column else "", _p(part.adjusted),
        *((number(v, 4) for _, v in part.like) if of_column else ()),
    )  # fmt: skip


def _p(value: float) -> str:
    return "< 0.0001" if value < 1e-4 else f"{value:.4f}"


def _psi(estimate: Estimate, say: _In) -> str:
    """Returns Jeffreys in short: it stands between its two halves."""
    e = say.unit.of(estimate)
    low = e.interval[0]
    if e.kind == "unresolved":
        return f"≥ {number(low, 2)}" if low > 0.0 else ""
    return number(e.value, 2)


def _changes(c: ColumnDiff) -> str:
    """Returns what changed in a column: its median, levels, missing values, and which region adds most."""
    parts = []
    if c.medians is not None and all(math.isfinite(m) for m in c.medians):
        low, high = (in_words(m, c.kind) for m in c.medians)
        parts.append(f"median {low} to {high}")
    for what, levels in (("new", c.new), ("gone", c.gone)):
        if levels:
            names = ", ".join(f"{name!r} ({percent(share)})" for name, share in levels[:5])
            more = " and more" if len(levels) > 5 else ""
            total = percent(sum(s for _, s in levels))
            parts.append(f"{len(levels)} {what} level(s) with {total}: {names}{more}")
    if c.missing[0] != c.missing[1]:
        parts.append(f"missing {percent(c.missing[0])} to {percent(c.missing[1])}")
    if c.regions:
        r = c.regions[0]
        shares = f"{percent(r.share_reference)} to {percent(r.share_current)}"
        parts.append(f"most is paid at {r.label} ({shares})")
    if c.forward.kind == "unresolved":
        parts.append(f"unresolved: {c.forward.notes[0]}")
    return "; ".join(parts)


def _column(c: ColumnDiff, say: _In) -> tuple[Block, ...]:
    sure = "" if c.certified is None or c.certified.value <= 0.0 else _certified(c.certified, say)
    caption = f"{say.sentence(c.forward)}; {say.sentence(c.reverse)}. {sure}".strip()
    return (Gallery(c.name, (_densities(c), _integrand(c, say)), caption), _regions(c, say))


def _certified(e: Estimate, say: _In) -> str:
    return f"Without any assumption it is at least {say.nats(e.value)} {say.name} (95 %)."


def _densities(c: ColumnDiff) -> Figure:
    p = c.picture
    if p.names:
        return _levels(p, "share of the rows", "Both tables", (p.reference, p.current))
    x, width = _steps(p), np.diff(p.edges) * _scale(c)
    heights = [_stairs(share / width) for share in (p.reference, p.current)]
    series = (
        Series("reference", x / _unit(c), heights[0], "p", "area"),
        Series("current", x / _unit(c), heights[1], "q", "line"),
    )
    return Figure("Both densities", "", _axis(c), Axis("density"), series)


def _integrand(c: ColumnDiff, say: _In) -> Figure:
    p = c.picture
    title = "What adds to KL(reference||current)"
    if p.names:
        return _levels(p, say.name, title, (p.integrand * say.size,))
    y = _stairs(p.integrand * say.size / (np.diff(p.edges) * _scale(c)))
    return Figure(
        title,
        "",
        _axis(c),
        Axis(f"{say.name} a unit"),
        (Series("", _steps(p) / _unit(c), y, "forward", "signed"),),
    )


def _unit(c: ColumnDiff) -> float:
    """Dates are drawn in days since the first."""
    return 86_400e6 if c.kind == "dates" else 1.0


def _scale(c: ColumnDiff) -> float:
    return 1.0 / _unit(c)


def _axis(c: ColumnDiff) -> Axis:
    return Axis(f"{c.name}, days since 1970" if c.kind == "dates" else c.name)


def _steps(p: Picture) -> np.ndarray:
    return np.repeat(p.edges, 2)


def _stairs(heights: np.ndarray) -> np.ndarray:
    return np.concatenate([[0.0], np.repeat(heights, 2), [0.0]])


def _levels(p: Picture, label: str, title: str, values: tuple[np.ndarray, ...]) -> Figure:
    """Returns one bar, or two side by side, for each level."""
    at = np.arange(len(p.names), dtype=np.float64)
    offsets = (-0.12, 0.12) if len(values) == 2 else (0.0,)
    names = ("reference", "current") if len(values) == 2 else ("",)
    roles: tuple[Role, ...] = ("p", "q") if len(values) == 2 else ("forward",)
    series = tuple(
        Series(name, at + shift, y, role, "bars")
        for name, shift, y, role in zip(names, offsets, values, roles, strict=True)
    )
    return Figure(
        title, "", Axis("", (-0.6, len(at) - 0.4), names=tuple(_cut(n) for n in p.names)), Axis(label), series
    )  # fmt: skip


def _cut(name: str) -> str:
    return name if len(name) <= 12 else f"{name[:11]}…"


def _regions(c: ColumnDiff, say: _In) -> Table:
    shown = c.regions[:_REGIONS]
    largest = max((abs(r.contribution) for r in shown), default=0.0)
    rows = tuple(
        (
            r.label, percent(r.share_reference), percent(r.share_current),
            Bar(say.nats(r.contribution), r.contribution / largest if largest > 0.0 else 0.0),
        )
        for r in shown
    )  # fmt: skip
    heads = (
        Column(c.name), Column("of reference", "right"), Column("of current", "right"),
        Column(f"adds, {say.name}", "right"),
    )  # fmt: skip
    more = len(c.regions) - len(shown)
    caption = f"The {len(shown)} regions that add most, of {len(c.regions)}." if more > 0 else ""
    return Table("", heads, rows, caption)


def _together(joint: JointDiff, prefix: str, say: _In) -> Section:
    lead = (
        f"{say.sentence(joint.forward)}; {say.sentence(joint.reverse)}. The columns by themselves add up to "
        f"{say.line(joint.sum_of_columns)}; all together less that sum: {say.line(joint.interaction)}."
    )
    if joint.certified is not None and joint.certified.value > 0.0:
        lead += f" {_certified(joint.certified, say)}"
    differs = joint.finding == "differs"
    unlike = _unlike(joint.unlike_reference, joint.unlike_current, say)
    blocks: list[Block] = [_pairs(joint, say)] if joint.interactions else []
    if differs and unlike.rows:
        blocks.append(unlike)
    figures = (_curve(joint, say),) if differs else (_curve(joint, say), unlike)
    blocks.append(Detail(lambda: (Gallery("", figures),)))
    return Section(f"{prefix}All columns together", lead, tuple(blocks))


def _curve(joint: JointDiff, say: _In) -> Figure:
    x = np.array([float(c[0]) for c in joint.curve])
    both = [say.size * np.array([c[i] for c in joint.curve]) for i in (1, 2)]
    series: list[Series] = []
    roles: tuple[Role, ...] = ("forward", "reverse")
    for e, y, role in zip((joint.forward, joint.reverse), both, roles, strict=True):
        series += [Series(e.direction, x, y, role, "line"), Series("", x, y, role, "dots")]
    caption = "While these rise with the number of rows, the divergence is larger than can be learned from them."
    high = max(float(np.max(y)) for y in both)
    return Figure(
        "What is found from fewer rows", caption, Axis("rows of the smaller table", (0.0, 1.08 * float(x.max()))),
        Axis(say.name, (min(0.0, *(float(y.min()) for y in both)), max(1.15 * high, 0.01))), tuple(series),
    )  # fmt: skip


def _unlike(reference: tuple[UnlikeRow, ...], current: tuple[UnlikeRow, ...], say: _In) -> Table:
    rows = tuple(
        (f"{a.row + 1:,}", say.nats(a.log_ratio), f"{b.row + 1:,}", say.nats(b.log_ratio))
        for a, b in zip(reference[:_UNLIKE], current[:_UNLIKE], strict=False)
    )
    heads = (
        Column("row of current", "right"), Column(say.name, "right"), Column("row of reference", "right"),
        Column(say.name, "right"),
    )  # fmt: skip
    return Table(
        "Rows least like the other table", heads, rows,
        "Log of how much likelier a row is in its own table, by a score learned from other rows. Rows count from 1.",
    )  # fmt: skip


def _pairs(joint: JointDiff, say: _In) -> Table:
    rows = tuple(
        (f"{i.columns[0]} and {i.columns[1]}", say.value(i.value), _p(i.p_value))
        for i in joint.interactions
    )
    heads = (
        Column("pair"),
        Column(f"beyond each alone, {say.name}", "right"),
        Column("p", "right"),
    )
    return Table("Columns that go together differently", heads, rows)


def _notes(found: Diff) -> tuple[str, ...]:
    left = [f"{name} was left out: {reason}" for name, reason in found.left_out]
    only = (("reference", found.only_reference), ("current", found.only_current))
    alone = [f"only in {where}: {', '.join(names)}" for where, names in only if names]
    return (*left, *alone, *found.notes)
