"""Is the integral finite? How the integrand falls far out, or close to an end; how far rounding moves it."""

import math
from dataclasses import dataclass, replace
from typing import final

import numpy as np
from jaxtyping import Float

from kullback.distributions.base import Array, Distribution, Foreign
from kullback.distributions.compound import Mixture, Transformed
from kullback.distributions.scalar import Scalar
from kullback.measure.density import in_single
from kullback.measure.question import Question
from kullback.solvers.quadrature import Tail, slopes


@final
@dataclass(frozen=True)
class Remainder:
    """What lies beyond the last panels; `reason` is set when that cannot be said or is infinite."""

    value: float = 0.0
    error: float = 0.0
    mass: float = 0.0
    reason: str | None = None
    diverges: bool = False


# How far rounding may move a log density: what limits every sum of log ratios.

_EPSILON = 2.0**-52
#: Units of rounding that log densities of others are off by, in the worst of SciPy's families on the line.
_THEIRS = 24.0


def rounding(
    d: Distribution, x: Array, log_prob: Float[np.ndarray, " n"]
) -> Float[np.ndarray, " n"]:
    """Returns a bound on the rounding error of log_prob at n points, and a number where that overflows."""
    with np.errstate(all="ignore"):
        return np.fmin(_rounding(d, x, log_prob), _MOST)


#: What no mass is multiplied by into anything.
_MOST = 1e100


def _rounding(
    d: Distribution, x: Array, log_prob: Float[np.ndarray, " n"]
) -> Float[np.ndarray, " n"]:
    if isinstance(d, Scalar):
        return 8.0 * _EPSILON * (1.0 + d.magnitude(x))
    if isinstance(d, Transformed):
        inner = _rounding(d.base, d.pull(x), log_prob)
        return inner + 8.0 * _EPSILON * np.where(np.isfinite(log_prob), np.abs(log_prob), 0.0)
    if isinstance(d, Mixture):
        parts = [_rounding(c, x, log_prob) for c in d.components]
        # The component that matters at x is not the far one whose terms are large.
        closest = np.argmax([c.log_prob(x) for c in d.components], axis=0)
        return np.choose(closest, parts) + _EPSILON if len(parts) <= 32 else np.max(parts, axis=0)
    sizes = np.where(np.isfinite(log_prob), np.abs(log_prob), 0.0)
    if not isinstance(d, Foreign):
        return 8.0 * _EPSILON * (1.0 + sizes)
    single = not d.ours and not d.support.discrete and in_single(d, x)
    units = (8.0 if d.ours else _THEIRS) * (2.0**-23 if single else _EPSILON)
    bound = units * (1.0 + sizes + d.cancels)
    return bound if d.support.dimension else np.maximum(bound, scatter(d, x) * (1.0 + sizes))


#: Steps between neighbours whose log densities are compared, in distances from the middle, and how many neighbours.
_STEPS, _NEIGHBOURS, _PLACES = (1e-3, 1e-6, 1e-10), 25, 12
#: Integers are neighbours of which a smooth function leaves nothing so far from both ends, and from the middle.
_SMOOTH = 64.0
#: The order of differences that leaves nothing of a smooth function, and how much larger it makes noise.
_ORDER = 8
_LOUDER = math.sqrt(math.comb(2 * _ORDER, _ORDER))


