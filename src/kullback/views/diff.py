"""`kullback diff`: a verdict, a table of columns, and pictures of those that differ."""

import math

import numpy as np

from kullback.diff.column import in_words
from kullback.render.document import (
    Axis,
    Badge,
    Banner,
    Bar,
    Block,
    Cell,
    Detail,
    Document,
    Fact,
    Figure,
    Gallery,
    Head,
    Lines,
    Notes,
    Role,
    Section,
    Series,
    Table,
    heads,
)
from kullback.results.diff import ColumnDiff, Diff, JointDiff, Picture, UnlikeRow
from kullback.results.estimate import Estimate
from kullback.results.serialise import to_json
from kullback.views.components import fact, provenance
from kullback.views.lines import steps
from kullback.views.numbers import number, percent, sentence, with_error

#: Columns that a terminal lists, that are described, and that are drawn; regions and rows that are shown.
_BRIEF, _DESCRIBED, _DRAWN, _REGIONS, _UNLIKE = 40, 10, 8, 5, 8
_READING = (
    """KL(reference||current) is the cost, a row, of describing rows of the reference by the distribution of current;
    KL(current||reference) is the other way round. 0 means no difference; .1 nats is a shift of a normal column by
    .45 of its standard deviations.""",
    """p is the p-value of the column, Holm-adjusted over all columns: where nothing differs, a page like this says
    that something does in at most 5 of 100 cases.""",
    "Jeffreys is the sum of both directions; it is also called the population stability index (PSI).",
    """Without assumptions, samples give no upper bound of a KL. The intervals assume that tails continue as far as
    the rows show; where rows are too few for that, the answer is unresolved, with a lower bound.""",
)
_GATES = {
    "passed": Badge("below", "good"),
    "failed": Badge("above", "bad"),
    "cannot tell": "inconclusive",
    None: "",
}


def diff_document(diff: Diff) -> Document:
    """Returns whether and how two tables differ, in the unit of the result."""
    parts = [(f"{name}: ", part) for name, part in diff.groups] or [("", diff)]
    sections = [section for prefix, part in parts for section in _sections(part, prefix)]
    reading = tuple(" ".join(note.split()) for note in _READING)
    sections.append(Section("How to read this", "", (Detail(lambda: (Notes(reading),)),)))
    return Document(
        f"{_short(diff.reference)} against {_short(diff.current)}",
        lambda: to_json(diff),
        (
            f"reference = {diff.reference} ({diff.rows[0]:,} rows)",
            f"current   = {diff.current} ({diff.rows[1]:,} rows)",
        ),
        _facts(diff),
        tuple(sections),
        _notes(diff),
        provenance(key=diff.key, seconds=diff.seconds, clock="wall-clock"),
        _banner(diff),
    )


def _short(source: str) -> str:
    return source.replace("\\", "/").rstrip("/").split("/")[-1] or source


def _banner(diff: Diff) -> Banner:
    lost = "; ".join(f"{name}: {reason}" for name, reason in diff.lost)
    differing = _differing(diff)
    if diff.gate is not None:
        return _gate(diff, differing, lost)
    text = f"{differing} Not compared as asked: {lost}." if lost else differing
    if diff.finding == "differs":
        return Banner("they differ", "unsure", text, _advice(diff))
    if lost:
        return Banner("not all there", "unsure", text, _advice(diff))
    return Banner("no evidence of a difference", "good", text, _detectable(diff))


def _gate(diff: Diff, differing: str, lost: str) -> Banner:
    limit, above = f"{diff.max_kl:g} {diff.unit}", _above(diff)
    advice = "" if diff.finding == "no evidence" else _advice(diff)
    match diff.gate:
        case "passed":
            text = f"no divergence is more than {limit}. {differing}"
            return Banner("gate passed", "good", text, advice)
        case "failed":
            certain = f"{', '.join(above)} certainly above {limit}" if above else ""
            why = "; ".join(words for words in (certain, lost) if words)
            return Banner("gate failed", "bad", f"{why}. {differing}", advice)
    text = f"no divergence is certainly above {limit}, but not all are certainly below. {differing}"
    return Banner("inconclusive", "unsure", text, advice)


def _above(diff: Diff) -> list[str]:
    names = [c.name for c in diff.columns if c.gate == "failed"]
    names += ["all together"] if diff.joint is not None and diff.joint.gate == "failed" else []
    return names + [f"{label}: {name}" for label, part in diff.groups for name in _above(part)]


