"""`kullback sample`: draws of a saved fit."""

from pathlib import Path

from kullback.api._draws import draws
from kullback.api._store import load
from kullback.cli import _output, _saving
from kullback.cli._options import Output
from kullback.io._exports import as_csv, check_format, write_columns


def run(model: Path, n: int, key: int, out: Path | None, output: Output) -> int:
    """Writes or prints draws and returns the exit code."""
    if out is not None:
        check_format(out, (".csv", ".parquet", ".npy"))
        _saving.check_place(out, "--out", inputs=(model,))
    found = draws(load(model), n, key=key)
    names, columns = [name for name, _ in found], [values for _, values in found]
    if out is not None:
        write_columns(out, names, columns)
    body = {"model": str(model), "n": n, "key": key, "columns": names}
    if output.json:
        rows = None if out is not None else [list(row) for row in zip(*columns, strict=True)]
        where = None if out is None else str(out)
        _output.show_json("sample", {**body, "draws": rows, "out": where})
    elif out is None:
        text = as_csv(names, columns)
        _output.show_text(text, data=True)
    else:
        _output.show([_saving.where(f"{n:,} draws of {', '.join(names)}", out)])
    return 0
