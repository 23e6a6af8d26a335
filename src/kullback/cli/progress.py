"""What JAX compiled is kept for the next run of the command. The library itself never does this."""

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from kullback.render.terminal import clean, terminal_for_progress

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


# How far a search is, on a terminal.


@contextmanager
def descents(what: str, *, quiet: bool) -> Iterator[Callable[[int | str], None] | None]:
    """Yields what to call with the number of descents done, or in words what is being done; None where nobody watches.

    Args:
        what: is being done, such as "fitting".
        quiet: no progress, as with --quiet or --json.
    """
    console = terminal_for_progress(quiet=quiet)
    if console is None:
        yield None
        return
    with console.status(clean(what)) as status:
        yield lambda done: status.update(
            clean(f"{what}: {done if isinstance(done, str) else f'{done} descents'}")
        )
