"""Mixtures over tables as a family: its models, starts, moves of components, and what it ends as."""

from dataclasses import dataclass, replace
from typing import Any, final

import numpy as np
from jaxtyping import Float

from kullback.distributions._base import Distribution
from kullback.distributions._compound import Mixture
from kullback.distributions._gaussian_mixture import GaussianMixture
from kullback.distributions._real import StudentT
from kullback.distributions._table_mixture import TableMixture
from kullback.fitting._gaussians import order_of
from kullback.fitting._mixture_family import FLOOR, MixtureFamily, Move, shape_of, with_components
from kullback.fitting._rows import Rows
from kullback.fitting._structures import Components, Prior, Structure
from kullback.fitting._table_model import TableModel, TableSums

#: Degrees of freedom of starts: -(log h - digamma h + 1) at h = 5.
_TEN = -1.1033237
#: How far the rates and tables of the halves of a component are apart, as a factor and a power.
_APART = 1.3


@final
@dataclass(frozen=True, eq=False)
class TableFamily(MixtureFamily):
    """Mixtures over tables; `model` and `final` are of tables."""

    model: Any
    final: Any

    @property
    def _example(self) -> TableMixture:
        model: TableModel = self.model
        return model.example

    def parameters(self, k: int) -> int:
        """Returns the number of free parameters."""
        each = self.model.heavy + len(self._example.counts)
        each += sum(t.shape[1] - 1 for t in self._example.tables)
        return self.structure.parameters(k) + k * each

    def points(
        self, rows: Rows, *, white: bool
    ) -> tuple[Float[np.ndarray, "c n"], Float[np.ndarray, " n"]]:
        """Returns rows as points: counts in units of their sds, a coordinate for each label."""
        x, weights = rows.whole()
        reals = np.clip(np.nan_to_num(x[self._example.reals]), -1e8, 1e8)
        parts = [self.metric @ reals if white and len(reals) else reals]
        for column in x[self._example.counts]:
            shown = np.sqrt(np.where(np.isnan(column), np.nanmean(column), column))
            parts.append(((shown - shown.mean()) / max(shown.std(), 1e-12))[None])
        for column, table in zip(x[self._example.categories], self._example.tables, strict=True):
            parts.append((column == np.arange(table.shape[1])[:, None]).astype(float))
        return np.concatenate(parts), weights

    def from_shares(self, rows: Rows, shares: Float[np.ndarray, "k n"]) -> Any:
        """Returns the components of rows that are shared out, as if the centre were where gaps are."""
        x, weights = rows.whole()
        example, held = self._example, shares * weights
        reals = np.nan_to_num(x[example.reals])
        total = held.sum(axis=1)
        bent = held[:, None] * reals
        counts = x[example.counts]
        sums = TableSums(
            np.nan,
            total,
            total,
            bent.sum(axis=2),
            bent @ reals.T,
            _TEN * total,
            held @ (~np.isnan(counts)).T,
            held @ np.nan_to_num(counts).T,
            tuple(
                held @ (column == np.arange(t.shape[1])[:, None]).T
                for column, t in zip(x[example.categories], example.tables, strict=True)
            ),
        )
        return self.model.maximize(sums)

    def _misfits(self, q: Any, x: np.ndarray, held: np.ndarray) -> list[float]:
        reals = np.nan_to_num(x[q.reals])
        if not len(reals):
            return list(held.sum(axis=1))
        return super()._misfits(q, reals, held)

    def moved(self, q: Any, move: Move) -> Any:
        """Returns components after a merge and a split."""
        i, j, c = move
        share = q.weights[[i, j]] / q.weights[[i, j]].sum()
        base = super().moved(q, move) if self.structure.d else _regrouped(q, move)
        df, rates = q.df.copy(), q.rates.copy()
        tables = tuple(t.copy() for t in q.tables)
        for held in (df, rates, *tables):
            held[i] = share @ held[[i, j]]
            held[j] = held[c]
        return _tilted(self._made(base, df, rates, tables), c, j)

    def split(self, q: Any, c: int) -> Any:
        """Returns one component more, of which c has been halved."""
        k = len(q.weights)
        base = super().split(q, c) if self.structure.d else _doubled(q, c)
        index = [*range(k), c]
        made = self._made(base, q.df[index], q.rates[index], tuple(t[index] for t in q.tables))
        return _tilted(made, c, k)

    def _made(self, base: Components, df: Any, rates: Any, tables: Any) -> TableMixture:
        kinds = self._example.kinds
        return TableMixture(kinds, base.weights, base.means, base.roots, df, rates, tables)

    def floored(self, q: Any, rows: Rows) -> list[int]:
        """Returns the components that are too few rows for a covariance of their own."""
        return super().floored(q, rows) if self.structure.d else []

    def floor_cost(self, q: Any, kept_prior: tuple[int, ...]) -> float:
        """Returns what floor or prior take from the log likelihood, in nats, to first order."""
        if not self.structure.d:
            return 0.0
        return super().floor_cost(Components(q.weights, q.means, q.roots), kept_prior)

    def distribution(self, q: Any, rows: Rows) -> Distribution:
        """Returns the mixture in the units of the data, as the simplest distribution it is."""
        center, scale = rows.center[q.reals], rows.scale[q.reals]
        means, roots = center + scale * q.means, scale[:, None] * q.roots
        index = order_of(means, roots) if len(q.reals) else np.argsort(-q.weights)
        weights, means, roots = q.weights[index], means[index], roots[index]
        if len(q.reals) == len(q.kinds) and not self.model.heavy:
            return GaussianMixture(weights, means, roots)
        if len(q.kinds) == 1 and self.model.heavy:
            parts = tuple(
                StudentT(float(f), float(m[0]), float(r[0, 0]))
                for f, m, r in zip(q.df[index], means, roots, strict=True)
            )
            return parts[0] if len(parts) == 1 else Mixture(weights, parts)
        return replace(
            q,
            weights=weights,
            means=means,
            roots=roots,
            df=q.df[index],
            rates=q.rates[index],
            tables=tuple(t[index] for t in q.tables),
        )


