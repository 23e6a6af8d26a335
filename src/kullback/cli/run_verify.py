"""`kullback verify`."""

from pathlib import Path

from kullback.api.verify import examples, verify
from kullback.cli.answer import File, answer
from kullback.cli.inputs import check_place
from kullback.cli.options import EXIT_CODES, Output
from kullback.cli.progress import descents
from kullback.core.errors import InputError
from kullback.render.document import Document
from kullback.views.claims import verification_document


def run(claims: str | None, report: Path | None, output: Output) -> int:
    """Prints the findings and returns the exit code."""
    if claims is None:
        names = ", ".join(examples())
        raise InputError(f"CLAIMS is missing: give a TOML file or one of {names}")
    check_place(report, inputs=(claims,))
    with descents("recomputing", quiet=output.quiet or output.json):
        found = verify(claims)
    answer(
        "verify", verification_document(found), output, files=(File("report", "report", report),)
    )
    return EXIT_CODES[found.status]


def list_examples(output: Output) -> int:
    """Prints the names of the bundled claims and returns the exit code."""
    names = examples()
    listed = Document("Bundled claims", lambda: {"examples": list(names)}, names)
    answer("verify", listed, output)
    return 0
