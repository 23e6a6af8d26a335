"""Weights and distributions to one distribution."""

import math

import numpy as np

from kullback.distributions._base import Distribution
from kullback.distributions._compound import Mixture
from kullback.distributions._gaussian_mixture import GaussianMixture
from kullback.distributions._vector import Categorical, MultivariateNormal

Terms = list[tuple[float, Distribution]]


def mix(terms: Terms) -> Distribution:
    """Returns sum_k weight_k distribution_k.

    Mixtures of mixtures are made flat, components without weight dropped, and Gaussian vectors
    become a GaussianMixture, tables of equal length a table.

    Raises:
        InputError: the distributions are of different dimensions or kinds.
    """
    flat = [term for weight, d in terms for term in _flat(weight, d) if term[0] > 0.0]
    total = math.fsum(w for w, _ in flat)
    weights = np.array([w / total for w, _ in flat])
    parts = [d for _, d in flat]
    if len(parts) == 1:
        return parts[0]
    gaussians = [d for d in parts if isinstance(d, MultivariateNormal)]
    same_size = len({d.support.dimension for d in parts}) == 1
    if len(gaussians) == len(parts) and same_size:
        means = np.stack([g.loc for g in gaussians])
        return GaussianMixture(weights, means, np.stack([g.scale_tril for g in gaussians]))
    tables = [d for d in parts if isinstance(d, Categorical)]
    if len(tables) == len(parts) and len({len(d.probabilities) for d in tables}) == 1:
        return Categorical.from_probabilities(weights @ np.stack([d.probabilities for d in tables]))
    return Mixture(weights, tuple(parts))


def _flat(weight: float, d: Distribution) -> Terms:
    if isinstance(d, Mixture):
        pairs = zip(d.weights, d.components, strict=True)
        return [term for w, c in pairs for term in _flat(weight * float(w), c)]
    if isinstance(d, GaussianMixture):
        parts = zip(d.weights, d.means, d.scale_trils, strict=True)
        return [(weight * float(w), MultivariateNormal(m, s)) for w, m, s in parts]
    return [(weight, d)]