def _differing(diff: Diff) -> str:
    if diff.groups:
        differing = [name for name, d in diff.groups if d.finding == "differs"]
        names = f": {', '.join(differing[:8])}" if differing else ""
        return f"{len(differing)} of {len(diff.groups)} groups differ by more than chance{names}."
    together = ""
    if diff.joint is not None:
        verb = "do" if diff.joint.finding == "differs" else "do not"
        together = f" All columns together {verb}."
    count = len(diff.differing)
    little = sum(c.finding == "negligible" for c in diff.columns)
    ignored = f", {little} more by less than {diff.ignore_below:g} {diff.unit}" if little else ""
    return f"{count} of {len(diff.columns)} columns differ by more than chance{ignored}.{together}"


def _advice(diff: Diff) -> str:
    part = next((d for _, d in diff.groups if d.finding == "differs"), diff)
    names = [f"{c.name} ({_plainest(c)})" for c in part.differing[:3]]
    if diff.lost and not names:
        return f"Look first at {', '.join(name for name, _ in diff.lost[:3])}."
    if not names:
        return "No single column differs: see how columns go together, below."
    return f"Look first at {'; then '.join(names)}."


def _detectable(diff: Diff) -> str:
    """Returns the smallest smooth change that is detected in every column in four cases of five."""
    sizes = [c.detectable for c in diff.columns if math.isfinite(c.detectable)]
    return (
        f"Minimum detectable KL (80 % power): {number(max(sizes), 2)} {diff.unit}." if sizes else ""
    )


def _medians(c: ColumnDiff) -> str:
    if c.medians is None or not all(math.isfinite(m) for m in c.medians):
        return ""
    return "median {} to {}".format(*(in_words(m, c.kind) for m in c.medians))


def _plainest(c: ColumnDiff) -> str:
    """Returns what changed most plainly in a column."""
    if c.new:
        return f"{len(c.new)} new level(s) with {percent(sum(s for _, s in c.new))} of the rows"
    if abs(c.missing[1] - c.missing[0]) > 0.01:
        return f"missing values {percent(c.missing[0])} to {percent(c.missing[1])}"
    if c.regions and not _medians(c):
        r = c.regions[0]
        return f"{r.label}: {percent(r.share_reference)} to {percent(r.share_current)}"
    return _medians(c) or "see below"


def _changes(c: ColumnDiff) -> str:
    """Returns what changed in a column: its median, levels, missing values, and which region adds most."""
    parts = [_medians(c)] if _medians(c) else []
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
        parts.append(f"largest contribution: {r.label} ({shares})")
    if c.forward.kind == "unresolved":
        parts.append(f"unresolved: {c.forward.notes[0]}")
    return "; ".join(parts)


def _facts(diff: Diff) -> tuple[Fact, ...]:
    joint = () if diff.joint is None else (diff.joint.forward, diff.joint.reverse)
    facts = [_fact(e, "all together") for e in joint]
    return (*facts, *(_fact(c.forward, c.name) for c in diff.differing[:2]))


def _fact(e: Estimate, of: str) -> Fact:
    low = e.interval[0]
    if e.kind == "unresolved" and low > 0.0:
        detail, value = f"95 % confidence; unresolved: {e.reason}", f"≥ {number(low, 3)} {e.unit}"
        return Fact(of, e.direction, value, detail, str(e), repeated=True)
    return fact(e, "neutral", of, repeated=True)


def _sections(diff: Diff, prefix: str) -> list[Section]:
    rows = f"{diff.rows[0]:,} and {diff.rows[1]:,} rows" if prefix else ""
    sections = [Section(f"{prefix}Column by column", rows, (_table(diff),))]
    differing = diff.differing
    if differing:
        more = len(differing) - _DRAWN
        lead = "The clearest first." + (f" {more} more are in the table." if more > 0 else "")
        changes = Notes(tuple(f"{c.name}: {_changes(c)}" for c in differing[:_DESCRIBED]))
        drawn = Detail(lambda: tuple(b for c in differing[:_DRAWN] for b in _column(c)))
        sections.append(Section(f"{prefix}What changed", lead, (changes, drawn)))
    if diff.joint is not None:
        sections.append(_together(diff.joint, prefix))
    return sections


# The table of columns.


