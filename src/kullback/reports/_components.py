"""Distributions in words and, where they are Gaussians or mixtures of them, in numbers."""

from dataclasses import dataclass, fields, is_dataclass
from fractions import Fraction
from typing import final

import numpy as np
from jaxtyping import Float

from kullback.distributions._base import Distribution
from kullback.distributions._compound import Mixture
from kullback.distributions._gaussian_mixture import GaussianMixture
from kullback.distributions._real import Normal
from kullback.distributions._vector import MultivariateNormal
from kullback.reports._numbers import number

#: Longer descriptions would not be read.
_LONGEST = 160


@final
@dataclass(frozen=True, eq=False)
class Components:
    """Weights, means and covariances of a mixture of Gaussians, by the first mean."""

    weights: Float[np.ndarray, " k"]
    means: Float[np.ndarray, "k d"]
    covariances: Float[np.ndarray, "k d d"]

    @property
    def sds(self) -> Float[np.ndarray, "k d"]:
        return np.sqrt(np.diagonal(self.covariances, axis1=1, axis2=2))


def components(d: Distribution) -> Components | None:
    """Returns the Gaussian components of a distribution; None if it has none."""
    match d:
        case Normal(loc, scale):
            parts = ([1.0], [[float(loc)]], [[[float(scale) ** 2]]])
        case MultivariateNormal():
            parts = ([1.0], d.loc[None], d.covariance[None])
        case GaussianMixture():
            parts = (d.weights, d.means, d.covariances)
        case Mixture() if all(isinstance(c, Normal | MultivariateNormal) for c in d.components):
            inner = [components(c) for c in d.components]
            known = [c for c in inner if c is not None]
            parts = (
                d.weights,
                np.concatenate([c.means for c in known]),
                np.concatenate([c.covariances for c in known]),
            )
        case _:
            return None
    weights, means, covariances = (np.asarray(a, dtype=np.float64) for a in parts)
    order = np.argsort(means[:, 0], kind="stable")
    return Components(weights[order], means[order], covariances[order])


def describe(d: Distribution) -> str:
    """Returns a distribution in words.

    Example:
        >>> describe(Normal(0.0, 2.0))
        'N(0, sd 2)'
    """
    found = components(d)
    if found is None:
        text = _fields(d)
    else:
        means = [", ".join(number(v, 4) for v in m) for m in found.means]
        sds = [", ".join(number(v, 4) for v in s) for s in found.sds]
        terms = [f"N({m}, sd {s})" for m, s in zip(means, sds, strict=True)]
        if found.means.shape[1] > 1:
            terms = [f"N([{m}], sds [{s}])" for m, s in zip(means, sds, strict=True)]
        weights = [number(float(w), 4) for w in found.weights]
        mixed = [f"{w} · {t}" for w, t in zip(weights, terms, strict=True)]
        text = terms[0] if len(terms) == 1 else " + ".join(mixed)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _fields(d: Distribution) -> str:
    if not is_dataclass(d):
        return str(d)
    written = [(f.name, getattr(d, f.name)) for f in fields(d)]
    return f"{type(d).__name__}({', '.join(f'{n}={_short(v)}' for n, v in written)})"


def _short(value: object) -> str:
    if isinstance(value, float | Fraction):
        return number(float(value), 4)
    if isinstance(value, np.ndarray):
        return np.array2string(value, precision=4, separator=", ", threshold=8)
    return describe(value) if isinstance(value, Distribution) else str(value)
