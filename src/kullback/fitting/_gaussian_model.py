"""Mixtures of Gaussians as EM sees them: the pass over the rows and the step from what it summed."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import final

import numpy as np
from jaxtyping import Float

from kullback.fitting._rows import Rows
from kullback.fitting._structures import Components, Prior, Structure

Vector = Float[np.ndarray, " m"]
#: Numbers that stay in the cache while a block is worked on.
_CACHE = 80_000
#: A component further than this many of its sds, squared, from the centre of the data is centred by
#: itself: the quadratic form would lose half of the digits.
_FAR = 1e8
_LEAST, _MOST = 1e-280, 1e280


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
    if not (total.min() > _LEAST and total.max() < _MOST):
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
