"""Random pairs of distributions of every library, against references of their own in 30 digits.

python -m benchmarks.pairs --seed 1 --n 500    prints what is wrong: false and missed infinities, broken bounds, tracebacks

A family is written down here anew: its log density in mpmath, its support, how it falls towards the ends. Whether a
KL is infinite follows from the last; its value is an integral by double exponential rules on pieces, or a sum.
"""

import argparse
import itertools
import json
import math
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from mpmath import mp
from scipy import stats

mp.dps = 30
REPORT = Path(__file__).parent / "results" / "pairs.json"

#: How -log f grows towards an end, in t = |x| or 1 / |x - end|: ("log", k) for t^-k, ("logsq",), ("pow", a, c) for
#: exp(-c t^a), ("exp", r) for exp(-exp(r t)).
Growth = tuple


@dataclass
class Case:
    """One distribution: what to type, and what is true of it."""

    text: str
    thing: Any
    log: Callable[[Any], Any]
    low: float
    high: float
    ends: tuple[Growth, Growth]
    cuts: list[float] = field(default_factory=list)
    discrete: bool = False


def cdf_cuts(d: Any) -> list[float]:
    """Where to cut: quantiles, only to place pieces."""
    return [float(v) for v in d.ppf([1e-6, 1e-3, 0.05, 0.3, 0.5, 0.7, 0.95, 0.999, 1 - 1e-6])]


def log_beta(a: Any, b: Any) -> Any:
    with mp.workdps(mp.dps + int(2 * mp.log10(1 + a + b))):
        return mp.loggamma(a) + mp.loggamma(b) - mp.loggamma(a + b)


def m(*values: float) -> tuple[Any, ...]:
    return tuple(mp.mpf(float(v)) for v in values)


INF = math.inf
FLAT = ("log", 2.0)  # a density that is positive at a finite end


def scale_of(g: np.random.Generator) -> float:
    """Scales over six decades, most of them ordinary."""
    return float(10.0 ** (g.normal() * (2.0 if g.random() < 0.2 else 0.4)))


def shape_of(g: np.random.Generator) -> float:
    return float(np.exp(g.normal(0.5, 1.4 if g.random() < 0.3 else 0.6)))


def numpyro() -> Any:
    import numpyro.distributions as nd

    return nd


def torch() -> tuple[Any, Callable[[float], Any]]:
    import torch as t
    import torch.distributions as td

    return td, lambda v: t.tensor(v, dtype=t.float64)


def choose(g: np.random.Generator, *makers: Callable[[], Any]) -> Any:
    """One of the libraries that have the family."""
    return makers[int(g.integers(len(makers)))]()


def normal(g: np.random.Generator) -> Case:
    a, s = float(g.normal() * 3), scale_of(g)
    td, t = torch()
    thing = choose(
        g,
        lambda: stats.norm(a, s),
        lambda: stats.Normal(mu=a, sigma=s),
        lambda: td.Normal(t(a), t(s)),
    )
    u, v = m(a, s)
    log = lambda x: -((x - u) ** 2) / (2 * v * v) - mp.log(v) - mp.log(2 * mp.pi) / 2
    tail = ("pow", 2.0, 0.5 / s**2)
    return Case(
        f"normal({a}, {s})", thing, log, -INF, INF, (tail, tail), cdf_cuts(stats.norm(a, s))
    )


def laplace(g: np.random.Generator) -> Case:
    a, s = float(g.normal() * 3), scale_of(g)
    td, t = torch()
    thing = choose(g, lambda: stats.laplace(a, s), lambda: td.Laplace(t(a), t(s)))
    u, v = m(a, s)
    tail = ("pow", 1.0, 1 / s)
    log = lambda x: -abs(x - u) / v - mp.log(2 * v)
    return Case(
        f"laplace({a}, {s})", thing, log, -INF, INF, (tail, tail), cdf_cuts(stats.laplace(a, s))
    )


def logistic(g: np.random.Generator) -> Case:
    a, s = float(g.normal() * 3), scale_of(g)
    u, v = m(a, s)
    tail = ("pow", 1.0, 1 / s)
    log = lambda x: -abs(x - u) / v - mp.log(v) - 2 * mp.log1p(mp.exp(-abs(x - u) / v))
    thing = choose(
        g, lambda: stats.logistic(a, s), lambda: stats.make_distribution(stats.logistic)() * s + a
    )
    return Case(
        f"logistic({a}, {s})", thing, log, -INF, INF, (tail, tail), cdf_cuts(stats.logistic(a, s))
    )