def table_family(structure: Structure, rows: Rows, k: int, *, heavy: bool) -> TableFamily:
    """Returns the family for rows of any columns, with gaps.

    Args:
        structure: of the covariances of the continuous columns.
        rows: a sample of them, in memory.
        k: components.
        heavy: whether components have tails of their own.
    """
    kinds = rows.kinds
    x, _ = rows.whole()
    counts = x[[i for i, kind in enumerate(kinds) if kind == "count"]]
    sizes = [
        len(names)
        for names, kind in zip(rows.source.labels, kinds, strict=True)
        if kind == "category"
    ]
    tops = [int(np.nanmax(x[i])) + 1 for i, kind in enumerate(kinds) if kind == "category"]
    d = structure.d
    example = TableMixture(
        kinds,
        np.ones(1),
        np.zeros((1, d)),
        np.eye(d)[None],
        np.full(1, np.inf),
        np.ones((1, len(counts))),
        tuple(np.full((1, max(a, b)), 1.0 / max(a, b)) for a, b in zip(sizes, tops, strict=True)),
    )
    shape, metric = shape_of(structure, rows, example.reals)
    means = np.array([float(np.nanmean(c)) for c in counts])
    final = TableModel(structure, Prior(0.0, FLOOR * shape), example, heavy, means)
    return with_components(TableFamily(final, final, metric, shape), k)


def _regrouped(q: TableMixture, move: Move) -> Components:
    """The weights after a move, where there are no continuous columns."""
    i, j, c = move
    weights = q.weights.copy()
    weights[i] = q.weights[i] + q.weights[j]
    weights[[j, c]] = 0.5 * q.weights[c]
    return Components(weights, q.means, q.roots)


def _doubled(q: TableMixture, c: int) -> Components:
    weights = q.weights.copy()
    weights[c] *= 0.5
    k = len(weights) + 1
    empty = np.zeros((k, 0)), np.zeros((k, 0, 0))
    return Components(np.append(weights, weights[c]), *empty)


def _tilted(q: TableMixture, a: int, b: int) -> TableMixture:
    """Returns components of which a and b, halves of one, differ in counts and categories too."""
    rates = q.rates.copy()
    rates[a] *= _APART
    rates[b] /= _APART
    tables = tuple(t.copy() for t in q.tables)
    for table in tables:
        table[a], table[b] = table[a] ** _APART, table[b] ** (1.0 / _APART)
    summing = tuple(t / t.sum(axis=1, keepdims=True) for t in tables)
    return replace(q, rates=rates, tables=summing)
