"""References that share nothing with src: textbook densities in mpmath and own quadrature.

An expression such as "0.3*normal(-2, sd=0.3) + 0.7*gamma(2, rate=3)" is evaluated here with the
classes of this file. Densities are written in x, log x and log(1 - x), and integrated in a chart
in which they have one peak per component: t = x on the line, log(x - low) on a half-line, the log
odds on an interval. In the chart tanh-sinh panels lie between the points at which a component has
dropped by some nats; beyond them, exp-sinh. Panels are halved until two levels agree.
"""

import itertools
from dataclasses import dataclass, field
from functools import cache

from mpmath import mp

DIGITS = 60
#: Two levels of a rule must agree to this, relative to the whole.
TOLERANCE = "1e-28"

mp.dps = DIGITS


def number(value):
    """The float64 that a Python program would see, exactly."""
    return mp.mpf(float(value)) if not isinstance(value, mp.mpf) else value


def _exp(value):
    """exp, which mpmath never finishes beyond some size."""
    return mp.exp(min(value, _LARGE)) if value > -_LARGE else mp.mpf(0)


def _expm1(value):
    return mp.expm1(max(min(value, _LARGE), -_LARGE))


_LARGE = mp.mpf(10) ** 8


class Point:
    """x with its logs, each as exact as the chart has it."""

    __slots__ = ("_l1x", "_lx", "x")

    def __init__(self, x, lx=None, l1x=None):
        self.x, self._lx, self._l1x = x, lx, l1x

    @property
    def lx(self):
        if self._lx is None:
            self._lx = mp.log(self.x)
        return self._lx

    @property
    def l1x(self):
        if self._l1x is None:
            self._l1x = mp.log1p(-self.x)
        return self._l1x


@dataclass
class Density:
    """One of the line: log density, support, a point to start from, kinks."""

    log: object
    low: object = -mp.inf
    high: object = mp.inf
    centres: list = field(default_factory=list)
    kinks: list = field(default_factory=list)
    parts: list = field(default_factory=list)

    def __rmul__(self, weight):
        return Sum([(number(weight), self)])

    def __add__(self, other):
        return Sum([(mp.mpf(1), self)]) + other

    def at(self, point):
        if not self.low <= point.x <= self.high:
            return -mp.inf
        return self.log(point)


class Sum:
    def __init__(self, terms):
        self.terms = terms

    def __add__(self, other):
        return Sum(self.terms + other.terms)


@dataclass
class Mass:
    """One of the integers: log mass, ends, mode."""

    log: object
    low: int
    high: object
    mode: int
    last: int = 0  # no early end of a sum before this

    def __rmul__(self, weight):
        return Sum([(number(weight), self)])

    def at(self, k):
        return self.log(k) if self.low <= k <= self.high else -mp.inf


@dataclass
class Vector:
    """A vector with a textbook KL to another of its kind."""

    kind: str
    values: tuple

    def kl(self, other):
        return _VECTOR_KL[self.kind](self.values, other.values)


@dataclass
class Independent:
    parts: tuple


def _log_sum_exp(values):
    top = max(values)
    if top == -mp.inf:
        return top
    return top + mp.log(mp.fsum(_exp(v - top) for v in values))


def as_mixture(value):
    """What an expression names: a mixture if it is a sum of weights times distributions."""
    if not isinstance(value, Sum):
        return value
    total = mp.fsum(w for w, _ in value.terms)
    terms = [(mp.log(w / total), d) for w, d in value.terms if w > 0]
    kinds = [d for _, d in terms]
    if isinstance(kinds[0], Mass):
        return Mass(
            lambda k: _log_sum_exp([w + d.at(k) for w, d in terms]),
            min(d.low for d in kinds), max(d.high for d in kinds), kinds[0].mode,
            max(d.mode for d in kinds),
        )  # fmt: skip
    return Density(
        lambda x: _log_sum_exp([w + d.at(x) for w, d in terms]),
        min(d.low for d in kinds),
        max(d.high for d in kinds),
        [c for d in kinds for c in d.centres],
        [k for d in kinds for k in (*d.kinks, d.low, d.high)],
        kinds,
    )


