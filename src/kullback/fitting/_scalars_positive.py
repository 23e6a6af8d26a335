"""Maximum likelihood on the positive half line: closed forms, or one equation in one unknown."""

import math
from collections.abc import Callable

import numpy as np
from scipy import optimize, special

from kullback.distributions._bounded import LogUniform
from kullback.distributions._positive import (
    GeneralizedGamma,
    HalfCauchy,
    InverseGaussian,
    Lindley,
    LogNormal,
    Pareto,
)
from kullback.distributions._real import Normal
from kullback.fitting._scalar_family import Best, Values, mean
from kullback.fitting._scalars_real import normal

_LARGEST = math.log(1e12)


def log_root(f: Callable[[float], float], start: float) -> float:
    """Returns x > 0 with f(x) = 0, f being monotone; the end of the range searched if there is none.

    Args:
        f: a function of x.
        start: a guess.
    """

    def at(t: float) -> float:
        with np.errstate(all="ignore"):
            return f(math.exp(t))

    middle, reach = math.log(start), 1.0
    low, high = middle - reach, middle + reach
    while np.sign(at(low)) == np.sign(at(high)) and reach < 2.0 * _LARGEST:
        reach *= 2.0
        low, high = middle - reach, middle + reach
    if np.sign(at(low)) == np.sign(at(high)):
        return math.exp(low if abs(at(low)) < abs(at(high)) else high)
    found = optimize.root_scalar(at, bracket=(low, high), method="brentq", xtol=1e-15, rtol=1e-15)
    return math.exp(float(found.root))


def exponential(x: Values, weights: Values) -> Best:
    """Returns the exponential distribution with the mean of the rows."""
    return Best(GeneralizedGamma(mean(weights, x), 1.0))


def gamma(x: Values, weights: Values) -> Best:
    """Returns the gamma distribution: log(shape) - digamma(shape) is how far the mean log is below."""
    shape, scale = _gamma(np.log(x), weights)
    return Best(GeneralizedGamma(scale, shape))


def inverse_gamma(x: Values, weights: Values) -> Best:
    """Returns the inverse gamma distribution: 1/x is of a gamma distribution."""
    shape, scale = _gamma(-np.log(x), weights)
    return Best(GeneralizedGamma(1.0 / scale, shape, -1.0))


def chi2(x: Values, weights: Values) -> Best:
    """Returns the chi-squared distribution with the mean log of the rows."""
    return Best(GeneralizedGamma(2.0, _inverse_digamma(mean(weights, np.log(0.5 * x)))))


def chi(x: Values, weights: Values) -> Best:
    """Returns the chi distribution: squares are of a chi-squared one."""
    shape = _inverse_digamma(mean(weights, 2.0 * np.log(x) - math.log(2.0)))
    return Best(GeneralizedGamma(1.0, shape, 2.0, 0.5))


def weibull(x: Values, weights: Values) -> Best:
    """Returns the Weibull distribution."""
    shape, scale = _weibull(np.log(x), weights)
    return Best(GeneralizedGamma(scale, 1.0, shape))


def frechet(x: Values, weights: Values) -> Best:
    """Returns the Frechet distribution: 1/x is of a Weibull one."""
    shape, scale = _weibull(-np.log(x), weights)
    return Best(GeneralizedGamma(1.0 / scale, 1.0, -shape))


def halfnormal(x: Values, weights: Values) -> Best:
    """Returns the half-normal distribution with the mean square of the rows."""
    return Best(GeneralizedGamma(_root_mean_square(x, weights), 0.5, 2.0, 0.5))


def rayleigh(x: Values, weights: Values) -> Best:
    """Returns the Rayleigh distribution with the mean square of the rows."""
    scale = _root_mean_square(x, weights) / math.sqrt(2.0)
    return Best(GeneralizedGamma(scale, 1.0, 2.0, 0.5))


def maxwell(x: Values, weights: Values) -> Best:
    """Returns the Maxwell distribution with the mean square of the rows."""
    scale = _root_mean_square(x, weights) / math.sqrt(3.0)
    return Best(GeneralizedGamma(scale, 1.5, 2.0, 0.5))


