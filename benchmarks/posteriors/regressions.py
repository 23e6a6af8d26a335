"""Regressions: German credit, breast cancer, and simulated ones with a fixed seed."""

import gzip
import math
from functools import cache
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import nn
from jax.scipy.special import gammaln, log_ndtr

from benchmarks.posteriors.record import Posterior, zeros

DATA = Path(__file__).parent / "data"
LOG_2PI = math.log(2.0 * math.pi)


def normal(x: Any, mean: Any, sd: Any) -> Any:
    """Returns the sum of the log densities of N(mean, sd²)."""
    return jnp.sum(-0.5 * ((x - mean) / sd) ** 2 - jnp.log(sd) - 0.5 * LOG_2PI)


def half_normal_of_log(log_x: Any, sd: float) -> Any:
    """Returns the log density of log x where x is half normal, the Jacobian included."""
    return normal(jnp.exp(log_x), 0.0, sd) + math.log(2.0) + log_x


def with_intercept(x: np.ndarray) -> np.ndarray:
    """Returns the standardised columns after a column of ones."""
    return np.column_stack([np.ones(len(x)), (x - x.mean(0)) / x.std(0)])


class Logistic:
    """y ~ Bernoulli(logit = X beta), beta ~ N(0, width²)."""

    def __init__(self, design: np.ndarray, response: np.ndarray, width: float) -> None:
        self.signed = design * np.where(response > 0, 1.0, -1.0)[:, None]
        self.width = width

    def log_density(self, beta: Any) -> Any:
        return jnp.sum(nn.log_sigmoid(jnp.asarray(self.signed) @ beta)) + normal(
            beta, 0.0, self.width
        )


@cache
def _german() -> Logistic:
    with gzip.open(DATA / "german_credit.csv.gz", "rt") as file:
        table = np.loadtxt(file, delimiter=",")
    return Logistic(with_intercept(table[:, :-1]), table[:, -1] == 1, 10.0)


@cache
def _cancer() -> Logistic:
    from sklearn.datasets import load_breast_cancer

    data = load_breast_cancer()
    return Logistic(with_intercept(data.data), data.target == 1, 1.0)


@cache
def _logistic_100() -> Logistic:
    rng = np.random.default_rng(21)
    design = 0.5 * rng.standard_normal((400, 1)) + rng.standard_normal((400, 100))
    design[:, 0] = 1.0
    beta = 0.5 * rng.standard_normal(100)
    probability = 1.0 / (1.0 + np.exp(-design @ beta))
    return Logistic(design, rng.uniform(size=400) < probability, 1.0)


def _design(rng: np.random.Generator, n: int, d: int) -> np.ndarray:
    x = 0.5 * rng.standard_normal((n, 1)) + rng.standard_normal((n, d))
    x[:, 0] = 1.0
    return x


@cache
def _poisson_data() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(22)
    x = _design(rng, 80, 6)
    return x, rng.poisson(np.exp(x @ np.array([0.5, 0.4, -0.3, 0.2, 0.0, -0.5])))


def poisson(beta: Any) -> Any:
    x, y = _poisson_data()
    eta = jnp.asarray(x) @ beta
    return jnp.sum(y * eta - jnp.exp(eta) - gammaln(y + 1.0)) + normal(beta, 0.0, 2.0)


@cache
def _negative_binomial_data() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(23)
    x = _design(rng, 100, 7)
    mean = np.exp(x @ np.array([1.0, 0.3, -0.4, 0.2, 0.0, 0.5, -0.2]))
    return x, rng.poisson(mean * rng.gamma(1.5, 1.0 / 1.5, 100))


def negative_binomial(u: Any) -> Any:
    """Parameters beta (7) and log phi; the variance is mean + mean² / phi."""
    x, y = _negative_binomial_data()
    beta, log_phi = u[:7], u[7]
    phi, eta = jnp.exp(log_phi), jnp.asarray(x) @ beta
    total = jnp.logaddexp(eta, log_phi)
    likelihood = gammaln(y + phi) - gammaln(phi) - gammaln(y + 1.0)
    likelihood += phi * (log_phi - total) + y * (eta - total)
    return jnp.sum(likelihood) + normal(beta, 0.0, 2.0) + normal(log_phi, 0.0, 1.5)


