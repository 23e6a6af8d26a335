"""`kullback diff`."""

from dataclasses import replace
from pathlib import Path

from kullback.cli.answer import File, answer
from kullback.cli.inputs import check_place, names_of
from kullback.cli.options import Comparing, Output
from kullback.cli.progress import descents
from kullback.diff.driver import diff
from kullback.diff.profile import opened
from kullback.results.diff import Diff
from kullback.results.units import Unit
from kullback.views.diff import diff_document

_PASSED, _FAILED, _CANNOT_TELL, _INTERRUPTED = 0, 1, 3, 130


def run(
    reference: str, current: str, asked: Comparing, *, max_kl: float | None, report: Path | None,
    unit: Unit, output: Output,
) -> int:  # fmt: skip
    """Prints what differs and returns the exit code."""
    check_place(report, inputs=(reference, current))
    with descents("comparing", quiet=output.quiet or output.json) as watch:
        found = diff(
            opened(reference), opened(current), columns=names_of(asked.columns), weights=asked.weights,
            cluster=asked.cluster, order=asked.order, by=asked.by, max_kl=max_kl, joint=asked.joint,
            like=asked.like, key=asked.key, progress=watch,
        )  # fmt: skip
    document = diff_document(_as_typed(found), unit=unit)
    answer("diff", document, output, files=(File("report", "report", report),))
    return _code(found)


def _as_typed(found: Diff) -> Diff:
    """Returns it with remedies as they are typed here."""
    notes = tuple(note.replace("columns=(...)", "--columns") for note in found.notes)
    return replace(found, notes=notes)


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
