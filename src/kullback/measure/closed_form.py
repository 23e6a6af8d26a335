"""Closed forms: which pairs have one, and its value to the rounding of a float64."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy
from jaxtyping import Float
from mpmath import mp
from scipy import special

from kullback.distributions.base import Distribution
from kullback.distributions.compound import Product
from kullback.distributions.real import Normal
from kullback.distributions.scalar import Scalar
from kullback.distributions.statistics import Number, Statistic
from kullback.distributions.vector import (
    Categorical,
    Directional,
    Dirichlet,
    Multinomial,
    MultivariateNormal,
    Wishart,
)
from kullback.measure.batch import NORMAL_ERROR, excess, is_near, near_excess, phi
from kullback.measure.question import Question
from kullback.results.estimate import Outcome, exact, infinite

_METHOD = "closed form"


def kl(p: Distribution, q: Distribution) -> Outcome | None:
    """Returns KL(p||q) where it has a closed form. q must cover p's support."""
    if isinstance(p, Scalar) and isinstance(q, Scalar):
        return statistic_kl(p, q)
    gaussians = as_gaussian(p), as_gaussian(q)
    if gaussians[0] is not None and gaussians[1] is not None:
        return gaussian_kl(gaussians[0], gaussians[1])
    match p, q:
        case Categorical(), Categorical():
            return _categorical(*_of_one_length(p, q))
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
        return statistic_cross_entropy(p, p)
    gaussian = as_gaussian(p)
    if gaussian is not None:
        return gaussian_entropy(gaussian)
    match p:
        case Categorical():
            return exact(
                float(special.entr(p.probabilities / p.probabilities.sum()).sum()), _METHOD
            )
    return None


def cross_entropy(p: Distribution, q: Distribution) -> Outcome | None:
    """Returns -E_p[log q] where it has a closed form. q must cover p's support."""
    if isinstance(p, Scalar) and isinstance(q, Scalar):
        return statistic_cross_entropy(p, q)
    gaussians = as_gaussian(p), as_gaussian(q)
    if gaussians[0] is not None and gaussians[1] is not None:
        return gaussian_cross_entropy(gaussians[0], gaussians[1])
    match p, q:
        case Categorical(), Categorical():
            p, q = _of_one_length(p, q)
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
    renyi = gaussian_renyi(gaussians[0], gaussians[1], alpha)
    if math.isinf(renyi):
        return infinite(f"tails: the integral of p^{alpha:g} q^{1 - alpha:g} diverges", _METHOD)
    change = math.expm1((alpha - 1.0) * renyi)
    match question.name:
        case "renyi":
            return exact(renyi, _METHOD)
        case "squared_hellinger":
            return exact(-change, _METHOD)
        case "alpha":
            return exact(change / (alpha * (alpha - 1.0)), _METHOD)
        case _:
            return exact(change, _METHOD)


def _of_one_length(p: Categorical, q: Categorical) -> tuple[Categorical, Categorical]:
    """Outcomes that only one of the two knows have probability 0 under the other."""
    k = max(len(p.probabilities), len(q.probabilities))
    return _longer(p, k), _longer(q, k)


def _longer(p: Categorical, k: int) -> Categorical:
    more = k - len(p.probabilities)
    if more == 0:
        return p
    logs, logits = (
        v if v is None else np.pad(v, (0, more), constant_values=-math.inf)
        for v in (p.log_probabilities, p.logits)
    )
    assert logs is not None
    return Categorical(logs, np.pad(p.probabilities, (0, more)), p.one_hot, logits)


def _categorical(p: Categorical, q: Categorical) -> Outcome:
    """sum_i q_i [(1 + r_i) log(1 + r_i) - r_i] with r = p/q - 1, each term non-negative."""
    a = p.probabilities / p.probabilities.sum()
    b = q.probabilities / q.probabilities.sum()
    unseen = np.isneginf(q.log_probabilities) & ~np.isneginf(p.log_probabilities)
    if unseen.any():
        mass = float(a[unseen].sum())
        size = f"{mass:.3g}" if mass > 0.0 else "below 1e-300"
        return infinite(
            f"support: q is 0 on {int(unseen.sum())} outcome(s) where p has mass {size}", _METHOD
        )
    seen = a > 0.0
    with np.errstate(all="ignore"):
        log_ratio = p.log_probabilities - q.log_probabilities
        terms = np.where(seen, a * log_ratio - a + b, b)
    near = seen & (np.abs(log_ratio) <= 0.5)
    if near.any():
        terms[near] = b[near] * phi(_relative(p, q, a, b)[near])
    return exact(float(terms.sum()), _METHOD)


