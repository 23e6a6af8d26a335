"""KL(p||q) in 30 digits: double exponential rules between cuts, sums, and whether either diverges.

The check of a reference is its own: p's mass by the same rule is 1, and every other node gives the same value.
"""

import itertools
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from mpmath import mp

from benchmarks.pairs.continuous import E, Growth, Log

mp.dps = 30
INF = math.inf
#: CPU seconds after which a reference is given up.
LIMIT = 5.0


@dataclass
class Case:
    """One distribution: what to type, and what is true of it.

    Attributes:
        text: how it is called in a report.
        thing: the object that is measured.
        log: its log density in mpmath.
        low, high: the ends of its support, as they are meant.
        ends: how it falls towards them.
        cuts: points to cut at, only to place pieces.
        marks: points where it is not smooth, which must be cut at.
        gaps: intervals inside where it has no mass.
        discrete: whether it lives on the integers.
        clusters: where each component has its mass, and how wide it is there; of a mixture only.
    """

    text: str
    thing: Any
    log: Log
    low: Any
    high: Any
    ends: tuple[Growth, Growth]
    cuts: list[Any] = field(default_factory=list)
    marks: list[Any] = field(default_factory=list)
    gaps: tuple[tuple[float, float], ...] = ()
    discrete: bool = False
    clusters: list[tuple[Any, Any]] = field(default_factory=list)


class NoReferenceError(Exception):
    """There is no reference that passes its own check."""


def weight(growth: Growth) -> tuple[float, ...]:
    """Heavier tails first."""
    order = {"log": 0.0, "logsq": 1.0, "pow": 2.0, "exp": 3.0}[growth[0]]
    return (order, *growth[1:])


def _converges(p: Growth, q: Growth) -> bool | None:
    """Whether the integral of exp(-G_p) G_q converges; None where it hangs on a coefficient."""
    match p[0], q[0]:
        case _, "log" | "logsq":
            return True
        case "log", "pow":
            near = abs(q[1] - (p[1] - 1))
            return None if 1e-12 < near < 1e-3 else near > 1e-12 and q[1] < p[1] - 1
        case "log" | "logsq", "exp":
            return False
        case "pow", "exp":
            if abs(p[1] - q[1]) > 1e-9:
                return p[1] > q[1]
            return None if abs(p[2] / q[2] - 1) < 1e-3 else p[2] > q[2]
    return True


def same(a: Any, b: Any) -> bool:
    """Whether two ends are one but for the rounding of the arithmetic that made them."""
    if math.isinf(a) or math.isinf(b):
        return a == b
    return bool(abs(a - b) <= 4e-16 * max(abs(a), abs(b), 1e-300)) or (
        abs(a - b) <= 2e-16 and 1e-20 < max(abs(a), abs(b)) < 1
    )


def infinite(p: Case, q: Case) -> bool | None:
    """Whether KL(p||q) is infinite; None where it is not decided."""
    if p.discrete != q.discrete:
        return True
    if (p.low < q.low and not same(p.low, q.low)) or (p.high > q.high and not same(p.high, q.high)):
        return True
    for low, high in q.gaps:
        inside = max(p.low, low), min(p.high, high)
        if inside[0] < inside[1] and not any(a <= inside[0] and inside[1] <= b for a, b in p.gaps):
            return True
    verdicts = []
    for mine, other, end, ends in zip(
        p.ends, q.ends, (p.low, p.high), (q.low, q.high), strict=True
    ):
        shared = same(end, ends)
        if shared and end != ends and not p.discrete and mine[0] == "log" and mine[1] < 1.9:
            return None  # what is between the two is more than rounding
        if not (p.discrete and math.isfinite(end)):
            verdicts.append(_converges(mine, other) if shared else True)
    return True if False in verdicts else None if None in verdicts else False


@dataclass
class _Clock:
    limit: float = LIMIT
    began: float = field(default_factory=time.process_time)

    def check(self) -> None:
        if time.process_time() - self.began > self.limit:
            raise NoReferenceError("takes too long")


