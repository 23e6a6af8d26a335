"""KL between two discrete samples by their counts, without an epsilon."""

import math

import numpy as np
from jaxtyping import Float
from scipy import special

Levels = Float[np.ndarray, "_s"]


def terms(x: Levels, y: Levels) -> Levels:
    """Returns what a row of p at each level adds: psi(x) - psi(n) - psi(y + 1) + psi(m + 1).

    Their mean over the rows of p estimates KL(p||q) with a bias that falls faster than any power of n
    where no level is rare; it is finite where y is 0, and may be negative.

    Args:
        x, y: counts of p and q at the same levels; n and m are their sums.

    Example:
        >>> x, y = np.array([30.0, 70.0]), np.array([50.0, 50.0])
        >>> round(float(x @ terms(x, y)) / 100.0, 4)
        0.0723

    Source: Zhang and Grabchak (2014), Nonparametric estimation of Kullback-Leibler divergence, whose
    series is this difference of digamma functions.
    """
    found = np.zeros(len(x))
    held = x > 0.0
    n, m = float(x.sum()), float(y.sum())
    found[held] = (
        special.digamma(x[held])
        - special.digamma(n)
        - special.digamma(y[held] + 1.0)
        + special.digamma(m + 1.0)
    )
    return found


def against_known(x: Levels, log_q: Levels) -> tuple[float, float]:
    """Returns the mean of psi(x) - psi(n) - log q over the rows of p, which estimates KL(p||q), and its error.

    Args:
        x: counts of p.
        log_q: log probabilities of q at the same levels.

    Source: Zhang (2012), Entropy estimation in Turing's perspective.
    """
    held = x > 0.0
    counts, logs = x[held], log_q[held]
    n = float(counts.sum())
    value = float(counts @ (special.digamma(counts) - special.digamma(n) - logs)) / n
    ratio = np.log(counts / n) - logs
    spread = float(counts @ ratio**2) / n - (float(counts @ ratio) / n) ** 2
    # Where p = q only the chi-square of the counts is left.
    return value, math.sqrt(max(spread, 0.0) / n + 0.5 * (len(counts) - 1.0) / n**2)


def shares(x: Levels) -> Levels:
    """Returns probabilities that are nowhere 0, for errors: half a row more at each level."""
    return (x + 0.5) / (x.sum() + 0.5 * len(x))


def variance(x: Levels, y: Levels, within: Levels | float = 0.0) -> tuple[float, float]:
    """Returns the variance of the estimate, and of it what is left where p = q.

    The delta method gives Var_p[log p/q] / n + (sum p^2/q - 1) / m; what is of second order,
    sum (1/n + (p/q)/m)^2 / 2, is all there is where p = q.

    Args:
        x, y: as in `terms`.
        within: what is added to log p/q at each level.
    """
    n, m = float(x.sum()), float(y.sum())
    p, q = shares(x), shares(y)
    log_ratio, ratio = np.log(p / q) + within, p / q
    of_p = float(p @ log_ratio**2 - (p @ log_ratio) ** 2) / n
    of_q = max(float(p @ ratio) - 1.0, 0.0) / m
    second = 0.5 * float(np.sum((1.0 / n + ratio / m) ** 2))
    return of_p + of_q + second, second


def unseen(x: Levels, y: Levels) -> float:
    """Returns the share of p's rows at levels that q has not."""
    return float(x[y <= 0.0].sum() / x.sum())
