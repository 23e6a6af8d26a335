"""Adaptive Gauss-Kronrod quadrature of vector-valued functions of one variable.

The line is cut at given points. Between them panels are halved where the error is; beyond the
outermost, x runs away exponentially in t (or towards a finite end like exp(-t)), so that power
tails and end-point singularities become exponentials, which the same rule integrates well.
"""

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float

#: Maps n points and the logs of dx/dt there to an array (n, m): the integrands times dx/dt. The
#: speed is passed on so that a density that underflows can be multiplied by it in log space.
Function = Callable[[np.ndarray, np.ndarray], np.ndarray]

#: Floats are coarse this close to an end other than 0, as a share of it.
CLOSE = 1e-11
#: x is not followed beyond this distance from the outermost point.
FAR = 1e150

# Gauss 7, Kronrod 15 (Piessens et al., QUADPACK, 1983), positive nodes.
_HALF_NODES = [
    0.991455371120812639206854697526329,
    0.949107912342758524526189684047851,
    0.864864423359769072789712788640926,
    0.741531185599394439863864773280788,
    0.586087235467691130294144691693013,
    0.405845151377397166906606412076961,
    0.207784955007898467600689403773245,
    0.0,
]
_HALF_KRONROD = [
    0.022935322010529224963732008058970,
    0.063092092629978553290700663189204,
    0.104790010322250183839876322541518,
    0.140653259715525918745189590510238,
    0.169004726639267902826583426598550,
    0.190350578064785409913256402421014,
    0.204432940075298892414161999234649,
    0.209482141084727828012999174891714,
]
_HALF_GAUSS = [
    0.0,
    0.129484966168869693270611432679082,
    0.0,
    0.279705391489276667901467771423780,
    0.0,
    0.381830050505118944950369775488975,
    0.0,
    0.417959183673469387755102040816327,
]
_NODES = np.array([-v for v in _HALF_NODES] + _HALF_NODES[-2::-1])
_KRONROD = np.array(_HALF_KRONROD + _HALF_KRONROD[-2::-1])
_GAUSS = np.array(_HALF_GAUSS + _HALF_GAUSS[-2::-1])

_EPSILON = 2.0**-52
#: Evaluations after which an integral is taken as it is, with the error that it has.
_BUDGET = 450_000


@final
@dataclass(frozen=True)
class Integral:
    """Integrals of m functions: values, error bounds, integrals of the absolute values."""

    value: Float[np.ndarray, " m"]
    error: Float[np.ndarray, " m"]
    absolute: Float[np.ndarray, " m"]
    evaluations: int


@final
@dataclass(frozen=True)
class Tail:
    """The map from t >= 0 to x beyond an outermost point, towards an end of the line.

    x = anchor + factor expm1(t) towards infinity, x = end + factor exp(-t) towards a finite end.
    It is followed up to t = `length`; up to `seen` floats are fine enough for slopes: near an end
    other than 0 they are coarse.
    """

    anchor: float
    factor: float
    infinite: bool
    length: float
    seen: float

    @classmethod
    def beyond(cls, point: float, end: float, width: float) -> "Tail":
        """Returns the map from a point to an end, growing from a width."""
        if math.isinf(end):
            reach = math.log(FAR) - math.log(width)
            return cls(point, math.copysign(width, end), infinite=True, length=reach, seen=reach)
        # At an end itself, the distance is 0 and nothing is followed.
        log_distance = math.log(max(abs(point - end), 5e-324))
        reach, seen = (
            max(log_distance - math.log(max(abs(end) * close, 1e-300)), math.log(2.0))
            for close in (1e-15, 1e-12)
        )
        return cls(end, point - end, infinite=False, length=reach, seen=seen)

    def __call__(self, t: np.ndarray) -> np.ndarray:
        return self.anchor + self.factor * (np.expm1(t) if self.infinite else np.exp(-t))

    def log_speed(self, t: np.ndarray) -> np.ndarray:
        """log |dx/dt|"""
        return math.log(abs(self.factor)) + (t if self.infinite else -t)

    def panels(self) -> np.ndarray:
        """Returns the points of t at which to start."""
        steps = np.concatenate([[0.0], 0.25 * 2.0 ** np.arange(0.0, 14.0)])
        return np.concatenate([steps[steps < 0.8 * self.length], [self.length]])


def tails(points: Float[np.ndarray, " k"], low: float, high: float) -> tuple[Tail, Tail]:
    """Returns the maps beyond the first and the last point, towards low and high."""
    first, last = float(points[0]), float(points[-1])
    alone = max(abs(first), 1.0) * 1e-3
    widths = (
        (float(points[1] - first), float(last - points[-2])) if len(points) > 1 else (alone, alone)
    )
    return Tail.beyond(first, low, widths[0]), Tail.beyond(last, high, widths[1])


