"""`kullback demo`, `verify` and `doctor`: numbers that are known, recomputed."""

import platform
from importlib import metadata
from pathlib import Path

from kullback._version import __version__
from kullback.api import demo as known
from kullback.api import verify as recomputed
from kullback.cli.answer import answer, progress, report_file
from kullback.cli.inputs import check_place
from kullback.cli.options import Output, Unit, check_starts
from kullback.core.errors import InputError
from kullback.render.document import Document
from kullback.results.status import Status
from kullback.views.claims import checks_document, demo_document, verification_document

_PACKAGES = ("numpy", "scipy", "polars", "jax", "numpyro", "torch")


def demo(report: Path | None, *, starts: int, key: int, unit: Unit, output: Output) -> int:
    """Prints the experiment and returns the exit code."""
    check_starts(starts)
    check_place(report)
    with progress("fitting both directions", output) as watch:
        experiment = known.demo(starts=starts, key=key, watch=watch)
    document = demo_document(unit.of(experiment), key=key)
    return answer("demo", document, output, files=(report_file(report),), status=experiment.status)


def verify(claims: str | None, report: Path | None, output: Output) -> int:
    """Prints the findings and returns the exit code."""
    if claims is None:
        names = ", ".join(recomputed.examples())
        raise InputError(f"CLAIMS is missing: give a TOML file or one of {names}")
    check_place(report, inputs=(claims,))
    with progress("recomputing", output):
        verification = recomputed.verify(claims)
    document = verification_document(verification)
    files = (report_file(report),)
    return answer("verify", document, output, files=files, status=verification.status)


def list_examples(output: Output) -> int:
    """Prints the names of the bundled claims and returns the exit code."""
    names = recomputed.examples()
    return answer(
        "verify", Document("Bundled claims", lambda: {"examples": list(names)}, names), output
    )


def doctor(output: Output) -> int:
    """Prints the versions and the checks, and returns the exit code."""
    versions: dict[str, str | None] = {
        "python": platform.python_version(),
        "kullback": __version__,
        **{name: _version(name) for name in _PACKAGES},
    }
    checks = known.doctor()
    status = Status.DONE if all(c.passed for c in checks) else Status.FAILED
    return answer("doctor", checks_document(checks, versions), output, status=status)


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
