"""The report on two tables: a verdict, a table of columns, and pictures of those that differ."""

import math
from collections.abc import Iterator

import numpy as np
from rich.table import Table as RichTable
from rich.text import Text

from kullback.diff.column import in_words as column_in_words
from kullback.render.document import (
    Axis,
    Badge,
    Banner,
    Bar,
    Block,
    Cell,
    Column,
    Fact,
    Figure,
    Gallery,
    Notes,
    Page,
    Role,
    Section,
    Series,
    Table,
)
from kullback.render.html import render
from kullback.render.terminal import line, print_table
from kullback.results.diff import ColumnDiff, Diff, JointDiff, Picture
from kullback.results.estimate import Estimate
from kullback.results.units import Unit
from kullback.views.components import fact, made
from kullback.views.numbers import figure, number, percent, sentence, share, with_error

#: Columns that are listed, and that are drawn; regions that are shown.
_LISTED, _DRAWN, _REGIONS = 60, 8, 5
_READING = (
    """KL(reference||current) is what it costs, in nats a row, to describe rows of the reference by the distribution
    of current; KL(current||reference) the other way round. 0 means no difference; .1 is a shift of a normal
    column by .45 of its standard deviations.""",
    "Noise: at these numbers of rows, 95 of 100 pairs of samples without a difference stay below.",
    """p: how likely samples of one distribution differ as much, corrected for all columns (Holm). If nothing
    differs, a page like this says that something does in at most 5 of 100 cases.""",
    "Jeffreys is the sum of both directions, which is what is called the population stability index (PSI).",
    """From samples alone nothing bounds a KL from above without assumptions: intervals take it that tails go on
    as far as they can be seen; where they cannot be seen, the answer is unresolved, with what it is at least.""",
)


def diff_report(found: Diff) -> str:
    """Returns how two tables differ as one HTML page that needs nothing else."""
    sections = []
    for name, part in found.groups:
        sections += _sections(part, f"{name}: ")
    if not found.groups:
        sections += _sections(found, "")
    sections.append(
        Section(
            "How to read this",
            "",
            (Notes(tuple(" ".join(n.split()) for n in (*_READING, *_left(found)))),),
        )
    )
    title = f"{_short(found.reference)} against {_short(found.current)}"
    foot = made(key=found.key, seconds=found.seconds, clock="wall")
    return render(
        Page(title, _summary(found), _facts(found), tuple(sections), foot, _banner(found))
    )


def _short(source: str) -> str:
    return source.replace("\\", "/").rstrip("/").split("/")[-1] or source


def _banner(found: Diff) -> Banner:
    clear = found.finding == "no evidence"
    if found.gate == "failed":
        over = any(_gates(found))
        return Banner(
            "over the limit" if over else "not all there", "bad", _what(found), _look(found)
        )
    if clear and found.lost:
        return Banner("not all there", "unsure", _what(found), _look(found))
    if clear:
        smallest = max((c.detectable for c in found.columns), default=math.nan)
        remedy = (
            "" if math.isnan(smallest)
            else f"A smooth change would be found from about {number(smallest, 2)} nats on."
        )  # fmt: skip
        return Banner("no evidence of a difference", "good", _what(found), remedy)
    return Banner("they differ", "unsure", _what(found), _look(found))


def _gates(found: Diff) -> Iterator[bool]:
    """Yields for each column and for all together whether it is over the limit."""
    yield from (part.gate == "failed" for part in (*found.columns, found.joint) if part is not None)
    for _, part in found.groups:
        yield from _gates(part)


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
        low, high = (column_in_words(m, c.kind) for m in c.medians)
        return f"median {low} to {high}"
    if c.regions:
        r = c.regions[0]
        return f"{r.label}: {percent(r.share_reference)} to {percent(r.share_current)}"
    return "see below"


def _summary(found: Diff) -> str:
    rows = (
        f"{found.rows[0]:,} rows of {found.reference} and {found.rows[1]:,} rows of {found.current}"
    )
    if found.joint is None:
        return f"{rows} were compared."
    return f"{rows} were compared. All columns together: {sentence(found.joint.forward)}."


