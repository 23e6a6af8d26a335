"""What JAX compiled is kept for the next run of the command. The library itself never does this."""

import contextlib
import os
import sys
from contextlib import AbstractContextManager
from pathlib import Path

from kullback.core.run import Watch
from kullback.render.progress import told

_DIRECTORY = "JAX_COMPILATION_CACHE_DIR"
#: Compilations that take less are not kept.
_SECONDS = "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"


def remember() -> None:
    """Tells JAX, before it is loaded, to keep what it compiles in the user's cache directory.

    Nothing changes if the environment says already where, if JAX is loaded, or if the directory
    cannot be made. Set JAX_ENABLE_COMPILATION_CACHE=false to keep nothing.
    """
    if _DIRECTORY in os.environ or "jax" in sys.modules:
        return
    with contextlib.suppress(OSError, RuntimeError):  # no home, or one that cannot be written
        place = _caches() / "kullback" / "jax"
        place.mkdir(parents=True, exist_ok=True)
        if os.access(place, os.W_OK):
            os.environ[_DIRECTORY] = str(place)
            os.environ.setdefault(_SECONDS, "0.05")


def _caches() -> Path:
    """Returns the directory in which programs of this user keep what they can make again."""
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


def descents(what: str, *, quiet: bool) -> AbstractContextManager[Watch]:
    """Yields what to call with what is being done; nobody is told with --quiet or --json."""
    return told(what, False if quiet else None)
