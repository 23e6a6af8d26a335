"""`kullback demo`."""

from pathlib import Path

from kullback.api.verify import demo
from kullback.cli.inputs import check_place, save
from kullback.cli.options import EXIT_CODES, Output, check_starts
from kullback.cli.progress import descents
from kullback.render.terminal import show, show_json
from kullback.results.units import Unit
from kullback.views.claims import _as_dict, _page, demo_report


def run(report: Path | None, *, starts: int, key: int, unit: Unit, output: Output) -> int:
    """Prints the experiment and returns the exit code."""
    check_starts(starts)
    check_place(report)
    with descents("fitting both directions", quiet=output.quiet or output.json) as watch:
        found = demo(starts=starts, key=key, watch=watch)
    where = None if report is None else save(report, demo_report(found, key=key))
    if output.json:
        body = {**_as_dict(found, unit), "report": None if report is None else str(report)}
        show_json("demo", body)
    else:
        show([*_page(found, unit), *([where] if where else [])])
    return EXIT_CODES[found.status]