# --- the line --------------------------------------------------------------------------------


def normal(loc, *, sd):
    m, s = number(loc), number(sd)
    constant = -mp.log(s) - mp.log(2 * mp.pi) / 2
    return Density(lambda p: constant - ((p.x - m) / s) ** 2 / 2, centres=[m])


def laplace(loc, *, scale):
    m, b = number(loc), number(scale)
    return Density(lambda p: -mp.log(2 * b) - abs(p.x - m) / b, centres=[m], kinks=[m])


def logistic(loc, *, scale):
    m, s = number(loc), number(scale)

    def log(p):
        z = abs((p.x - m) / s)
        return -z - mp.log(s) - 2 * mp.log1p(_exp(-z))

    return Density(log, centres=[m])


def gumbel(loc, *, scale):
    m, b = number(loc), number(scale)
    return Density(lambda p: -(p.x - m) / b - _exp(-(p.x - m) / b) - mp.log(b), centres=[m])


def student_t(df, loc=0.0, *, scale=1.0):
    v, m, s = number(df), number(loc), number(scale)
    constant = mp.loggamma((v + 1) / 2) - mp.loggamma(v / 2) - mp.log(v * mp.pi) / 2 - mp.log(s)
    return Density(
        lambda p: constant - (v + 1) / 2 * mp.log1p(((p.x - m) / s) ** 2 / v), centres=[m]
    )


def cauchy(loc, *, scale):
    m, s = number(loc), number(scale)
    return Density(lambda p: -mp.log(mp.pi * s) - mp.log1p(((p.x - m) / s) ** 2), centres=[m])


def vonmises(loc, *, concentration):
    m, k = number(loc), number(concentration)
    constant = -mp.log(2 * mp.pi * mp.besseli(0, k))
    centre = m - 2 * mp.pi * mp.floor((m + mp.pi) / (2 * mp.pi))
    return Density(lambda p: constant + k * mp.cos(p.x - m), -mp.pi, +mp.pi, [centre])


def moyal(loc, *, scale):
    m, s = number(loc), number(scale)

    def log(p):
        z = (p.x - m) / s
        return -(z + _exp(-z)) / 2 - mp.log(s) - mp.log(2 * mp.pi) / 2

    return Density(log, centres=[m])


# --- the half-line ---------------------------------------------------------------------------


def _rate_or_scale(rate, scale, mean=None):
    if rate is not None:
        return 1 / number(rate)
    return number(scale if scale is not None else mean)


def gamma(shape, *, rate=None, scale=None):
    a, s = number(shape), _rate_or_scale(rate, scale)
    constant = -a * mp.log(s) - mp.loggamma(a)
    return Density(lambda p: constant + (a - 1) * p.lx - p.x / s, mp.mpf(0), centres=[a * s])


def exponential(*, rate=None, scale=None, mean=None):
    s = _rate_or_scale(rate, scale, mean)
    return Density(lambda p: -mp.log(s) - p.x / s, mp.mpf(0), centres=[s])


def chi2(df):
    v = number(df)
    constant = -v / 2 * mp.log(2) - mp.loggamma(v / 2)
    return Density(lambda p: constant + (v / 2 - 1) * p.lx - p.x / 2, mp.mpf(0), centres=[v])


def chi(df):
    v = number(df)
    constant = -(v / 2 - 1) * mp.log(2) - mp.loggamma(v / 2)
    return Density(
        lambda p: constant + (v - 1) * p.lx - p.x**2 / 2, mp.mpf(0), centres=[mp.sqrt(v)]
    )


def weibull(shape, *, scale):
    k, s = number(shape), number(scale)

    def log(p):
        z = p.lx - mp.log(s)
        return mp.log(k / s) + (k - 1) * z - _exp(k * z)

    return Density(log, mp.mpf(0), centres=[s])


