"""`kullback verify`."""

from pathlib import Path

from kullback.api.verify import examples, verify
from kullback.cli.inputs import check_place, save
from kullback.cli.options import EXIT_CODES, Output
from kullback.cli.progress import descents
from kullback.core.errors import InputError
from kullback.render.terminal import line, show, show_json
from kullback.results.serialise import to_json
from kullback.views.claims import page, verification_report


def run(claims: str | None, report: Path | None, output: Output) -> int:
    """Prints the findings and returns the exit code."""
    if claims is None:
        names = ", ".join(examples())
        raise InputError(f"CLAIMS is missing: give a TOML file or one of {names}")
    check_place(report, inputs=(claims,))
    with descents("recomputing", quiet=output.quiet or output.json):
        found = verify(claims)
    where = None if report is None else save(report, verification_report(found))
    if output.json:
        body = {**to_json(found), "report": None if report is None else str(report)}
        show_json("verify", body)
    else:
        source = f" ({found.source})" if found.source else ""
        heads = [line(f"{found.title}{source}"), ""]
        show([*heads, *page(found), *([where] if where else [])])
    return EXIT_CODES[found.status]


def list_examples(output: Output) -> int:
    """Prints the names of the bundled claims and returns the exit code."""
    names = examples()
    if output.json:
        show_json("verify", {"examples": list(names)})
    else:
        show(names)
    return 0
