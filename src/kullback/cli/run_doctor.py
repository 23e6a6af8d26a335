"""`kullback doctor`."""

import platform
from importlib import metadata

from kullback._version import __version__
from kullback.api.verify import doctor
from kullback.cli.answer import answer
from kullback.cli.options import Output
from kullback.views.claims import checks_document

_PACKAGES = ("numpy", "scipy", "polars", "jax", "numpyro", "torch")


def run(output: Output) -> int:
    """Prints the versions and the checks, and returns the exit code."""
    versions: dict[str, str | None] = {
        "python": platform.python_version(),
        "kullback": __version__,
        **{name: _version(name) for name in _PACKAGES},
    }
    checks = doctor()
    answer("doctor", checks_document(checks, versions), output)
    return int(not all(c.passed for c in checks))


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
