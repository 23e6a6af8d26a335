"""`kullback score`: the log density of rows under a saved fit."""

from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

from kullback.api.diff import columns_of, draws, score
from kullback.api.store import load
from kullback.cli.inputs import check_place, names_of
from kullback.cli.inputs import where as inputs_where
from kullback.cli.options import EXIT_CODES, Output, Reading
from kullback.cli.progress import descents
from kullback.files.writing import as_csv, check_format, column, write_columns
from kullback.inputs.stream import column_names, read_rows
from kullback.render.terminal import line, show, show_json, show_text
from kullback.results.fit import Fit
from kullback.results.others import Score
from kullback.results.serialise import to_json
from kullback.results.units import Unit
from kullback.targets import Stream


def run(
    model: Path, data: str, columns: str | None, reading: Reading, out: Path | None, *,
    unit: Unit, output: Output,
) -> int:  # fmt: skip
    """Prints the mean log density, writes those of the rows, and returns the exit code."""
    if out is not None:
        check_format(out, (".csv", ".parquet"))
        check_place(out, "--out", inputs=(model, data))
    fit = load(model)
    have, named = column_names(data)
    asked = names_of(columns) or tuple(name for name in have if name != reading.weights)
    if columns is None or all(name in have for name in asked):
        asked = columns_of(fit, asked, named=named, source=data)
    with descents("reading", quiet=output.quiet or output.json) as watch:
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
        show_json("score", _as_dict(model, data, fit, found, out, unit))
    else:
        show(_page(model, data, fit, found, out, asked, unit))
    return EXIT_CODES[found.status]


def _as_dict(
    model: Path, data: str, fit: Fit, found: Score, out: Path | None, unit: Unit
) -> dict[str, object]:
    return {
        "model": str(model),
        "data": data,
        **to_json(unit.of(found)),
        "held_out": to_json(unit.of(fit.held_out)),
        "out": None if out is None else str(out),
    }


def _page(
    model: Path, data: str, fit: Fit, found: Score, out: Path | None, names: tuple[str, ...],
    unit: Unit,
) -> Iterator[str]:  # fmt: skip
    yield line(f"p: {found.rows:,} rows of {', '.join(names)} ({data})", indent="   ")
    yield line(f"q: {model}, {fit.direction} fit of {fit.family}", indent="   ")
    yield ""
    yield f"mean log density a row:  {unit.of(found.mean)}"
    if fit.held_out is not None:
        yield f"the model's own, held out:  {unit.of(fit.held_out)}"
    yield f"rows outside the support of q:  {found.outside:,}"
    if found.left_out:
        yield f"rows with missing cells, not scored:  {found.left_out:,}"
    for note in unit.of(found.mean).notes:
        yield line(f"note: {note}", indent="  ")
    if out is not None:
        yield ""
        yield inputs_where("scores", out)


# `kullback sample`: draws of a saved fit.


def draw_sample(model: Path, n: int, key: int, out: Path | None, output: Output) -> int:
    """Writes or prints draws and returns the exit code."""
    if out is not None:
        check_format(out, (".csv", ".parquet", ".npy"))
        check_place(out, "--out", inputs=(model,))
    found = draws(load(model), n, key=key)
    names, columns = [name for name, _ in found], [values for _, values in found]
    if out is not None:
        write_columns(out, names, columns)
    body = {"model": str(model), "n": n, "key": key, "columns": names}
    if output.json:
        rows = None if out is not None else [list(row) for row in zip(*columns, strict=True)]
        where = None if out is None else str(out)
        show_json("sample", {**body, "draws": rows, "out": where})
    elif out is None:
        text = as_csv(names, columns)
        show_text(text, data=True)
    else:
        show([inputs_where(f"{n:,} draws of {', '.join(names)}", out)])
    return 0