def _terms(p: Case, q: Case, x: Any, *, excess: bool) -> tuple[Any, Any]:
    """What a point adds to the KL, and to p's mass."""
    a = p.log(x)
    if not a > -2e4:
        if not excess:
            return mp.mpf(0), mp.mpf(0)
        return E(q.log(x)), mp.mpf(0)
    b = q.log(x)
    mass = mp.exp(a)
    if b == -mp.inf:
        if any(not math.isinf(e) and abs(x - e) <= 1e-24 * abs(e) for e in (q.low, q.high)):
            return mp.mpf(0), mass  # rounding of x at the end
        raise NoReferenceError(f"q is 0 at {mp.nstr(x, 20)}")
    return mass * (a - b) + (E(b) - mass if excess else 0), mass


Rule = list[tuple[Any, Any]]
#: Nodes to a unit of t, and where those do not do.
_COARSE, _FINE = 20, 70


@cache
def _node(j: int, h: int) -> tuple[Any, Any]:
    """exp(-pi sinh t) / (1 + ...), the distance from the nearer end of (0, 1), and the weight, at t = j / h."""
    t = mp.mpf(abs(j)) / h
    e = mp.pi / 2 * mp.sinh(t)
    return 1 / (1 + mp.exp(2 * e)), mp.pi / 4 * mp.cosh(t) / mp.cosh(e) ** 2 / h


@cache
def _out(j: int, h: int) -> tuple[Any, Any]:
    """exp(pi/2 sinh t), the distance beyond a point in units of a scale, and the weight."""
    t = mp.mpf(j) / h
    x = mp.exp(mp.pi / 2 * mp.sinh(t))
    return x, x * mp.pi / 2 * mp.cosh(t) / h


class _Sums:
    """Fine and coarse sums of the KL and the mass, of one piece."""

    def __init__(self, h: int) -> None:
        self.h = h
        self.fine = [mp.mpf(0), mp.mpf(0)]
        self.coarse = [mp.mpf(0), mp.mpf(0)]
        self.size = mp.mpf(0)

    def walk(
        self,
        at: Callable[[int], tuple[Any, Any]],
        w: Callable[[int], Any],
        way: int,
        least: int = 0,
    ) -> None:
        """Adds nodes outwards until they add nothing, but at least so many."""
        quiet, j, half = 0, 0 if way > 0 else -1, self.h // 2
        while (quiet < half or abs(j) < least) and abs(j) < 13 * self.h:
            y, v = at(j), w(j)
            terms = [v * part for part in y]
            added = abs(terms[0]) + terms[1]
            self.size += added
            for i in (0, 1):
                self.fine[i] += terms[i]
                if j % 2 == 0:
                    self.coarse[i] += 2 * terms[i]
            quiet = quiet + 1 if added < mp.mpf(10) ** -33 * (self.size + mp.mpf(10) ** -40) else 0
            j += way
        if quiet < half:
            raise NoReferenceError("the terms do not die out")


def _piece(f: Callable[[Any], Any], a: Any, b: Any, h: int) -> _Sums:
    """tanh-sinh between two points, close to both."""
    width, found = b - a, _Sums(h)

    def at(j: int) -> Any:
        near = width * _node(j, h)[0]
        # Exact: the distance from an end is what a singularity there feels.
        return f(mp.fadd(a, near, exact=True) if j < 0 else mp.fsub(b, near, exact=True))

    for way in (1, -1):
        found.walk(at, lambda j: width * _node(j, h)[1], way, 3 * h)
    return found


def _scales(f: Callable[[Any], Any], origin: Any, a: Any, b: Any, h: int) -> _Sums:
    """tanh-sinh in the log of the distance from an origin, where a piece spans many scales of it."""
    way = 1 if a >= origin else -1
    start, stop = sorted(mp.log(abs(v - origin)) for v in (a, b))
    width, found = stop - start, _Sums(h)

    def moved(j: int) -> Any:
        u = width * _node(j, h)[0]
        distance = mp.exp(start + u if j < 0 else stop - u)
        x = (
            mp.fadd(origin, way * distance, exact=True)
            if distance < abs(origin)
            else origin + way * distance
        )
        return tuple(distance * part for part in f(x))

    for side in (1, -1):
        found.walk(moved, lambda j: width * _node(j, h)[1], side, 3 * h)
    return found


def _exact(x: Any) -> Any:
    """x as mpmath's, with all of its digits"""
    return x if isinstance(x, mp.mpf) else mp.mpf(x)