def frechet(shape, *, scale):
    k, s = number(shape), number(scale)

    def log(p):
        z = p.lx - mp.log(s)
        return mp.log(k / s) - (k + 1) * z - _exp(-k * z)

    return Density(log, mp.mpf(0), centres=[s])


def inverse_gamma(shape, *, scale):
    a, s = number(shape), number(scale)
    constant = a * mp.log(s) - mp.loggamma(a)
    return Density(
        lambda p: constant - (a + 1) * p.lx - s * _exp(-p.lx), mp.mpf(0), centres=[s / a]
    )


def halfnormal(*, scale):
    s = number(scale)
    constant = mp.log(2 / mp.pi) / 2 - mp.log(s)
    return Density(lambda p: constant - (p.x / s) ** 2 / 2, mp.mpf(0), centres=[s])


def rayleigh(*, scale):
    s = number(scale)
    return Density(lambda p: p.lx - 2 * mp.log(s) - (p.x / s) ** 2 / 2, mp.mpf(0), centres=[s])


def maxwell(*, scale):
    s = number(scale)
    constant = mp.log(2 / mp.pi) / 2 - 3 * mp.log(s)
    return Density(lambda p: constant + 2 * p.lx - (p.x / s) ** 2 / 2, mp.mpf(0), centres=[s])


def generalized_gamma(shape, *, power, scale):
    a, c, s = number(shape), number(power), number(scale)

    def log(p):
        z = p.lx - mp.log(s)
        return mp.log(abs(c)) - mp.log(s) - mp.loggamma(a) + (c * a - 1) * z - _exp(c * z)

    return Density(log, mp.mpf(0), centres=[s * a ** (1 / c)])


def lognormal(loc, *, sd):
    m, s = number(loc), number(sd)
    constant = -mp.log(s) - mp.log(2 * mp.pi) / 2
    return Density(
        lambda p: constant - p.lx - ((p.lx - m) / s) ** 2 / 2, mp.mpf(0), centres=[_exp(m)]
    )


def inverse_gaussian(mean, *, shape):
    m, k = number(mean), number(shape)

    def log(p):
        return (mp.log(k / (2 * mp.pi)) - 3 * p.lx - k * (p.x - m) ** 2 / (m**2 * p.x)) / 2

    return Density(log, mp.mpf(0), centres=[m])


def pareto(*, scale, shape):
    s, a = number(scale), number(shape)
    return Density(lambda p: mp.log(a) + a * mp.log(s) - (a + 1) * p.lx, s, centres=[2 * s])


def halfcauchy(*, scale):
    s = number(scale)
    return Density(
        lambda p: mp.log(2 / (mp.pi * s)) - mp.log1p((p.x / s) ** 2), mp.mpf(0), centres=[s]
    )


def lindley(rate):
    r = number(rate)
    constant = 2 * mp.log(r) - mp.log1p(r)
    return Density(lambda p: constant + mp.log1p(p.x) - r * p.x, mp.mpf(0), centres=[1 / r])


# --- intervals -------------------------------------------------------------------------------


def beta(a, b):
    a, b = number(a), number(b)
    constant = mp.loggamma(a + b) - mp.loggamma(a) - mp.loggamma(b)
    return Density(
        lambda p: constant + (a - 1) * p.lx + (b - 1) * p.l1x, mp.mpf(0), mp.mpf(1), [a / (a + b)]
    )


def kumaraswamy(a, b):
    a, b = number(a), number(b)

    def log(p):
        # log(1 - x^a) from log(1 - x) where x is close to 1
        power = a * p.lx
        rest = mp.log(-_expm1(power)) if power != 0 else mp.log(a) + p.l1x
        return mp.log(a * b) + (a - 1) * p.lx + (b - 1) * rest

    return Density(log, mp.mpf(0), mp.mpf(1), [mp.mpf(1) / 2])


def uniform(low, high):
    low, high = number(low), number(high)
    return Density(lambda p: -mp.log(high - low), low, high, [(low + high) / 2])


