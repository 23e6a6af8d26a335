"""Rows of data a block at a time, centred and scaled, from an array or from files: one order, one answer.

All that is summed over rows is summed over the same blocks in the same order, so a fit to files gives
the bits of a fit to the array that they hold.
"""

import itertools
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, final

import numpy as np
from jaxtyping import Float

from kullback.core.errors import InputError
from kullback.core.executor import Workers
from kullback.core.run import Memo
from kullback.inputs.passes import (
    FIRST,
    UNIT,
    added,
    blocks_of,
    counted_weight,
    described,
    each,
    merged,
    parts_of,
    picked,
    pieces,
    summed,
    total,
    weight,
)
from kullback.measure.samples.dependence import counts_of, lasting
from kullback.tables.kinds import Likelihood, likelihoods
from kullback.tables.rows import rounded
from kullback.targets import Samples, Stream

#: Arrays of up to this many cells are kept centred and scaled: 32 MB.
_KEPT = 4_000_000
#: Of up to so many rows features are kept: more are passed over in the order and the pieces of files.
_FEW = 20_000
#: Rows a block of those at least: no features need to stay in the cache until they are summed over.
_LONG = 1024
#: The sd of a normal distribution over the distance of its quartiles.
_QUARTILES = 1.3489795003921634

Array = np.ndarray
Features = Callable[[Float[np.ndarray, "d m"]], Float[np.ndarray, "f m"]]
Block = tuple[Float[np.ndarray, "d m"], Float[np.ndarray, " m"]]


