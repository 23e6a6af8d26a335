"""Mixtures as a family: its models, starts, moves of components, and the distribution it ends as."""

import math
from dataclasses import dataclass, replace
from typing import Any, Literal, final

import numpy as np
from jaxtyping import Float

from kullback.core.errors import InputError
from kullback.distributions.base import Distribution
from kullback.distributions.compound import Mixture
from kullback.distributions.gaussian_mixture import GaussianMixture, TableMixture
from kullback.distributions.real import StudentT
from kullback.fitting.components import Components, order_of
from kullback.fitting.covariances import Prior, Structure
from kullback.fitting.em import MixtureModel, reals_of
from kullback.fitting.em_sums import Sums, block_size
from kullback.fitting.em_tables import Columns
from kullback.fitting.rows import ScaledRows
from kullback.measure.samples.dependence import step_of

Array = np.ndarray
#: While starts are compared, a component is pulled with the force of so many rows towards this share of the
#: covariance of all: no start wins by shrinking a component to a point.
_ROWS, _SHARE = 0.01, 0.01
#: Components of fewer rows than this many times the columns and one may lie close to a plane by chance.
_PLANE = 4
#: A row that is so many times as frequent as half of the rows are is an atom, as zeros among measured values
#: are; rounding makes many rows equal, none so much more than the others.
_ATOM = 20.0
#: The floor of the final fit: the covariance that 1e-8 rows add to a component.
FLOOR = 1e-8
#: A component this close to the width of rounding is held there, and its bound is at most this share of an sd.
_AT_BOUND, _ROUNDING = 1e-6, 0.5
#: Columns whose correlations leave less than this of some direction are not independent.
_SINGULAR = 1e-12
#: Degrees of freedom of starts: -(log h - digamma h + 1) at h = 5.
_TEN = -1.1033237
Metric = Literal["scaled", "white", "units"]


