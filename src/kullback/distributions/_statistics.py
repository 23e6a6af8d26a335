"""The statistics of which log densities are made.

A log density of the table is a sum of coefficients times statistics,

    log p(x) = sum_s c_s(p) s(x),

so that H(p) = -sum_s c_s(p) E_p[s] and KL(p||q) = sum_s (c_s(p) - c_s(q)) E_p[s]: one rule for
every pair whose means are known. Within an exponential family it is the Bregman divergence of
the log-normaliser; a base measure drops out because its coefficients are equal.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import final

import numpy as np
from scipy import special

#: A parameter. 1/rate is a fraction, so that nothing is rounded before a difference is taken.
Real = float | Fraction


@final
@dataclass(frozen=True)
class Statistic:
    """A function of x, by name, with parameters that are exact numbers."""

    name: str
    a: Real = 0.0
    b: Real = 0.0
    c: Real = 1.0

    def __call__(self, x: np.ndarray) -> np.ndarray:
        with np.errstate(all="ignore"):
            return _FUNCTIONS[self.name](x, float(self.a), float(self.b), float(self.c))


_FUNCTIONS: dict[str, Callable[[np.ndarray, float, float, float], np.ndarray]] = {
    "one": lambda x, a, b, c: np.ones_like(x),
    "x": lambda x, a, b, c: x,
    "square": lambda x, a, b, c: (x - a) ** 2,
    "absolute": lambda x, a, b, c: np.abs(x - a),
    "log": lambda x, a, b, c: np.log(x),
    "log_square": lambda x, a, b, c: (np.log(x) - a) ** 2,
    "log1m": lambda x, a, b, c: np.log1p(-x),
    "log1m_power": lambda x, a, b, c: np.log(-np.expm1(a * np.log(x))),
    "log1p": lambda x, a, b, c: np.log1p(x),
    "power": lambda x, a, b, c: (x / b) ** a,
    "exp": lambda x, a, b, c: np.exp((x - b) / a),
    "softplus": lambda x, a, b, c: np.logaddexp(0.0, (x - b) / a),
    "cos": lambda x, a, b, c: np.cos(x - a),
    "log1p_square": lambda x, a, b, c: _log1p_square((x - a) / (b * math.sqrt(c))),
    "log_factorial": lambda x, a, b, c: special.gammaln(x + 1.0),
    "log_choose": lambda x, a, b, c: _log_choose(a, x),
    "log_rising": lambda x, a, b, c: (
        special.gammaln(a) - special.betaln(a, x + 1.0) - np.log(x + a)
    ),
}

ONE = Statistic("one")
X = Statistic("x")
LOG = Statistic("log")
LOG1M = Statistic("log1m")


def square(center: Real) -> Statistic:
    return Statistic("square", center)


def absolute(center: Real) -> Statistic:
    return Statistic("absolute", center)


def power(exponent: Real, scale: Real) -> Statistic:
    """(x / scale) ** exponent"""
    return Statistic("power", exponent, scale)


def exponential(scale: Real, center: Real) -> Statistic:
    """exp((x - center) / scale)"""
    return Statistic("exp", scale, center)


def softplus(scale: Real, center: Real) -> Statistic:
    """log(1 + exp((x - center) / scale))"""
    return Statistic("softplus", scale, center)


def cosine(center: Real) -> Statistic:
    return Statistic("cos", center)


def log1p_square(center: Real, scale: Real, df: Real = 1.0) -> Statistic:
    """log(1 + ((x - center) / scale)^2 / df)"""
    return Statistic("log1p_square", center, scale, df)


def _log1p_square(z: np.ndarray) -> np.ndarray:
    large = np.abs(z) > 1e150
    safe = np.where(large, 1.0, z)
    return np.where(large, 2.0 * np.log(np.abs(np.where(large, z, 1.0))), np.log1p(safe * safe))


def _log_choose(n: float, k: np.ndarray) -> np.ndarray:
    return -np.log1p(n) - special.betaln(n - k + 1.0, k + 1.0)
