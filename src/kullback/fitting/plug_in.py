"""Reverse KL to a stand-in for p: mixtures of Gaussians closest to the mixture that samples were fitted by.

KL(q||p-hat) has no formula, but its draws, log densities and gradients cost little, so that the natural
gradient ascends it on many fixed Sobol draws, from many starts: the Gaussians of p-hat itself, p-hat's
own moments, and moments of random groups of its components. Moments alone are the basin of a local
optimum as soon as p has two parts.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float

from kullback.core.run import named
from kullback.fitting.components import Chart, Components
from kullback.fitting.covariances import Structure
from kullback.fitting.em_climb import Climb, climb
from kullback.fitting.em_search import search
from kullback.fitting.mixture_family import MixtureFamily, family_of, with_components
from kullback.fitting.multistart import gather
from kullback.fitting.natural_gradient import Ascent, ascend
from kullback.fitting.offspring import split
from kullback.fitting.rows import ScaledRows, distinct, rows_of
from kullback.solvers.minimise import Minimum
from kullback.solvers.modes import CountedDensity, whitened
from kullback.targets import Samples

Array = np.ndarray
#: The prior of p-hat, whose components are counted by Akaike's criterion: under a weaker one few rows of one
#: Gaussian are best told as nine.
_PULL = {"force": 1.0, "share": 0.003}
#: Draws of a component of q: of the search, and of the last ascents.
_FEW, _MANY = 512, 8192
#: Optima that are ascended again on many draws.
_KEPT = 8


@final
@dataclass(frozen=True, eq=False)
class Closest:
    """The optima of KL(q||p-hat), best first.

    Attributes:
        ends: q and the share of the starts that led there.
        path: q along the best ascent, first and last.
        starts: ascents made.
        evaluations: of p-hat's gradient, over all ascents.
        interrupted: whether it was stopped before all starts were made.
    """

    ends: list[tuple[Components, float]]
    path: tuple[Components, ...]
    starts: int
    evaluations: int
    interrupted: bool = False


def closest(
    p_hat: Components,
    chart: Chart,
    *,
    starts: int,
    rng: np.random.Generator,
    watch: Callable[[int], None],
) -> Closest:
    """Returns the members of a family that are local optima of KL(q||p-hat).

    Args:
        p_hat: the stand-in for p.
        chart: of q.
        starts: ascents; the Gaussians of p-hat and its moments come first.
        rng: randomness of the draws and of the starts.
        watch: told of each ascent.
    """
    density = CountedDensity(p_hat.log_prob_and_score, chart.d)
    few, many = whitened(chart.d, _FEW, rng), whitened(chart.d, _MANY, rng)
    found: list[Minimum] = []
    interrupted = False
    try:
        for start in _starts(p_hat, chart, starts, rng):
            found.append(_minimum(chart, start, ascend(density, start, few, watch=_unwatched)))
            watch(len(found))
    except KeyboardInterrupt:
        if not found:
            raise
        interrupted = True
    basins = gather(found, lambda m: features(chart.unpack(m.at)), within=0.2, close=0.02)
    ends: list[Minimum] = []
    for basin in basins[:_KEPT]:
        begun = chart.unpack(basin.best.at).within(diagonal=chart.diagonal)
        end = _minimum(chart, begun, ascend(density, begun, many, watch=_unwatched))
        # As often as starts led there: what few draws hold apart, many may not.
        ends += [end] * basin.count
    best = gather(ends, lambda m: features(chart.unpack(m.at)), within=0.05, close=1e-3)
    return Closest(
        [(chart.unpack(b.best.at), b.count / len(found)) for b in best],
        tuple(chart.unpack(v) for v in best[0].best.path),
        len(found),
        density.count,
        interrupted,
    )


def closest_from(
    p_hat: Components, q: Components, *, diagonal: bool, rng: np.random.Generator
) -> Components:
    """Returns the local optimum of KL(q||p-hat) that an ascent from q ends at."""
    d = q.means.shape[1]
    begun = q.within(diagonal=diagonal)
    end = ascend(
        CountedDensity(p_hat.log_prob_and_score, d),
        begun,
        whitened(d, _MANY, rng),
        watch=_unwatched,
    )
    return end.q.lower()


def mean_log_ratio(
    q: Components, top: Components, bottom: Components, rng: np.random.Generator
) -> float:
    """Returns the mean under q of log top - log bottom, on Sobol draws of q."""
    x = q.place(whitened(q.means.shape[1], _MANY, rng))
    ratios = [np.mean(top.log_prob(y) - bottom.log_prob(y)) for y in x]
    return float(q.weights @ ratios)


def features(mixture: Components) -> Float[np.ndarray, " f"]:
    """Returns what two ascents into one optimum share, in units of the mixture's own spread."""
    ordered = mixture.means[np.lexsort(np.round(mixture.means, 3).T[::-1])]
    return (ordered / np.sqrt(np.diag(mixture.moments[1]))).ravel()


