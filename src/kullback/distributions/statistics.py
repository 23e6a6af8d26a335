"""The statistics that log densities are made of, by name, and their means from moments."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, final

import numpy as np
from mpmath import mp
from scipy import special

#: A number of arbitrary precision; mpmath has no types.
Number = Any
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


def exact(*values: Real) -> tuple[Number, ...]:
    """Returns parameters as numbers of the working precision: every float is one exactly."""
    return tuple(
        mp.mpf(v.numerator) / v.denominator if isinstance(v, Fraction) else mp.mpf(v)
        for v in values
    )


def from_moments(statistic: Statistic, mean: Number, variance: Number) -> Number | None:
    """Returns the mean of a polynomial statistic from the first two moments; None for others."""
    center, scale = exact(statistic.a, statistic.b)
    match statistic.name:
        case "one":
            return mp.mpf(1)
        case "x":
            return mean
        case "square":
            return mp.inf if mp.isinf(variance) else variance + (mean - center) ** 2
        case "power" if center in (1, 2):
            return mean / scale if center == 1 else (variance + mean**2) / scale**2
        case _:
            return None


def _log1p_square(z: np.ndarray) -> np.ndarray:
    large = np.abs(z) > 1e150
    safe = np.where(large, 1.0, z)
    return np.where(large, 2.0 * np.log(np.abs(np.where(large, z, 1.0))), np.log1p(safe * safe))


#: From here on Stirling's series, to its fifth term, is right to rounding.
_LARGE = 30.0


def log_beta(a: np.ndarray | float, b: np.ndarray | float) -> np.ndarray:
    """Returns log B(a, b), to rounding also for large arguments: SciPy's is off by up to 3e-9 below 1e6."""
    small, large = np.minimum(a, b), np.maximum(a, b)
    whole = small + large
    with np.errstate(all="ignore"):
        # log Gamma(large + small) - log Gamma(large)
        rise = (whole - 0.5) * np.log1p(small / large) + small * (np.log(large) - 1.0)
        for power, number in ((1, 12.0), (3, -360.0), (5, 1260.0), (7, -1680.0)):
            rise = rise + (whole**-power - large**-power) / number
        return np.where(large >= _LARGE, special.gammaln(small) - rise, special.betaln(a, b))


def _log_choose(n: float, k: np.ndarray) -> np.ndarray:
    return -np.log1p(n) - log_beta(n - k + 1.0, k + 1.0)


#: What each statistic is, with its parameters a, b and c.
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
    "log_rising": lambda x, a, b, c: special.gammaln(a) - log_beta(a, x + 1.0) - np.log(x + a),
}

ONE = Statistic("one")
X = Statistic("x")
LOG = Statistic("log")
LOG1M = Statistic("log1m")
