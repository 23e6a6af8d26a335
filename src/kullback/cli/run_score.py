"""`kullback score`: the log density of rows under a saved fit."""

from contextlib import nullcontext
from pathlib import Path
from typing import Literal

from kullback.api.score import draws, model_rows, score
from kullback.api.store import load_fit
from kullback.cli.answer import File, answer
from kullback.cli.inputs import check_place, names_of
from kullback.cli.options import EXIT_CODES, Output, Reading
from kullback.cli.progress import descents
from kullback.files.writing import as_csv, check_format, column, write_columns
from kullback.render.document import Document
from kullback.render.terminal import show_text
from kullback.results.units import Unit
from kullback.views.samples import score_document


def run(
    model: Path, data: str, columns: str | None, reading: Reading, out: Path | None, *,
    unit: Unit, output: Output,
) -> int:  # fmt: skip
    """Prints the mean log density, writes those of the rows, and returns the exit code."""
    if out is not None:
        check_format(out, (".csv", ".parquet"))
        check_place(out, "--out", inputs=(model, data))
    fit = load_fit(model)
    missing: bool | Literal["drop"] = reading.absent
    with descents("reading", quiet=output.quiet or output.json) as watch:
        rows = model_rows(
            fit, data, columns=names_of(columns), weights=reading.weights, missing=missing
        )
        with nullcontext() if out is None else column(out, "log_prob") as spool:

            def write(scores: object) -> None:
                nonlocal done
                done += len(scores)  # pyright: ignore[reportArgumentType]
                if spool is not None:
                    spool.write(scores)  # pyright: ignore[reportArgumentType]
                if watch is not None:
                    watch(f"{done:,} rows")

            done = 0
            found = score(fit, rows, missing=missing, write=write)
    document = score_document(
        fit, found, model=str(model), data=data, names=rows.columns, unit=unit
    )
    answer("score", document, output, files=(File("out", "scores", out),))
    return EXIT_CODES[found.status]


# `kullback sample`: draws of a saved fit.


def draw_sample(
    model: Path, n: int, key: int, out: Path | None, *, spreadsheet: bool, output: Output
) -> int:
    """Writes or prints draws and returns the exit code."""
    if out is not None:
        check_format(out, (".csv", ".parquet", ".npy"))
        check_place(out, "--out", inputs=(model,))
    found = draws(load_fit(model), n, key=key)
    names, columns = [name for name, _ in found], [values for _, values in found]
    if out is not None:
        write_columns(out, names, columns, spreadsheet=spreadsheet)
    body = {"model": str(model), "n": n, "key": key, "columns": names}
    if out is None and not output.json:
        show_text(as_csv(names, columns, spreadsheet=spreadsheet))
        return 0
    rows = None if out is not None else [list(row) for row in zip(*columns, strict=True)]
    document = Document("Draws", lambda: {**body, "draws": rows})
    what = f"{n:,} draws of {', '.join(names)}"
    answer("sample", document, output, files=(File("out", what, out),))
    return 0
