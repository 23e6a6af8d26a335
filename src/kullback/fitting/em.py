"""EM of a mixture: a pass over the rows to what it sums, and the step from these sums to new components.

Continuous rows without gaps are two matrix products a block. Otherwise rows that share a pattern of values
that are there go together: a value that is missing at random is met by its distribution given the others of
its row, so that the likelihood is that of what is there, exactly (Little and Rubin 1987; Ghahramani and
Jordan 1994). Student's t is a Gaussian whose covariance is divided by a chi-square variable of its own for
each row, whose expectation takes part in the sums (Peel and McLachlan 2000).
"""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, final

import numpy as np
from jaxtyping import Bool, Float
from scipy import optimize, special

from kullback.distributions.columns import elliptical, patterns
from kullback.distributions.gaussian_mixture import TableMixture
from kullback.fitting.components import Components
from kullback.fitting.covariances import Prior, Structure
from kullback.fitting.rows import ScaledRows
from kullback.inputs.passes import added

Array = np.ndarray
#: Degrees of freedom are looked for between these; at the upper end a t is a Gaussian.
_FEWEST, _MOST = 1.0, 200.0
#: Pseudo-counts: of each label, and of the mean of a column of counts.
_LABEL, _COUNT = 0.5, 1e-3
_LOG_2PI = math.log(2.0 * math.pi)
#: Numbers that stay in the cache while a block is worked on.
_CACHE = 80_000
_LONGER = 4
#: A component further than this many of its sds, squared, from the centre of the data is centred by
#: itself: the quadratic form would lose half of the digits.
_FAR = 1e8
_LEAST_TOTAL, _MOST_TOTAL = 1e-280, 1e280


