"""NumPyro's constraints as supports of vectors and matrices; their bijections are compiled for 256 rows at a time."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, final

import jax
import jax.numpy as jnp
import numpy as np
from numpyro.distributions import biject_to, constraints

from kullback.core.errors import UnsupportedError
from kullback.core.numerics import float64
from kullback.interop.bijections import CURVED, REAL, WORDS, Support, interval
from kullback.interop.jax_function import in_chunks

Array = np.ndarray
Program = Callable[[Any], Any]


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
        return in_chunks(self._programs[0], u) if xp is np else self.transform(u)

    def log_jacobian(self, u: Any, xp: Any) -> Any:
        """Returns log |dx / du|; in parts, to be summed, if u is traced."""
        if xp is np:
            return in_chunks(self._programs[1], u)
        return self.transform.log_abs_det_jacobian(u, self.transform(u))

    def unconstrain(self, x: Array) -> Array:
        """Returns the coordinates of n values."""
        return in_chunks(self._programs[2], x)

    def contains(self, x: Array) -> Array:
        """Which of n values lie in the set."""
        with float64():
            return np.asarray(self.constraint(jnp.asarray(x)))

    def pulled(self, u: Array, slopes: Array) -> Array:
        """Returns gradients over n values as those over their coordinates (n, size), the Jacobian's part added."""
        return in_chunks(self._programs[3], (u, slopes)).reshape(len(u), -1)

    @functools.cached_property
    def _programs(self) -> tuple[Program, Program, Program, Program]:
        # A transform itself has no hash, which jit asks of what it compiles.
        def image(u: jax.Array) -> jax.Array:
            return self.transform(u)

        def jacobian(u: jax.Array) -> jax.Array:
            return self.transform.log_abs_det_jacobian(u, self.transform(u))

        def origin(x: jax.Array) -> jax.Array:
            return self.transform.inv(x)

        def pull(rows: tuple[jax.Array, jax.Array]) -> jax.Array:
            def inner(u: jax.Array, slope: jax.Array) -> jax.Array:
                return jnp.dot(jnp.ravel(image(u)), slope) + jnp.sum(jacobian(u))

            return jax.vmap(jax.grad(inner))(*rows)

        return jax.jit(image), jax.jit(jacobian), jax.jit(origin), jax.jit(pull)


_CONSTRAINTS: dict[str, Any] = {
    word: constraints.zero_sum(1) if word == "zero_sum" else getattr(constraints, name)
    for word, name in CURVED.items()
}
#: NumPyro's classes of intervals; those of positive and unit inherit from them.
_CLASSES = {"_GreaterThan", "_GreaterThanEq", "_LessThan", "_LessThanEq", "_Interval"}


def named(word: str) -> Curved:
    """Returns the support of a word."""
    return Curved(_CONSTRAINTS[word], word)


def from_constraint(given: Any, name: str) -> Support:
    """Returns a constraint of NumPyro's as a bijection."""
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
        return interval(low, high, name)
    try:
        biject_to(given)
    except NotImplementedError:
        raise UnsupportedError(
            f"{name}: there is no smooth one-to-one map from the whole space onto {given!r}: it is "
            f"discrete or of a lower dimension; give a support of {', '.join(WORDS)}"
        ) from None
    return Curved(given)


def _same(bound: Any) -> float | str | None:
    """Returns an end that is the same for all coordinates; "mixed" if it is not."""
    if bound is None:
        return None
    values = np.unique(np.asarray(bound, dtype=np.float64))
    return float(values[0]) if len(values) == 1 else "mixed"
