"""SciPy's families by log densities and log masses of our own: SciPy's take the log of what underflows or cancels."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from scipy import special

from kullback.distributions.base import Array, Distribution, Foreign, Support
from kullback.distributions.counting import Chance, Geometric
from kullback.distributions.statistics import log_beta
from kullback.distributions.vector import Categorical
from kullback.interop.maps import beta_binomial, beta_negative_binomial, categorical

#: The log mass at integers inside the support, from these and the shape parameters in SciPy's order.
LogMass = Callable[..., Array]


def read_count(frozen: Any, shapes: list[float], loc: float) -> Distribution | None:
    """Returns one of SciPy's discrete families behind its own log masses; None for any other.

    Args:
        frozen: the frozen distribution, for its sampler and quantiles.
        shapes: its shape parameters in SciPy's order, in range.
        loc: an integer by which it is moved.
    """
    cls = type(frozen.dist).__name__
    if cls == "planck_gen":
        return Geometric(Chance(logit=_log_expm1(shapes[0])), loc)
    if cls == "betabinom_gen" and loc == 0.0:
        return beta_binomial(shapes[1], shapes[2], shapes[0])
    if cls == "betanbinom_gen" and loc == 0.0:
        return beta_negative_binomial(shapes[2], shapes[1], shapes[0])  # of failures
    if cls == "poisson_binom_gen":
        return shifted(_poisson_binomial(np.array(shapes)), loc)
    if cls not in _LOG_MASSES:
        return None
    low, high = (float(end) for end in frozen.support())
    log_mass = _LOG_MASSES[cls]

    def density(x: Array) -> Array:
        k = np.asarray(x, dtype=np.float64)
        inside = (k >= low) & (k <= high) & (k == np.floor(k))
        safe = np.where(inside, k, low if math.isfinite(low) else loc) - loc
        with np.errstate(all="ignore"):
            return np.where(inside, log_mass(safe, *shapes), -np.inf)

    return Foreign(
        f"scipy.stats.{frozen.dist.name}",
        Support("integers", low, high),
        density,
        sampler=lambda rng, n: frozen.rvs(size=n, random_state=rng),
        inverse=_quantiles(frozen, density, low, high),
        strict=True,
        ours=True,
    )


def shifted(p: Distribution, loc: float) -> Distribution:
    """Returns the law of x + loc on the integers, loc being one."""
    if loc == 0.0:
        return p
    if isinstance(p, Geometric):
        return replace(p, start=p.start + loc)
    s = p.support
    return Foreign(
        f"{p} + {loc:g}",
        Support("integers", s.low + loc, s.high + loc),
        lambda x: p.log_prob(np.asarray(x, dtype=np.float64) - loc),
        sampler=lambda rng, n: p.sample(rng, n) + loc,
        inverse=_moved_quantile(p, loc),
        strict=True,
        ours=True,
    )


def _moved_quantile(p: Distribution, loc: float) -> Callable[[Array], Array]:
    marks = np.arange(len(p.probabilities)) if isinstance(p, Categorical) else p.landmarks()
    marks = np.asarray(marks, dtype=np.float64) + loc
    return lambda u: np.interp(u, np.linspace(0.0, 1.0, len(marks)), marks)


#: Masses from the low end among which quantiles are looked for: sums start in the bulk, wherever they end.
_FIRST = 20_000.0


def _quantiles(frozen: Any, density: LogMass, low: float, high: float) -> Callable[[Array], Array]:
    """Quantiles from sums of the masses; SciPy searches heavy tails integer by integer."""
    if not math.isfinite(low):
        return frozen.ppf
    x = low + np.arange(min(high - low + 1.0, _FIRST))
    below = np.cumsum(np.exp(density(x)))
    if math.isfinite(high) and below[-1] < 0.5:
        return frozen.ppf
    return lambda u: x[np.searchsorted(below, u).clip(0, len(x) - 1)]


def _log_expm1(x: float) -> float:
    return x + math.log(-math.expm1(-x))


def _log_choose(n: Array | float, k: Array | float) -> Array:
    return -np.log1p(n) - log_beta(n - k + 1.0, k + 1.0)


def _boltzmann(k: Array, rate: float, count: float) -> Array:
    return -rate * k + math.log(-math.expm1(-rate)) - math.log(-math.expm1(-rate * count))


def _log_series(k: Array, p: float) -> Array:
    return k * math.log(p) - np.log(k) - math.log(-math.log1p(-p))


def _zipfian(k: Array, a: float, count: float) -> Array:
    return -a * np.log(k) - math.log(_harmonic(a, count))


def _harmonic(a: float, count: float) -> float:
    """The sum of k^-a over k = 1, ..., count: its first terms, and Euler and Maclaurin for the others."""
    first = min(count, 10_000.0)
    whole = math.fsum(np.arange(1.0, first + 1.0) ** -a)
    if count == first:
        return whole
    low, high = first, count
    # (high^(1-a) - low^(1-a)) / (1 - a), also at a = 1
    integral = (
        low ** (1.0 - a)
        * math.log(high / low)
        * float(special.exprel((1.0 - a) * math.log(high / low)))
    )
    ends = 0.5 * (high**-a - low**-a) - a / 12.0 * (high ** (-a - 1.0) - low ** (-a - 1.0))
    return whole + integral + ends


def _yule_simon(k: Array, alpha: float) -> Array:
    return math.log(alpha) + log_beta(k, alpha + 1.0)


def _skellam(k: Array, first: float, second: float) -> Array:
    z = 2.0 * math.sqrt(first * second)
    drift = -((math.sqrt(first) - math.sqrt(second)) ** 2)
    return drift + 0.5 * k * math.log(first / second) + _log_scaled_bessel(np.abs(k), z)


def _log_scaled_bessel(v: Array, z: float) -> Array:
    """log(I_v(z) exp(-z)) for v >= 0, also where I_v underflows."""
    plain = np.asarray(special.ive(v, z))
    few = 0.25 * z * z <= v + 1.0
    series = _bessel_series(v, z)
    return np.where(
        few, series, np.where(plain > 1e-290, np.log(plain), _debye(np.maximum(v, 1.0), z))
    )


def _bessel_series(v: Array, z: float) -> Array:
    """(z/2)^v / Gamma(v + 1) (1 + y / (v + 1) + ...), y = z^2 / 4: for y <= v + 1."""
    total = term = np.ones_like(v)
    for j in range(1, 20):
        term = term * np.minimum(0.25 * z * z / (v + j), 1.0) / j
        total = total + term
    return v * math.log(0.5 * z) - special.gammaln(v + 1.0) + np.log(total) - z


def _debye(v: Array, z: float) -> Array:
    """The uniform expansion for large orders (NIST DLMF 10.41.3)."""
    x = z / v
    root = np.sqrt(1.0 + x * x)
    t = 1.0 / root
    eta = root + np.log(x / (1.0 + root))
    u1 = (3.0 * t - 5.0 * t**3) / 24.0
    u2 = (81.0 * t**2 - 462.0 * t**4 + 385.0 * t**6) / 1152.0
    u3 = (30375.0 * t**3 - 369603.0 * t**5 + 765765.0 * t**7 - 425425.0 * t**9) / 414720.0
    series = np.log1p(u1 / v + u2 / v**2 + u3 / v**3)
    return v * eta - 0.5 * np.log(2.0 * math.pi * v) + 0.5 * np.log(t) + series - z


def _negative_hypergeometric(k: Array, total: float, successes: float, failures: float) -> Array:
    if failures == 0.0:
        return np.where(k == 0.0, 0.0, -np.inf)
    ahead = _log_choose(k + failures - 1.0, k)
    behind = _log_choose(total - failures - k, successes - k)
    return ahead + behind - _log_choose(total, successes)


def _hypergeometric(k: Array, total: float, successes: float, draws: float) -> Array:
    inside = _log_choose(successes, k) + _log_choose(total - successes, draws - k)
    return inside - _log_choose(total, draws)


def _fisher(k: Array, total: float, successes: float, draws: float, odds: float) -> Array:
    every = np.arange(max(0.0, draws - total + successes), min(successes, draws) + 1.0)

    def size(x: Array) -> Array:
        chosen = _log_choose(successes, x) + _log_choose(total - successes, draws - x)
        return chosen + x * math.log(odds)

    return size(k) - special.logsumexp(size(every))


#: SciPy's class to its log mass at integers of the support with loc = 0.
_LOG_MASSES: dict[str, LogMass] = {
    "boltzmann_gen": _boltzmann,
    "dlaplace_gen": lambda k, a: math.log(math.tanh(0.5 * a)) - a * np.abs(k),
    "logser_gen": _log_series,
    "zipf_gen": lambda k, a: -a * np.log(k) - math.log(special.zeta(a)),
    "zipfian_gen": _zipfian,
    "yulesimon_gen": _yule_simon,
    "skellam_gen": _skellam,
    "nhypergeom_gen": _negative_hypergeometric,
    "hypergeom_gen": _hypergeometric,
    "nchypergeom_fisher_gen": _fisher,
}


def _poisson_binomial(chances: Array) -> Distribution:
    """Returns the law of a sum of independent zeros and ones, its masses added up without cancelling."""
    masses = np.ones(1)
    for p in chances:
        masses = np.convolve(masses, [1.0 - p, p])
    return categorical("probs", masses)


# On the line.


def _one_plus(x: Array, n: float) -> Array:
    """1 + x / sqrt(n + x^2), without cancellation where x is far below 0"""
    root = np.hypot(math.sqrt(n), x)
    return np.where(x < 0.0, n / root / (root - x), 1.0 + x / root)


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
        math.log(a / math.pi) + math.sqrt((a - b) * (a + b)) + b * x - a * np.hypot(1.0, x)
        + np.log(special.k1e(a * np.hypot(1.0, x)) / np.hypot(1.0, x))
    ),
}  # fmt: skip


def read_by_log(family: Any, shapes: list[float]) -> Distribution | None:
    """Returns the standard form of a family behind a log density of ours; None where SciPy's own is as good."""
    log = _LOGS.get(type(family).__name__)
    if log is None:
        return None
    frozen = family(*shapes)
    low, high = (float(end) for end in frozen.support())
    region = Support("interval", low, high)

    def density(x: Array) -> Array:
        inside = (x > region.low) & (x < region.high)
        return np.where(inside, log(np.where(inside, x, 1.0), *shapes), -np.inf)

    return Foreign(
        f"scipy.stats.{family.name}",
        region,
        density,
        sampler=lambda rng, n: frozen.rvs(size=n, random_state=rng),
        inverse=frozen.ppf,
        ours=True,
    )
