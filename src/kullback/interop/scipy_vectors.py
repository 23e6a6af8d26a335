"""SciPy's distributions of vectors and matrices, and its kernel density estimate."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

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
from kullback.interop.maps import categorical, cholesky, mixture, probabilities

#: A kernel density estimate on the line of more points is called, not taken apart.
_KERNELS = 64


def read(frozen: Any) -> Distribution:
    """Returns a frozen multivariate distribution as one of ours.

    Raises:
        InputError: a parameter is out of range, or an array where one distribution needs a number.
        UnsupportedError: it has no density that can be compared.
    """
    name = type(frozen).__name__
    reader = _READERS.get(name)
    if reader is None:
        raise UnsupportedError(
            f"scipy.stats.{name.removesuffix('_frozen')} can be drawn from only: its density is "
            "not known here"
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


def _normal(frozen: Any) -> Distribution:
    return MultivariateNormal.from_covariance(_numbers(frozen.mean), _numbers(frozen.cov))


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


def _dirichlet_multinomial(frozen: Any) -> Distribution:
    _check_one(frozen, {"n": 0, "alpha": 1})
    counts = Support("counts", 0.0, float(frozen.n), len(frozen.alpha))
    return _called(frozen, counts, _compositions)


def _hypergeometric(frozen: Any) -> Distribution:
    _check_one(frozen, {"n": 0, "m": 1})
    counts = Support("counts", 0.0, float(frozen.n), len(frozen.m))
    return _called(frozen, counts, _compositions)


def _compositions(x: Array, frozen: Any) -> Array:
    """Which events are counts of the right sum."""
    return (
        (x >= 0.0).all(axis=1) & (x == np.floor(x)).all(axis=1) & (x.sum(axis=1) == float(frozen.n))
    )


def _inverse_wishart(frozen: Any) -> Distribution:
    d = int(frozen.dim)
    found = _matrices(frozen, (d, d), Support("matrix", dimension=d * d))
    scale = cholesky(np.atleast_2d(_numbers(frozen.scale)), "invwishart: the scale matrix")
    inverse = linalg.cho_solve((scale, True), np.eye(d))
    wishart = Wishart(
        float(frozen.df), cholesky(0.5 * (inverse + inverse.T), "invwishart: the scale matrix")
    )
    return replace(found, source=(wishart, "inverse matrix"))


def _matrix_t(frozen: Any) -> Distribution:
    shape = tuple(int(n) for n in frozen.dims)
    return _matrices(frozen, shape, Support("real", dimension=math.prod(shape)))


def _normal_inverse_gamma(frozen: Any) -> Distribution:
    """An event is the mean and the variance."""

    def density(x: Array) -> Array:
        inside = x[:, 1] > 0.0
        log_p = frozen.logpdf(x[:, 0], np.where(inside, x[:, 1], 1.0))
        return np.where(inside, log_p, -math.inf)

    def sampler(rng: np.random.Generator, n: int) -> Array:
        return np.stack(frozen.rvs(size=(n,), random_state=rng), axis=1)

    return Foreign(
        "scipy.stats.normal_inverse_gamma", Support("real", dimension=2), density, sampler
    )


def _sphere(frozen: Any) -> Distribution:
    return Directional(_numbers(frozen.mu), float(frozen.kappa))


def _uniform_direction(frozen: Any) -> Distribution:
    return Directional(np.eye(int(frozen.dim))[0], 0.0)


def _check_one(frozen: Any, axes: dict[str, int]) -> None:
    for name, expected in axes.items():
        extra = np.shape(getattr(frozen, name))[: np.ndim(getattr(frozen, name)) - expected]
        if extra:
            raise InputError(
                f"scipy.stats.{type(frozen).__name__.removesuffix('_frozen')} has batch_shape "
                f"{extra}: it is {math.prod(extra)} distributions; give one at a time"
            )


def _called(
    frozen: Any, support: Support, valid: Callable[[Array, Any], Array] | None = None
) -> Distribution:
    """A distribution of vectors behind its own functions."""
    log = frozen.logpmf if hasattr(frozen, "logpmf") else frozen.logpdf

    def density(x: Array) -> Array:
        if valid is None:
            return np.asarray(log(x)).reshape(len(x))
        inside = valid(x, frozen)
        out = np.full(len(x), -math.inf)
        if inside.any():
            out[inside] = np.atleast_1d(log(x[inside].astype(np.int64)))
        return out

    def sampler(rng: np.random.Generator, n: int) -> Array:
        return np.asarray(frozen.rvs(size=n, random_state=rng)).reshape(n, -1)

    name = f"scipy.stats.{type(frozen).__name__.removesuffix('_frozen')}"
    return Foreign(name, support, density, sampler if hasattr(frozen, "rvs") else None)


def _matrices(frozen: Any, shape: tuple[int, ...], support: Support) -> Foreign:
    """A distribution of matrices behind its own functions: an event is one row after row."""

    def density(x: Array) -> Array:
        matrices = x.reshape(-1, *shape)
        # SciPy's Wishart family wants the events along the last axis, the others along the first.
        moved = np.moveaxis(matrices, 0, -1) if support.kind == "matrix" else matrices
        return np.asarray(frozen.logpdf(moved)).reshape(len(x))

    def sampler(rng: np.random.Generator, n: int) -> Array:
        return np.asarray(frozen.rvs(size=n, random_state=rng)).reshape(n, -1)

    name = f"scipy.stats.{type(frozen).__name__.removesuffix('_frozen')}"
    return Foreign(name, support, density, sampler)


_READERS: dict[str, Callable[[Any], Distribution]] = {
    "multivariate_normal_frozen": _normal,
    "matrix_normal_frozen": _matrix_normal,
    "multivariate_t_frozen": _student,
    "dirichlet_frozen": lambda frozen: Dirichlet(_numbers(frozen.alpha)),
    "wishart_frozen": _wishart,
    "multinomial_frozen": _multinomial,
    "vonmises_fisher_frozen": _sphere,
    "uniform_direction_frozen": _uniform_direction,
    "invwishart_frozen": _inverse_wishart,
    "matrix_t_frozen": _matrix_t,
    "dirichlet_multinomial_frozen": _dirichlet_multinomial,
    "multivariate_hypergeom_frozen": _hypergeometric,
    "normal_inverse_gamma_frozen": _normal_inverse_gamma,
}
