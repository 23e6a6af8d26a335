"""`kullback diff`: two tables, column by column and together."""

import math
from collections.abc import Iterator
from pathlib import Path

from rich.table import Table
from rich.text import Text

from kullback.api._diff import diff
from kullback.api._profiles import opened
from kullback.cli import _output, _progress, _saving
from kullback.cli._arguments import names_of
from kullback.cli._numbers import figure, share
from kullback.cli._options import Comparing, Output, Unit
from kullback.diagnostics._column_diff import in_words as value_in_words
from kullback.reports import diff_report
from kullback.results._diff import ColumnDiff, Diff, JointDiff
from kullback.results._estimate import Estimate

_PASSED, _FAILED, _CANNOT_TELL, _INTERRUPTED = 0, 1, 3, 130
_SHOWN = 40


def run(
    reference: str, current: str, asked: Comparing, *, max_kl: float | None, report: Path | None,
    unit: Unit, output: Output,
) -> int:  # fmt: skip
    """Prints what differs and returns the exit code."""
    _saving.check_place(report, inputs=(reference, current))
    with _progress.descents("comparing", quiet=output.quiet or output.json) as watch:
        found = diff(
            opened(reference), opened(current), columns=names_of(asked.columns), weights=asked.weights,
            cluster=asked.cluster, order=asked.order, by=asked.by, max_kl=max_kl, joint=asked.joint,
            like=asked.like, key=asked.key, progress=watch,
        )  # fmt: skip
    where = None if report is None else _saving.save(report, diff_report(found))
    if output.json:
        body = {
            **found.as_dict(),
            "unit": "nats",
            "report": None if report is None else str(report),
        }
        _output.show_json("diff", body)
    else:
        _output.show([*_page(found, unit), *([where] if where else [])])
    return _code(found)


def _code(found: Diff) -> int:
    """0 where no gate was asked for or it is passed or open; 1 where it failed; 3 where all is unresolved."""
    if found.interrupted:
        return _INTERRUPTED
    if found.gate == "failed":
        return _FAILED
    if found.gate == "cannot tell" and _unresolved(found):
        return _CANNOT_TELL
    return _PASSED


def _unresolved(found: Diff) -> bool:
    """Whether something that differs has no upper end that could be held against the gate."""
    parts = [*found.columns, *([found.joint] if found.joint else [])]
    mine = any(part.finding == "differs" and part.forward.kind == "unresolved" for part in parts)
    return mine or any(_unresolved(d) for _, d in found.groups)


def _page(found: Diff, unit: Unit) -> Iterator[str | Text | Table]:
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


def _of_tables(found: Diff, unit: Unit) -> Iterator[str | Text | Table]:
    like = [name for name, _ in found.columns[0].like] if found.columns else []
    headers = ("column", "KL(ref||cur)", "95 %", "KL(cur||ref)", "noise", "p", *like, "")
    rows = [_row(c, unit) for c in found.columns[:_SHOWN]]
    if found.joint is not None:
        rows.append(_joint_row(found.joint, unit, len(like)))
    yield _output.table(headers, rows, right=(4, 5))
    more = len(found.columns) - _SHOWN
    if more > 0:
        yield f"and {more} more column(s), less clear; --json lists all"
    yield ""
    yield from _first(found, unit)


def _row(column: ColumnDiff, unit: Unit) -> list[str | Text]:
    return [
        column.name, _value(column.forward, unit), _limits(column.forward, unit),
        _value(column.reverse, unit), _short(column.floor, unit), _p(column.adjusted),
        *(f"{value:.4g}" for _, value in column.like), _verdict(column),
    ]  # fmt: skip


def _joint_row(joint: JointDiff, unit: Unit, more: int) -> list[str | Text]:
    return [
        "together", _value(joint.forward, unit), _limits(joint.forward, unit),
        _value(joint.reverse, unit), "", _p(joint.adjusted), *([""] * more), _verdict(joint),
    ]  # fmt: skip


def _value(estimate: Estimate, unit: Unit) -> str:
    text = figure(unit.of(estimate), unit=False)
    low = unit.of(estimate).interval[0]
    return f"≥ {low:.2g}, unresolved" if estimate.kind == "unresolved" and low > 0.0 else text


def _limits(estimate: Estimate, unit: Unit) -> str:
    low, high = unit.of(estimate).interval
    if not math.isfinite(low):
        return ""
    return f"{_near(low)} to {_near(high)}" if math.isfinite(high) else f"from {_near(low)}"


def _near(value: float) -> str:
    return f"{value:.3f}" if value >= 0.01 or value == 0.0 else f"{value:.1g}"


def _short(value: float, unit: Unit) -> str:
    return _near(value / math.log(2.0) if unit.units == "bits" else value)


def _p(value: float) -> str:
    return "<.0001" if value < 1e-4 else f"{value:.4f}"


def _verdict(part: ColumnDiff | JointDiff) -> Text:
    words = {"differs": "DIFFERS", "no evidence": "no evidence"}[part.finding]
    gate = {"failed": ", over the limit", "passed": "", "cannot tell": "", None: ""}[part.gate]
    return Text(f"{words}{gate}", style="bold" if part.finding == "differs" else "")


def _first(found: Diff, unit: Unit) -> Iterator[str]:
    """Yields a line for each column that differs: what to look at."""
    for column in found.differing[:10]:
        yield _output.line(f"{column.name}: {in_words(column)}", indent="  ")
    joint = found.joint
    if joint is None or joint.finding != "differs":
        return
    for pair in joint.interactions:
        text = f"{pair.columns[0]} and {pair.columns[1]} go together differently"
        if pair.value.kind == "estimate":
            text += f": {figure(unit.of(pair.value))} beyond each alone"
        yield _output.line(text, indent="  ")
    if joint.unlike_reference:
        rows = ", ".join(f"{r.row + 1:,}" for r in joint.unlike_reference[:5])
        yield _output.line(f"rows of current least like the reference: {rows}", indent="  ")


def in_words(column: ColumnDiff) -> str:
    """Returns what changed in a column: its median, levels, missing values, and where it is paid."""
    parts = []
    if column.medians is not None and all(math.isfinite(m) for m in column.medians):
        low, high = (value_in_words(m, column.kind) for m in column.medians)
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
    yield _output.line(
        f"KL in {named}. noise: 95 of 100 pairs of samples without a difference stay below. "
        "p: corrected for all columns.", indent="",
    )  # fmt: skip
    smallest = [c.detectable for c in found.columns if math.isfinite(c.detectable)]
    if smallest:
        yield f"a smooth change is found from about {_short(max(smallest), unit)} {named} on"
    for name, reason in found.left_out:
        yield _output.line(f"left out: {name}: {reason}", indent="  ")
    for names, where in ((found.only_reference, "reference"), (found.only_current, "current")):
        if names:
            yield _output.line(f"only in {where}: {', '.join(names)}", indent="  ")
    for note in found.notes:
        yield _output.line(f"note: {note.replace('columns=(...)', '--columns')}", indent="  ")
    if found.gate is not None:
        yield ""
        yield _output.line(_gate(found), indent="  ")


def _gate(found: Diff) -> str:
    limit = f"{found.max_kl:g} nats"
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
