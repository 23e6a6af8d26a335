"""The ratio of two integrals, from draws of both densities: the bridge of least variance."""

import math
from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Int
from scipy import optimize, special

Array = np.ndarray
#: No log ratio of integrals is looked for further from the median of the log ratios.
_FARTHEST = 1e9


def bridge(
    log_ratio_0: Float[np.ndarray, " n"],
    log_ratio_1: Float[np.ndarray, " m"],
    *,
    groups: tuple[Int[np.ndarray, " n"] | None, Int[np.ndarray, " m"] | None] = (None, None),
    weights: Float[np.ndarray, " n"] | None = None,
    error_1: Callable[[Float[np.ndarray, " m"]], float] | None = None,
) -> tuple[float, float]:
    """Returns log(Z_1 / Z_0) by the bridge of least variance, and its standard error.

    Args:
        log_ratio_0: log f_1 - log f_0 at draws of f_0.
        log_ratio_1: the same at draws of f_1.
        groups: which draws belong together, such as to one chain; every draw for itself if None.
        weights: of the draws of f_0, with mean 1; 1 if not given.
        error_1: gives the standard error of a mean over the draws of f_1, where these are in no groups.

    Source: Bennett (1976); Meng and Wong (1996).
    """
    n, m = len(log_ratio_0), len(log_ratio_1)
    balance = np.log(m / n)
    w = np.ones(n) if weights is None else weights
    seen = np.concatenate([log_ratio_0, log_ratio_1])
    seen = seen[np.isfinite(seen)]
    if len(seen) == 0:
        return -np.inf, np.inf

    def sides(log_constant: float) -> tuple[np.ndarray, np.ndarray]:
        shifted = balance - log_constant
        return w * special.expit(log_ratio_0 + shifted), special.expit(-(log_ratio_1 + shifted))

    def excess(log_constant: float) -> float:
        down, up = sides(log_constant)
        return float(np.log(max(down.mean(), 1e-300) / max(up.mean(), 1e-300))) - balance

    # Log ratios of draws far out may be -1e250: the ratio of the integrals is near the many.
    middle, reach = float(np.median(seen)), 10.0
    while excess(middle - reach) * excess(middle + reach) > 0.0:
        reach *= 4.0
        if reach > _FARTHEST:
            return float("nan"), np.inf
    found = float(
        optimize.brentq(excess, middle - reach, middle + reach, xtol=1e-9, maxiter=500)  # pyright: ignore[reportArgumentType]
    )
    down, up = sides(found)
    errors = (
        standard_error(down, groups[0]),
        standard_error(up, groups[1]) if error_1 is None else error_1(up),
    )
    means = (max(float(side.mean()), 1e-300) for side in (down, up))
    return found, math.hypot(*(e / m for e, m in zip(errors, means, strict=True)))


def standard_error(values: Float[np.ndarray, " n"], group: Array | None = None) -> float:
    """Returns the standard error of a mean of values that come in groups of any size (Chan and Lai 2013)."""
    moved = values - values.mean()
    sums = moved if group is None else np.bincount(group, moved)
    if group is not None:
        sums = sums[np.bincount(group) > 0]
    few = len(sums) / max(len(sums) - 1, 1)
    return float(np.sqrt(few * np.sum(sums**2)) / len(values))
