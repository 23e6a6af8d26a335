"""Packages that are optional: imported when they are needed, and named with the line that installs them."""

import importlib
import shlex
from typing import Any

from kullback.core.errors import MissingDependencyError


def need(module: str, what: str, install: str) -> Any:
    """Returns a module that not every installation has, or whose imports are such.

    Args:
        module: its dotted name.
        what: what needs it, the subject of the message.
        install: what pip is to install.

    Raises:
        MissingDependencyError: it, or what it imports, is not installed.

    Example:
        >>> need("no_such_module", "a flow", "kullback[flow]")
        Traceback (most recent call last):
        kullback.core.errors.MissingDependencyError: a flow needs no_such_module: pip install 'kullback[flow]'
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise MissingDependencyError(
            f"{what} needs {error.name}: pip install {shlex.quote(install)}"
        ) from None
