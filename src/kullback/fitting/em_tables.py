"""EM of a table: a pass over rows with gaps, counts and categories, and what it says of tails, rates and labels.

Rows that share a pattern of values that are there go together: a value that is missing at random is met by its
distribution given the others of its row, so that the likelihood is that of what is there, exactly (Little and Rubin
1987; Ghahramani and Jordan 1994). The log density of what is there is linear in features of the row with 0 where
there is nothing, so that each pattern is two matrix products. Student's t is a Gaussian whose covariance is divided
by a chi-square variable of its own for each row, whose expectation takes part in the sums (Peel and McLachlan 2000).
"""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import final

import numpy as np
from jaxtyping import Bool, Float
from scipy import optimize, special

from kullback.distributions.columns import elliptical, patterns
from kullback.distributions.gaussian_mixture import TableMixture
from kullback.fitting.components import Components
from kullback.fitting.covariances import Structure
from kullback.fitting.em_sums import FAR, Sums, responsibilities
from kullback.fitting.rows import ScaledRows
from kullback.inputs.passes import added

Array = np.ndarray
#: Degrees of freedom are looked for between these; at the upper end a t is a Gaussian.
_FEWEST, _MOST = 1.0, 200.0
#: Pseudo-counts: of each label, and of the mean of a column of counts.
_LABEL, _COUNT = 0.5, 1e-3
#: Blocks of rows with gaps are so many times as long as others: patterns cut them up.
LONGER = 4
_LOG_2PI = math.log(2.0 * math.pi)


@final
@dataclass(frozen=True, eq=False)
class Columns:
    """What a table holds beside real numbers without gaps.

    Attributes:
        example: a mixture of the same layout; its values do not matter.
        heavy: whether components have degrees of freedom.
        count_means: of the columns of counts, over all rows (c,).
    """

    example: TableMixture
    heavy: bool
    count_means: Float[np.ndarray, " c"]

    @cached_property
    def filled(self) -> "Filled":
        """What is summed over of the real columns."""
        return Filled(tuple(self.example.reals.tolist()))

    def completed(self, q: Components, sums: Sums) -> TableMixture:
        """Returns the components with tails, rates and tables of labels."""
        rows, tails, counted, events, *labels = sums.others
        rows = np.maximum(rows, 1e-300)
        df = np.full(len(rows), np.inf)
        if self.heavy:
            df = np.array([_degrees(t) for t in tails / rows])
        rates = (events + _COUNT * self.count_means) / (counted + _COUNT)
        smoothed = [held + _LABEL / len(held) for held in labels]
        tables = tuple(t / t.sum(axis=1, keepdims=True) for t in smoothed)
        return TableMixture(self.example.kinds, q.weights, q.means, q.roots, df, rates, tables)

    def log_prior(self, q: TableMixture) -> float:
        """Returns the log of the prior density of rates and tables, up to a constant."""
        value = sum(_LABEL / len(t) * float(np.log(t).sum()) for t in q.tables)
        return value + _COUNT * float(np.sum(special.xlogy(self.count_means, q.rates) - q.rates))


@final
@dataclass(frozen=True)
class Filled:
    """Features of the real columns of a table, with 0 where there are gaps.

    Attributes:
        reals: which columns these are.
    """

    reals: tuple[int, ...]

    @cached_property
    def structure(self) -> Structure:
        """All products of two columns: what is there of a row says what is missing by how they go together."""
        return Structure("full", len(self.reals))

    def features(self, x: Float[np.ndarray, "c m"]) -> Float[np.ndarray, "f m"]:
        """Returns the features of rows given as columns."""
        reals = x[list(self.reals)]
        return self.structure.features(np.where(np.isnan(reals), 0.0, reals))