def _sum(a: Any, b: Any) -> Any:
    """a + b, with the digits of both unless one is lost in the other's 60 digits"""
    lost = a == 0 or abs(b) > abs(a) * mp.mpf(10) ** 60 or abs(b) < abs(a) * mp.mpf(10) ** -400
    return a + b if lost else mp.fadd(a, b, exact=True)


def _inner(f: Callable[[Any], Any], ends: tuple[Any, Any, Any], a: Any, b: Any, h: int) -> _Sums:
    """A piece between two cuts, seen from the nearest of both ends and the middle."""
    for origin in sorted(
        (e for e in ends if not math.isinf(e)), key=lambda e: abs(e - (a + b) / 2)
    ):
        near, far = sorted((abs(a - origin), abs(b - origin)))
        if near > 0 and far > 8 * near and (a - origin) * (b - origin) > 0:
            return _scales(f, _exact(origin), a, b, h)
    return _piece(f, a, b, h)


def _beyond(f: Callable[[Any], Any], start: Any, way: int, scale: Any, h: int) -> _Sums:
    """exp-sinh from a point to infinity."""
    found = _Sums(h)
    for side in (1, -1):
        found.walk(
            lambda j: f(_sum(start, way * scale * _out(j, h)[0])),
            lambda j: scale * _out(j, h)[1],
            side,
            0 if side > 0 else 4 * h,
        )
    return found


def integral(p: Case, q: Case, *, excess: bool) -> tuple[float, float]:
    """Returns the KL and its error.

    Raises:
        NoReferenceError: it does not pass its own check.
    """
    value, slack = _integral(p, q, _COARSE, excess=excess)
    if slack > 1e-11 * (abs(value) + 1e-4):
        value, slack = _integral(p, q, _FINE, excess=excess)
    return value, slack


