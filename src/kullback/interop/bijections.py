"""Supports as smooth images of the whole space: the bijections and their Jacobians.

Intervals are written once against an array namespace, for NumPy batches and traced points alike;
other constraints go through NumPyro's bijections, compiled for 256 rows at a time.
"""

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, final

import jax
import jax.numpy as jnp
import numpy as np
from numpyro.distributions import biject_to, constraints
from scipy.special import expit

from kullback.core.errors import InputError, UnsupportedError
from kullback.core.numerics import float64

Array = np.ndarray
Program = Callable[[Any], Any]
_ROWS = 256
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

    def constrain(self, u: Any, xp: Any) -> Any:
        """Returns the points of the interval that coordinates u stand for."""
        match math.isfinite(self.low), math.isfinite(self.high):
            case False, False:
                return u
            case True, False:
                x = self.low + xp.exp(xp.clip(u, _LOWEST, _HIGHEST))
            case False, True:
                x = self.high - xp.exp(xp.clip(u, _LOWEST, _HIGHEST))
            case _:
                # Measured from the nearer end, so that both ends are approached with all digits.
                logistic, width = (expit if xp is np else jax.nn.sigmoid), self.high - self.low
                x = xp.where(
                    u < 0.0, self.low + width * logistic(u), self.high - width * logistic(-u)
                )
        return xp.clip(x, _beside(self.low, np.inf), _beside(self.high, -np.inf))

    def log_jacobian(self, u: Any, xp: Any) -> Any:
        """Returns log |dx / du| of each coordinate."""
        match math.isfinite(self.low), math.isfinite(self.high):
            case False, False:
                return xp.zeros_like(u)
            case True, True:
                both = xp.logaddexp(0.0, u) + xp.logaddexp(0.0, -u)
                return math.log(self.high - self.low) - both
            case _:
                return u

    def unconstrain(self, x: Array) -> Array:
        """Returns the coordinates of points; those on an end are moved off it."""
        x = np.clip(x, _beside(self.low, np.inf), _beside(self.high, -np.inf))
        match math.isfinite(self.low), math.isfinite(self.high):
            case False, False:
                return x
            case True, False:
                return np.log(x - self.low)
            case False, True:
                return np.log(self.high - x)
            case _:
                return np.log(x - self.low) - np.log(self.high - x)

    def contains(self, x: Array) -> Array:
        """Whether points lie inside, the ends excluded; NaN does not."""
        return (x > self.low) & (x < self.high)


@final
@dataclass(frozen=True, eq=False)
class Curved:
    """A set of vectors or matrices, through NumPyro's bijection; same methods as Interval."""

    constraint: Any
    word: str | None = None

    @functools.cached_property
    def transform(self) -> Any:
        """NumPyro's map from the whole space."""
        return biject_to(self.constraint)

    def describe(self) -> str:
        """Returns the set as people write it."""
        return f"the support {self.word or repr(self.constraint)}"

    def constrain(self, u: Any, xp: Any) -> Any:
        """Returns the values that coordinates u stand for."""
        return self.transform(u) if xp is jnp else in_chunks(self._programs[0], u)

    def log_jacobian(self, u: Any, xp: Any) -> Any:
        """Returns log |dx / du|; in parts, to be summed, if u is traced."""
        if xp is jnp:
            return self.transform.log_abs_det_jacobian(u, self.transform(u))
        return in_chunks(self._programs[1], u)

    def unconstrain(self, x: Array) -> Array:
        """Returns the coordinates of n values."""
        return in_chunks(self._programs[2], x)

    def contains(self, x: Array) -> Array:
        """Which of n values lie in the set."""
        with float64():
            return np.asarray(self.constraint(jnp.asarray(x)))

    @functools.cached_property
    def _programs(self) -> tuple[Program, Program, Program]:
        # A transform itself has no hash, which jit asks of what it compiles.
        def image(u: jax.Array) -> jax.Array:
            return self.transform(u)

        def jacobian(u: jax.Array) -> jax.Array:
            return self.transform.log_abs_det_jacobian(u, self.transform(u))

        def origin(x: jax.Array) -> jax.Array:
            return self.transform.inv(x)

        return jax.jit(image), jax.jit(jacobian), jax.jit(origin)


Support = Interval | Curved
#: A support as plain JSON: a word, or two ends, None for an infinite one.
Words = str | list[float | None]

REAL = Interval()

