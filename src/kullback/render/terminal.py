"""Documents as text; what is printed: results to stdout, messages to stderr, nothing else anywhere."""

import contextlib
import errno
import itertools
import os
import re
import select
import sys
from collections.abc import Sequence
from traceback import format_exception
from typing import TextIO

from rich.cells import cell_len, chop_cells
from rich.console import Console
from rich.text import Text

from kullback.core.errors import InputError
from kullback.render.document import (
    Badge,
    Banner,
    Block,
    Cell,
    Document,
    Fact,
    Gallery,
    Head,
    Lines,
    Notes,
    Section,
    Table,
    Tone,
)

#: Columns where nobody says how many there are; the least and the most that are used.
_WIDTH, _LEAST, _MOST = 100, 24, 120
#: Columns between those of a table; lines of a cell above which a row is written value by value.
_GAP, _TALL = 2, 9
_STYLES: dict[Tone, str] = {"good": "green", "bad": "bold red", "unsure": "yellow"}
#: Terminal sequences, other control characters, and those that turn the direction of writing.
_ESCAPES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b."
    r"|[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]"
)
#: What to write where the stream has no such characters.
_PLAIN = str.maketrans(
    {
        "±": "+-",
        "≥": ">=",
        "≤": "<=",
        "×": "x",
        "…": "...",
        "−": "-",
        "∞": "inf",
        "·": "*",
        "\u00a0": " ",
    }
)


def clean(text: str) -> str:
    """Returns a text without what would act on a terminal, or look like a line of ours: a name with a line break."""
    return _ESCAPES.sub("", text.replace("\n", " "))


def wrap(text: str, width: int, indent: str = "") -> list[str]:
    """Returns a text as lines that are not too wide; a word is cut only where it is wider itself.

    Args:
        text: what to write; what would act on a terminal is taken out.
        width: columns of a line.
        indent: what later lines of a paragraph begin with.

    Example:
        >>> wrap("note: one two three", 12, "  ")
        ['note: one', '  two three']
    """
    flat = clean(text).replace("\n", " ")  # a name from a file begins no line
    body = flat.lstrip(" ")
    lead = flat[: len(flat) - len(body)]
    first, *words = body.split(" ")
    made, line = [], lead + first
    for word in words:
        if cell_len(line) + 1 + cell_len(word) <= width:
            line = f"{line} {word}"
        elif word:
            made += _cut(line, width)
            line = lead + indent + word
    return made + _cut(line, width)


def _cut(line: str, width: int) -> list[str]:
    line = line.rstrip()
    return [line] if cell_len(line) <= width else chop_cells(line, width)


def write_text(document: Document, width: int) -> str:
    """Returns a document as lines of text. Pictures, and what is `Detail`, are left to the page.

    Args:
        document: what to write.
        width: columns of the terminal; no line is longer, and tables that are too wide are written
            one value to a line.
    """
    return "".join(f"{line.plain.rstrip()}\n" for line in _lines(document, width))


def show(document: Document, written: Sequence[str] = ()) -> None:
    """Prints a document to stdout, all or nothing; on a terminal verdicts have colours.

    Args:
        document: what to print.
        written: lines on what was written where, for the end.
    """
    width = _width(sys.stdout)
    lines = _lines(document, width)
    lines += [Text()] if lines and written else []
    lines += [Text(part) for text in written for part in wrap(text, width, "  ")]
    console = _console(sys.stdout)
    with console.capture() as captured:
        for line in lines:
            console.print(line, soft_wrap=True)
    show_text("\n".join(row.rstrip() for row in captured.get().split("\n")), styled=True)


def _lines(document: Document, width: int) -> list[Text]:
    shown = [_banner(document.banner, width)] if document.banner else []
    shown.append([Text(part) for line in document.headline for part in wrap(line, width, "    ")])
    shown.append(_facts(document.facts, width))
    shown += [part for section in document.sections for part in _section(section, width)]
    shown.append(_notes(Notes(document.notes, "note"), width))
    lines: list[Text] = []
    for part in shown:
        lines += [Text(), *part] if lines and part else part
    return lines


