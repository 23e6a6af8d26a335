"""`kullback profile`: counts of a table to a file."""

from collections.abc import Sequence
from pathlib import Path

from kullback.cli.answer import File, answer
from kullback.cli.inputs import check_place, kinds_of, names_of
from kullback.cli.options import Output
from kullback.core.errors import InputError
from kullback.diff.profile import profile
from kullback.files.profiles import read_profile, write_profile
from kullback.render.document import Document


def run(
    table: str,
    out: Path,
    *,
    like: Path | None,
    merge: Path | None,
    columns: str | None,
    kind: Sequence[str],
    output: Output,
) -> int:
    """Writes the counts and returns the exit code."""
    check_place(out, "--out", inputs=(table, like, merge))
    if like is not None and merge is not None:
        raise InputError("--like and --merge: merging counts in the cells of that profile already")
    known = merge or like
    cells = None if known is None else read_profile(known)
    made = profile(table, columns=names_of(columns), kinds=kinds_of(kind), like=cells)
    if merge is not None and cells is not None:
        made = cells + made
    write_profile(out, made)
    listed = [{"name": c.name, "kind": c.kind, "cells": len(c.counts)} for c in made.columns]
    counted = f"{made.rows:,} rows of {len(listed)} column(s) counted: {', '.join(made.names)}"
    body = {"source": made.source, "rows": made.rows, "columns": listed}
    document = Document("A profile", lambda: body, (counted,))
    answer("profile", document, output, files=(File("out", "profile", out),))
    return 0
