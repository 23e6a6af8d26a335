"""Maximum likelihood on an interval, and on the circle."""

import math

import numpy as np
from scipy import special

from kullback.distributions._bounded import Beta, ContinuousBernoulli, Kumaraswamy, Uniform
from kullback.distributions._real import VonMises
from kullback.fitting._scalar_family import Best, Values, Vector, mean
from kullback.fitting._scalars_positive import log_root
from kullback.solvers._newton import newton

_STEEPEST = 1e6


def uniform(x: Values, weights: Values) -> Best:
    """Returns the uniform distribution between the smallest and the largest row."""
    used = x[weights > 0.0]
    return Best(Uniform(float(used.min()), float(used.max())))


def beta(x: Values, weights: Values) -> Best:
    """Returns the beta distribution with the mean of log x and that of log(1 - x)."""
    logs, rest = mean(weights, np.log(x)), mean(weights, np.log1p(-x))

    def objective(at: Vector) -> tuple[float, Vector]:
        a, b = np.exp(at)
        value = special.betaln(a, b) - (a - 1.0) * logs - (b - 1.0) * rest
        joint = special.digamma(a + b)
        slopes = [special.digamma(a) - joint - logs, special.digamma(b) - joint - rest]
        return float(value), np.array(slopes) * (a, b)

    middle = mean(weights, x)
    spread = mean(weights, (x - middle) ** 2)
    total = max(middle * (1.0 - middle) / spread - 1.0, 0.1)
    start = np.log([middle * total, (1.0 - middle) * total])
    box = np.full(2, 40.0)
    end = newton(objective, start, -box, box)
    a, b = np.exp(end.at)
    return Best(Beta(float(a), float(b)), (), end.evaluations)


def kumaraswamy(x: Values, weights: Values) -> Best:
    """Returns the Kumaraswamy distribution: one equation for a, then b = -1 / mean log(1 - x^a)."""
    share = weights / weights.sum()
    logs = np.log(x)
    middle = float(share @ logs)

    def balance(a: float) -> float:
        rest = np.log(-np.expm1(a * logs))
        odds = np.exp(a * logs - rest)
        b = -1.0 / float(share @ rest)
        return 1.0 / a + middle - (b - 1.0) * float(share @ (odds * logs))

    a = log_root(balance, -1.0 / middle)
    b = -1.0 / float(share @ np.log(-np.expm1(a * logs)))
    return Best(Kumaraswamy(a, b))


def continuous_bernoulli(x: Values, weights: Values) -> Best:
    """Returns the continuous Bernoulli distribution with the mean of the rows."""
    middle = mean(weights, x)
    if middle == 0.5:
        return Best(ContinuousBernoulli(0.0))
    sign = 1.0 if middle > 0.5 else -1.0
    off = abs(middle - 0.5)
    size = log_root(
        lambda eta: _mean_above_half(eta) - off, min(12.0 * off, 1.0 / (0.5 - off + 1e-9))
    )
    return Best(ContinuousBernoulli(sign * size))


def vonmises(x: Values, weights: Values) -> Best:
    """Returns the von Mises distribution with the mean direction and the mean length of the rows."""
    sine, cosine = mean(weights, np.sin(x)), mean(weights, np.cos(x))
    loc = math.atan2(sine, cosine)
    short = mean(weights, 2.0 * np.sin(0.5 * (x - loc)) ** 2)
    if short >= 1.0 - 1e-12:
        return Best(VonMises(loc, 0.0), ("the rows have no direction: the concentration is 0",))
    guess = max(2.0 * (1.0 - short), 0.5 / short)
    return Best(VonMises(loc, log_root(lambda k: _shortfall(k) - short, guess)))


def _shortfall(kappa: float) -> float:
    """1 - I1(kappa) / I0(kappa), without cancellation where kappa is large."""
    if kappa < 500.0:
        return 1.0 - float(special.ive(1, kappa) / special.ive(0, kappa))
    t = 1.0 / kappa
    return t * (0.5 + t * (0.125 + t * (0.125 + t * (25.0 / 128.0 + t * 13.0 / 32.0))))


def _mean_above_half(eta: float) -> float:
    """The mean of the continuous Bernoulli distribution with logit eta, less 1/2."""
    if eta < 0.05:
        return eta / 12.0 * (1.0 - eta**2 / 60.0 * (1.0 - eta**2 / 42.0))
    return 0.5 / math.tanh(0.5 * eta) - 1.0 / eta
