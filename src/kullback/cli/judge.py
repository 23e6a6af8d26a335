"""`kullback judge`: draws or a density against a log density."""

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

from kullback.api.judge import judge as judge_of
from kullback.api.store import load_fit
from kullback.cli.answer import File, answer, progress, report_file
from kullback.cli.fit import typed_diagnosis
from kullback.cli.inputs import (
    check_place,
    expression,
    is_model,
    is_rows,
    kinds_of,
    model,
    source_of,
)
from kullback.cli.options import Output, ReadingOptions, Unit
from kullback.core.errors import InputError
from kullback.inputs.draws import is_tree_file
from kullback.inputs.stream import read_rows
from kullback.tables.rows import RowColumns
from kullback.targets import Stream
from kullback.views.judgement import judgement_document

#: Files of fits.
_FITS = (".kb", ".kullback")


def judge(
    p: str,
    q: str,
    reading: ReadingOptions,
    report: Path | None,
    *,
    key: int,
    unit: Unit,
    output: Output,
) -> int:
    """Prints the judgement and returns the exit code: 3 if q should not be used for p."""
    check_place(report, inputs=(source_of(p), q))
    files: tuple[File, ...] = (report_file(report),)
    with model(p) if is_model(p) else nullcontext(expression(p)) as target:
        judged = _judged(q, reading)
        with progress("judging", output) as watch:
            found = unit.of(judge_of(target, judged, key=key, progress=watch))
    shown = replace(found, diagnosis=typed_diagnosis(found.diagnosis))
    document = judgement_document(shown, p=p, q=q, key=key)
    return answer("judge", document, output, files=files, status=found.status)


def _judged(q: str, reading: ReadingOptions) -> object:
    """Draws in a file, with the columns that say what its rows stand for; a saved fit; or a density."""
    if q.lower().endswith(_FITS):
        return load_fit(q)
    if is_model(q):
        raise InputError(f"{q}: q is a file of draws, a saved fit (.kb) or an expression")
    apart = {name: column for name, column in reading.apart.items() if column is not None}
    plain = is_tree_file(q) or q.lower().endswith(".npy")
    options = [
        *apart,
        *(["kind"] if reading.kind else []),
        *(["missing"] if reading.missing else []),
    ]
    if options and (plain or not is_rows(q)):
        raise InputError(f"--{options[0]}: {q} has no columns by name")
    if plain or not is_rows(q):
        return q
    kinds = kinds_of(reading.kind)
    read = read_rows(q, apart=RowColumns(**reading.apart), kinds=kinds, missing=reading.absent)
    return read if isinstance(read, Stream) else read.samples
