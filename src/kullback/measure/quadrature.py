"""Quadrature on the line: panels between the landmarks of p and q, and separate tests of the tails."""

import math
from dataclasses import dataclass, replace
from typing import final

import numpy as np
from jaxtyping import Float

from kullback.core.errors import DensityError
from kullback.distributions.base import Distribution
from kullback.measure.density import missing
from kullback.measure.kinks import centers, kinks, shoulders
from kullback.measure.question import Question
from kullback.measure.support import (
    certainly_empty,
    common,
    in_place,
    in_units,
    mass_outside,
    unit_of,
)
from kullback.measure.tails import Remainder, examine, improper, ratio, rounding
from kullback.results.estimate import Outcome, infinite, unresolved
from kullback.results.quantity import Sentence
from kullback.solvers.quadrature import CLOSE, Integral, fill, integrate, tails, within

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
    if not question.of_scale and p.normalized and q.normalized:
        p, q = in_place(p, q)
        unit = unit_of(p, q)
        p, q = in_units(p, unit), in_units(q, unit)
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
    error += missing(q) if question.of_logs else 0.0
    error += _slivers(question, p, q, line)
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
    own, others = (np.concatenate([d.landmarks(), kinks(d)]) for d in (p, q))
    own = np.sort(own[np.isfinite(own)])
    if not question.over_q and len(own):
        # q's features matter where p has mass; far ones would only stretch the panels.
        reach = 1e3 * max(float(np.ptp(own)), 1e-300)
        others = others[(others > own[0] - reach) & (others < own[-1] + reach)]
    points = np.unique(np.concatenate([own, others, ends]))
    points = points[np.isfinite(points) & (points > low) & (points < high)]
    near = points[np.abs(points) < _FAR]
    points = near if len(near) else points
    if not len(points):
        points = np.array([within(low, high)])
    middles = sorted({*centers(p), *centers(q), *shoulders(p)})
    points = fill(_where_q_is_known(points, q), low, high, middles)
    return _Line(points, low, high)


def _slivers(question: Question, p: Distribution, q: Distribution, line: _Line) -> float:
    """What may be between an end and one of a component that rounding set apart from it: no panel is as narrow."""
    cuts, found = np.concatenate([kinks(p), kinks(q)]), 0.0
    for end in (line.low, line.high):
        near = np.abs(cuts - end)
        for width in near[(near > 0.0) & (near <= CLOSE * abs(end))] if math.isfinite(end) else ():
            way = 1.0 if end == line.low else -1.0
            x = end + way * width * np.array([0.25, 0.5, 0.75])
            log_p, log_q = p.log_prob(x), q.log_prob(x)
            terms = question.contribution(log_p, log_q, np.zeros_like(x))
            found += width * float(np.max(np.abs(terms[np.isfinite(terms)]), initial=0.0))
    return found


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
    """Leaves out outer points where log q overflows: the tails begin before, and say what it comes to.

    An inner one is where q is 0 between two of its lobes: the log has a singularity there.
    """
    known = np.flatnonzero((q.log_prob(points) > -_STEEP) | certainly_empty(q, points))
    return points[known[0] : known[-1] + 1] if len(known) else points


def log_mass(d: Distribution, points: Float[np.ndarray, " m"]) -> float:
    """Returns 0 for a normalised density, otherwise the log of its integral over the line."""
    if d.normalized:
        return 0.0
    s = d.support
    points = np.unique(np.concatenate([d.landmarks(), points]))
    points = fill(points[(points > s.low) & (points < s.high)], s.low, s.high, centers(d))
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
        log_p = _beside_poles(p, x) - log_masses[0]
        log_q = _beside_poles(q, x) - log_masses[1]
        mass_p, mass_q = np.exp(log_p + speed), np.exp(log_q + speed)
        empty = np.isneginf(log_q) & ~np.isneginf(log_p)
        outside = empty & certainly_empty(q, x)
        felt = mass_q if question.bounded else mass_p
        of_p = mass_p * rounding(p, x, log_p) * ratio(log_p, log_q)
        of_q = rounding(q, x, log_q)
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
                of_p + felt * of_q,
                # The excess q - p - p log(q/p) is flat where q is p, and is q where p is not.
                of_p * gap + np.abs(mass_q - mass_p) * of_q,
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


def _beside_poles(d: Distribution, x: np.ndarray) -> np.ndarray:
    """Returns log densities; on a pole where a part of a mixture ends within the others, that beside it."""
    found = d.log_prob(x)
    for way in (-np.inf, np.inf):
        on = np.isposinf(found)
        if on.any():
            found = np.where(on, d.log_prob(np.nextafter(x, way)), found)
    return found


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
        + _of_mass(deficit, main)
    )
    error_main = float(error[_MAIN]) + blur
    missed, unsure = left_out
    leak = 1.0 - float(value[_MASS_Q]) - missed
    if question.nonnegative is None or abs(leak) > 1e-9 or beyond.value != 0.0:
        return main, error_main
    error_spare = float(error[_SPARE]) + float(value[_SLOPE]) + beyond.error + unsure
    error_spare += BEYOND_UNDERFLOW * float(value[_UNDERFLOW])
    # Mass that no panel has seen is missing here as well; q's is as large as what it adds.
    unseen = deficit - float(error[_MASS_P] + value[_NOISE])
    error_spare += _of_mass(max(unseen, 0.0), main) + max(abs(leak) - float(error[_MASS_Q]), 0.0)
    spare = float(value[_SPARE]) + missed
    return (spare, error_spare) if error_spare < error_main else (main, error_main)


def _of_mass(missing: float, value: float) -> float:
    """What a mass of p that is missing may add to the answer."""
    return missing * (1.0 + abs(value) + 2.0 * abs(math.log(missing + 1e-300)))


@final
@dataclass(frozen=True)
class Stretch:
    """What an interval adds to the answer, and the masses of p and q on it."""

    outcome: Outcome
    mass_p: float
    mass_q: float


@np.errstate(all="ignore")
def over(question: Question, p: Distribution, q: Distribution, low: float, high: float) -> Stretch:
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
    return Stretch(outcome, float(integral.value[_MASS_P]), float(integral.value[_MASS_Q]))
