"""Is the integral finite? Looks at how the integrand falls far out, or close to an end.

In t, where x runs away like exp(t), a power tail x^-(1+a) becomes exp(-a t): the slope of the log
integrand tells whether the integral converges and how much lies beyond the last panel.
"""

import math
from dataclasses import dataclass, replace
from typing import final

import numpy as np
from jaxtyping import Float

from kullback.distributions._base import Distribution
from kullback.estimators._question import Question
from kullback.solvers._quadrature import Tail, tails

#: Slopes flatter than this are not told apart from 0.
_FLAT = 1e-5
#: A tail that has fallen this far, in nats below the rest, is not looked at.
_NEGLIGIBLE = 40.0


@final
@dataclass(frozen=True)
class Remainder:
    """What lies beyond the last panels; `reason` is set when that cannot be said or is infinite."""

    value: float = 0.0
    error: float = 0.0
    mass: float = 0.0
    reason: str | None = None
    diverges: bool = False


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
    t = np.linspace(0.3, 1.0, 61) * tail.length
    x, speed = tail(t), tail.log_speed(t)
    log_p, log_q = p.log_prob(x) - log_masses[0], q.log_prob(x) - log_masses[1]
    mass = _extrapolate(t, log_p + speed, 1.0, "")
    if mass.reason is not None:
        mass = Remainder()
    sign = math.copysign(1.0, _sign(question, log_p[-1], log_q[-1]))
    size = _log_size(question, log_p, log_q) + speed
    beyond = _extrapolate(t, size, sign, _words(end, log_p[-1], log_q[-1]))
    return replace(beyond, mass=mass.value, error=beyond.error + mass.error)


def _log_size(question: Question, log_p: np.ndarray, log_q: np.ndarray) -> np.ndarray:
    with np.errstate(all="ignore"):
        if question.quantity in ("kl", "forward_kl"):
            return log_p + np.log(np.abs(log_p - log_q))
        if question.quantity in ("cross_entropy", "entropy"):
            return log_p + np.log(np.abs(log_q))
        if question.quantity == "reverse_kl":
            return log_q + np.log(np.abs(log_p - log_q))
        if question.quantity == "jeffreys":
            return np.maximum(log_p, log_q) + np.log(np.abs(log_p - log_q))
        if question.quantity == "pearson_chi2":
            return np.maximum(2.0 * log_p - log_q, log_q)
        if question.quantity == "neyman_chi2":
            return np.maximum(2.0 * log_q - log_p, log_p)
        return np.log(np.abs(question.contribution(log_p, log_q, np.zeros_like(log_p))))


def _sign(question: Question, log_p: float, log_q: float) -> float:
    if question.quantity in ("cross_entropy", "entropy"):
        return -log_q
    if question.quantity in ("kl", "forward_kl"):
        return log_p - log_q
    return log_q - log_p if question.quantity == "reverse_kl" else 1.0


def _words(end: float, log_p: float, log_q: float) -> str:
    place = (
        f"towards {end:g}" if math.isfinite(end) else f"towards {'-' if end < 0 else '+'}infinity"
    )
    heavier = "p's tail is too heavy for q" if log_p > log_q else "q's tail is too heavy for p"
    return f"{place}, {heavier}"


def _extrapolate(t: np.ndarray, size: np.ndarray, sign: float, where: str) -> Remainder:
    """Returns what a tail of these log sizes adds beyond the last t."""
    if not np.isfinite(size[-20:]).all() or size[-1] < -_NEGLIGIBLE:
        return Remainder()
    recent = len(t) // 2
    slope = float(np.polyfit(t[3 * recent // 2 :], size[3 * recent // 2 :], 1)[0])
    decay, power = _fit(t[recent:], size[recent:])
    if slope > -_FLAT and (power > -1.0 or decay < 0.0):
        if sign < 0.0:
            return Remainder(reason=f"tails: {where}; the integral tends to minus infinity")
        return Remainder(reason=f"tails: {where}", diverges=True)
    if slope > -_FLAT or (decay < 0.1 * abs(slope) and power > -1.2):
        return Remainder(reason=f"tails: {where}; whether the integral converges cannot be told")
    last = math.exp(size[-1])
    plain = last / abs(slope)
    if decay < 0.1 * abs(slope):
        fine = last * t[-1] / (-power - 1.0)
        return Remainder(sign * fine, 0.5 * fine)
    fine = last * _beyond(decay, power, t[-1])
    return Remainder(sign * fine, 3.0 * abs(fine - plain) + 1e-4 * fine)


def _fit(t: np.ndarray, size: np.ndarray) -> tuple[float, float]:
    """Returns a and b of the model size = -a t + b log t + c."""
    design = np.stack([-t, np.log(t), np.ones_like(t)], axis=1)
    decay, power, _ = np.linalg.lstsq(design, size, rcond=None)[0]
    return float(decay), float(power)


def _beyond(decay: float, power: float, start: float) -> float:
    """Returns the integral of exp(-decay (t - start)) (t / start)^power from start on."""
    u = np.linspace(0.0, 60.0, 4001) / decay
    return float(np.trapezoid(np.exp(-decay * u) * (1.0 + u / start) ** power, u))
