"""Scalars on an interval."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, final

import numpy as np
from mpmath import mp
from scipy import special

from kullback.distributions.scalar import (
    UNIT,
    Best,
    Finite,
    Location,
    Positive,
    Quantiles,
    Role,
    Scalar,
    Scale,
    Values,
    Vector,
    log_root,
    mean,
)
from kullback.distributions.statistics import (
    LOG,
    LOG1M,
    ONE,
    Number,
    Statistic,
    X,
    exact,
    from_moments,
)
from kullback.solvers.minimise import newton


@final
@dataclass(frozen=True)
class Uniform(Scalar):
    """1 / (high - low) on [low, high]."""

    region = ("interval", "low", "high")

    low: Annotated[float, Role("end", "point")]
    high: Location

    def terms(self) -> dict[Statistic, Number]:
        low, high = exact(self.low, self.high)
        return {ONE: -mp.log(high - low)}

    def mean_of(self, statistic: Statistic) -> Number | None:
        low, high, a, b = exact(self.low, self.high, statistic.a, statistic.b)
        integral = _integral(statistic.name, low, high, a, b)
        if integral is not None:
            return integral / (high - low)
        return from_moments(statistic, (low + high) / 2, (high - low) ** 2 / 12)

    def quantile(self, u: Quantiles, *, upper: bool = False) -> Quantiles:
        width = self.high - self.low
        return self.high - width * u if upper else self.low + width * u


@final
@dataclass(frozen=True)
class Beta(Scalar):
    """x^(a-1) (1-x)^(b-1) / B(a, b)"""

    region = UNIT

    a: Positive
    b: Positive

    def terms(self) -> dict[Statistic, Number]:
        a, b = exact(self.a, self.b)
        constant = mp.loggamma(a + b) - mp.loggamma(a) - mp.loggamma(b)
        return {ONE: constant, LOG: a - 1, LOG1M: b - 1}

    def mean_of(self, statistic: Statistic) -> Number | None:
        a, b, sa, sb = exact(self.a, self.b, statistic.a, statistic.b)
        match statistic.name:
            case "log":
                return mp.digamma(a) - mp.digamma(a + b)
            case "log1m":
                return mp.digamma(b) - mp.digamma(a + b)
            case "power":
                return mp.inf if a + sa <= 0 else sb**-sa * _beta_ratio(a, b, sa)
            case "exp":
                return mp.hyp1f1(a, a + b, 1 / sa) * mp.exp(-sb / sa)
            case "absolute" if sa <= 0 or sa >= 1:
                return abs(a / (a + b) - sa)
            case _:
                return from_moments(statistic, a / (a + b), a * b / ((a + b) ** 2 * (a + b + 1)))

    def quantile(self, u: Quantiles, *, upper: bool = False) -> Quantiles:
        inverse = special.betainccinv if upper else special.betaincinv
        return inverse(self.a, self.b, u)


@final
@dataclass(frozen=True)
class Kumaraswamy(Scalar):
    """a b x^(a-1) (1 - x^a)^(b-1)"""

    region = UNIT

    a: Positive
    b: Positive

    def terms(self) -> dict[Statistic, Number]:
        a, b = exact(self.a, self.b)
        return {ONE: mp.log(a * b), LOG: a - 1, Statistic("log1m_power", self.a): b - 1}

    def mean_of(self, statistic: Statistic) -> Number | None:
        a, b, sa, sb = exact(self.a, self.b, statistic.a, statistic.b)
        match statistic.name:
            case "log":
                return -(mp.euler + mp.digamma(b + 1)) / a
            case "log1m_power" if statistic.a == self.a:
                return -1 / b
            case "log1m":
                return mp.quad(lambda v: mp.log(-mp.expm1(_log1m(v ** (1 / b)) / a)), [0, 0.5, 1])
            case "power":
                return mp.inf if 1 + sa / a <= 0 else sb**-sa * b * mp.beta(1 + sa / a, b)
            case _:
                mean, second = b * mp.beta(1 + 1 / a, b), b * mp.beta(1 + 2 / a, b)
                return from_moments(statistic, mean, second - mean**2)

    def quantile(self, u: Quantiles, *, upper: bool = False) -> Quantiles:
        with np.errstate(divide="ignore"):
            log_rest = (np.log(u) if upper else np.log1p(-u)) / self.b
        return (-np.expm1(log_rest)) ** (1.0 / self.a)


@final
@dataclass(frozen=True)
class ContinuousBernoulli(Scalar):
    """exp(logit x) on [0, 1], normalised (Loaiza-Ganem and Cunningham 2019)."""

    region = UNIT

    logit: Finite

    def terms(self) -> dict[Statistic, Number]:
        (eta,) = exact(self.logit)
        return {ONE: -_log_mean_exp(eta), X: eta}

    def mean_of(self, statistic: Statistic) -> Number | None:
        eta, a, b = exact(self.logit, statistic.a, statistic.b)
        if statistic.name == "exp":
            return mp.exp(_log_mean_exp(eta + 1 / a) - _log_mean_exp(eta) - b / a)
        if eta == 0:
            return from_moments(statistic, mp.mpf("0.5"), mp.mpf(1) / 12)
        mean = -1 / mp.expm1(-eta) - 1 / eta
        variance = 1 / eta**2 - 1 / (4 * mp.sinh(eta / 2) ** 2)
        return from_moments(statistic, mean, variance)

    def quantile(self, u: Quantiles, *, upper: bool = False) -> Quantiles:
        u = 1.0 - u if upper else u
        if abs(self.logit) < 1e-8:
            return u
        if self.logit > 0:
            with np.errstate(divide="ignore"):
                return 1.0 + np.log(u + (1.0 - u) * math.exp(-self.logit)) / self.logit
        return np.log1p(u * math.expm1(self.logit)) / self.logit


@final
@dataclass(frozen=True)
class LogUniform(Scalar):
    """1 / (x log(high / low)) on [low, high], low > 0."""

    region = ("interval", "low", "high")

    low: Annotated[float, Role("positive end", "length")]
    high: Scale

    def terms(self) -> dict[Statistic, Number]:
        low, high = exact(self.low, self.high)
        return {ONE: -mp.log(mp.log(high / low)), LOG: mp.mpf(-1)}

    def mean_of(self, statistic: Statistic) -> Number | None:
        low, high, a, b = exact(self.low, self.high, statistic.a, statistic.b)
        middle, span = (mp.log(low) + mp.log(high)) / 2, mp.log(high / low)
        match statistic.name:
            case "log":
                return middle
            case "log_square":
                return span**2 / 12 + (middle - a) ** 2
            case "power":
                return (high**a - low**a) * b**-a / (a * span)
            case _:
                mean = (high - low) / span
                return from_moments(statistic, mean, (high**2 - low**2) / (2 * span) - mean**2)

    def quantile(self, u: Quantiles, *, upper: bool = False) -> Quantiles:
        span = math.log(self.high / self.low)
        return self.high * np.exp(-span * u) if upper else self.low * np.exp(span * u)


def _integral(name: str, low: Number, high: Number, a: Number, b: Number) -> Number | None:
    """Returns the integral of a statistic from low to high."""

    def between(antiderivative: Callable[[Number], Number]) -> Number:
        return antiderivative(high) - antiderivative(low)

    match name:
        case "log":
            return between(_x_log_x)
        case "log_square":
            return between(lambda x: 0 if x == 0 else x * ((mp.log(x) - a - 1) ** 2 + 1))
        case "log1m":
            return _x_log_x(1 - low) - _x_log_x(1 - high)
        case "power" if a == -1:
            return mp.inf if low == 0 else b * mp.log(high / low)
        case "power":
            return (
                mp.inf if low == 0 and a < -1 else between(lambda x: x ** (a + 1)) * b**-a / (a + 1)
            )
        case "exp":
            return a * (mp.exp((high - b) / a) - mp.exp((low - b) / a))
        case "absolute":
            return between(lambda x: (x - a) * abs(x - a) / 2)
        case "cos":
            return between(lambda x: mp.sin(x - a))
        case _:
            return None


def _x_log_x(x: Number) -> Number:
    return mp.mpf(0) if x == 0 else x * mp.log(x) - x


def _log1m(x: Number) -> Number:
    return mp.log1p(-x)


def _log_mean_exp(eta: Number) -> Number:
    """log of the integral of exp(eta x) over [0, 1]"""
    return mp.mpf(0) if eta == 0 else mp.log(mp.expm1(eta) / eta)


def _beta_ratio(a: Number, b: Number, k: Number) -> Number:
    """B(a + k, b) / B(a, b)"""
    return mp.exp(mp.loggamma(a + k) - mp.loggamma(a + b + k) - mp.loggamma(a) + mp.loggamma(a + b))


def loguniform(x: Values, weights: Values) -> Best:
    """Returns the log-uniform distribution between the smallest and the largest row."""
    used = x[weights > 0.0]
    return Best(LogUniform(float(used.min()), float(used.max())))


# Maximum likelihood on an interval, and on the circle.


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

    top = float(logs.max())

    def rests(a: float) -> tuple[Values, Values]:
        """The odds x^a / (1 - x^a), and -log(1 - x^a), by the largest x^a, which may be below all floats."""
        powers, largest = np.exp(a * (logs - top)), math.exp(a * top)
        if largest < 1e-17:
            return powers, powers
        rest = -np.log(-np.expm1(a * logs))
        return np.exp(a * logs + rest) / largest, rest / largest

    def balance(a: float) -> float:
        odds, rest = rests(a)
        slopes = share @ (odds * logs)
        return float(1.0 / a + middle - slopes / (share @ rest) + math.exp(a * top) * slopes)

    a = log_root(balance, -1.0 / middle)
    b = math.exp(min(-a * top - math.log(share @ rests(a)[1]), 709.0))
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


def _mean_above_half(eta: float) -> float:
    """The mean of the continuous Bernoulli distribution with logit eta, less 1/2."""
    if eta < 0.05:
        return eta / 12.0 * (1.0 - eta**2 / 60.0 * (1.0 - eta**2 / 42.0))
    return 0.5 / math.tanh(0.5 * eta) - 1.0 / eta