_INTERVALS = {
    "real": REAL,
    "positive": Interval(0.0, math.inf),
    "negative": Interval(-math.inf, 0.0),
    "unit": Interval(0.0, 1.0),
}
_CONSTRAINTS: dict[str, Any] = {
    "simplex": constraints.simplex,
    "ordered": constraints.ordered_vector,
    "positive_ordered": constraints.positive_ordered_vector,
    "correlation": constraints.corr_matrix,
    "correlation_cholesky": constraints.corr_cholesky,
    "positive_definite": constraints.positive_definite,
    "lower_cholesky": constraints.lower_cholesky,
    "zero_sum": constraints.zero_sum(1),
}
#: The supports that have a name.
WORDS = (*_INTERVALS, *_CONSTRAINTS)
#: NumPyro's classes of intervals; those of positive and unit inherit from them.
_CLASSES = {"_GreaterThan", "_GreaterThanEq", "_LessThan", "_LessThanEq", "_Interval"}


def read_support(given: Any, name: str) -> Support:
    """Returns a support as a bijection.

    Args:
        given: a word, two ends, a NumPyro constraint, or None for the whole space.
        name: of the parameter, for messages.

    Raises:
        InputError: it is none of these.
        UnsupportedError: there is no bijection onto it.
    """
    match given:
        case None:
            return REAL
        case str() if given in _INTERVALS:
            return _INTERVALS[given]
        case str() if given in _CONSTRAINTS:
            return Curved(_CONSTRAINTS[given], given)
        case (low, high):
            return _interval(low, high, name)
        case constraints.Constraint():
            return _from_constraint(given, name)
        case _:
            raise InputError(
                f"{name}: the support {given!r} is not known; give one of {', '.join(WORDS)}, "
                "a pair (low, high), or a NumPyro constraint"
            )


def words(support: Support) -> Words | None:
    """Returns a support as plain JSON; None if only an object says what it is."""
    if isinstance(support, Curved):
        return support.word
    for word, known in _INTERVALS.items():
        if known == support:
            return word
    return [e if math.isfinite(e) else None for e in (support.low, support.high)]


def _interval(low: Any, high: Any, name: str) -> Interval:
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


def _from_constraint(given: Any, name: str) -> Support:
    base = given
    while hasattr(base, "base_constraint"):
        base = base.base_constraint
    if base in (constraints.real, constraints.real_vector, constraints.real_matrix):
        return REAL
    if base is constraints.softplus_positive:
        return Curved(given)
    word = next((w for w, c in _CONSTRAINTS.items() if c == base), None)
    if word is not None:
        return Curved(base, word)
    low, high = (_same(getattr(base, f"{end}_bound", None)) for end in ("lower", "upper"))
    is_interval = bool(_CLASSES & {c.__name__ for c in type(base).__mro__})
    if is_interval and not base.is_discrete and "mixed" not in (low, high):
        return _interval(low, high, name)
    try:
        biject_to(given)
    except NotImplementedError:
        raise UnsupportedError(
            f"{name}: there is no smooth one-to-one map from the whole space onto {given!r}: it is "
            f"discrete or of a lower dimension; give a support of {', '.join(WORDS)}"
        ) from None
    return Curved(given)


def _beside(end: float, towards: float) -> float:
    """Returns the number next to an end; none that is subnormal, because XLA makes those 0."""
    return math.copysign(_TINY, towards) if end == 0.0 else float(np.nextafter(end, towards))


def _same(bound: Any) -> float | str | None:
    """Returns an end that is the same for all coordinates; "mixed" if it is not."""
    if bound is None:
        return None
    values = np.unique(np.asarray(bound, dtype=np.float64))
    return float(values[0]) if len(values) == 1 else "mixed"


def in_chunks(program: Program, rows: Any) -> Any:
    """Returns a program of n rows, compiled for 256 of them; the last are padded with the first.

    Args:
        program: a compiled function of 256 rows, from a pytree of arrays to one.
        rows: a pytree of arrays (n, ...).

    Returns:
        What the program returns for the n rows, in NumPy.
    """
    n = len(jax.tree.leaves(rows)[0])
    out = []
    with float64():
        for start in range(0, max(n, 1), _ROWS):
            part = jax.tree.map(functools.partial(_padded, start=start), rows)
            out.append(jax.tree.map(lambda v: np.asarray(v)[: n - start], program(part)))  # noqa: B023
    return jax.tree.map(lambda *parts: np.concatenate(parts), *out)


def _padded(rows: Array, start: int) -> Array:
    part = np.asarray(rows[start : start + _ROWS], dtype=np.float64)
    filler = part[:1] if len(part) else np.zeros((1, *part.shape[1:]))
    return np.concatenate([part, np.repeat(filler, _ROWS - len(part), axis=0)])