def _table(diff: Diff) -> Table:
    like = [name for name, _ in diff.columns[0].like] if diff.columns else []
    gated = diff.max_kl is not None
    columns = (
        *heads("column", "", *(["limit"] if gated else []), ">KL(ref||cur)", ">95 % interval", ">KL(cur||ref)"),
        Head("PSI", "right", detail=True),
        *heads(">null 95 %", ">p", *(f">{name}" for name in like)),
    )  # fmt: skip
    largest = max((_size(c.forward) for c in diff.columns), default=0.0)
    rows = [_row(c, c.name, largest, gated=gated) for c in diff.columns]
    if diff.joint is not None:
        together = _row(diff.joint, "all together", largest, gated=gated)
        rows.append((*together, *([""] * len(like))))
    caption = (
        f"KL in {diff.unit}. Null 95 %: the 95th percentile of KL where nothing differs. p: Holm-adjusted over all "
        f"columns. {_detectable(diff)}"
    )
    brief = None if len(rows) <= _BRIEF + 1 else _BRIEF
    return Table("", columns, tuple(rows), caption.strip(), brief=brief)


def _size(e: Estimate) -> float:
    return max(e.interval[0], 0.0) if math.isnan(e.value) else e.value


def _row(
    part: ColumnDiff | JointDiff, name: str, largest: float, *, gated: bool
) -> tuple[Cell, ...]:
    share = min(_size(part.forward) / largest, 1.0) if largest > 0.0 else 0.0
    of_column = isinstance(part, ColumnDiff)
    return (
        name, Badge(part.finding, "unsure" if part.finding == "differs" else "good"),
        *([_GATES[part.gate]] if gated else []), Bar(_value(part.forward), share),
        _limits(part.forward), _value(part.reverse), _psi(part.jeffreys) if of_column else "",
        number(part.floor, 2) if of_column else "", _p_value(part.adjusted),
        *((number(v, 4) for _, v in part.like) if of_column else ()),
    )  # fmt: skip


def _value(e: Estimate) -> str:
    low = e.interval[0]
    if e.kind == "unresolved":
        return Lines.of((f"≥ {number(low, 2)}", "unresolved")) if low > 0.0 else "unresolved"
    return with_error(e)


def _limits(e: Estimate) -> str:
    low, high = e.interval
    if not math.isfinite(low):
        return ""
    start = _short_number(low)
    return f"{start} to {_short_number(high)}" if math.isfinite(high) else f"from {start}"


def _short_number(value: float) -> str:
    return f"{value:.3f}" if value >= 0.01 or value == 0.0 else f"{value:.1g}"


def _p_value(value: float) -> str:
    return "< 0.0001" if value < 1e-4 else f"{value:.4f}"


def _psi(e: Estimate) -> str:
    """Returns Jeffreys in short: it stands between its two halves."""
    low = e.interval[0]
    if e.kind == "unresolved":
        return f"≥ {number(low, 2)}" if low > 0.0 else ""
    return number(e.value, 2)


# One column: both densities, what adds to the divergence, and where.


def _column(c: ColumnDiff) -> tuple[Block, ...]:
    caption = f"{sentence(c.forward)}; {sentence(c.reverse)}.{_certified(c.certified)}"
    return (Gallery(c.name, (_densities(c), _integrand(c)), caption), _regions(c))


def _certified(e: Estimate | None) -> str:
    if e is None or e.value <= 0.0:
        return ""
    return f" Lower bound without assumptions: {number(e.value, 3)} {e.unit} (95 % confidence)."


def _densities(c: ColumnDiff) -> Figure:
    p = c.picture
    if p.names:
        return _levels(p, "share of the rows", "Both tables", (p.reference, p.current))
    width = np.diff(p.edges) / _unit(c)
    x, reference = steps(p.edges / _unit(c), p.reference / width)
    current = steps(p.edges, p.current / width)[1]
    series = (
        Series("reference", x, reference, "p", "area"),
        Series("current", x, current, "q", "line"),
    )
    return Figure("Both densities", "", _axis(c), Axis("density"), series)


def _integrand(c: ColumnDiff) -> Figure:
    p, title = c.picture, "Contributions to KL(reference||current)"
    if p.names:
        return _levels(p, p.unit, title, (p.integrand,))
    x, y = steps(p.edges / _unit(c), p.integrand / (np.diff(p.edges) / _unit(c)))
    series = (Series("", x, y, "forward", "signed"),)
    return Figure(title, "", _axis(c), Axis(f"{p.unit} per unit of x"), series)


def _unit(c: ColumnDiff) -> float:
    """Dates are drawn in days since the first."""
    return 86_400e6 if c.kind == "dates" else 1.0


def _axis(c: ColumnDiff) -> Axis:
    return Axis(f"{c.name}, days since 1970" if c.kind == "dates" else c.name)


