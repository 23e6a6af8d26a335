"""Supports as smooth images of the whole space: the bijections and their Jacobians.

Intervals are written once against an array namespace, for NumPy batches and traced points alike, and need no JAX;
other constraints go through NumPyro's bijections (`constraints`), which is imported when one is given.
"""

import math
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias, final

import numpy as np
from scipy.special import expit

from kullback.core.errors import InputError
from kullback.core.optional import need

if TYPE_CHECKING:
    from kullback.interop.constraints import Curved

Array = np.ndarray
_TINY = float(np.finfo(float).tiny)
#: exp of these is still a normal float64.
_LOWEST, _HIGHEST = float(np.log(np.finfo(float).tiny)), float(np.log(np.finfo(float).max))


@final
@dataclass(frozen=True)
class Interval:
    """Numbers between two ends, each open; infinite ends are none.

    Points are kept off the ends: a value that rounds onto one would have an infinite or NaN
    log density.
    """

    low: float = -math.inf
    high: float = math.inf

    def describe(self) -> str:
        """Returns the interval as people write it."""
        return f"({self.low:g}, {self.high:g})"

    @property
    def _half(self) -> tuple[float, float] | None:
        """The end of a half line and the sign towards its inside; None for other intervals."""
        match math.isfinite(self.low), math.isfinite(self.high):
            case True, False:
                return self.low, 1.0
            case False, True:
                return self.high, -1.0
        return None

    def constrain(self, u: Any, xp: Any) -> Any:
        """Returns the points of the interval that coordinates u stand for."""
        if self == REAL:
            return u
        if self._half is not None:
            end, sign = self._half
            x = end + sign * xp.exp(xp.clip(u, _LOWEST, _HIGHEST))
        else:
            # Measured from the nearer end, so that both ends are approached with all digits.
            logistic = expit if xp is np else sys.modules["jax"].nn.sigmoid
            width = self.high - self.low
            below, above = self.low + width * logistic(u), self.high - width * logistic(-u)
            x = xp.where(u < 0.0, below, above)
        return xp.clip(x, _beside(self.low, np.inf), _beside(self.high, -np.inf))

    def log_jacobian(self, u: Any, xp: Any) -> Any:
        """Returns log |dx / du| of each coordinate."""
        if self == REAL:
            return xp.zeros_like(u)
        if self._half is not None:
            return u
        both = xp.logaddexp(0.0, u) + xp.logaddexp(0.0, -u)
        return math.log(self.high - self.low) - both

    def slopes(self, u: Array) -> tuple[Array, Array]:
        """Returns dx / du of each coordinate, and d log |dx / du| / du."""
        rate = np.exp(np.clip(self.log_jacobian(u, np), _LOWEST, _HIGHEST))
        if self == REAL:
            return rate, np.zeros_like(u)
        if self._half is None:
            return rate, expit(-u) - expit(u)
        moves = (u >= _LOWEST) & (u <= _HIGHEST)  # beyond, the point is held off the end
        return np.where(moves, self._half[1] * rate, 0.0), np.ones_like(u)

    def unconstrain(self, x: Array) -> Array:
        """Returns the coordinates of points; those on an end are moved off it."""
        x = np.clip(x, _beside(self.low, np.inf), _beside(self.high, -np.inf))
        if self == REAL:
            return x
        if self._half is not None:
            end, sign = self._half
            return np.log(sign * (x - end))
        return np.log(x - self.low) - np.log(self.high - x)

    def contains(self, x: Array) -> Array:
        """Whether points lie inside, the ends excluded; NaN does not."""
        return (x > self.low) & (x < self.high)


Support: TypeAlias = "Interval | Curved"
#: A support as plain JSON: a word, or two ends, None for an infinite one.
Words = str | list[float | None]

REAL = Interval()

_INTERVALS = {
    "real": REAL,
    "positive": Interval(0.0, math.inf),
    "negative": Interval(-math.inf, 0.0),
    "unit": Interval(0.0, 1.0),
}
#: The supports of vectors and matrices that have a word, and what NumPyro calls them.
CURVED = {
    "simplex": "simplex",
    "ordered": "ordered_vector",
    "positive_ordered": "positive_ordered_vector",
    "correlation": "corr_matrix",
    "correlation_cholesky": "corr_cholesky",
    "positive_definite": "positive_definite",
    "lower_cholesky": "lower_cholesky",
    "zero_sum": "zero_sum",
}
#: The supports that have a name.
WORDS = (*_INTERVALS, *CURVED)


def read_support(given: Any, name: str) -> Support:
    """Returns a support, a word, two ends, a NumPyro constraint, or None for the whole space, as a bijection."""
    match given:
        case None:
            return REAL
        case str() if given in _INTERVALS:
            return _INTERVALS[given]
        case str() if given in CURVED:
            what = f"{name}: the support {given!r}"
            return need("kullback.interop.constraints", what, "kullback[jax]").named(given)
        case (low, high):
            return interval(low, high, name)
        case _ if type(given).__module__.startswith("numpyro."):
            what = f"{name}: the support {given!r}"
            return need("kullback.interop.constraints", what, "kullback[jax]").from_constraint(
                given, name
            )
        case _:
            raise InputError(
                f"{name}: the support {given!r} is not known; give one of {', '.join(WORDS)}, "
                "a pair (low, high), or a NumPyro constraint"
            )


def words(support: Support) -> Words | None:
    """Returns a support as plain JSON; None if only an object says what it is."""
    if not isinstance(support, Interval):
        return support.word
    for word, known in _INTERVALS.items():
        if known == support:
            return word
    return [e if math.isfinite(e) else None for e in (support.low, support.high)]


def interval(low: Any, high: Any, name: str) -> Interval:
    """Returns the numbers between two ends, None for none; InputError where they are no ends."""
    try:
        ends = (
            -math.inf if low is None else float(low),
            math.inf if high is None else float(high),
        )
    except (TypeError, ValueError):
        raise InputError(f"{name}: the ends {low!r} and {high!r} are not two numbers") from None
    if not ends[0] < ends[1]:
        raise InputError(f"{name}: the interval ({ends[0]:g}, {ends[1]:g}) is empty")
    return REAL if Interval(*ends) == REAL else Interval(*ends)


def _beside(end: float, towards: float) -> float:
    """Returns the number next to an end; none that is subnormal, because XLA makes those 0."""
    return math.copysign(_TINY, towards) if end == 0.0 else float(np.nextafter(end, towards))
