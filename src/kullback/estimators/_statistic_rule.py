"""Closed forms of scalars: KL(p||q) = sum_s (c_s(p) - c_s(q)) E_p[s], in as many digits as it takes.

Within an exponential family this is the Bregman divergence of the log-normaliser. Near p = q the
terms cancel; the sum is then repeated with more digits until what is left is right to a float64.
"""

import math
from collections.abc import Callable

from mpmath import mp

from kullback.distributions._scalar import Number, Scalar
from kullback.distributions._statistics import Statistic
from kullback.estimators._outcome import Outcome, exact, infinite

_METHOD = "closed form"
_MOST_DIGITS = 700

Terms = list[Number] | None


def kl(p: Scalar, q: Scalar) -> Outcome | None:
    """Returns KL(p||q), or None where a mean is not known. q must cover p's support."""
    if p == q:
        return exact(0.0, _METHOD)
    return resolve(lambda: _terms(p, _difference(p.terms(), q.terms())), sign_known=True)


def cross_entropy(p: Scalar, q: Scalar) -> Outcome | None:
    """Returns -E_p[log q], or None where a mean is not known."""
    return resolve(lambda: _terms(p, {s: -c for s, c in q.terms().items()}), sign_known=False)


def _difference(
    left: dict[Statistic, Number], right: dict[Statistic, Number]
) -> dict[Statistic, Number]:
    zero = mp.mpf(0)
    return {s: left.get(s, zero) - right.get(s, zero) for s in [*left, *right]}


def _terms(p: Scalar, coefficients: dict[Statistic, Number]) -> Terms:
    means = {s: p.mean_of(s) for s, c in coefficients.items() if c != 0}
    if any(m is None or mp.isnan(m) for m in means.values()):
        return None
    return [coefficients[s] * m for s, m in means.items()]


def resolve(terms: Callable[[], Terms], *, sign_known: bool) -> Outcome | None:
    """Returns the sum of the terms, to the rounding of a float64 whatever cancels."""
    digits = 30
    while True:
        with mp.workdps(digits):
            parts = terms()
            if parts is None:
                return None
            diverging = [t for t in parts if mp.isinf(t)]
            if diverging:
                return _diverged(diverging)
            value = mp.fsum(parts)
            largest = max((abs(t) for t in parts), default=mp.mpf(0))
            lost = mp.log10(largest / abs(value)) if value != 0 else mp.inf
            if largest == 0 or lost < digits - 20:
                return _rounded(float(value), sign_known=sign_known)
            if digits >= _MOST_DIGITS:
                # The two are the same distribution under different names.
                return exact(0.0, _METHOD)
            needed = int(lost) + 40 if mp.isfinite(lost) else 2 * digits
            digits = min(max(needed, digits + 20), _MOST_DIGITS)


def _diverged(parts: list[Number]) -> Outcome | None:
    if all(t > 0 for t in parts):
        return infinite("tails: a moment of p that log q needs is infinite", _METHOD)
    return None


def _rounded(value: float, *, sign_known: bool) -> Outcome | None:
    if math.isinf(value):
        return infinite("overflow: finite, but above the largest float64", _METHOD)
    assert not sign_known or value >= 0.0, "a KL in closed form is never negative"
    return exact(value, _METHOD)