@cache
def _gamma_data() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(24)
    x = _design(rng, 40, 4)
    return x, np.exp(x @ np.array([0.2, 0.5, -0.5, 0.3])) * rng.gamma(2.0, 0.5, 40)


def gamma(u: Any) -> Any:
    """Parameters beta (4) and log shape; the mean is exp(x beta)."""
    x, y = _gamma_data()
    beta, log_shape = u[:4], u[4]
    shape, eta = jnp.exp(log_shape), jnp.asarray(x) @ beta
    likelihood = shape * (log_shape - eta) - gammaln(shape) + (shape - 1.0) * jnp.log(y)
    likelihood -= shape * y * jnp.exp(-eta)
    return jnp.sum(likelihood) + normal(beta, 0.0, 2.0) + half_normal_of_log(log_shape, 5.0)


@cache
def _student_data() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(25)
    x = _design(rng, 50, 6)
    beta = np.array([1.0, -1.0, 0.5, 0.0, 2.0, -0.5])
    return x, x @ beta + 0.7 * rng.standard_t(2.5, 50)


def student(u: Any) -> Any:
    """Parameters beta (6), log sigma, log nu; nu ~ Gamma(2, .1)."""
    x, y = _student_data()
    beta, log_sigma, log_nu = u[:6], u[6], u[7]
    nu = jnp.exp(log_nu)
    residual = (y - jnp.asarray(x) @ beta) * jnp.exp(-log_sigma)
    constant = gammaln(0.5 * (nu + 1.0)) - gammaln(0.5 * nu) - 0.5 * (log_nu + math.log(math.pi))
    likelihood = constant - log_sigma - 0.5 * (nu + 1.0) * jnp.log1p(residual**2 / nu)
    prior = normal(beta, 0.0, 5.0) + half_normal_of_log(log_sigma, 2.0)
    return jnp.sum(likelihood) + prior + 2.0 * math.log(0.1) + 2.0 * log_nu - 0.1 * nu


@cache
def _ordinal_data() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(26)
    x = rng.standard_normal((90, 5))
    latent = x @ np.array([1.0, -0.7, 0.4, 0.0, 0.3]) + rng.standard_normal(90)
    return x, np.digitize(latent, [-1.0, 0.2, 1.2])


def _log_difference(upper: Any, lower: Any) -> Any:
    """Returns log(Φ(upper) - Φ(lower)) in whichever tail is the accurate one."""
    flip = upper + lower > 0.0
    high, low = jnp.where(flip, -lower, upper), jnp.where(flip, -upper, lower)
    big, small = log_ndtr(high), log_ndtr(low)
    return big + jnp.log1p(-jnp.exp(small - big))


def ordinal(u: Any) -> Any:
    """Ordered probit of 4 classes: beta (5), the first cut point, two log gaps."""
    x, y = _ordinal_data()
    beta, first, gaps = u[:5], u[5], jnp.exp(u[6:])
    second = first + gaps[0]
    inner = jnp.stack([first, second, second + gaps[1]])
    cuts = jnp.concatenate([jnp.array([-40.0]), inner, jnp.array([40.0])])
    eta = jnp.asarray(x) @ beta
    likelihood = _log_difference(cuts[y + 1] - eta, cuts[y] - eta)
    prior = normal(beta, 0.0, 2.0) + normal(first, 0.0, 3.0)
    return jnp.sum(likelihood) + prior + jnp.sum(u[6:] - gaps)  # gaps ~ Exponential(1)


POSTERIORS: tuple[Posterior, ...] = (
    zeros("german_credit", lambda b: _german().log_density(b), 25, "logistic, N(0, 10²) prior"),
    zeros("breast_cancer", lambda b: _cancer().log_density(b), 31, "logistic, N(0, 1) prior"),
    zeros("logistic_100", lambda b: _logistic_100().log_density(b), 100, "logistic, n = 400"),
    zeros("poisson", poisson, 6, "Poisson regression, n = 80"),
    zeros("negative_binomial", negative_binomial, 8, "negative binomial, dispersion unknown"),
    zeros("gamma_glm", gamma, 5, "gamma regression, shape unknown, n = 40"),
    zeros("student_regression", student, 8, "robust regression, scale and nu unknown"),
    zeros("ordinal_probit", ordinal, 8, "ordered probit, 4 classes, n = 90"),
)