def loguniform(low, high):
    low, high = number(low), number(high)
    return Density(lambda p: -p.lx - mp.log(mp.log(high / low)), low, high, [mp.sqrt(low * high)])


def continuous_bernoulli(*, logit):
    e = number(logit)
    constant = mp.mpf(0) if e == 0 else mp.log(e / _expm1(e))
    return Density(lambda p: constant + e * p.x, mp.mpf(0), mp.mpf(1), [mp.mpf(1) / 2])


def truncated(d, low, high):
    d = as_mixture(d)
    low, high = max(number(low), d.low), min(number(high), d.high)
    inside = [min(max(c, low), high) for c in d.centres]
    middle = (low + high) / 2 if mp.isfinite(low + high) else None
    if middle is None:
        middle = low + 1 if mp.isfinite(low) else high - 1
    centres = [c if low < c < high else middle for c in inside]
    cut = Density(d.log, low, high, [*centres, middle], d.kinks, d.parts)
    mass = integrate(lambda p: _exp(cut.at(p)), cut, [cut])
    return Density(
        lambda p: d.log(p) - mp.log(mass), low, high, [*centres, middle], d.kinks, d.parts
    )


# --- the integers ----------------------------------------------------------------------------


def poisson(rate):
    r = number(rate)
    return Mass(lambda k: k * mp.log(r) - r - mp.loggamma(k + 1), 0, mp.inf, int(r))


def _xlog(k, p):
    return mp.mpf(0) if k == 0 else k * mp.log(p) if p > 0 else -mp.inf


def binomial(n, p):
    n, p = int(n), number(p)

    def log(k):
        choose = mp.loggamma(n + 1) - mp.loggamma(k + 1) - mp.loggamma(n - k + 1)
        return choose + _xlog(k, p) + _xlog(n - k, 1 - p)

    return Mass(log, 0, n, int(n * p))


def bernoulli(p):
    return binomial(1, p)


def geometric(p, *, start):
    p, start = number(p), int(start)
    return Mass(lambda k: mp.log(p) + _xlog(k - start, 1 - p), start, mp.inf, start)


def negative_binomial(r, *, success=None, failure=None):
    r = number(r)
    s = number(success) if success is not None else 1 - number(failure)
    f = 1 - s
    constant = r * mp.log(s) - mp.loggamma(r)
    return Mass(
        lambda k: constant + mp.loggamma(k + r) - mp.loggamma(k + 1) + k * mp.log(f),
        0, mp.inf, int(mp.floor(max(r - 1, 0) * f / s)),
    )  # fmt: skip


def categorical(p):
    p = [number(v) for v in p]
    total = mp.fsum(p)
    log = [mp.log(v / total) if v > 0 else -mp.inf for v in p]
    return Mass(lambda k: log[int(k)], 0, len(p) - 1, 0)


# --- vectors ---------------------------------------------------------------------------------


def dirichlet(concentration):
    return Vector("dirichlet", tuple(number(a) for a in concentration))


def mvnormal(loc, *, cov=None, sd=None):
    mean = mp.matrix([number(v) for v in loc])
    if cov is None:
        matrix = mp.diag([number(v) ** 2 for v in sd])
    else:
        matrix = mp.matrix([[number(v) for v in row] for row in cov])
    return Vector("mvnormal", (mean, matrix))


def product(*parts):
    return Independent(tuple(as_mixture(p) for p in parts))


def _dirichlet_kl(a, b):
    """log B(b)/B(a) + sum (a_i - b_i)(psi(a_i) - psi(a_0))"""
    log_b = lambda c: mp.fsum(mp.loggamma(v) for v in c) - mp.loggamma(mp.fsum(c))
    psi = mp.digamma(mp.fsum(a))
    return (
        log_b(b)
        - log_b(a)
        + mp.fsum((x - y) * (mp.digamma(x) - psi) for x, y in zip(a, b, strict=True))
    )


