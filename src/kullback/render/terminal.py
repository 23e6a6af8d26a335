"""What is printed: results to stdout, messages to stderr, nothing else anywhere."""

import contextlib
import errno
import json
import math
import os
import re
import select
import sys
import textwrap
from collections.abc import Iterable, Sequence
from traceback import format_exception
from typing import TextIO, final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from kullback.core.errors import InputError

SCHEMA = 2
#: Columns of a line of text and of a table; those to be had where there is no terminal to ask.
_WIDTH = 100
_UNLIMITED = 120
#: Terminal sequences, other control characters, and those that turn the direction of writing.
_ESCAPES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b."
    r"|[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]"
)
#: What to write where the stream has no such characters.
_PLAIN = str.maketrans({"±": "+-", "≥": ">=", "≤": "<=", "×": "x", "…": "...", "−": "-"})


def clean(text: str) -> str:
    """Returns a text without what would act on a terminal, or look like a line of ours: a name with a line break."""
    return _ESCAPES.sub("", text.replace("\n", " "))


def _clean(part: str | Text) -> str | Text:
    if isinstance(part, str):
        return part if isinstance(part, _Wrapped) else clean(part)
    cleaned = part.copy()
    cleaned.plain = clean(part.plain)
    return cleaned


@final
class _Wrapped(str):
    """Lines of ours, cleaned before they were wrapped: their line breaks are no name's."""

    __slots__ = ()


def line(text: str, *, indent: str = "") -> str:
    """Returns a text as lines that are not too wide; those after the first are set in."""
    filled = textwrap.fill(
        clean(text),
        _WIDTH,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return _Wrapped(filled)


def print_table(
    headers: Sequence[str],
    rows: Iterable[Sequence[str | Text]],
    *,
    right: Sequence[int] = (),
) -> Table:
    """Returns a table without lines; nothing in it is cut off.

    Args:
        headers: a name for each column.
        rows: cells, as many as headers.
        right: the columns that are set to the right, from 0.
    """
    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for i, header in enumerate(headers):
        made.add_column(clean(header), justify="right" if i in right else "left", overflow="fold")
    for row in rows:
        cells = map(_clean, row)
        made.add_row(*[cell if isinstance(cell, Text) else Text(cell) for cell in cells])
    return made


def show(parts: Iterable[str | Text | Table]) -> None:
    """Prints lines and tables to stdout, all or nothing, without what would act on a terminal.

    A part is one line, whatever names are in it; `show_text` is for texts of ours with several.
    """
    console = _console(sys.stdout)
    with console.capture() as captured:
        for part in parts:
            if isinstance(part, Table):
                console.print(part, width=min(_WIDTH, console.width))
            else:
                console.print(_clean(part), soft_wrap=True)
    _write("\n".join(row.rstrip() for row in captured.get().split("\n")))


def show_json(command: str, body: dict[str, object]) -> None:
    """Prints one JSON object to stdout; what is infinite or unknown (NaN) in it is null."""
    whole = _finite({"schema": SCHEMA, "command": command, **body})
    _write(json.dumps(whole, allow_nan=False, indent=2) + "\n")


def show_text(text: str, *, data: bool = False) -> None:
    """Prints a text of several lines to stdout: data as they are, but not to a terminal."""
    if not data or (sys.stdout is not None and sys.stdout.isatty()):
        text = "\n".join(clean(row) for row in text.split("\n"))
    _write(text)


def print_error(text: str) -> None:
    """Prints one line to stderr."""
    _tell(f"error: {' '.join(clean(text).split())}\n")


def print_traceback(error: BaseException) -> None:
    """Prints where an exception came from to stderr."""
    rows = "".join(format_exception(error)).split("\n")
    _tell("\n".join(clean(row) for row in rows))


def _tell(text: str) -> None:
    if sys.stderr is not None:
        with contextlib.suppress(OSError, ValueError):  # nobody reads it: the exit code remains
            sys.stderr.write(_encodable(text, sys.stderr))
            sys.stderr.flush()


def flush() -> None:
    """Writes out what others printed to stdout."""
    if sys.stdout is not None:
        sys.stdout.flush()


def reader_left() -> bool:
    """Whether stdout is a pipe that nobody reads any more."""
    if sys.stdout is None or not hasattr(select, "poll"):
        return False
    try:
        poll = select.poll()
        poll.register(sys.stdout.fileno(), select.POLLOUT)
        return any(event & select.POLLERR for _, event in poll.poll(0))
    except (OSError, ValueError):
        return False


def abandon_stdout() -> None:
    """Lets what is still to come go nowhere: the reader has left."""
    with contextlib.suppress(OSError, AttributeError):  # no file, or none at all
        devnull = os.open(os.devnull, os.O_WRONLY)
        os.dup2(devnull, sys.stdout.fileno())
        os.close(devnull)


def terminal_for_progress(*, quiet: bool) -> Console | None:
    """Returns stderr as a terminal, None if it is none or nobody wants to see progress."""
    if quiet or sys.stderr is None or not sys.stderr.isatty():
        return None
    return _console(sys.stderr)


def _console(stream: TextIO) -> Console:
    """Colours only on a terminal and without NO_COLOR: rich sees to both."""
    terminal = stream is not None and stream.isatty()
    return Console(
        file=stream,
        width=None if terminal else _UNLIMITED,
        highlight=False,
        markup=False,
        emoji=False,
        force_terminal=terminal,
    )


def _write(text: str) -> None:
    if sys.stdout is None:
        return
    try:
        sys.stdout.write(_encodable(text, sys.stdout))
        sys.stdout.flush()
    except BrokenPipeError:
        abandon_stdout()
    except OSError as fault:
        abandon_stdout()
        if fault.errno == errno.EINVAL:  # how Windows says that a pipe is closed
            return
        raise InputError(f"the output cannot be written: {fault.strerror or fault}") from None


def _encodable(text: str, stream: TextIO) -> str:
    encoding = stream.encoding or "utf-8"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return text.translate(_PLAIN).encode(encoding, "replace").decode(encoding)
    return text


def _finite(value: object) -> object:
    match value:
        case dict():
            return {str(k): _finite(v) for k, v in value.items()}
        case list() | tuple():
            return [_finite(v) for v in value]
        case float() if not math.isfinite(value):
            return None
        case _:
            return value
