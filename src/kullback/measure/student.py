"""Closed forms between Student's t and Gaussians in many coordinates."""

import math

import numpy as np
import scipy
from scipy import special

from kullback.distributions.base import Array, Distribution
from kullback.distributions.student import MultivariateT, log_constant
from kullback.distributions.vector import MultivariateNormal
from kullback.results.estimate import Outcome, infinite
from kullback.solvers.quadrature import integrate

_METHOD = "closed form"


def student_kl(p: Distribution, q: Distribution) -> Outcome | None:
    """Returns the KL between a t and a Gaussian; None for anything else."""
    match p, q:
        case MultivariateT(), MultivariateNormal():
            if p.df <= 2.0:
                return infinite("tails: p has no variance, which log q needs", _METHOD)
            covariance = p.scale_tril @ p.scale_tril.T * (p.df / (p.df - 2.0))
            cross, own = _normal_cross_entropy(p.loc, covariance, q), _entropy(p)
            error = 1e-15 * (abs(cross) + abs(own) + p.df + len(p.loc))
            return Outcome(max(cross - own, 0.0), error, "numeric", _METHOD)
        case MultivariateNormal(), MultivariateT():
            return _of_normal(p, q)
    return None


def _entropy(p: MultivariateT) -> float:
    d = len(p.loc)
    digammas = float(special.digamma(0.5 * (p.df + d)) - special.digamma(0.5 * p.df))
    log_det = float(np.log(np.diag(p.scale_tril)).sum())
    return log_det - log_constant(p.df, d) + 0.5 * (p.df + d) * digammas


def _normal_cross_entropy(loc: Array, covariance: Array, q: MultivariateNormal) -> float:
    half = scipy.linalg.solve_triangular(q.scale_tril, covariance, lower=True)
    spread = float(np.trace(scipy.linalg.solve_triangular(q.scale_tril, half.T, lower=True)))
    z = scipy.linalg.solve_triangular(q.scale_tril, loc - q.loc, lower=True)
    log_det = float(np.log(np.diag(q.scale_tril)).sum())
    return log_det + 0.5 * (len(loc) * math.log(2.0 * math.pi) + spread + float(z @ z))


def _of_normal(p: MultivariateNormal, q: MultivariateT) -> Outcome:
    """E[log(1 + Q)] = int_0^inf (1 - E[exp(-s Q)]) exp(-s) / s ds, Q a quadratic form of normals."""
    d = len(p.loc)
    root = scipy.linalg.solve_triangular(q.scale_tril, p.scale_tril, lower=True)
    left, sizes, _ = np.linalg.svd(root)
    shift = left.T @ scipy.linalg.solve_triangular(q.scale_tril, p.loc - q.loc, lower=True)
    weights, offsets = sizes**2 / q.df, shift**2 / q.df

    def columns(s: np.ndarray, speed: np.ndarray) -> np.ndarray:
        wide = 1.0 + 2.0 * s[:, None] * weights
        log_mean = -0.5 * np.log(wide).sum(axis=1) - (s[:, None] * offsets / wide).sum(axis=1)
        return (-np.expm1(log_mean) / s * np.exp(speed - s))[:, None]

    scale = 1.0 / float(weights.sum() + offsets.sum() + 1e-300)
    points = np.unique(
        np.concatenate([np.geomspace(1e-3, 1.0, 13), scale * np.geomspace(1e-3, 1e3, 25)])
    )
    found = integrate(columns, points[(points > 1e-150) & (points < 700.0)], 0.0, math.inf)
    log_det = float(np.log(np.diag(q.scale_tril)).sum())
    cross = log_det - log_constant(q.df, d) + 0.5 * (q.df + d) * float(found.value[0])
    own = float(np.log(np.diag(p.scale_tril)).sum()) + 0.5 * d * (1.0 + math.log(2.0 * math.pi))
    sizes_added = abs(cross) + abs(own) + abs(log_constant(q.df, d))
    error = 0.5 * (q.df + d) * float(found.error[0]) + 1e-15 * sizes_added
    return Outcome(max(cross - own, 0.0), error, "numeric", _METHOD, found.evaluations)
