"""How far a search is, on a terminal."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from kullback.cli import _output


@contextmanager
def descents(what: str, *, quiet: bool) -> Iterator[Callable[[int | str], None] | None]:
    """Yields what to call with the number of descents done, or in words what is being done; None where nobody watches.

    Args:
        what: is being done, such as "fitting".
        quiet: no progress, as with --quiet or --json.
    """
    console = _output.terminal_for_progress(quiet=quiet)
    if console is None:
        yield None
        return
    with console.status(_output.clean(what)) as status:
        yield lambda done: status.update(
            _output.clean(f"{what}: {done if isinstance(done, str) else f'{done} descents'}")
        )
