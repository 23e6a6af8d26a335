"""EM from many starts at once: for few rows a pass costs what its calls cost, so starts share them."""

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from kullback.fitting._climb import DRAWN, Climb, extrapolated
from kullback.fitting._gaussian_model import GaussianModel, Sums
from kullback.fitting._rows import Rows
from kullback.fitting._structures import Components


def climb_together(
    model: GaussianModel, rows: Rows, starts: Sequence[Components], passes: int
) -> list[Climb]:
    """Returns where so many passes of EM from each start lead.

    Args:
        model: the family.
        rows: what is fitted to.
        starts: mixtures of as many components each.
        passes: how many of them, at least one; when interrupted, fewer.

    Raises:
        KeyboardInterrupt: in the first pass.
    """
    q = _stacked(starts)
    groups = len(starts)
    trail: list[tuple[Components, np.ndarray]] = []
    interrupted = False
    table = values = np.zeros(0)
    try:
        for count in range(passes):
            table, likelihoods = _expect(model, rows, q, groups)
            values = likelihoods + model.prior.log_densities(q).reshape(groups, -1).sum(axis=1)
            trail.append((q, values))
            if count < passes - 1:
                q = _maximize(model, table, groups)
    except KeyboardInterrupt:
        if not trail:
            raise
        interrupted = True
    at = trail[-1][0]
    return [
        _climb(g, groups, at, trail, Sums(float(likelihoods[g]), table), interrupted=interrupted)
        for g in range(groups)
    ]


def _expect(
    model: GaussianModel, rows: Rows, q: Components, groups: int
) -> tuple[Float[np.ndarray, "s f"], Float[np.ndarray, " g"]]:
    """The sums of a pass for all components, and the log likelihood of each mixture."""
    likelihoods = np.zeros(groups)
    sums = model.summed(rows, q, likelihoods)
    return sums, likelihoods


def _maximize(model: GaussianModel, sums: Float[np.ndarray, "s f"], groups: int) -> Components:
    if model.structure.name != "tied":
        q = model.maximize(Sums(math.nan, sums))
        held = q.weights.reshape(groups, -1)
        return Components((held / held.sum(axis=1, keepdims=True)).ravel(), q.means, q.roots)
    return _stacked([model.maximize(Sums(math.nan, part)) for part in np.split(sums, groups)])


def _stacked(mixtures: Sequence[Components]) -> Components:
    return Components(
        np.concatenate([q.weights for q in mixtures]),
        np.concatenate([q.means for q in mixtures]),
        np.concatenate([q.roots for q in mixtures]),
    )


def _climb(
    g: int,
    groups: int,
    at: Components,
    trail: list[tuple[Components, np.ndarray]],
    sums: Sums,
    *,
    interrupted: bool,
) -> Climb:
    """What one of the mixtures went through."""
    own = slice(g * len(at.weights) // groups, (g + 1) * len(at.weights) // groups)
    path = [Components(q.weights[own], q.means[own], q.roots[own]) for q, _ in trail]
    trace = [float(values[g]) for _, values in trail]
    gains = list(np.diff(trace))
    return Climb(
        path[-1],
        Sums(sums.log_likelihood, sums.values[own]),
        trace[-1],
        extrapolated(gains, 1e-15 * abs(trace[-1])),
        len(trace),
        tuple(trace),
        tuple(path) if path[-1].roots.size <= DRAWN else (),
        interrupted,
    )