def _mvnormal_kl(p, q):
    """(tr(Sq^-1 Sp) + (mq - mp)' Sq^-1 (mq - mp) - d + log det Sq / det Sp) / 2"""
    (m, s), (n, t) = p, q
    unit = mp.diag([1 / mp.sqrt(t[i, i]) for i in range(t.rows)])
    s, t, shift = unit * s * unit, unit * t * unit, unit * (n - m)
    inverse = t**-1
    trace = sum((inverse * s)[i, i] for i in range(s.rows))
    quadratic = (shift.T * inverse * shift)[0]
    return (trace + quadratic - s.rows + mp.log(mp.det(t) / mp.det(s))) / 2


_VECTOR_KL = {"dirichlet": _dirichlet_kl, "mvnormal": _mvnormal_kl}


# --- integration -----------------------------------------------------------------------------


class Chart:
    """x(t) on the support of a density, with log dx/dt."""

    def __init__(self, low, high):
        self.low, self.high = low, high

    def point(self, t):
        low, high = self.low, self.high
        if mp.isinf(low) and mp.isinf(high):
            return Point(t), mp.mpf(1)
        if mp.isinf(high):
            step = _exp(t)
            return Point(low + step, t if low == 0 else None), step
        if mp.isinf(low):
            step = _exp(-t)
            return Point(high - step), step
        width = high - low
        up, down = -_softplus(-t), -_softplus(t)  # log of the fractions from low and from high
        fraction = _exp(up)
        x = low + width * fraction if t < 0 else high - width * _exp(down)
        log_rest = down + mp.log(width) if high == 1 else None
        log_x = up + mp.log(width) if low == 0 else None
        return Point(x, log_x, log_rest), width * _exp(up + down)

    def t(self, x):
        low, high = self.low, self.high
        if mp.isinf(low) and mp.isinf(high):
            return x
        if mp.isinf(high):
            return mp.log(x - low)
        if mp.isinf(low):
            return -mp.log(high - x)
        return mp.log(x - low) - mp.log(high - x)


def _softplus(t):
    return mp.log1p(_exp(-abs(t))) + max(t, mp.mpf(0))


_DROPS = (1, 12, 60)


def cuts(chart, density):
    """Points of t at which the density of t has dropped from a peak, on both sides."""
    found = []
    for part in density.parts or [density]:
        found += _cuts_of_one(chart, part)
    for kink in density.kinks:
        if chart.low < kink < chart.high:
            found.append(chart.t(kink))
    return found


def _cuts_of_one(chart, density):
    def height(t):
        point, speed = chart.point(t)
        value = density.at(point)
        return value + mp.log(speed) if speed > 0 else -mp.inf

    found = []
    with mp.workdps(DIGITS):
        for x in density.centres:
            if not chart.low < x < chart.high:
                continue
            peak = _climb(height, chart.t(x))
            top = height(peak)
            found.append(peak)
            for side in (1, -1):
                for drop in _DROPS:
                    t = _fallen(height, peak, side, top - drop)
                    if t is not None:
                        found.append(t)
    return found


def _climb(height, t):
    """A hill climb with steps that double and halve; no precision needed."""
    smallest = _smallest(t)
    step, best = smallest, height(t)
    grown = False
    for _ in range(1500):
        moved = False
        for s in (step, -step):
            value = height(t + s)
            if value > best:
                t, best, moved = t + s, value, True
                break
        if moved:
            step, grown = step * 2, True
        elif grown:
            step /= 2
            if step < smallest:
                break
        else:
            step *= 4
            grown = step > max(abs(t), mp.mpf(1))
    return t


def _smallest(t):
    return abs(t) * mp.mpf(2) ** -170 if t != 0 else mp.mpf(2) ** -560


def _fallen(height, peak, side, level):
    """The first t on a side below a level, to a factor of 1.1 of the distance."""
    step = _smallest(peak)
    for _ in range(2500):
        if height(peak + side * step) < level:
            break
        step *= 2
    else:
        return None
    low, high = step / 2, step
    for _ in range(4):
        middle = (low + high) / 2
        low, high = (low, middle) if height(peak + side * middle) < level else (middle, high)
    return peak + side * high


