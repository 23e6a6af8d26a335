"""What a command answers with: a document in the terminal, or its values as JSON; files; an exit code."""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import final

from kullback.cli.options import EXIT_CODES, Output
from kullback.core.run import Watch
from kullback.files.atomic import write_atomic
from kullback.render.document import Document
from kullback.render.html import render
from kullback.render.json import write_json
from kullback.render.progress import told
from kullback.render.terminal import show, show_text
from kullback.results.status import Status


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
            write_atomic(file.path, page or render(document))
    if output.json:
        paths = {f.name: None if f.path is None else str(f.path) for f in files}
        show_text(write_json(command, {**document.values(), **paths}))
    else:
        show(document, [_where(f.what, f.path) for f in files if f.path is not None])
    return EXIT_CODES[status]


def _where(what: str, path: Path) -> str:
    return f"{what}: {path if path.is_absolute() or len(path.parts) > 1 else f'./{path}'}"


def progress(what: str, output: Output) -> AbstractContextManager[Watch]:
    """Yields what to call with what is being done; nobody is told with --quiet or --json."""
    return told(what, False if output.quiet or output.json else None)