@final
@dataclass(frozen=True, eq=False)
class TableRun:
    """A pass over the rows of a table, as `summed` takes it, of which those with the same gaps go together."""

    q: TableMixture
    heavy: bool
    size: int
    filled: Filled

    def __call__(self, rows: ScaledRows) -> Iterator["Totals"]:
        q, reals = self.q, list(self.filled.reals)
        for blocks in rows.units(self.size, self.filled.features):
            totals = Totals(q)
            for block in blocks:
                order, ends, there = patterns(block[0][reals])
                apart = (order[1:] < order[:-1]).any()
                x, features, weights = (a[..., order] for a in block) if apart else block
                parts = [slice(*at) for at in itertools.pairwise([0, *ends.tolist()])]
                logs, distances = self._logs(features, parts, there)
                value, shares = responsibilities(q.with_codes(logs, x), weights)
                totals.add(q, x, shares, float(value))
                for at, held in zip(parts, there, strict=True):
                    distance = distances[:, at] if self.heavy else None
                    totals.add_reals(q, features[:, at], shares[:, at], held, distance)
            yield totals

    def _logs(
        self, features: Float[np.ndarray, "f m"], parts: list[slice], there: Bool[np.ndarray, "p d"]
    ) -> tuple[Float[np.ndarray, "k m"], Float[np.ndarray, "k m"]]:
        """Returns log(weight times density) of the real columns, and squared Mahalanobis distances."""
        q, s, known = self.q, self.filled.structure, self.q.marginals
        distances = np.empty((len(q.weights), features.shape[1]))
        held, log_dets = there.sum(axis=1), np.empty((len(there), len(q.weights)))
        for i in range(0, len(there), known.at_once):
            some = slice(i, i + known.at_once)
            inverses, log_dets[some] = known.of(there[some])
            tables = -2.0 * s.quadratics(q.means, inverses)
            far = np.flatnonzero(tables[..., 0].max(axis=0) > FAR)
            for at, table, inverse in zip(parts[some], tables, inverses, strict=True):
                np.matmul(table, features[:, at], out=distances[:, at])
                for k in far:
                    z = inverse[k] @ (features[1 : 1 + s.d, at] - q.means[k][:, None])
                    distances[k, at] = np.einsum("dm,dm->m", z, z)
        with np.errstate(divide="ignore"):
            log_weights = np.log(q.weights)
        if not self.heavy:
            constants = log_weights - log_dets - 0.5 * _LOG_2PI * held[:, None]
            lengths = [at.stop - at.start for at in parts]
            return np.repeat(constants.T, lengths, axis=1) - 0.5 * distances, distances
        np.maximum(distances, 0.0, out=distances)
        by_part = [
            elliptical(distances[:, at], log_det, q.df, int(d))
            for at, log_det, d in zip(parts, log_dets, held, strict=True)
        ]
        return log_weights[:, None] + np.concatenate(by_part, axis=1), distances


