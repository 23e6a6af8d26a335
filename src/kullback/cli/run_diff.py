"""`kullback diff`."""

from pathlib import Path

from kullback.cli.inputs import check_place, names_of, save
from kullback.cli.options import EXIT_CODES, Comparing, Output
from kullback.cli.progress import descents
from kullback.diff.driver import diff
from kullback.diff.profile import opened
from kullback.render.terminal import show, show_json
from kullback.results.quantity import factor
from kullback.results.serialise import to_json
from kullback.results.units import Unit
from kullback.views.diff import _page, diff_report


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
    return EXIT_CODES[found.status]
