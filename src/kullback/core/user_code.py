"""Code of the user's: what leaves it is an error that names it, never the end of the process.

`sys.exit` in a density or a loss would otherwise end a gate with exit code 0. Only KeyboardInterrupt passes: it
is how a terminal stops us. `os._exit` ends the process without a word to Python; nothing can hold it back.
Arrays enter it read-only: what it changed in place would be another event than the one it answers for.
"""

import functools
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from kullback.core.errors import KullbackError, UserCodeError


def guarded(fn: Callable[..., Any], name: str) -> Callable[..., Any]:
    """Returns a function that raises an Exception where fn would leave by sys.exit or the like.

    Exceptions stay what they are: who calls a density may learn from them, as from those of JAX's tracers.
    NumPy arrays among the arguments are handed over read-only.

    Args:
        fn: the user's function.
        name: what it is called in messages, such as "the log density of p".

    Example:
        >>> import sys
        >>> guarded(sys.exit, "the loss")(0)
        Traceback (most recent call last):
        kullback.core.errors.UserCodeError: the loss raised SystemExit: it called sys.exit(0)
    """

    @functools.wraps(fn, updated=())
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return fn(*(read_only(a) for a in args), **{k: read_only(a) for k, a in kwargs.items()})
        except (Exception, KeyboardInterrupt):
            raise
        except BaseException as error:
            raise _error(error, name, getattr(fn, "__name__", type(fn).__name__)) from error

    return call


def read_only(thing: Any) -> Any:
    """Returns a NumPy array as a view that cannot be written to, those in dicts, lists and tuples, too.

    Example:
        >>> import numpy as np
        >>> read_only(np.zeros(2)).flags.writeable
        False
    """
    numpy = sys.modules.get("numpy")  # not imported here: the command's help does without
    if numpy is not None and isinstance(thing, numpy.ndarray) and thing.flags.writeable:
        view = thing.view()
        view.flags.writeable = False
        return view
    if type(thing) is dict:
        return {name: read_only(value) for name, value in thing.items()}
    if type(thing) in (list, tuple):
        return type(thing)(read_only(value) for value in thing)
    return thing


@contextmanager
def user_code(name: str) -> Iterator[None]:
    """Turns whatever its block raises, but for our own errors and KeyboardInterrupt, into one that names it.

    Args:
        name: what runs in the block, in messages.

    Raises:
        UserCodeError: the block raised.
    """
    try:
        yield
    except (KullbackError, KeyboardInterrupt):
        raise
    except BaseException as error:
        raise _error(error, name, name) from error


def raised(error: BaseException) -> tuple[str, str]:
    """Returns what the user's code said, and the name of what it raised."""
    if isinstance(error, UserCodeError):
        return error.text, error.kind
    return _text(error, "it"), type(error).__name__


def _text(error: BaseException, caller: str) -> str:
    if isinstance(error, SystemExit):
        return f"{caller} called sys.exit({error.code!r})"
    if isinstance(error, ValueError) and "read-only" in str(error):
        return f"{error}; it changes its argument: begin with a copy, such as x = np.array(x)"
    return str(error)


def _error(error: BaseException, name: str, caller: str) -> UserCodeError:
    text, kind = _text(error, "it"), type(error).__name__
    made = UserCodeError(f"{name} raised {kind}: {text}" if text else f"{name} raised {kind}")
    made.text, made.kind = _text(error, caller) or f"{caller} raised it", kind
    return made.with_traceback(error.__traceback__)  # the user's own lines, for who points at them
