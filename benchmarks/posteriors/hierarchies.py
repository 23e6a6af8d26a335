"""Hierarchical and latent models: eight schools, radon, item response, volatility, Gaussian process."""

import math
from dataclasses import dataclass
from functools import cache
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import nn
from jax.scipy.linalg import solve_triangular

from benchmarks.posteriors.record import Posterior, zeros
from benchmarks.posteriors.regressions import LOG_2PI, half_normal_of_log, normal

EFFECTS = np.array([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0])
ERRORS = np.array([15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0])


def half_cauchy_of_log(log_x: Any, scale: float) -> Any:
    """Returns the log density of log x where x is half Cauchy, the Jacobian included."""
    ratio = log_x - math.log(scale)
    return math.log(2.0 / (math.pi * scale)) - jnp.logaddexp(0.0, 2.0 * ratio) + log_x


def schools_noncentred(u: Any) -> Any:
    """Parameters mu, log tau, and (theta - mu) / tau of each school."""
    mu, log_tau, z = u[0], u[1], u[2:]
    prior = normal(mu, 0.0, 5.0) + half_cauchy_of_log(log_tau, 5.0) + normal(z, 0.0, 1.0)
    return prior + normal(EFFECTS, mu + jnp.exp(log_tau) * z, ERRORS)


def schools_centred(u: Any) -> Any:
    """Parameters mu, log tau, and theta of each school."""
    mu, log_tau, theta = u[0], u[1], u[2:]
    prior = normal(mu, 0.0, 5.0) + half_cauchy_of_log(log_tau, 5.0)
    return prior + normal(theta, mu, jnp.exp(log_tau)) + normal(EFFECTS, theta, ERRORS)


@dataclass(frozen=True, eq=False)
class Radon:
    """House levels in counties: y ~ N(county + slope × floor, noise²), county ~ N(mu, spread²)."""

    county: np.ndarray
    floor: np.ndarray
    level: np.ndarray


COUNTIES = 40


@cache
def radon_data() -> Radon:
    rng = np.random.default_rng(31)
    county = np.repeat(np.arange(COUNTIES), rng.integers(1, 15, COUNTIES))
    floor = (rng.uniform(size=len(county)) < 0.2).astype(float)
    effect = 1.3 + 0.35 * rng.standard_normal(COUNTIES)
    level = effect[county] - 0.6 * floor + 0.75 * rng.standard_normal(len(county))
    return Radon(county, floor, level)


def radon(u: Any) -> Any:
    """Parameters log spread, log noise, mu, slope, and the 40 county effects (centred)."""
    data = radon_data()
    log_spread, log_noise, mu, slope, effect = u[0], u[1], u[2], u[3], u[4:]
    prior = half_normal_of_log(log_spread, 1.0) + half_normal_of_log(log_noise, 1.0)
    prior += normal(mu, 0.0, 2.0) + normal(slope, 0.0, 2.0)
    prior += normal(effect, mu, jnp.exp(log_spread))
    return prior + normal(data.level, effect[data.county] + slope * data.floor, jnp.exp(log_noise))


PEOPLE, ITEMS = 40, 20


@cache
def _answers() -> np.ndarray:
    rng = np.random.default_rng(32)
    ability = rng.standard_normal(PEOPLE)
    slope, difficulty = np.exp(0.3 * rng.standard_normal(ITEMS)), rng.standard_normal(ITEMS)
    logit = slope * (ability[:, None] - difficulty)
    return np.where(rng.uniform(size=logit.shape) < 1.0 / (1.0 + np.exp(-logit)), 1.0, -1.0)


def item_response(u: Any) -> Any:
    """2PL: ability (40) ~ N(0, 1), log slope (20) ~ N(0, .5²), difficulty (20) ~ N(0, 1.5²)."""
    ability, log_slope, difficulty = u[:PEOPLE], u[PEOPLE : PEOPLE + ITEMS], u[PEOPLE + ITEMS :]
    logit = jnp.exp(log_slope) * (ability[:, None] - difficulty)
    prior = normal(ability, 0.0, 1.0) + normal(log_slope, 0.0, 0.5) + normal(difficulty, 0.0, 1.5)
    return prior + jnp.sum(nn.log_sigmoid(_answers() * logit))


DAYS = 60


@cache
def _returns() -> np.ndarray:
    rng = np.random.default_rng(33)
    h = np.zeros(DAYS)
    h[0] = 0.3 / math.sqrt(1.0 - 0.95**2) * rng.standard_normal()
    for t in range(1, DAYS):
        h[t] = 0.95 * h[t - 1] + 0.3 * rng.standard_normal()
    return np.exp(0.5 * (h - 1.0)) * rng.standard_normal(DAYS)


def volatility(u: Any) -> Any:
    """Stochastic volatility: mean, logit persistence, log spread, and 60 standardised shocks (non-centred)."""
    mean, raw, log_spread, shocks = u[0], u[1], u[2], u[3:]
    prior = normal(mean, 0.0, 2.0) + normal(raw, 2.5, 0.7)
    prior += normal(log_spread, math.log(0.3), 0.5) + normal(shocks, 0.0, 1.0)
    lag = np.subtract.outer(np.arange(DAYS), np.arange(DAYS))
    powers = jnp.where(lag >= 0, jnp.exp(nn.log_sigmoid(raw) * np.maximum(lag, 0)), 0.0)
    h = mean + jnp.exp(log_spread) * (powers @ shocks)
    return prior + jnp.sum(-0.5 * (LOG_2PI + h + _returns() ** 2 * jnp.exp(-h)))


@cache
def _curve() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(34)
    x = np.sort(rng.uniform(0.0, 5.0, 30))
    return (x[:, None] - x) ** 2, np.sin(1.5 * x) + 0.3 * rng.standard_normal(30)


def gaussian_process(u: Any) -> Any:
    """Log length, log amplitude and log noise of a Gaussian process seen at 30 points."""
    squares, y = _curve()
    length, amplitude, noise = jnp.exp(u[0]), jnp.exp(u[1]), jnp.exp(u[2])
    kernel = amplitude**2 * jnp.exp(-0.5 * squares / length**2)
    root = jnp.linalg.cholesky(kernel + (noise**2 + 1e-8) * jnp.eye(len(y)))
    white = solve_triangular(root, jnp.asarray(y), lower=True)
    likelihood = -0.5 * white @ white - jnp.sum(jnp.log(jnp.diag(root))) - 0.5 * len(y) * LOG_2PI
    return likelihood + normal(u, jnp.array([0.0, 0.0, -1.0]), 1.0)


POSTERIORS: tuple[Posterior, ...] = (
    zeros("schools_noncentred", schools_noncentred, 10, "eight schools, half-Cauchy(5) on tau"),
    zeros("schools_centred", schools_centred, 10, "eight schools, centred: a funnel"),
    zeros("radon", radon, 4 + COUNTIES, "hierarchical normal, 40 counties, centred"),
    zeros("item_response", item_response, PEOPLE + 2 * ITEMS, "2PL, 40 people, 20 items"),
    zeros("volatility", volatility, 3 + DAYS, "stochastic volatility, 60 days, non-centred"),
    zeros("gaussian_process", gaussian_process, 3, "Gaussian process hyper-parameters, n = 30"),
)
