"""Quadrature on the line: panels between the landmarks of p and q, and separate tests of the tails."""

import itertools
import math
from dataclasses import dataclass, replace
from typing import final

import numpy as np
from jaxtyping import Float

from kullback.core.errors import DensityError
from kullback.distributions.base import Array, Distribution, Foreign
from kullback.distributions.compound import Mixture
from kullback.distributions.scalar import Scalar
from kullback.measure.density import in_single
from kullback.measure.question import Question
from kullback.measure.support import certainly_empty, common, mass_outside
from kullback.results.estimate import Outcome, infinite, unresolved
from kullback.results.quantity import Sentence
from kullback.solvers.quadrature import Integral, Tail, fill, integrate, tails

_METHOD = "quadrature"
#: A density may miss this much mass before the answer is refused.
_MISSING = 1e-6
#: Where q's log density underflows to -inf, p may have this much mass; and what a unit of it may add, in nats.
UNDERFLOW, BEYOND_UNDERFLOW = 1e-13, 1e4
#: Landmarks further out are left to the tails, which start at the last one that is kept.
_FAR = 1e120
#: Where log q is lower than this, it is about to overflow.
_STEEP = 1e100
#: The columns that are integrated together.
_MAIN, _SPARE, _MASS_P, _MASS_Q, _NOISE, _SLOPE, _OUTSIDE, _UNDERFLOW = range(8)


@final
@dataclass(frozen=True)
class _Line:
    """The part of the line to integrate over."""

    points: Float[np.ndarray, " m"]
    low: float
    high: float


@np.errstate(all="ignore")
def measure_by_quadrature(question: Question, p: Distribution, q: Distribution) -> Outcome:
    """Returns the answer with an error bound; infinite or unresolved with the reason."""
    line = _line(question, p, q)
    log_masses = (log_mass(p, line.points), log_mass(q, line.points))
    if question.name == "total_variation":
        # A kink inside a panel can hide from both of its rules.
        cuts = np.unique(np.concatenate([line.points, _crossings(p, q, line, log_masses)]))
        line = replace(line, points=cuts)
    integral = _integrals(question, p, q, line, log_masses)
    n, outside = integral.evaluations, float(integral.value[_OUTSIDE])
    if outside > 0.0 and question.needs_support:
        return infinite(
            f"support: q is 0 where p has mass {outside:.3g}; q lives on {q.support}", _METHOD
        )
    found = examine(question, p, q, line.points, line.low, line.high, log_masses)
    if found.diverges and found.reason:
        return infinite(found.reason, _METHOD)
    reason = found.reason or _problem(integral, found.mass)
    if reason:
        return unresolved(float(integral.value[_MAIN]), reason, _METHOD, n)
    left_out = (0.0, 0.0)
    if question.nonnegative is not None:
        scale = math.exp(-log_masses[1])
        missed, unsure = mass_outside(q, line.low, line.high)
        left_out = (missed * scale, unsure * scale)
    value, error = _value(question, integral, found, left_out)
    answer = question.finish(value)
    if not math.isfinite(answer):
        return infinite("support: p and q do not overlap", _METHOD)
    width = max(abs(question.finish(value + e) - answer) for e in (error, -error))
    notes = tuple(
        Sentence("log normalising constant of {}, by quadrature: {:.10g} {unit}", name, constant)
        for name, d, constant in zip("pq", (p, q), log_masses, strict=True)
        if not d.normalized
    )
    return Outcome(answer, width if math.isfinite(width) else error, "numeric", _METHOD, n, notes)


