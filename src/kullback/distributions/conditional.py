"""Densities of some columns of a row given the others."""

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import final

import numpy as np
from jaxtyping import Float
from scipy import special

from kullback.core.errors import UnsupportedError
from kullback.distributions.base import Array, Distribution, Support
from kullback.distributions.columns import asked_row
from kullback.distributions.gaussian_mixture import TableMixture
from kullback.distributions.vector import Categorical

_NO_DRAWS = (
    "q is a density given columns, which is drawn from at values of these: fit.condition(name=value).sample(rng, n), "
    "or q.sample_given(rng, rows)"
)


@final
@dataclass(frozen=True, eq=False)
class Conditional(Distribution):
    """q(y | x) of a mixture over the columns of a table. An event is a whole row, of y and x.

    Attributes:
        joint: over all columns; only what it says of y given x counts.
        given: the columns x.
    """

    joint: TableMixture
    given: tuple[int, ...]
    takes_gaps = True

    @property
    def support(self) -> Support:
        return Support("real", dimension=len(self.joint.kinds))

    @cached_property
    def asked(self) -> tuple[int, ...]:
        """The columns y."""
        return tuple(j for j in range(len(self.joint.kinds)) if j not in self.given)

    def log_prob(self, x: Array) -> Float[np.ndarray, " n"]:
        """Returns log q(y | x) of rows."""
        return self.joint.log_prob(x) - self.joint.log_prob(without(x, self.asked))

    def sample(self, rng: np.random.Generator, n: int) -> Array:
        raise UnsupportedError(_NO_DRAWS)

    def sample_given(self, rng: np.random.Generator, x: Array) -> Float[np.ndarray, "n d"]:
        """Returns rows with y drawn given the x of each."""
        return drawn(self, rng, x)

    def condition(self, x: Float[np.ndarray, " d"]) -> Distribution:
        """Returns the distribution of y given the x of a row; its y is not looked at."""
        return self.joint.condition(without(np.asarray(x, dtype=np.float64)[None], self.asked)[0])

    def distribution_function(self, x: Float[np.ndarray, "n d"]) -> Float[np.ndarray, " n"] | None:
        """Returns q(Y <= y | x) at rows, where y is one column of numbers; None for other y."""
        q, (y, *more) = self.joint, self.asked
        if more or q.kinds[y] != "continuous" or not np.isinf(q.df).all():
            return None
        shares = special.softmax(q.log_joint(without(x, self.asked).T), axis=0)
        reals = q.reals
        at = int(np.flatnonzero(reals == y)[0])
        covariances = q.roots @ q.roots.transpose(0, 2, 1)
        inside = np.flatnonzero(reals != y)
        total = np.zeros(len(x))
        for share, mean, covariance in zip(shares, q.means, covariances, strict=True):
            slopes = np.linalg.solve(covariance[np.ix_(inside, inside)], covariance[inside, at])
            located = mean[at] + (x[:, reals[inside]] - mean[inside]) @ slopes
            left = math.sqrt(covariance[at, at] - covariance[at, inside] @ slopes)
            total += share * special.ndtr((x[:, y] - located) / left)
        return np.clip(total, 0.0, 1.0)

    def __str__(self) -> str:
        return f"{len(self.asked)} column(s) given {len(self.given)}, by a {self.joint}"


@final
@dataclass(frozen=True, eq=False)
class Softmax(Distribution):
    """q(y | x) = softmax(coefficients (1, x)): a category given numbers and categories. An event is a whole row.

    Attributes:
        column: of y.
        given: the columns x.
        levels: of each of these, the number of its codes; 0 for numbers.
        center, scale: of each, by which numbers are standardised.
        coefficients: of a constant, each number and each code, for every code of y.
    """

    column: int
    given: tuple[int, ...]
    levels: tuple[int, ...]
    center: Float[np.ndarray, " g"]
    scale: Float[np.ndarray, " g"]
    coefficients: Float[np.ndarray, "l f"]

    @property
    def support(self) -> Support:
        return Support("real", dimension=len(self.given) + 1)

    @property
    def asked(self) -> tuple[int, ...]:
        """The column y."""
        return (self.column,)

    def features(self, x: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n f"]:
        """Returns a constant, standardised numbers, and 0 or 1 for each code; a code never seen is all 0."""
        columns = [np.ones(len(x))]
        for j, levels, center, scale in zip(
            self.given, self.levels, self.center, self.scale, strict=True
        ):
            if levels:
                columns += [(x[:, j] == code).astype(np.float64) for code in range(levels)]
            else:
                columns.append((x[:, j] - center) / scale)
        return np.column_stack(columns)

    def log_probabilities(self, x: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n l"]:
        """Returns the log probability of every code of y at rows."""
        return special.log_softmax(self.features(x) @ self.coefficients.T, axis=1)

    def log_prob(self, x: Array) -> Float[np.ndarray, " n"]:
        """Returns log q(y | x) of rows."""
        logs, code = self.log_probabilities(x), x[:, self.column]
        valid = (code >= 0.0) & (code < logs.shape[1]) & (code == np.floor(code))
        at = np.where(valid, code, 0.0).astype(np.int64)
        return np.where(valid, logs[np.arange(len(x)), at], -np.inf)

    def sample(self, rng: np.random.Generator, n: int) -> Array:
        raise UnsupportedError(_NO_DRAWS)

    def sample_given(self, rng: np.random.Generator, x: Array) -> Float[np.ndarray, "n d"]:
        """Returns rows with y drawn given the x of each."""
        logs = self.log_probabilities(x)
        rows = np.array(x, dtype=np.float64)
        rows[:, self.column] = np.argmax(logs + rng.gumbel(size=logs.shape), axis=1)
        return rows

    def condition(self, x: Float[np.ndarray, " d"]) -> Distribution:
        """Returns the distribution of y given the x of a row; its y is not looked at."""
        row = asked_row(
            without(np.asarray(x, dtype=np.float64)[None], self.asked)[0], len(self.given) + 1
        )
        return Categorical.from_logits(self.features(row[None])[0] @ self.coefficients.T)

    def __str__(self) -> str:
        return f"logistic regression of a category on {len(self.given)} column(s)"


def without(x: Float[np.ndarray, "n d"], columns: tuple[int, ...]) -> Float[np.ndarray, "n d"]:
    """Returns rows whose values in some columns are missing."""
    rows = np.array(x, dtype=np.float64)
    rows[:, list(columns)] = np.nan
    return rows


def drawn(q: Conditional, rng: np.random.Generator, x: Array) -> Float[np.ndarray, "n d"]:
    """Returns rows with the columns that are asked for drawn, given the others of each row."""
    rows = np.array(x, dtype=np.float64)
    for row in rows:
        values = np.asarray(q.condition(row).sample(rng, 1), dtype=np.float64)
        row[list(q.asked)] = values.reshape(-1)
    return rows


def marginal_of(q: TableMixture, columns: tuple[int, ...]) -> TableMixture:
    """Returns the distribution of some columns, by themselves."""
    left = np.isin(np.arange(len(q.kinds)), columns)
    there = left[q.reals]
    tables = tuple(t for j, t in zip(q.categories, q.tables, strict=True) if left[j])
    own = q.covariances[:, there][:, :, there]
    roots = q.roots if there.all() else np.linalg.cholesky(own)
    return replace(
        q, kinds=tuple(k for k, kept in zip(q.kinds, left, strict=True) if kept),
        means=q.means[:, there], roots=roots, rates=q.rates[:, left[q.counts]], tables=tables,
    )  # fmt: skip