def _facts(found: Diff) -> tuple[Fact, ...]:
    facts = []
    if found.joint is not None:
        facts += [
            _fact(found.joint.forward, "all together"),
            _fact(found.joint.reverse, "all together"),
        ]
    facts += [_fact(c.forward, c.name) for c in found.differing[:2]]
    return tuple(facts)


def _fact(e: Estimate, of: str) -> Fact:
    low = e.interval[0]
    if e.kind == "unresolved" and low > 0.0:
        detail = f"95 % confidence; unresolved: {e.reason}"
        return Fact(f"{of}: {e.direction}", f"≥ {number(low, 3)} {e.unit}", detail)
    return fact(e, "neutral", f"{of}: {e.direction}")


def _sections(found: Diff, prefix: str) -> list[Section]:
    sections = [Section(f"{prefix}Column by column", "", (_table(found),))]
    drawn = [b for c in found.differing[:_DRAWN] for b in _column(c)]
    if drawn:
        more = len(found.differing) - _DRAWN
        lead = "The clearest first." + (f" {more} more are in the table." if more > 0 else "")
        sections.append(Section(f"{prefix}What changed", lead, tuple(drawn)))
    if found.joint is not None:
        sections.append(_together(found.joint, prefix))
    return sections


def _table(found: Diff) -> Table:
    like = [name for name, _ in found.columns[0].like] if found.columns else []
    gated = found.max_kl is not None
    heads = (
        Column("column"), Column(""), *([Column("limit")] if gated else []),
        Column("KL(reference||current)", "right"), Column("95 %", "right"),
        Column("KL(current||reference)", "right"), Column("PSI", "right"),
        Column("noise", "right"), Column("p", "right"), *(Column(name, "right") for name in like),
    )  # fmt: skip
    largest = max((_size(c.forward) for c in found.columns), default=0.0)
    rows = tuple(_row(c, largest, gated=gated) for c in found.columns[:_LISTED])
    more = len(found.columns) - _LISTED
    caption = "In nats." + (f" The {_LISTED} clearest; {more} more." if more > 0 else "")
    return Table("", heads, rows, caption)


def _size(e: Estimate) -> float:
    return max(e.interval[0], 0.0) if math.isnan(e.value) else e.value


def _row(c: ColumnDiff, largest: float, *, gated: bool) -> tuple[Cell, ...]:
    share = _size(c.forward) / largest if largest > 0.0 else 0.0
    finding = Badge("differs", "unsure") if c.finding == "differs" else Badge("no evidence", "good")
    gate = {
        "passed": Badge("below", "good"), "failed": Badge("above", "bad"),
        "cannot tell": "cannot tell", None: "",
    }[c.gate]  # fmt: skip
    return (
        c.name, finding, *([gate] if gated else []), Bar(_value(c.forward), share),
        _limits(c.forward), _value(c.reverse), _psi(c.jeffreys), number(c.floor, 2),
        "< 0.0001" if c.adjusted < 1e-4 else f"{c.adjusted:.4f}", *(number(v, 3) for _, v in c.like),
    )  # fmt: skip


def _psi(e: Estimate) -> str:
    """Returns Jeffreys in short: it stands between its two halves."""
    low = e.interval[0]
    if e.kind == "unresolved":
        return f"≥ {number(low, 2)}" if low > 0.0 else ""
    return number(e.value, 2)


def _value(e: Estimate) -> str:
    low = e.interval[0]
    if e.kind == "unresolved":
        return f"≥ {number(low, 2)}\nunresolved" if low > 0.0 else "unresolved"
    return with_error(e)


def _line(e: Estimate) -> str:
    return _value(e).replace("\n", ", ")


def _limits(e: Estimate) -> str:
    low, high = e.interval
    if not math.isfinite(low):
        return ""
    return (
        f"{number(low, 2)} to {number(high, 2)}"
        if math.isfinite(high)
        else f"from {number(low, 2)}"
    )


