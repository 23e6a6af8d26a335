"""`kullback doctor`."""

import platform
from importlib import metadata

from kullback._version import __version__
from kullback.api.verify import doctor
from kullback.cli.options import Output
from kullback.render.terminal import line, print_table, show, show_json
from kullback.results.serialise import to_json
from kullback.views.claims import _PACKAGES, _check_row


def run(output: Output) -> int:
    """Prints the versions and the checks, and returns the exit code."""
    versions = {"python": platform.python_version(), "kullback": __version__}
    versions |= {name: _version(name) for name in _PACKAGES}
    checks = doctor()
    passed = sum(c.passed for c in checks)
    if output.json:
        body = {"versions": versions, "passes": passed == len(checks)}
        show_json("doctor", {**body, "checks": to_json(checks)})
    else:
        rows = [[*_check_row(c)] for c in checks]
        show(
            [
                line(", ".join(f"{k} {v or 'not installed'}" for k, v in versions.items())),
                "",
                print_table(("", "value", "must be", "is", "by"), rows),
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
