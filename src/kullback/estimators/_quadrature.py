"""Quadrature on the line: panels between the landmarks of p and q, and separate tests of the tails."""

import math
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float

from kullback._core.errors import DensityError
from kullback.distributions._base import Distribution
from kullback.estimators import _tails
from kullback.estimators._emptiness import certainly_empty
from kullback.estimators._outcome import Outcome, infinite, unresolved
from kullback.estimators._question import Question
from kullback.estimators._rounding import rounding
from kullback.solvers._quadrature import Integral, fill, integrate

_METHOD = "quadrature"
#: A density may miss this much mass before the answer is refused.
_MISSING = 1e-6
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
def measure(question: Question, p: Distribution, q: Distribution) -> Outcome:
    """Returns the answer with an error bound; infinite or unresolved with the reason."""
    line = _line(question, p, q)
    log_masses = (log_mass(p, line.points), log_mass(q, line.points))
    integral = _integrals(question, p, q, line, log_masses)
    n, outside = integral.evaluations, float(integral.value[_OUTSIDE])
    if outside > 0.0 and question.needs_support:
        return infinite(
            f"support: q is 0 where p has mass {outside:.3g}; q lives on {q.support}", _METHOD
        )
    found = _tails.examine(question, p, q, line.points, line.low, line.high, log_masses)
    if found.diverges and found.reason:
        return infinite(found.reason, _METHOD)
    reason = found.reason or _problem(integral, found.mass)
    if reason:
        return unresolved(float(integral.value[_MAIN]), reason, _METHOD, n)
    value, error = _value(question, integral, found)
    answer = question.finish(value)
    if not math.isfinite(answer):
        return infinite("support: p and q do not overlap", _METHOD)
    width = max(abs(question.finish(value + e) - answer) for e in (error, -error))
    notes = tuple(
        f"log normalising constant of {name}, by quadrature: {constant:.10g}"
        for name, d, constant in zip("pq", (p, q), log_masses, strict=True)
        if not d.normalized
    )
    return Outcome(answer, width if math.isfinite(width) else error, "numeric", _METHOD, n, notes)


def _line(question: Question, p: Distribution, q: Distribution) -> _Line:
    low, high = p.support.low, p.support.high
    if question.over_q:
        low, high = min(low, q.support.low), max(high, q.support.high)
    ends = [q.support.low, q.support.high, p.support.low, p.support.high]
    own = p.landmarks()
    others = q.landmarks()
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
    return _Line(fill(_where_q_is_known(points, q), low, high), low, high)


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
    side = _tails.improper(d, points, s.low, s.high, peak)
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
    if underflow > 1e-13:
        return f"q's log density underflows to -inf where p has mass {underflow:.2g}"
    return None


def _value(question: Question, integral: Integral, beyond: _tails.Remainder) -> tuple[float, float]:
    """Returns the better of the two integrals of the same thing, with its error."""
    value, error = integral.value, integral.error
    deficit = abs(float(value[_MASS_P]) + beyond.mass - 1.0)
    main = float(value[_MAIN]) + beyond.value
    blur = (
        float(value[_NOISE])
        + beyond.error
        + deficit * (1.0 + abs(main) + 2.0 * abs(math.log(deficit + 1e-300)))
    )
    error_main = float(error[_MAIN]) + blur
    leak = 1.0 - float(value[_MASS_Q])
    if question.nonnegative is None or abs(leak) > 1e-9 or beyond.value != 0.0:
        return main, error_main
    # Where q has mass outside p's support, the second integral misses exactly that mass.
    error_spare = float(error[_SPARE]) + float(value[_SLOPE]) + beyond.error
    return (float(value[_SPARE]), error_spare) if error_spare < error_main else (main, error_main)


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
    beyond = _tails.examine(question, p, q, line.points, low, high, log_masses)
    error = float(integral.error[_MAIN] + integral.value[_NOISE])
    if float(integral.value[_OUTSIDE]) > 0.0 and question.needs_support:
        outcome = infinite("support: q is 0 where p has mass", _METHOD)
    elif beyond.reason is not None:
        outcome = infinite(beyond.reason, _METHOD)
    else:
        value, error = float(integral.value[_MAIN]) + beyond.value, error + beyond.error
        outcome = Outcome(value, error, "numeric", _METHOD, integral.evaluations)
    return Part(outcome, float(integral.value[_MASS_P]), float(integral.value[_MASS_Q]))