def _line(question: Question, p: Distribution, q: Distribution) -> _Line:
    low, high = common(p, q) if question.needs_support else (p.support.low, p.support.high)
    if question.needs_reverse_support:
        other = common(q, p)
        low, high = max(low, other[0]), min(high, other[1])
    elif question.over_q:
        low, high = min(low, q.support.low), max(high, q.support.high)
    ends = [q.support.low, q.support.high, p.support.low, p.support.high]
    own = np.concatenate([p.landmarks(), kinks(p)])
    own.sort()
    others = np.concatenate([q.landmarks(), kinks(q)])
    if not question.over_q and len(own):
        # q's features matter where p has mass; far ones would only stretch the panels.
        reach = 1e3 * max(float(np.ptp(own)), 1e-300)
        others = others[(others > own[0] - reach) & (others < own[-1] + reach)]
    points = np.unique(np.concatenate([own, others, ends]))
    points = points[np.isfinite(points) & (points > low) & (points < high)]
    near = points[np.abs(points) < _FAR]
    points = near if len(near) else points
    if not len(points):
        points = np.array([0.5 * (low + high) if math.isfinite(low + high) else 0.0])
    points = fill(_where_q_is_known(points, q), low, high)
    return _Line(points, low, high)


#: A slope that jumps bends this many times more than what is around it, at every scale.
_JUMP = 30.0
_ZOOMS, _GRID = 7, 48


def kinks(d: Distribution) -> Float[np.ndarray, " m"]:
    """Returns where the slope of a log density that is not ours jumps: a panel's two rules may both miss it."""
    if not isinstance(d, Foreign) or d.ours or d.support.discrete:
        return np.zeros(0)
    if "_kinks" not in vars(d):
        marks = d.landmarks()
        pairs = itertools.pairwise(marks)
        # Neighbours overlap: a kink at a landmark is one already.
        grids = [np.linspace(a, b, _GRID) for a, b in pairs if b > a]
        found = [place for grid in grids for place in _jumps(d, grid, _ZOOMS)]
        vars(d)["_kinks"] = np.unique(np.array(found, dtype=np.float64))
    return vars(d)["_kinks"]


def _jumps(d: Distribution, x: Float[np.ndarray, " n"], zooms: int) -> list[float]:
    with np.errstate(all="ignore"):
        values = d.log_prob(x)
    slopes = np.diff(values) / np.diff(x)
    bends = np.abs(np.diff(slopes))
    if not np.isfinite(bends).all() or len(bends) < 8:
        return []
    at = int(np.argmax(bends))
    noise = 1e-14 * float(np.abs(values).max() + 1.0) / float(np.diff(x).min())
    if bends[at] < _JUMP * float(np.median(bends)) + 20.0 * noise:
        return []
    low, high = x[max(at - 1, 0)], x[min(at + 3, len(x) - 1)]
    if zooms == 0 or high - low < 1e-9 * max(abs(low), abs(high), 1e-300):
        return [float(x[at + 1])]
    return _jumps(d, np.linspace(low, high, _GRID), zooms - 1)


#: Where two densities cross, |p - q| has a kink: looked for at so many points between two cuts.
_BETWEEN = 16


def _crossings(
    p: Distribution, q: Distribution, line: _Line, log_masses: tuple[float, float]
) -> Float[np.ndarray, " m"]:
    """Returns the points where p = q, as far as changes of sign on a fine grid show them."""

    def gap(x: np.ndarray) -> np.ndarray:
        return np.nan_to_num(p.log_prob(x) - q.log_prob(x) - log_masses[0] + log_masses[1])

    inner = line.points[:-1, None] + np.diff(line.points)[:, None] * (
        np.arange(_BETWEEN) / _BETWEEN
    )
    beyond = [
        t(np.linspace(0.0, t.seen, 64 * _BETWEEN))
        for t in tails(line.points, line.low, line.high)
        if t.factor != 0.0
    ]
    x = np.unique(np.concatenate([inner.ravel(), *beyond]))
    x = x[(x > line.low) & (x < line.high)]
    signs = np.sign(gap(x))
    at = np.flatnonzero(signs[1:] * signs[:-1] < 0.0)
    low, high, left = x[at], x[at + 1], signs[at]
    for _ in range(80):
        middle = 0.5 * (low + high)
        same = np.sign(gap(middle)) == left if len(middle) else np.zeros(0, dtype=bool)
        low, high = np.where(same, middle, low), np.where(same, high, middle)
    return np.concatenate([high, x[signs == 0.0]])


def _where_q_is_known(points: Float[np.ndarray, " m"], q: Distribution) -> Float[np.ndarray, " k"]:
    """Leaves out points where log q overflows: the tails begin before, and say what it comes to."""
    known = (q.log_prob(points) > -_STEEP) | certainly_empty(q, points)
    return points[known] if known.any() else points


