"""Closed forms: which pairs have one, and its value to the rounding of a float64."""

import math
from typing import Any

import numpy as np
from jaxtyping import Float
from mpmath import mp
from scipy import special

from kullback.distributions._base import Distribution
from kullback.distributions._scalar import Scalar
from kullback.distributions._vector import Categorical, Directional, Dirichlet, Multinomial, Wishart
from kullback.estimators import _gaussian_rule, _statistic_rule
from kullback.estimators._gaussian_rule import as_gaussian
from kullback.estimators._outcome import Outcome, exact, infinite
from kullback.estimators._question import Question

_METHOD = "closed form"


def kl(p: Distribution, q: Distribution) -> Outcome | None:
    """Returns KL(p||q) where it has a closed form. q must cover p's support."""
    if isinstance(p, Scalar) and isinstance(q, Scalar):
        return _statistic_rule.kl(p, q)
    gaussians = as_gaussian(p), as_gaussian(q)
    if gaussians[0] is not None and gaussians[1] is not None:
        return _gaussian_rule.kl(gaussians[0], gaussians[1])
    match p, q:
        case Categorical(), Categorical():
            return _categorical(p, q)
        case Multinomial(), Multinomial() if p.total == q.total:
            return _categorical(p.chances, q.chances).scaled(p.total)
        case Dirichlet(), Dirichlet():
            return _dirichlet(p.concentration, q.concentration)
        case Wishart(), Wishart():
            return _wishart(p, q)
        case Directional(), Directional():
            return _directional(p, q)
    return None


def entropy(p: Distribution) -> Outcome | None:
    """Returns H(p) where it has a closed form."""
    if isinstance(p, Scalar):
        return _statistic_rule.cross_entropy(p, p)
    gaussian = as_gaussian(p)
    if gaussian is not None:
        return _gaussian_rule.entropy(gaussian)
    match p:
        case Categorical():
            return exact(
                float(special.entr(p.probabilities / p.probabilities.sum()).sum()), _METHOD
            )
    return None


def cross_entropy(p: Distribution, q: Distribution) -> Outcome | None:
    """Returns -E_p[log q] where it has a closed form. q must cover p's support."""
    if isinstance(p, Scalar) and isinstance(q, Scalar):
        return _statistic_rule.cross_entropy(p, q)
    gaussians = as_gaussian(p), as_gaussian(q)
    if gaussians[0] is not None and gaussians[1] is not None:
        return _gaussian_rule.cross_entropy(gaussians[0], gaussians[1])
    match p, q:
        case Categorical(), Categorical():
            seen = p.probabilities > 0.0
            weights = p.probabilities[seen] / p.probabilities.sum()
            return exact(-float(weights @ q.log_probabilities[seen]), _METHOD)
    return None


def power_divergence(question: Question, p: Distribution, q: Distribution) -> Outcome | None:
    """Returns a function of the integral of p^a q^(1-a) for Gaussians."""
    gaussians = as_gaussian(p), as_gaussian(q)
    alpha = question.order
    if alpha is None or gaussians[0] is None or gaussians[1] is None:
        return None
    renyi = _gaussian_rule.renyi(gaussians[0], gaussians[1], alpha)
    if math.isinf(renyi):
        return infinite(f"tails: the integral of p^{alpha:g} q^{1 - alpha:g} diverges", _METHOD)
    change = math.expm1((alpha - 1.0) * renyi)
    match question.quantity:
        case "renyi":
            return exact(renyi, _METHOD)
        case "squared_hellinger":
            return exact(-change, _METHOD)
        case "alpha":
            return exact(change / (alpha * (alpha - 1.0)), _METHOD)
        case _:
            return exact(change, _METHOD)


def _categorical(p: Categorical, q: Categorical) -> Outcome:
    """sum_i q_i [(1 + r_i) log(1 + r_i) - r_i] with r = p/q - 1, each term non-negative."""
    a = p.probabilities / p.probabilities.sum()
    b = q.probabilities / q.probabilities.sum()
    unseen = (a > 0.0) & (b == 0.0) & np.isneginf(q.log_probabilities)
    if unseen.any():
        mass = float(a[unseen].sum())
        return infinite(
            f"support: q is 0 on {int(unseen.sum())} outcome(s) where p has mass {mass:.3g}",
            _METHOD,
        )
    seen = a > 0.0
    log_ratio = (p.log_probabilities - q.log_probabilities)[seen]
    far = np.abs(log_ratio) > 0.5
    terms = special.xlogy(a[seen], 1.0) + a[seen] * log_ratio - a[seen] + b[seen]
    near_terms = b[seen] * _phi(_relative(p, q, a, b)[seen])
    return exact(float(np.where(far, terms, near_terms).sum() + b[~seen].sum()), _METHOD)


