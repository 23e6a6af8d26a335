"""Tables to samples: numbers, counts and categories, with weights; missing cells refused, kept or left out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, final

import numpy as np

from kullback.core.errors import InputError
from kullback.tables.files import bundled, open_table
from kullback.tables.kinds import Kind, Place, check_values
from kullback.tables.rows import ALL_DATA, RowColumns
from kullback.tables.table import Numbers, Table, numbers
from kullback.targets import Samples

#: Cells without a value: refused; kept as missing; or their rows left out.
Missing = bool | Literal["drop"]


@final
@dataclass(frozen=True, eq=False)
class Read:
    """Samples from a table, and how many of its rows were left out because of missing cells."""

    samples: Samples
    dropped: int


def read_samples(
    path: str | Path,
    *,
    columns: Sequence[str] | None = None,
    weights: str | None = None,
    frequencies: str | None = None,
    cluster: str | None = None,
    order: str | None = None,
    counts: Sequence[str] = (),
    kinds: Mapping[str, Kind] | None = None,
    missing: Missing = False,
) -> Samples:
    """Returns the rows of a file as samples: numbers, and codes with labels where there is text.

    Args:
        path: a .csv (or .tsv), .parquet or .npy file; "faithful.csv" comes with kullback.
        columns: the names of those to take, in that order; all by default.
        weights, frequencies, cluster, order: names of columns that say what the rows stand for, as of
            `Samples`; they are then no columns of data.
        counts: the names of columns that hold numbers of events: the same as kinds={name: "count"}.
        kinds: of columns that are not what they seem, such as {"zip": "category"}.
        missing: what becomes of cells without a value: False refuses them, True keeps them as missing,
            "drop" leaves out their rows.

    Raises:
        InputError: the file is not there or cannot be read, or holds what is neither numbers nor
            categories, infinite or missing values; with the line (CSV) or the row, and the column.

    Example:
        >>> read_samples("faithful.csv", columns=["waiting"]).values.shape
        (272, 1)
    """
    declared = declared_kinds(counts, kinds)
    apart = RowColumns(weights, frequencies, cluster, order)
    return samples_of(
        open_table(path), columns=columns or (), apart=apart, kinds=declared, missing=missing
    ).samples


def dataset(name: str) -> Samples:
    """Returns a data set that comes with the package.

    Args:
        name: "faithful".

    Raises:
        InputError: there is none of this name.

    Example:
        >>> dataset("faithful").values.shape
        (272, 2)
    """
    return samples_of(bundled(name)).samples


def samples_of(
    table: Table,
    *,
    columns: Sequence[str] = (),
    apart: RowColumns = ALL_DATA,
    kinds: Sequence[Kind] | Mapping[str, Kind] = (),
    missing: Missing = False,
) -> Read:
    """Returns the rows of a table as samples.

    Args:
        table: the table.
        apart: the columns that say what the rows stand for.
        columns, kinds, missing: as of `read_samples`, as what is raised.
    """
    check_missing(missing)
    found = numbers(table, names=columns, apart=apart, kinds=kinds)
    kept = _kept(found, apart, table, missing)
    values, labels, stands = found.values, found.labels, found.account
    if kept is not None:
        values, stands = values[kept], stands.take(kept)
        values, labels = _relabelled(values, labels)
    if not len(values):
        raise InputError(f"{table.source}: there is not a row without missing cells in it")

    def place(row: int) -> str:
        return table.place(row if kept is None else int(kept[row]))

    values.flags.writeable = False
    for role in ("weights", "frequencies"):
        if getattr(apart, role) is not None:
            check_weights(getattr(stands, role), getattr(apart, role), table.source, place)
    check_values(values, found.names, found.kinds, labels, table.source, place)
    samples = Samples(
        values,
        stands.weights,
        frequencies=stands.frequencies,
        cluster=stands.cluster,
        order=stands.order,
        columns=found.names,
        kinds=found.kinds,
        labels=labels,
        missing=missing is True,
    )
    return Read(samples, table.rows - len(values))


def declared_kinds(counts: Sequence[str], kinds: Mapping[str, Kind] | None) -> dict[str, Kind]:
    """Returns the kinds that were declared in either way."""
    return {**dict.fromkeys(counts, "count"), **(kinds or {})}


def check_missing(missing: Missing) -> None:
    """Raises InputError for a choice that there is not."""
    if missing not in (False, True, "drop"):
        raise InputError(f'missing={missing!r}: choose False, True or "drop"')


def check_weights(weights: np.ndarray, name: str, source: str, place: Place) -> None:
    """Raises InputError for the first weight that is none."""
    with np.errstate(invalid="ignore"):
        bad = ~((weights >= 0.0) & (weights < np.inf))
    if bad.any():
        row = int(np.argmax(bad))
        raise InputError(
            f"{source}: column {name!r} has the weight {weights[row]:g} on {place(row)}; "
            "weights must be finite and not negative"
        )


def check_cells(
    cells: np.ndarray, name: str, source: str, place: Place, *, missing: bool, part: str = ""
) -> None:
    """Raises InputError for infinite cells, and for those without a value unless they may be missing."""
    infinite, bare = np.isinf(cells), np.isnan(cells)
    if infinite.any():
        raise InputError(
            f"{source}: column {name!r} has {int(infinite.sum()):,} infinite value(s){part}, the first on "
            f"{place(int(np.argmax(infinite)))}; mend the cells, or drop such rows"
        )
    if bare.any() and not missing:
        count = int(bare.sum())
        many = (
            "1 cell without a value,"
            if count == 1
            else f"{count:,} cells without a value, the first"
        )
        raise InputError(
            f'{source}: column {name!r} has {many} on {place(int(np.argmax(bare)))}; say missing="drop" '
            "to leave out such rows, or missing=True to keep them as missing"
        )


def _kept(found: Numbers, apart: RowColumns, table: Table, missing: Missing) -> np.ndarray | None:
    """Returns the index of the rows to keep, None for all; raises InputError for cells that may not be."""
    for i, name in enumerate(found.names):
        check_cells(
            found.values[:, i], name, table.source, table.place, missing=missing is not False
        )
    lacking = np.isnan(found.values).any(axis=1)
    for role in ("weights", "frequencies"):
        cells, name = getattr(found.account, role), getattr(apart, role)
        if name is not None:
            check_cells(cells, name, table.source, table.place, missing=missing == "drop")
            lacking |= np.isnan(cells)
    return np.flatnonzero(~lacking) if missing == "drop" and lacking.any() else None


def _relabelled(
    values: np.ndarray, labels: tuple[tuple[str, ...], ...]
) -> tuple[np.ndarray, tuple[tuple[str, ...], ...]]:
    """Returns codes and labels without those of rows that were left out."""
    made = list(labels)
    for i, known in enumerate(labels):
        if not known:
            continue
        held, codes = np.unique(values[:, i], return_inverse=True)
        values[:, i], made[i] = codes, tuple(known[int(code)] for code in held)
    return values, tuple(made)