def _banner(banner: Banner, width: int) -> list[Text]:
    lines = [Text(part) for part in wrap(f"{banner.word}: {banner.text}", width, "  ")]
    lines[0].stylize(f"bold {_STYLES[banner.tone]}", 0, len(banner.word))
    if banner.remedy:
        lines += [Text(f"  {part}") for part in wrap(banner.remedy, width - 2)]
    return lines


def _facts(facts: Sequence[Fact], width: int) -> list[Text]:
    shown = [f for f in facts if not f.repeated]
    room = max((cell_len(clean(f.label)) + 3 for f in shown if f.label), default=0)
    if room > width // 2:
        return [Text(p) for f in shown for p in wrap(f"{f.label}: {f.line}", width, "    ")]
    lines = []
    for fact in shown:
        first, *more = wrap(fact.line, width - room)
        lines.append(Text(_padded(clean(fact.label), room) + first))
        lines += [Text(" " * room + part) for part in more]
    return lines


def _section(section: Section, width: int) -> list[list[Text]]:
    """Returns a section in parts that empty lines stand between; none where all is left to a page."""
    blocks = [made for block in section.blocks for made in _block(block, width) if made]
    drawn = any(isinstance(block, Table | Notes) for block in section.blocks)
    if not blocks and not (section.lead and (drawn or not section.blocks)):
        return []
    head = (
        [Text(part, style="bold") for part in wrap(section.title, width)] if section.title else []
    )
    head += [Text(part) for part in wrap(section.lead, width)] if section.lead else []
    return [head + blocks[0], *blocks[1:]] if blocks else [head]


def _block(block: Block, width: int) -> list[list[Text]]:
    match block:
        case Table():
            return [_table(block, width)]
        case Notes():
            return [_notes(block, width)]
        case Gallery(items=items):
            return [_table(item, width) for item in items if isinstance(item, Table)]
        case _:
            return []


def _notes(notes: Notes, width: int) -> list[Text]:
    label = f"{notes.label}: " if notes.label else ""
    return [Text(part) for item in notes.items for part in wrap(label + item, width, "  ")]


def _table(table: Table, width: int) -> list[Text]:
    picked = [i for i, column in enumerate(table.columns) if not column.detail]
    columns = [table.columns[i] for i in picked]
    rows = [[_cell(row[i]) for i in picked] for row in table.rows[: table.brief]]
    if not rows:
        return []
    widths = _widths(columns, rows, width)
    lines = [Text(part) for part in wrap(table.title, width)] if table.title else []
    if widths is None:
        for row in rows:
            lines += _stacked(columns, row, width)
    else:
        heads = [(c.name, "bold") for c in columns]
        for row in [heads, *rows] if any(c.name for c in columns) else rows:
            lines += _row(columns, row, widths)
    if len(rows) < len(table.rows):
        lines.append(
            Text(f"... {len(table.rows) - len(rows)} more: --json and the report have all")
        )
    caption = wrap(table.caption, width) if table.caption else []
    return lines + [Text(part, style="dim") for part in caption]


def _cell(cell: Cell) -> tuple[str, str]:
    """Returns the text of a cell and its style."""
    if isinstance(cell, Badge):
        return clean(cell.text), _STYLES[cell.tone]
    text = cell if isinstance(cell, str) else cell.text
    lines = text.split("\n") if isinstance(text, Lines) else [text]
    return "\n".join(clean(line) for line in lines), ""


def _widths(
    columns: Sequence[Head], rows: Sequence[Sequence[tuple[str, str]]], width: int
) -> list[int] | None:
    """Returns a width for each column: texts are wrapped, words and numbers are not; None if too wide."""
    least, most = [], []
    for i, column in enumerate(columns):
        texts = [line for row in rows for line in row[i][0].split("\n")]
        whole = max((cell_len(text) for text in texts), default=0)
        words = [w for t in (*texts, column.name) for w in _words(t)]
        longest = max(cell_len(word) for word in words)
        least.append(max(longest, whole) if column.align == "right" else longest)
        most.append(max(whole, cell_len(column.name)))
    room = width - _GAP * (len(columns) - 1)
    if sum(most) <= room:
        return most
    if sum(least) > room:
        return None
    widths = least
    for level in range(1, room + 1):  # no column gets more than another that wants as much
        wider = [max(low, min(high, level)) for low, high in zip(least, most, strict=True)]
        if sum(wider) > room:
            break
        widths = wider
    tall = any(
        len(wrap(text, wide)) > _TALL
        for row in rows
        for (text, _), wide in zip(row, widths, strict=True)
    )
    return None if tall else widths