def _relative(
    p: Categorical, q: Categorical, a: Float[np.ndarray, " k"], b: Float[np.ndarray, " k"]
) -> Float[np.ndarray, " k"]:
    """p/q - 1, from what was given."""
    with np.errstate(all="ignore"):
        if p.logits is None or q.logits is None:
            return np.where(b > 0.0, (a - b) / b, 0.0)
        shift = np.where(np.isfinite(p.logits) & np.isfinite(q.logits), p.logits - q.logits, 0.0)
        shift = shift - shift[np.argmax(b)]
        return np.expm1(shift - np.log1p(np.sum(b * np.expm1(np.minimum(shift, 700.0)))))


def _phi(r: Float[np.ndarray, " k"]) -> Float[np.ndarray, " k"]:
    """(1 + r) log(1 + r) - r >= 0, accurate near 0"""
    near = np.abs(r) < 0.05
    small = np.where(near, r, 0.0)
    k = np.arange(2, 16)
    series = np.sum((-1.0) ** k * small[..., None] ** k / (k * (k - 1.0)), axis=-1)
    with np.errstate(all="ignore"):
        return np.where(near, series, special.xlog1py(1.0 + r, r) - r)


def _dirichlet(a: Float[np.ndarray, " k"], b: Float[np.ndarray, " k"]) -> Outcome | None:
    if len(a) != len(b):
        return None
    if np.array_equal(a, b):
        return exact(0.0, _METHOD)

    def terms() -> list[Any]:
        left, right = [mp.mpf(float(v)) for v in a], [mp.mpf(float(v)) for v in b]
        totals = mp.fsum(left), mp.fsum(right)
        constant = [mp.loggamma(totals[0]), -mp.loggamma(totals[1])]
        middle = mp.digamma(totals[0])
        for x, y in zip(left, right, strict=True):
            constant += [mp.loggamma(y) - mp.loggamma(x), (x - y) * (mp.digamma(x) - middle)]
        return constant

    return _statistic_rule.resolve(terms, sign_known=True)


def _wishart(p: Wishart, q: Wishart) -> Outcome | None:
    """Half the Bregman divergence of log Gamma_d plus df/2 times that of -log det."""
    d = p.scale_tril.shape[0]
    if q.scale_tril.shape[0] != d:
        return None

    def terms() -> list[Any]:
        n, m = mp.mpf(p.df), mp.mpf(q.df)
        root_p, root_q = mp.matrix(p.scale_tril.tolist()), mp.matrix(q.scale_tril.tolist())
        spread = root_q**-1 * root_p
        log_det = 2 * mp.fsum(mp.log(root_p[i, i] / root_q[i, i]) for i in range(d))
        halves = [mp.mpf(i) / 2 for i in range(d)]
        gammas = [mp.loggamma(m / 2 - h) - mp.loggamma(n / 2 - h) for h in halves]
        digammas = [(n - m) / 2 * mp.digamma(n / 2 - h) for h in halves]
        trace = n / 2 * (mp.fsum(v**2 for v in spread) - d)
        return [*gammas, *digammas, trace, -m / 2 * log_det]

    return _statistic_rule.resolve(terms, sign_known=True)


def _directional(p: Directional, q: Directional) -> Outcome | None:
    if p.power != q.power or len(p.mean) != len(q.mean):
        return None
    d = len(p.mean)
    cosine = float(np.clip(p.mean @ q.mean, -1.0, 1.0))
    if p.power:
        return _power_spherical(p, q) if math.isclose(cosine, 1.0, abs_tol=1e-15) else None

    def terms() -> list[Any]:
        a, b, order = mp.mpf(p.concentration), mp.mpf(q.concentration), mp.mpf(d) / 2 - 1
        mean = mp.besseli(order + 1, a) / mp.besseli(order, a) if a > 0 else mp.mpf(0)
        logs = [_log_vmf(b, order), -_log_vmf(a, order)]
        inner = mp.fsum(
            mp.mpf(float(u)) * mp.mpf(float(v)) for u, v in zip(p.mean, q.mean, strict=True)
        )
        return [*logs, a * mean, -b * mean * inner]

    return _statistic_rule.resolve(terms, sign_known=False)


def _log_vmf(kappa: Any, order: Any) -> Any:
    """log of the integral of exp(kappa mean.x) over the sphere, less what p and q share"""
    if kappa == 0:
        return -order * mp.log(2) - mp.loggamma(order + 1)
    return mp.log(mp.besseli(order, kappa)) - order * mp.log(kappa)


def _power_spherical(p: Directional, q: Directional) -> Outcome | None:
    """With one mean direction, t = mean.x is a shifted Beta(a, b): two Betas with the same b."""

    def terms() -> list[Any]:
        b = mp.mpf(len(p.mean) - 1) / 2
        first, second = b + mp.mpf(p.concentration), b + mp.mpf(q.concentration)
        logs = [
            mp.loggamma(second),
            -mp.loggamma(second + b),
            -mp.loggamma(first),
            mp.loggamma(first + b),
        ]
        return [*logs, (first - second) * (mp.digamma(first) - mp.digamma(first + b))]

    return _statistic_rule.resolve(terms, sign_known=True)
