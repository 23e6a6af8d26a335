"""The commands by name, and how what went wrong becomes an exit code."""

import os
import sys
import traceback
from collections.abc import Sequence

from cyclopts import App, CycloptsError, Parameter

from kullback._version import __version__
from kullback.cli.commands import COMMANDS
from kullback.cli.options import TYPED, typed
from kullback.core.errors import KullbackError
from kullback.core.user_code import raised
from kullback.render.terminal import (
    abandon_stdout,
    flush,
    print_error,
    print_traceback,
    reader_left,
)

#: The one before the last is EX_SOFTWARE of sysexits.h.
_DONE, _BAD_INPUT, _BUG, _INTERRUPTED = 0, 2, 70, 130

_HELP = "Measure, minimise and explain KL divergence in both directions."
_EPILOGUE = """
Exit codes: 0 done; 1 a gate failed (verify, watch, --max-kl, --expect); 2 usage or
bad input; 3 the answer cannot be trusted; 70 a bug of kullback. Results go to
stdout, progress and messages to stderr.
"""
_REPORT = (
    f"this is a bug of kullback {__version__}: please report it, with the lines above and the command, "
    "to who maintains it"
)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit code.

    Args:
        argv: the arguments after the name of the program; by default those of the process.
    """
    # The matrices here are small: OpenBLAS's other threads only spin while they wait, which
    # doubles the CPU time. NumPy reads this once, when it is first imported, so it is set now.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    arguments = sys.argv[1:] if argv is None else list(argv)
    TYPED.set(tuple(arguments))
    try:
        code = _run(arguments)
        flush()
    except (KullbackError, CycloptsError) as error:
        print_error(typed(str(error)))
        return _BAD_INPUT
    except KeyboardInterrupt:
        print_error("interrupted")
        return _INTERRUPTED
    except BaseException as error:  # noqa: BLE001 - 1, which Python would leave with, says that a gate failed
        return _ended(error)
    return code


def _ended(error: BaseException) -> int:
    """What was not foreseen: a reader who left, a file that cannot be written, a bug. Never silence and 0."""
    cut = isinstance(error, BrokenPipeError) and reader_left()
    if cut or _is_help_cut_off(error):
        abandon_stdout()
        return _DONE
    if isinstance(error, OSError):
        abandon_stdout()
        print_error(f"{error.filename or 'the output'}: {error.strerror or error}")
        return _BAD_INPUT
    if isinstance(error, Exception):
        print_traceback(error)
        print_error(_REPORT)
        return _BUG
    text, kind = raised(error)
    print_error(f"code that was called for this command raised {kind}: {text}")
    return _BAD_INPUT


def _is_help_cut_off(error: BaseException) -> bool:
    """Whether it is how rich leaves when who reads --help has gone; whoever else exits is no success."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    return isinstance(error, SystemExit) and frames[-1].f_globals.get("__name__") == "rich.console"


def _run(argv: Sequence[str]) -> int:
    code = _app()(
        argv,
        result_action="return_value",
        exit_on_error=False,
        print_error=False,
        help_on_error=False,
    )
    return code if isinstance(code, int) else _DONE


def _app() -> App:
    app = App(
        name="kullback",
        help=_HELP,
        help_epilogue=_EPILOGUE,
        help_format="plaintext",
        version=__version__,
        suppress_keyboard_interrupt=False,
        default_parameter=Parameter(negative_bool=(), negative_iterable=()),
    )
    for order, command in enumerate(COMMANDS):
        app.command(command, sort_key=order)
    return app
