"""Parquet files that may be bigger than memory to a stream of rows, read anew at every pass."""

import itertools
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, final

import numpy as np
import polars as pl
from jaxtyping import Float

from kullback.core.errors import InputError
from kullback.core.interrupts import deferred
from kullback.inputs.samples import (
    Missing,
    Read,
    check_cells,
    check_missing,
    check_weights,
    declared_kinds,
    samples_of,
)
from kullback.tables import table as table_module
from kullback.tables.files import open_table
from kullback.tables.kinds import Kind, check_labels, check_values, labels_of, leave_out, resolve
from kullback.tables.parquet import (
    Partitions,
    check_alike,
    is_text,
    lazily,
    partitions_of,
    paths_of,
    reading,
    rows_in,
    schema_of,
)
from kullback.tables.paths import is_elsewhere, is_many, is_parquet
from kullback.tables.rows import ALL_DATA, RowColumns
from kullback.tables.table import chosen
from kullback.targets import Stream

#: Cells of a piece, and the fewest and the most rows of one.
_CELLS = 2**20
_FEWEST, _MOST = 1024, 2**17
#: Rows of a file of which it is counted how many are kept.
_STRETCH = 2**16
Pieces = Iterator[tuple[np.ndarray, np.ndarray | None]]


@final
@dataclass(frozen=True)
class _File:
    """Rows of a file of the stream from the first on, as it was when it was opened.

    Size and time are 0 for files elsewhere, which nobody asks whether they have changed.
    """

    path: str
    rows: int
    size: int
    changed: int
    first: int = 0


