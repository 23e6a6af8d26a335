"""Closed forms of many pairs at once."""

import numpy as np
from jaxtyping import Float
from scipy import special

from kullback.measure.closed_form import excess, phi

Numbers = Float[np.ndarray, " *b"]


def normal_kls(
    loc_p: Numbers, scale_p: Numbers, loc_q: Numbers, scale_q: Numbers
) -> tuple[Numbers, Numbers]:
    """Returns KL(p||q) of normals, and a bound on the rounding, exact also where p is close to q."""
    with np.errstate(all="ignore"):
        r = (scale_p - scale_q) / scale_q
        z = (loc_p - loc_q) / scale_q
        m = r * (2.0 + r)
        value = 0.5 * (_excess(m, r) + z * z)
    return value, 8.0 * 2.0**-52 * np.abs(value)


def _excess(m: Numbers, r: Numbers) -> Numbers:
    """m - log(1 + m) with 1 + m = (1 + r)^2"""
    far = m - 2.0 * np.log1p(r)
    near = np.abs(m) < 0.05
    if near.any():
        far[near] = excess(m[near])
    return far


def row_kls(p: Float[np.ndarray, "*b k"], q: Float[np.ndarray, "*b k"]) -> tuple[Numbers, Numbers]:
    """Returns KL(p||q) of rows of probabilities that sum to 1, inf where q is 0 and p is not."""
    p, q = np.broadcast_arrays(p, q)
    terms = special.rel_entr(p, q) - p + q
    near = np.abs(p - q) < 0.05 * q
    if near.any():
        r = (p[near] - q[near]) / q[near]
        terms[near] = q[near] * phi(r)
    return terms.sum(axis=-1), 4.0 * 2.0**-52 * np.abs(terms).sum(axis=-1)
