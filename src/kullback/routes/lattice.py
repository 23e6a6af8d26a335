"""Columns of whole numbers under a mixture of Gaussians, whose density would be a spike at each of them."""

import math
from dataclasses import replace

import numpy as np

from kullback.core.errors import InputError
from kullback.distributions.base import Distribution
from kullback.distributions.gaussian_mixture import GaussianMixture, components_of
from kullback.tables.kinds import is_lattice
from kullback.targets import Samples, Stream

SPIKE = (
    "not to be used: a component is narrower than the step of the whole numbers in column {0}, so its density "
    'there is a spike; ask for fewer components, or say kinds={{"{0}": "category"}} or "count"'
)
#: A Gaussian of this sd, in steps of whole numbers, has the density 1 at its mean: no number has more mass.
_NARROWEST = 1.0 / math.sqrt(2.0 * math.pi)


def ratings_as_categories(p: Samples | Stream) -> tuple[Samples | Stream, tuple[str, ...]]:
    """Returns rows whose columns of few whole numbers are categories, and what is said of them.

    The density of a mixture of Gaussians at such numbers grows without bound as components shrink onto them.

    Raises:
        InputError: there is no other column.
    """
    if isinstance(p, Stream):
        return p, ()
    ratings = [
        name for i, name in enumerate(p.columns)
        if p.kinds[i] == "integer" and is_lattice(p.written_out.values[:, i])
    ]  # fmt: skip
    if not ratings:
        return p, ()
    if len(ratings) == len(p.columns):
        _refuse_all(p)
    named = ", ".join(ratings)
    kinds = {
        name: "category" if name in ratings else kind
        for name, kind in zip(p.columns, p.kinds, strict=True)
    }
    made = replace(p, kinds=kinds)
    said = (
        f"{named}: a few whole numbers, each of them often, so they are fitted as categories; for a continuous "
        'scale, say kinds={...: "continuous"}'
    )
    return made, (said,)


def _refuse_all(p: Samples) -> None:
    named, first = ", ".join(p.columns), p.columns[0]
    if len(p.columns) == 1:
        what = f"column {named} holds a few whole numbers"
        instead = 'choose family="categorical" for the share of each, or "poisson"'
    else:
        rank = np.linalg.matrix_rank(np.nan_to_num(p.values - np.nanmean(p.values, axis=0)))
        tied = "determine each other exactly and " if rank < len(p.columns) else ""
        what = f"columns {named} {tied}hold a few whole numbers"
        kinds = ", ".join(f'"{name}": "category"' for name in p.columns)
        instead = f"for classes of rows that go together, say kinds={{{kinds}}}"
    raise InputError(
        f"{what}, each of them often, and a mixture of Gaussians would be spikes at them: {instead}; for a scale "
        f'that is continuous all the same, say kinds={{"{first}": "continuous"}}'
    )


def narrow(p: Samples | Stream, q: Distribution) -> tuple[str, ...]:
    """Returns the columns of whole numbers in which a component of a mixture is narrower than their step."""
    whole = [i for i, kind in enumerate(p.kinds) if kind == "integer"]
    if not whole:
        return ()
    mixture = components_of(q)
    if isinstance(mixture, GaussianMixture):
        spread, reals = (
            np.sqrt(np.diagonal(mixture.covariances, axis1=1, axis2=2)),
            range(len(p.columns)),
        )
    else:
        spread, reals = np.sqrt(np.sum(mixture.roots**2, axis=2)), mixture.reals.tolist()
    least = dict(zip(reals, spread.min(axis=0), strict=True))
    return tuple(p.columns[i] for i in whole if i in least and least[i] < _NARROWEST * _step(p, i))


def _step(p: Samples | Stream, i: int) -> float:
    """Returns the smallest distance of two values of a column of whole numbers."""
    if isinstance(p, Stream):
        return 1.0
    distances = np.diff(np.unique(p.values[~np.isnan(p.values[:, i]), i]))
    return float(distances.min()) if len(distances) else 1.0