@final
@dataclass(frozen=True, eq=False)
class Sums:
    """What survives a pass: K (1 + d + d (d + 1) / 2) numbers and the log likelihood.

    Attributes:
        log_likelihood: the weighted sum of log q over the rows, in scaled coordinates.
        values: responsibilities @ features', (k, f); of Student's t each row by its expected precision.
        others: of tables: the rows of each component and what degrees of freedom are found from (k,); rows with
            a value of each column of counts and the events in them (k, c); rows with each label (k, l).
    """

    log_likelihood: float
    values: Float[np.ndarray, "k f"]
    others: tuple[Array, ...] = ()

    @property
    def rows(self) -> Float[np.ndarray, " k"]:
        """How many rows each component has."""
        return self.others[0] if self.others else self.values[:, 0]

    @property
    def arrays(self) -> list[Array]:
        """What is averaged when passes are combined."""
        return [self.values, *self.others]

    def replaced(self, arrays: list[Array]) -> "Sums":
        """Returns sums with other values; raises LinAlgError if they are sums of no rows."""
        values, *others = arrays
        counts = [others[0], *others[2:]] if others else []
        if not (values[:, 0] > 0.0).all() or any(a.min(initial=0.0) < 0.0 for a in counts):
            raise np.linalg.LinAlgError("a component has no rows")
        return Sums(self.log_likelihood, values, tuple(others))


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
@dataclass(frozen=True, eq=False)
class MixtureModel:
    """A mixture with a covariance structure and a prior on the covariances.

    Attributes:
        structure: of the covariances of the continuous columns.
        prior: on them.
        columns: what else there is; None for continuous rows without gaps, whose mixture is `Components`.
    """

    structure: Structure
    prior: Prior
    columns: Columns | None = None

    @property
    def smooth(self) -> bool:
        """Whether parameters have coordinates without bounds, and a gradient."""
        return self.columns is None and self.structure.name in ("full", "diagonal")

    def expect(self, rows: ScaledRows, q: Any) -> Sums:
        """Returns the sums of a pass over the rows: the E-step."""
        if self.columns is not None:
            return self._expect_table(rows, q, heavy=self.columns.heavy)
        total = np.zeros(1)
        values = self.summed(rows, q, total)
        return Sums(float(total[0]), values)

    def _expect_table(self, rows: ScaledRows, q: TableMixture, *, heavy: bool) -> Sums:
        filled = Filled(tuple(q.reals.tolist()))
        # Gaps cut a block into patterns: it is longer, so that these are not short.
        size = block_size(len(q.weights), filled.structure.width)
        run = _TableRun(q, heavy, size * (_LONGER if rows.source.missing else 1), filled)
        return rows.summed(run, _Totals.joined).sums(q, self.structure)

    def summed(
        self, rows: ScaledRows, q: Components, likelihoods: Float[np.ndarray, " g"]
    ) -> Float[np.ndarray, "s f"]:
        """Returns the sums of a pass for the components of one mixture, or of several.

        Args:
            rows: passed over.
            q: the components of the mixtures, one mixture after another.
            likelihoods: to which the log likelihood of each mixture is added.
        """
        value, sums = rows.summed(_Run(self.structure, q, len(likelihoods)))
        likelihoods += value
        return sums

    def log_joint(self, q: Any, x: Float[np.ndarray, "d m"]) -> Float[np.ndarray, "k m"]:
        """Returns log(weight times density) of every component at rows given as columns."""
        if self.columns is not None:
            return q.log_joint(x)
        table = self.structure.coefficients(q)
        return _logs(table, self.structure.features(x), _far(table, q), q, x)

    def log_prob(self, q: Any, x: Float[np.ndarray, "d m"]) -> Float[np.ndarray, " m"]:
        """Returns log q at rows given as columns, in scaled coordinates."""
        return np.logaddexp.reduce(self.log_joint(q, x), axis=0)

    def shares(self, q: Any, x: Float[np.ndarray, "d m"]) -> Float[np.ndarray, "k m"]:
        """Returns the responsibilities of the components for rows given as columns."""
        return responsibilities(self.log_joint(q, x), np.ones(x.shape[1]))[1]

    def restored(self, log_likelihood: float, arrays: list[Array]) -> Sums:
        """Returns sums of their numbers."""
        return Sums(log_likelihood, arrays[0], tuple(arrays[1:]))

    def maximize(self, sums: Sums) -> Any:
        """Returns the components that maximise the expected log likelihood and prior: the M-step."""
        _, means, scatter = self.structure.moments(sums.values)
        totals = np.maximum(sums.rows, 1e-300)
        d = self.structure.d
        roots = (
            self.structure.roots(totals, scatter, self.prior) if d else np.zeros((len(means), 0, 0))
        )
        q = Components(totals / totals.sum(), means, roots)
        if self.prior.least is not None and self.structure.name in ("full", "tied"):
            q = self.prior.widened(q)
        return q if self.columns is None else self.columns.completed(q, sums)

    def log_prior(self, q: Any) -> float:
        """Returns the log of the prior density, up to a constant."""
        value = self.prior.log_density(reals_of(q)) if self.structure.d else 0.0
        return value if self.columns is None else value + self.columns.log_prior(q)

    def slope(self, q: Components, sums: Sums) -> tuple[Array, Array, Array]:
        """Returns the gradient of log likelihood plus log prior by logits, shifts m + L a and turns L (I + A).

        Args:
            q: the components.
            sums: of the pass at them.
        """
        rows, means, scatter = self.structure.moments(sums.values)
        moved, eye = means - q.means, np.eye(self.structure.d)
        if scatter.ndim == 2:
            scatter = scatter[:, :, None] * eye
        outer = moved[:, :, None] * moved[:, None, :]
        around = scatter + rows[:, None, None] * outer + self.prior.scatter
        inverse = q.inverses
        shifts = rows[:, None] * (inverse @ moved[:, :, None])[:, :, 0]
        held = np.broadcast_to(rows + self.prior.rows, rows.shape)
        turns = inverse @ around @ inverse.transpose(0, 2, 1) - held[:, None, None] * eye
        return rows - q.weights * rows.sum(), shifts, turns


def reals_of(q: Any) -> Components:
    """Returns the Gaussians of the continuous columns."""
    return q if isinstance(q, Components) else Components(q.weights, q.means, q.roots)


