"""Closed forms of Gaussians in any dimension, exact also where p is close to q.

With M = Lq^-1 (Sp - Sq) Lq^-T and z = Lq^-1 (mp - mq),

    KL(p||q) = 1/2 [tr M - log det(I + M) + z'z],

where tr M - log det(I + M) = sum_i (m_i - log(1 + m_i)) over the eigenvalues of M, each term
non-negative; M is formed from the difference of the covariances, not the other way round.
"""

import math
from typing import Any

import numpy as np
from jaxtyping import Float
from mpmath import mp
from scipy import linalg

from kullback.distributions._base import Distribution
from kullback.distributions._compound import Product
from kullback.distributions._real import Normal
from kullback.distributions._vector import MultivariateNormal
from kullback.estimators._outcome import Outcome, exact

_METHOD = "closed form"
#: Above this condition number float64 is not enough; up to this dimension mpmath is quick.
_CONDITION = 1e3
_SMALL = 24


def as_gaussian(p: Distribution) -> MultivariateNormal | None:
    """Returns a Gaussian vector as one object; None if it is not Gaussian."""
    if isinstance(p, MultivariateNormal):
        return p
    if isinstance(p, Normal):
        return MultivariateNormal(np.array([float(p.loc)]), np.array([[float(p.scale)]]))
    if isinstance(p, Product):
        parts = [as_gaussian(part) for part in p.parts]
        known = [part for part in parts if part is not None]
        if len(known) == len(parts):
            locs, roots = [g.loc for g in known], [g.scale_tril for g in known]
            return MultivariateNormal(np.concatenate(locs), np.asarray(linalg.block_diag(*roots)))
    return None


def kl(p: MultivariateNormal, q: MultivariateNormal) -> Outcome:
    """Returns KL(p||q)."""
    d = len(p.loc)
    condition = min(float(np.linalg.cond(q.scale_tril)), 1e150) ** 2
    if condition > _CONDITION and d <= _SMALL:
        digits = 60 + int(2.0 * math.log10(condition))
        return exact(_kl_in_many_digits(p, q, digits), _METHOD)
    value = 0.5 * (_covariance_part(p, q) + _mean_part(p, q))
    if condition > _CONDITION:
        error = value * min(1.0, 10.0 * d * condition * 2.0**-52)
        return Outcome(value, error, "numeric", _METHOD, notes=(f"condition {condition:.1e}",))
    return exact(value, _METHOD)


def entropy(p: MultivariateNormal) -> Outcome:
    """Returns H(p)."""
    half_log_det = float(np.log(np.diag(p.scale_tril)).sum())
    return exact(half_log_det + 0.5 * len(p.loc) * (1.0 + math.log(2.0 * math.pi)), _METHOD)


def cross_entropy(p: MultivariateNormal, q: MultivariateNormal) -> Outcome:
    """Returns -E_p[log q]."""
    half_log_det = float(np.log(np.diag(q.scale_tril)).sum())
    spread = linalg.solve_triangular(q.scale_tril, p.scale_tril, lower=True)
    quadratic = float(np.sum(spread**2)) + _mean_part(p, q)
    return exact(half_log_det + 0.5 * (len(p.loc) * math.log(2.0 * math.pi) + quadratic), _METHOD)


def renyi(p: MultivariateNormal, q: MultivariateNormal, alpha: float) -> float:
    """Returns 1/(alpha-1) log of the integral of p^alpha q^(1-alpha); inf where it diverges."""
    mixed = alpha * q.covariance + (1.0 - alpha) * p.covariance
    try:
        root = np.linalg.cholesky(mixed)
    except np.linalg.LinAlgError:
        return math.inf
    z = linalg.solve_triangular(root, p.loc - q.loc, lower=True)
    logs = [2.0 * float(np.log(np.diag(r)).sum()) for r in (root, p.scale_tril, q.scale_tril)]
    volume = logs[0] - (1.0 - alpha) * logs[1] - alpha * logs[2]
    return 0.5 * alpha * float(z @ z) + 0.5 * volume / (1.0 - alpha)


def _mean_part(p: MultivariateNormal, q: MultivariateNormal) -> float:
    z = linalg.solve_triangular(q.scale_tril, p.loc - q.loc, lower=True)
    return float(z @ z)


def _covariance_part(p: MultivariateNormal, q: MultivariateNormal) -> float:
    """tr M - log det(I + M)"""
    if p.given is not None and q.given is not None:
        half = linalg.solve_triangular(q.scale_tril, p.given - q.given, lower=True)
        m = linalg.solve_triangular(q.scale_tril, half.T, lower=True)
    else:
        b = linalg.solve_triangular(q.scale_tril, p.scale_tril - q.scale_tril, lower=True)
        m = b + b.T + b @ b.T
    eigenvalues = np.linalg.eigvalsh(0.5 * (m + m.T))
    if np.abs(eigenvalues).max(initial=0.0) < 0.5:
        return float(np.sum(excess(eigenvalues)))
    spread = linalg.solve_triangular(q.scale_tril, p.scale_tril, lower=True)
    log_det = 2.0 * np.log(np.diag(p.scale_tril) / np.diag(q.scale_tril))
    return float(np.sum(spread**2) - len(m) - log_det.sum())


def excess(x: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Returns x - log(1 + x) >= 0, accurate near 0."""
    near = np.abs(x) < 0.05
    small = np.where(near, x, 0.0)
    powers = np.arange(2, 16)
    series = np.sum((-1.0) ** powers * small[..., None] ** powers / powers, axis=-1)
    with np.errstate(divide="ignore"):
        return np.where(near, series, x - np.log1p(x))


def _kl_in_many_digits(p: MultivariateNormal, q: MultivariateNormal, digits: int) -> float:
    d = len(p.loc)
    with mp.workdps(digits):
        roots = [_root(g) for g in (p, q)]
        inverse = roots[1] ** -1
        spread = inverse * roots[0]
        z = inverse * (mp.matrix(p.loc.tolist()) - mp.matrix(q.loc.tolist()))
        trace = mp.fsum(v**2 for v in spread)
        log_det = 2 * mp.fsum(mp.log(roots[0][i, i] / roots[1][i, i]) for i in range(d))
        return float((trace - d - log_det + mp.fsum(v**2 for v in z)) / 2)


def _root(g: MultivariateNormal) -> Any:
    if g.given is None:
        return mp.matrix(g.scale_tril.tolist())
    return mp.cholesky(mp.matrix(g.given.tolist()))