def slopes(points: Float[np.ndarray, " k"], low: float, high: float) -> tuple[Tail, Tail]:
    """Returns the same maps to look along: from further in where the points are as far out as floats go."""
    first, last = tails(points, low, high)
    return _from_further_in(first, points), _from_further_in(last, points)


#: Of a tail's map so much of t is looked at, or it begins further in: at least so much further.
_LOOK, _FURTHER = 4.0, 50.0


def _from_further_in(tail: Tail, points: Float[np.ndarray, " k"]) -> Tail:
    origin = 0.0 if tail.infinite else tail.anchor
    if tail.length >= _LOOK or tail.factor == 0.0 or origin != 0.0:
        return tail
    sizes = np.log(np.maximum(np.abs(points), 5e-324))
    end = float(np.log(np.abs(tail(np.array(max(tail.length, 0.0))))))
    start = 0.5 * (end + float(np.median(sizes)))
    if abs(end - start) < _FURTHER:
        return tail
    length = abs(end - start)
    factor = math.copysign(math.exp(start), tail.factor)
    return Tail(0.0, factor, infinite=tail.infinite, length=length, seen=length)


def within(low: float, high: float) -> float:
    """Returns a point strictly between two ends: the middle, or as far from the only finite one as that is from 0."""
    if math.isfinite(low) and math.isfinite(high):
        return low + 0.5 * (high - low)
    if math.isfinite(low):
        return low + max(abs(low), 1.0)
    return high - max(abs(high), 1.0) if math.isfinite(high) else 0.0