def _integral(p: Case, q: Case, h: int, *, excess: bool) -> tuple[float, float]:
    """The same, with so many nodes to a unit."""
    clock = _Clock(LIMIT if h == _COARSE else 3 * LIMIT)
    low, high = (end if not same(end, other) else inner(end, other) for end, other, inner in (
        (p.low, q.low, max), (p.high, q.high, min)))  # fmt: skip
    cuts = list(p.cuts)
    reach = (min(cuts), max(cuts)) if cuts else (low, high)
    cuts += [c for c in q.cuts if reach[0] <= c <= reach[1] or excess]
    cuts += _around(p.clusters + q.clusters, cuts)
    marks = [_exact(c) for c in (*p.marks, *q.marks) if low < c < high]
    inner_cuts = _thinned(
        sorted({*(_exact(c) for c in cuts if low < c < high), *marks}),
        set(marks),
        mp.fsub(*reach[::-1]),
    )
    if not inner_cuts:
        finite = [mp.mpf(e) for e in (low, high) if math.isfinite(e)]
        middle = sum(finite) / 2 if len(finite) == 2 else (finite[0] + (1 if math.isfinite(low) else -1)) if finite else mp.mpf(0)  # fmt: skip
        inner_cuts = [middle]

    def f(x: Any) -> Any:
        clock.check()
        return _terms(p, q, x, excess=excess)

    ends = (low, high, inner_cuts[len(inner_cuts) // 2])
    pieces = [_inner(f, ends, a, b, h) for a, b in itertools.pairwise(inner_cuts)]
    span = inner_cuts[-1] - inner_cuts[0]
    for end, start, way in ((low, inner_cuts[0], -1), (high, inner_cuts[-1], 1)):
        if math.isinf(end):
            own = min(span, reach[1] - reach[0]) if reach[0] <= start <= reach[1] else span
            scale = own / 4 if own > 0 else max(abs(start), mp.mpf(1))
            pieces.append(_beyond(f, start, way, scale, h))
        else:
            a, b = sorted((_exact(end), start))
            if a < b:
                pieces.append(_piece(f, a, b, h))
    value = mp.fsum(s.fine[0] for s in pieces)
    mass = mp.fsum(s.fine[1] for s in pieces)
    slack = mp.fsum(abs(s.fine[0] - s.coarse[0]) for s in pieces)
    if abs(mass - 1) > 1e-13:
        raise NoReferenceError(f"p's mass is {mp.nstr(mass, 16)}")
    return float(value), float(slack + abs(value) * 1e-18)


def _around(clusters: list[tuple[Any, Any]], cuts: list[Any]) -> list[Any]:
    """Cuts at geometric distances from what is narrow among cuts that are far apart."""
    low, high = min(cuts), max(cuts)
    found = []
    for middle, width in clusters:
        step = width
        while step and step < high - low:
            found += [c for c in (middle - step, middle + step) if low < c < high]
            step *= 16
    return found


def _thinned(cuts: list[Any], marks: set[Any], span: Any) -> list[Any]:
    """Cuts of which no two are next to each other; marks stay."""
    if len(cuts) < 2:
        return cuts
    width = min(mp.fsub(cuts[-1], cuts[0]), span or mp.inf) * mp.mpf("1e-9")
    found = cuts[:1]
    for c in cuts[1:]:
        gap = c - found[-1]
        if c in marks or gap > min(width, abs(c) * mp.mpf("1e-3")):
            if c in marks and gap <= width and found[-1] not in marks:
                found.pop()
            found.append(c)
    return found


def _rest(whole: Any, y: list[Any]) -> Any:
    """Euler and Maclaurin: a sum from its integral and five terms around its first."""
    slope = (8 * (y[3] - y[1]) - (y[4] - y[0])) / 12
    third = (y[4] - 2 * y[3] + 2 * y[1] - y[0]) / 2
    return whole + y[2] / 2 - slope / 12 + third / 720


def series(p: Case, q: Case) -> tuple[float, float]:
    """Returns the sum over the integers and its error; heavy tails by Euler and Maclaurin.

    Of p log(p/q) itself: the excess would have to go on to where q's mass is.

    Raises:
        NoReferenceError: it does not pass its own check.
    """
    clock = _Clock()

    def f(k: Any) -> Any:
        clock.check()
        return _terms(p, q, mp.mpf(k), excess=False)

    total, mass, error = mp.mpf(0), mp.mpf(0), mp.mpf(0)
    first = int(p.low) if math.isfinite(p.low) else 0
    # A component far out is waited for; what a law that goes on both ways has on this one is not known.
    most = 1 - mp.mpf(10) ** -13 if math.isfinite(p.low) else mp.mpf(0)
    for way, start in ((1, first), (-1, first - 1)):
        end = p.high if way > 0 else p.low
        k, quiet = start, 0
        reach = max((float(c) - start) * way for c in (*p.cuts, start))
        heavy = math.isinf(end) and (p.ends[way > 0][0] == "log" or reach > 3000)
        while (end - k) * way >= 0:
            if heavy and abs(k - start) >= 800:
                parts = _smooth(f, p, mp.mpf(k), way)
                error += mp.fsum(abs(s.fine[0] - s.coarse[0]) for s in parts)
                around = [f(k + way * j) for j in range(-2, 3)]
                whole = (mp.fsum(s.fine[i] for s in parts) for i in (0, 1))
                rest = [_rest(v, [a[i] for a in around]) for i, v in enumerate(whole)]
                total, mass = total + rest[0], mass + rest[1]
                break
            y, m = f(k)
            total, mass = total + y, mass + m
            small = abs(y) + m < mp.mpf(10) ** -32 * (abs(total) + mass) and (
                mass > most or way < 0
            )
            quiet = quiet + 1 if small and math.isinf(end) else 0
            if quiet > 40:
                break
            k += way
    if abs(mass - 1) > 1e-13:
        raise NoReferenceError(f"p's mass is {mp.nstr(mass, 16)}")
    return float(total), float(error + abs(total) * 1e-18)


def _smooth(f: Callable[[Any], Any], p: Case, start: Any, way: int) -> list[_Sums]:
    """The integral of the terms from so far on that they are smooth."""
    cuts = sorted({mp.mpf(c) for c in p.cuts if (c - start) * way > 800}, reverse=way < 0)
    cuts = [start, *cuts]
    pieces = [_piece(f, min(a, b), max(a, b), _COARSE) for a, b in itertools.pairwise(cuts)]
    scale = abs(cuts[-1] - start) / 4 if len(cuts) > 1 else mp.mpf(300)
    return [*pieces, _beyond(f, cuts[-1], way, scale, _COARSE)]
