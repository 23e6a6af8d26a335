"""What went wrong while JAX traced a user's function, in the user's terms."""

import linecache
import sys
import textwrap
import traceback
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any, Literal, final

import jax
import numpy as np

from kullback.core.errors import DensityError, InputError
from kullback.core.numerics import float64

#: What stopped the tracing: a Python branch on a value, a conversion to a number, to a NumPy array.
Obstacle = Literal["branch", "number", "array", "raised"]

#: Packages whose frames are not the user's.
_OURS = {
    str(Path(__file__).resolve().parents[1]),
    *(str(Path(jax.__file__).resolve().parent.parent / p) for p in ("jax", "jaxlib", "numpyro")),
}
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
    """Returns an exception of a traced log density as one line that says what to change.

    Args:
        error: what was raised under jax.make_jaxpr.
        name: what the density is called in messages.
    """
    where = location(error)
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
            text = f"{error} ({type(error).__name__} raised by the log density of {name}{where})"
            return TracingError(text, "raised")


def _untraceable(name: str, what: str, remedy: str, obstacle: Obstacle) -> TracingError:
    return TracingError(f"{name}: {what}, which JAX cannot trace; {remedy}, or {_HOST}", obstacle)


def location(error: BaseException) -> str:
    """Returns ", at file:line: `code`" of the user's last line in a traceback; "" if there is none."""
    frames = [
        (frame, line)
        for frame, line in traceback.walk_tb(error.__traceback__)
        if not _is_library(frame)
    ]
    if not frames:
        return ""
    frame, line = frames[-1]
    code = linecache.getline(frame.f_code.co_filename, line).strip()
    place = f", at {Path(frame.f_code.co_filename).name}:{line}"
    return f"{place}: `{textwrap.shorten(code, 72)}`" if code else place


def _is_library(frame: FrameType) -> bool:
    file = frame.f_code.co_filename
    return file.startswith("<frozen") or any(file.startswith(f"{root}/") for root in _OURS)


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


# A user's log density, whatever its style, as one that maps n events to n numbers.

Batched = Callable[[np.ndarray], np.ndarray]


def vectorized(fn: Callable[..., object], event: np.ndarray, name: str) -> Batched:
    """Returns fn over a batch: called at once if it takes batches, under vmap if it is JAX, else in a loop.

    The style is found out by calling it at two events, one by one and together.

    Raises:
        DensityError: fn raises, or does not return one number for one event.
    """
    if not callable(fn):
        raise InputError(f"{name}: the log density must be a function, got {type(fn).__name__}")
    # Two different events: at one twice, some functions of one event look like functions of two.
    nudge = 0.01 * (1.0 + np.abs(event)) * (1.0 + np.arange(event.size).reshape(event.shape))
    pair = np.stack([event, event + nudge])
    with float64():
        singly = [_number(_call(fn, x, name), name) for x in pair]
    together = _attempt(fn, pair)
    if together.shape == (2,) and np.allclose(together, singly, rtol=1e-6, equal_nan=True):
        return lambda x: _batch(fn, x, name)
    jax = sys.modules.get("jax")
    if jax is not None:
        mapped = jax.jit(jax.vmap(fn))
        if _attempt(mapped, pair).shape == (2,):
            return lambda x: _batch(mapped, x, name)
    return lambda x: np.array([_number(_call(fn, row, name), name) for row in x])


def _attempt(fn: Callable[..., object], pair: np.ndarray) -> np.ndarray:
    """Returns fn of two events; empty if it fails, which only means that it takes one at a time."""
    try:
        with float64(), np.errstate(all="ignore"):
            return np.asarray(fn(pair), dtype=np.float64)
    except Exception:  # noqa: BLE001 - whatever the user's function raises
        return np.empty(0)


def _batch(fn: Callable[..., object], x: np.ndarray, name: str) -> np.ndarray:
    with float64():
        return np.asarray(_call(fn, x, name), dtype=np.float64)


def _call(fn: Callable[..., object], x: np.ndarray | np.floating, name: str) -> object:
    try:
        with np.errstate(all="ignore"):
            return fn(x)
    except Exception as error:
        raise DensityError(
            f"{name}: the log density raised {type(error).__name__}: {error} (at x of shape {np.shape(x)})"
        ) from error


def _number(value: object, name: str) -> float:
    try:
        # None would become NaN.
        array = np.asarray([] if value is None else value, dtype=np.float64)
    except (TypeError, ValueError):
        array = np.empty(0)
    if array.size == 0:
        raise DensityError(f"{name}: the log density returned {value!r}, not a number")
    if array.size != 1 or array.ndim > 1:
        raise DensityError(
            f"{name}: the log density of one event has shape {array.shape}; it must be one number, "
            "for a vector event the sum over its coordinates"
        )
    return float(array.reshape(()))