def scatter(d: Foreign, x: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Returns how far the log density of a scalar scatters, as a share of 1 + its size: so far a formula may cancel.

    It is measured at a few dozen places, once, and interpolated between them.
    """
    if "_scatter" not in vars(d):
        places, grid = _places(d)
        with np.errstate(all="ignore"):
            values = d.log_prob(grid.ravel()).reshape(grid.shape)
            rough = np.abs(np.diff(values, n=_ORDER, axis=2))
            # By the median, for one kink is no noise.
            shares = np.median(rough, axis=2) / (1.0 + np.median(np.abs(values), axis=2))
        noise = np.nan_to_num(shares, posinf=0.0).max(axis=1) / _LOUDER
        vars(d)["_scatter"] = places, 8.0 * noise
    places, noise = vars(d)["_scatter"]
    return np.interp(x, places, noise) if len(places) else np.zeros_like(x)


def _places(d: Foreign) -> tuple[Float[np.ndarray, " p"], Float[np.ndarray, "p s m"]]:
    """Where the scatter is measured, in both tails, and the neighbours at each step."""
    marks, s = d.landmarks(), d.support
    middle = float(np.median(marks)) if len(marks) else max(s.low, 0.0)
    span = float(np.ptp(marks[len(marks) // 4 :])) if len(marks) else 1.0
    offsets = np.arange(_NEIGHBOURS) - _NEIGHBOURS // 2
    steps = max(span, 1.0 if s.discrete else 0.0) * np.geomspace(1e-3, 1e6, _PLACES)
    places = np.concatenate([middle - steps[::-1], middle + steps])
    if s.discrete:
        places = np.unique(np.floor(places))
        near = np.minimum.reduce([places - s.low, s.high - places, np.abs(places - middle)])
        far = near > _SMOOTH
        return places[far], places[far, None, None] + offsets
    places = places[(places > s.low) & (places < s.high)]
    near = np.minimum.reduce([np.abs(places - middle), places - s.low, s.high - places])
    return places, places[:, None, None] + near[:, None, None] * np.multiply.outer(
        _STEPS, offsets / _NEIGHBOURS
    )


def ratio(
    log_p: Float[np.ndarray, " n"], log_q: Float[np.ndarray, " n"]
) -> Float[np.ndarray, " n"]:
    """Returns what a relative error of p is multiplied by, at least 1: the log ratio."""
    size = np.abs(log_p - log_q)
    return np.maximum(1.0, np.where(np.isfinite(size), size, 1.0))


#: A log size that no convergent integral comes to.
_HUGE = 1e4
#: Standard errors of a decay above which the model of a tail is not believed.
_ROUGH = 1e-2
#: No support ends here: a density that is 0, or NaN, from so far on was lost to an overflow; or whose log falls to this
#: from one point to the next.
_FAR, _GONE = 1e50, -1e40
#: A tail of no known model that falls at least so fast, a unit of t, goes on to do so.
_FALLS = 0.3
#: A tail that has fallen this far, in nats below the rest, is not looked at if it falls on, by so much a unit of t.
_NEGLIGIBLE, _FLAT = 40.0, 1e-3


def examine(
    question: Question,
    p: Distribution,
    q: Distribution,
    points: Float[np.ndarray, " m"],
    low: float,
    high: float,
    log_masses: tuple[float, float],
) -> Remainder:
    """Returns the sum of both remainders; the first problem if there is one."""
    found = Remainder()
    for tail, end in zip(slopes(points, low, high), (low, high), strict=True):
        side = _side(question, p, q, tail, end, log_masses)
        if side.reason is not None:
            return side
        found = Remainder(
            found.value + side.value, found.error + side.error, found.mass + side.mass
        )
    return found


#: How often a grid is made twenty times finer around the point from which on a log density is lost.
_FINER = 5


def _falls_out(log_density: Float[np.ndarray, " n"]) -> np.ndarray:
    """Where a component of a mixture is lost from one point to the next, which leaves the others' logs."""
    before = np.append(-np.inf, log_density[:-1])
    return (log_density < _GONE) & (before > -_HUGE)


def _side(
    question: Question,
    p: Distribution,
    q: Distribution,
    tail: Tail,
    end: float,
    log_masses: tuple[float, float],
) -> Remainder:
    if tail.factor == 0.0 or tail.length < 4.0:
        return Remainder()

    def seen(t: np.ndarray) -> tuple[_View, int]:
        view = _look(question, p, q, tail, t, log_masses)
        over = np.isposinf(view.size)
        if tail.infinite:
            far = np.abs(tail(t)) > _FAR
        else:  # towards an end, what is lost matters where the integrand rises
            far = (np.abs(tail(t) - tail.anchor) < 1.0 / _FAR) & (
                np.append(0.0, view.size[:-1]) > 0.0
            )
        gone = _falls_out(view.mass) | _falls_out(view.of_q)
        lost = np.flatnonzero(over | (far & (~np.isfinite(view.size) | gone)))
        return view, int(lost[0]) if len(lost) else len(t)

    def paid(at: int) -> bool:
        """Whether a component that q loses there would pay for it; a q lost whole underflows by p's mass."""
        size = view.mass[at] if np.isneginf(view.of_q[at]) else view.size[at]
        return bool(_falls_out(view.of_q)[at] and size > -_NEGLIGIBLE)

    # Where log q overflows, or a square in p, what the integrand does up to there has to tell.
    view, first = seen(np.linspace(0.0, tail.seen, 101))
    cut = 0 < first < len(view.t)
    over = np.isposinf(view.size)
    length = tail.seen
    if cut and paid(first):
        return Remainder(reason=f"tails: towards {end:g}, a component of q is lost to an overflow")
    if cut:
        # From one point of a grid to the next, on finer ones: what is left begins where the panels lose it.
        at = first
        for _ in range(_FINER):
            view, at = seen(np.linspace(view.t[at - 1], view.t[min(at, len(view.t) - 1)], 21))
        length = float(view.t[at - 1])
    view = _look(question, p, q, tail, np.linspace(0.3, 1.0, 61) * length, log_masses)
    if cut and over.any() and _outgrown(p, q, tail, length, question):
        where = _words(end, view.log_p, view.log_q)
        return Remainder(reason=f"tails: {where}, far out", diverges=True)
    if length == 0.0:
        # From the first point on, q is beyond what a float says.
        lost = view.mass[-1] > -_NEGLIGIBLE
        return Remainder(reason=f"tails: towards {end:g}, log q overflows") if lost else Remainder()
    mass = _extrapolate(view.t, view.mass, 1.0, "", tail.length)
    if mass.reason is not None:
        mass = Remainder()
    words = _words(end, view.log_p, view.log_q)
    sign = math.copysign(1.0, _sign(question, view.log_p, view.log_q))
    stop = max(tail.length if view.t[-1] == tail.seen else 0.0, float(view.t[-1]))
    beyond = _extrapolate(view.t, view.size, sign, words, stop)
    if view.size[-1] < -_NEGLIGIBLE and not _steadily(view.mass, -1.0):
        beyond = Remainder()  # p itself does not fall: its values so far out are not its own
    if beyond.diverges and not tail.infinite and tail.anchor != 0.0:
        # Floats are too coarse close to such an end to tell a divergence from rounding.
        return Remainder(reason=f"{beyond.reason}, as far as floats can tell")
    return replace(beyond, mass=mass.value, error=beyond.error + mass.error)


#: How much larger one exponent of growth must be than another to count as such; and a rate, where both are 1.
_EXPONENTS, _STEEPER = 0.02, 1.1
#: Heights of log |log q| at which q's is measured, each .7 of the next: how far they are apart knows no location.
_HEIGHTS = 700.0 * 0.7 ** np.arange(3)
#: Distances at which p's is, in units of what was seen: a location is nothing there.
_DISTANCES = 2.0 ** np.array([10.0, 20.0])


def _outgrown(
    p: Distribution, q: Distribution, tail: Tail, length: float, question: Question
) -> bool:
    """Whether log |log q| grows faster than -log p towards where log q overflows, so that it wins further out.

    Both as powers of the distance: -log p = x^a, log |log q| = (x - c)^b with b > a. p's mass there may be below
    anything, and c far from p.
    """
    if question.name not in ("kl", "forward_kl", "cross_entropy", "jeffreys"):
        return False
    if not tail.infinite and tail.anchor != 0.0:
        return False
    way = math.copysign(1.0, tail.factor)

    def place(u: Array) -> Array:
        """Towards 0, a distance is that of 1 / x."""
        return way * u if tail.infinite else way / u

    def height(u: Array) -> Array:
        return np.log(np.maximum(-q.log_prob(place(u)), 1e-300))

    ends = tail(np.array([0.0, length + 1.0]))
    low, high = (np.full(3, v) for v in (way * ends if tail.infinite else way / ends))
    reach = max(abs(float(high[0])), *(abs(float(v)) for v in _far(p, tail)))
    for _ in range(60):
        middle = 0.5 * (low + high)
        below = height(middle) < _HEIGHTS
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    if not (np.abs(height(low) - _HEIGHTS) < 5.0).all():
        return False  # it jumps: that is underflow, or it is there from the first
    falls = np.log(-p.log_prob(place(reach * _DISTANCES)))
    apart = -np.diff(low)
    a = float(falls[1] - falls[0]) / math.log(_DISTANCES[1] / _DISTANCES[0])
    b = -math.log(0.7) / max(math.log(apart[0] / apart[1]), 1e-9)
    if not math.isfinite(a) or abs(b - a) > _EXPONENTS or abs(a - 1.0) > _EXPONENTS:
        return math.isfinite(a) and b > a + _EXPONENTS
    # Both grow like x: the steeper wins, by a factor that no power of x makes up for.
    steps = np.exp(falls) / (reach * _DISTANCES)
    return bool((_HEIGHTS[0] - _HEIGHTS[1]) / apart[0] > _STEEPER * steps[1])


def _far(p: Distribution, tail: Tail) -> Array:
    """Distances beyond which p is nothing but tail."""
    marks = p.landmarks()
    marks = marks[marks != 0.0]
    return np.zeros(1) if not len(marks) else marks if tail.infinite else 1.0 / marks


def improper(
    d: Distribution, points: Float[np.ndarray, " m"], low: float, high: float, peak: float
) -> str | None:
    """Returns the end towards which a density does not integrate, if there is one."""
    for tail, end in zip(slopes(points, low, high), (low, high), strict=True):
        if tail.factor == 0.0 or tail.length < 4.0:
            continue
        t = np.linspace(0.3, 1.0, 61) * tail.seen
        size = d.log_prob(tail(t)) - peak + tail.log_speed(t)
        if _extrapolate(t, size, 1.0, "", tail.length).reason is not None:
            return f"{end:g}"
    return None


@final
@dataclass(frozen=True)
class _View:
    """Log sizes of the integrand, of p's mass and of q along a tail, and the log density of p at its last point."""

    t: np.ndarray
    size: np.ndarray
    mass: np.ndarray
    of_q: np.ndarray
    log_p: float

    @property
    def log_q(self) -> float:
        """The log density of q at the last point."""
        return float(self.of_q[-1])


def _look(
    question: Question,
    p: Distribution,
    q: Distribution,
    tail: Tail,
    t: np.ndarray,
    log_masses: tuple[float, float],
) -> _View:
    x, speed = tail(t), tail.log_speed(t)
    log_p, log_q = p.log_prob(x) - log_masses[0], q.log_prob(x) - log_masses[1]
    size = _log_size(question, log_p, log_q) + speed
    return _View(t, size, log_p + speed, log_q, float(log_p[-1]))


def _log_size(question: Question, log_p: np.ndarray, log_q: np.ndarray) -> np.ndarray:
    with np.errstate(all="ignore"):
        if question.name in ("kl", "forward_kl"):
            return log_p + np.log(np.abs(log_p - log_q))
        if question.name in ("cross_entropy", "entropy"):
            return log_p + np.log(np.abs(log_q))
        if question.name == "reverse_kl":
            return log_q + np.log(np.abs(log_p - log_q))
        if question.name == "jeffreys":
            return np.maximum(log_p, log_q) + np.log(np.abs(log_p - log_q))
        if question.name == "pearson_chi2":
            return np.maximum(2.0 * log_p - log_q, log_q)
        if question.name == "neyman_chi2":
            return np.maximum(2.0 * log_q - log_p, log_p)
        return np.log(np.abs(question.contribution(log_p, log_q, np.zeros_like(log_p))))


def _sign(question: Question, log_p: float, log_q: float) -> float:
    if question.name in ("cross_entropy", "entropy"):
        return -log_q
    if question.name in ("kl", "forward_kl"):
        return log_p - log_q
    return log_q - log_p if question.name == "reverse_kl" else 1.0


def _words(end: float, log_p: float, log_q: float) -> str:
    place = (
        f"towards {end:g}" if math.isfinite(end) else f"towards {'-' if end < 0 else '+'}infinity"
    )
    heavier = "p's tail is too heavy for q" if log_p > log_q else "q's tail is too heavy for p"
    return f"{place}, {heavier}"


def _extrapolate(t: np.ndarray, size: np.ndarray, sign: float, where: str, end: float) -> Remainder:
    """Returns what a tail of these log sizes adds beyond t = end."""
    recent = len(t) // 2
    if not np.isfinite(size[recent:]).all():
        return Remainder()
    slope = _slope(t[3 * recent // 2 :], size[3 * recent // 2 :])
    if size[-1] < -_NEGLIGIBLE and slope < -_FLAT:
        return Remainder()
    if size[-1] > _HUGE and sign > 0.0:
        return Remainder(reason=f"tails: {where}", diverges=True)
    decay, power, shift, blur = _fit(t[recent:], size[recent:])
    settled = abs(decay) < 1e-5 and blur < 1e-5
    rising = _steadily(size, 1.0)
    if (settled and power > -1.0 + 1e-3) or (rising and (decay < -blur or blur > _ROUGH)):
        if sign < 0.0:
            return Remainder(reason=f"tails: {where}; the integral tends to minus infinity")
        return Remainder(reason=f"tails: {where}", diverges=True)
    slower = max(slope, _slope(t[recent:], size[recent:]))
    if blur > _ROUGH and slower < -_FALLS:
        # It falls faster and faster, or the log ratio has a zero there: what is left is less than a line above it says.
        left = math.exp(float(np.max(size[recent:] - slower * (t[recent:] - end)))) / -slower
        return Remainder(sign * 0.5 * left, left)
    last = math.exp(min(size[-1] - decay * (end - t[-1]) + _logs(power, shift, t[-1], end), 700.0))
    if settled and power < -1.2:
        fine = last * (end + shift) / (-power - 1.0)
        return Remainder(sign * fine, 0.5 * fine)
    if settled or decay < 3.0 * blur:
        return Remainder(reason=f"tails: {where}; whether the integral converges cannot be told")
    fine = last * _beyond(decay, power, end + shift)
    plain = last / abs(slope) if slope < 0.0 else 2.0 * fine
    error = min(3.0 * abs(fine - plain), fine) + (1e-4 + 10.0 * blur / decay) * fine
    return Remainder(sign * fine, error)


def _slope(t: np.ndarray, size: np.ndarray) -> float:
    """That of a straight line, by least squares, also where squares of sizes overflow."""
    away, scale = t - t.mean(), float(np.abs(size).max()) or 1.0
    return float(away @ (size / scale) / (away @ away)) * scale


def _steadily(size: np.ndarray, way: float) -> bool:
    """Whether it goes one way from each point to the next, over the further half."""
    return bool((way * np.diff(size[len(size) // 2 :]) > 0.0).all())


def _logs(power: float, shift: float, start: float, end: float) -> float:
    return power * math.log((end + shift) / (start + shift))


def _fit(t: np.ndarray, size: np.ndarray) -> tuple[float, float, float, float]:
    """Returns a, b, c of the model size = -a t + b log(t + c) + d, and three standard errors of a.

    A log ratio that is a constant plus a multiple of t is what c is for.
    """
    reach = float(t[-1])
    shifts = np.array(
        [0.0, *(reach * np.geomspace(1e-3, 1e3, 37)), *(-t[0] * np.linspace(0.05, 0.95, 19))]
    )
    logs = np.log(t + shifts[:, None])
    designs = np.stack([np.broadcast_to(-t, logs.shape), logs, np.ones_like(logs)], axis=2)
    inverses = np.linalg.pinv(designs)
    found = inverses @ size
    variances = (size - np.einsum("snk,sk->sn", designs, found)).var(axis=1)
    best = int(np.argmin(variances))
    scale = float(inverses[best, 0] @ inverses[best, 0])
    spread = 3.0 * math.sqrt(max(scale * float(variances[best]), 0.0)) + 1e-9
    return float(found[best, 0]), float(found[best, 1]), float(shifts[best]), spread


def _beyond(decay: float, power: float, start: float) -> float:
    """Returns the integral of exp(-decay (t - start)) (t / start)^power from start on."""
    u = np.linspace(0.0, 60.0, 4001) / decay
    return float(np.trapezoid(np.exp(-decay * u) * (1.0 + u / start) ** power, u))
