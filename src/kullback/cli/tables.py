"""`kullback diff`, `watch`, `logits`, `profile`, `score` and `sample`: tables of rows."""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Literal

from kullback.api.logits import logits_kl
from kullback.api.score import draws, model_rows
from kullback.api.score import score as score_rows
from kullback.api.store import load_fit
from kullback.cli import workers
from kullback.cli.answer import File, answer, progress, report_file
from kullback.cli.inputs import check_place, kinds_of, names_of, pairs_of
from kullback.cli.options import Comparing, Output, ReadingOptions, Unit, Watching, Working, typed
from kullback.core.errors import InputError
from kullback.diff.driver import diff as diff_of
from kullback.diff.profile import profile as profile_of
from kullback.diff.watch import watch as watch_of
from kullback.files.archive import read_watch, write_watch
from kullback.files.profiles import opened, read_profile, write_profile
from kullback.files.writing import as_csv, check_format, column, write_columns
from kullback.render.document import Document
from kullback.render.terminal import show_text
from kullback.results.diff import Diff
from kullback.results.quantity import factor
from kullback.results.watch import Watch
from kullback.tables.rows import RowColumns
from kullback.views.diff import diff_document
from kullback.views.logits import logits_document
from kullback.views.samples import score_document
from kullback.views.watch import watch_document


def diff(
    reference: str, current: str, how: Comparing, *, max_kl: float | None, working: Working,
    report: Path | None, unit: Unit, output: Output,
) -> int:  # fmt: skip
    """Prints what differs and returns the exit code."""
    check_place(report, inputs=(reference, current))
    limit = None if max_kl is None else max_kl * factor(unit.units, "nats")
    pair: list[object] = (
        [reference, current] if working.elsewhere else [opened(reference), opened(current)]
    )
    with (
        workers.opened(working.workers, working.scheduler) as executor,
        progress("comparing", output) as watch,
    ):
        difference = diff_of(
            *pair, columns=names_of(how.columns), weights=how.weights,
            frequencies=how.frequencies, cluster=how.cluster, order=how.order, by=how.by, max_kl=limit,
            ignore_below=how.ignore_below * factor(unit.units, "nats"), joint=how.joint,
            like=how.like, kinds=kinds_of(how.kind), key=how.key, progress=watch, executor=executor,
        )  # fmt: skip
    document = diff_document(unit.of(_as_typed(difference)))
    files = (report_file(report),)
    return answer("diff", document, output, files=files, status=difference.status)


def _as_typed(difference: Diff) -> Diff:
    """Returns it with remedies as they are typed here."""
    notes = tuple(typed(note) for note in difference.notes)
    return replace(difference, notes=notes)


def watch(
    state: Path, current: str | None, *, reference: str | None, how: Watching, report: Path | None, unit: Unit,
    output: Output,
) -> int:  # fmt: skip
    """Goes on with a watch, or begins one, writes it, prints how it stands and returns the exit code."""
    check_place(state, "STATE", inputs=(current, reference))
    check_place(report, inputs=(current, reference, state))
    if reference is None:
        if not state.exists():
            raise InputError(
                f"{state}: there is no such file; the first call says --reference FILE"
            )
        if how.columns or how.kind or how.key is not None:
            raise InputError("--columns, --kind and --key: they are said once, with --reference")
        watched = read_watch(state)
    elif state.exists():
        raise InputError(
            f"--reference {reference}: {state} has its reference already; leave it out, or begin another file"
        )
    else:
        watched = watch_of(
            opened(reference),
            columns=names_of(how.columns),
            kinds=kinds_of(how.kind),
            key=how.key or 0,
        )
    if current is None and how.day is not None:
        raise InputError(f"--day {how.day}: say CURRENT, the rows of that day")
    if current is not None:
        watched = watched.update(opened(current), day=how.day)
    if current is not None or reference is not None:
        write_watch(watched, state)
    document = watch_document(unit.of(_typed_notes(watched)))
    files = (File("state", "state", state), report_file(report))
    return answer("watch", document, output, files=files, status=watched.status)


def _typed_notes(watched: Watch) -> Watch:
    left = tuple((name, typed(reason)) for name, reason in watched.left_out)
    return replace(watched, left_out=left, notes=tuple(map(typed, watched.notes)))