def _words(text: str) -> list[str]:
    """Returns the words of a text, each with the room that its line is set in by."""
    lead = text[: len(text) - len(text.lstrip(" "))]
    return [lead + word for word in text.split(" ")]


def _row(
    columns: Sequence[Head], row: Sequence[tuple[str, str]], widths: Sequence[int]
) -> list[Text]:
    cells = [
        [part for line in text.split("\n") for part in wrap(line, wide)]
        for (text, _), wide in zip(row, widths, strict=True)
    ]
    lines = []
    for parts in itertools.zip_longest(*cells, fillvalue=""):
        line = Text()
        for i, part in enumerate(parts):
            text = _padded(part, widths[i], right=columns[i].align == "right")
            line.append(" " * _GAP if i else "").append(text, style=row[i][1])
        lines.append(line)
    return lines


def _stacked(columns: Sequence[Head], row: Sequence[tuple[str, str]], width: int) -> list[Text]:
    """Returns a row as lines, one to a value: its first cell, and the others by name below it."""
    lines = []
    for i, (column, (text, style)) in enumerate(zip(columns, row, strict=True)):
        flat = ", ".join(part for part in text.split("\n") if part)
        if not flat:
            continue
        name = f"{column.name}: " if column.name and (i or not flat) else ""
        indent = "  " if lines else ""
        parts = wrap(f"{indent}{name}{flat}", width, f"{indent}  ")
        lines += [Text(part, style=style) for part in parts]
    return lines


def _padded(text: str, width: int, *, right: bool = False) -> str:
    room = " " * (width - cell_len(text))
    return room + text if right else text + room


def show_text(text: str, *, styled: bool = False) -> None:
    """Prints a text to stdout as it is; on a terminal without what would act on it.

    Args:
        text: what to print.
        styled: it is clean but for our own colours.
    """
    _write(text if styled or sys.stdout is None or not sys.stdout.isatty() else clean(text))


def print_error(text: str) -> None:
    """Prints one line to stderr."""
    _tell(f"error: {' '.join(clean(text).split())}\n")


def print_traceback(error: BaseException) -> None:
    """Prints where an exception came from to stderr."""
    rows = "".join(format_exception(error)).split("\n")
    _tell("\n".join(clean(row) for row in rows))


def _tell(text: str) -> None:
    if sys.stderr is not None:
        try:
            sys.stderr.write(_encodable(text, sys.stderr))
            sys.stderr.flush()
        except (OSError, ValueError):  # nobody reads it: the exit code remains
            _abandon(sys.stderr)


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
    _abandon(sys.stdout)


def _abandon(stream: TextIO | None) -> None:
    """Python writes out what is left in a stream as it ends, and ends with 120 where nobody reads it."""
    with contextlib.suppress(OSError, AttributeError, ValueError):  # no file, or none at all
        devnull = os.open(os.devnull, os.O_WRONLY)
        os.dup2(devnull, stream.fileno())  # pyright: ignore[reportOptionalMemberAccess]
        os.close(devnull)


def terminal_for_progress(*, quiet: bool) -> Console | None:
    """Returns stderr as a terminal, None if it is none or nobody wants to see progress."""
    if quiet or sys.stderr is None or not sys.stderr.isatty():
        return None
    return _console(sys.stderr)


def _width(stream: TextIO | None) -> int:
    """Returns the columns to write in: COLUMNS, else those of the terminal, within reason."""
    width = int(said) if (said := os.environ.get("COLUMNS", "")).isdecimal() else 0
    if not width and stream is not None and stream.isatty():
        with contextlib.suppress(OSError, ValueError):
            width = os.get_terminal_size(stream.fileno()).columns
    return min(max(width or _WIDTH, _LEAST), _MOST)


def _console(stream: TextIO) -> Console:
    """Colours only on a terminal and without NO_COLOR: rich sees to both."""
    terminal = stream is not None and stream.isatty()
    return Console(
        file=stream,
        width=_width(stream),
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
