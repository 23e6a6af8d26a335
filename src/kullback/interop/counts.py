"""Laws on the integers that are no family of ours, by log mass functions of our own.

SciPy's take the log of a mass that underflows, and JAX's log beta function is off by up to 1e-6.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy import special

from kullback.core.errors import InputError, UnsupportedError
from kullback.distributions.base import Array, Distribution, Foreign, Support
from kullback.distributions.counting import Chance, Geometric
from kullback.distributions.statistics import log_beta
from kullback.distributions.vector import Categorical
from kullback.interop.maps import categorical

#: The log mass at integers inside the support.
LogMass = Callable[[Array], Array]
Sampler = Callable[[np.random.Generator, int], Array]
Quantile = Callable[[Array], Array]
#: A discrete uniform with more outcomes is kept as a formula, not a table.
_TABLE = 1_000_000


def _law(
    name: str,
    ends: tuple[float, float],
    log_mass: LogMass,
    draw: Sampler,
    quantile: Quantile | None = None,
    cancels: float = 0.0,
) -> Foreign:
    """Returns the law with a log mass at the integers between two ends; `cancels` as of Foreign."""
    low, high = ends

    def density(x: Array) -> Array:
        k = np.asarray(x, dtype=np.float64)
        inside = (k >= low) & (k <= high) & (k == np.floor(k))
        safe = np.where(inside, k, low if math.isfinite(low) else 0.0)
        with np.errstate(all="ignore"):
            return np.where(inside, log_mass(safe), -np.inf)

    support = Support("integers", low, high)
    return Foreign(name, support, density, draw, quantile, strict=True, ours=True, cancels=cancels)


def point(value: float, what: str) -> Distribution:
    """Returns the point mass at an integer."""
    if value != math.floor(value):
        raise UnsupportedError(
            f"{what} is a point mass at {value}: the KL from a point mass to a continuous q is "
            "infinite; use -q.log_prob(value) if that is what is wanted"
        )
    return Geometric(Chance(probability=1.0), value)


def integers(low: float, high: float) -> Distribution:
    """Returns the uniform distribution on low, low + 1, ..., high."""
    if not (low == math.floor(low) and high == math.floor(high) and low <= high):
        raise InputError(f"a discrete uniform needs integers low <= high, got {low} and {high}")
    count = high - low + 1.0
    if low == 0.0 and count <= _TABLE:
        return Categorical.from_logits(np.zeros(int(count)))
    return _law(
        f"the uniform distribution on {low:g}, ..., {high:g}",
        (low, high),
        lambda k: np.full_like(k, -math.log(count)),
        lambda rng, n: rng.integers(int(low), int(high) + 1, n).astype(np.float64),
        lambda u: low + np.minimum(np.floor(u * count), count - 1.0),
    )


def beta_binomial(a: float, b: float, total: float) -> Distribution:
    """Returns the law of a Binomial(total, p) with p of Beta(a, b)."""
    return _law(
        _checked("BetaBinomial", a, b),
        (0.0, total),
        lambda k: _log_choose(total, k) + log_beta(k + a, total - k + b) - log_beta(a, b),
        lambda rng, n: rng.binomial(int(total), rng.beta(a, b, n)),
        cancels=total * math.log(2.0),
    )


#: A Poisson draw of a mean above it is the mean, but for a share of 1e-8.
_LARGE = 1e16


def beta_negative_binomial(a: float, b: float, size: float) -> Distribution:
    """Returns the law of a NegativeBinomial(size, p) with p, a failure's chance, of Beta(a, b)."""

    def log_mass(k: Array) -> Array:
        rising = -np.log(size + k) - log_beta(size, k + 1.0)
        return rising + log_beta(a + k, b + size) - log_beta(a, b)

    def draw(rng: np.random.Generator, n: int) -> Array:
        # NumPy's own refuses a success whose chance underflows, and means that an integer does not hold.
        odds = np.minimum(1.0 / np.maximum(rng.beta(b, a, n), 1e-300) - 1.0, 1e300)
        mean = rng.gamma(size, 1.0, n) * odds
        return np.where(mean < _LARGE, rng.poisson(np.minimum(mean, _LARGE)), np.rint(mean))

    return _law(
        _checked("BetaNegativeBinomial", a, b, size),
        (0.0, math.inf),
        log_mass,
        draw,
        cancels=2.0 * size,
    )