def log_mass(d: Distribution, points: Float[np.ndarray, " m"]) -> float:
    """Returns 0 for a normalised density, otherwise the log of its integral over the line."""
    if d.normalized:
        return 0.0
    s = d.support
    points = np.unique(np.concatenate([d.landmarks(), points]))
    points = fill(points[(points > s.low) & (points < s.high)], s.low, s.high)
    peak = float(np.max(d.log_prob(points)))
    if not math.isfinite(peak):
        raise DensityError(
            "the log density is -inf wherever it was looked for; give example= near its mass"
        )
    side = improper(d, points, s.low, s.high, peak)
    if side is not None:
        raise DensityError(
            f"exp(log density) does not integrate, towards {side}: it is improper; give support= where "
            "it ends, or a density that falls off"
        )
    whole = integrate(
        lambda x, speed: np.exp(d.log_prob(x) - peak + speed)[:, None], points, s.low, s.high
    )
    return peak + math.log(float(whole.value[0]))


def _integrals(
    question: Question,
    p: Distribution,
    q: Distribution,
    line: _Line,
    log_masses: tuple[float, float],
) -> Integral:
    """Returns the integrals of the answer and of what is needed to trust it, by column."""

    def columns(x: np.ndarray, speed: np.ndarray) -> np.ndarray:
        log_p = p.log_prob(x) - log_masses[0]
        log_q = q.log_prob(x) - log_masses[1]
        mass_p, mass_q = np.exp(log_p + speed), np.exp(log_q + speed)
        empty = np.isneginf(log_q) & ~np.isneginf(log_p)
        outside = empty & certainly_empty(q, x)
        felt = mass_q if question.bounded else mass_p
        noise = mass_p * rounding(p, x, log_p) + felt * rounding(q, x, log_q)
        if question.needs_support:
            # Both kinds of emptiness are judged by their mass, in columns of their own.
            log_q = np.where(empty, log_p, log_q)
        main = question.contribution(log_p, log_q, speed)
        spare = main if question.nonnegative is None else question.nonnegative(log_p, log_q, speed)
        with np.errstate(invalid="ignore"):
            gap = np.minimum(1.0, np.abs(np.where(np.isneginf(log_p), 0.0, log_p - log_q)))
        return np.stack(
            [
                main,
                spare,
                mass_p,
                mass_q,
                noise,
                noise * gap,
                mass_p * outside,
                mass_p * (empty & ~outside),
            ],
            axis=1,
        )

    loose = 1e30
    tolerance = (1e-12, 1e-10, 1e-12, loose, loose, loose, loose, loose)
    return integrate(
        columns, line.points, line.low, line.high, tolerance=tolerance, noise=(_NOISE, _SLOPE)
    )


def _problem(integral: Integral, mass_beyond: float) -> str | None:
    """Returns why the integrals cannot be used, if so."""
    if not np.isfinite(integral.value[:_OUTSIDE]).all():
        return "the integral overflows a float64"
    mass = float(integral.value[_MASS_P]) + mass_beyond
    if abs(mass - 1.0) > _MISSING:
        return f"quadrature finds mass {mass:.6g} of p, not 1: p is not normalised, or its mass is elsewhere"
    underflow = float(integral.value[_UNDERFLOW])
    if underflow > UNDERFLOW:
        return f"q's log density underflows to -inf where p has mass {underflow:.2g}"
    return None


# Is the integral finite? Looks at how the integrand falls far out, or close to an end.


@final
@dataclass(frozen=True)
class Remainder:
    """What lies beyond the last panels; `reason` is set when that cannot be said or is infinite."""

    value: float = 0.0
    error: float = 0.0
    mass: float = 0.0
    reason: str | None = None
    diverges: bool = False


