"""SciPy's families on the line by log densities of our own: SciPy's take the log of what underflows or cancels."""

import math
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
from mpmath import mp
from scipy import special

from kullback.distributions.base import Array, Distribution, Foreign, Support, rough_quantile
from kullback.interop.counts import log_scaled_bessel


def _one_plus(x: Array, n: float) -> Array:
    """1 + x / sqrt(n + x^2), without cancellation where x is far below 0"""
    root = np.hypot(math.sqrt(n), x)
    return np.where(x < 0.0, n / root / (root - x), 1.0 + x / root)


def _log_power_and_one(x: Array, power: float) -> Array:
    """log(1 + x^power), where the power itself may overflow or vanish"""
    return np.logaddexp(0.0, power * np.log(x))


def _hyperbola(x: Array, a: float, b: float) -> Array:
    """a sqrt(1 + x^2) - b x for |b| < a, without cancellation"""
    root = np.hypot(1.0, x)
    square = a * (a / np.maximum(np.abs(x), 1.0)) + (a - b) * (a + b) * np.minimum(np.abs(x), x * x)
    along = (a * root + b * x) / np.maximum(np.abs(x), 1.0)
    return np.where(b * x > 0.0, square / along, a * root - b * x)


def _log_scaled_k(order: float, x: Array) -> Array:
    """log(K_order(x) exp(x)), also where SciPy's fails far out"""
    far = x > 1e6 * (1.0 + order * order)
    flat = 0.5 * np.log(0.5 * math.pi / x) + np.log1p((order * order - 0.25) / (2.0 * x))
    return np.where(far, flat, np.log(special.kve(order, np.where(far, 1.0, x))))


def _generalized_hyperbolic(x: Array, p: float, a: float, b: float) -> Array:
    root, order = np.hypot(1.0, x), p - 0.5
    gamma = math.sqrt((a - b) * (a + b))
    constant = p * math.log(gamma) - order * math.log(a) - 0.5 * math.log(2.0 * math.pi) + gamma
    constant -= float(_log_scaled_k(p, np.array([gamma]))[0])
    return constant - _hyperbola(x, a, b) + _log_scaled_k(order, a * root) + order * np.log(root)


@cache
def _log_gauss(a: float, b: float, c: float, z: float) -> float:
    """log of B(a, b) F(c, a; a + b; -z), what a Gauss hypergeometric density is divided by"""
    with mp.workdps(30):
        return float(mp.log(mp.beta(a, b) * mp.hyp2f1(c, a, mp.mpf(a) + b, -z)))


def _noncentral_f(x: Array, m: float, n: float, c: float) -> Array:
    log_odds = np.log(x) + math.log(m / n)
    whole = np.logaddexp(0.0, log_odds)
    constant = math.log(m / n) - 0.5 * c - special.betaln(0.5 * m, 0.5 * n)
    power = (0.5 * m - 1.0) * log_odds - 0.5 * (m + n) * whole
    return (
        constant + power + _log_kummer(0.5 * (m + n), 0.5 * m, 0.5 * c * np.exp(log_odds - whole))
    )


def _log_kummer(a: float, b: float, x: Array) -> Array:
    """log of Kummer's function 1F1(a; b; x) for positive numbers: a sum of positive terms, rescaled as it grows"""
    total = term = np.ones_like(x)
    scale = np.zeros_like(x)
    for j in range(100_000):
        term = term * ((a + j) / (b + j) / (j + 1.0)) * x
        total = total + term
        if float((term / total).max(initial=0.0)) < 1e-18:
            break
        large = np.where(total > 1e200, 1e200, 1.0)
        total, term, scale = total / large, term / large, scale + np.log(large)
    return scale + np.log(total)


def _exponentiated_weibull(x: Array, a: float, c: float) -> Array:
    log_x = np.log(x)
    u = np.exp(c * log_x)
    log_below = np.where(
        u < 1.0, c * log_x + np.log(special.exprel(-np.minimum(u, 1.0))), np.log1p(-np.exp(-u))
    )
    return math.log(a * c) + (a - 1.0) * log_below + (c - 1.0) * log_x - u


def _breit_wigner(x: Array, rho: float) -> Array:
    root = math.hypot(rho, 1.0)
    constant = math.log(2.0 * math.sqrt(2.0) / math.pi * rho * root)
    constant -= 0.5 * math.log1p(root / rho)
    # (x^2 - rho^2)^2 + rho^2 is a square of up to 1e600.
    return constant - 2.0 * np.log(np.hypot((x - rho) * (x + rho), rho))


