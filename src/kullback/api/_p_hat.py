"""p-hat: the mixture of Gaussians that stands for a p which is known by samples only."""

import math

import numpy as np
from jaxtyping import Float

from kullback._core import randomness
from kullback.distributions._gaussian_mixture import GaussianMixture
from kullback.fitting._climb import Climb, climb
from kullback.fitting._mixture_family import MixtureFamily, family_of, with_components
from kullback.fitting._portfolio import search
from kullback.fitting._rows import Rows, distinct, rows_of
from kullback.fitting._structures import Components, Structure
from kullback.targets import Samples

#: Components of p-hat at most, starts for each number of them, and rows that these look at.
_MOST, _STARTS, _ROWS = 12, 2, 4000
#: Nats over all rows that are left to gain: what AIC compares, and refits to halves.
_TOLERANCE, _REFIT = 0.01, 0.1
_REFIT_PASSES = 100
#: Components of one fewer that are halved, as starts; numbers of components without gain before the end.
_HALVED, _PATIENCE = 2, 2


def fit_p_hat(p: Samples, key: object) -> GaussianMixture:
    """Returns the mixture of Gaussians of maximum likelihood, as many as AIC asks for.

    AIC (Akaike 1974) and not BIC: a component too many costs reverse KL little, but one too few fills the
    gap between parts of p, and q then prefers to lie across it.

    Args:
        p: draws, perhaps with weights.
        key: randomness.
    """
    rows, structure = _rows(p)
    few = distinct(rows.sample(_ROWS, randomness.named(key, "p-hat rows")))
    family = family_of(structure, few, 1)
    best, lowest, last, worse = None, math.inf, None, 0
    for k in range(1, min(_MOST, max(rows.n // (structure.d + 2), 1)) + 1):
        here = with_components(family, k)
        last = _trial(here, rows, few, k, last, randomness.named(key, "p-hat", k))
        criterion = 2.0 * here.parameters(k) - 2.0 * last.sums.log_likelihood
        worse = 0 if criterion < lowest else worse + 1
        if criterion < lowest:
            best, lowest = (here, last), criterion
        if worse == _PATIENCE:
            break
    assert best is not None
    return _unscaled(_without_prior(*best, rows, _TOLERANCE), rows)


def refit(p: Samples, p_hat: GaussianMixture) -> GaussianMixture:
    """Returns the mixture that maximum likelihood leads to from p-hat."""
    rows, structure = _rows(p)
    begun = Components(
        p_hat.weights,
        (p_hat.means - rows.center) / rows.scale,
        p_hat.scale_trils / rows.scale[:, None],
    )
    family = family_of(structure, rows, len(begun.weights))
    end = climb(family.model, rows, begun, tolerance=_REFIT, passes=_REFIT_PASSES)
    return _unscaled(_without_prior(family, end, rows, _REFIT), rows)


def _rows(p: Samples) -> tuple[Rows, Structure]:
    """Rows with weights that sum to the number of rows they are worth (Kish 1965), and what is fitted."""
    weights = np.ones(len(p.values)) if p.weights is None else p.weights
    worth = weights.sum() ** 2 / float(weights @ weights)
    values = np.column_stack([_unrounded(column, i) for i, column in enumerate(p.values.T)])
    scaled = Samples(values, weights * (worth / weights.sum()), columns=p.columns)
    return distinct(rows_of(scaled)), Structure("full", p.values.shape[1])


def _unrounded(column: Float[np.ndarray, " n"], index: int) -> Float[np.ndarray, " n"]:
    """Rounded values, spread over what they may have been: p has a density, with no spike at each of them."""
    distinct_values = np.unique(column)
    if len(distinct_values) in (1, len(column)):
        return column
    step = float(np.median(np.diff(distinct_values)))
    return column + step * (np.random.default_rng(index).random(len(column)) - 0.5)


def _trial(
    family: MixtureFamily, rows: Rows, few: Rows, k: int, before: Climb | None,
    rng: np.random.Generator,
) -> Climb:  # fmt: skip
    """The best of some starts with k components, on all rows, under the weak prior."""
    seeds: tuple[Components, ...] = ()
    if before is not None:
        heaviest = np.argsort(before.at.weights)[::-1][:_HALVED]
        seeds = tuple(family.split(before.at, int(i)) for i in heaviest)
    found = search(family, few, k, starts=_STARTS, rng=rng, watch=_unwatched, seeds=seeds)
    if found.interrupted:
        raise KeyboardInterrupt
    return _done(climb(family.model, rows, found.ends[0].at, tolerance=_TOLERANCE))


def _without_prior(family: MixtureFamily, end: Climb, rows: Rows, tolerance: float) -> Components:
    """The maximum of the likelihood itself, but where it has a component shrink to a point."""
    free = _done(climb(family.final, rows, end.at, tolerance=tolerance, passes=_REFIT_PASSES)).at
    return end.at if family.floored(free, rows) else free


def _done(end: Climb) -> Climb:
    if end.interrupted:
        raise KeyboardInterrupt
    return end


def _unscaled(q: Components, rows: Rows) -> GaussianMixture:
    return GaussianMixture(
        q.weights, rows.center + rows.scale * q.means, rows.scale[:, None] * q.roots
    )


def _unwatched(words: str) -> None:
    del words
