"""Scoring: the log density of rows under a fit."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from itertools import compress
from pathlib import Path
from types import MappingProxyType
from typing import final

import numpy as np
from jaxtyping import Float

from kullback.core.errors import DensityError, InputError, UnsupportedError
from kullback.core.executor import Executor, Workers, check_executor
from kullback.core.numerics import one_thread
from kullback.core.run import generator, silent
from kullback.distributions.base import Distribution
from kullback.distributions.transported import Approximation
from kullback.inputs.passes import UNIT, check_in_files, each, parts_of, pieces
from kullback.inputs.samples import Missing, samples_of
from kullback.inputs.stream import is_stream, read_rows
from kullback.inputs.target import table_in
from kullback.measure.samples.means import mean_of
from kullback.results.estimate import Estimate
from kullback.results.fit import Fit
from kullback.results.quantity import LOG_PROB
from kullback.results.score import Score
from kullback.tables.kinds import Kind, Labels, listed
from kullback.tables.rows import ALL_DATA, RowColumns
from kullback.tables.table import MAX_CELLS, Table, numbered
from kullback.targets import Samples, Stream

Array = np.ndarray


def score(
    fit: Fit,
    data: object,
    *,
    columns: Sequence[str] = (),
    weights: str | None = None,
    frequencies: str | None = None,
    cluster: str | None = None,
    order: str | None = None,
    missing: Missing = False,
    write: Callable[[Float[np.ndarray, " m"]], object] | None = None,
    executor: Executor | None = None,
) -> Score:
    """Returns the mean log density of rows under a fit, with its standard error.

    Args:
        fit: its q is asked.
        data: rows: an array, a data frame, `Samples`, the path of a table ... with the columns that were
            fitted to, in any order where they have names.
        columns: of the data; all by default.
        weights, frequencies, cluster, order: columns that say what the rows stand for, as of `Samples`.
        missing: what becomes of rows with cells without a value: False refuses them, True asks q, which
            must know what to do with them, "drop" gives them the score NaN and does not count them.
        write: called with the log densities of the rows, in pieces, in order.
        executor: for .parquet files: where they are scored, as in `fit`, with the same bits as without.

    Raises:
        InputError: the rows have other columns than the model, or there are none.
        UnsupportedError: q is a distribution of something else than rows.
        WorkerError: a worker of the executor ended before its work was done.

    Example:
        >>> from kullback import fit
        >>> x = np.random.default_rng(0).normal(size=(500, 1))
        >>> score(fit(x, "normal", direction="forward"), x).rows
        500
    """
    check_executor(executor)
    apart, in_pieces = RowColumns(weights, frequencies, cluster, order), executor is not None
    rows = model_rows(fit, data, columns=columns, apart=apart, missing=missing, in_pieces=in_pieces)
    kept = write is not None or isinstance(rows, Samples)
    run = partial(_tallies, _Model(fit.q, fit.columns, fit.labels), missing, kept)
    if executor is None:
        results = run(rows)
    else:
        check_in_files(rows)
        parts = [part for _, part in parts_of(rows)]
        results = each(run, parts, Workers(executor, silent))
    tally, found = _Tally(copies=isinstance(rows, Stream) and rows.copies), []
    with one_thread() if isinstance(rows, Stream) else nullcontext():
        for part, scores in results:
            tally.join(part)
            if isinstance(rows, Samples):
                found.append(scores)
            if write is not None:
                write(scores)
    if isinstance(rows, Stream):
        return tally.result()
    return _of_rows(np.concatenate(found), rows, tally)


@final
@dataclass(frozen=True, eq=False)
class _Model:
    """What of a fit is asked."""

    q: Distribution
    columns: tuple[str, ...]
    labels: Labels


def _tallies(
    model: _Model,
    missing: Missing,
    kept: bool,  # noqa: FBT001 - a run is a partial of this
    rows: Samples | Stream,
) -> Iterator[tuple["_Tally", Array]]:
    """Yields for each unit of rows their number, mean and scatter, and their scores, if they are kept."""
    for values, weights in _pieces(rows):
        tally = _Tally(copies=False)
        scores = _log_prob(model, _recoded(model, rows, values), skip_missing=missing == "drop")
        tally.add(scores, weights)
        yield tally, scores if kept else scores[:0]


def model_rows(
    fit: Fit, data: object, *, columns: Sequence[str] = (), apart: RowColumns = ALL_DATA,
    missing: Missing = False, in_pieces: bool = False,
) -> Samples | Stream:  # fmt: skip
    """Returns rows with the columns of a model, in its order. Arguments as of `score`."""
    if isinstance(data, Stream):
        asked = _columns_of(fit, data.columns, named=True, source=data.source)
        if data.columns != asked:
            raise InputError(
                f"{data.source}: its columns are in another order: scan(..., columns={asked})"
            )
        return data
    had_gaps = isinstance(data, Samples) and data.missing
    table = table_in(data, "data", "score")
    apart_names = {*apart.names, *(n for n in table.partitions if n not in fit.columns)}
    asked = tuple(columns) or tuple(name for name in table.names if name not in apart_names)
    if not columns or all(name in table.names for name in asked):
        asked = _columns_of(fit, asked, named=table.headed, source=table.source)
    kinds: dict[str, Kind] = {
        name: "category" for name, labels in zip(fit.columns, fit.labels, strict=False)
        if labels and name in asked and _is_text(table, name)
    }  # fmt: skip
    kept = missing is not False or had_gaps
    if isinstance(data, (str, Path)) and (in_pieces or is_stream(data)):
        found = read_rows(
            data, columns=asked, apart=apart, kinds=kinds, missing=kept, in_pieces=in_pieces
        )
        return found if isinstance(found, Stream) else found.samples
    return samples_of(table, columns=asked, apart=apart, kinds=kinds, missing=kept).samples


def _is_text(table: Table, name: str) -> bool:
    try:
        return table.read(name).scale == "levels"
    except UnsupportedError:
        return False


def _columns_of(fit: Fit, have: Sequence[str], *, named: bool, source: str) -> tuple[str, ...]:
    """Returns the columns of a table that a model scores, in its order.

    Args:
        fit: the model.
        have: the columns of the table.
        named: whether the table has names of its own; otherwise its columns are taken in order.
        source: the table, for messages.

    Raises:
        InputError: there are others, or they are too few.
    """
    known = fit.columns
    d = len(known) or max(fit.q.support.dimension, 1)
    if not (known and named and known != numbered(d)):
        if len(have) != d:
            raise InputError(
                f"{source}: the model has {d} column(s), but there are {len(have)} "
                f"({listed(have)}); name those to score: columns=(...)"
            )
        return tuple(have)
    lacking = [name for name in known if name not in have]
    if lacking:
        raise InputError(
            f"{source}: there is no column {lacking[0]!r}, which the model needs; it has "
            f"{listed(have)}, and the model {listed(known)}"
        )
    more = [name for name in have if name not in known]
    if more:
        raise InputError(
            f"{source}: the model knows no column {more[0]!r}; to leave out others, "
            f"say columns={','.join(known)}"
        )
    return known


def _of_rows(scores: Array, data: Samples, tally: "_Tally") -> Score:
    """Returns the mean over rows in memory, with an error by what they stand for."""
    inside = np.isfinite(scores)
    counts = np.ones(len(scores)) if data.rows.counts is None else data.rows.counts
    if not (counts[inside] > 0.0).any() or np.count_nonzero(inside) < 2:
        return tally.result()
    columns = list(data.values[inside].T)
    found = mean_of(scores[inside], data.rows.take(np.flatnonzero(inside)), columns)
    notes = (found.note,) if found.note else ()
    return tally.answer(found.value, found.error, notes, reason=found.reason)


@final
class _Tally:
    """A weighted mean and its error, over pieces.

    Args:
        copies: whether weights are frequencies.
    """

    def __init__(self, *, copies: bool) -> None:
        self.rows = self.outside = self.left_out = self.inside = 0
        self.weight = self.squares = self.mean = self.scatter = 0.0
        self._copies = copies

    def add(self, scores: Array, weights: Array | None) -> None:
        """Adds the scores of some rows."""
        skipped, outside = np.isnan(scores), scores == -np.inf
        self.rows += len(scores)
        self.left_out += int(skipped.sum())
        self.outside += int(outside.sum())
        inside = ~(skipped | outside)
        s = scores[inside]
        w = np.ones(len(s)) if weights is None else weights[inside]
        total = float(w.sum())
        self.inside += len(s)
        if total <= 0.0:
            return
        mean = float(w @ s) / total
        self._add(total, mean, float(w @ (s - mean) ** 2), float(w @ w))

    def _add(self, total: float, mean: float, scatter: float, squares: float) -> None:
        both = self.weight + total
        moved = mean - self.mean
        self.scatter += scatter + moved**2 * self.weight * total / both
        self.mean += moved * total / both
        self.weight = both
        self.squares += squares

    def join(self, other: "_Tally") -> None:
        """Adds the scores of later rows."""
        self.rows += other.rows
        self.outside += other.outside
        self.left_out += other.left_out
        self.inside += other.inside
        if self.weight == 0.0:
            self.weight, self.mean = other.weight, other.mean
            self.scatter, self.squares = other.scatter, other.squares
        elif other.weight > 0.0:
            self._add(other.weight, other.mean, other.scatter, other.squares)

    def result(self) -> Score:
        """Returns what was added, of independent rows."""
        if self.weight <= 0.0:
            mean = Estimate.unresolved(
                -math.inf,
                "every row is outside the support of q, or has no weight",
                LOG_PROB,
                method="mean over the rows",
            )
            return Score(mean, self.rows, self.outside, self.left_out)
        effective = self.weight if self._copies else self.weight**2 / self.squares
        error = math.inf
        if effective > 1.0:
            error = math.sqrt(self.scatter / self.weight / max(effective - 1.0, 1e-12))
        return self.answer(self.mean, error)

    def answer(
        self, value: float, error: float, notes: tuple[str, ...] = (), *, reason: str = ""
    ) -> Score:
        """Returns a mean and its error as the score; unresolved where there is a reason."""
        method = "mean over the rows"
        if reason:
            mean = Estimate.unresolved(
                value, reason, LOG_PROB, method=method, n=self.inside, notes=notes
            )
            return Score(mean, self.rows, self.outside, self.left_out)
        note = f"over the rows within the support; {self.outside} others have density 0"
        mean = Estimate.sampled(
            value,
            error,
            LOG_PROB,
            method=method,
            n=self.inside,
            notes=(*((note,) if self.outside else ()), *notes),
            reason="one row has no standard error",
        )
        return Score(mean, self.rows, self.outside, self.left_out)


def _pieces(data: Samples | Stream) -> Iterator[tuple[Array, Array | None]]:
    """Yields rows by units, and how many independent ones each counts for."""
    if isinstance(data, Stream):
        yield from pieces(data, UNIT)
        return
    counts = data.rows.counts
    for first in range(0, max(len(data.values), 1), UNIT):
        at = slice(first, first + UNIT)
        yield data.values[at], None if counts is None else counts[at]


def _recoded(fit: _Model, data: Samples | Stream, rows: Array) -> Array:
    """Returns the rows with the model's own codes for labels; unknown labels have the code -1."""
    if not any(fit.labels) and not (any(data.labels) and fit.columns):
        return rows
    made = rows.copy()
    own = fit.labels or ((),) * len(fit.columns)
    for i, (name, known, given) in enumerate(zip(fit.columns, own, data.labels, strict=True)):
        if not known and given:
            raise InputError(
                f"column {name!r} holds labels ({listed(given)}), but the model was fitted to numbers"
            )
        if known:
            made[:, i] = _codes(rows[:, i], name, known, given)
    return made