def _levels(p: Picture, label: str, title: str, values: tuple[np.ndarray, ...]) -> Figure:
    """Returns one bar, or two side by side, for each level."""
    at = np.arange(len(p.names), dtype=np.float64)
    bars: list[tuple[str, Role, float]] = [("reference", "p", -0.2), ("current", "q", 0.2)]
    if len(values) == 1:
        bars = [("", "forward", 0.0)]
    series = tuple(
        Series(name, at + shift, y, role, "bars")
        for (name, role, shift), y in zip(bars, values, strict=True)
    )
    names = tuple(n if len(n) <= 12 else f"{n[:11]}…" for n in p.names)
    return Figure(title, "", Axis("", (-0.6, len(at) - 0.4), names=names), Axis(label), series)


def _regions(c: ColumnDiff) -> Table:
    shown = c.regions[:_REGIONS]
    largest = max((abs(r.contribution) for r in shown), default=0.0) or math.inf
    rows = tuple(
        (
            r.label, percent(r.share_reference), percent(r.share_current),
            Bar(number(r.contribution, 3), r.contribution / largest),
        )
        for r in shown
    )  # fmt: skip
    more = len(c.regions) - len(shown)
    caption = f"The {len(shown)} regions that add most, of {len(c.regions)}." if more > 0 else ""
    columns = (Head(c.name), *heads(">of reference", ">of current", f">adds, {c.unit}"))
    return Table("", columns, rows, caption)


# All columns together.


def _together(joint: JointDiff, prefix: str) -> Section:
    total, interaction = (
        _value(e).replace("\n", ", ") for e in (joint.sum_of_columns, joint.interaction)
    )
    lead = (
        f"{sentence(joint.forward)}; {sentence(joint.reverse)}. Sum over the columns: {total}; the joint divergence "
        f"less that sum: {interaction}.{_certified(joint.certified)}"
    )
    differs = joint.finding == "differs"
    unlike = _unlike(joint)
    blocks: list[Block] = [_pairs(joint)] if joint.interactions else []
    blocks += [unlike] if differs and unlike.rows else []
    figures = (_curve(joint),) if differs else (_curve(joint), unlike)
    blocks.append(Detail(lambda: (Gallery("", figures),)))
    return Section(f"{prefix}All columns together", lead, tuple(blocks))


def _curve(joint: JointDiff) -> Figure:
    x, *both = np.array([[float(v) for v in c] for c in joint.curve]).T
    series: list[Series] = []
    roles: tuple[Role, ...] = ("forward", "reverse")
    for e, y, role in zip((joint.forward, joint.reverse), both, roles, strict=True):
        series += [Series(e.direction, x, y, role, "line"), Series("", x, y, role, "dots")]
    caption = (
        "While these rise with the number of rows, the divergence is larger than the rows can show."
    )
    span = min(0.0, float(np.min(both))), max(1.15 * float(np.max(both)), 0.01)
    rows = Axis("rows of the smaller table", (0.0, 1.08 * float(x.max())))
    return Figure("Estimates from fewer rows", caption, rows, Axis(joint.unit, span), tuple(series))


def _unlike(joint: JointDiff) -> Table:
    def cells(row: UnlikeRow) -> tuple[str, str]:
        return f"{row.row + 1:,}", number(row.log_ratio, 3)

    pairs = zip(joint.unlike_reference[:_UNLIKE], joint.unlike_current[:_UNLIKE], strict=False)
    unit = f">log ratio, {joint.unit}"
    return Table(
        "Rows least like the other table",
        heads(">row of current", unit, ">row of reference", unit),
        tuple((*cells(a), *cells(b)) for a, b in pairs),
        "Log density ratio of a row's own table to the other, learned from other rows. Rows count from 1.",
    )


def _pairs(joint: JointDiff) -> Table:
    rows = tuple(
        (f"{i.columns[0]} and {i.columns[1]}", _value(i.value), _p_value(i.p_value))
        for i in joint.interactions
    )
    columns = heads("pair", f">beyond each alone, {joint.unit}", ">p")
    return Table("Pairs of columns whose dependence differs", columns, rows)


def _notes(diff: Diff) -> tuple[str, ...]:
    left = [f"{name} was left out: {reason}" for name, reason in diff.left_out]
    only = (("reference", diff.only_reference), ("current", diff.only_current))
    alone = [f"only in {where}: {', '.join(names)}" for where, names in only if names]
    return (*left, *alone, *diff.notes)
