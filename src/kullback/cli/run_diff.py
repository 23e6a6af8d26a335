"""`kullback diff`."""

from pathlib import Path

from kullback.cli.inputs import check_place, names_of, save
from kullback.cli.options import Comparing, Output
from kullback.cli.progress import descents
from kullback.diff.driver import diff
from kullback.diff.profile import opened
from kullback.render.terminal import show, show_json
from kullback.results.diff import Diff
from kullback.results.quantity import factor
from kullback.results.serialise import to_json
from kullback.results.units import Unit
from kullback.views.diff import _CANNOT_TELL, _FAILED, _INTERRUPTED, _PASSED, _page, diff_report


def run(
    reference: str, current: str, asked: Comparing, *, max_kl: float | None, report: Path | None,
    unit: Unit, output: Output,
) -> int:  # fmt: skip
    """Prints what differs and returns the exit code."""
    check_place(report, inputs=(reference, current))
    limit = None if max_kl is None else max_kl * factor(unit.units, "nats")
    with descents("comparing", quiet=output.quiet or output.json) as watch:
        found = diff(
            opened(reference), opened(current), columns=names_of(asked.columns), weights=asked.weights,
            cluster=asked.cluster, order=asked.order, by=asked.by, max_kl=limit, joint=asked.joint,
            like=asked.like, key=asked.key, progress=watch,
        )  # fmt: skip
    where = None if report is None else save(report, diff_report(found))
    shown = unit.of(found)
    if output.json:
        show_json("diff", {**to_json(shown), "report": None if report is None else str(report)})
    else:
        show([*_page(shown, unit), *([where] if where else [])])
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
