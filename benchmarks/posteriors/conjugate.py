"""Targets whose posterior is Gaussian: evidence, moments and best fits have closed forms."""

import math
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np

from benchmarks.posteriors.record import Posterior, zeros

LOG_2PI = math.log(2.0 * math.pi)


@dataclass(frozen=True, eq=False)
class Gaussian:
    """What a Gaussian posterior is: exp(log_density) = evidence × N(mean, inverse of precision)."""

    log_evidence: float
    mean: np.ndarray
    precision: np.ndarray


@dataclass(frozen=True, eq=False)
class LinearModel:
    """y ~ N(X beta, noise²), beta ~ N(0, width²), with both scales known."""

    design: np.ndarray
    response: np.ndarray
    noise: float
    width: float

    def log_density(self, beta: Any) -> Any:
        residual = (self.response - jnp.asarray(self.design) @ beta) / self.noise
        likelihood = -0.5 * jnp.sum(residual**2) - len(self.response) * math.log(self.noise)
        prior = -0.5 * jnp.sum((beta / self.width) ** 2) - len(beta) * math.log(self.width)
        return likelihood + prior - 0.5 * LOG_2PI * (len(self.response) + len(beta))

    def posterior(self) -> Gaussian:
        n, d = self.design.shape
        precision = self.design.T @ self.design / self.noise**2 + np.eye(d) / self.width**2
        mean = np.linalg.solve(precision, self.design.T @ self.response / self.noise**2)
        marginal = self.width**2 * self.design @ self.design.T + self.noise**2 * np.eye(n)
        quadratic = self.response @ np.linalg.solve(marginal, self.response)
        evidence = -0.5 * (n * LOG_2PI + np.linalg.slogdet(marginal)[1] + quadratic)
        return Gaussian(float(evidence), mean, precision)


@dataclass(frozen=True, eq=False)
class Quadratic:
    """exp(-½ (x - mean)' precision (x - mean)), its constant left out."""

    mean: np.ndarray
    precision: np.ndarray

    def log_density(self, x: Any) -> Any:
        away = x - self.mean
        return -0.5 * away @ (jnp.asarray(self.precision) @ away)

    def posterior(self) -> Gaussian:
        log_det = np.linalg.slogdet(self.precision)[1]
        evidence = 0.5 * (len(self.mean) * LOG_2PI - log_det)
        return Gaussian(float(evidence), self.mean, self.precision)


def _normal_mean() -> LinearModel:
    response = np.random.default_rng(1).normal(1.0, 1.0, 10)
    return LinearModel(np.ones((10, 1)), response, 1.0, 1.0)


def _linear(n: int, d: int, seed: int) -> LinearModel:
    rng = np.random.default_rng(seed)
    common = rng.standard_normal((n, 1))
    design = 0.6 * common + 0.8 * rng.standard_normal((n, d))
    design[:, 0] = 1.0
    beta = rng.standard_normal(d)
    return LinearModel(design, design @ beta + 1.5 * rng.standard_normal(n), 1.5, 3.0)


def _correlated(d: int, seed: int) -> Quadratic:
    rng = np.random.default_rng(seed)
    root = rng.standard_normal((d, d + 3))
    scales = np.geomspace(0.1, 10.0, d)
    covariance = scales[:, None] * (root @ root.T / (d + 3)) * scales
    return Quadratic(scales * rng.standard_normal(d) * 2.0, np.linalg.inv(covariance))


def _ill_conditioned(d: int, condition: float, seed: int) -> Quadratic:
    rng = np.random.default_rng(seed)
    rotation, _ = np.linalg.qr(rng.standard_normal((d, d)))
    precision = (rotation * np.geomspace(1.0 / condition, 1.0, d)) @ rotation.T
    return Quadratic(3.0 * rng.standard_normal(d), 0.5 * (precision + precision.T))


_MODELS: dict[str, tuple[LinearModel | Quadratic, str]] = {
    "normal_mean": (_normal_mean(), "mean of 10 observations, known variance, N(0, 1) prior"),
    "linear_5": (_linear(60, 5, 11), "linear regression, known variance, n = 60"),
    "linear_40": (_linear(150, 40, 12), "linear regression, known variance, n = 150"),
    "gaussian_10": (_correlated(10, 13), "correlated Gaussian, scales .1 to 10"),
    "gaussian_100": (_ill_conditioned(100, 1e4, 14), "rotated Gaussian, condition 1e4"),
    "far_narrow": (Quadratic(np.array([1e6]), np.array([[1e6]])), "N(1e6, sd 1e-3)"),
}

POSTERIORS: tuple[Posterior, ...] = tuple(
    zeros(
        name,
        model.log_density,
        (model.design.shape[1] if isinstance(model, LinearModel) else len(model.mean)),
        about,
    )
    for name, (model, about) in _MODELS.items()
)

#: What each of these posteriors is.
GAUSSIANS: dict[str, Gaussian] = {name: model.posterior() for name, (model, _) in _MODELS.items()}
