"""`kullback diff`."""

from dataclasses import replace
from pathlib import Path

from kullback.cli.answer import File, answer
from kullback.cli.inputs import check_place, kinds_of, names_of
from kullback.cli.options import EXIT_CODES, Comparing, Output, typed
from kullback.cli.progress import descents
from kullback.diff.driver import diff
from kullback.files.profiles import opened
from kullback.results.diff import Diff
from kullback.results.quantity import factor
from kullback.results.units import Unit
from kullback.views.diff import diff_document


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
            like=asked.like, kinds=kinds_of(asked.kind), key=asked.key, progress=watch,
        )  # fmt: skip
    document = diff_document(_as_typed(found), unit=unit)
    answer("diff", document, output, files=(File("report", "report", report),))
    return EXIT_CODES[found.status]


def _as_typed(found: Diff) -> Diff:
    """Returns it with remedies as they are typed here."""
    notes = tuple(typed(note) for note in found.notes)
    return replace(found, notes=notes)
