"""`kullback verify`: published numbers, recomputed and stamped."""

from pathlib import Path

from kullback._core.errors import InputError
from kullback.api import _verify as api
from kullback.cli import _findings, _output, _progress, _saving
from kullback.cli._options import Output
from kullback.reports import verification_report
from kullback.results._verification import Verification


def run(claims: str | None, report: Path | None, output: Output) -> int:
    """Prints the findings and returns the exit code."""
    if claims is None:
        names = ", ".join(api.examples())
        raise InputError(f"CLAIMS is missing: give a TOML file or one of {names}")
    _saving.check_place(report, inputs=(claims,))
    with _progress.descents("recomputing", quiet=output.quiet or output.json):
        found = api.verify(claims)
    where = None if report is None else _saving.save(report, verification_report(found))
    if output.json:
        body = {**found.as_dict(), "report": None if report is None else str(report)}
        _output.show_json("verify", body)
    else:
        source = f" ({found.source})" if found.source else ""
        heads = [_output.line(f"{found.title}{source}"), ""]
        _output.show([*heads, *_findings.page(found), *([where] if where else [])])
    return _code(found)


def list_examples(output: Output) -> int:
    """Prints the names of the bundled claims and returns the exit code."""
    names = api.examples()
    if output.json:
        _output.show_json("verify", {"examples": list(names)})
    else:
        _output.show(names)
    return 0


def _code(found: Verification) -> int:
    if not found.passes:
        return 1
    doubtful = any(f.found is not None and f.found.kind == "unresolved" for f in found.findings)
    return 3 if doubtful else 0
