"""What went wrong while JAX traced a user's function, in the user's terms."""

import importlib.util
import linecache
import sys
import textwrap
import traceback
from pathlib import Path
from types import FrameType
from typing import Any, Literal, final

from kullback.core.errors import DensityError
from kullback.core.user_code import raised

#: What stopped the tracing: a Python branch on a value, a conversion to a number, to a NumPy array.
Obstacle = Literal["branch", "number", "array", "raised"]

#: Packages whose frames are not the user's.
_OURS = {
    str(Path(__file__).resolve().parents[1]),
    *(
        str(Path(place).resolve())
        for name in ("jax", "jaxlib", "numpyro")
        if (spec := importlib.util.find_spec(name)) is not None
        for place in spec.submodule_search_locations or ()
    ),
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
