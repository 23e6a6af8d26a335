"""New mixtures to climb from, made of optima: components moved, halved, put elsewhere, or taken from two of them."""

import itertools
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy import optimize

from kullback.distributions.gaussian_mixture import TableMixture
from kullback.fitting.components import Components
from kullback.fitting.em import reals_of
from kullback.fitting.mixture_family import MixtureFamily, gaussian_fields
from kullback.fitting.rows import ScaledRows

Array = np.ndarray
#: The share of the variances of all rows that a component on few rows has at least.
_ROUND = 1e-4
#: How far from the mean, in sds along the longest axis, the halves of a split component are.
_APART = 0.8
#: How far the rates and tables of the halves of a component are apart, as a factor and a power.
_APART_IN_TABLES = 1.3
#: So many pairs to merge, and components to split, are tried first.
_TOP = 10
#: Axes that a component is split along, and how many places in the order of moves each comes later.
_AXES, _ASIDE = 3, 3
#: Merge two components, and split a third, or what they became, along one of its axes, the longest being 0.
Move = tuple[int, int, int, int]


def moves(family: MixtureFamily, rows: ScaledRows, q: Any) -> Iterator[Move]:
    """Yields moves, the most promising first."""
    x, weights = rows.whole()
    shares = family.shares(rows, q)
    overlap = (shares * weights) @ shares.T
    lengths = np.sqrt(np.maximum(np.diag(overlap), 1e-300))
    overlap /= np.outer(lengths, lengths)
    both = list(itertools.combinations(range(len(q.weights)), 2))
    # Two that overlap, or that lose little when one covers both: the first of either kind come first.
    order = {pair: i for i, pair in enumerate(sorted(both, key=lambda p: -overlap[p]))}
    costs = sorted(both, key=lambda p: _cost(family, reals_of(q), p))
    pairs = sorted(both, key=lambda p: (min(order[p], costs.index(p)), order[p]))[:_TOP]
    misfit = _misfits(family, q, x, shares * weights)
    worst = [int(c) for c in np.argsort(misfit)[::-1][:_TOP]]
    axes = range(min(max(family.structure.d, 1), _AXES))
    ranked = sorted(
        (a + b + _ASIDE * axis, pair, c, axis)
        for a, pair in enumerate(pairs)
        for b, c in enumerate(worst)
        for axis in axes
        # What two became along its longest axis is what they were.
        if c != pair[1] and (c != pair[0] or axis)
    )
    yield from ((*pair, c, axis) for _, pair, c, axis in ranked)


def _misfits(family: MixtureFamily, q: Any, x: np.ndarray, held: np.ndarray) -> list[float]:
    reals = (
        x if family.model.columns is None else np.nan_to_num(x[family.model.columns.example.reals])
    )
    if not len(reals):
        return list(held.sum(axis=1))
    return [_misfit(reals_of(q), i, reals, held[i]) for i in range(len(held))]


def _cost(family: MixtureFamily, q: Components, pair: tuple[int, int]) -> float:
    """What one Gaussian in place of two that do not overlap loses, in nats a row."""
    at = list(pair)
    weights, whole = q.weights[at], q.weights[at].sum()
    if not family.structure.d:
        return 0.0
    _, covariance = Components(weights / whole, q.means[at], q.roots[at]).moments
    spread = 0.5 * whole * np.linalg.slogdet(covariance)[1] - weights @ q.log_dets[at]
    return float(spread - whole * np.log(whole) + np.sum(weights * np.log(weights)))


def moved(family: MixtureFamily, q: Any, move: Move) -> Any:
    """Returns components after a merge and a split."""
    i, j, c, axis = move
    share = q.weights[[i, j]] / q.weights[[i, j]].sum()
    weights, means, roots = q.weights.copy(), q.means.copy(), q.roots.copy()
    weights[i] = q.weights[i] + q.weights[j]
    weights[[j, c]] = 0.5 * weights[c]
    if family.structure.d:
        means[i], covariance = Components(share, q.means[[i, j]], q.roots[[i, j]]).moments
        roots[i] = _root(family, covariance)
        means[c], means[j], roots[[j, c]] = _halves(family, means[c], roots[c], axis)
    base = Components(weights, means, roots)
    if family.model.columns is None:
        return base
    df, rates = q.df.copy(), q.rates.copy()
    tables = tuple(t.copy() for t in q.tables)
    for held in (df, rates, *tables):
        held[i] = share @ held[[i, j]]
        held[j] = held[c]
    return _tilted(replace(q, **gaussian_fields(base), df=df, rates=rates, tables=tables), c, j)


def crossed(family: MixtureFamily, a: Any, b: Any, rng: np.random.Generator) -> Any:
    """Returns components of a on one side of a plane, and those of b on the other: as many as each has."""
    k, d = a.means.shape
    direction = family.metric.T @ rng.normal(size=d) if d else np.zeros(0)
    first = int(rng.integers(1, k))
    at = np.argsort(a.means @ direction)[:first]
    rest = np.argsort(b.means @ direction)[first:]
    return _joint(family, a, at, b, rest)


def shuffled(family: MixtureFamily, a: Any, b: Any, rng: np.random.Generator) -> Any:
    """Returns components of a or of b, of each pair that are alike one."""
    k = len(a.weights)
    one, other = optimize.linear_sum_assignment(_apart(reals_of(a), reals_of(b)))
    from_a = rng.random(k) < 0.5
    return _joint(family, a, one[from_a], b, other[~from_a])


