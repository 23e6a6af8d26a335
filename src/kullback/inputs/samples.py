"""Files to samples: numbers, counts and categories, with weights."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, final

import numpy as np
import polars as pl

from kullback.core.errors import InputError
from kullback.tables.cells import check_size, check_values, listed, resolve
from kullback.tables.csv import Pick, Typed, read_cells
from kullback.tables.files import find_file, read_file, read_npy
from kullback.tables.frames import chosen
from kullback.tables.frames import read as frames_read
from kullback.targets import Samples

#: Cells without a value: refused; kept as missing; or their rows left out.
Missing = bool | Literal["drop"]


@final
@dataclass(frozen=True, eq=False)
class Read:
    """Samples from a file, and how many of its rows were left out because of missing cells."""

    samples: Samples
    dropped: int


def read_samples(
    path: str | Path,
    *,
    columns: Sequence[str] | None = None,
    weights: str | None = None,
    counts: Sequence[str] = (),
    missing: Missing = False,
) -> Samples:
    """Returns the rows of a file as samples: numbers, and codes with labels where there is text.

    Args:
        path: a .csv (or .tsv), .parquet or .npy file; "faithful.csv" comes with kullback.
        columns: the names of those to take, in that order; all by default.
        weights: the name of a column with the weight of each row, which is then no column of data.
        counts: the names of columns that hold numbers of events.
        missing: what becomes of cells without a value: False refuses them, True keeps them as missing,
            "drop" leaves out their rows.

    Raises:
        InputError: the file is not there or cannot be read, or holds what is neither numbers nor
            categories, infinite or missing values; with the line (CSV) or the row, and the column.

    Example:
        >>> read_samples("faithful.csv", columns=["waiting"]).values.shape
        (272, 1)
    """
    return read_rows(path, columns=columns, weights=weights, counts=counts, missing=missing).samples


def read_rows(
    path: str | Path,
    *,
    columns: Sequence[str] | None = None,
    weights: str | None = None,
    counts: Sequence[str] = (),
    missing: Missing = False,
) -> Read:
    """Returns the samples of a file, and how many rows were left out. Arguments as `read_samples`."""
    check_missing(missing)

    def pick(have: Sequence[str]) -> list[str]:
        wanted = picked(have, columns, weights, counts, str(path))
        return [*wanted, *([] if weights is None else [weights])]

    with find_file(path) as found:
        typed = read_file(found, {k: _bound(r, pick) for k, r in _READERS.items()})
    kept = _kept(typed, weights, missing)
    frame = typed.frame if kept is None else typed.frame[kept]
    if not len(frame):
        what = "a row without missing cells" if len(typed.frame) else "a row"
        raise InputError(f"{typed.source}: there is not {what} in it")
    read = frames_read(
        frame, weights=weights, kinds=dict.fromkeys(counts, "count"), source=typed.source
    )

    def place(row: int) -> str:
        return typed.place(row if kept is None else int(kept[row]))

    check_values(read.values, read.names, read.kinds, read.labels, typed.source, place)
    if read.weights is not None:
        check_weights(read.weights, str(weights), typed.source, place)
    samples = Samples(
        read.values,
        read.weights,
        columns=read.names,
        kinds=read.kinds,
        labels=read.labels,
        missing=missing is True,
    )
    return Read(samples, len(typed.frame) - len(frame))


def check_missing(missing: Missing) -> None:
    """Raises InputError for a choice that there is not."""
    if missing not in (False, True, "drop"):
        raise InputError(f'missing={missing!r}: choose False, True or "drop"')


def picked(
    have: Sequence[str],
    columns: Sequence[str] | None,
    weights: str | None,
    counts: Sequence[str],
    source: str,
) -> list[str]:
    """Returns the names of the columns of data. Raises InputError for names that there are not."""
    if weights is not None and weights not in have:
        raise InputError(
            f"{source}: there is no column {weights!r} for weights; it has {listed(have)}"
        )
    wanted = chosen(have, columns or (), weights, source)
    resolve(dict.fromkeys(counts, "count"), wanted)
    return wanted


def check_weights(weights: np.ndarray, name: str, source: str, place: Callable[[int], str]) -> None:
    """Raises InputError for the first weight that is none."""
    with np.errstate(invalid="ignore"):
        bad = ~((weights >= 0.0) & (weights < np.inf))
    if bad.any():
        row = int(np.argmax(bad))
        raise InputError(
            f"{source}: column {name!r} has the weight {weights[row]:g} on {place(row)}; "
            "weights must be finite and not negative"
        )


def no_value(source: str, name: str, count: int, first: str) -> str:
    """Returns what is said of missing cells where they are refused."""
    cells = (
        "1 cell without a value," if count == 1 else f"{count:,} cells without a value, the first"
    )
    return (
        f'{source}: column {name!r} has {cells} on {first}; say missing="drop" to leave out such '
        "rows, or missing=True to keep them as missing"
    )


def _kept(typed: Typed, weights: str | None, missing: Missing) -> np.ndarray | None:
    """Returns the index of the rows to keep, None for all; raises InputError for infinite values."""
    lacking = np.zeros(len(typed.frame), dtype=bool)
    for series in typed.frame:
        bare = series.is_null().to_numpy()
        if series.dtype.is_float():
            numbers = series.cast(pl.Float64).to_numpy()
            bare = np.isnan(numbers)
            infinite = np.isinf(numbers)
            if infinite.any():
                row = int(np.argmax(infinite))
                raise InputError(
                    f"{typed.source}: column {series.name!r} has {int(infinite.sum()):,} infinite "
                    f"value(s), the first on {typed.place(row)}; mend the cells, or drop such rows"
                )
        if bare.any() and (missing is False or (series.name == weights and missing is True)):
            first = typed.place(int(np.argmax(bare)))
            raise InputError(no_value(typed.source, series.name, int(bare.sum()), first))
        lacking |= bare
    return np.flatnonzero(~lacking) if missing == "drop" and lacking.any() else None


def parquet_names(path: Path) -> tuple[str, ...]:
    """Returns the names of the columns of a Parquet file. Raises InputError if it is damaged."""
    try:
        return tuple(pl.read_parquet_schema(path))
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{path}: this cannot be read as Parquet: {reason}") from None


def _read_parquet(path: Path, pick: Pick) -> Typed:
    source = str(path)
    try:
        lazy = pl.scan_parquet(path, glob=False, hive_partitioning=False)
        wanted = pick(lazy.collect_schema().names())
        check_size(lazy.select(pl.len()).collect().item(), len(wanted), source)
        frame = lazy.select(wanted).collect()
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{source}: this cannot be read as Parquet: {reason}") from None
    return Typed(frame, source, _row)


def _read_npy(path: Path, pick: Pick) -> Typed:
    columns, values = read_npy(path)
    wanted = pick(columns)
    frame = pl.DataFrame({name: values[:, columns.index(name)] for name in wanted})
    return Typed(frame, str(path), _row)


def _bound(read: Callable[[Path, Pick], Typed], pick: Pick) -> Callable[[Path], Typed]:
    return lambda path: read(path, pick)


def _row(row: int) -> str:
    return f"row {row + 1:,}"


_READERS: dict[str, Callable[[Path, Pick], Typed]] = {
    ".csv": read_cells,
    ".tsv": read_cells,
    ".parquet": _read_parquet,
    ".npy": _read_npy,
}
