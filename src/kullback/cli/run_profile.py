"""`kullback profile`: counts of a table to a file."""

from pathlib import Path

from kullback.cli.inputs import check_place, names_of, where
from kullback.cli.options import Output
from kullback.core.errors import InputError
from kullback.diff.profile import merged, profile, read_profile, write_profile
from kullback.render.terminal import show, show_json
from kullback.results.diff import Profile


def run(
    table: str,
    out: Path,
    *,
    like: Path | None,
    merge: Path | None,
    columns: str | None,
    output: Output,
) -> int:
    """Writes the counts and returns the exit code."""
    check_place(out, "--out", inputs=(table, like, merge))
    if like is not None and merge is not None:
        raise InputError("--like and --merge: merging counts in the cells of that profile already")
    known = merge or like
    cells = None if known is None else read_profile(known)
    made = profile(table, columns=names_of(columns), like=cells)
    if merge is not None and cells is not None:
        made = merged(cells, made)
    write_profile(out, made)
    if output.json:
        show_json("profile", _as_dict(made, out))
    else:
        show([
            f"{made.rows:,} rows of {len(made.columns)} column(s) counted: {', '.join(made.names)}",
            where("profile", out),
        ])  # fmt: skip
    return 0


def _as_dict(made: Profile, out: Path) -> dict[str, object]:
    columns = [{"name": c.name, "kind": c.kind, "cells": len(c.counts)} for c in made.columns]
    return {"source": made.source, "rows": made.rows, "columns": columns, "out": str(out)}