def student(g: np.random.Generator) -> Case:
    n, a, s = 0.3 + shape_of(g), float(g.normal() * 3), scale_of(g)
    td, t = torch()
    thing = choose(g, lambda: stats.t(n, a, s), lambda: td.StudentT(t(n), t(a), t(s)))
    k, u, v = m(n, a, s)
    const = mp.loggamma((k + 1) / 2) - mp.loggamma(k / 2) - mp.log(k * mp.pi) / 2 - mp.log(v)
    log = lambda x: const - (k + 1) / 2 * mp.log1p(((x - u) / v) ** 2 / k)
    tail = ("log", n + 1)
    return Case(
        f"student_t({n}, {a}, {s})", thing, log, -INF, INF, (tail, tail), cdf_cuts(stats.t(n, a, s))
    )


def gumbel(g: np.random.Generator) -> Case:
    a, s = float(g.normal() * 3), scale_of(g)
    td, t = torch()
    thing = choose(g, lambda: stats.gumbel_r(a, s), lambda: td.Gumbel(t(a), t(s)))
    u, v = m(a, s)
    log = lambda x: -(x - u) / v - mp.exp(-(x - u) / v) - mp.log(v)
    ends = (("exp", 1 / s), ("pow", 1.0, 1 / s))
    return Case(f"gumbel({a}, {s})", thing, log, -INF, INF, ends, cdf_cuts(stats.gumbel_r(a, s)))


def gamma(g: np.random.Generator) -> Case:
    k, s = shape_of(g), scale_of(g)
    td, t = torch()
    where = float(g.choice([0.0, 0.0, 0.1 * 3 - 0.3, 1.5]))
    thing = stats.gamma(k, where, s)
    if where == 0.0:
        thing = choose(g, lambda: stats.gamma(k, scale=s), lambda: td.Gamma(t(k), t(1 / s)))
        s = 1 / float(t(1 / s)) if isinstance(thing, td.Gamma) else s
    a, v, w = m(k, s, where)
    log = lambda x: (a - 1) * mp.log((x - w) / v) - (x - w) / v - mp.loggamma(a) - mp.log(v)
    ends = (("log", k + 1), ("pow", 1.0, 1 / s))
    return Case(
        f"gamma({k}, {where}, {s})",
        thing,
        log,
        where,
        INF,
        ends,
        cdf_cuts(stats.gamma(k, where, s)),
    )


def lognormal(g: np.random.Generator) -> Case:
    a, s = float(g.normal()), float(np.exp(g.normal(-0.3, 0.6)))
    td, t = torch()
    thing = choose(
        g,
        lambda: td.LogNormal(t(a), t(s)),
        lambda: numpyro().LogNormal(np.float64(a), np.float64(s)),
    )
    if not isinstance(thing, td.LogNormal):
        a, s = float(thing.loc), float(thing.scale)
    u, v = m(a, s)
    log = lambda x: -((mp.log(x) - u) ** 2) / (2 * v * v) - mp.log(x * v) - mp.log(2 * mp.pi) / 2
    return Case(
        f"lognormal({a}, {s})",
        thing,
        log,
        0.0,
        INF,
        (("logsq",), ("logsq",)),
        cdf_cuts(stats.lognorm(s, 0, math.exp(a))),
    )


def pareto(g: np.random.Generator) -> Case:
    b, s = 0.3 + shape_of(g), scale_of(g)
    td, t = torch()
    thing = choose(g, lambda: stats.pareto(b, scale=s), lambda: td.Pareto(t(s), t(b)))
    k, v = m(b, s)
    log = lambda x: mp.log(k) + k * mp.log(v) - (k + 1) * mp.log(x)
    return Case(
        f"pareto({b}, {s})",
        thing,
        log,
        s,
        INF,
        (FLAT, ("log", b + 1)),
        cdf_cuts(stats.pareto(b, scale=s)),
    )


