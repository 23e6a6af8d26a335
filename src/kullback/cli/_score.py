"""`kullback score`: the log density of rows under a saved fit."""

import math
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

from kullback.api._score import columns_of, score
from kullback.api._store import load
from kullback.cli import _output, _progress, _saving
from kullback.cli._arguments import names_of
from kullback.cli._options import Output, Reading, Unit
from kullback.io._exports import check_format, column
from kullback.io._peek import column_names
from kullback.io._scan import read_rows
from kullback.results._fit import Fit
from kullback.results._score import Score
from kullback.targets import Stream


def run(
    model: Path, data: str, columns: str | None, reading: Reading, out: Path | None, *,
    unit: Unit, output: Output,
) -> int:  # fmt: skip
    """Prints the mean log density, writes those of the rows, and returns the exit code."""
    if out is not None:
        check_format(out, (".csv", ".parquet"))
        _saving.check_place(out, "--out", inputs=(model, data))
    fit = load(model)
    have, named = column_names(data)
    asked = names_of(columns) or tuple(name for name in have if name != reading.weights)
    if columns is None or all(name in have for name in asked):
        asked = columns_of(fit, asked, named=named, source=data)
    with _progress.descents("reading", quiet=output.quiet or output.json) as watch:
        read = read_rows(
            data, columns=asked, weights=reading.weights, missing=reading.missing is not None
        )
        rows = read if isinstance(read, Stream) else read.samples
        with nullcontext() if out is None else column(out, "log_prob") as spool:

            def write(scores: object) -> None:
                nonlocal done
                done += len(scores)  # pyright: ignore[reportArgumentType]
                if spool is not None:
                    spool.write(scores)  # pyright: ignore[reportArgumentType]
                if watch is not None:
                    watch(f"{done:,} rows")

            done = 0
            found = score(fit, rows, skip_missing=reading.missing == "drop", write=write)
    if output.json:
        _output.show_json("score", _as_dict(model, data, fit, found, out, unit))
    else:
        _output.show(_page(model, data, fit, found, out, asked, unit))
    return 0 if math.isfinite(found.mean.value) else 3


def _as_dict(
    model: Path, data: str, fit: Fit, found: Score, out: Path | None, unit: Unit
) -> dict[str, object]:
    held_out = None if fit.held_out is None else unit.of(fit.held_out).as_dict()
    return {
        "model": str(model),
        "data": data,
        **found.as_dict(),
        "mean": unit.of(found.mean).as_dict(),
        "held_out": held_out,
        "out": None if out is None else str(out),
    }


def _page(
    model: Path, data: str, fit: Fit, found: Score, out: Path | None, names: tuple[str, ...],
    unit: Unit,
) -> Iterator[str]:  # fmt: skip
    yield _output.line(f"p: {found.rows:,} rows of {', '.join(names)} ({data})", indent="   ")
    yield _output.line(f"q: {model}, {fit.direction} fit of {fit.family}", indent="   ")
    yield ""
    yield f"mean log density a row:  {unit.of(found.mean)}"
    if fit.held_out is not None:
        yield f"the model's own, held out:  {unit.of(fit.held_out)}"
    yield f"rows outside the support of q:  {found.outside:,}"
    if found.left_out:
        yield f"rows with missing cells, not scored:  {found.left_out:,}"
    for note in found.mean.notes:
        yield _output.line(f"note: {note}", indent="  ")
    if out is not None:
        yield ""
        yield _saving.where("scores", out)