@final
@dataclass(frozen=True, eq=False)
class MixtureFamily:
    """Mixtures of k components with a covariance structure, for given rows.

    Attributes:
        model: with the prior that starts are compared under.
        final: with a floor only: maximum likelihood.
        metric: rows are compared as metric @ x.
        shape: of the priors: the correlations of the columns, or the identity.
        rounding: the sds that rounding gives columns, which several components are no narrower than.
        atom: whether some row is there so often that a component on it is p's own.
    """

    model: MixtureModel
    final: MixtureModel
    metric: Float[np.ndarray, "d d"]
    shape: Float[np.ndarray, "d d"]
    rounding: Float[np.ndarray, " d"] | None = None
    atom: bool = False

    @property
    def structure(self) -> Structure:
        return self.model.structure

    @property
    def _columns(self) -> Columns | None:
        return self.model.columns

    def parameters(self, k: int) -> int:
        """Returns the number of free parameters."""
        if self._columns is None:
            return self.structure.parameters(k)
        example = self._columns.example
        each = self._columns.heavy + len(example.counts)
        each += sum(t.shape[1] - 1 for t in example.tables)
        return self.structure.parameters(k) + k * each

    def points(self, rows: ScaledRows, metric: Metric) -> Float[np.ndarray, "c n"]:
        """Returns rows as points whose distances say what is alike.

        Counts are in units of their sds, and labels have a coordinate each.

        Args:
            rows: in memory.
            metric: continuous columns are as they are "scaled", made uncorrelated ("white"), or in the "units" in
                which they were given.
        """
        x, _ = rows.whole()
        example = None if self._columns is None else self._columns.example
        reals = x if example is None else np.nan_to_num(x[example.reals])
        reals = np.clip(reals, -1e8, 1e8)
        if metric == "white" and len(reals):
            reals = self.metric @ reals
        if metric == "units" and len(reals):
            scale = rows.scale if example is None else rows.scale[example.reals]
            reals = reals * (scale / scale.max())[:, None]
        if example is None:
            return reals
        parts = [reals]
        for column in x[example.counts]:
            shown = np.sqrt(np.where(np.isnan(column), np.nanmean(column), column))
            parts.append(((shown - shown.mean()) / max(shown.std(), 1e-12))[None])
        for column, table in zip(x[example.categories], example.tables, strict=True):
            parts.append((column == np.arange(table.shape[1])[:, None]).astype(float))
        return np.concatenate(parts)

    def from_shares(self, rows: ScaledRows, shares: Float[np.ndarray, "k n"]) -> Any:
        """Returns the components of rows that are shared out, as if the centre were where gaps are."""
        x, weights = rows.whole()
        held = shares * weights
        if self._columns is None:
            return self.model.maximize(Sums(np.nan, held @ self.structure.features(x).T))
        example, total = self._columns.example, held.sum(axis=1)
        counts = x[example.counts]
        labels = (
            held @ (column == np.arange(t.shape[1])[:, None]).T
            for column, t in zip(x[example.categories], example.tables, strict=True)
        )
        values = held @ self.structure.features(np.nan_to_num(x[example.reals])).T
        counted, events = held @ (~np.isnan(counts)).T, held @ np.nan_to_num(counts).T
        others = (total, _TEN * total, counted, events, *labels)
        return self.model.maximize(Sums(np.nan, values, others))

    def shares(self, rows: ScaledRows, q: Any) -> Float[np.ndarray, "k n"]:
        """Returns the responsibilities of the components for each row."""
        size = block_size(len(q.weights), self.structure.width)
        return np.concatenate([self.model.shares(q, x) for x, _ in rows.blocks(size)], axis=1)

    def spikes(self, sums: Sums) -> list[int]:
        """Returns the components that maximum likelihood shrinks: onto few rows, or onto rows that are tied."""
        if self.structure.name == "tied" or not self.structure.d:
            return []
        # Rows that are tied in some direction have no more spread there than the floor, but for rounding.
        tied = self._scatters(sums, rounding=True)[0] < FLOOR
        return [int(k) for k in np.flatnonzero(self._few(sums) | tied)]

    def sound(self, sums: Sums) -> bool:
        """Returns whether no component owes its density to rows that are tied, or lie close to a plane by chance.

        Rows are tied that spread no further than rounding does. A component of no more rows than columns keeps the
        prior, and owes its density to that; so does one on an atom.
        """
        d = self.structure.d
        if self.structure.name == "tied" or not d:
            return True
        (least, most), rows = self._scatters(sums), sums.rows
        few = rows < _PLANE * (d + 1)
        flat = (least < _SHARE * len(rows) ** (-2.0 / d)) & few
        own = self.atom & (most < FLOOR) & ~few
        tied = (least < FLOOR) | self._rounded(sums)
        return not bool(((tied | flat) & ~self._few(sums) & ~own).any())

    def rounded(self, sums: Sums) -> list[int]:
        """Returns the components that would be narrower than rounding in some direction, but for the bound."""
        return [int(k) for k in np.flatnonzero(self._rounded(sums) & ~self._few(sums))]

    def _rounded(self, sums: Sums) -> np.ndarray:
        if self.final.prior.least is None or not self.structure.d:
            return np.zeros(len(sums.rows), dtype=bool)
        q = reals_of(self.final.maximize(sums))
        return self.final.prior.narrow(q) > 1.0 - _AT_BOUND

    def atoms(self, sums: Sums) -> list[int]:
        """Returns the components whose rows are all equal in the continuous columns."""
        if self.structure.name == "tied" or not self.structure.d:
            return []
        tied = (self._scatters(sums)[1] < FLOOR) & ~self._few(sums)
        return [int(k) for k in np.flatnonzero(tied)]

    def charge(self, sums: Sums) -> float:
        """Returns what components of too few rows must be worth, in nats: BIC's charge for their parameters."""
        if self.structure.name == "tied" or not self.structure.d:
            return 0.0
        each = self.parameters(2) - self.parameters(1)
        return 0.5 * each * np.log(sums.rows.sum()) * int(self._few(sums).sum())

    def rank(self, sums: Sums) -> tuple[bool, float]:
        """Returns what is higher for a better optimum; one that owes its likelihood to ties is behind all others."""
        return self.sound(sums), sums.log_likelihood - self.charge(sums)

    def _few(self, sums: Sums) -> np.ndarray:
        """Which components have too few rows: at a maximum, one that is singular holds d, of others nearly none."""
        s = self.structure
        return sums.rows < (1.5 if s.by_square or s.rank else s.d + 0.5)

    def _scatters(
        self, sums: Sums, *, rounding: bool = False
    ) -> tuple[Float[np.ndarray, " k"], Float[np.ndarray, " k"]]:
        """The scatter of each component where it is least and where it is most, beside that of all rows.

        Args:
            sums: of a pass.
            rounding: whether to add what rounding alone gives.
        """
        scatter = self.structure.moments(sums.values)[2]
        bound = self.final.prior.least
        if rounding and bound is not None:
            held = sums.rows[:, None] * bound**2
            scatter = scatter + (
                held if scatter.ndim == 2 else held[:, :, None] * np.eye(len(bound))
            )
        if scatter.ndim == 2:
            if self.structure.name == "spherical":
                return scatter.sum(axis=1), scatter.sum(axis=1)
            return scatter.min(axis=1), scatter.max(axis=1)
        inverse = np.linalg.inv(np.linalg.cholesky(self.shape))
        sizes = np.linalg.eigvalsh(inverse @ scatter @ inverse.T)
        return sizes[:, 0], sizes[:, -1]

    def keeping(self, few: tuple[int, ...], k: int) -> MixtureModel:
        """Returns the model with the prior for some of k components, and the floor for the others."""
        prior, floor = self.model.prior, self.final.prior
        chosen = np.isin(np.arange(k), few)
        rows = np.where(chosen, prior.rows, floor.rows)
        scatter = np.where(chosen[:, None, None], prior.scatter, floor.scatter)
        prior = replace(floor, rows=rows, scatter=scatter)
        return replace(self.final, prior=prior) if few else self.final

    def floor_cost(self, q: Any, kept_prior: tuple[int, ...]) -> float:
        """Returns what floor or prior take from the log likelihood, in nats, to first order."""
        if not self.structure.d:
            return 0.0
        prior = self.keeping(kept_prior, len(q.weights)).prior
        # A covariance (S + P) / (n + r) in place of S / n costs what a move of 2/n (tr - r d) does.
        moved = 0.5 * (prior.pulls(reals_of(q)) - prior.rows * self.structure.d)
        return float(np.sum(np.abs(moved)))

    def distribution(self, q: Any, rows: ScaledRows) -> Distribution:
        """Returns the mixture in the units of the data, as the simplest distribution it is."""
        if self._columns is None:
            return q.moved(rows.center, np.diag(rows.scale)).distribution(
                scalar=self.structure.d == 1
            )
        center, scale = rows.center[q.reals], rows.scale[q.reals]
        means, roots = center + scale * q.means, scale[:, None] * q.roots
        index = order_of(means, roots) if len(q.reals) else np.argsort(-q.weights)
        weights, means, roots, df = q.weights[index], means[index], roots[index], q.df[index]
        if len(q.reals) == len(q.kinds) and not self._columns.heavy:
            return GaussianMixture(weights, means, roots)
        if len(q.kinds) == 1 and self._columns.heavy and not rows.source.missing:
            parts = tuple(
                StudentT(float(f), float(m[0]), float(r[0, 0]))
                for f, m, r in zip(df, means, roots, strict=True)
            )
            return parts[0] if len(parts) == 1 else Mixture(weights, parts)
        made = gaussian_fields(Components(weights, means, roots))
        tables = tuple(t[index] for t in q.tables)
        return replace(q, **made, df=df, rates=q.rates[index], tables=tables)


