"""Closed forms of many pairs at once, and the functions in them that must not cancel."""

from typing import Any

import numpy as np
from jaxtyping import Float
from scipy import special

Numbers = Float[np.ndarray, " *b"]

#: The rounding of the few operations that take the KL of two normals from their parameters.
NORMAL_ERROR = 16.0 * 2.0**-52


def normal_kls(
    loc_p: Numbers, scale_p: Numbers, loc_q: Numbers, scale_q: Numbers
) -> tuple[Numbers, Numbers]:
    """Returns KL(p||q) of normals, and a bound on the rounding, exact also where p is close to q."""
    with np.errstate(all="ignore"):
        r = (scale_p - scale_q) / scale_q
        z = (loc_p - loc_q) / scale_q
        m = r * (2.0 + r)
        spread = np.asarray(m - 2.0 * np.log(scale_p / scale_q))
        near = is_near(m)
        if near.any():
            spread[near] = near_excess(m[near])
        value = 0.5 * (spread + z * z)
    return value, NORMAL_ERROR * np.abs(value)


def row_kls(p: Float[np.ndarray, "*b k"], q: Float[np.ndarray, "*b k"]) -> tuple[Numbers, Numbers]:
    """Returns KL(p||q) of rows of probabilities that sum to 1, inf where q is 0 and p is not."""
    p, q = np.broadcast_arrays(p, q)
    terms = special.rel_entr(p, q) - p + q
    near = np.abs(p - q) < 0.05 * q
    if near.any():
        r = (p[near] - q[near]) / q[near]
        terms[near] = q[near] * phi(r)
    return terms.sum(axis=-1), 4.0 * 2.0**-52 * np.abs(terms).sum(axis=-1)


def phi(r: Float[np.ndarray, " k"]) -> Float[np.ndarray, " k"]:
    """Returns (1 + r) log(1 + r) - r >= 0 for |r| < 0.6, to rounding."""
    found = special.xlog1py(1.0 + r, r) - r
    near = np.abs(r) < 0.3
    if near.any():
        s = r[near] / (2.0 + r[near])
        found[near] = 2.0 * s * s * (1.0 + (1.0 + s) * s * _atanh_rest(s, 11)) / (1.0 - s)
    return found


def _atanh_rest(s: Any, terms: int) -> Any:
    """(atanh(s) - s) / s^3 by its series; log(1 + x) is 2 atanh(x / (2 + x))."""
    square, total = s * s, 0.0 * s
    for k in range(2 * terms + 1, 1, -2):
        total = total * square + 1.0 / k
    return total


def excess(x: Float[np.ndarray, " *n"]) -> Float[np.ndarray, " *n"]:
    """Returns x - log(1 + x) >= 0, accurate near 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        value = x - np.log1p(x)
    near = is_near(x)
    if near.any():
        value[near] = near_excess(x[near])
    return value


def is_near(x: Any) -> Any:
    """Returns whether x is so close to 0 that x - log(1 + x) is taken by a series."""
    return (x > -0.5) & (x < 1.0)


def near_excess(x: Any) -> Any:
    """Returns x - log(1 + x) for -0.5 < x < 1, by x s - 2 (atanh(s) - s), s = x / (2 + x): no digits cancel."""
    s = x / (2.0 + x)
    return s * (x - 2.0 * s * s * _atanh_rest(s, 16))