@final
@dataclass(frozen=True, eq=False)
class _Run:
    """A pass over plain rows: what each unit of them gives to the sums of some mixtures, as `summed` takes it."""

    structure: Structure
    q: Components
    groups: int

    def __call__(self, rows: ScaledRows) -> Iterator[list[Array]]:
        s, q, table = self.structure, self.q, self.structure.coefficients(self.q)
        far = _far(table, q)
        for blocks in rows.units(block_size(len(table), s.width), s.features):
            value, sums = np.zeros(self.groups), np.zeros((len(table), s.width))
            for x, features, weights in blocks:
                logs = _logs(table, features, far, q, x)
                groups = logs if self.groups == 1 else logs.reshape(self.groups, -1, logs.shape[1])
                found, shares = responsibilities(groups, weights)
                value += found
                sums += shares.reshape(logs.shape) @ features.T
            yield [value, sums]


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
class _TableRun:
    """The same over the rows of a table, of which those with the same gaps go together."""

    q: TableMixture
    heavy: bool
    size: int
    filled: Filled

    def __call__(self, rows: ScaledRows) -> Iterator["_Totals"]:
        q, reals = self.q, list(self.filled.reals)
        for blocks in rows.units(self.size, self.filled.features):
            totals = _Totals(q)
            for x, features, weights in blocks:
                order, ends, there = patterns(x[reals])
                if (order[1:] < order[:-1]).any():
                    x, features, weights = x[:, order], features[:, order], weights[order]
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
            far = np.flatnonzero(tables[..., 0].max(axis=0) > _FAR)
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


class _Totals:
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

    def joined(self, other: "_Totals") -> "_Totals":
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

    def sums(self, q: TableMixture, structure: Structure) -> Sums:
        """Adds up the patterns, with what is expected of values that are not there."""
        k, d = q.means.shape
        m, every = q.means, Structure("full", d)
        pulls, firsts, seconds = np.zeros(k), np.zeros((k, d)), np.zeros((k, d, d))
        found, at_once = list(self.by_pattern.items()), q.marginals.at_once
        for some in (found[i : i + at_once] for i in range(0, len(found), at_once)):
            there = np.array([np.frombuffer(key, dtype=bool) for key, _ in some]).reshape(-1, d)
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


def block_size(k: int, width: int) -> int:
    """Returns how many rows a block has: the same for all who sum over the same features."""
    return min(max(_CACHE // (k + width), 256), 8192)


def responsibilities(
    logs: Float[np.ndarray, "*g k m"], weights: Float[np.ndarray, " m"]
) -> tuple[Float[np.ndarray, "*g"], Float[np.ndarray, "*g k m"]]:
    """Returns sum w log sum_k exp(logs) and w exp(logs) / sum_k exp(logs); `logs` is spent."""
    with np.errstate(over="ignore", under="ignore"):
        shares = np.exp(logs)
        total = np.add.reduce(shares, axis=-2)
    if not (total.min() > _LEAST_TOTAL and total.max() < _MOST_TOTAL):
        # Some row is far from all components: all are taken relative to its greatest.
        peak = np.maximum.reduce(logs, axis=-2)
        np.exp(np.subtract(logs, peak[..., None, :], out=logs), out=shares)
        np.add.reduce(shares, axis=-2, out=total)
        value = (np.log(total) + peak) @ weights
    else:
        value = np.log(total) @ weights
    shares *= (weights / total)[..., None, :]
    return np.asarray(value), shares


def _logs(
    table: Float[np.ndarray, "k f"],
    features: Float[np.ndarray, "f m"],
    far: list[int],
    q: Components,
    x: Float[np.ndarray, "d m"],
) -> Float[np.ndarray, "k m"]:
    logs = table @ features
    for k in far:
        logs[k] = _log_joint(q, k, x)
    return logs


def _far(table: Float[np.ndarray, "k f"], q: Components) -> list[int]:
    distance = np.einsum("kd,kd->k", table[:, 1 : 1 + q.means.shape[1]], q.means)
    return [int(k) for k in np.flatnonzero(distance > _FAR)] if distance.max() > _FAR else []


def _log_joint(q: Components, k: int, x: Float[np.ndarray, "d m"]) -> Float[np.ndarray, " m"]:
    z = q.inverses[k] @ (x - q.means[k][:, None])
    constant = np.log(max(q.weights[k], 1e-300)) - q.log_dets[k]
    return constant - 0.5 * (np.einsum("dm,dm->m", z, z) + len(x) * _LOG_2PI)
