"""Closed forms of many pairs at once."""

import numpy as np
from jaxtyping import Float
from scipy import special

from kullback.measure.closed_form import NORMAL_ERROR, is_near, near_excess, phi

Numbers = Float[np.ndarray, " *b"]


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