def _relative(
    p: Categorical, q: Categorical, a: Float[np.ndarray, " k"], b: Float[np.ndarray, " k"]
) -> Float[np.ndarray, " k"]:
    """p/q - 1, from what was given."""
    with np.errstate(all="ignore"):
        if p.logits is None or q.logits is None:
            return np.where(b > 0.0, (a - b) / b, 0.0)
        # An outcome that only q knows has p/q = 0.
        shift = np.where(np.isneginf(q.logits), 0.0, p.logits - q.logits)
        shift = shift - shift[np.argmax(np.where(np.isfinite(shift), b, -1.0))]
        return np.expm1(shift - np.log1p(np.sum(b * np.expm1(np.minimum(shift, 700.0)))))


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

    return resolve(terms, sign_known=True)


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

    return resolve(terms, sign_known=True)


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

    return resolve(terms, sign_known=False)


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

    return resolve(terms, sign_known=True)


# Closed forms of Gaussians in any dimension, exact also where p is close to q.

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
            return MultivariateNormal(
                np.concatenate(locs), np.asarray(scipy.linalg.block_diag(*roots))
            )
    return None


def gaussian_kl(p: MultivariateNormal, q: MultivariateNormal) -> Outcome:
    """Returns KL(p||q)."""
    d, whiten = len(p.loc), _inverse(q.scale_tril)
    condition = _condition(q.scale_tril, whiten)
    if condition > _CONDITION and d <= _SMALL:
        digits = 60 + int(2.0 * math.log10(condition))
        return exact(_kl_in_many_digits(p, q, digits), _METHOD)
    z = whiten @ (p.loc - q.loc)
    value = 0.5 * (_covariance_part(p, q, whiten) + float(z @ z))
    if condition > _CONDITION:
        error = value * min(1.0, 10.0 * d * condition * 2.0**-52)
        return Outcome(value, error, "numeric", _METHOD, notes=(f"condition {condition:.1e}",))
    return exact(value, _METHOD)


def _inverse(root: Float[np.ndarray, "d d"]) -> Float[np.ndarray, "d d"]:
    """Returns the inverse of a triangular root: four products with it cost less than four solves."""
    return scipy.linalg.lapack.dtrtri(root, lower=1)[0]


def _condition(root: Float[np.ndarray, "d d"], inverse: Float[np.ndarray, "d d"]) -> float:
    """Returns the condition number of root root', or a bound on it where that shows it to be harmless."""
    # |A|_2^2 <= |A|_1 |A|_inf
    one, sizes = np.ones(len(root)), (np.abs(root), np.abs(inverse))
    bound = math.prod(float((size @ one).max()) * float((one @ size).max()) for size in sizes)
    if bound < _CONDITION:
        return bound
    return min(float(np.linalg.cond(root)), 1e150) ** 2


def gaussian_entropy(p: MultivariateNormal) -> Outcome:
    """Returns H(p)."""
    half_log_det = float(np.log(np.diag(p.scale_tril)).sum())
    return exact(half_log_det + 0.5 * len(p.loc) * (1.0 + math.log(2.0 * math.pi)), _METHOD)


def gaussian_cross_entropy(p: MultivariateNormal, q: MultivariateNormal) -> Outcome:
    """Returns -E_p[log q]."""
    half_log_det = float(np.log(np.diag(q.scale_tril)).sum())
    whiten = _inverse(q.scale_tril)
    spread, z = whiten @ p.scale_tril, whiten @ (p.loc - q.loc)
    quadratic = float(np.sum(spread**2)) + float(z @ z)
    return exact(half_log_det + 0.5 * (len(p.loc) * math.log(2.0 * math.pi) + quadratic), _METHOD)


def gaussian_renyi(p: MultivariateNormal, q: MultivariateNormal, alpha: float) -> float:
    """Returns 1/(alpha-1) log of the integral of p^alpha q^(1-alpha); inf where it diverges."""
    mixed = alpha * q.covariance + (1.0 - alpha) * p.covariance
    try:
        root = np.linalg.cholesky(mixed)
    except np.linalg.LinAlgError:
        return math.inf
    z = scipy.linalg.solve_triangular(root, p.loc - q.loc, lower=True)
    logs = [2.0 * float(np.log(np.diag(r)).sum()) for r in (root, p.scale_tril, q.scale_tril)]
    volume = logs[0] - (1.0 - alpha) * logs[1] - alpha * logs[2]
    return 0.5 * alpha * float(z @ z) + 0.5 * volume / (1.0 - alpha)