def lognormal(x: Values, weights: Values) -> Best:
    """Returns the exponential of the normal distribution of the logs."""
    logs = normal(np.log(x), weights).q
    assert isinstance(logs, Normal)
    return Best(LogNormal(logs.loc, logs.scale))


def inverse_gaussian(x: Values, weights: Values) -> Best:
    """Returns the inverse Gaussian distribution; 1/shape is mean(1/x) - 1/mean(x), without cancellation."""
    m = mean(weights, x)
    return Best(InverseGaussian(m, 1.0 / mean(weights, (x - m) ** 2 / (x * m * m))))


def pareto(x: Values, weights: Values) -> Best:
    """Returns the Pareto distribution that begins at the smallest row."""
    low = float(x[weights > 0.0].min())
    return Best(Pareto(low, 1.0 / mean(weights, np.log(x / low))))


def loguniform(x: Values, weights: Values) -> Best:
    """Returns the log-uniform distribution between the smallest and the largest row."""
    used = x[weights > 0.0]
    return Best(LogUniform(float(used.min()), float(used.max())))


def halfcauchy(x: Values, weights: Values) -> Best:
    """Returns the half-Cauchy distribution: the mean of x^2 / (scale^2 + x^2) is 1/2."""
    share = weights / weights.sum()
    zeros = float(share @ (x == 0.0))
    least = float(x[x > 0.0].min())
    if zeros >= 0.5:
        note = "half of the rows are 0: the likelihood grows without end as the scale goes to 0"
        return Best(HalfCauchy(1e-12 * least), (note,))
    start = float(np.median(x[x > 0.0]))
    scale = log_root(lambda s: float(share @ (1.0 / (1.0 + (s / x) ** 2))) - 0.5, start)
    return Best(HalfCauchy(scale))


def lindley(x: Values, weights: Values) -> Best:
    """Returns the Lindley distribution with the mean of the rows."""
    m = mean(weights, x)
    root = math.sqrt((m - 1.0) ** 2 + 8.0 * m)
    # Two forms of one root: each without cancellation on its side.
    return Best(Lindley(4.0 / (m - 1.0 + root) if m >= 1.0 else (1.0 - m + root) / (2.0 * m)))


def _root_mean_square(x: Values, weights: Values) -> float:
    unit = float(x.max()) or 1.0
    return unit * math.sqrt(mean(weights, (x / unit) ** 2))


def _gamma(logs: Values, weights: Values) -> tuple[float, float]:
    """Returns shape and scale from the logs of the rows."""
    middle = mean(weights, logs)
    moved = logs - middle
    # log mean(x) - mean log(x), right also where all rows are nearly the same.
    gap = math.log1p(mean(weights, np.expm1(moved) - moved))
    guess = (3.0 - gap + math.sqrt((gap - 3.0) ** 2 + 24.0 * gap)) / (12.0 * gap)
    shape = log_root(lambda k: log_less_digamma(k) - gap, guess)
    return shape, math.exp(middle + gap) / shape


def log_less_digamma(k: float) -> float:
    """Returns log(k) - digamma(k), without cancellation where k is large."""
    if k < 100.0:
        return math.log(k) - float(special.digamma(k))
    square = 1.0 / (k * k)
    return 0.5 / k + square * (1.0 / 12.0 - square * (1.0 / 120.0 - square / 252.0))


def _inverse_digamma(y: float) -> float:
    guess = math.exp(y) + 0.5 if y > -2.2 else -1.0 / (y + 0.5772156649015329)
    return log_root(lambda k: float(special.digamma(k)) - y, guess)


def _weibull(logs: Values, weights: Values) -> tuple[float, float]:
    """Returns shape and scale from the logs of the rows: one equation for the shape."""
    share = weights / weights.sum()
    middle = float(share @ logs)
    moved = logs - middle
    top = float(moved.max())

    def balance(k: float) -> float:
        tilted = share * np.exp(k * (moved - top))
        return float(tilted @ moved) / float(tilted.sum()) - 1.0 / k

    spread = math.sqrt(float(share @ moved**2))
    shape = log_root(balance, 1.28 / spread)
    size = float(share @ np.exp(shape * (moved - top)))
    return shape, math.exp(middle + top + math.log(size) / shape)
