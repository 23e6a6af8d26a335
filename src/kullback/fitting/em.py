"""Mixtures over tables as EM sees them: heavy tails, counts, categories, and values that are not there.

A value that is missing at random is met by its distribution given the others of its row: the likelihood
is that of what is there, exactly (Little and Rubin 1987; Ghahramani and Jordan 1994). Student's t is a
Gaussian whose covariance is divided by a chi-square variable of its own for each row, whose expectation
takes part in the sums (Peel and McLachlan 2000).
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import final

import numpy as np
from jaxtyping import Float
from scipy import optimize, special

from kullback.distributions.gaussian_mixture import Seen, TableMixture
from kullback.fitting.covariances import Components, Prior, Structure
from kullback.fitting.rows import Rows

Array = np.ndarray
#: Degrees of freedom are looked for between these; at the upper end a t is a Gaussian.
_FEWEST, _MOST = 1.0, 200.0
#: Pseudo-counts: of each label, and of the mean of a column of counts.
_LABEL, _COUNT = 0.5, 1e-3


@final
@dataclass(frozen=True, eq=False)
class TableSums:
    """What survives a pass.

    Attributes:
        log_likelihood: in scaled coordinates.
        rows: how many rows each component has (k,).
        pulls: the same, each by its expected precision (k,); equal to `rows` for Gaussians.
        firsts, seconds: sums of x and x x' by these (k, d), (k, d, d).
        tails: what degrees of freedom are found from (k,).
        counted, events: rows with a value of each column of counts, and the events in them (k, c).
        labels: of each column of categories, rows with each label (k, l).
    """

    log_likelihood: float
    rows: Float[np.ndarray, " k"]
    pulls: Float[np.ndarray, " k"]
    firsts: Float[np.ndarray, "k d"]
    seconds: Float[np.ndarray, "k d d"]
    tails: Float[np.ndarray, " k"]
    counted: Float[np.ndarray, "k c"]
    events: Float[np.ndarray, "k c"]
    labels: tuple[Float[np.ndarray, "k l"], ...]

    @property
    def arrays(self) -> list[Array]:
        """What is averaged when passes are combined."""
        own = [self.rows, self.pulls, self.firsts, self.seconds, self.tails]
        return [*own, self.counted, self.events, *self.labels]

    def replaced(self, arrays: list[Array]) -> "TableSums":
        """Returns sums with other values; raises LinAlgError if they are sums of no rows."""
        made = _sums(self.log_likelihood, arrays)
        rows, pulls, _, _, _, counted, events, *labels = arrays
        if min(a.min(initial=1.0) for a in (rows, pulls)) <= 0.0 or any(
            a.min(initial=0.0) < 0.0 for a in (counted, events, *labels)
        ):
            raise np.linalg.LinAlgError("a component has no rows")
        return made


def _sums(log_likelihood: float, arrays: list[Array]) -> TableSums:
    rows, pulls, firsts, seconds, tails, counted, events, *labels = arrays
    parts = (rows, pulls, firsts, seconds, tails, counted, events)
    return TableSums(log_likelihood, *parts, tuple(labels))


@final
@dataclass(frozen=True, eq=False)
class TableModel:
    """A mixture over the columns of a table.

    Attributes:
        structure: of the covariances of the continuous columns.
        prior: on them.
        example: a mixture of the same layout; its values do not matter.
        heavy: whether components have degrees of freedom.
        count_means: of the columns of counts, over all rows (c,).
    """

    structure: Structure
    prior: Prior
    example: TableMixture
    heavy: bool
    count_means: Float[np.ndarray, " c"]

    def expect(self, rows: Rows, q: TableMixture) -> TableSums:
        """Returns the sums of a pass over the rows: the E-step."""
        k, d = q.means.shape
        made = _Totals(q, self.heavy)
        for x, weights in rows.blocks(block_size(k, self.structure.width + 4 * d)):
            logs, parts = q.log_joint(x)
            value, shares = responsibilities(logs, weights)
            made.add(x, shares, parts, float(value))
        return made.sums()

    def maximize(self, sums: TableSums) -> TableMixture:
        """Returns the components that maximise the expected log likelihood and prior: the M-step."""
        pulls = np.maximum(sums.pulls, 1e-300)
        means = sums.firsts / pulls[:, None]
        scatter = sums.seconds - pulls[:, None, None] * means[:, :, None] * means[:, None, :]
        if self.structure.by_square:
            scatter = np.maximum(np.diagonal(scatter, axis1=1, axis2=2), 0.0)
        rows = np.maximum(sums.rows, 1e-300)
        d = self.structure.d
        roots = (
            self.structure.roots(rows, scatter, self.prior) if d else np.zeros((len(rows), 0, 0))
        )
        df = (
            np.array([_degrees(t) for t in sums.tails / rows])
            if self.heavy
            else np.full(len(rows), np.inf)
        )
        rates = (sums.events + _COUNT * self.count_means) / (sums.counted + _COUNT)
        tables = []
        for labels in sums.labels:
            smoothed = labels + self._label(labels)
            tables.append(smoothed / smoothed.sum(axis=1, keepdims=True))
        return TableMixture(
            self.example.kinds, rows / rows.sum(), means, roots, df, rates, tuple(tables)
        )

    def _label(self, labels: Array) -> float:
        return _LABEL / len(labels)

    def log_prior(self, q: TableMixture) -> float:
        """Returns the log of the prior density, up to a constant."""
        value = sum(self._label(t) * float(np.log(t).sum()) for t in q.tables)
        value += _COUNT * float(np.sum(special.xlogy(self.count_means, q.rates) - q.rates))
        if self.structure.d:
            value += self.prior.log_density(Components(q.weights, q.means, q.roots))
        return value

    def restored(self, log_likelihood: float, arrays: list[Array]) -> TableSums:
        """Returns sums of their numbers."""
        return _sums(log_likelihood, arrays)

    def log_prob(self, q: TableMixture, x: Float[np.ndarray, "c m"]) -> Float[np.ndarray, " m"]:
        """Returns log q at rows given as columns, in scaled coordinates."""
        return np.logaddexp.reduce(q.log_joint(x)[0], axis=0)

    def shares(self, q: TableMixture, x: Float[np.ndarray, "c m"]) -> Float[np.ndarray, "k m"]:
        """Returns the responsibilities of the components for rows given as columns."""
        return responsibilities(q.log_joint(x)[0], np.ones(x.shape[1]))[1]


class _Totals:
    """The sums of a pass, on the way: by pattern of real columns that are there."""

    def __init__(self, q: TableMixture, heavy: bool) -> None:  # noqa: FBT001
        k = len(q.weights)
        self.q, self.heavy, self.value = q, heavy, 0.0
        self.rows = np.zeros(k)
        self.tails = np.zeros(k)
        self.by_pattern: dict[bytes, list[Array]] = {}
        self.counted = np.zeros(q.rates.shape)
        self.events = np.zeros(q.rates.shape)
        self.labels: list[Array] = [np.zeros(t.shape) for t in q.tables]

    def add(self, x: Array, shares: Array, parts: list[Seen], value: float) -> None:
        q = self.q
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
        reals = x[q.reals]
        for part in parts:
            self._add_reals(reals[part.there][:, part.at], shares[:, part.at], part)

    def _add_reals(self, x: Array, shares: Array, part: Seen) -> None:
        q, d = self.q, len(x)
        pull = shares
        if self.heavy:
            df = q.df[:, None]
            by = (df + d) / (df + part.distance)
            pull = shares * by
            bend = special.digamma(0.5 * (df + d)) - np.log(0.5 * (df + d))
            self.tails += np.sum(shares * (np.log(by) - by + bend), axis=1)
        moved = x - q.means[:, part.there][:, :, None]
        bent = pull[:, None] * moved
        found = [
            shares.sum(axis=1),
            pull.sum(axis=1),
            bent.sum(axis=2),
            bent @ moved.transpose(0, 2, 1),
        ]
        key = part.there.tobytes()
        held = self.by_pattern.get(key)
        self.by_pattern[key] = (
            found if held is None else [a + b for a, b in zip(held, found, strict=True)]
        )

    def sums(self) -> TableSums:
        """Adds up the patterns, with what is expected of values that are not there."""
        q = self.q
        k, d = q.means.shape
        pulls, firsts, seconds = np.zeros(k), np.zeros((k, d)), np.zeros((k, d, d))
        covariances = q.roots @ q.roots.transpose(0, 2, 1)
        seen = np.zeros(k)
        for key, (rows, pull, first, second) in self.by_pattern.items():
            there = np.frombuffer(key, dtype=bool)
            fill = np.zeros((k, d, int(there.sum())))
            fill[:, there] = np.eye(int(there.sum()))
            seconds_here = np.zeros((k, d, d))
            if not there.all():
                inner = covariances[:, there][:, :, there]
                across = covariances[:, ~there][:, :, there]
                fill[:, ~there] = np.linalg.solve(inner, across.transpose(0, 2, 1)).transpose(
                    0, 2, 1
                )
                rest = covariances[:, ~there][:, :, ~there] - fill[:, ~there] @ across.transpose(
                    0, 2, 1
                )
                gap = np.ix_(np.arange(k), ~there, ~there)
                seconds_here[gap] = rows[:, None, None] * rest
            seconds += seconds_here + fill @ second @ fill.transpose(0, 2, 1)
            firsts += np.einsum("kdo,ko->kd", fill, first)
            pulls += pull
            seen += rows
        # Rows without a single real value are met by the component itself.
        blank = np.maximum(self.rows - seen, 0.0)
        seconds += blank[:, None, None] * covariances
        pulls += blank
        if self.heavy:
            half = 0.5 * q.df
            self.tails += blank * (special.digamma(half) - np.log(half) - 1.0)
        m = q.means
        cross = firsts[:, :, None] * m[:, None, :]
        around = pulls[:, None, None] * m[:, :, None] * m[:, None, :]
        seconds += cross + cross.transpose(0, 2, 1) + around
        return TableSums(
            self.value,
            self.rows,
            pulls,
            firsts + pulls[:, None] * m,
            seconds,
            self.tails,
            self.counted,
            self.events,
            tuple(self.labels),
        )


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


# Mixtures of Gaussians as EM sees them: the pass over the rows and the step from what it summed.

Vector = Float[np.ndarray, " m"]
#: Numbers that stay in the cache while a block is worked on.
_CACHE = 80_000
#: A component further than this many of its sds, squared, from the centre of the data is centred by
#: itself: the quadratic form would lose half of the digits.
_FAR = 1e8
_LEAST, _MOST_DIMENSIONS = 1e-280, 1e280


@final
@dataclass(frozen=True, eq=False)
class Sums:
    """What survives a pass: K (1 + d + d (d + 1) / 2) numbers and the log likelihood.

    Attributes:
        log_likelihood: the weighted sum of log q over the rows, in scaled coordinates.
        values: responsibilities @ features', (k, f).
    """

    log_likelihood: float
    values: Float[np.ndarray, "k f"]

    @property
    def arrays(self) -> list[np.ndarray]:
        """What is averaged when passes are combined."""
        return [self.values]

    def replaced(self, arrays: list[np.ndarray]) -> "Sums":
        """Returns sums with other values; raises LinAlgError if they are sums of no rows."""
        if not (arrays[0][:, 0] > 0.0).all():
            raise np.linalg.LinAlgError("a component has no rows")
        return Sums(self.log_likelihood, arrays[0])


@dataclass(frozen=True, eq=False)
class GaussianModel:
    """A mixture of Gaussians with a covariance structure and a prior on the covariances."""

    structure: Structure
    prior: Prior

    def expect(self, rows: Rows, q: Components) -> Sums:
        """Returns the sums of a pass over the rows: the E-step."""
        total = np.zeros(1)
        values = self.summed(rows, q, total)
        return Sums(float(total[0]), values)

    def summed(
        self, rows: Rows, q: Components, likelihoods: Float[np.ndarray, " g"]
    ) -> Float[np.ndarray, "s f"]:
        """Returns the sums of a pass for the components of one mixture, or of several.

        Args:
            rows: passed over.
            q: the components of the mixtures, one mixture after another.
            likelihoods: to which the log likelihood of each mixture is added.
        """
        s = self.structure
        table = s.coefficients(q)
        far = _far(table, q)
        size = block_size(len(table), s.width)
        values = np.zeros((len(table), s.width))
        one = len(likelihoods) == 1
        for x, features, weights in rows.featured(size, s, s.features):
            logs = _logs(table, features, far, q, x)
            groups = logs if one else logs.reshape(len(likelihoods), -1, logs.shape[1])
            value, shares = responsibilities(groups, weights)
            likelihoods += value
            values += shares.reshape(logs.shape) @ features.T
        return values

    def log_prob(self, q: Components, x: Float[np.ndarray, "d m"]) -> Float[np.ndarray, " m"]:
        """Returns log q at rows given as columns, in scaled coordinates."""
        s = self.structure
        table = s.coefficients(q)
        logs = _logs(table, s.features(x), _far(table, q), q, x)
        return np.logaddexp.reduce(logs, axis=0)

    def shares(self, q: Components, x: Float[np.ndarray, "d m"]) -> Float[np.ndarray, "k m"]:
        """Returns the responsibilities of the components for rows given as columns."""
        s = self.structure
        table = s.coefficients(q)
        logs = _logs(table, s.features(x), _far(table, q), q, x)
        return responsibilities(logs, np.ones(x.shape[1]))[1]

    def restored(self, log_likelihood: float, arrays: list[np.ndarray]) -> Sums:
        """Returns sums of their numbers."""
        return Sums(log_likelihood, arrays[0])

    def sums(self, values: Float[np.ndarray, "k f"]) -> Sums:
        """Returns the sums of rows that are shared out, of which no likelihood is known."""
        return Sums(math.nan, values)

    def maximize(self, sums: Sums) -> Components:
        """Returns the components that maximise the expected log likelihood and prior: the M-step."""
        totals, means, scatter = self.structure.moments(sums.values)
        weights = sums.values[:, 0] / sums.values[:, 0].sum()
        return Components(weights, means, self.structure.roots(totals, scatter, self.prior))

    def log_prior(self, q: Components) -> float:
        """Returns the log of the prior density, up to a constant."""
        return self.prior.log_density(q)


@final
@dataclass(frozen=True, eq=False)
class SmoothGaussianModel(GaussianModel):
    """Gaussians with covariances of their own, full or diagonal, which are points of a space without bounds."""

    def chart(self, origin: Components) -> "Chart":
        """Returns coordinates around components."""
        return Chart(self, origin)


@final
@dataclass(frozen=True, eq=False)
class Chart:
    """Coordinates of components around others, in which EM's own curvature is the identity.

    Logits, means and factors are measured in the errors they would have if it were known which row
    belongs to which component: what is left for a minimiser is what the rows do not tell.
    """

    model: SmoothGaussianModel
    origin: Components

    def unpack(self, vector: Vector) -> Components:
        """Returns the components at coordinates; the origin at 0."""
        k, d = self.origin.means.shape
        logits, moves, entries = np.split(vector / self._units, [k, k + k * d])
        logits = logits + np.log(np.maximum(self.origin.weights, 1e-300))
        weights = np.exp(logits - logits.max())
        turn = np.zeros((k, d, d))
        turn[:, self._lower[0], self._lower[1]] = entries.reshape(k, -1)
        diagonal = np.arange(d)
        turn[:, diagonal, diagonal] = np.exp(np.clip(turn[:, diagonal, diagonal], -40.0, 40.0))
        roots = self.origin.roots
        means = self.origin.means + (roots @ moves.reshape(k, d, 1))[:, :, 0]
        return Components(weights / weights.sum(), means, roots @ turn)

    def gradient(self, q: Components, sums: Sums) -> Vector:
        """Returns the gradient of log likelihood plus log prior, from the sums of the pass at q."""
        s, prior = self.model.structure, self.model.prior
        rows, means, scatter = s.moments(sums.values)
        moved = means - q.means
        d = moved.shape[1]
        if scatter.ndim == 2:
            scatter = scatter[:, :, None] * np.eye(d)
        outer = moved[:, :, None] * moved[:, None, :]
        around = scatter + rows[:, None, None] * outer + prior.scatter
        inverse = q.inverses
        back = inverse.transpose(0, 2, 1)
        by_mean = rows[:, None] * (back @ (inverse @ moved[:, :, None]))[:, :, 0]
        excess = inverse @ around @ back - (rows + prior.rows)[:, None, None] * np.eye(d)
        origin = self.origin.roots.transpose(0, 2, 1)
        by_turn = origin @ back @ excess
        diagonal = np.arange(d)
        turn = q.roots[:, diagonal, diagonal] / self.origin.roots[:, diagonal, diagonal]
        by_turn[:, diagonal, diagonal] *= turn
        parts = [
            rows - q.weights * rows.sum(),
            (origin @ by_mean[:, :, None]).ravel(),
            by_turn[:, self._lower[0], self._lower[1]].ravel(),
        ]
        return np.concatenate(parts) / self._units

    @cached_property
    def _lower(self) -> tuple[np.ndarray, np.ndarray]:
        d = self.model.structure.d
        every = np.arange(d)
        return (every, every) if self.model.structure.by_square else np.tril_indices(d)

    @cached_property
    def _units(self) -> Vector:
        d = self.origin.means.shape[1]
        each = np.sqrt(np.maximum(self.origin.weights, 1e-6))
        turns = np.where(self._lower[0] == self._lower[1], math.sqrt(2.0), 1.0)
        return np.concatenate([each, np.repeat(each, d), np.outer(each, turns).ravel()])


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
    if not (total.min() > _LEAST and total.max() < _MOST_DIMENSIONS):
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
    constant = np.log(max(q.weights[k], 1e-300)) - q.half_log_dets[k]
    return constant - 0.5 * (np.einsum("dm,dm->m", z, z) + len(x) * np.log(2.0 * np.pi))