def _apart(a: Components, b: Components) -> Float[np.ndarray, "k k"]:
    """How far components of two mixtures are apart: the distance of Bhattacharyya."""
    covariances = 0.5 * (a.covariances[:, None] + b.covariances[None])
    moved = a.means[:, None] - b.means[None]
    distance = np.einsum(
        "kld,kld->kl", moved, np.linalg.solve(covariances, moved[..., None])[..., 0]
    )
    volume = 0.5 * np.linalg.slogdet(covariances)[1] - 0.5 * (a.log_dets[:, None] + b.log_dets)
    return 0.125 * distance + volume


def replaced(family: MixtureFamily, rows: ScaledRows, q: Any, rng: np.random.Generator) -> Any:
    """Returns components of which a random one is put on rows that are close to a random row."""
    x, weights = rows.whole()
    k, d = q.means.shape
    columns = family.model.columns
    reals = x if columns is None else np.nan_to_num(x[columns.example.reals])
    z = family.metric @ reals
    marks = np.cumsum(weights)
    at = min(int(np.searchsorted(marks, rng.random() * marks[-1])), len(weights) - 1)
    distance = np.sum((z - z[:, [at]]) ** 2, axis=0)
    # As many rows as a covariance needs at least, and as a component has on average at most.
    near = int(np.exp(rng.uniform(np.log(d + 1.0), np.log(max(len(weights) / k, d + 2.0)))))
    near = min(near, len(weights) - 1)
    most = np.partition(distance, near)[near]
    share = (distance <= most) * weights
    means, roots, sizes = q.means.copy(), q.roots.copy(), q.weights.copy()
    c, total = int(rng.integers(k)), share.sum()
    means[c] = reals @ share / total
    moved = reals - means[c][:, None]
    spread = (moved * share) @ moved.T / total + _ROUND * np.diag(reals.var(axis=1))
    roots[c] = _root(family, spread)
    sizes[c] = total / marks[-1]
    return replace(q, weights=sizes / sizes.sum(), means=means, roots=roots)


def _joint(family: MixtureFamily, a: Any, at: Array, b: Any, rest: Array) -> Any:
    """Some components of a, and some of b."""

    def joint(one: Array, other: Array) -> Array:
        return np.concatenate([one[at], other[rest]])

    weights = joint(a.weights, b.weights)
    base = Components(weights / weights.sum(), joint(a.means, b.means), joint(a.roots, b.roots))
    if family.model.columns is None:
        return base
    tables = tuple(joint(one, other) for one, other in zip(a.tables, b.tables, strict=True))
    df, rates = joint(a.df, b.df), joint(a.rates, b.rates)
    return replace(a, **gaussian_fields(base), df=df, rates=rates, tables=tables)


def split(family: MixtureFamily, q: Any, c: int) -> Any:
    """Returns one component more, of which c has been halved."""
    k = len(q.weights)
    index = [*range(k), c]
    weights, means, roots = q.weights[index], q.means[index], q.roots[index]
    weights[[c, k]] *= 0.5
    if family.structure.d:
        means[c], means[k], roots[[c, k]] = _halves(family, q.means[c], q.roots[c])
    base = Components(weights, means, roots)
    if family.model.columns is None:
        return base
    tables = tuple(t[index] for t in q.tables)
    made = replace(q, **gaussian_fields(base), df=q.df[index], rates=q.rates[index], tables=tables)
    return _tilted(made, c, k)


def _halves(
    family: MixtureFamily, mean: Array, root: Array, axis: int = 0
) -> tuple[Array, Array, Array]:
    covariance = root @ root.T
    values, vectors = np.linalg.eigh(covariance)
    step = _APART * np.sqrt(values[-1 - axis]) * vectors[:, -1 - axis]
    return mean - step, mean + step, _root(family, covariance - np.outer(step, step))


def _root(family: MixtureFamily, covariance: Float[np.ndarray, "d d"]) -> Float[np.ndarray, "d d"]:
    if family.structure.by_square:
        return np.diag(np.sqrt(np.diag(covariance)))
    return np.linalg.cholesky(covariance)


def _misfit(
    q: Components, k: int, x: Float[np.ndarray, "d n"], weights: Float[np.ndarray, " n"]
) -> float:
    """How far the fourth moment of a component's rows is from a Gaussian's (Mardia's kurtosis)."""
    z = np.linalg.solve(q.roots[k], x - q.means[k][:, None])
    distance = np.einsum("dn,dn->n", z, z)
    d = len(x)
    mean = float(weights @ distance**2) / max(float(weights.sum()), 1e-300)
    return abs(mean / (d * (d + 2.0)) - 1.0) * float(weights.sum())


def _tilted(q: TableMixture, a: int, b: int) -> TableMixture:
    """Returns components of which a and b, halves of one, differ in counts and categories too."""
    rates = q.rates.copy()
    rates[a] *= _APART_IN_TABLES
    rates[b] /= _APART_IN_TABLES
    tables = tuple(t.copy() for t in q.tables)
    for table in tables:
        table[a], table[b] = table[a] ** _APART_IN_TABLES, table[b] ** (1.0 / _APART_IN_TABLES)
    summing = tuple(t / t.sum(axis=1, keepdims=True) for t in tables)
    return replace(q, rates=rates, tables=summing)