@final
@dataclass(frozen=True, eq=False)
class _Parts:
    """What a pass reads."""

    files: tuple[_File, ...]
    columns: tuple[str, ...]
    kinds: tuple[Kind, ...]
    labels: tuple[tuple[str, ...], ...]
    numeric: tuple[bool, ...]
    weights: str | None
    missing: Missing
    source: str
    partitions: Partitions | None = None
    whole: bool = True

    def count(self) -> int:
        """Returns how many rows there are."""
        return sum(file.rows for file in self.files)

    def part(self, first: int, last: int) -> "_Parts":
        """Returns what reads the rows from one number up to another."""
        held = []
        for at in range(bisect_right(self.starts, first) - 1, len(self.files)):
            file, before = self.files[at], self.starts[at]
            if before >= last:
                break
            begin, end = max(first - before, 0), min(last - before, file.rows)
            # Other processes may work in another directory.
            path = file.path if is_elsewhere(file.path) else str(Path(file.path).absolute())
            if begin < end:
                held.append(replace(file, path=path, first=begin, rows=end - begin))
        return replace(self, files=tuple(held), whole=False)

    @cached_property
    def starts(self) -> list[int]:
        """The number of the first row of each file."""
        return [0, *itertools.accumulate(file.rows for file in self.files[:-1])]

    def __call__(self) -> Pieces:
        """Yields pieces of rows in the order of the files; raises InputError at a bad cell."""
        total = 0.0
        for file in self.files:
            _check_unchanged(file)
            first = file.first
            for frame in self._frames(file):
                with deferred():
                    rows = frame.to_numpy(order="c")
                values, weights = self._checked(rows, file.path, first)
                first += len(rows)
                total += float(len(values) if weights is None else weights.sum())
                if len(values):
                    yield values, weights
        if self.whole and total <= 0.0:
            what = "there are no rows in it" if self.weights is None else "all weights are 0"
            raise InputError(f"{self.source}: {what}")

    @property
    def wanted(self) -> list[pl.Expr]:
        """The columns as numbers, the weights last."""
        found = [_as_number(*c) for c in zip(self.columns, self.labels, self.numeric, strict=True)]
        return [*found, *(pl.col(name).cast(pl.Float64) for name in _named(self.weights))]

    def _lazily(self, file: _File) -> pl.LazyFrame:
        found = lazily(file.path, self.partitions)
        return found if self.whole else found.slice(file.first, file.rows)

    def _frames(self, file: _File) -> Iterator[pl.DataFrame]:
        wanted = self.wanted
        size = min(max(_CELLS // len(wanted), _FEWEST), _MOST)
        with reading(file.path):
            batches = iter(
                self._lazily(file)
                .select(wanted)
                .collect_batches(chunk_size=size, maintain_order=True, engine="streaming")
            )
        while True:
            with reading(file.path):
                batch = next(batches, None)
            if batch is None:
                return
            yield batch

    def _checked(
        self, rows: np.ndarray, source: str, first: int
    ) -> tuple[np.ndarray, np.ndarray | None]:
        def place(row: int) -> str:
            return f"row {first + row + 1:,}"

        d = len(self.columns)
        if not np.isfinite(rows).all():
            for i, name in enumerate((*self.columns, *_named(self.weights))):
                kept = self.missing is not False and (i < d or self.missing == "drop")
                check_cells(rows[:, i], name, source, place, missing=kept, part=" in this piece")
            rows = rows[~np.isnan(rows).any(axis=1)] if self.missing == "drop" else rows
        values, weights = rows[:, :d], rows[:, d] if self.weights is not None else None
        check_values(values, self.columns, self.kinds, self.labels, source, place)
        if weights is None:
            return values, None
        check_weights(weights, str(self.weights), source, place)
        return np.ascontiguousarray(values), weights.copy()


@final
@dataclass(frozen=True, eq=False)
class _Kept:
    """Rows of files without those that have missing cells; how many are left is counted when it is asked for."""

    whole: _Parts

    @cached_property
    def _below(self) -> np.ndarray:
        """How many rows are kept before each stretch of all rows, and in all."""
        held: list[int] = []
        for file in self.whole.files:
            _check_unchanged(file)
            with reading(file.path):
                kept = [c.is_not_null() & c.is_not_nan() for c in self.whole.wanted]
                there = lazily(file.path, self.whole.partitions).select(
                    pl.all_horizontal(kept).alias("kept")
                )
                stretch = pl.col("row") // _STRETCH
                counted = there.with_row_index("row").group_by(stretch).agg(pl.col("kept").sum())
                held += counted.sort("row").collect(engine="streaming")["kept"].to_list()
        return np.cumsum([0, *held])

    @cached_property
    def _stretches(self) -> list[tuple[int, int]]:
        """The stretches by the first row of each and the first after it, counted before rows are dropped."""
        starts = [*self.whole.starts, self.whole.count()]
        return [
            (i, min(i + _STRETCH, end))
            for begin, end in itertools.pairwise(starts)
            for i in range(begin, end, _STRETCH)
        ]

    def count(self) -> int:
        """Returns how many are kept."""
        return int(self._below[-1])

    def part(self, first: int, last: int) -> "_Some":
        """Returns what reads some of the rows that are kept."""
        at = int(np.searchsorted(self._below, first, side="right")) - 1
        end = int(np.searchsorted(self._below, last, side="left"))
        read = self.whole.part(self._stretches[at][0], self._stretches[end - 1][1])
        return _Some(read, first - int(self._below[at]), last - first)


@final
@dataclass(frozen=True, eq=False)
class _Some:
    """Some of the rows that are read, from one on."""

    read: _Parts
    first: int
    rows: int

    def __call__(self) -> Pieces:
        """Yields pieces of them."""
        before, last = 0, self.first + self.rows
        for values, weights in self.read():
            at = slice(max(self.first - before, 0), max(last - before, 0))
            before += len(values)
            if len(values[at]):
                yield values[at], None if weights is None else weights[at]


def scan(
    path: str | Path,
    *,
    columns: Sequence[str] | None = None,
    weights: str | None = None,
    frequencies: str | None = None,
    counts: Sequence[str] = (),
    kinds: Mapping[str, Kind] | None = None,
    missing: Missing = False,
) -> Stream:
    """Returns the rows of Parquet files as a stream, for files that may be bigger than memory.

    Names and types of the columns are compared over all files at once; cells are looked at as they are
    read. A fit reads the files once for each of its passes.

    Args:
        path: a directory with .parquet files, at any depth; a pattern such as "2024-*.parquet"; or one file; here
            or elsewhere, as "s3://bucket/rows/" and "s3://bucket/rows/*.parquet". Files are read in the order of
            their names. Directories may name columns, as in day=3/0.parquet, which are read where they are named
            in `columns`.
        columns, counts, kinds, missing: as of `read_samples`.
        weights, frequencies: the column with the weight of each row, or with the number of equal rows that it
            stands for; one of the two.

    Raises:
        InputError: there are no such files, they are damaged, or their columns differ. In a pass, for
            missing and infinite cells, with the file and the row.

    Example:
        >>> import tempfile
        >>> import polars
        >>> place = Path(tempfile.mkdtemp()) / "rows.parquet"
        >>> polars.DataFrame({"x": [1.0, 2.0], "y": [0.5, 0.5]}).write_parquet(place)
        >>> scan(place).columns
        ('x', 'y')
    """
    check_missing(missing)
    if weights is not None and frequencies is not None:
        raise InputError(
            f"{path}: files that are read in pieces have weights= or frequencies=, not both: multiply them"
        )
    paths, source = paths_of(path), str(path)
    apart, copies = RowColumns(weights, frequencies), frequencies is not None
    weights = weights or frequencies
    partitions = partitions_of(path, paths)
    schemas = [schema_of(p, partitions) for p in paths]
    named = columns or [] if partitions is None else columns or _but(schemas[0], partitions, apart)
    wanted = chosen(list(schemas[0]), named, apart, paths[0])
    said = resolve(declared_kinds(counts, kinds), wanted)
    needed = [*wanted, *_named(weights)]
    check_alike(paths, schemas, needed, everything=columns is None)
    files = tuple(_opened(p) for p in paths)
    rows = sum(f.rows for f in files)
    if not rows:
        raise InputError(f"{source}: there are no rows in it")
    if weights is not None and not schemas[0][weights].is_numeric():
        raise InputError(f"{source}: column {weights!r} is {schemas[0][weights]}, not numbers")
    found = [
        _kind(name, schemas[0][name], said.get(name), paths, rows, source, partitions)
        for name in wanted
    ]
    known: tuple[Kind, ...] = tuple(kind for kind, _ in found)
    labels = tuple(names for _, names in found)
    numeric = tuple(schemas[0][name].is_numeric() for name in wanted)
    parts = _Parts(
        files, tuple(wanted), known, labels, numeric, weights, missing, source, partitions
    )
    return Stream(
        parts, tuple(wanted), known, labels, missing is True, source, copies, weights is not None,
        _Kept(parts) if missing == "drop" else parts,
    )  # fmt: skip


def read_rows(
    path: str | Path,
    *,
    columns: Sequence[str] | None = None,
    apart: RowColumns = ALL_DATA,
    kinds: Mapping[str, Kind] | None = None,
    missing: Missing = False,
    in_pieces: bool = False,
) -> Read | Stream:
    """Returns samples, or a stream for a directory, a pattern, or a Parquet file that is too big.

    Or for any Parquet file, if rows are to be read `in_pieces`. Other arguments as of `scan`.
    """
    parquet = in_pieces and is_parquet(path)
    if not (parquet or is_stream(path)):
        return samples_of(
            open_table(path), columns=columns or (), apart=apart, kinds=kinds or {}, missing=missing
        )
    for role in ("cluster", "order"):
        if getattr(apart, role) is not None:
            raise InputError(
                f"{path}: {role}={getattr(apart, role)!r}: rows that are read in pieces are taken for independent; "
                "give one file that fits into memory"
            )
    return scan(
        path, columns=columns, weights=apart.weights, frequencies=apart.frequencies, kinds=kinds,
        missing=missing,
    )  # fmt: skip


def is_stream(path: str | Path) -> bool:
    """Whether a path means files that are read in pieces."""
    if is_many(path):
        return True
    try:
        if not is_parquet(path) or not (is_elsewhere(path) or Path(path).is_file()):
            return False
    except (OSError, ValueError):
        return False
    try:
        return rows_in(str(path)) * len(schema_of(str(path))) > table_module.MAX_CELLS
    except InputError:
        return False  # what is wrong with it is said by who reads it


def _but(schema: Mapping[str, Any], partitions: Partitions, apart: RowColumns) -> list[str]:
    """The columns of data that are in the files."""
    return [n for n in schema if n not in partitions.names and n not in apart.names]


def _named(name: str | None) -> tuple[str, ...]:
    return () if name is None else (name,)


def _opened(path: str) -> _File:
    if is_elsewhere(path):
        return _File(path, rows_in(path), 0, 0)
    found = Path(path).stat()
    return _File(path, rows_in(path), found.st_size, found.st_mtime_ns)


def _check_unchanged(file: _File) -> None:
    if is_elsewhere(file.path):
        return
    try:
        found = Path(file.path).stat()
    except OSError as error:
        raise InputError(f"{file.path}: this cannot be read: {error.strerror}") from None
    if (found.st_size, found.st_mtime_ns) != (file.size, file.changed):
        raise InputError(f"{file.path}: this file has changed since it was opened; begin anew")


def _kind(
    name: str,
    dtype: Any,
    said: Kind | None,
    paths: Sequence[str],
    rows: int,
    source: str,
    partitions: Partitions | None,
) -> tuple[Kind, tuple[str, ...]]:
    """Returns the kind of a column over all files, and its labels."""
    named = said in ("category", "code")
    if dtype.is_numeric() and not named:
        return said or ("integer" if dtype.is_integer() else "continuous"), ()
    if isinstance(dtype, pl.Boolean):
        return "category", ("false", "true")
    if not (dtype.is_numeric() or is_text(dtype)):
        raise InputError(
            f"{source}: column {name!r} is of type {dtype}; make numbers or text of it, or "
            f"{leave_out(name)}"
        )
    if said is not None and not named:
        raise InputError(f"{source}: column {name!r} is {dtype}, so it cannot be {said!r}")
    cells = pl.col(name).cast(pl.String)
    if dtype.is_numeric():
        cells = pl.col(name).cast(pl.Float64).fill_nan(None)
    found: set[str | float] = set()
    for path in paths:
        with reading(path):
            lazy = lazily(path, partitions).select(cells.drop_nulls().unique())
            found.update(lazy.collect(engine="streaming").to_series().to_list())
        check_labels(len(found), rows, name, source, said=named or path != paths[-1])
    if not found:
        raise InputError(f"{source}: column {name!r} has no values; {leave_out(name)}")
    if dtype.is_numeric():
        return "category", labels_of(np.array(sorted(found), dtype=np.float64))
    return "category", tuple(sorted(map(str, found)))


def _as_number(name: str, labels: tuple[str, ...], numeric: bool) -> pl.Expr:  # noqa: FBT001
    column = pl.col(name)
    if not labels:
        return column.cast(pl.Float64)
    codes = [float(i) for i in range(len(labels))]
    values = [float(label) for label in labels] if numeric else list(labels)
    cells = column.cast(pl.Float64 if numeric else pl.String)
    return cells.replace_strict(values, codes, default=None, return_dtype=pl.Float64)


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
