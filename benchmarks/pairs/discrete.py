"""Families on the integers: log masses of the standard forms in mpmath."""

import math
from typing import Any

from mpmath import mp

from benchmarks.pairs.continuous import INF, L1, E, L, Row, lg, log_beta

#: Lighter than any geometric tail: k log k.
LIGHT = ("pow", 1.01, 1.0)
END = ("log", 2.0)


def upwards(right: Any, low: float = 0.0) -> Any:
    return lambda *s: (low, INF, END, right(*s) if callable(right) else right)


def geometric_tail(decay: Any) -> Any:
    return ("pow", 1.0, float(decay))


def choose(n: Any, k: Any) -> Any:
    return lg(n + 1) - lg(k + 1) - lg(n - k + 1)


def _skellam(a: Any, b: Any) -> Any:
    r = 2 * mp.sqrt(a * b)
    return lambda k: (
        -((mp.sqrt(a) - mp.sqrt(b)) ** 2) + k / 2 * L(a / b) + L(mp.besseli(abs(k), r)) - r
    )


def _zipf(a: Any) -> Any:
    norm = L(mp.zeta(a))
    return lambda k: -a * L(k) - norm


def _zipfian(a: Any, n: Any) -> Any:
    norm = L(mp.fsum(mp.mpf(j) ** -a for j in range(1, int(n) + 1)))
    return lambda k: -a * L(k) - norm


def _negative_binomial(n: Any, p: Any) -> Any:
    return lambda k: lg(k + n) - lg(k + 1) - lg(n) + n * L(p) + k * L1(-p)


def _binomial(n: Any, p: Any) -> Any:
    return lambda k: choose(n, k) + k * L(p) + (n - k) * L1(-p)


def _zero_inflated(gate: Any, rate: Any) -> Any:
    return lambda k: (
        L(gate + (1 - gate) * E(-rate)) if k == 0 else L1(-gate) + k * L(rate) - rate - lg(k + 1)
    )


#: shapes: "+" positive, "u" in (0, 1), "." tame, "n" a number of trials, "m" one more.
ROWS = [
    Row("poisson", "+", lambda a: lambda k: k * L(a) - a - lg(k + 1), upwards(LIGHT)),
    Row("geom", "u", lambda p: lambda k: (k - 1) * L1(-p) + L(p), upwards(lambda p: geometric_tail(-math.log1p(-p)), 1.0)),
    Row("nbinom", "+u", _negative_binomial, upwards(lambda n, p: geometric_tail(-math.log1p(-p)))),
    Row("logser", "u", lambda p: lambda k: k * L(p) - L(k) - L(-L1(-p)), upwards(lambda p: geometric_tail(-math.log(p)), 1.0)),
    Row("planck", "+", lambda r: lambda k: -r * k + L(-mp.expm1(-r)), upwards(geometric_tail)),
    Row("dlaplace", ".", lambda r: lambda k: L(mp.tanh(r / 2)) - r * abs(k), lambda r: (-INF, INF, geometric_tail(r), geometric_tail(r))),
    Row("skellam", "..", _skellam, lambda a, b: (-INF, INF, LIGHT, LIGHT)),
    Row("zipf", ">", _zipf, upwards(lambda a: ("log", float(a)), 1.0)),
    Row("yulesimon", "+", lambda a: lambda k: L(a) + log_beta(k, a + 1), upwards(lambda a: ("log", float(a) + 1.0), 1.0)),
    Row("betanbinom", "m..", lambda n, a, b: lambda k: (-L(k) - log_beta(n, k) if k > 0 else 0) + log_beta(a + n, b + k) - log_beta(a, b),
        upwards(lambda n, a, b: ("log", float(a) + 1.0))),
    Row("zero_inflated_poisson", "u+", _zero_inflated, upwards(LIGHT)),
    Row("boltzmann", ".m", lambda r, n: lambda k: -r * k + L(mp.expm1(-r) / mp.expm1(-r * n)), lambda r, n: (0.0, n - 1, END, END)),
    Row("zipfian", ".m", _zipfian, lambda a, n: (1.0, n, END, END)),
    Row("binom", "nu", _binomial, lambda n, p: (0.0, n, END, END)),
    Row("bernoulli", "u", lambda p: lambda k: L(p) if k == 1 else L1(-p), lambda p: (0.0, 1.0, END, END)),
    Row("betabinom", "n++", lambda n, a, b: lambda k: choose(n, k) + log_beta(k + a, n - k + b) - log_beta(a, b), lambda n, a, b: (0.0, n, END, END)),
    Row("randint", "m", lambda n: lambda k: -L(n), lambda n: (0.0, n - 1, END, END)),
    Row("hypergeom", "nmm", lambda m, n, d: lambda k: choose(n, k) + choose(m - n, d - k) - choose(m, d),
        lambda m, n, d: (max(0, int(d - m + n)), min(int(n), int(d)), END, END)),
    Row("nhypergeom", "mnn", lambda m, n, r: lambda k: choose(k + r - 1, k) + choose(m - r - k, n - k) - choose(m, n), lambda m, n, r: (0.0, n, END, END)),
]  # fmt: skip


def scipy_shapes(name: str, shapes: tuple[float, ...]) -> tuple[float, ...]:
    """SciPy's shape parameters, where those drawn do not fit together."""
    match name:
        case "hypergeom":
            total = shapes[0] + shapes[1] + shapes[2]
            return total, shapes[1], shapes[2]
        case "nhypergeom":
            return shapes[0] + shapes[1] + shapes[2], shapes[1], shapes[2]
        case "randint":
            return (0.0, shapes[0])
    return shapes