def logits(
    base: str, others: Sequence[str], *, max_kl: float | None, size: int | None,
    report: Path | None, unit: Unit, output: Output,
) -> int:  # fmt: skip
    """Prints how far models are from a base and returns the exit code."""
    check_place(report, inputs=(base, *others))
    limit = None if max_kl is None else max_kl * factor(unit.units, "nats")
    with progress("reading", output) as watch:
        found = logits_kl(base, *others, bytes=size, max_kl=limit, progress=watch)
    document = logits_document(unit.of(found))
    return answer("logits", document, output, files=(report_file(report),), status=found.status)


def profile(
    table: str, out: Path, *, like: Path | None, merge: Path | None, columns: str | None,
    kind: Sequence[str], working: Working, output: Output,
) -> int:  # fmt: skip
    """Writes the counts and returns the exit code."""
    check_place(out, "--out", inputs=(table, like, merge))
    if like is not None and merge is not None:
        raise InputError("--like and --merge: merging counts in the cells of that profile already")
    known = merge or like
    cells = None if known is None else read_profile(known)
    with workers.opened(working.workers, working.scheduler) as executor:
        counts = profile_of(
            table, columns=names_of(columns), kinds=kinds_of(kind), like=cells, executor=executor
        )
    if merge is not None and cells is not None:
        counts = cells + counts
    write_profile(out, counts)
    listed = [{"name": c.name, "kind": c.kind, "cells": len(c.counts)} for c in counts.columns]
    counted = f"{counts.rows:,} rows of {len(listed)} column(s) counted: {', '.join(counts.names)}"
    body = {"source": counts.source, "rows": counts.rows, "columns": listed}
    document = Document("A profile", lambda: body, (counted,))
    return answer("profile", document, output, files=(File("out", "profile", out),))


# The log density of rows under a saved fit, and draws of it.


def score(
    model: Path, data: str, columns: str | None, reading: ReadingOptions, working: Working, out: Path | None, *,
    unit: Unit, output: Output,
) -> int:  # fmt: skip
    """Prints the mean log density, writes those of the rows, and returns the exit code."""
    if out is not None:
        check_format(out, (".csv", ".parquet"))
        check_place(out, "--out", inputs=(model, data))
    if reading.kind:
        raise InputError(f"--kind: {model} holds the kinds of its columns; leave it out")
    fit = load_fit(model)
    missing: bool | Literal["drop"] = reading.absent
    with progress("reading", output) as watch:
        rows = model_rows(
            fit, data, columns=names_of(columns), apart=RowColumns(**reading.apart), missing=missing,
            in_pieces=working.elsewhere,
        )  # fmt: skip
        with (
            workers.opened(working.workers, working.scheduler) as executor,
            nullcontext() if out is None else column(out, "log_prob") as spool,
        ):

            def write(scores: object) -> None:
                nonlocal done
                done += len(scores)  # pyright: ignore[reportArgumentType]
                if spool is not None:
                    spool.write(scores)  # pyright: ignore[reportArgumentType]
                if watch is not None:
                    watch(f"{done:,} rows")

            done = 0
            scores = score_rows(fit, rows, missing=missing, write=write, executor=executor)
    shown, saved = unit.of(scores), replace(fit, held_out=unit.of(fit.held_out))
    document = score_document(saved, shown, model=str(model), data=data, names=rows.columns)
    files = (File("out", "scores", out),)
    return answer("score", document, output, files=files, status=scores.status)


# `kullback sample`: draws of a saved fit.


def sample(
    model: Path, n: int, key: int, given: Sequence[str], out: Path | None, *, spreadsheet: bool, output: Output
) -> int:  # fmt: skip
    """Writes or prints draws and returns the exit code."""
    if out is not None:
        check_format(out, (".csv", ".parquet", ".npy"))
        check_place(out, "--out", inputs=(model,))
    fit, values = load_fit(model), pairs_of(given, "--given", "age=40")
    if fit.conditional is not None and not values:
        names = fit.conditional.given
        say = " ".join(f"--given {name}=VALUE" for name in names)
        raise InputError(
            f"{model}: q is a density given {', '.join(names)}: say their values: {say}"
        )
    names, columns = zip(*draws(fit, n, key=key, given=values), strict=True)
    if out is not None:
        write_columns(out, names, columns, spreadsheet=spreadsheet)
    body = {"model": str(model), "n": n, "key": key, "given": values, "columns": list(names)}
    if out is None and not output.json:
        show_text(as_csv(names, columns, spreadsheet=spreadsheet))
        return 0
    rows = None if out is not None else [list(row) for row in zip(*columns, strict=True)]
    document = Document("Draws", lambda: {**body, "draws": rows})
    what = f"{n:,} draws of {', '.join(names)}"
    return answer("sample", document, output, files=(File("out", what, out),))