def _value(
    question: Question, integral: Integral, beyond: Remainder, left_out: tuple[float, float]
) -> tuple[float, float]:
    """Returns the better of the two integrals of the same thing, with its error.

    The second misses exactly q's mass outside the line.
    """
    value, error = integral.value, integral.error
    deficit = abs(float(value[_MASS_P]) + beyond.mass - 1.0)
    main = float(value[_MAIN]) + beyond.value
    blur = (
        float(value[_NOISE])
        + beyond.error
        + BEYOND_UNDERFLOW * float(value[_UNDERFLOW])
        + deficit * (1.0 + abs(main) + 2.0 * abs(math.log(deficit + 1e-300)))
    )
    error_main = float(error[_MAIN]) + blur
    missed, unsure = left_out
    leak = 1.0 - float(value[_MASS_Q]) - missed
    if question.nonnegative is None or abs(leak) > 1e-9 or beyond.value != 0.0:
        return main, error_main
    error_spare = float(error[_SPARE]) + float(value[_SLOPE]) + beyond.error + unsure
    error_spare += BEYOND_UNDERFLOW * float(value[_UNDERFLOW])
    spare = float(value[_SPARE]) + missed
    return (spare, error_spare) if error_spare < error_main else (main, error_main)


@final
@dataclass(frozen=True)
class Part:
    """What an interval adds to the answer, and the masses of p and q on it."""

    outcome: Outcome
    mass_p: float
    mass_q: float


@np.errstate(all="ignore")
def over(question: Question, p: Distribution, q: Distribution, low: float, high: float) -> Part:
    """Returns what the interval from low to high adds to the answer of `measure`."""
    whole = _line(question, p, q)
    inside = whole.points[(whole.points > low) & (whole.points < high)]
    points = np.concatenate([[low], inside, [high]])
    line = _Line(fill(points[np.isfinite(points)], -math.inf, math.inf), low, high)
    log_masses = (log_mass(p, whole.points), log_mass(q, whole.points))
    integral = _integrals(question, p, q, line, log_masses)
    beyond = examine(question, p, q, line.points, low, high, log_masses)
    error = float(integral.error[_MAIN] + integral.value[_NOISE])
    if float(integral.value[_OUTSIDE]) > 0.0 and question.needs_support:
        outcome = infinite("support: q is 0 where p has mass", _METHOD)
    elif beyond.reason is not None:
        outcome = infinite(beyond.reason, _METHOD)
    else:
        value, error = float(integral.value[_MAIN]) + beyond.value, error + beyond.error
        outcome = Outcome(value, error, "numeric", _METHOD, integral.evaluations)
    return Part(outcome, float(integral.value[_MASS_P]), float(integral.value[_MASS_Q]))


# How far rounding may move a log density: what limits every sum of log ratios.

_EPSILON = 2.0**-52


def rounding(
    d: Distribution, x: Array, log_prob: Float[np.ndarray, " n"]
) -> Float[np.ndarray, " n"]:
    """Returns a bound on the rounding error of log_prob at n points."""
    if isinstance(d, Scalar):
        return 8.0 * _EPSILON * (1.0 + d.magnitude(x))
    if isinstance(d, Mixture):
        parts = [rounding(c, x, log_prob) for c in d.components]
        # The component that matters at x is not the far one whose terms are large.
        closest = np.argmax([c.log_prob(x) for c in d.components], axis=0)
        return np.choose(closest, parts) + _EPSILON if len(parts) <= 32 else np.max(parts, axis=0)
    sizes = np.where(np.isfinite(log_prob), np.abs(log_prob), 0.0)
    single = False
    if isinstance(d, Foreign) and not d.ours and not d.support.discrete:
        single = in_single(d, x)
    return 8.0 * (2.0**-23 if single else _EPSILON) * (1.0 + sizes)


