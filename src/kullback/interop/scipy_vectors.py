"""SciPy's distributions of vectors and matrices, and its kernel density estimate."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from scipy import linalg

from kullback.core.errors import InputError, UnsupportedError
from kullback.distributions.base import Array, Distribution, Foreign, Support
from kullback.distributions.gaussian_mixture import GaussianMixture
from kullback.distributions.real import Normal
from kullback.distributions.student import MultivariateT
from kullback.distributions.vector import (
    Directional,
    Dirichlet,
    Multinomial,
    MultivariateNormal,
    Wishart,
)
from kullback.interop.counts import compositions
from kullback.interop.maps import categorical, cholesky, mixture, probabilities

#: A kernel density estimate on the line of more points is called, not taken apart.
_KERNELS = 64


def read(frozen: Any) -> Distribution:
    """Returns a frozen multivariate distribution as one of ours."""
    reader = _READERS.get(type(frozen).__name__)
    if reader is None:
        raise UnsupportedError(
            f"{_name(frozen)} can be drawn from only: its density is not known here"
        )
    return reader(frozen)


def kernel_density(estimate: Any) -> Distribution:
    """Returns a gaussian_kde as the mixture of Gaussians that it is."""
    weights = np.asarray(estimate.weights, dtype=np.float64)
    centers = np.asarray(estimate.dataset, dtype=np.float64).T
    root = cholesky(
        np.asarray(estimate.covariance, dtype=np.float64), "gaussian_kde: the covariance"
    )
    if centers.shape[1] > 1:
        roots = np.broadcast_to(root, (len(centers), *root.shape))
        return GaussianMixture(probabilities(weights, "gaussian_kde"), centers, np.array(roots))
    scale = float(root[0, 0])
    if len(centers) <= _KERNELS:
        return mixture(weights, [Normal(float(c[0]), scale) for c in centers])
    marks = np.quantile(centers[:, 0], np.linspace(0.0, 1.0, 65))
    steps = scale * np.array([-8.0, -4.0, -2.0, 0.0, 2.0, 4.0, 8.0])
    ends = [m + steps for m in (marks[0], marks[-1])]
    return Foreign(
        "scipy.stats.gaussian_kde",
        Support("interval"),
        estimate.logpdf,
        sampler=lambda rng, n: estimate.resample(n, seed=rng)[0],
        hints=tuple(float(v) for v in np.concatenate([marks, *ends])),
    )


def _numbers(value: Any) -> Array:
    return np.asarray(value, dtype=np.float64)


def _matrix_normal(frozen: Any) -> Distribution:
    """An event is the matrix row after row, with the Kronecker product as covariance."""
    covariance = np.kron(_numbers(frozen.rowcov), _numbers(frozen.colcov))
    return MultivariateNormal.from_covariance(_numbers(frozen.mean).ravel(), covariance)


def _student(frozen: Any) -> Distribution:
    if math.isinf(float(frozen.df)):
        return MultivariateNormal.from_covariance(_numbers(frozen.loc), _numbers(frozen.shape))
    shape = cholesky(np.atleast_2d(_numbers(frozen.shape)), "multivariate_t: the shape")
    return MultivariateT(float(frozen.df), _numbers(frozen.loc), shape)


def _wishart(frozen: Any) -> Distribution:
    scale = np.atleast_2d(_numbers(frozen.scale))
    return Wishart(float(frozen.df), cholesky(scale, "Wishart: the scale matrix"))


def _multinomial(frozen: Any) -> Distribution:
    _check_one(frozen, {"n": 0, "p": 1})
    return Multinomial(int(frozen.n), categorical("probs", _numbers(frozen.p)))


def _composition(frozen: Any, parameter: str) -> Distribution:
    """Counts of the sum n, of as many kinds as a parameter is long."""
    _check_one(frozen, {"n": 0, parameter: 1})
    n = float(frozen.n)

    def density(x: Array) -> Array:
        inside, out = compositions(x, n), np.full(len(x), -math.inf)
        if inside.any():
            out[inside] = np.atleast_1d(frozen.logpmf(x[inside].astype(np.int64)))
        return out

    return _called(frozen, Support("counts", 0.0, n, len(getattr(frozen, parameter))), density)


def _inverse_wishart(frozen: Any) -> Distribution:
    d = int(frozen.dim)
    found = _matrices(frozen, (d, d), "matrix")
    scale = cholesky(np.atleast_2d(_numbers(frozen.scale)), "invwishart: the scale matrix")
    inverse = linalg.cho_solve((scale, True), np.eye(d))
    wishart = Wishart(
        float(frozen.df), cholesky(0.5 * (inverse + inverse.T), "invwishart: the scale matrix")
    )
    return replace(found, source=(wishart, "inverse matrix"))


def _matrices(frozen: Any, shape: tuple[int, ...], kind: Literal["real", "matrix"]) -> Foreign:
    """An event is one row after another."""

    def density(x: Array) -> Array:
        matrices = x.reshape(-1, *shape)
        # SciPy's Wishart family wants the events along the last axis, the others along the first.
        moved = np.moveaxis(matrices, 0, -1) if kind == "matrix" else matrices
        return np.asarray(frozen.logpdf(moved)).reshape(len(x))

    return _called(frozen, Support(kind, dimension=int(np.prod(shape))), density)


def _normal_inverse_gamma(frozen: Any) -> Distribution:
    """An event is the mean and the variance."""

    def density(x: Array) -> Array:
        inside = x[:, 1] > 0.0
        log_p = frozen.logpdf(x[:, 0], np.where(inside, x[:, 1], 1.0))
        return np.where(inside, log_p, -math.inf)

    def sampler(rng: np.random.Generator, n: int) -> Array:
        return np.stack(frozen.rvs(size=(n,), random_state=rng), axis=1)

    return replace(_called(frozen, Support("real", dimension=2), density), sampler=sampler)


def _check_one(frozen: Any, axes: dict[str, int]) -> None:
    for name, expected in axes.items():
        extra = np.shape(getattr(frozen, name))[: np.ndim(getattr(frozen, name)) - expected]
        if extra:
            raise InputError(
                f"{_name(frozen)} has batch_shape {extra}: it is {math.prod(extra)} distributions; "
                "give one at a time"
            )


def _called(frozen: Any, support: Support, density: Callable[[Array], Array]) -> Foreign:
    """A distribution of vectors behind its own functions."""

    def sampler(rng: np.random.Generator, n: int) -> Array:
        return np.asarray(frozen.rvs(size=n, random_state=rng)).reshape(n, -1)

    return Foreign(_name(frozen), support, density, sampler)


def _name(frozen: Any) -> str:
    return f"scipy.stats.{type(frozen).__name__.removesuffix('_frozen')}"


_READERS: dict[str, Callable[[Any], Distribution]] = {
    "multivariate_normal_frozen": lambda frozen: MultivariateNormal.from_covariance(
        _numbers(frozen.mean), _numbers(frozen.cov)
    ),
    "matrix_normal_frozen": _matrix_normal,
    "multivariate_t_frozen": _student,
    "dirichlet_frozen": lambda frozen: Dirichlet(_numbers(frozen.alpha)),
    "wishart_frozen": _wishart,
    "multinomial_frozen": _multinomial,
    "vonmises_fisher_frozen": lambda frozen: Directional(_numbers(frozen.mu), float(frozen.kappa)),
    "uniform_direction_frozen": lambda frozen: Directional(np.eye(int(frozen.dim))[0], 0.0),
    "invwishart_frozen": _inverse_wishart,
    "matrix_t_frozen": lambda frozen: _matrices(frozen, frozen.dims, "real"),
    "dirichlet_multinomial_frozen": lambda frozen: _composition(frozen, "alpha"),
    "multivariate_hypergeom_frozen": lambda frozen: _composition(frozen, "m"),
    "normal_inverse_gamma_frozen": _normal_inverse_gamma,
}
