"""How far a computation is, on a terminal or in a notebook."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from kullback.core.errors import InputError
from kullback.core.run import Watch, silent
from kullback.render.terminal import clean, terminal_for_progress


@contextmanager
def told(what: str, progress: Watch | bool | None) -> Iterator[Watch]:  # noqa: FBT001 - as users say it
    """Yields what to call with the number of restarts done, or in words what is being done.

    Args:
        what: is being done, such as "fitting".
        progress: a function that is called instead; False for nobody; None for whoever sits in front.

    Raises:
        InputError: it is none of these.
    """
    if callable(progress):
        yield progress
        return
    if progress not in (True, False, None):
        raise InputError(f"progress={progress!r}: say True, False, or a function that is called")
    console = terminal_for_progress(quiet=progress is False)
    if console is None and progress is True and sys.stderr is not None:
        yield _by_lines(what)
    elif console is None:
        yield silent
    else:
        with console.status(clean(what)) as status:
            yield lambda done: status.update(_line(what, done))


def _line(what: str, done: int | str) -> str:
    return f"{clean(what)}: {clean(done) if isinstance(done, str) else f'{done} restarts'}"


def _by_lines(what: str) -> Watch:
    """Writes a line for each new stage, for logs."""
    last: list[str] = []

    def watch(done: int | str) -> None:
        if isinstance(done, str) and last != [done]:
            last[:] = [done]
            sys.stderr.write(f"{_line(what, done)}\n")

    return watch