#: A log size that no convergent integral comes to.
_HUGE = 1e4
#: Standard errors of a decay above which the model of a tail is not believed.
_ROUGH = 1e-2
#: A tail that has fallen this far, in nats below the rest, is not looked at.
_NEGLIGIBLE = 40.0


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
    for tail, end in zip(tails(points, low, high), (low, high), strict=True):
        side = _side(question, p, q, tail, end, log_masses)
        if side.reason is not None:
            return side
        found = Remainder(
            found.value + side.value, found.error + side.error, found.mass + side.mass
        )
    return found


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
    view = _look(question, p, q, tail, np.linspace(0.0, tail.seen, 2001), log_masses)
    # Where log q overflows, what the integrand does up to there has to tell.
    over = np.flatnonzero(np.isposinf(view.size))
    length = float(view.t[over[0] - 1]) if len(over) and over[0] > 0 else tail.seen
    view = _look(question, p, q, tail, np.linspace(0.3, 1.0, 61) * length, log_masses)
    mass = _extrapolate(view.t, view.mass, 1.0, "", tail.length)
    if mass.reason is not None:
        mass = Remainder()
    words = _words(end, view.log_p, view.log_q)
    sign = math.copysign(1.0, _sign(question, view.log_p, view.log_q))
    stop = max(tail.length if view.t[-1] == tail.seen else 0.0, float(view.t[-1]))
    beyond = _extrapolate(view.t, view.size, sign, words, stop)
    if beyond.diverges and not tail.infinite and tail.anchor != 0.0:
        # Floats are too coarse close to such an end to tell a divergence from rounding.
        return Remainder(reason=f"{beyond.reason}, as far as floats can tell")
    return replace(beyond, mass=mass.value, error=beyond.error + mass.error)


def improper(
    d: Distribution, points: Float[np.ndarray, " m"], low: float, high: float, peak: float
) -> str | None:
    """Returns the end towards which a density does not integrate, if there is one."""
    for tail, end in zip(tails(points, low, high), (low, high), strict=True):
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
    """Log sizes of the integrand and of p along a tail, and the log densities at its last point."""

    t: np.ndarray
    size: np.ndarray
    mass: np.ndarray
    log_p: float
    log_q: float


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
    return _View(t, size, log_p + speed, float(log_p[-1]), float(log_q[-1]))


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
    if not np.isfinite(size[recent:]).all() or size[-1] < -_NEGLIGIBLE:
        return Remainder()
    if size[-1] > _HUGE and sign > 0.0:
        return Remainder(reason=f"tails: {where}", diverges=True)
    decay, power, shift, blur = _fit(t[recent:], size[recent:])
    slope = float(np.polyfit(t[3 * recent // 2 :], size[3 * recent // 2 :], 1)[0])
    settled = abs(decay) < 1e-5 and blur < 1e-5
    rising = bool((np.diff(size[recent:]) > 0.0).all())
    if (settled and power > -1.0 + 1e-3) or (rising and (decay < -blur or blur > _ROUGH)):
        if sign < 0.0:
            return Remainder(reason=f"tails: {where}; the integral tends to minus infinity")
        return Remainder(reason=f"tails: {where}", diverges=True)
    if blur > _ROUGH and slope < -1.0:
        # It falls faster and faster: what is left is less than the tangent says.
        left = math.exp(size[-1]) / -slope
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


def _logs(power: float, shift: float, start: float, end: float) -> float:
    return power * math.log((end + shift) / (start + shift))


def _fit(t: np.ndarray, size: np.ndarray) -> tuple[float, float, float, float]:
    """Returns a, b, c of the model size = -a t + b log(t + c) + d, and three standard errors of a.

    A log ratio that is a constant plus a multiple of t is what c is for.
    """
    best = (math.inf, 0.0, 0.0, 0.0, 0.0)
    reach = float(t[-1])
    shifts = [0.0, *(reach * np.geomspace(1e-3, 1e3, 37)), *(-t[0] * np.linspace(0.05, 0.95, 19))]
    for shift in shifts:
        design = np.stack([-t, np.log(t + shift), np.ones_like(t)], axis=1)
        found = np.linalg.lstsq(design, size, rcond=None)[0]
        variance = float((size - design @ found).var())
        if variance < best[0]:
            scale = float(np.linalg.pinv(design.T @ design)[0, 0])
            spread = 3.0 * math.sqrt(max(scale * variance, 0.0)) + 1e-9
            best = (variance, float(found[0]), float(found[1]), float(shift), spread)
    return best[1:]


def _beyond(decay: float, power: float, start: float) -> float:
    """Returns the integral of exp(-decay (t - start)) (t / start)^power from start on."""
    u = np.linspace(0.0, 60.0, 4001) / decay
    return float(np.trapezoid(np.exp(-decay * u) * (1.0 + u / start) ** power, u))
