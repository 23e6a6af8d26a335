"""A look at data before they are used: the names of the columns, and a few rows of a stream."""

from pathlib import Path

import numpy as np
from jaxtyping import Float

from kullback.io._data import find_file
from kullback.io._files import read_file, read_npy
from kullback.io._layout import open_text
from kullback.io._samples import parquet_names
from kullback.io._scan import is_stream, stream_names
from kullback.targets import Stream

Names = tuple[tuple[str, ...], bool]


def column_names(path: str | Path) -> Names:
    """Returns the names of the columns of a file or of files, and whether they are its own.

    Columns of .npy files, and of CSV files without a header, are called x0, x1 ...

    Raises:
        InputError: as `read_samples` and `scan`.
    """
    if is_stream(path):
        return stream_names(path), True
    with find_file(path) as found:
        return read_file(found, {".csv": _csv, ".tsv": _csv, ".parquet": _parquet, ".npy": _npy})


def some_rows(
    stream: Stream, most: int, rng: np.random.Generator
) -> tuple[Float[np.ndarray, "n d"], Float[np.ndarray, " n"] | None]:
    """Returns at most so many rows of a stream, each as likely as any other, with their weights."""
    keys = np.empty(0)
    rows: np.ndarray | None = None
    weights: np.ndarray | None = None
    for values, given in stream.read():
        drawn = rng.random(len(values))
        near = (
            np.flatnonzero(drawn < np.max(keys, initial=0.0)) if len(keys) == most else slice(None)
        )
        keys = np.concatenate([keys, drawn[near]])
        rows = values[near] if rows is None else np.concatenate([rows, values[near]])
        if given is not None:
            weights = given[near] if weights is None else np.concatenate([weights, given[near]])
        if len(keys) > most:
            kept = np.sort(np.argpartition(keys, most)[:most])
            keys, rows = keys[kept], rows[kept]
            weights = None if weights is None else weights[kept]
    assert rows is not None
    return rows, weights


def _csv(path: Path) -> Names:
    layout = open_text(path).layout
    return layout.columns, layout.header


def _parquet(path: Path) -> Names:
    return parquet_names(path), True


def _npy(path: Path) -> Names:
    return read_npy(path)[0], False
