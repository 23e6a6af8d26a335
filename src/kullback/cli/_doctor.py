"""`kullback doctor`: is this installation right?"""

import platform
from importlib import metadata

from rich.text import Text

from kullback._version import __version__
from kullback.api import _doctor as api
from kullback.cli import _output
from kullback.cli._options import Output
from kullback.results._check import Check

_PACKAGES = ("numpy", "scipy", "polars", "jax", "numpyro", "torch")


def run(output: Output) -> int:
    """Prints the versions and the checks, and returns the exit code."""
    versions = {"python": platform.python_version(), "kullback": __version__}
    versions |= {name: _version(name) for name in _PACKAGES}
    checks = api.doctor()
    passed = sum(c.passed for c in checks)
    if output.json:
        body = {"versions": versions, "passes": passed == len(checks)}
        _output.show_json("doctor", {**body, "checks": [_as_dict(c) for c in checks]})
    else:
        rows = [[*_row(c)] for c in checks]
        _output.show(
            [
                _output.line(", ".join(f"{k} {v or 'not installed'}" for k, v in versions.items())),
                "",
                _output.table(("", "value", "must be", "is", "by"), rows),
                "",
                f"{passed} of {len(checks)} values are right",
            ]
        )
    return int(passed < len(checks))


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _row(check: Check) -> list[str | Text]:
    stamp = Text("ok", style="green") if check.passed else Text("WRONG", style="bold red")
    found = "none" if check.found is None else f"{check.found.value:.10g}"
    return [stamp, check.name, f"{check.expected:.10g}", found, check.detail]


def _as_dict(check: Check) -> dict[str, object]:
    return {
        "name": check.name,
        "expected": check.expected,
        "found": None if check.found is None else check.found.as_dict(),
        "passed": check.passed,
        "detail": check.detail,
    }
