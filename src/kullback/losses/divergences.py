"""The f-divergences: each as what a point x adds, given log p(x) and log q(x).

D(p||q) = finish(integral of contribution(log p, log q)), with 0 log 0 = 0 and plus infinity where
the divergence says so. Contributions are written so that nothing cancels where p is close to q.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float

from kullback.core.errors import InputError

Logs = Float[np.ndarray, " n"]
Contribution = Callable[[Logs, Logs], Logs]


@final
@dataclass(frozen=True)
class PointwiseDivergence:
    """One row of the table.

    Attributes:
        kind: its name.
        label: how it prints, with its arguments in their order.
        contribution: what a point adds, from log p and log q there.
        unit: "nats", or "" where the divergence is not an information.
        convention: which of the conventions in use this is, in words; "" where there is one only.
        finish: from the integral to the divergence, increasing.
        needs_q: whether places where only q has mass add something.
        order: a, for functions of the integral of p^a q^(1-a).
    """

    kind: str
    label: str
    contribution: Contribution
    unit: str = "nats"
    convention: str = ""
    finish: Callable[[float], float] = float
    needs_q: bool = True
    order: float | None = None


def forward_kl(log_p: Logs, log_q: Logs) -> Logs:
    """p (log p - log q), whose integral is KL(p||q); terms may be negative."""
    with np.errstate(invalid="ignore", over="ignore"):
        return np.where(np.isneginf(log_p), 0.0, np.exp(log_p) * (log_p - log_q))


def excess_kl(log_p: Logs, log_q: Logs) -> Logs:
    """p (log p - log q) - p + q >= 0: the same integral, if p and q have the same mass."""
    with np.errstate(invalid="ignore", over="ignore"):
        ratio = np.where(np.isneginf(log_p), 0.0, log_q - log_p)
        terms = np.exp(log_p) * _expm1_minus(ratio)
        terms = np.where(ratio > 30.0, np.exp(log_q) - np.exp(log_p) * (1.0 + ratio), terms)
    return np.where(np.isneginf(log_p), np.exp(log_q), terms)


def _expm1_minus(t: Logs) -> Logs:
    """exp(t) - 1 - t >= 0, accurate near 0."""
    near = np.abs(t) < 0.03
    small = np.where(near, t, 0.0)
    series = np.zeros_like(small)
    for k in range(10, 1, -1):  # what is left out is 1e-21 of it
        series = series * small + 1.0 / math.factorial(k)
    return np.where(near, small**2 * series, np.expm1(np.minimum(t, 700.0)) - t)


def _jeffreys(log_p: Logs, log_q: Logs) -> Logs:
    """(p - q) (log p - log q)"""
    with np.errstate(invalid="ignore"):
        both_empty = np.isneginf(log_p) & np.isneginf(log_q)
        return np.where(both_empty, 0.0, (np.exp(log_p) - np.exp(log_q)) * (log_p - log_q))


def _jensen_shannon(log_p: Logs, log_q: Logs) -> Logs:
    middle = np.logaddexp(log_p, log_q) - math.log(2.0)
    return 0.5 * (excess_kl(log_p, middle) + excess_kl(log_q, middle))


def _chi_square(log_p: Logs, log_q: Logs) -> Logs:
    """(p - q)^2 / q"""
    with np.errstate(invalid="ignore", over="ignore"):
        ratio = np.where(np.isneginf(log_p), -math.inf, log_p - log_q)
        near = np.exp(log_q) * np.expm1(np.minimum(ratio, 30.0)) ** 2
        far = np.exp(log_p + ratio) - 2.0 * np.exp(log_p) + np.exp(log_q)
    terms = np.where(ratio > 30.0, far, near)
    return np.where(np.isneginf(log_p) & np.isneginf(log_q), 0.0, terms)


def _squared_hellinger(log_p: Logs, log_q: Logs) -> Logs:
    """(sqrt p - sqrt q)^2 / 2"""
    high, low = np.maximum(log_p, log_q), np.minimum(log_p, log_q)
    gap = _gap(high, low)
    return 0.5 * np.exp(high) * np.expm1(-0.5 * gap) ** 2


def _total_variation(log_p: Logs, log_q: Logs) -> Logs:
    high, low = np.maximum(log_p, log_q), np.minimum(log_p, log_q)
    return -0.5 * np.exp(high) * np.expm1(-_gap(high, low))


def _gap(high: Logs, low: Logs) -> Logs:
    with np.errstate(invalid="ignore"):
        return np.where(np.isneginf(high), 0.0, high - low)


def _alpha(alpha: float) -> Contribution:
    """(p^a q^(1-a) - a p - (1-a) q) / (a (a-1)) >= 0"""

    def contribution(log_p: Logs, log_q: Logs) -> Logs:
        with np.errstate(invalid="ignore", over="ignore"):
            t = log_p - log_q
            curve = np.expm1(alpha * t) - alpha * np.expm1(t)
            small = np.abs(t) * max(abs(alpha), 1.0) < 0.03
            taylor, near = np.zeros_like(t), np.where(small, t, 0.0)
            for k in range(10, 1, -1):
                taylor = taylor * near + (alpha**k - alpha) / math.factorial(k)
            middle = np.exp(log_q) * np.where(small, near**2 * taylor, curve)
            p, q = np.exp(log_p), np.exp(log_q)
            power = np.exp(alpha * log_p + (1.0 - alpha) * log_q)
            ends = power - alpha * p - (1.0 - alpha) * q
            terms = np.where(np.abs(t) < 1.0, middle, ends) / (alpha * (alpha - 1.0))
        if alpha < 1.0:
            terms = np.where(np.isneginf(log_q), p / (1.0 - alpha), terms)
        if alpha > 0.0:
            terms = np.where(np.isneginf(log_p), q / alpha, terms)
        return np.where(np.isneginf(log_p) & np.isneginf(log_q), 0.0, terms)

    return contribution


_PLAIN = {
    row.kind: row
    for row in [
        PointwiseDivergence("forward_kl", "KL(p||q)", forward_kl, needs_q=False),
        PointwiseDivergence("reverse_kl", "KL(q||p)", lambda a, b: forward_kl(b, a)),
        PointwiseDivergence(
            "jeffreys", "J(p,q)", _jeffreys, convention="KL(p||q) + KL(q||p), not its half"
        ),
        PointwiseDivergence(
            "jensen_shannon",
            "JS(p,q)",
            _jensen_shannon,
            convention="mean of KL(p||m) and KL(q||m), m = (p+q)/2; at most log 2",
        ),
        PointwiseDivergence(
            "jensen_shannon_sum",
            "2JS(p,q)",
            lambda a, b: 2.0 * _jensen_shannon(a, b),
            convention="sum of KL(p||m) and KL(q||m), m = (p+q)/2; at most 2 log 2",
        ),
        PointwiseDivergence(
            "jensen_shannon_distance",
            "sqrt JS(p,q)",
            _jensen_shannon,
            unit="",
            convention="square root of the Jensen-Shannon divergence in nats, a metric",
            finish=lambda v: math.sqrt(max(v, 0.0)),
        ),
        PointwiseDivergence(
            "pearson_chi2",
            "chi2(p||q)",
            _chi_square,
            unit="",
            convention="integral of (p - q)^2 / q",
            order=2.0,
        ),
        PointwiseDivergence(
            "neyman_chi2",
            "chi2(q||p)",
            lambda a, b: _chi_square(b, a),
            unit="",
            convention="integral of (p - q)^2 / p",
            order=-1.0,
        ),
        PointwiseDivergence(
            "squared_hellinger",
            "H2(p,q)",
            _squared_hellinger,
            unit="",
            convention="half the integral of (sqrt p - sqrt q)^2; at most 1",
            order=0.5,
        ),
        PointwiseDivergence(
            "total_variation",
            "TV(p,q)",
            _total_variation,
            unit="",
            convention="half the integral of |p - q|; at most 1",
        ),
    ]
}

KINDS = (*_PLAIN, "alpha", "renyi")


def divergence_row(kind: str, alpha: float | None = None) -> PointwiseDivergence:
    """Returns the row of a kind; `alpha` is required by "alpha" and "renyi" and by no other.

    Raises:
        InputError: the kind is unknown, or alpha is missing, superfluous or not usable.
    """
    if kind in _PLAIN:
        if alpha is not None:
            raise InputError(f'alpha={alpha} was given, but kind="{kind}" has no alpha')
        return _PLAIN[kind]
    if kind not in KINDS:
        raise InputError(f'kind="{kind}" is not known; choose from {", ".join(KINDS)}')
    if alpha is None or not math.isfinite(alpha):
        raise InputError(f'kind="{kind}" needs a finite alpha, such as alpha=0.5; got {alpha}')
    if kind == "renyi":
        return _renyi(alpha)
    if alpha in (0.0, 1.0):
        return _PLAIN["forward_kl" if alpha == 1.0 else "reverse_kl"]
    return PointwiseDivergence(
        "alpha",
        f"D_alpha={alpha:g}(p||q)",
        _alpha(alpha),
        convention="integral of (p^a q^(1-a) - a p - (1-a) q) / (a (a-1)); a -> 1 is KL(p||q)",
        order=alpha,
    )


def _renyi(alpha: float) -> PointwiseDivergence:
    if alpha <= 0.0:
        raise InputError(f'kind="renyi" needs alpha > 0, got {alpha}')
    if alpha == 1.0:
        return _PLAIN["forward_kl"]

    def finish(value: float) -> float:
        inside = alpha * (alpha - 1.0) * value
        return math.log1p(inside) / (alpha - 1.0) if inside > -1.0 else math.inf

    return PointwiseDivergence(
        "renyi",
        f"R_alpha={alpha:g}(p||q)",
        _alpha(alpha),
        convention="log of the integral of p^a q^(1-a), over a - 1; a -> 1 is KL(p||q)",
        finish=finish,
        order=alpha,
    )
