"""EM of a mixture: a pass over the rows to what it sums, and the step from these sums to new components.

Continuous rows without gaps are two matrix products a block; other tables are passed over pattern by pattern of gaps.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, final

import numpy as np
from jaxtyping import Float

from kullback.distributions.gaussian_mixture import TableMixture
from kullback.fitting.components import Components
from kullback.fitting.covariances import Prior, Structure
from kullback.fitting.em_sums import FAR, Sums, block_size, responsibilities
from kullback.fitting.em_tables import LONGER, Columns, TableRun, Totals
from kullback.fitting.rows import ScaledRows

Array = np.ndarray
_LOG_2PI = math.log(2.0 * math.pi)


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
            return self._expect_table(rows, q, self.columns)
        total = np.zeros(1)
        values = self.summed(rows, q, total)
        return Sums(float(total[0]), values)

    def _expect_table(self, rows: ScaledRows, q: TableMixture, columns: Columns) -> Sums:
        filled = columns.filled
        # Gaps cut a block into patterns: it is longer, so that these are not short.
        size = block_size(len(q.weights), filled.structure.width)
        run = TableRun(q, columns.heavy, size * (LONGER if rows.source.missing else 1), filled)
        return rows.summed(run, Totals.joined).sums(q, filled.structure, self.structure)

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
    return [int(k) for k in np.flatnonzero(distance > FAR)] if distance.max() > FAR else []


def _log_joint(q: Components, k: int, x: Float[np.ndarray, "d m"]) -> Float[np.ndarray, " m"]:
    z = q.inverses[k] @ (x - q.means[k][:, None])
    constant = np.log(max(q.weights[k], 1e-300)) - q.log_dets[k]
    return constant - 0.5 * (np.einsum("dm,dm->m", z, z) + len(x) * _LOG_2PI)