class Totals:
    """The sums of a pass over a table, on the way: by pattern of real columns that are there."""

    def __init__(self, q: TableMixture) -> None:
        k = len(q.weights)
        self.value = 0.0
        self.rows = np.zeros(k)
        self.tails = np.zeros(k)
        self.by_pattern: dict[bytes, list[Array]] = {}
        self.counted = np.zeros(q.rates.shape)
        self.events = np.zeros(q.rates.shape)
        self.labels: list[Array] = [np.zeros(t.shape) for t in q.tables]

    def joined(self, other: "Totals") -> "Totals":
        """Adds those of later rows to these."""
        self.value += other.value
        self.rows += other.rows
        self.tails += other.tails
        self.counted += other.counted
        self.events += other.events
        self.labels = added(self.labels, other.labels)
        for key, sums in other.by_pattern.items():
            self._put(key, sums)
        return self

    def _put(self, key: bytes, sums: list[Array]) -> None:
        held = self.by_pattern.get(key)
        self.by_pattern[key] = sums if held is None else added(held, sums)

    def add(self, q: TableMixture, x: Array, shares: Array, value: float) -> None:
        """Adds the rows of a block, but for their real columns."""
        self.value += value
        self.rows += shares.sum(axis=1)
        for i, column in enumerate(x[q.counts]):
            there = ~np.isnan(column)
            self.counted[:, i] += shares @ there
            self.events[:, i] += shares @ np.where(there, column, 0.0)
        for held, column in zip(self.labels, x[q.categories], strict=True):
            there = ~np.isnan(column)
            codes = column[there].astype(np.int64)
            for k, share in enumerate(shares):
                held[k] += np.bincount(codes, share[there], minlength=len(held[k]))

    def add_reals(
        self, q: TableMixture, features: Array, shares: Array, there: Array, distance: Array | None
    ) -> None:
        """Adds the real columns of rows of one pattern; each by its expected precision, of Student's t."""
        if distance is None:
            pulled = shares @ features.T
            self._put(there.tobytes(), [pulled[:, 0], pulled])
            return
        df, d = q.df[:, None], float(there.sum())
        by = (df + d) / (df + distance)
        bend = special.digamma(0.5 * (df + d)) - np.log(0.5 * (df + d))
        self.tails += np.sum(shares * (np.log(by) - by + bend), axis=1)
        self._put(there.tobytes(), [shares.sum(axis=1), (shares * by) @ features.T])

    def sums(self, q: TableMixture, every: Structure, structure: Structure) -> Sums:
        """Adds up the patterns, with what is expected of values that are not there."""
        m, (k, d) = q.means, q.means.shape
        pulls, firsts, seconds = np.zeros(k), np.zeros((k, d)), np.zeros((k, d, d))
        found, at_once = list(self.by_pattern.items()), q.marginals.at_once
        for some in (found[i : i + at_once] for i in range(0, len(found), at_once)):
            there = np.stack([np.frombuffer(key, dtype=bool) for key, _ in some])
            rows, values = (np.stack(s) for s in zip(*(v for _, v in some), strict=True))
            fill, rest = _filling(q, there)
            held = there[:, None] * m
            pull, first, second = every.around(values, held)
            filled = fill @ second @ fill.transpose(0, 1, 3, 2)
            seconds += np.sum(rows[:, :, None, None] * rest + filled, axis=0)
            firsts += np.sum(fill @ first[..., None], axis=0)[..., 0]
            pulls += pull.sum(axis=0)
        cross = firsts[:, :, None] * m[:, None, :]
        around = pulls[:, None, None] * m[:, :, None] * m[:, None, :]
        seconds += cross + cross.transpose(0, 2, 1) + around
        values = structure.packed(pulls, firsts + pulls[:, None] * m, seconds)
        others = (self.rows, self.tails, self.counted, self.events, *self.labels)
        return Sums(self.value, values, others)


def _filling(
    q: TableMixture, there: Bool[np.ndarray, "p d"]
) -> tuple[Float[np.ndarray, "p k d d"], Float[np.ndarray, "p k d d"]]:
    """What values that are there say of all, as a matrix, and the covariance that is left of the others, by pattern."""
    inverse, _ = q.marginals.of(there)
    held = there[:, None, :, None]
    says = q.covariances @ (inverse.transpose(0, 1, 3, 2) @ inverse)
    fill = np.where(held, np.eye(held.shape[2]), says)
    gaps = ~held & ~held.transpose(0, 1, 3, 2)
    return fill, np.where(gaps, q.covariances - says @ q.covariances, 0.0)


def _degrees(tail: float) -> float:
    """The degrees of freedom whose likelihood equation has this mean on its other side."""

    def slope(log_df: float) -> float:
        half = 0.5 * np.exp(log_df)
        return float(np.log(half) - special.digamma(half) + 1.0 + tail)

    low, high = np.log(_FEWEST), np.log(_MOST)
    if slope(high) >= 0.0:
        return _MOST
    if slope(low) <= 0.0:
        return _FEWEST
    return math.exp(float(optimize.brentq(slope, low, high, xtol=1e-12)))  # pyright: ignore[reportArgumentType]
