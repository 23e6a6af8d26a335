"""What a command answers with: a document in the terminal, or its values as JSON; files; an exit code."""

import hashlib
import re
import shlex
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import final

from kullback.cli.options import EXIT_CODES, TYPED, Output
from kullback.core.run import Watch
from kullback.files.atomic import write_atomic
from kullback.render.document import Document
from kullback.render.html import render, signed
from kullback.render.json import write_json
from kullback.render.progress import told
from kullback.render.terminal import show, show_text
from kullback.results.status import Status

#: What FILE.py:NAME says after the file.
_NAME = re.compile(r"\.py:\w+$")
#: Bytes of a file, up to which a report says its digest: half a second.
_MOST_DIGESTED = 2**28


@final
@dataclass(frozen=True)
class File:
    """A file that a command may write.

    Attributes:
        name: in the JSON, "report" or "out".
        what: is in it, such as "scores".
        path: where it is; None where nobody asked for it.
    """

    name: str
    what: str
    path: Path | None


def report_file(path: Path | None) -> File:
    """Returns the HTML report as a file that may be written."""
    return File("report", "report", path)


def answer(
    command: str,
    document: Document,
    output: Output,
    *,
    files: tuple[File, ...] = (),
    page: str | None = None,
    status: Status = Status.DONE,
) -> int:
    """Writes the report that was asked for, prints a document or its values, and returns the exit code.

    Args:
        command: its name.
        document: the answer.
        output: how to print.
        files: those that it may write; that of the name "report" is written here.
        page: the report, where it is drawn already.
        status: how the answer ended.

    Raises:
        InputError: the report cannot be written; nothing was left behind.
    """
    for file in files:
        if file.name == "report" and file.path is not None:
            write_atomic(file.path, page or report_of(document, files))
    if output.json:
        paths = {f.name: None if f.path is None else str(f.path) for f in files}
        show_text(write_json(command, {**document.values(), **paths}))
    else:
        show(document, [_where(f.what, f.path) for f in files if f.path is not None])
    return EXIT_CODES[status]


def report_of(document: Document, files: tuple[File, ...] = ()) -> str:
    """Returns a document as a page whose foot has the command, what it read, when and with what it was made.

    Args:
        document: what the page says.
        files: those that the command may write, which it did not read.
    """
    words = TYPED.get()
    written = {str(f.path) for f in files if f.path is not None}
    inputs = dict.fromkeys(_NAME.sub(".py", w) for w in words)
    read = [f"{w} {_digest(Path(w))}" for w in inputs if w not in written and _is_file(w)]
    rows = [("command", shlex.join(["kullback", *words]))] if words else []
    rows += [("read", "; ".join(read))] if read else []
    return render(signed(document, tuple(rows)))


def _is_file(word: str) -> bool:
    try:
        return Path(word).is_file()
    except (OSError, ValueError):  # an expression, say
        return False


def _digest(path: Path) -> str:
    """The first digits of a file's SHA-256; of a large one, whose reading would take long, the size."""
    size = path.stat().st_size
    if size > _MOST_DIGESTED:
        return f"({size:,} bytes)"
    with path.open("rb") as file:
        return f"(sha256 {hashlib.file_digest(file, 'sha256').hexdigest()[:16]})"


def _where(what: str, path: Path) -> str:
    return f"{what}: {path if path.is_absolute() or len(path.parts) > 1 else f'./{path}'}"


def progress(what: str, output: Output) -> AbstractContextManager[Watch]:
    """Yields what to call with what is being done; nobody is told with --quiet or --json."""
    return told(what, False if output.quiet or output.json else None)