def _noncentral_chi2(x: Array, df: float, c: float) -> Array:
    order = np.full_like(x, 0.5 * df - 1.0)
    gap = (x - c) / (np.sqrt(x) + math.sqrt(c))
    tilt = 0.5 * order[:1] * (np.log(x) - math.log(c))
    return tilt - math.log(2.0) - 0.5 * gap**2 + log_scaled_bessel(order, np.sqrt(x * c))


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
        math.log(a / math.pi) + math.sqrt((a - b) * (a + b)) - _hyperbola(x, a, b)
        + _log_scaled_k(1.0, a * np.hypot(1.0, x)) - np.log(np.hypot(1.0, x))
    ),
    "genhyperbolic_gen": _generalized_hyperbolic,
    "laplace_asymmetric_gen": lambda x, k: (
        -math.log(k + 1.0 / k) - np.where(x < 0.0, -x / k, x * k)
    ),
    "ncf_gen": _noncentral_f,
    "gausshyper_gen": lambda x, a, b, c, z: (
        (a - 1.0) * np.log(x) + (b - 1.0) * np.log1p(-x) - c * np.log1p(z * x) - _log_gauss(a, b, c, z)
    ),
    "cosine_gen": lambda x: (
        2.0 * np.log(np.sin(0.5 * ((math.pi - np.abs(x)) + 1.2246467991473532e-16))) - math.log(math.pi)
    ),
    "exponweib_gen": _exponentiated_weibull,
    "rel_breitwigner_gen": _breit_wigner,
    "ncx2_gen": _noncentral_chi2,
    "burr_gen": lambda x, c, d: (
        math.log(c * d) + (c * d - 1.0) * np.log(x) - (d + 1.0) * _log_power_and_one(x, c)
    ),
    "burr12_gen": lambda x, c, d: (
        math.log(c * d) + (c - 1.0) * np.log(x) - (d + 1.0) * _log_power_and_one(x, c)
    ),
    "mielke_gen": lambda x, k, s: (
        math.log(k) + (k - 1.0) * np.log(x) - (1.0 + k / s) * _log_power_and_one(x, s)
    ),
    "kappa3_gen": lambda x, a: (
        math.log(a) - (a + 1.0) / a * np.logaddexp(math.log(a), a * np.log(x))
    ),
}  # fmt: skip


def _asymmetric_laplace_quantile(u: Array, k: float) -> Array:
    whole, below = k + 1.0 / k, k * k / (1.0 + k * k)
    with np.errstate(all="ignore"):
        return np.where(u < below, np.log(u * whole / k) * k, -np.log((1.0 - u) * whole * k) / k)


#: Quantile functions of the standard forms, where they are formulas.
_QUANTILES: dict[str, Callable[..., Array]] = {
    "hypsecant_gen": lambda u: np.log(np.tan(0.5 * math.pi * u)),
    "burr_gen": lambda u, c, d: np.expm1(-np.log(u) / d) ** (-1.0 / c),
    "laplace_asymmetric_gen": _asymmetric_laplace_quantile,
}


#: Where standard forms have kinks, or curvatures that jump, by their shapes.
_KINKS: dict[str, Callable[..., tuple[float, ...]]] = {
    "laplace_asymmetric_gen": lambda k: (0.0,),
    "skewcauchy_gen": lambda a: (0.0,),
    "dweibull_gen": lambda c: (0.0,),
    "dgamma_gen": lambda a: (0.0,),
    "gennorm_gen": lambda b: (0.0,),
    "crystalball_gen": lambda b, m: (-b,),
    "triang_gen": lambda c: (c,),
    "trapezoid_gen": lambda c, d: (c, d),
    "irwinhall_gen": lambda n: tuple(float(k) for k in range(1, int(n))),
}


def kinks_of(cls: str, shapes: Sequence[float]) -> tuple[float, ...]:
    """Returns where the standard form of one of SciPy's classes is not smooth."""
    return _KINKS[cls](*shapes) if cls in _KINKS else ()


def standard_form(cls: str, name: str, region: Support, *shapes: float) -> Distribution:
    """Returns the standard form of one of SciPy's classes whose quantile function is a formula."""
    log, quantile = _LOGS[cls], _QUANTILES[cls]

    def at(u: Array) -> Array:
        return quantile(np.asarray(u, dtype=np.float64), *shapes)

    return Foreign(
        name,
        region,
        _inside(region, lambda x: log(x, *shapes)),
        sampler=lambda rng, n: at(rng.random(n).clip(2.0**-54, 1.0 - 2.0**-53)),
        rough_quantile=at,
        hints=kinks_of(cls, shapes),
        ours=True,
    )


def _inside(region: Support, log: Callable[[Array], Array]) -> Callable[[Array], Array]:
    """The log density, and none outside."""

    def density(x: Array) -> Array:
        inside = (x > region.low) & (x < region.high)
        return np.where(inside, log(np.where(inside, x, 1.0)), -np.inf)

    return density


def rough_quantile_of(frozen: Any, density: Callable[[Array], Array]) -> Callable[[Array], Array]:
    """Returns a quantile function: SciPy's where it is a formula, and not a search for each value on its own."""
    if "_ppf" in vars(type(frozen.dist)):
        return frozen.ppf
    low, high = (float(end) for end in frozen.support())
    return rough_quantile(density, low, high)


def read_by_log(family: Any, shapes: list[float]) -> Distribution | None:
    """Returns the standard form of a family behind a log density of ours; None where SciPy's own is as good."""
    log = _LOGS.get(type(family).__name__)
    if log is None:
        return None
    frozen = family(*shapes)
    low, high = (float(end) for end in frozen.support())
    region = Support("interval", low, high)
    density = _inside(region, lambda x: log(x, *shapes))
    return Foreign(
        f"scipy.stats.{family.name}",
        region,
        density,
        sampler=lambda rng, n: frozen.rvs(size=n, random_state=rng),
        rough_quantile=rough_quantile_of(frozen, density),
        hints=kinks_of(type(family).__name__, shapes),
        ours=True,
    )