def weibull(g: np.random.Generator) -> Case:
    k, s = shape_of(g), scale_of(g)
    thing = choose(
        g,
        lambda: stats.weibull_min(k, scale=s),
        lambda: stats.make_distribution(stats.weibull_min)(c=k) * s,
    )
    c, v = m(k, s)
    log = lambda x: mp.log(c / v) + (c - 1) * mp.log(x / v) - (x / v) ** c
    ends = (("log", k + 1), ("pow", k, s**-k))
    return Case(
        f"weibull({k}, {s})", thing, log, 0.0, INF, ends, cdf_cuts(stats.weibull_min(k, scale=s))
    )


def inverse_gamma(g: np.random.Generator) -> Case:
    a, s = 0.3 + shape_of(g), scale_of(g)
    td, t = torch()
    thing = choose(g, lambda: stats.invgamma(a, scale=s), lambda: td.InverseGamma(t(a), t(s)))
    k, v = m(a, s)
    log = lambda x: k * mp.log(v) - mp.loggamma(k) - (k + 1) * mp.log(x) - v / x
    ends = (("pow", 1.0, s), ("log", a + 1))
    return Case(
        f"inverse_gamma({a}, {s})", thing, log, 0.0, INF, ends, cdf_cuts(stats.invgamma(a, scale=s))
    )


def beta(g: np.random.Generator) -> Case:
    a, b = shape_of(g), shape_of(g)
    td, t = torch()
    thing = choose(g, lambda: stats.beta(a, b), lambda: td.Beta(t(a), t(b)))
    k, l = m(a, b)
    log = lambda x: (k - 1) * mp.log(x) + (l - 1) * mp.log1p(-x) - log_beta(k, l)
    return Case(
        f"beta({a}, {b})",
        thing,
        log,
        0.0,
        1.0,
        (("log", a + 1), ("log", b + 1)),
        cdf_cuts(stats.beta(a, b)),
    )


def uniform(g: np.random.Generator) -> Case:
    low, width = [(0.0, 1.0), (0.1, 0.2), (0.1 * 3 - 0.3, 1.0), (0.0, 0.1 * 3 + 0.7), (2.7, 0.3)][
        int(g.integers(5))
    ]
    thing = stats.uniform(low, width)
    (w,) = m(width)
    return Case(
        f"uniform({low}, {width})",
        thing,
        lambda x: -mp.log(w),
        low,
        low + width,
        (FLAT, FLAT),
        [low + 0.5 * width],
    )


def truncated(g: np.random.Generator) -> Case:
    """A normal cut to the unit interval or to the half line, its ends by arithmetic."""
    a, s = float(g.uniform(0.1, 0.9)), float(g.uniform(0.05, 0.5))
    half = g.random() < 0.3
    ends = ((0 - a) / s, INF if half else (1 - a) / s)
    thing = stats.truncnorm(*ends, a, s)
    u, v = m(a, s)
    whole = mp.ncdf(INF if half else (1 - u) / v) - mp.ncdf(-u / v)
    log = lambda x: -((x - u) ** 2) / (2 * v * v) - mp.log(v * whole) - mp.log(2 * mp.pi) / 2
    tails = (FLAT, ("pow", 2.0, 0.5 / s**2) if half else FLAT)
    return Case(
        f"truncnorm({a}, {s})", thing, log, 0.0, INF if half else 1.0, tails, cdf_cuts(thing)[1:-1]
    )


def triangular(g: np.random.Generator) -> Case:
    c = float(g.uniform(0.05, 0.95))
    (k,) = m(c)
    log = lambda x: mp.log(2 * x / k) if x <= k else mp.log(2 * (1 - x) / (1 - k))
    return Case(f"triang({c})", stats.triang(c), log, 0.0, 1.0, (("log", 3.0), ("log", 3.0)), [c])


def asymmetric(g: np.random.Generator) -> Case:
    k, s = float(np.exp(g.normal() * 0.5)), scale_of(g)
    c, v = m(k, s)
    norm = mp.log(1 / (v * (c + 1 / c)))
    log = lambda x: norm - (x / v * c if x >= 0 else -x / v / c)
    ends = (("pow", 1.0, 1 / (k * s)), ("pow", 1.0, k / s))
    return Case(
        f"laplace_asymmetric({k}, {s})",
        stats.laplace_asymmetric(k, scale=s),
        log,
        -INF,
        INF,
        ends,
        [0.0, -s, s],
    )


