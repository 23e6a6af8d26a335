"""A user's log density, whatever its style, as one that maps n events to n numbers; and what went wrong in it."""

import linecache
import sys
import textwrap
import traceback
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, final

import numpy as np

from kullback.core.errors import DensityError, InputError
from kullback.core.numerics import float64
from kullback.core.user_code import guarded, raised

Batched = Callable[[np.ndarray], np.ndarray]
#: The largest event that a message shows.
_SHOWN = 20


def vectorized(
    fn: Callable[..., Any],
    event: np.ndarray,
    name: str,
    *,
    other: np.ndarray | None = None,
    of: str = "log density",
) -> Batched:
    """Returns fn over a batch: called at once if it takes batches, under vmap if it is JAX, else in a loop.

    The style is found out by calling it at two events, one by one and together. At one twice, some functions
    of one event look like functions of two: the second is a neighbour, or `other`.
    """
    if not callable(fn):
        raise InputError(f"{name}: the {of} must be a function, got {type(fn).__name__}")
    if other is None:
        steps = 1.0 + np.arange(event.size).reshape(event.shape)
        other = event + 0.01 * (1.0 + np.abs(event)) * steps
    pair = np.stack([event, other])

    def one(x: Any) -> float:
        return number(called(fn, x, name, of), name, of)

    def batch(x: np.ndarray) -> np.ndarray:
        with float64():
            return np.asarray(called(fn, x, name, of), dtype=np.float64)

    together = _attempt(fn, pair)
    try:
        with float64():
            singly = [one(x) for x in pair]
    except DensityError:
        if together.shape != (2,):  # it may take batches only
            raise
        return batch
    if together.shape == (2,) and np.allclose(together, singly, rtol=1e-6, equal_nan=True):
        return batch
    jax = sys.modules.get("jax")
    if jax is not None:
        mapped = jax.jit(jax.vmap(guarded(fn, f"the {of} of {name}")))
        if _attempt(mapped, pair).shape == (2,):
            from kullback.interop.jax_function import in_counts  # noqa: PLC0415 - JAX is loaded

            return lambda x: np.asarray(
                called(lambda x: in_counts(mapped, x), x, name, of), dtype=np.float64
            )
    return lambda x: np.array([one(row) for row in x])


def _attempt(fn: Callable[..., object], pair: np.ndarray) -> np.ndarray:
    """Returns fn of two events; empty if it fails, which only means that it takes one at a time."""
    try:
        with float64(), np.errstate(all="ignore"):
            return np.asarray(guarded(fn, "")(pair), dtype=np.float64)
    except Exception:  # noqa: BLE001 - whatever the user's function raises
        return np.empty(0)


def called(fn: Callable[..., Any], event: Any, name: str, of: str = "log density") -> Any:
    """Returns fn of an event, or of many."""
    try:
        with np.errstate(all="ignore"):
            return guarded(fn, f"the {of} of {name}")(event)
    except Exception as error:
        text, kind = raised(error)
        at = event if np.size(event) <= _SHOWN else f"x of shape {np.shape(event)}"
        raise DensityError(
            f"{text} ({kind} raised by the {of} of {name} at {at}{location(error)})"
        ) from error


def number(value: Any, name: str, of: str = "log density") -> float:
    """Returns what fn gave for one event, one real number, as a float."""
    try:
        array = np.asarray([] if value is None else value)
    except ValueError:
        array = np.empty(0)
    if array.size != 1 or array.ndim > 1 or array.dtype.kind not in "iufb":
        raise DensityError(f"{name}: the {of} returned {described(value)}")
    return float(array.reshape(()))


# What went wrong while JAX traced a user's function, in the user's terms.

#: What stopped the tracing: a Python branch on a value, a conversion to a number, to a NumPy array.
Obstacle = Literal["branch", "number", "array", "raised"]

_HOST = 'for a function that is not JAX say gradient="differences"'


@final
class TracingError(DensityError):
    """A log density that JAX cannot trace or differentiate.

    Attributes:
        obstacle: "array" if a NumPy or SciPy function was given a traced value, "number" if a
            function such as math.log was, "branch" if Python looked at a value ("if"), "raised" if
            the function raised an exception of its own. After the first three a caller may still
            call the function with NumPy arrays.
    """

    def __init__(self, message: str, obstacle: Obstacle) -> None:
        Exception.__init__(self, message)
        self.obstacle: Obstacle = obstacle


def explained(error: Exception, name: str) -> TracingError:
    """Returns an exception of a traced log density as one line that says what to change."""
    where, jax = location(error), sys.modules["jax"]
    match error:
        case jax.errors.TracerArrayConversionError():
            what = f"a NumPy or SciPy function was given a JAX value{where}"
            return _untraceable(name, what, "use its jax.numpy or jax.scipy twin", "array")
        case jax.errors.TracerBoolConversionError() | jax.errors.NonConcreteBooleanIndexError():
            what = f"Python looks at a value (if, while, and, or, x[mask]){where}"
            return _untraceable(name, what, "use jnp.where or jax.lax.cond", "branch")
        case jax.errors.ConcretizationTypeError() | jax.errors.TracerIntegerConversionError():
            what = f"a value is made a Python number (float, int, math.log){where}"
            return _untraceable(name, what, "use jax.numpy", "number")
        case _:
            text, kind = raised(error)
            return TracingError(
                f"{text} ({kind} raised by the log density of {name}{where})", "raised"
            )


def _untraceable(name: str, what: str, remedy: str, obstacle: Obstacle) -> TracingError:
    return TracingError(f"{name}: {what}, which JAX cannot trace; {remedy}, or {_HOST}", obstacle)


def location(error: BaseException) -> str:
    """Returns ", at file:line: `code`" of the user's last line in a traceback; "" if there is none."""
    frames = [
        (frame, line)
        for frame, line in traceback.walk_tb(error.__traceback__)
        if not frame.f_code.co_filename.startswith(_libraries())
    ]
    if not frames:
        return ""
    frame, line = frames[-1]
    code = linecache.getline(frame.f_code.co_filename, line).strip()
    place = f", at {Path(frame.f_code.co_filename).name}:{line}"
    return f"{place}: `{textwrap.shorten(code, 72)}`" if code else place


@cache
def _libraries() -> tuple[str, ...]:
    """Where the packages live whose frames are not the user's."""
    specs = [find_spec(name) for name in ("kullback", "jax", "jaxlib", "numpyro")]
    places = [p for spec in specs if spec for p in spec.submodule_search_locations or ()]
    return ("<frozen", *(f"{Path(place).resolve()}/" for place in places))


def described(value: Any) -> str:
    """Returns what a log density gave instead of a number, in words."""
    if value is None:
        return "None: is a `return` missing?"
    shape = getattr(value, "shape", None)
    if shape is None:
        return f"a {type(value).__name__}: a log density is one number"
    if shape:
        return f"shape {tuple(shape)}: a log density is one number; sum it"
    return f"{value.dtype}: a log density is one real number"