def _codes(column: Array, name: str, known: tuple[str, ...], given: tuple[str, ...]) -> Array:
    missing = np.isnan(column)
    place = {label: float(code) for code, label in enumerate(known)}
    if given:
        table = np.array([place.get(label, -1.0) for label in given])
        codes = table[np.where(missing, 0.0, column).astype(np.int64)]
    else:
        try:
            numbers = {float(label): code for label, code in place.items()}
        except ValueError:
            raise InputError(
                f"column {name!r} holds numbers, but the model was fitted to labels ({listed(known)})"
            ) from None
        codes = np.array([numbers.get(float(v), -1.0) for v in column])
    return np.where(missing, np.nan, codes)


def _log_prob(fit: _Model, rows: Array, *, skip_missing: bool) -> Float[np.ndarray, " m"]:
    q = fit.q
    if isinstance(q, Approximation) and not q.bare:
        raise UnsupportedError(
            "this is a fit of the parameters of a model, not of rows; score draws in Python: "
            "fit.log_prob({name: array, ...})"
        )
    scores = np.full(len(rows), -np.inf)
    missing = np.isnan(rows).any(axis=1)
    # Codes of labels that the model has never seen lie outside its support.
    asked = np.ones(len(rows), dtype=bool)
    for i, labels in enumerate(fit.labels):
        if labels:
            asked &= rows[:, i] != -1.0
    if skip_missing:
        scores[missing] = np.nan
        asked &= ~missing
    gaps = asked & missing
    if gaps.any() and not q.takes_gaps:
        raise InputError(
            f"the row {rows[int(np.argmax(gaps))].tolist()} has missing cells (NaN), and this q is a density of whole "
            "rows: leave them out, missing='drop', or fit a mixture to Samples(..., missing=True)"
        )
    if asked.any():
        x = rows[asked]
        found = np.asarray(q.log_prob(x if q.support.dimension else x[:, 0]), dtype=np.float64)
        if np.isnan(found).any():
            bad = x[int(np.argmax(np.isnan(found)))].tolist()
            raise DensityError(
                f"the log density of the row {bad} is NaN: this is a fault of the model"
            )
        scores[asked] = found
    return scores