def exponnorm(g: np.random.Generator) -> Case:
    k = float(np.exp(g.normal() * 0.6))
    (c,) = m(k)
    log = lambda x: (
        -mp.log(2 * c) + 1 / (2 * c * c) - x / c + mp.log(mp.erfc((1 / c - x) / mp.sqrt(2)))
    )
    ends = (("pow", 2.0, 0.5), ("pow", 1.0, 1 / k))
    return Case(
        f"exponnorm({k})", stats.exponnorm(k), log, -INF, INF, ends, cdf_cuts(stats.exponnorm(k))
    )


def mixture(g: np.random.Generator) -> Case:
    """Two unlike components on the line, by SciPy's new mixture or NumPyro's."""
    parts = [CONTINUOUS[int(g.integers(5))](g) for _ in range(2)]
    import kullback as kb  # noqa: F401
    from kullback.distributions.compound import Mixture
    from kullback.interop import as_distribution

    w = float(g.uniform(0.02, 0.98))
    thing = Mixture(np.array([w, 1 - w]), tuple(as_distribution(c.thing) for c in parts))
    weights = m(w, 1 - w)

    def log(x: Any) -> Any:
        logs = [mp.log(v) + c.log(x) for v, c in zip(weights, parts, strict=True)]
        top = max(logs)
        return top + mp.log(mp.fsum(mp.exp(v - top) for v in logs))

    ends = tuple(min((c.ends[i] for c in parts), key=weight) for i in (0, 1))
    cuts = sorted(v for c in parts for v in c.cuts)
    return Case(f"{w} {parts[0].text} + {parts[1].text}", thing, log, -INF, INF, ends, cuts)  # type: ignore[arg-type]


CONTINUOUS = [
    normal, laplace, logistic, student, gumbel, gamma, lognormal, pareto, weibull, inverse_gamma, beta, uniform,
    truncated, triangular, asymmetric, exponnorm, mixture,
]  # fmt: skip


# On the integers.


def count(
    text: str,
    thing: Any,
    log: Callable[[Any], Any],
    low: float,
    high: float,
    right: Growth,
    left: Growth = FLAT,
) -> Case:
    return Case(text, thing, log, low, high, (left, right), discrete=True)


def poisson(g: np.random.Generator) -> Case:
    r = shape_of(g) * (30 if g.random() < 0.2 else 1)
    td, t = torch()
    (a,) = m(r)
    thing = choose(g, lambda: stats.poisson(r), lambda: td.Poisson(t(r)))
    return count(
        f"poisson({r})",
        thing,
        lambda k: k * mp.log(a) - a - mp.loggamma(k + 1),
        0,
        INF,
        ("pow", 1.01, 1.0),
    )


def geometric(g: np.random.Generator) -> Case:
    p = float(g.uniform(0.02, 0.98))
    (a,) = m(p)
    log = lambda k: (k - 1) * mp.log1p(-a) + mp.log(a)
    return count(f"geom({p})", stats.geom(p), log, 1, INF, ("pow", 1.0, -math.log1p(-p)))


def negative_binomial(g: np.random.Generator) -> Case:
    n, p = shape_of(g), float(g.uniform(0.02, 0.98))
    a, b = m(n, p)
    log = lambda k: (
        mp.loggamma(k + a) - mp.loggamma(k + 1) - mp.loggamma(a) + a * mp.log(b) + k * mp.log1p(-b)
    )
    return count(f"nbinom({n}, {p})", stats.nbinom(n, p), log, 0, INF, ("pow", 1.0, 1.0))


def log_series(g: np.random.Generator) -> Case:
    p = float(g.uniform(0.02, 0.99))
    (a,) = m(p)
    log = lambda k: k * mp.log(a) - mp.log(k) - mp.log(-mp.log1p(-a))
    return count(f"logser({p})", stats.logser(p), log, 1, INF, ("pow", 1.0, 1.0))


def planck(g: np.random.Generator) -> Case:
    r = shape_of(g)
    (a,) = m(r)
    return count(
        f"planck({r})",
        stats.planck(r),
        lambda k: -a * k + mp.log(-mp.expm1(-a)),
        0,
        INF,
        ("pow", 1.0, r),
    )


def two_sided(g: np.random.Generator) -> Case:
    r = 0.2 + shape_of(g)
    (a,) = m(r)
    log = lambda k: mp.log(mp.tanh(a / 2)) - a * abs(k)
    tail = ("pow", 1.0, r)
    return count(f"dlaplace({r})", stats.dlaplace(r), log, -INF, INF, tail, tail)