def _column(c: ColumnDiff) -> tuple[Block, ...]:
    pictures = Gallery(c.name, (_densities(c), _integrand(c)), _details(c))
    return (pictures, _regions(c))


def _details(c: ColumnDiff) -> str:
    parts = [f"{sentence(c.forward)}; {sentence(c.reverse)}."]
    if c.medians is not None and all(math.isfinite(m) for m in c.medians):
        low, high = (column_in_words(m, c.kind) for m in c.medians)
        parts.append(f"Median {low} to {high}.")
    for what, levels in (("New", c.new), ("Gone", c.gone)):
        if levels:
            named = ", ".join(f"{name} ({percent(share)})" for name, share in levels[:5])
            parts.append(f"{what}: {named}{' and more' if len(levels) > 5 else ''}.")
    if max(c.missing) > 0.0:
        parts.append(f"Missing {percent(c.missing[0])} to {percent(c.missing[1])}.")
    if c.certified is not None and c.certified.value > 0.0:
        parts.append(
            f"Without any assumption it is at least {number(c.certified.value, 3)} nats (95 %)."
        )
    return " ".join(parts)


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


def _integrand(c: ColumnDiff) -> Figure:
    p = c.picture
    title = "What adds to KL(reference||current)"
    if p.names:
        return _levels(p, "nats", title, (p.integrand,))
    y = _stairs(p.integrand / (np.diff(p.edges) * _scale(c)))
    return Figure(
        title,
        "",
        _axis(c),
        Axis("nats a unit"),
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


def _regions(c: ColumnDiff) -> Table:
    shown = c.regions[:_REGIONS]
    largest = max((abs(r.contribution) for r in shown), default=0.0)
    rows = tuple(
        (
            r.label, percent(r.share_reference), percent(r.share_current),
            Bar(number(r.contribution, 3), r.contribution / largest if largest > 0.0 else 0.0),
        )
        for r in shown
    )  # fmt: skip
    heads = (
        Column(c.name), Column("of reference", "right"), Column("of current", "right"),
        Column("adds, nats", "right"),
    )  # fmt: skip
    more = len(c.regions) - len(shown)
    caption = f"The {len(shown)} regions that add most, of {len(c.regions)}." if more > 0 else ""
    return Table("", heads, rows, caption)


def _together(joint: JointDiff, prefix: str) -> Section:
    lead = (
        f"{sentence(joint.forward)}; {sentence(joint.reverse)}. The columns by themselves add up to "
        f"{_line(joint.sum_of_columns)}; all together less that sum: {_line(joint.interaction)}."
    )
    blocks: list[Block] = [Gallery("", (_curve(joint), _unlike(joint)))]
    if joint.interactions:
        blocks.append(_pairs(joint))
    if joint.certified is not None and joint.certified.value > 0.0:
        blocks.append(
            Notes(
                (
                    f"Without any assumption, at least {number(joint.certified.value, 3)} nats (95 %).",
                )
            )
        )
    return Section(f"{prefix}All columns together", lead, tuple(blocks))


def _curve(joint: JointDiff) -> Figure:
    x = np.array([float(c[0]) for c in joint.curve])
    both = [np.array([c[i] for c in joint.curve]) for i in (1, 2)]
    series: list[Series] = []
    roles: tuple[Role, ...] = ("forward", "reverse")
    for e, y, role in zip((joint.forward, joint.reverse), both, roles, strict=True):
        series += [Series(e.direction, x, y, role, "line"), Series("", x, y, role, "dots")]
    caption = "While these rise with the number of rows, the divergence is larger than can be learned from them."
    high = max(float(np.max(y)) for y in both)
    return Figure(
        "What is found from fewer rows", caption, Axis("rows of the smaller table", (0.0, 1.08 * float(x.max()))),
        Axis("nats", (min(0.0, *(float(y.min()) for y in both)), max(1.15 * high, 0.01))), tuple(series),
    )  # fmt: skip


def _unlike(joint: JointDiff) -> Table:
    rows = tuple(
        (f"{a.row + 1:,}", number(a.log_ratio, 3), f"{b.row + 1:,}", number(b.log_ratio, 3))
        for a, b in zip(joint.unlike_reference[:8], joint.unlike_current[:8], strict=False)
    )
    heads = (
        Column("row of current", "right"), Column("nats", "right"), Column("row of reference", "right"),
        Column("nats", "right"),
    )  # fmt: skip
    return Table(
        "Rows least like the other table", heads, rows,
        "Log of how much likelier a row is in its own table, by a score learned from other rows. Rows count from 1.",
    )  # fmt: skip


def _pairs(joint: JointDiff) -> Table:
    rows = tuple(
        (
            f"{i.columns[0]} and {i.columns[1]}",
            _value(i.value),
            "< 0.0001" if i.p_value < 1e-4 else f"{i.p_value:.4f}",
        )
        for i in joint.interactions
    )
    heads = (Column("pair"), Column("beyond each alone, nats", "right"), Column("p", "right"))
    return Table("Columns that go together differently", heads, rows)


def _left(found: Diff) -> tuple[str, ...]:
    notes = [f"{name} was left out: {reason}." for name, reason in found.left_out]
    for names, where in ((found.only_reference, "reference"), (found.only_current, "current")):
        if names:
            notes.append(f"Only in {where}: {', '.join(names)}.")
    return (*notes, *(f"{note}." for note in found.notes))


# `kullback diff`: two tables, column by column and together.

_SHOWN = 40


def _page(found: Diff, unit: Unit) -> Iterator[str | Text | RichTable]:
    yield f"reference = {found.reference} ({found.rows[0]:,} rows)"
    yield f"current   = {found.current} ({found.rows[1]:,} rows)"
    for name, part in found.groups:
        yield ""
        yield f"{name}: {part.rows[0]:,} and {part.rows[1]:,} rows"
        yield from _of_tables(part, unit)
    if not found.groups:
        yield ""
        yield from _of_tables(found, unit)
    yield from _foot(found, unit)


def _of_tables(found: Diff, unit: Unit) -> Iterator[str | Text | RichTable]:
    like = [name for name, _ in found.columns[0].like] if found.columns else []
    headers = ("column", "KL(ref||cur)", "95 %", "KL(cur||ref)", "noise", "p", *like, "")
    rows = [_print_row(c, unit) for c in found.columns[:_SHOWN]]
    if found.joint is not None:
        rows.append(_joint_row(found.joint, unit, len(like)))
    yield print_table(headers, rows, right=(4, 5))
    more = len(found.columns) - _SHOWN
    if more > 0:
        yield f"and {more} more column(s), less clear; --json lists all"
    yield ""
    yield from _first(found, unit)


def _print_row(column: ColumnDiff, unit: Unit) -> list[str | Text]:
    return [
        column.name, _printed_value(column.forward, unit), _printed_limits(column.forward, unit),
        _printed_value(column.reverse, unit), _near(column.floor), _p(column.adjusted),
        *(f"{value:.4g}" for _, value in column.like), _verdict(column),
    ]  # fmt: skip


def _joint_row(joint: JointDiff, unit: Unit, more: int) -> list[str | Text]:
    return [
        "together", _printed_value(joint.forward, unit), _printed_limits(joint.forward, unit),
        _printed_value(joint.reverse, unit), "", _p(joint.adjusted), *([""] * more), _verdict(joint),
    ]  # fmt: skip


def _printed_value(estimate: Estimate, unit: Unit) -> str:
    text = figure(unit.of(estimate), unit=False)
    low = unit.of(estimate).interval[0]
    return f"≥ {low:.2g}, unresolved" if estimate.kind == "unresolved" and low > 0.0 else text


def _printed_limits(estimate: Estimate, unit: Unit) -> str:
    low, high = unit.of(estimate).interval
    if not math.isfinite(low):
        return ""
    return f"{_near(low)} to {_near(high)}" if math.isfinite(high) else f"from {_near(low)}"


def _near(value: float) -> str:
    return f"{value:.3f}" if value >= 0.01 or value == 0.0 else f"{value:.1g}"


def _p(value: float) -> str:
    return "<.0001" if value < 1e-4 else f"{value:.4f}"


def _verdict(part: ColumnDiff | JointDiff) -> Text:
    words = {"differs": "DIFFERS", "no evidence": "no evidence"}[part.finding]
    gate = {"failed": ", over the limit", "passed": "", "cannot tell": "", None: ""}[part.gate]
    return Text(f"{words}{gate}", style="bold" if part.finding == "differs" else "")


def _first(found: Diff, unit: Unit) -> Iterator[str]:
    """Yields a line for each column that differs: what to look at."""
    for column in found.differing[:10]:
        yield line(f"{column.name}: {in_words(column)}", indent="  ")
    joint = found.joint
    if joint is None or joint.finding != "differs":
        return
    for pair in joint.interactions:
        text = f"{pair.columns[0]} and {pair.columns[1]} go together differently"
        if pair.value.kind == "estimate":
            text += f": {figure(unit.of(pair.value))} beyond each alone"
        yield line(text, indent="  ")
    if joint.unlike_reference:
        rows = ", ".join(f"{r.row + 1:,}" for r in joint.unlike_reference[:5])
        yield line(f"rows of current least like the reference: {rows}", indent="  ")


def in_words(column: ColumnDiff) -> str:
    """Returns what changed in a column: its median, levels, missing values, and where it is paid."""
    parts = []
    if column.medians is not None and all(math.isfinite(m) for m in column.medians):
        low, high = (column_in_words(m, column.kind) for m in column.medians)
        parts.append(f"median {low} to {high}")
    for what, levels in (("new", column.new), ("gone", column.gone)):
        if levels:
            names = ", ".join(repr(name) for name, _ in levels[:3])
            parts.append(
                f"{len(levels)} {what} level(s) ({names}) with {share(sum(s for _, s in levels))}"
            )
    if column.missing[0] != column.missing[1]:
        parts.append(f"missing {share(column.missing[0])} to {share(column.missing[1])}")
    if column.regions:
        region = column.regions[0]
        parts.append(
            f"most is paid at {region.label} ({share(region.share_reference)} to {share(region.share_current)})"
        )
    if column.forward.kind == "unresolved":
        parts.append(f"unresolved: {column.forward.notes[0]}")
    return "; ".join(parts)


def _foot(found: Diff, unit: Unit) -> Iterator[str]:
    yield ""
    named = unit.units
    yield line(
        f"KL in {named}. noise: 95 of 100 pairs of samples without a difference stay below. "
        "p: corrected for all columns.", indent="",
    )  # fmt: skip
    smallest = [c.detectable for c in found.columns if math.isfinite(c.detectable)]
    if smallest:
        yield f"a smooth change is found from about {_near(max(smallest))} {named} on"
    for name, reason in found.left_out:
        yield line(f"left out: {name}: {reason}", indent="  ")
    for names, where in ((found.only_reference, "reference"), (found.only_current, "current")):
        if names:
            yield line(f"only in {where}: {', '.join(names)}", indent="  ")
    for note in found.notes:
        yield line(f"note: {note.replace('columns=(...)', '--columns')}", indent="  ")
    if found.gate is not None:
        yield ""
        yield line(_gate(found), indent="  ")


def _gate(found: Diff) -> str:
    limit = f"{found.max_kl:g} {found.unit}"
    over = f"{', '.join(_over(found))} above {limit} for certain" if _over(found) else ""
    lost = "; ".join(f"{name}: {reason}" for name, reason in found.lost)
    return {
        "passed": f"gate passed: nothing reaches more than {limit}",
        "failed": f"gate failed: {'; '.join(words for words in (over, lost) if words)}",
        "cannot tell": f"gate open: nothing is above {limit} for certain, and not everything below it",
    }[str(found.gate)]


def _over(found: Diff) -> list[str]:
    names = [c.name for c in found.columns if c.gate == "failed"]
    names += ["all together"] if found.joint is not None and found.joint.gate == "failed" else []
    for label, part in found.groups:
        names += [f"{label}: {name}" for name in _over(part)]
    return names