@cache
def _tanh_sinh(level):
    """New nodes of a level on (0, 1) as (distance from the end, weight, side)."""
    step = mp.mpf(2) ** -level
    nodes, k = [], 0
    while True:
        if level == 0 or k % 2:
            u = k * step
            power = mp.pi / 2 * mp.sinh(u)
            near = 1 / (1 + mp.exp(2 * power))  # distance from the end, of 1
            weight = mp.pi / 4 * mp.cosh(u) / mp.cosh(power) ** 2
            if weight < mp.mpf(10) ** (-DIGITS - 15):
                return tuple(nodes)
            nodes.append((near, weight))
        k += 1


@cache
def _exp_sinh(level):
    """New nodes of a level on (0, inf): x = exp(pi/2 sinh u), until x is 1e30000."""
    step = mp.mpf(2) ** -level
    nodes = []
    for side in (1, -1):
        k = 0 if side == 1 else 1
        while True:
            if level == 0 or k % 2:
                u = side * k * step
                x = mp.exp(mp.pi / 2 * mp.sinh(u))
                weight = x * mp.pi / 2 * mp.cosh(u)
                if x > mp.mpf(10) ** 30000 or x < mp.mpf(10) ** -90:
                    break
                nodes.append((x, weight))
            k += 1
    return tuple(nodes)


def _panel_sum(f, a, b, level):
    width, total = b - a, mp.mpf(0)
    for near, weight in _tanh_sinh(level):
        total += weight * f(a + width * near)
        if near != mp.mpf(1) / 2:
            total += weight * f(b - width * near)
    return total * width


def _tail_sum(f, a, scale, level):
    return scale * mp.fsum(w * f(a + scale * x) for x, w in _exp_sinh(level))


def integrate(f, over, marked):
    """The integral of f, a function of Points, over the support of a density."""
    chart = Chart(over.low, over.high)

    def g(t):
        point, speed = chart.point(t)
        if speed == 0 or not over.low <= point.x <= over.high:
            return mp.mpf(0)
        value = f(point)
        return value * speed if value != 0 else value

    own = sorted(set(cuts(chart, over)))
    points = [*own]
    reach = own[-1] - own[0]
    for d in marked:
        if d is not over:
            extra = cuts(chart, d) if chart.low == d.low and chart.high == d.high else [
                chart.t(c) for c in (*d.centres, *d.kinks) if chart.low < c < chart.high
            ]  # fmt: skip
            points += [t for t in extra if own[0] - reach < t < own[-1] + reach]
    points = _thin(sorted(set(points)))
    return _adaptive(g, points)


def _thin(points):
    """Without points that almost coincide."""
    kept, span = [points[0]], points[-1] - points[0]
    for t in points[1:]:
        if t - kept[-1] > span * mp.mpf(10) ** -45:
            kept.append(t)
    return kept


def _adaptive(g, points):
    first, last = points[0], points[-1]
    scale = last - first
    rules = [("panel", a, b) for a, b in itertools.pairwise(points)]
    rules += [("right", last, scale), ("left", first, scale)]
    rough = mp.mpf(0)
    work = []
    for kind, a, b in rules:
        sums = _levels(g, kind, a, b, 0, 3, mp.mpf(0))
        rough += abs(sums[-1])
        work.append((kind, a, b, sums))
    total = mp.mpf(0)
    allowed = rough * mp.mpf(TOLERANCE)
    while work:
        kind, a, b, sums = work.pop()
        level = 4
        top = 8 if kind == "panel" else 10
        while level <= top:
            sums = _levels(g, kind, a, b, level, level, sums[-1])
            previous, current = sums
            if abs(current - previous) <= allowed:
                total += current
                break
            level += 1
        else:
            if kind != "panel":
                raise ArithmeticError(
                    f"tail from {mp.nstr(a, 5)} does not settle: {previous} {current}"
                )
            middle = (a + b) / 2
            if abs(b - a) < mp.mpf(10) ** -50 * max(abs(a), abs(b)):
                raise ArithmeticError("a panel does not settle")
            for left, right in ((a, middle), (middle, b)):
                work.append(
                    ("panel", left, right, _levels(g, "panel", left, right, 0, 3, mp.mpf(0)))
                )
    return total