def skellam(g: np.random.Generator) -> Case:
    a, b = shape_of(g), shape_of(g)
    u, v = m(a, b)
    log = lambda k: -u - v + k / 2 * mp.log(u / v) + mp.log(mp.besseli(abs(k), 2 * mp.sqrt(u * v)))
    tail = ("pow", 1.01, 1.0)
    return count(f"skellam({a}, {b})", stats.skellam(a, b), log, -INF, INF, tail, tail)


def boltzmann(g: np.random.Generator) -> Case:
    r, n = shape_of(g), int(g.integers(2, 60))
    (a,) = m(r)
    log = lambda k: -a * k + mp.log(mp.expm1(-a) / mp.expm1(-a * n))
    return count(f"boltzmann({r}, {n})", stats.boltzmann(r, n), log, 0, n - 1, FLAT)


def zipf(g: np.random.Generator) -> Case:
    a = 1.15 + shape_of(g)
    (k_,) = m(a)
    norm = mp.log(mp.zeta(k_))
    return count(f"zipf({a})", stats.zipf(a), lambda k: -k_ * mp.log(k) - norm, 1, INF, ("log", a))


def yule_simon(g: np.random.Generator) -> Case:
    a = 0.3 + shape_of(g)
    (k_,) = m(a)
    log = lambda k: mp.log(k_) + log_beta(k, k_ + 1)
    return count(f"yulesimon({a})", stats.yulesimon(a), log, 1, INF, ("log", a + 1))


def zipfian(g: np.random.Generator) -> Case:
    a, n = shape_of(g), int(g.integers(2, 400))
    (k_,) = m(a)
    norm = mp.log(mp.fsum(mp.mpf(j) ** -k_ for j in range(1, n + 1)))
    return count(
        f"zipfian({a}, {n})", stats.zipfian(a, n), lambda k: -k_ * mp.log(k) - norm, 1, n, FLAT
    )


def log_choose(n: Any, k: Any) -> Any:
    return mp.loggamma(n + 1) - mp.loggamma(k + 1) - mp.loggamma(n - k + 1)


def binomial(g: np.random.Generator) -> Case:
    n, p = int(g.integers(1, 200)), float(g.uniform(0.001, 0.999))
    td, t = torch()
    (a,) = m(p)
    log = lambda k: log_choose(mp.mpf(n), k) + k * mp.log(a) + (n - k) * mp.log1p(-a)
    thing = choose(
        g, lambda: stats.binom(n, p), lambda: stats.Binomial(n=n, p=p), lambda: td.Binomial(n, t(p))
    )
    return count(f"binom({n}, {p})", thing, log, 0, n, FLAT)


def beta_binomial(g: np.random.Generator) -> Case:
    n, a, b = int(g.integers(1, 100)), shape_of(g), shape_of(g)
    u, v = m(a, b)
    log = lambda k: log_choose(mp.mpf(n), k) + log_beta(k + u, n - k + v) - log_beta(u, v)
    return count(f"betabinom({n}, {a}, {b})", stats.betabinom(n, a, b), log, 0, n, FLAT)


def negative_hypergeometric(g: np.random.Generator) -> Case:
    n, r = int(g.integers(1, 40)), int(g.integers(1, 30))
    total = n + r + int(g.integers(0, 50))
    log = lambda k: (
        log_choose(k + r - 1, k)
        + log_choose(mp.mpf(total) - r - k, n - k)
        - log_choose(mp.mpf(total), n)
    )
    return count(f"nhypergeom({total}, {n}, {r})", stats.nhypergeom(total, n, r), log, 0, n, FLAT)


DISCRETE = [
    poisson, geometric, negative_binomial, log_series, planck, two_sided, skellam, boltzmann, zipf, yule_simon, zipfian,
    binomial, beta_binomial, negative_hypergeometric,
]  # fmt: skip


# The truth.


def weight(growth: Growth) -> tuple[float, ...]:
    """Heavier tails first."""
    order = {"log": 0.0, "logsq": 1.0, "pow": 2.0, "exp": 3.0}[growth[0]]
    return (order, *growth[1:])