def family_of(
    structure: Structure, rows: ScaledRows, k: int, *, heavy: bool = False
) -> MixtureFamily:
    """Returns the family for rows.

    Args:
        structure: of the covariances of the continuous columns.
        rows: a sample of them, in memory.
        k: components, by which the space is shared.
        heavy: whether components have tails of their own.

    Raises:
        InputError: some column is a linear combination of others, so that no density exists.
    """
    plain = not heavy and not rows.source.missing and structure.d == len(rows.kinds)
    columns = None if plain else _columns_of(rows, structure.d, heavy=heavy)
    reals = np.arange(structure.d) if columns is None else columns.example.reals
    shape, metric = shape_of(structure, rows, reals)
    final = MixtureModel(structure, Prior(0.0, FLOOR * shape), columns)
    atom, least = _has_atom(rows, reals), _rounding(rows, reals)
    return with_components(MixtureFamily(final, final, metric, shape, least, atom), k)


def _rounding(rows: ScaledRows, reals: np.ndarray) -> Float[np.ndarray, " d"] | None:
    """The sd that rounding alone gives each column (Sheppard), 0 of those that are not rounded; None of no column."""
    x, _ = rows.whole()
    found = np.zeros(len(reals))
    for at, i in enumerate(reals):
        column = x[i][~np.isnan(x[i])]
        values = np.unique(rows.center[i] + rows.scale[i] * column)
        step = step_of(values) / rows.scale[i]
        # A column of few rare values may spread less than its grid.
        found[at] = min(step / math.sqrt(12.0), _ROUNDING * column.std())
    return found if found.any() else None


