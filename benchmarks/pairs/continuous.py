"""Families of the line, written down anew: log densities of the standard forms in mpmath, and what is true at their ends."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from mpmath import mp

INF = math.inf

#: How -log f grows towards an end, in t = |x| or 1 / |x - end|, dx included: ("log", k) for t^-k, ("logsq",),
#: ("pow", a, c) for exp(-c t^a), ("exp", b, r) for exp(-exp(r t^b)).
Growth = tuple[Any, ...]
Log = Callable[[Any], Any]

FLAT = ("log", 2.0)  # positive at a finite end


def zero(k: Any) -> Growth:
    """f like (x - end)^(k - 1) at a finite end."""
    return ("log", float(k) + 1.0)


def power(k: Any) -> Growth:
    """f like x^-(k + 1) at infinity."""
    return ("log", float(k) + 1.0)


def pow_(a: Any, c: Any) -> Growth:
    return ("pow", float(a), float(c))


LOGSQ = ("logsq",)
EXP = pow_(1, 1)
GAUSS = pow_(2, 0.5)


@dataclass(frozen=True)
class Row:
    """A family in standard form.

    Attributes:
        name: as SciPy has it.
        shapes: the kind of each shape parameter: "+" positive, "r" real, "u" in (0, 1), ">" above 1, "." tame.
        log: makes the log density of the shapes, all mpf.
        ends: maps the shapes to (low, high, growth at the left, at the right).
        marks: maps the shapes to the points inside where the density is not smooth.
    """

    name: str
    shapes: str
    log: Callable[..., Log]
    ends: Callable[..., tuple[Any, Any, Growth, Growth]]
    marks: Callable[..., tuple[Any, ...]] = lambda *_: ()


def real(left: Any, right: Any) -> Callable[..., Any]:
    return lambda *s: (-INF, INF, _at(left, s), _at(right, s))


def half(left: Any, right: Any) -> Callable[..., Any]:
    return lambda *s: (0.0, INF, _at(left, s), _at(right, s))


def unit(left: Any, right: Any) -> Callable[..., Any]:
    return lambda *s: (0.0, 1.0, _at(left, s), _at(right, s))


def _at(growth: Any, shapes: tuple[Any, ...]) -> Growth:
    return growth if isinstance(growth, tuple) else growth(*shapes)


L, lg = mp.log, mp.loggamma
L1 = mp.log1p


def E(x: Any) -> Any:  # noqa: N802 - as short as the others, in formulas
    """exp(x); mpmath takes minutes where x itself has an exponent of thousands of bits."""
    return mp.exp(x) if -1e7 < x < 1e8 else mp.mpf(0) if x < 0 else mp.ldexp(1, 10**9)


def M1(x: Any) -> Any:  # noqa: N802
    """exp(x) - 1"""
    return mp.expm1(x) if abs(x) < 1e6 else E(x) - 1


def log_beta(a: Any, b: Any) -> Any:
    with mp.workdps(mp.dps + int(2 * mp.log10(1 + a + b))):
        return lg(a) + lg(b) - lg(a + b)


def _c(constant: Any, f: Log) -> Log:
    return lambda z: f(z) - constant


def _normal(c: Any = 0) -> Any:
    return L(2 * mp.pi) / 2 + c


def _log_ncdf(z: Any) -> Any:
    if abs(z) < 1e6:
        return L(mp.ncdf(z))
    # mpmath's erfc fails far out; the next term of the series is 1/z^4.
    return mp.mpf(0) if z > 0 else -z * z / 2 - _normal() - L(-z) + L1(-1 / (z * z))


def _t(n: Any) -> Log:
    return _c(
        lg(n / 2) - lg((n + 1) / 2) + L(n * mp.pi) / 2, lambda z: -(n + 1) / 2 * L1(z * z / n)
    )


def _logistic(z: Any) -> Any:
    return -abs(z) - 2 * L1(E(-abs(z)))


def _genlogistic(c: Any) -> Log:
    return lambda z: L(c) + (-z - (c + 1) * L1(E(-z)) if z > 0 else c * z - (c + 1) * L1(E(z)))


def _nig(a: Any, b: Any) -> Log:
    constant = L(a / mp.pi) + mp.sqrt(a * a - b * b)

    def log(z: Any) -> Any:
        r = mp.sqrt(1 + z * z)
        return constant + b * z + _log_k(1, a * r) - L(r)

    return log


def _log_k(order: Any, x: Any) -> Any:
    """log of a Bessel function K"""
    if x > 45 + order**2:
        total = term = mp.mpf(1)
        for k in range(1, 60):
            term *= (4 * order**2 - (2 * k - 1) ** 2) / (k * 8 * x)
            total += term
            if abs(term) < 1e-32:
                break
        return L(mp.pi / (2 * x)) / 2 - x + L(total)
    # mpmath's besselk takes 10 to 250 ms here; the trapezoid rule on the integral of exp(-x cosh t) cosh(order t)
    # takes 1, and is good to 30 digits: the integrand is analytic up to |Im t| = pi / 2.
    total, i = mp.mpf(1) / 2, 1
    while True:
        rise, cosh = _rise(i, order)
        term = mp.exp(-x * rise) * cosh
        total += term
        if term < mp.mpf(10) ** -36 * total:
            return L(total / _TO_ONE) - x
        i += 1


_TO_ONE = 24  # nodes to a unit of t


@cache
def _rise(i: int, order: Any) -> tuple[Any, Any]:
    """cosh t - 1 and cosh(order t), at the i-th node."""
    t = mp.mpf(i) / _TO_ONE
    return 2 * mp.sinh(t / 2) ** 2, mp.cosh(order * t)


def _crystal(b: Any, m: Any) -> Log:
    n = L(m / b / (m - 1) * E(-b * b / 2) + mp.sqrt(2 * mp.pi) * mp.ncdf(b))
    return lambda z: (
        -n + (-z * z / 2 if z > -b else m * L(m / b) - b * b / 2 - m * L(m / b - b - z))
    )


def _geninvgauss(p: Any, b: Any) -> Log:
    return _c(L(2) + _log_k(p, b), lambda z: (p - 1) * L(z) - b * (z + 1 / z) / 2)


def _rice(b: Any) -> Log:
    def log(z: Any) -> Any:
        return L(z) - (z - b) ** 2 / 2 + L(_scaled_i(0, z * b))

    return log


def _scaled_i(order: Any, x: Any) -> Any:
    """exp(-x) I_order(x)"""
    if x > 2000:
        total = term = mp.mpf(1)
        for k in range(1, 40):
            term *= -(4 * order**2 - (2 * k - 1) ** 2) / (k * 8 * x)
            total += term
        return total / mp.sqrt(2 * mp.pi * x)
    return mp.besseli(order, x) * E(-x)


def _ncx2(n: Any, c: Any) -> Log:
    def log(z: Any) -> Any:
        r = mp.sqrt(c * z)
        return -L(2) - (mp.sqrt(z) - mp.sqrt(c)) ** 2 / 2 + (n / 4 - mp.mpf(1) / 2) * L(z / c) + L(_scaled_i(n / 2 - 1, r))  # fmt: skip

    return log


def _genextreme(c: Any) -> Log:
    def log(z: Any) -> Any:
        y = 1 - c * z
        return (1 / c - 1) * L(y) - y ** (1 / c)

    return log


def _genextreme_ends(c: Any) -> Any:
    # c < 0: bounded below, a power tail; c > 0: bounded above, like a Weibull's mirror image.
    if c < 0:
        return 1 / c, INF, pow_(-1 / c, (-c) ** (1 / c)), power(-1 / c)
    return -INF, 1 / c, pow_(1 / c, c ** (1 / c)), zero(1 / c)


def _johnsonsb(a: Any, b: Any) -> Log:
    return lambda z: L(b / z / (1 - z)) - (a + b * L(z / (1 - z))) ** 2 / 2 - _normal()


def _argus(chi: Any) -> Log:
    psi = mp.ncdf(chi) - chi * mp.npdf(chi) - mp.mpf(1) / 2
    constant = 3 * L(chi) - L(2 * mp.pi) / 2 - L(psi)
    return lambda z: constant + L(z) + L((1 - z) * (1 + z)) / 2 - chi**2 * (1 - z) * (1 + z) / 2


def _trapezoid(c: Any, d: Any) -> Log:
    top = L(2 / (d - c + 1))
    return lambda z: top + (L(z / c) if z < c else L((1 - z) / (1 - d)) if z > d else 0)


def _pearson3(skew: Any) -> Log:
    """Mean 0, variance 1; a gamma distribution from -2 / skew on, or its mirror image."""
    b, a, where = 2 / skew, 4 / skew**2, -2 / skew
    return lambda z: L(abs(b)) + (a - 1) * L(b * (z - where)) - b * (z - where) - lg(a)


def _pearson3_ends(skew: Any) -> Any:
    side = zero(4 / skew**2), pow_(1, abs(2 / skew))
    return (-2 / skew, INF, *side) if skew > 0 else (-INF, -2 / skew, *side[::-1])


def _breit_wigner(rho: Any) -> Log:
    g = mp.sqrt(rho**2 * (rho**2 + 1))
    k = 2 * mp.sqrt(2) * rho**2 * mp.sqrt(rho**2 + 1) / (mp.pi * mp.sqrt(rho**2 + g))
    return lambda z: L(k) - L((z * z - rho**2) ** 2 + rho**2)


def _jf_skew_t(a: Any, b: Any) -> Log:
    constant = (a + b - 1) * L(2) + log_beta(a, b) + L(a + b) / 2

    def log(z: Any) -> Any:
        r = mp.sqrt(a + b + z * z)
        plus = (r + z) / r if z > 0 else (a + b) / (r * (r - z))
        minus = (a + b) / (r * (r + z)) if z > 0 else (r - z) / r
        return (a + mp.mpf(1) / 2) * L(plus) + (b + mp.mpf(1) / 2) * L(minus) - constant

    return log


def _truncnorm(low: Any, high: Any) -> Log:
    whole = mp.ncdf(high) - mp.ncdf(low) if low < 0 else mp.ncdf(-low) - mp.ncdf(-high)
    return _c(_normal(L(whole)), lambda z: -z * z / 2)


def _continuous_bernoulli(r: Any) -> Log:
    constant = L(M1(r) / r) if r != 0 else mp.mpf(0)
    return _c(constant, lambda z: r * z)


def _fold(f: Log) -> Log:
    """The log density of |x| for that of x."""

    def log(z: Any) -> Any:
        a, b = f(z), f(-z)
        return max(a, b) + L1(E(-abs(a - b)))

    return log


def _exponnorm(k: Any) -> Log:
    c = -L(2 * k) + 1 / (2 * k * k)
    return lambda z: c - z / k + L(mp.erfc((1 / k - z) / mp.sqrt(2)))


def _genhyperbolic(p: Any, a: Any, b: Any) -> Log:
    order, d2 = p - mp.mpf(1) / 2, a * a - b * b
    constant = p / 2 * L(d2) - _normal() - order * L(a) - _log_k(p, mp.sqrt(d2)) - mp.sqrt(d2)

    def log(z: Any) -> Any:
        r = mp.sqrt(1 + z * z)
        # The Bessel functions are scaled by exp(x).
        return constant + b * z + _log_k(order, a * r) + order * L(r) + mp.sqrt(d2)

    return log


def _nct(n: Any, c: Any) -> Log:
    constant = n / 2 * L(n) + lg(n + 1) - n * L(2) - c * c / 2 - lg(n / 2)

    def log(z: Any) -> Any:
        with mp.workdps(mp.dps + 15 + int(c * c)):
            r = n + z * z
            u = c * c * z * z / (2 * r)
            odd = mp.sqrt(2) * c * z * mp.hyp1f1(n / 2 + 1, 1.5, u) / r / mp.gamma((n + 1) / 2)
            even = mp.hyp1f1((n + 1) / 2, 0.5, u) / mp.sqrt(r) / mp.gamma(n / 2 + 1)
            return constant - n / 2 * L(r) + L(odd + even)

    return log


def _ncf(m: Any, n: Any, c: Any) -> Log:
    constant = m / 2 * L(m / n) - c / 2 - log_beta(m / 2, n / 2)

    def log(z: Any) -> Any:
        u = m * z / (n + m * z)
        return constant + (m / 2 - 1) * L(z) - (m + n) / 2 * L1(m * z / n) + L(mp.hyp1f1((m + n) / 2, m / 2, c / 2 * u))  # fmt: skip

    return log


def _log_mills(z: Any) -> Any:
    """log((1 - Phi(z)) / phi(z))"""
    return _log_ncdf(-z) + z * z / 2 + _normal()


def _double_pareto(u: Any, s: Any, a: Any, b: Any) -> Log:
    def log(z: Any) -> Any:
        y = (L(z) - u) / s
        one, other = _log_mills(a * s - y), _log_mills(b * s + y)
        top = max(one, other)
        return L(a * b / (a + b)) - L(z) - y * y / 2 - _normal() + top + L1(E(-abs(one - other)))

    return log


def _irwin_hall(n: Any) -> Log:
    count = int(n)

    def log(z: Any) -> Any:
        with mp.workdps(60):
            z = min(z, count - z)
            terms = [(-1) ** k * mp.binomial(count, k) * (z - k) ** (count - 1) for k in range(int(mp.floor(z)) + 1)]  # fmt: skip
            return L(mp.fsum(terms)) - lg(count)

    return log


def _genhalflogistic(c: Any) -> Log:
    return lambda z: L(2) + (1 / c - 1) * L(1 - c * z) - 2 * L1((1 - c * z) ** (1 / c))


def _gausshyper(a: Any, b: Any, c: Any, y: Any) -> Log:
    n = log_beta(a, b) + L(mp.hyp2f1(c, a, a + b, -y))
    return lambda z: (a - 1) * L(z) + (b - 1) * L(1 - z) - c * L1(y * z) - n


def _log_one_less(z: Any, a: Any) -> Any:
    """log(1 - z^a), close to 1 too"""
    return L(1 - z**a) if z < 0.5 else L(-M1(a * L1(-(1 - z))))


def _truncweibull(c: Any, a: Any, b: Any) -> Log:
    n = L(E(-(a**c)) - E(-(b**c)))
    return lambda z: L(c) + (c - 1) * L(z) - z**c - n


H = mp.mpf(1) / 2
_gengamma = lambda a, c: _c(lg(a) - L(abs(c)), lambda z: (c * a - 1) * L(z) - z**c)
_weibull = lambda c: lambda z: L(c) + (c - 1) * L(z) - z**c

ROWS = [
    # The line.
    Row("norm", "", lambda: _c(_normal(), lambda z: -z * z / 2), real(GAUSS, GAUSS)),
    Row("laplace", "", lambda: lambda z: -abs(z) - L(2), real(EXP, EXP), lambda: (0,)),
    Row("logistic", "", lambda: _logistic, real(EXP, EXP)),
    Row("hypsecant", "", lambda: lambda z: -abs(z) - L1(E(-2 * abs(z))) + L(2 / mp.pi), real(EXP, EXP)),
    Row("cauchy", "", lambda: lambda z: -L(mp.pi) - L1(z * z), real(power(1), power(1))),
    Row("t", "+", _t, real(power, power)),
    Row("gumbel_r", "", lambda: lambda z: -z - E(-z), real(("exp", 1.0, 1.0), EXP)),
    Row("gumbel_l", "", lambda: lambda z: z - E(z), real(EXP, ("exp", 1.0, 1.0))),
    Row("loggamma", "+", lambda c: lambda z: c * z - E(z) - lg(c), real(lambda c: pow_(1, c), ("exp", 1.0, 1.0))),
    Row("genlogistic", ".", _genlogistic, real(lambda c: pow_(1, c), EXP)),
    Row("moyal", "", lambda: lambda z: -(z + E(-z)) / 2 - _normal(), real(("exp", 1.0, 1.0), pow_(1, 0.5))),
    Row("gennorm", ".", lambda b: _c(lg(1 / b) - L(b / 2), lambda z: -abs(z) ** b),
        real(lambda b: pow_(b, 1), lambda b: pow_(b, 1)), lambda b: (0,)),
    Row("dgamma", ".", lambda a: _c(L(2) + lg(a), lambda z: (a - 1) * L(abs(z)) - abs(z)), real(EXP, EXP), lambda a: (0,)),
    Row("dweibull", ".", lambda c: lambda z: L(c / 2) + (c - 1) * L(abs(z)) - abs(z) ** c,
        real(lambda c: pow_(c, 1), lambda c: pow_(c, 1)), lambda c: (0,)),
    Row("laplace_asymmetric", ".", lambda k: lambda z: -L(k + 1 / k) - (z * k if z >= 0 else -z / k),
        real(lambda k: pow_(1, 1 / k), lambda k: pow_(1, k)), lambda k: (0,)),
    Row("exponnorm", ".", _exponnorm, real(GAUSS, lambda k: pow_(1, 1 / k))),
    Row("skewnorm", "r", lambda a: _c(_normal(-L(2)), lambda z: -z * z / 2 + _log_ncdf(a * z)),
        real(lambda a: pow_(2, 0.5 * (1 + (a * a if a > 0 else 0))), lambda a: pow_(2, 0.5 * (1 + (a * a if a < 0 else 0))))),
    Row("norminvgauss", ".u", _nig, real(lambda a, b: pow_(1, a + b), lambda a, b: pow_(1, a - b))),
    Row("johnsonsu", "r.", lambda a, b: lambda z: L(b) - L1(z * z) / 2 - _normal() - (a + b * mp.asinh(z)) ** 2 / 2,
        real(LOGSQ, LOGSQ)),
    Row("crystalball", ".>", _crystal, real(lambda b, m: power(m - 1), GAUSS), lambda b, m: (-b,)),
    Row("skewcauchy", "u", lambda a: lambda z: -L(mp.pi) - L1((z / (a * mp.sign(z) + 1)) ** 2),
        real(power(1), power(1)), lambda a: (0,)),
    Row("powernorm", ".", lambda c: lambda z: L(c) - z * z / 2 - _normal() + (c - 1) * _log_ncdf(-z),
        real(GAUSS, lambda c: pow_(2, 0.5 * c))),
    Row("genhyperbolic", "r.u", _genhyperbolic, real(lambda p, a, b: pow_(1, a + b), lambda p, a, b: pow_(1, a - b))),
    Row("nct", "..", _nct, real(lambda n, c: power(n), lambda n, c: power(n))),
    Row("jf_skew_t", "++", _jf_skew_t, real(lambda a, b: power(2 * a), lambda a, b: power(2 * b))),
    # The half line.
    Row("expon", "", lambda: lambda z: -z, half(FLAT, EXP)),
    Row("gamma", "+", lambda a: _c(lg(a), lambda z: (a - 1) * L(z) - z), half(zero, EXP)),
    Row("chi2", "+", lambda n: _c(lg(n / 2) + n / 2 * L(2), lambda z: (n / 2 - 1) * L(z) - z / 2),
        half(lambda n: zero(n / 2), pow_(1, 0.5))),
    Row("chi", "+", lambda n: _c(lg(n / 2) + (n / 2 - 1) * L(2), lambda z: (n - 1) * L(z) - z * z / 2), half(zero, GAUSS)),
    Row("weibull_min", "+", _weibull, half(zero, lambda c: pow_(c, 1))),
    Row("gengamma", "+.", _gengamma, half(lambda a, c: zero(a * c), lambda a, c: pow_(c, 1))),
    Row("invgamma", "+", lambda a: _c(lg(a), lambda z: -(a + 1) * L(z) - 1 / z), half(pow_(1, 1), power)),
    Row("invweibull", "+", lambda c: lambda z: L(c) - (c + 1) * L(z) - z**-c, half(lambda c: pow_(c, 1), power)),
    Row("levy", "", lambda: lambda z: -_normal() - 3 * H * L(z) - 1 / (2 * z), half(pow_(1, 0.5), power(0.5))),
    Row("nakagami", "+", lambda n: _c(lg(n) - L(2) - n * L(n), lambda z: (2 * n - 1) * L(z) - n * z * z),
        half(lambda n: zero(2 * n), lambda n: pow_(2, n))),
    Row("exponweib", "..", lambda a, c: lambda z: L(a * c) + (a - 1) * L(-M1(-(z**c))) + (c - 1) * L(z) - z**c,
        half(lambda a, c: zero(a * c), lambda a, c: pow_(c, 1))),
    Row("exponpow", ".", lambda b: lambda z: L(b) + (b - 1) * L(z) + z**b - M1(z**b), half(zero, lambda b: ("exp", float(b), 1.0))),
    Row("gompertz", "+", lambda c: lambda z: L(c) + z - c * M1(z), half(FLAT, ("exp", 1.0, 1.0))),
    Row("genexpon", "...", lambda a, b, c: lambda z: L(a - b * M1(-c * z)) - (a + b) * z - b / c * M1(-c * z),
        half(FLAT, lambda a, b, c: pow_(1, a + b))),
    Row("halfnorm", "", lambda: _c(_normal(-L(2)), lambda z: -z * z / 2), half(FLAT, GAUSS)),
    Row("halfcauchy", "", lambda: lambda z: L(2 / mp.pi) - L1(z * z), half(FLAT, power(1))),
    Row("halflogistic", "", lambda: lambda z: L(2) + _logistic(z), half(FLAT, EXP)),
    Row("halfgennorm", ".", lambda b: _c(lg(1 / b) - L(b), lambda z: -(z**b)), half(FLAT, lambda b: pow_(b, 1))),
    Row("foldnorm", ".", lambda c: _fold(lambda z: -((z - c) ** 2) / 2 - _normal()), half(FLAT, GAUSS)),
    Row("foldcauchy", ".", lambda c: _fold(lambda z: -L(mp.pi) - L1((z - c) ** 2)), half(FLAT, power(1))),
    Row("rayleigh", "", lambda: lambda z: L(z) - z * z / 2, half(zero(2), GAUSS)),
    Row("maxwell", "", lambda: lambda z: L(2 / mp.pi) / 2 + 2 * L(z) - z * z / 2, half(zero(3), GAUSS)),
    Row("burr", "..", lambda c, d: lambda z: L(c * d) - (c + 1) * L(z) - (d + 1) * L1(z**-c), half(lambda c, d: zero(c * d), lambda c, d: power(c))),
    Row("burr12", "..", lambda c, d: lambda z: L(c * d) + (c - 1) * L(z) - (d + 1) * L1(z**c), half(lambda c, d: zero(c), lambda c, d: power(c * d))),
    Row("fisk", "+", lambda c: lambda z: L(c) - (c + 1) * L(z) - 2 * L1(z**-c), half(zero, power)),
    Row("mielke", "..", lambda k, s: lambda z: L(k) + (k - 1) * L(z) - (1 + k / s) * L1(z**s), half(lambda k, s: zero(k), lambda k, s: power(s))),
    Row("lomax", "+", lambda c: lambda z: L(c) - (c + 1) * L1(z), half(FLAT, power)),
    Row("betaprime", "++", lambda a, b: _c(log_beta(a, b), lambda z: (a - 1) * L(z) - (a + b) * L1(z)), half(lambda a, b: zero(a), lambda a, b: power(b))),
    Row("f", "..", lambda m, n: _c(log_beta(m / 2, n / 2) - m / 2 * L(m / n), lambda z: (m / 2 - 1) * L(z) - (m + n) / 2 * L1(m * z / n)),
        half(lambda m, n: zero(m / 2), lambda m, n: power(n / 2))),
    Row("lognorm", ".", lambda s: _c(_normal(L(s)), lambda z: -L(z) - L(z) ** 2 / (2 * s * s)), half(LOGSQ, LOGSQ)),
    Row("gibrat", "", lambda: _c(_normal(), lambda z: -L(z) - L(z) ** 2 / 2), half(LOGSQ, LOGSQ)),
    Row("invgauss", ".", lambda m: lambda z: -_normal() - 3 * H * L(z) - (z - m) ** 2 / (2 * z * m * m), half(pow_(1, 0.5), lambda m: pow_(1, 0.5 / m**2))),
    Row("wald", "", lambda: lambda z: -_normal() - 3 * H * L(z) - (z - 1) ** 2 / (2 * z), half(pow_(1, 0.5), pow_(1, 0.5))),
    Row("recipinvgauss", ".", lambda m: lambda z: -_normal() - L(z) / 2 - (1 - m * z) ** 2 / (2 * z * m * m), half(lambda m: pow_(1, 0.5 / m**2), pow_(1, 0.5))),
    Row("fatiguelife", ".", lambda c: lambda z: L1(z) - L(2 * c) - _normal() - 3 * H * L(z) - (z - 1) ** 2 / (2 * z * c * c),
        half(lambda c: pow_(1, 0.5 / c**2), lambda c: pow_(1, 0.5 / c**2))),
    Row("loglaplace", "+", lambda c: lambda z: L(c / 2) + (c - 1) * L(z) - (2 * c * L(z) if z > 1 else 0), half(zero, power), lambda c: (1,)),
    Row("powerlognorm", "..", lambda c, s: lambda z: L(c / s / z) - (L(z) / s) ** 2 / 2 - _normal() + (c - 1) * _log_ncdf(-L(z) / s), half(LOGSQ, LOGSQ)),
    Row("alpha", ".", lambda a: _c(_normal(L(mp.ncdf(a))), lambda z: -2 * L(z) - (a - 1 / z) ** 2 / 2), half(pow_(2, 0.5), power(1))),
    Row("rice", ".", _rice, half(zero(2), GAUSS)),
    Row("ncx2", "..", _ncx2, half(lambda n, c: zero(n / 2), pow_(1, 0.5))),
    Row("geninvgauss", "r.", _geninvgauss, half(lambda p, b: pow_(1, b / 2), lambda p, b: pow_(1, b / 2))),
    Row("kappa3", ".", lambda a: lambda z: L(a) - (a + 1) / a * L(a + z**a), half(FLAT, power)),
    Row("rel_breitwigner", ".", _breit_wigner, half(FLAT, power(3)), lambda r: (r,)),
    Row("ncf", "...", _ncf, half(lambda m, n, c: zero(m / 2), lambda m, n, c: power(n / 2))),
    Row("dpareto_lognorm", "r...", _double_pareto, half(lambda u, s, a, b: zero(b), lambda u, s, a, b: power(a))),
    Row("pareto", "+", lambda b: lambda z: L(b) - (b + 1) * L(z), lambda b: (1.0, INF, FLAT, power(b))),
    Row("genpareto", "r", lambda c: lambda z: -(1 + 1 / c) * L1(c * z),
        lambda c: (0.0, INF, FLAT, power(1 / c)) if c > 0 else (0.0, -1 / c, FLAT, zero(-1 / c))),
    Row("genextreme", "r", _genextreme, _genextreme_ends),
    Row("pearson3", "r", _pearson3, _pearson3_ends),
    Row("weibull_max", "+", lambda c: lambda z: _weibull(c)(-z), lambda c: (-INF, 0.0, pow_(c, 1), zero(c))),
    Row("levy_l", "", lambda: lambda z: -_normal() - 3 * H * L(-z) + 1 / (2 * z), lambda: (-INF, 0.0, power(0.5), pow_(1, 0.5))),
    # Intervals.
    Row("uniform", "", lambda: lambda z: mp.mpf(0), unit(FLAT, FLAT)),
    Row("beta", "++", lambda a, b: _c(log_beta(a, b), lambda z: (a - 1) * L(z) + (b - 1) * L(1 - z)), unit(lambda a, b: zero(a), lambda a, b: zero(b))),
    Row("arcsine", "", lambda: lambda z: -L(mp.pi) - (L(z) + L(1 - z)) / 2, unit(zero(0.5), zero(0.5))),
    Row("powerlaw", "+", lambda a: lambda z: L(a) + (a - 1) * L(z), unit(zero, FLAT)),
    Row("triang", "u", lambda c: lambda z: L(2 * z / c) if z <= c else L(2 * (1 - z) / (1 - c)), unit(zero(2), zero(2)), lambda c: (c,)),
    Row("trapezoid", "uu", _trapezoid, unit(zero(2), zero(2)), lambda c, d: (c, d)),
    Row("bradford", ".", lambda c: lambda z: L(c) - L1(c * z) - L(L1(c)), unit(FLAT, FLAT)),
    Row("gausshyper", "....", _gausshyper, unit(lambda a, b, c, y: zero(a), lambda a, b, c, y: zero(b))),
    Row("irwinhall", "k", _irwin_hall, lambda n: (0.0, n, zero(n), zero(n)), lambda n: tuple(range(1, int(n)))),
    Row("genhalflogistic", ".", _genhalflogistic, lambda c: (0.0, 1 / c, FLAT, zero(1 / c))),
Row("truncweibull_min", "...", _truncweibull, lambda c, a, b: (a, b, FLAT, FLAT)),
    Row("anglit", "", lambda: lambda z: L(mp.cos(2 * z)), lambda: (-mp.mpf(math.pi / 4), mp.mpf(math.pi / 4), zero(2), zero(2))),
    Row("cosine", "", lambda: lambda z: 2 * L(mp.cos(z / 2)) - L(mp.pi), lambda: (-mp.mpf(math.pi), mp.mpf(math.pi), zero(3), zero(3))),
    Row("johnsonsb", "r.", _johnsonsb, unit(LOGSQ, LOGSQ)),
    Row("argus", ".", _argus, unit(zero(2), zero(1.5))),
    Row("kumaraswamy", "..", lambda a, b: lambda z: L(a * b) + (a - 1) * L(z) + (b - 1) * _log_one_less(z, a), unit(lambda a, b: zero(a), lambda a, b: zero(b))),
    Row("continuous_bernoulli", "r", _continuous_bernoulli, unit(FLAT, FLAT)),
    Row("semicircular", "", lambda: lambda z: L(2 / mp.pi) + L((1 - z) * (1 + z)) / 2, lambda: (-1.0, 1.0, zero(1.5), zero(1.5))),
    Row("rdist", ".", lambda c: _c(log_beta(c / 2, H), lambda z: (c / 2 - 1) * L((1 - z) * (1 + z))), lambda c: (-1.0, 1.0, zero(c / 2), zero(c / 2))),
    Row("truncexpon", ".", lambda b: _c(L(-M1(-b)), lambda z: -z), lambda b: (0.0, b, FLAT, FLAT)),
    Row("truncnorm", "u.", _truncnorm, lambda low, high: (low, high, FLAT, FLAT)),
    Row("truncpareto", "r>", lambda b, c: _c(L((1 - c**-b) / b), lambda z: -(b + 1) * L(z)), lambda b, c: (1.0, c, FLAT, FLAT)),
    Row("loguniform", ".>", lambda a, b: lambda z: -L(z) - L(L(b / a)), lambda a, b: (a, b, FLAT, FLAT)),
    Row("vonmises_line", ".", lambda k: _c(L(2 * mp.pi * mp.besseli(0, k)), lambda z: k * mp.cos(z)), lambda k: (-mp.pi, mp.pi, FLAT, FLAT)),
    Row("wrapcauchy", "u", lambda c: _c(L(2 * mp.pi / (1 - c * c)), lambda z: -L(1 + c * c - 2 * c * mp.cos(z))), lambda c: (0.0, 2 * mp.pi, FLAT, FLAT)),
]  # fmt: skip


def scipy_shapes(name: str, shapes: tuple[float, ...]) -> tuple[float, ...]:
    """SciPy's shape parameters, where the row has others; in floats, as SciPy would be given them."""
    match name:
        case "norminvgauss":
            return shapes[0], (2 * shapes[1] - 1) * shapes[0]
        case "skewcauchy":
            return (2 * shapes[0] - 1,)
        case "genhyperbolic":
            return shapes[0], shapes[1], (2 * shapes[2] - 1) * shapes[1]
        case "truncweibull_min":
            return shapes[0], shapes[1], shapes[1] + shapes[2]
        case "trapezoid":
            return tuple(sorted(shapes))
        case "truncnorm":
            return 6 * shapes[0] - 3, 6 * shapes[0] - 3 + shapes[1]
        case "loguniform":
            return shapes[0], shapes[0] * shapes[1]
    return shapes