def converges(p: Growth, q: Growth) -> bool | None:
    """Whether the integral of exp(-G_p) G_q converges; None where it hangs on a coefficient."""
    match p[0], q[0]:
        case _, "log" | "logsq":
            return True
        case "log", "pow":
            near = abs(q[1] - (p[1] - 1))
            return None if near < 1e-3 else q[1] < p[1] - 1
        case "log" | "logsq", "exp":
            return False
        case "pow", "exp":
            if p[1] != 1.0:
                return p[1] > 1.0
            return None if abs(p[2] / q[1] - 1) < 1e-3 else p[2] > q[1]
    return True


def same(a: float, b: float) -> bool:
    return a == b or abs(a - b) <= 4e-16 * min(max(abs(a), abs(b), 1.0), 1e300)


def infinite(p: Case, q: Case) -> bool | None:
    """Whether KL(p||q) is infinite; None where it is not decided."""
    if p.discrete != q.discrete:
        return True
    if (p.low < q.low and not same(p.low, q.low)) or (p.high > q.high and not same(p.high, q.high)):
        return True
    verdicts = []
    for mine, other, end, ends in zip(
        p.ends, q.ends, (p.low, p.high), (q.low, q.high), strict=True
    ):
        shared = math.isinf(end) or same(end, ends)
        if not (p.discrete and math.isfinite(end)):
            verdicts.append(converges(mine, other) if shared else True)
    return True if False in verdicts else None if None in verdicts else False


def term(p: Case, q: Case, x: Any) -> Any:
    a = p.log(x)
    return mp.exp(a) * (a - q.log(x)) if a > -1e5 else mp.mpf(0)


def half_line(f: Callable[[Any], Any], start: Any, way: int, scale: Any) -> tuple[Any, Any]:
    """The integral from start towards an infinite end, in t with x = start + scale (exp(t) - 1), and its error."""

    def moved(t: Any) -> Any:
        return f(start + way * scale * mp.expm1(t)) * scale * mp.exp(t)

    cuts = [mp.mpf(t) for t in (0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5, 4, 5, 6, 8, 12, 20, 50, 120, 300)]
    return mp.quad(moved, cuts, error=True, method="gauss-legendre", maxdegree=5)


def piece(f: Callable[[Any], Any], a: Any, b: Any, h: Any) -> Any:
    """tanh-sinh between two points."""
    total = mp.mpf(0)
    for j in range(-int(4.0 / h), int(4.0 / h) + 1):
        t = j * h
        e = mp.pi / 2 * mp.sinh(t)
        near = 1 / (1 + mp.exp(2 * abs(e)))  # the distance from the nearer end, in units of b - a
        if near < mp.mpf(10) ** -60:
            continue
        x = a + (b - a) * near if e < 0 else b - (b - a) * near
        w = (b - a) * mp.pi / 4 * mp.cosh(t) / mp.cosh(e) ** 2
        total += f(x) * w
    return total * h


def integral(p: Case, q: Case) -> tuple[float, float]:
    """Returns the KL, and how far a coarser rule is from it."""
    low = max(p.low, q.low) if same(p.low, q.low) else p.low
    high = min(p.high, q.high) if same(p.high, q.high) else p.high
    inner = sorted(
        {
            c
            for c in (*p.cuts, *(c for c in q.cuts if p.cuts[0] <= c <= p.cuts[-1]))
            if low < c < high
        }
    )
    if not inner:
        inner = [
            0.5 * (low + high)
            if math.isfinite(low + high)
            else min(max(0.0, low + 1.0), high - 1.0)
        ]
    f = lambda x: term(p, q, x)
    found = []
    ends: dict[int, tuple[Any, Any]] = {}
    for h in (mp.mpf(1) / 12, mp.mpf(1) / 24):
        total = mp.fsum(piece(f, mp.mpf(a), mp.mpf(b), h) for a, b in itertools.pairwise(inner))
        for end, start, way in ((low, inner[0], -1), (high, inner[-1], 1)):
            if math.isinf(end):
                scale = mp.mpf(max(inner[-1] - inner[0], 1e-12) if len(inner) > 1 else 1.0) / 4
                value, error = ends[way] if way in ends else half_line(f, mp.mpf(start), way, scale)
                ends[way] = value, error
                total += value
            else:
                a, b = sorted((mp.mpf(end), mp.mpf(start)))
                total += piece(f, a, b, h)
        found.append(total)
    slack = abs(found[1] - found[0]) + mp.fsum(error for _, error in ends.values())
    return float(found[1]), float(slack)