def _levels(g, kind, a, b, first, last, value):
    """The sums up to each level, the given one first."""
    sums = [value]
    for level in range(first, last + 1):
        if kind == "panel":
            new = _panel_sum(g, a, b, level)
        elif kind == "right":
            new = _tail_sum(g, a, b, level)
        else:
            new = _tail_sum(lambda t: g(2 * a - t), a, b, level)
        step = mp.mpf(2) ** -level
        sums.append((sums[-1] / 2 if level else 0) + new * step)
    return sums[-2:]


def add_up(f, over, low, high):
    """The sum of f over integers, outwards from the mode, until the terms are negligible."""
    total = absolute = mp.mpf(0)
    for start, step in ((over.mode, 1), (over.mode - 1, -1)):
        k, quiet = start, 0
        while low <= k <= high:
            term = f(k)
            total, absolute = total + term, absolute + abs(term)
            quiet = quiet + 1 if abs(term) <= absolute * mp.mpf(10) ** -45 else 0
            if quiet > 60 and (step < 0 or k > over.last):
                break
            k += step
    return total


# --- what is measured ------------------------------------------------------------------------


NAMES = {
    f.__name__: f
    for f in (
        normal, laplace, logistic, gumbel, student_t, cauchy, vonmises, gamma, exponential, chi2, chi,
        weibull, frechet, inverse_gamma, halfnormal, rayleigh, maxwell, generalized_gamma, lognormal,
        inverse_gaussian, pareto, halfcauchy, lindley, beta, kumaraswamy, uniform, loguniform,
        continuous_bernoulli, truncated, poisson, binomial, bernoulli, geometric, negative_binomial,
        categorical, dirichlet, mvnormal, product, moyal,
    )
}  # fmt: skip


def read(text):
    """The distribution that an expression of ours names. Only for the expressions of this suite."""
    names = {**NAMES, "inf": mp.inf, "pi": 3.141592653589793, "__builtins__": {}}
    return as_mixture(eval(text, names))


def kl(p, q, *, near=False):
    """KL(p||q). With `near`, from the integrand p (r - 1 - log r), r = q/p, which never cancels."""
    if isinstance(p, Independent):
        return mp.fsum(kl(a, b, near=near) for a, b in zip(p.parts, q.parts, strict=True))
    if isinstance(p, Vector):
        return p.kl(q)

    def at(point):
        log_p = p.at(point)
        if log_p == -mp.inf:
            return mp.mpf(0)
        log_r = q.at(point) - log_p
        weight = _exp(log_p)
        if weight == 0:
            return mp.mpf(0)
        if not near:
            return -weight * log_r
        if abs(log_r) < mp.mpf("1e-6"):
            return weight * mp.fsum(log_r**k / mp.factorial(k) for k in range(2, 12))
        return _exp(log_r + log_p) - weight * (1 + log_r)

    if isinstance(p, Mass):
        return add_up(at, p, p.low, p.high)
    return integrate(at, p, [p, q])


def cross_entropy(p, q):
    """-E_p[log q]"""

    def at(point):
        log_p = p.at(point)
        return mp.mpf(0) if log_p == -mp.inf else -_exp(log_p) * q.at(point)

    return add_up(at, p, p.low, p.high) if isinstance(p, Mass) else integrate(at, p, [p, q])


def mass(p):
    """Should be 1."""
    if isinstance(p, Mass):
        return add_up(lambda k: _exp(p.at(k)), p, p.low, p.high)
    return integrate(lambda x: _exp(p.at(x)), p, [p])
