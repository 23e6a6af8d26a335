"""SciPy's families on the line by log densities of our own: SciPy's take the log of what underflows or cancels."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import special

from kullback.distributions.base import Array, Distribution, Foreign, Support


def _one_plus(x: Array, n: float) -> Array:
    """1 + x / sqrt(n + x^2), without cancellation where x is far below 0"""
    root = np.hypot(math.sqrt(n), x)
    return np.where(x < 0.0, n / root / (root - x), 1.0 + x / root)


#: Standard log densities of families whose own are the log of a density that underflows, or end in inf - inf.
_LOGS: dict[str, Callable[..., Array]] = {
    "rice_gen": lambda x, b: np.log(x) - 0.5 * (x - b) ** 2 + np.log(special.i0e(x * b)),
    "hypsecant_gen": lambda x: math.log(2.0 / math.pi) - np.logaddexp(x, -x),
    "exponpow_gen": lambda x, b: (
        math.log(b) + (b - 1.0) * np.log(x) + np.minimum(x**b, 1e3) - np.expm1(np.minimum(x**b, 1e3))
    ),
    "jf_skew_t_gen": lambda x, a, b: (
        (a + 0.5) * np.log(_one_plus(x, a + b)) + (b + 0.5) * np.log(_one_plus(-x, a + b))
        - (a + b - 1.0) * math.log(2.0) - special.betaln(a, b) - 0.5 * math.log(a + b)
    ),
    "johnsonsu_gen": lambda x, a, b: (
        math.log(b / math.sqrt(2.0 * math.pi)) - np.log(np.hypot(1.0, x)) - 0.5 * (a + b * np.arcsinh(x)) ** 2
    ),
    "norminvgauss_gen": lambda x, a, b: (
        math.log(a / math.pi) + math.sqrt((a - b) * (a + b)) + b * x - a * np.hypot(1.0, x)
        + np.log(special.k1e(a * np.hypot(1.0, x)) / np.hypot(1.0, x))
    ),
}  # fmt: skip


def read_by_log(family: Any, shapes: list[float]) -> Distribution | None:
    """Returns the standard form of a family behind a log density of ours; None where SciPy's own is as good."""
    log = _LOGS.get(type(family).__name__)
    if log is None:
        return None
    frozen = family(*shapes)
    low, high = (float(end) for end in frozen.support())
    region = Support("interval", low, high)

    def density(x: Array) -> Array:
        inside = (x > region.low) & (x < region.high)
        return np.where(inside, log(np.where(inside, x, 1.0), *shapes), -np.inf)

    return Foreign(
        f"scipy.stats.{family.name}",
        region,
        density,
        sampler=lambda rng, n: frozen.rvs(size=n, random_state=rng),
        inverse=frozen.ppf,
        ours=True,
    )