def series(p: Case, q: Case) -> tuple[float, float]:
    """The sum over the integers; heavy tails by Euler and Maclaurin."""
    f = lambda k: term(p, q, mp.mpf(k))
    total, mass, error, first = (
        mp.mpf(0),
        mp.mpf(0),
        mp.mpf(0),
        int(p.low) if math.isfinite(p.low) else 0,
    )
    for way, start in ((1, first), (-1, first - 1)):
        end = p.high if way > 0 else p.low
        k, quiet = start, 0
        while (end - k) * way >= 0:
            if abs(k - start) >= 600 and p.ends[way > 0][0] == "log" and math.isinf(end):
                a = mp.mpf(k)
                rest, error = half_line(f, a, way, mp.mpf(300))
                total += rest + f(a) / 2
                total += -mp.diff(f, a) / 12 + mp.diff(f, a, 3) / 720 - mp.diff(f, a, 5) / 30240
                break
            y = f(k)
            total += y
            mass += mp.exp(p.log(mp.mpf(k)))
            small = abs(y) < mp.mpf(10) ** -24 * abs(total) and (mass > 0.99 or way < 0)
            quiet = quiet + 1 if small and math.isinf(end) else 0
            if quiet > 60 or abs(k - start) > 30000:
                break
            k += way
    return float(total), float(error)


@dataclass
class Result:
    p: str
    q: str
    problem: str
    got: str
    truth: float


def judge(p: Case, q: Case) -> Result | None:
    """Returns what is wrong with the answer; None if nothing is, or there is no reference."""
    import kullback as kb

    truth, slack = math.inf, 0.0
    endless = infinite(p, q)
    if endless is None:
        return Result(p.text, q.text, "no reference", "", math.nan)
    if not endless:
        truth, slack = (series if p.discrete else integral)(p, q)
        if slack > 1e-9 * (abs(truth) + 1e-3) or not math.isfinite(truth):
            return Result(p.text, q.text, "no reference", "", truth)
    try:
        e = kb.kl_divergence(p.thing, q.thing)
    except kb.KullbackError as error:
        return Result(p.text, q.text, "refused", str(error)[:200], truth)
    except Exception:
        return Result(p.text, q.text, "traceback", traceback.format_exc()[-300:], truth)
    problem = ""
    if e.kind == "unresolved":
        problem = "unresolved"
    elif e.kind == "infinite":
        problem = "" if endless else "false infinite"
    elif endless:
        problem = "missed infinite"
    else:
        errors = 4.0 if e.kind == "estimate" else 1.0
        off = abs(e.value - truth)
        if off > errors * e.standard_error + slack + 4e-15 * abs(truth) + 1e-24:
            problem = f"broken bound ({e.kind}, off by {off:.2g}, reference good to {slack:.1g})"
    return Result(p.text, q.text, problem, str(e)[:250], truth) if problem else None


def main() -> None:
    """Draws pairs, judges them and prints what is wrong."""
    ask = argparse.ArgumentParser()
    ask.add_argument("--seed", type=int, default=0)
    ask.add_argument("--n", type=int, default=200)
    ask.add_argument("--kind", choices=["continuous", "discrete", "both"], default="both")
    ask.add_argument("--write", action="store_true")
    said = ask.parse_args()
    g = np.random.default_rng(said.seed)
    problems: Counter[str] = Counter()
    began = time.process_time()
    for i in range(said.n):
        both = said.kind == "both"
        families = CONTINUOUS if said.kind == "continuous" or (both and i % 2 == 0) else DISCRETE
        p, q = (families[int(g.integers(len(families)))](g) for _ in range(2))
        found = judge(p, q)
        problems[found.problem.partition(" (")[0] if found else "right"] += 1
        if found and found.problem != "no reference":
            print(
                f"{found.problem}: {found.p} || {found.q}: {found.got}, truth {found.truth!r}",
                flush=True,
            )
    row = {
        "seed": said.seed,
        "n": said.n,
        "seconds": round(time.process_time() - began, 1),
        **problems,
    }
    print(json.dumps(row))
    if said.write:
        rows = json.loads(REPORT.read_text()) if REPORT.exists() else []
        REPORT.write_text(json.dumps([*rows, row], indent=1) + "\n")


if __name__ == "__main__":
    main()