def _covariance_part(
    p: MultivariateNormal, q: MultivariateNormal, whiten: Float[np.ndarray, "d d"]
) -> float:
    """tr M - log det(I + M), M being the covariance of p in units of q's, less the identity."""
    if p.given is not None and q.given is not None:
        m = whiten @ (p.given - q.given) @ whiten.T
    else:
        b = whiten @ (p.scale_tril - q.scale_tril)
        m = b + b.T + b @ b.T
    # Only where p is close to q does the difference cancel: far eigenvalues are known from M's size.
    diagonal = m.diagonal()
    if np.abs(diagonal).max() < 0.5 and float(np.vdot(m, m)) < 0.25 * len(m):
        eigenvalues = np.linalg.eigvalsh(0.5 * (m + m.T))
        if np.abs(eigenvalues).max(initial=0.0) < 0.5:
            return float(np.sum(excess(eigenvalues)))
    log_det = 2.0 * np.log(p.scale_tril.diagonal() / q.scale_tril.diagonal())
    return float(diagonal.sum() - log_det.sum())


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


# Closed forms of scalars: KL(p||q) = sum_s (c_s(p) - c_s(q)) E_p[s], in as many digits as it takes.

_MOST_DIGITS = 700

Terms = list[Number] | None


def statistic_kl(p: Scalar, q: Scalar) -> Outcome | None:
    """Returns KL(p||q), or None where a mean is not known. q must cover p's support."""
    if p == q:
        return exact(0.0, _METHOD)
    if isinstance(p, Normal) and isinstance(q, Normal):
        found = _normals(p, q)
        if found is not None:
            return found
    return resolve(lambda: _terms(p, _difference(p.terms(), q.terms())), sign_known=True)


#: Values whose squares neither overflow nor lose digits.
_ORDINARY = (1e-280, 1e280)


def _normals(p: Normal, q: Normal) -> Outcome | None:
    """The same in a few operations, for the pair that is asked for most; None where float64 is not enough."""
    numbers_given = (p.loc, p.scale, q.loc, q.scale)
    if not all(isinstance(v, float) for v in numbers_given):
        return None
    loc_p, scale_p, loc_q, scale_q = (float(v) for v in numbers_given)
    r, z = (scale_p - scale_q) / scale_q, (loc_p - loc_q) / scale_q
    m = r * (2.0 + r)
    # A difference of two floats is right to rounding, and so is all that follows.
    spread = near_excess(m) if is_near(m) else m - 2.0 * math.log(scale_p / scale_q)
    value = 0.5 * (spread + z * z)
    least, most = _ORDINARY
    if not (least < value < most and scale_p / scale_q > least):
        return None
    return Outcome(value, NORMAL_ERROR * value, "exact", _METHOD)


def statistic_cross_entropy(p: Scalar, q: Scalar) -> Outcome | None:
    """Returns -E_p[log q], or None where a mean is not known."""
    return resolve(lambda: _terms(p, {s: -c for s, c in q.terms().items()}), sign_known=False)


def _difference(
    left: dict[Statistic, Number], right: dict[Statistic, Number]
) -> dict[Statistic, Number]:
    zero = mp.mpf(0)
    return {s: left.get(s, zero) - right.get(s, zero) for s in [*left, *right]}


def _terms(p: Scalar, coefficients: dict[Statistic, Number]) -> Terms:
    means = {s: p.mean_of(s) for s, c in coefficients.items() if c != 0}
    if any(m is None or mp.isnan(m) for m in means.values()):
        return None
    return [coefficients[s] * m for s, m in means.items()]


def resolve(terms: Callable[[], Terms], *, sign_known: bool) -> Outcome | None:
    """Returns the sum of the terms, to the rounding of a float64 whatever cancels."""
    digits = 30
    while True:
        with mp.workdps(digits):
            parts = terms()
            if parts is None:
                return None
            diverging = [t for t in parts if mp.isinf(t)]
            if diverging:
                return _diverged(diverging)
            value = mp.fsum(parts)
            largest = max((abs(t) for t in parts), default=mp.mpf(0))
            lost = mp.log10(largest / abs(value)) if value != 0 else mp.inf
            if largest == 0 or lost < digits - 20:
                return _rounded(float(value), sign_known=sign_known)
            if digits >= _MOST_DIGITS:
                # The two are the same distribution under different names.
                return exact(0.0, _METHOD)
            needed = int(lost) + 40 if mp.isfinite(lost) else 2 * digits
            digits = min(max(needed, digits + 20), _MOST_DIGITS)


def _diverged(parts: list[Number]) -> Outcome | None:
    if all(t > 0 for t in parts):
        return infinite("tails: a moment of p that log q needs is infinite", _METHOD)
    return None


def _rounded(value: float, *, sign_known: bool) -> Outcome | None:
    if math.isinf(value):
        return infinite("overflow: finite, but above the largest float64", _METHOD)
    assert not sign_known or value >= 0.0, "a KL in closed form is never negative"
    return exact(value, _METHOD)