def _unwatched(count: int, value: float) -> None:
    del count, value


def _minimum(chart: Chart, start: Components, end: Ascent) -> Minimum:
    at, begun = (chart.pack(q.lower()) for q in (end.q, start))
    return Minimum(-end.slope.elbo, at, (begun, at), len(end.trace))


def _starts(p: Components, chart: Chart, n: int, rng: np.random.Generator) -> Iterator[Components]:
    """Yields, for one Gaussian, p's moments and its Components, then moments of random groups."""
    k, order = len(p.weights), np.argsort(p.weights)[::-1]
    groups: list[Array] = []
    if chart.k == 1:
        groups.append(p.weights[None])
        groups += [np.eye(k)[j][None] for j in order[: max(n // 2, 1)]]
    for i in range(n):
        picked = groups[i] if i < len(groups) else _random_groups(p, chart.k, rng)
        yield _of_groups(p, picked, diagonal=chart.diagonal)


def _random_groups(p: Components, k: int, rng: np.random.Generator) -> Float[np.ndarray, "k c"]:
    """The share of each of p's components in each of k groups around random components."""
    scale = np.sqrt(np.diag(p.moments[1]))
    at = (p.means + 1e-3 * scale * rng.standard_normal(p.means.shape)) / scale
    seeds = rng.choice(len(p.weights), k, p=p.weights, replace=k > len(p.weights))
    reach = np.exp(rng.uniform(np.log(0.1), np.log(3.0))) * np.sqrt(p.means.shape[1])
    apart = np.linalg.norm(at[None] - at[seeds][:, None], axis=2) / reach
    return p.weights * np.exp(-0.5 * apart**2) + 1e-12


def _of_groups(p: Components, shares: Float[np.ndarray, "k c"], *, diagonal: bool) -> Components:
    """The mixture of the moments of groups of p's components."""
    means, roots = [], []
    for share in shares:
        mean, covariance = Components(share / share.sum(), p.means, p.roots).moments
        means.append(mean)
        roots.append(np.sqrt(np.diag(covariance)) if diagonal else np.linalg.cholesky(covariance))
    weights = shares.sum(axis=1) / shares.sum()
    return Components(weights, np.array(means), np.array(roots))


# p-hat: the mixture of Gaussians that stands for a p which is known by samples only.

#: Components of p-hat at most, starts for each number of them, and rows that these look at.
_MOST, _STARTS, _ROWS = 12, 2, 4000
#: Nats over all rows that are left to gain: what AIC compares, and refits to halves.
_TOLERANCE, _REFIT = 0.01, 0.1
_REFIT_PASSES = 100
#: Components of one fewer that are halved, as starts; numbers of components without gain before the end.
_HALVED, _PATIENCE = 2, 2


def fit_p_hat(p: Samples, key: object) -> Components:
    """Returns the mixture of Gaussians of maximum likelihood, as many as AIC asks for.

    AIC (Akaike 1974) and not BIC: a component too many costs reverse KL little, but one too few fills the
    gap between parts of p, and q then prefers to lie across it.

    Args:
        p: draws, perhaps with weights.
        key: randomness.
    """
    rows, structure = _rows(p)
    few = distinct(rows.sample(_ROWS, named(key, "p-hat rows")))
    family = family_of(structure, few, 1)
    best, lowest, last, worse = None, math.inf, None, 0
    for k in range(1, min(_MOST, max(rows.n // (structure.d + 2), 1)) + 1):
        here = with_components(family, k, **_PULL)
        last = _trial(here, rows, few, k, last, named(key, "p-hat", k))
        criterion = 2.0 * here.parameters(k) - 2.0 * last.sums.log_likelihood
        worse = 0 if criterion < lowest else worse + 1
        if criterion < lowest:
            best, lowest = (here, last), criterion
        if worse == _PATIENCE:
            break
    assert best is not None
    return _unscaled(_without_prior(*best, rows, _TOLERANCE), rows)


def refit(p: Samples, p_hat: Components) -> Components:
    """Returns the mixture that maximum likelihood leads to from p-hat."""
    rows, structure = _rows(p)
    means = (p_hat.means - rows.center) / rows.scale
    begun = Components(p_hat.weights, means, p_hat.roots / rows.scale[:, None])
    family = with_components(family_of(structure, rows, 1), len(begun.weights), **_PULL)
    end = _done(climb(family.model, rows, begun, tolerance=_REFIT, passes=_REFIT_PASSES))
    return _unscaled(_without_prior(family, end, rows, _REFIT), rows)


def _rows(p: Samples) -> tuple[ScaledRows, Structure]:
    """Rows with weights that sum to the number of rows they are worth, and what is fitted."""
    values = np.column_stack([_unrounded(column, i) for i, column in enumerate(p.values.T)])
    unrounded = Samples(
        values,
        p.weights,
        frequencies=p.frequencies,
        cluster=p.cluster,
        order=p.order,
        columns=p.columns,
    )
    return distinct(rows_of(unrounded)), Structure("full", p.values.shape[1])


def _unrounded(column: Float[np.ndarray, " n"], index: int) -> Float[np.ndarray, " n"]:
    """Rounded values, spread over what they may have been: p has a density, with no spike at each of them."""
    distinct_values = np.unique(column)
    if len(distinct_values) in (1, len(column)):
        return column
    step = float(np.median(np.diff(distinct_values)))
    return column + step * (np.random.default_rng(index).random(len(column)) - 0.5)


def _trial(
    family: MixtureFamily, rows: ScaledRows, few: ScaledRows, k: int, before: Climb | None,
    rng: np.random.Generator,
) -> Climb:  # fmt: skip
    """The best of some starts with k components, on all rows, under the weak prior."""
    seeds: tuple[Components, ...] = ()
    if before is not None:
        seeds = tuple(split(family, before.at, i) for i in before.at.heaviest(_HALVED))
    how = {"starts": _STARTS, "rng": rng, "watch": _p_hat_unwatched, "seeds": seeds}
    found = search(family, few, k, offspring="some", **how)
    if found.interrupted:
        raise KeyboardInterrupt
    return _done(climb(family.model, rows, found.ends[0].at, tolerance=_TOLERANCE))


def _without_prior(
    family: MixtureFamily, end: Climb, rows: ScaledRows, tolerance: float
) -> Components:
    """The maximum of the likelihood itself, but where it has a component shrink to a point."""
    free = _done(climb(family.final, rows, end.at, tolerance=tolerance, passes=_REFIT_PASSES))
    return end.at if family.spikes(free.sums) else free.at


def _done(end: Climb) -> Climb:
    if end.interrupted:
        raise KeyboardInterrupt
    return end


def _unscaled(q: Components, rows: ScaledRows) -> Components:
    return q.moved(rows.center, np.diag(rows.scale))


def _p_hat_unwatched(words: str) -> None:
    del words