def _has_atom(rows: ScaledRows, reals: np.ndarray) -> bool:
    """Whether some row stands out by how often it is there."""
    if not len(reals):
        return False
    x, weights = rows.whole()
    _, index = np.unique(x[reals].T, axis=0, return_inverse=True)
    frequency = np.sort(np.bincount(index.ravel(), weights=weights))
    half = frequency[np.searchsorted(np.cumsum(frequency), 0.5 * (frequency[:-1].sum()))]
    return bool(frequency[-1] > _ATOM * half)


def _columns_of(rows: ScaledRows, d: int, *, heavy: bool) -> Columns:
    """Of rows of any columns, with gaps."""
    kinds = rows.kinds
    x, _ = rows.whole()
    counts = x[[i for i, kind in enumerate(kinds) if kind == "count"]]
    at = [i for i, kind in enumerate(kinds) if kind == "category"]
    sizes = [len(rows.source.labels[i]) for i in at] if rows.source.labels else [0] * len(at)
    sizes = [max(n, int(np.nanmax(x[i])) + 1) for n, i in zip(sizes, at, strict=True)]
    example = TableMixture(
        kinds, np.ones(1), np.zeros((1, d)), np.eye(d)[None], np.full(1, np.inf),
        np.ones((1, len(counts))), tuple(np.full((1, n), 1.0 / n) for n in sizes),
    )  # fmt: skip
    return Columns(example, heavy, np.array([float(np.nanmean(c)) for c in counts]))


def gaussian_fields(q: Components) -> dict[str, np.ndarray]:
    """Returns the fields that a mixture of tables shares with one of Gaussians."""
    return {"weights": q.weights, "means": q.means, "roots": q.roots}


def shape_of(
    structure: Structure, rows: ScaledRows, reals: np.ndarray
) -> tuple[Float[np.ndarray, "d d"], Float[np.ndarray, "d d"]]:
    """Returns what priors on covariances are proportional to, and the metric in which rows are white.

    Raises:
        InputError: some column is a linear combination of others.
    """
    if not len(reals):
        return np.zeros((0, 0)), np.zeros((0, 0))
    x, weights = rows.whole()
    there = ~np.isnan(x[reals])
    held = there * weights
    mean = np.sum(np.where(there, x[reals], 0.0) * weights, axis=1) / held.sum(axis=1)
    moved = np.where(there, x[reals] - mean[:, None], 0.0)
    both = np.maximum(held @ there.T.astype(float), 1e-300)
    covariance = (moved * weights) @ moved.T / both
    sds = np.sqrt(np.maximum(np.diag(covariance), 1e-300))
    correlation = covariance / np.outer(sds, sds)
    values, vectors = np.linalg.eigh(correlation)
    if not structure.by_square and values[0] < _SINGULAR and there.all():
        _refuse_dependent([rows.source.columns[i] for i in reals], vectors[:, 0])
    values = np.maximum(values, _SINGULAR)
    metric = (vectors / np.sqrt(values)).T / sds
    if structure.by_square:
        return np.eye(structure.d), metric
    # Correlations of pairs of columns with gaps need not go together: the nearest that do.
    return (
        correlation if there.all() else (vectors * np.maximum(values, 1e-3)) @ vectors.T
    ), metric


def with_components(
    family: MixtureFamily, k: int, *, force: float = _ROWS, share: float = _SHARE
) -> MixtureFamily:
    """Returns the family with the prior for k components.

    Components share the space, but an atom's spread, which is the prior's, must not be more likely for more of them.

    Args:
        family: of one component, or some.
        k: components.
        force: of the prior, in rows.
        share: of the covariance of all rows that it pulls one component towards.
    """
    share *= (1 if family.atom else k) ** (-2.0 / max(family.structure.d, 1))
    # The one Gaussian of greatest likelihood needs no bound.
    least = family.rounding if k > 1 else None
    prior = Prior(force, share * family.shape, least)
    final = replace(family.final, prior=replace(family.final.prior, least=least))
    return replace(family, model=replace(family.model, prior=prior), final=final)


def _refuse_dependent(columns: list[str], direction: Float[np.ndarray, " d"]) -> None:
    names = [columns[i] for i in np.flatnonzero(np.abs(direction) > 0.05)]
    listed = ", ".join(names[:6]) + (" ..." if len(names) > 6 else "")
    raise InputError(
        f"columns {listed} determine each other exactly, so the density is infinite along some line; "
        "drop one of them, or choose covariance='diagonal'"
    )