def fill(
    points: Float[np.ndarray, " k"], low: float, high: float, centers: Sequence[float] = ()
) -> Float[np.ndarray, " m"]:
    """Returns the points and others between them, so that no panel spans many scales.

    Distances from a finite end, the middle point and the centers grow at most fourfold a panel. Points so
    close to an end other than 0 that floats are coarse there are dropped.
    """
    for end in (low, high):
        if math.isfinite(end):
            kept = points[np.abs(points - end) > CLOSE * abs(end)]
            points = kept if len(kept) else points[:1]
    origins = [float(points[len(points) // 2]), *(c for c in centers if points[0] < c < points[-1])]
    origins += [end for end in (low, high) if math.isfinite(end)]
    found = [points]
    for origin in origins:
        for side in (points[points > origin], points[points < origin][::-1]):
            distance = np.abs(side - origin)
            for near, far in itertools.pairwise(distance):
                if near > 0.0 and 1.4 < math.log(far) - math.log(near) < 690.0:
                    steps = np.geomspace(near, far, 2 + math.ceil(math.log(far / near, 4.0)))
                    found.append(origin + math.copysign(1.0, side[0] - origin) * steps[1:-1])
    merged = np.unique(np.concatenate(found))
    return merged[(merged > low) & (merged < high)]


def integrate(
    f: Function,
    points: Float[np.ndarray, " k"],
    low: float,
    high: float,
    *,
    tolerance: float | tuple[float, ...] = 1e-12,
    noise: tuple[int | None, ...] = (),
) -> Integral:
    """Returns the integrals of the columns of f from low to high.

    Args:
        f: maps n points, and the log of dx/dt there, to an array (n, m).
        points: where to cut, strictly inside (low, high), at least one.
        low, high: the ends; may be infinite.
        tolerance: stop when the errors are below this share of the absolute integrals; one for
            each column, or one for all.
        noise: for each column, which other column bounds its rounding, if one does: no panel is
            halved to see more than that.
    """
    maps: list[tuple[Tail | None, np.ndarray]] = [(None, points)]
    maps += [(tail, tail.panels()) for tail in tails(points, low, high) if tail.factor != 0.0]
    of = np.concatenate([np.full(len(cuts) - 1, i) for i, (_, cuts) in enumerate(maps)])
    panels = _Panels(
        np.concatenate([cuts[:-1] for _, cuts in maps]),
        np.concatenate([cuts[1:] for _, cuts in maps]),
        of,
        tuple(tail for tail, _ in maps),
    )
    return _adapt(f, panels, np.asarray(tolerance), noise)


@final
@dataclass(frozen=True)
class _Panels:
    """Panels from a to b in the coordinate of their piece: x itself, or t of a tail."""

    a: np.ndarray
    b: np.ndarray
    of: np.ndarray
    tails: tuple[Tail | None, ...]

    def halves(self, chosen: np.ndarray) -> "_Panels":
        """Returns both halves of some."""
        a, b, of = self.a[chosen], self.b[chosen], self.of[chosen]
        middle = 0.5 * (a + b)
        ends = np.concatenate([a, middle]), np.concatenate([middle, b])
        return _Panels(*ends, np.concatenate([of, of]), self.tails)

    def at(self, t: Float[np.ndarray, "p n"]) -> tuple[np.ndarray, np.ndarray]:
        """Returns x and the logs of dx/dt at points of each panel."""
        x, speed = t.copy(), np.zeros_like(t)
        for i, tail in enumerate(self.tails):
            if tail is not None:
                own = self.of == i
                x[own], speed[own] = tail(t[own]), tail.log_speed(t[own])
        return x, speed

    def coarseness(self) -> np.ndarray:
        """How many times the width of a panel its distance from 0 is: points there are rounded."""
        ratio = np.maximum(np.abs(self.a), np.abs(self.b)) / (self.b - self.a)
        for i, tail in enumerate(self.tails):
            if tail is not None:
                own = self.of == i
                a, b = self.a[own], self.b[own]
                near = abs(tail.factor) * np.exp(a if tail.infinite else -b)
                ratio[own] = abs(tail.anchor) / near / (b - a) if tail.anchor else 0.0
        return ratio[:, None]


def _adapt(
    f: Function, panels: _Panels, tolerance: np.ndarray, noise: tuple[int | None, ...]
) -> Integral:
    """Halves panels until the errors are small, or only rounding, or the budget is spent."""
    value, gap, absolute = _rule(f, panels)
    done = np.zeros((3, value.shape[1]))
    # Each piece is measured against its own size: a tail's coarse panels may hide what is small in the whole.
    finished = np.zeros((len(panels.tails), value.shape[1]))
    evaluations = panels.a.size * _NODES.size
    while True:
        scale = finished.copy()
        np.add.at(scale, panels.of, absolute)
        rounding = _EPSILON * absolute * (50.0 + 4.0 * panels.coarseness())
        blurred = rounding.copy()
        for column, source in enumerate(noise):
            if source is not None:
                blurred[:, column] += absolute[:, source]
        allowed = np.maximum((tolerance * scale / 32.0)[panels.of], blurred)
        wide = panels.b - panels.a > 1e-13 * np.abs(panels.a + panels.b)
        rough = (gap > np.maximum(allowed, 1e-300)).any(axis=1) & wide
        if evaluations > _BUDGET:
            rough[:] = False
        kept = ~rough
        done += [part[kept].sum(axis=0) for part in (value, gap + rounding, absolute)]
        np.add.at(finished, panels.of[kept], absolute[kept])
        if not rough.any():
            return Integral(done[0], done[1], done[2], evaluations)
        panels = panels.halves(rough)
        value, gap, absolute = _rule(f, panels)
        evaluations += panels.a.size * _NODES.size


def _rule(f: Function, panels: _Panels) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns the Kronrod value, its distance from Gauss and the absolute integral of each panel."""
    half = 0.5 * (panels.b - panels.a)
    with np.errstate(all="ignore"):
        x, speed = panels.at((0.5 * (panels.a + panels.b))[:, None] + half[:, None] * _NODES)
        y = f(x.ravel(), speed.ravel()).reshape(*x.shape, -1)
    kronrod = np.einsum("pnm,n->pm", y, _KRONROD) * half[:, None]
    gauss = np.einsum("pnm,n->pm", y, _GAUSS) * half[:, None]
    absolute = np.einsum("pnm,n->pm", np.abs(y), _KRONROD) * half[:, None]
    gap = np.abs(kronrod - gauss)
    return kronrod, gap, absolute


def nodes(
    points: Float[np.ndarray, " k"], low: float, high: float
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """Returns fixed nodes of the same panels, and the logs of their weights."""
    found: list[tuple[np.ndarray, np.ndarray]] = []
    for tail in (None, *tails(points, low, high)):
        cuts = points if tail is None else tail.panels()
        if len(cuts) < 2 or (tail is not None and tail.factor == 0.0):
            continue
        half = 0.5 * np.diff(cuts)
        t = (cuts[:-1] + half)[:, None] + half[:, None] * _NODES
        log_weight = np.log(half[:, None] * _KRONROD)
        if tail is not None:
            t, log_weight = tail(t), log_weight + tail.log_speed(t)
        found.append((t.ravel(), log_weight.ravel()))
    return np.concatenate([x for x, _ in found]), np.concatenate([w for _, w in found])
