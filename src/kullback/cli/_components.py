"""The components of a fitted distribution, as a table."""

import math
from dataclasses import dataclass
from typing import final

from kullback.distributions._base import Distribution
from kullback.distributions._compound import Mixture
from kullback.distributions._gaussian_mixture import GaussianMixture
from kullback.distributions._real import Normal
from kullback.distributions._vector import MultivariateNormal


@final
@dataclass(frozen=True)
class Component:
    """A Gaussian of a mixture: its weight, and a mean and a standard deviation a column."""

    weight: float
    means: tuple[float, ...]
    sds: tuple[float, ...]


def components(d: Distribution) -> list[Component]:
    """Returns the Gaussians that a distribution is made of; none if it is made of others."""
    match d:
        case Normal():
            return [_of(1.0, d)]
        case MultivariateNormal():
            return [_of(1.0, d)]
        case Mixture() if all(isinstance(c, Normal) for c in d.components):
            return [_of(float(w), c) for w, c in zip(d.weights, d.components, strict=True)]
        case GaussianMixture():
            parts = zip(d.weights, d.means, d.scale_trils, strict=True)
            return [_of(float(w), MultivariateNormal(m, root)) for w, m, root in parts]
        case _:
            return []


def _of(weight: float, d: object) -> Component:
    if isinstance(d, Normal):
        return Component(weight, (float(d.loc),), (float(d.scale),))
    assert isinstance(d, MultivariateNormal)
    sds = tuple(math.hypot(*(float(v) for v in row)) for row in d.scale_tril)
    return Component(weight, tuple(float(m) for m in d.loc), sds)
