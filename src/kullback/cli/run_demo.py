"""`kullback demo`."""

from pathlib import Path

from kullback.api.verify import demo
from kullback.cli.answer import File, answer
from kullback.cli.inputs import check_place
from kullback.cli.options import EXIT_CODES, Output, check_starts
from kullback.cli.progress import descents
from kullback.results.units import Unit
from kullback.views.claims import demo_document


def run(report: Path | None, *, starts: int, key: int, unit: Unit, output: Output) -> int:
    """Prints the experiment and returns the exit code."""
    check_starts(starts)
    check_place(report)
    with descents("fitting both directions", quiet=output.quiet or output.json) as watch:
        found = demo(starts=starts, key=key, watch=watch)
    document = demo_document(found, unit=unit, key=key)
    answer("demo", document, output, files=(File("report", "report", report),))
    return EXIT_CODES[found.status]