# Draws of a fit as a table.

#: A name, and numbers or labels.
Column = tuple[str, np.ndarray | list[str]]


def draws(
    fit: Fit, n: int, *, key: object = 0, given: Mapping[str, object] = MappingProxyType({})
) -> list[Column]:
    """Returns n draws of q, column by column; codes of categories as their labels.

    Args:
        fit: where from.
        n: how many.
        key: randomness, an int or a JAX key.
        given: values of columns, as of `Fit.condition`: draws are of the others.

    Raises:
        InputError: there are too many, or none; or there is no such column.
        UnsupportedError: q cannot be drawn from.
    """
    if given:
        there = [name not in given for name in fit.columns]
        labels = tuple(compress(fit.labels, there)) if any(fit.labels) else ()
        q = fit.condition(**given)
        fit = replace(fit, q=q, columns=tuple(compress(fit.columns, there)), labels=labels)
    d = len(fit.columns) or max(fit.q.support.dimension, 1)
    if not 1 <= n <= MAX_CELLS // d:
        raise InputError(
            f"{n:,} draws of {d} column(s): give a number from 1 to {MAX_CELLS // d:,}"
        )
    drawn = fit.q.sample(generator(key), n)
    if isinstance(drawn, dict):
        return [column for name, values in drawn.items() for column in _flat(name, values)]
    rows = np.asarray(drawn).reshape(n, -1)
    d = rows.shape[1]
    names = fit.columns if len(fit.columns) == d else ("x",) if d == 1 else numbered(d)
    labels = fit.labels if len(fit.labels) == d else ((),) * d
    return [
        (name, _labelled(rows[:, i], known) if known else rows[:, i])
        for i, (name, known) in enumerate(zip(names, labels, strict=True))
    ]


def _flat(name: str, values: np.ndarray) -> list[Column]:
    """Returns a column for each number of a parameter: beta[0], beta[1] ..."""
    if values.ndim == 1:
        return [(name, values)]
    return [
        (f"{name}[{','.join(str(i) for i in place)}]", values[(slice(None), *place)])
        for place in np.ndindex(values.shape[1:])
    ]


def _labelled(codes: np.ndarray, labels: tuple[str, ...]) -> list[str]:
    return [labels[int(code)] for code in codes]