def dirichlet_multinomial(concentration: Float[np.ndarray, " k"], total: float) -> Distribution:
    """Returns the law of a Multinomial(total, p) with p of Dirichlet(concentration)."""
    name = _checked("DirichletMultinomial", *(float(c) for c in concentration))
    mass = concentration.sum()

    def density(x: Array) -> Array:
        inside = compositions(x, total)
        k = np.where(inside[:, None], x, 0.0)
        whole = special.gammaln(total + 1.0) - special.gammaln(total + mass) + special.gammaln(mass)
        parts = special.gammaln(k + concentration) - special.gammaln(k + 1.0)
        log_p = whole + np.sum(parts - special.gammaln(concentration), axis=1)
        return np.where(inside, log_p, -np.inf)

    def sampler(rng: np.random.Generator, n: int) -> Array:
        return rng.multinomial(int(total), rng.dirichlet(concentration, n))

    support = Support("counts", 0.0, total, len(concentration))
    return Foreign(name, support, density, sampler, strict=True, ours=True)


def compositions(x: Array, total: float) -> Array:
    """Returns which rows are counts of a sum."""
    return ((x >= 0.0) & (x == np.floor(x))).all(axis=1) & (x.sum(axis=1) == total)


def _checked(name: str, *parameters: float) -> str:
    bad = [p for p in parameters if not 0.0 < p < np.inf]
    if bad:
        raise InputError(f"{name}: parameters must be positive and finite, got {bad[0]}")
    return name


def shifted(p: Distribution, loc: float) -> Distribution:
    """Returns the law of x + loc on the integers, loc being one."""
    if loc == 0.0:
        return p
    if isinstance(p, Geometric):
        return replace(p, start=p.start + loc)
    marks = np.arange(len(p.probabilities)) if isinstance(p, Categorical) else p.landmarks()
    marks = np.asarray(marks, dtype=np.float64) + loc
    return _law(
        f"{p} + {loc:g}",
        (p.support.low + loc, p.support.high + loc),
        lambda k: p.log_prob(k - loc),
        lambda rng, n: p.sample(rng, n) + loc,
        (lambda u: np.interp(u, np.linspace(0.0, 1.0, len(marks)), marks)) if len(marks) else None,
        p.cancels if isinstance(p, Foreign) else 0.0,
    )


# SciPy's families.


def read_count(frozen: Any, shapes: list[float], loc: float) -> Distribution | None:
    """Returns one of SciPy's discrete families, its shapes in range, behind its own log masses; None for any other."""
    cls = type(frozen.dist).__name__
    if cls == "planck_gen":
        return Geometric(Chance(logit=shapes[0] + math.log(-math.expm1(-shapes[0]))), loc)
    if cls == "betabinom_gen":
        return shifted(beta_binomial(shapes[1], shapes[2], shapes[0]), loc)
    if cls == "betanbinom_gen":  # of failures
        return shifted(beta_negative_binomial(shapes[2], shapes[1], shapes[0]), loc)
    if cls == "poisson_binom_gen":
        return shifted(_poisson_binomial(shapes), loc)
    if cls not in _LOG_MASSES:
        return None
    low, high = (float(end) for end in frozen.support())
    found = _law(
        f"scipy.stats.{frozen.dist.name}",
        (low, high),
        lambda k: _LOG_MASSES[cls](k - loc, *shapes),
        lambda rng, n: frozen.rvs(size=n, random_state=rng),
        cancels=2.0 * math.log(2.0) * shapes[0] if cls in _OF_SUBSETS else 0.0,
    )
    return replace(found, rough_quantile=_quantiles(frozen, found.density, low, high))


#: Masses from the low end among which quantiles are looked for: sums start in the bulk, wherever they end.
_FIRST = 20_000.0


def _quantiles(frozen: Any, density: LogMass, low: float, high: float) -> Quantile:
    """Quantiles from sums of the masses; SciPy searches heavy tails integer by integer."""
    if not math.isfinite(low):
        return frozen.ppf
    x = low + np.arange(min(high - low + 1.0, _FIRST))
    below = np.cumsum(np.exp(density(x)))
    if math.isfinite(high) and below[-1] < 0.5:
        return frozen.ppf
    return lambda u: x[np.searchsorted(below, u).clip(0, len(x) - 1)]