@final
@dataclass(frozen=True, eq=False)
class ScaledRows:
    """Rows with weights, seen through (x - center) / scale.

    Attributes:
        source: where they come from.
        center, scale: (d,); 0 and 1 for columns that are not continuous.
        n: how many rows have a weight.
        total: the sum of the weights of the blocks.
        effective: how many independent rows a mean over all is worth.
        unit: what weights as they are kept are multiplied by, so that their sum is what all rows are worth
            (Kish 1965), and what is left after rows that depend on each other.
        counts_whole: whether weights are numbers of independent rows.
        workers: where passes are made; None for this process.
        first: the number of the first row, where these are some of the rows.
        memo: of passes over them; None to keep none.
        fold: (i, of, kept): only the rows of fold i of so many have a weight, or only the others.
    """

    source: Samples | Stream
    center: Float[np.ndarray, " d"]
    scale: Float[np.ndarray, " d"]
    n: int
    total: float
    effective: float
    memo: Memo | None = None
    fold: tuple[int, int, bool] | None = None
    unit: float = 1.0
    counts_whole: bool = True
    workers: Workers | None = None
    first: int = 0

    @property
    def kinds(self) -> tuple[Likelihood, ...]:
        """What a density makes of the columns."""
        return likelihoods(self.source.kinds)

    @property
    def in_memory(self) -> bool:
        """Whether a pass costs no reading."""
        return isinstance(self.source, Samples)

    def blocks(self, size: int) -> Iterator[Block]:
        """Yields blocks of `size` rows as columns (d, m), with their weights (m,): of every unit anew."""
        for blocks in self.units(size):
            for x, _, weights in blocks:
                yield x, weights

    def units(self, size: int, features: Features | None = None) -> Iterator[Iterator[Any]]:
        """Yields for each unit its blocks: columns (d, m), features of them and weights (m,).

        Args:
            size: of a block, where features are not kept.
            features: makes them, a bound method whose object they are known by; kept of few rows. None for none.
        """
        kept = None if features is None else self._features(features)
        size = size if kept is None else max(size, _LONG)
        if self._kept is not None:
            for first in range(0, self._kept[0].shape[1], UNIT):
                yield self._of_kept(first, size, kept, features)
            return
        for i, (values, weights) in enumerate(self.counted(UNIT)):
            yield self._of_piece(self.first + i * UNIT, values, weights, size, features)

    def _of_kept(
        self, first: int, size: int, kept: np.ndarray | None, features: Features | None
    ) -> Iterator[Any]:
        assert self._kept is not None
        columns, weights = self._kept
        end = min(first + UNIT, len(weights))
        for i in range(first, end, size):
            at = slice(i, min(i + size, end))
            x = columns[:, at]
            made = None if features is None else features(x) if kept is None else kept[:, at]
            yield x, made, self._chosen(i, weights[at])

    def _of_piece(
        self, first: int, values: np.ndarray, weights: np.ndarray, size: int, features: Features | None
    ) -> Iterator[Any]:  # fmt: skip
        for part, held in blocks_of(values, weights, size):
            x = part.T - self.center[:, None]
            x /= self.scale[:, None]
            yield x, None if features is None else features(x), self._chosen(first, held)
            first += len(held)

    def each(self, run: Callable[["ScaledRows"], Iterator[Any]]) -> Iterator[Any]:
        """Yields what a run yields for each unit, in their order; on the workers, if there are any.

        Args:
            run: of rows that are some of these. It goes to other processes: a partial of a function with arrays.
        """
        if self.workers is None:
            yield from run(self)
            return
        yield from each(run, self._tasks, self.workers)

    def summed(
        self,
        run: Callable[["ScaledRows"], Iterator[Any]],
        combine: Callable[[Any, Any], Any] = added,
    ) -> Any:
        """Returns the sum of what a run yields for each unit, in a fixed order; arguments as of `each`."""
        if self.workers is None:
            return summed(run(self), combine).total()
        return total(run, combine, self._tasks, self.workers)

    @cached_property
    def _tasks(self) -> list["ScaledRows"]:
        """The rows of each task, as they are sent to workers."""
        return [
            replace(self, source=part, first=first, workers=None, memo=None)
            for first, part in parts_of(self.source)
        ]

    def _features(self, features: Features) -> Float[np.ndarray, "f n"] | None:
        if self._kept is None or self._kept[0].shape[1] > _FEW:
            return None
        which = getattr(features, "__self__", features)
        if which not in self._made:
            x = self._kept[0]
            width = len(features(x[:, :1]))
            self._made[which] = features(x) if width * x.shape[1] <= _KEPT else None
        return self._made[which]

    @cached_property
    def _made(self) -> dict[Hashable, Float[np.ndarray, "f n"] | None]:
        return {}

    def whole(self) -> Block:
        """Returns all rows in one block: for samples in memory."""
        assert isinstance(self.source, Samples)
        x, weights = self._scaled if self._kept is None else self._kept
        return x, self._chosen(0, weights)

    def log_unit(self, x: Float[np.ndarray, "d m"]) -> Float[np.ndarray, " m"]:
        """Returns the log volume that scaling divided the columns of each row by, gaps left out."""
        units = np.log(self.scale)
        if not self.source.missing:
            return np.full(x.shape[1], units.sum())
        return units @ ~np.isnan(x)

    def without(self, i: int, folds: int) -> "ScaledRows":
        """Returns the rows but for fold i."""
        return self._part(i, folds, inside=False)

    def only(self, i: int, folds: int) -> "ScaledRows":
        """Returns the rows of fold i."""
        return self._part(i, folds, inside=True)

    def alone(self) -> "ScaledRows":
        """Returns the rows that have a weight here, without the others: for samples in memory."""
        assert isinstance(self.source, Samples)
        _, weights = self.whole()
        held = weights > 0.0
        return replace(self.subset(self.source.values[held], weights[held]), n=self.n)

    def _part(self, i: int, folds: int, *, inside: bool) -> "ScaledRows":
        made = self._sharing(replace(self, fold=(i, folds, inside)))
        total = float(made.summed(weight)[0])
        share = total / self.total
        return self._sharing(replace(made, total=total, n=round(share * self.n)))

    def _sharing(self, other: "ScaledRows") -> "ScaledRows":
        """Returns rows that differ in their weights only, with what was made of these."""
        if self._kept is not None:
            other.__dict__.update(_kept=self._kept, _made=self._made)
        return other

    def _chosen(self, first: int, weights: Float[np.ndarray, " m"]) -> Float[np.ndarray, " m"]:
        """The weights inside the fold, or outside: a row of weight 3 is three rows, in three folds.

        The first fold of a row is its number, mixed (SplitMix64), so that it depends on nothing else.
        """
        if self.fold is None:
            return weights
        i, folds, inside = self.fold
        z = np.arange(first, first + len(weights), dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            z = (z ^ (z >> np.uint64(shift))) * np.uint64(factor)
        z ^= z >> np.uint64(31)
        after = (i - (z % np.uint64(folds)).astype(np.int64)) % folds
        left = weights % folds
        held = (weights - left) / folds + np.clip(left - after, 0.0, 1.0)
        return held if inside else weights - held

    def counted(
        self, size: int
    ) -> Iterator[tuple[Float[np.ndarray, "m d"], Float[np.ndarray, " m"]]]:
        """Yields rows as they are, with how many independent ones each counts for."""
        for values, weights in pieces(self.source, size):
            yield values, weights if self.unit == 1.0 else rounded(weights * self.unit)

    @cached_property
    def _kept(self) -> Block | None:
        if isinstance(self.source, Stream) or self.source.values.size > _KEPT:
            return None
        return self._scaled

    @property
    def _scaled(self) -> Block:
        assert isinstance(self.source, Samples)
        x = np.ascontiguousarray(((self.source.values - self.center) / self.scale).T)
        return x, next(self.counted(x.shape[1]))[1]

    @cached_property
    def _below(self) -> Float[np.ndarray, " u"]:
        """The weight of the rows before each unit."""
        if isinstance(self.source, Stream) and not self.source.weighted:
            return np.arange(0.0, self.n, UNIT)
        held = [float(found[0]) for found in self.each(counted_weight)]
        return np.cumsum([0.0, *held[:-1]])

    def subset(
        self, values: Float[np.ndarray, "m d"], weights: Float[np.ndarray, " m"]
    ) -> "ScaledRows":
        """Returns other rows of the same columns, given as they are, seen in the same way."""
        part = Samples(
            values,
            weights,
            columns=self.source.columns,
            kinds=self.source.kinds,
            labels=self.source.labels,
            missing=self.source.missing,
        )
        total = float(weights.sum())
        worth = self.effective * total / self.total
        n = len(values)
        return ScaledRows(
            part, self.center, self.scale, n, total, worth, counts_whole=self.counts_whole
        )

    def sample(self, size: int, rng: np.random.Generator) -> "ScaledRows":
        """Returns `size` rows in proportion to their weights, one from each stretch of equal weight.

        All rows if there are no more. A row of weight 2 is met where two equal rows would be.
        """
        if self.n <= size:
            parts = list(self.counted(FIRST))
            whole = self.subset(
                np.concatenate([v for v, _ in parts]), np.concatenate([w for _, w in parts])
            )
            return replace(whole, n=self.n)
        marks = (np.arange(size) + rng.random(size)) * (self.total / size)
        below = self._below
        if self.workers is None:
            found = np.concatenate(list(picked((self, below, marks))))
        else:
            # Each task is sent what lies in it.
            units = [rows.first // UNIT for rows in self._tasks]
            at = [*np.searchsorted(marks, below[units]), size]
            parts = zip(
                self._tasks,
                np.split(below, units[1:]),
                (marks[i:j] for i, j in itertools.pairwise(at)),
                strict=True,
            )
            found = np.concatenate(list(each(picked, list(parts), self.workers)))
        drawn = self.subset(found, np.full(len(found), self.total / len(found)))
        # Chance of the draw beside that of the rows, which all of them have.
        worth = 1.0 / (1.0 / self.effective + 1.0 / size - 1.0 / self.n)
        return replace(drawn, effective=worth)


def rows_of(
    source: Samples | Stream, *, common_scale: bool = False, workers: Workers | None = None
) -> ScaledRows:
    """Returns the rows of samples, after a pass that counts them and finds where they lie.

    Columns are centred at their median and scaled by the smaller of the sd and the distance of the
    quartiles, so that a few far values do not flatten the rest.

    Args:
        source: samples or a stream of them.
        common_scale: one scale for all columns, for families that have no scale for each.
        workers: where passes over a stream are made; None for this process.

    Raises:
        InputError: there are no rows, or a continuous column is constant.
    """
    d = len(source.columns)
    plain = ScaledRows(source, np.zeros(d), np.ones(d), 0, 0.0, 0.0, workers=workers)
    found = plain.summed(described, merged)
    if found is None or not found[1] > 0.0:
        raise InputError(f"{_name(source)}: there are no rows with a weight")
    n, total, squares, mass, mean, square, low, high = found
    continuous = np.array([kind == "continuous" for kind in likelihoods(source.kinds)])
    _check_columns(source, continuous, low, high, mass)
    sd = np.sqrt(square / np.maximum(mass, 1e-300))
    # Weights of a survey: their sum becomes Kish's number; then what rows that depend on each other share.
    unit = total / squares / _shared(source)
    total = unit * total
    plain = ScaledRows(source, mean, sd, n, total, total, unit=unit, workers=workers)
    median, spread = _middle(plain, mean, sd)
    # The last bits of a sum are of the order of the rows: a row of weight 2 is not summed as two rows are.
    spread = _short(spread)
    scale = np.where(continuous, spread, 1.0)
    if common_scale and continuous.any():
        common = np.exp(np.mean(np.log(scale[continuous])))
        scale = np.where(continuous, float(_short(common)), 1.0)
    center, whole = np.where(continuous, median, 0.0), unit == 1.0
    return ScaledRows(
        source, center, scale, n, total, total, unit=unit, counts_whole=whole, workers=workers
    )


def counts(source: Samples) -> Float[np.ndarray, " n"]:
    """Returns how many independent rows each row counts for."""
    given = source.rows.counts
    alone = np.ones(len(source.values)) if given is None else given
    return alone / _shared(source)


def _shared(source: Samples | Stream) -> float:
    """Returns how many rows are worth an independent one, by the column in which they are worth least."""
    if isinstance(source, Stream) or not source.rows.dependent:
        return 1.0
    coded = [kind == "category" for kind in source.kinds]
    length, _ = lasting(list(source.values.T), coded, source.rows)
    worth = [
        counts_of(x, source.rows, length, levels=c)
        for x, c in zip(source.values.T, coded, strict=True)
    ]
    given = source.rows.counts
    whole = float(len(source.values)) if given is None else float(given.sum())
    return max([1.0, *(whole / float(w.sum()) for w in worth if w is not None)])


def distinct(rows: ScaledRows) -> ScaledRows:
    """Returns rows in memory with equal ones counted together, in an order of their own, by their gaps.

    So a row of weight 2 and two equal rows, wherever they stand, are the same to the last bit.
    """
    source = rows.source
    assert isinstance(source, Samples)
    given = np.concatenate([w for _, w in rows.counted(FIRST)])
    held = given > 0.0
    values, index = np.unique(source.values[held], axis=0, return_inverse=True)
    weights = np.bincount(index.ravel(), weights=given[held], minlength=len(values))
    # Rows with the same gaps go together in every pass.
    order = np.lexsort(np.isnan(values).T)
    return replace(rows.subset(values[order], weights[order]), n=rows.n)


def _middle(
    rows: ScaledRows, mean: Float[np.ndarray, " d"], sd: Float[np.ndarray, " d"]
) -> tuple[Float[np.ndarray, " d"], Float[np.ndarray, " d"]]:
    """The median, and the sd of a normal with these quartiles; mean and sd where most values are equal."""
    seen = rows.sample(10_000, np.random.default_rng(0)).source
    assert isinstance(seen, Samples)
    quarters = [_quantiles(column, seen.weights) for column in seen.values.T]
    low, median, high = np.array(quarters).T
    distance = (high - low) / _QUARTILES
    fine = np.isfinite(distance) & (distance > 1e-10 * sd)
    return np.where(fine, median, mean), np.where(fine, np.minimum(distance, sd), sd)


def _short(x: Float[np.ndarray, "*d"]) -> Float[np.ndarray, "*d"]:
    """Positive numbers, rounded to 20 bits."""
    fraction, exponent = np.frexp(x)
    return np.ldexp(np.rint(fraction * 2.0**20), exponent - 20)


def _quantiles(
    column: Float[np.ndarray, " n"], weights: Float[np.ndarray, " n"] | None
) -> Float[np.ndarray, " 3"]:
    """The weighted quartiles of the values that are there."""
    assert weights is not None
    there = ~np.isnan(column)
    order = np.argsort(column[there])
    below = np.cumsum(weights[there][order])
    if not len(below):
        return np.full(3, np.nan)
    at = np.searchsorted(below, np.array([0.25, 0.5, 0.75]) * below[-1])
    return column[there][order][np.minimum(at, len(below) - 1)]


def _check_columns(
    source: Samples | Stream, continuous: Array, low: Array, high: Array, mass: Array
) -> None:
    """Raises InputError for a column without a value, with one value, or in units whose squares are no floats."""
    columns = zip(source.columns, *(a.tolist() for a in (continuous, low, high, mass)), strict=True)
    for name, numbers, least, most, held in columns:
        column, spread = f"{_name(source)}: column {name}", most - least
        if held <= 0.0:
            raise InputError(f"{column} has no value; drop the column")
        if numbers and not spread:
            raise InputError(
                f"{column} is constant ({least:g} in every row), so its density is infinite there; drop the column"
            )
        if numbers and not 1e-153 < spread < 1e153:
            why = "whose square is no float; give it in other units"
            raise InputError(f"{column} spreads over {spread:g}, {why}")


def _name(source: Samples | Stream) -> str:
    return source.source if isinstance(source, Stream) else "samples"