def _log_choose(n: Array | float, k: Array | float) -> Array:
    return -np.log1p(n) - log_beta(n - k + 1.0, k + 1.0)


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


def _skellam(k: Array, first: float, second: float) -> Array:
    z = 2.0 * math.sqrt(first * second)
    drift = -((math.sqrt(first) - math.sqrt(second)) ** 2)
    return drift + 0.5 * k * math.log(first / second) + log_scaled_bessel(np.abs(k), z)


def log_scaled_bessel(v: Array, z: Array | float) -> Array:
    """log(I_v(z) exp(-z)) for orders v > -1, also where I_v underflows, or z is beyond what SciPy's takes."""
    z = np.broadcast_to(np.asarray(z, dtype=np.float64), v.shape)
    plain = np.asarray(special.ive(v, z))
    few, far = 0.25 * z * z <= v + 1.0, z > 1e8 * np.maximum(v * v, 1.0)
    with np.errstate(all="ignore"):
        ways = (_bessel_series(v, z), np.log(plain), _debye(np.maximum(v, 1.0), z))
        flat = -0.5 * np.log(2.0 * math.pi * z) - (v * v - 0.25) / (2.0 * z)
    return np.select([few, far, plain > 1e-290], [ways[0], flat, ways[1]], ways[2])


def _bessel_series(v: Array, z: Array) -> Array:
    """(z/2)^v / Gamma(v + 1) (1 + y / (v + 1) + ...), y = z^2 / 4: for y <= v + 1."""
    total = term = np.ones_like(v)
    for j in range(1, 20):
        term = term * np.minimum(0.25 * z * z / (v + j), 1.0) / j
        total = total + term
    return v * np.log(0.5 * z) - special.gammaln(v + 1.0) + np.log(total) - z


def _debye(v: Array, z: Array) -> Array:
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


def _fisher(k: Array, total: float, successes: float, draws: float, odds: float) -> Array:
    every = np.arange(max(0.0, draws - total + successes), min(successes, draws) + 1.0)

    def size(x: Array) -> Array:
        chosen = _log_choose(successes, x) + _log_choose(total - successes, draws - x)
        return chosen + x * math.log(odds)

    return size(k) - special.logsumexp(size(every))


def _hypergeometric(k: Array, total: float, successes: float, draws: float) -> Array:
    chosen = _log_choose(successes, k) + _log_choose(total - successes, draws - k)
    return chosen - _log_choose(total, draws)


#: Those made of numbers of subsets of so many as the first shape says, whose logarithms are up to log 2 times that.
_OF_SUBSETS = ("hypergeom_gen", "nhypergeom_gen", "nchypergeom_fisher_gen")
#: SciPy's class to its log mass at integers of the support with loc = 0.
_LOG_MASSES: dict[str, Callable[..., Array]] = {
    "boltzmann_gen": lambda k, rate, count: (
        -rate * k + math.log(-math.expm1(-rate)) - math.log(-math.expm1(-rate * count))
    ),
    "dlaplace_gen": lambda k, a: math.log(math.tanh(0.5 * a)) - a * np.abs(k),
    "logser_gen": lambda k, p: k * math.log(p) - np.log(k) - math.log(-math.log1p(-p)),
    "zipf_gen": lambda k, a: -a * np.log(k) - math.log(special.zeta(a)),
    "zipfian_gen": lambda k, a, count: -a * np.log(k) - math.log(_harmonic(a, count)),
    "yulesimon_gen": lambda k, alpha: math.log(alpha) + log_beta(k, alpha + 1.0),
    "skellam_gen": _skellam,
    "hypergeom_gen": _hypergeometric,
    "nhypergeom_gen": _negative_hypergeometric,
    "nchypergeom_fisher_gen": _fisher,
}


def _poisson_binomial(chances: list[float]) -> Distribution:
    """Returns the law of a sum of independent zeros and ones, its masses added up without cancelling."""
    masses = np.ones(1)
    for p in chances:
        masses = np.convolve(masses, [1.0 - p, p])
    return categorical("probs", masses)
