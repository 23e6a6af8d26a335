"""A user's log density, whatever its style, as one that maps n events to n numbers."""

import sys
from collections.abc import Callable

import numpy as np

from kullback.core.errors import DensityError, InputError
from kullback.core.numerics import float64
from kullback.core.user_code import guarded, raised

Batched = Callable[[np.ndarray], np.ndarray]


def vectorized(fn: Callable[..., object], event: np.ndarray, name: str) -> Batched:
    """Returns fn over a batch: called at once if it takes batches, under vmap if it is JAX, else in a loop.

    The style is found out by calling it at two events, one by one and together.

    Raises:
        DensityError: fn raises, or does not return one number for one event.
    """
    if not callable(fn):
        raise InputError(f"{name}: the log density must be a function, got {type(fn).__name__}")
    fn = guarded(fn, f"the log density of {name}")
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
            return np.asarray(fn(_read_only(pair)), dtype=np.float64)
    except Exception:  # noqa: BLE001 - whatever the user's function raises
        return np.empty(0)


def _batch(fn: Callable[..., object], x: np.ndarray, name: str) -> np.ndarray:
    with float64():
        return np.asarray(_call(fn, x, name), dtype=np.float64)


def _call(fn: Callable[..., object], x: np.ndarray | np.floating, name: str) -> object:
    try:
        with np.errstate(all="ignore"):
            return fn(_read_only(x))
    except Exception as error:
        text, kind = raised(error)
        if "read-only" in text:
            raise DensityError(
                f"{name}: the log density changes its argument, which others use as well: write x = x - 1, not x -= 1"
            ) from error
        raise DensityError(
            f"{name}: the log density raised {kind}: {text} (at x of shape {np.shape(x)})"
        ) from error


def _read_only(x: np.ndarray | np.floating) -> np.ndarray | np.floating:
    """What is handed out is used again."""
    if isinstance(x, np.ndarray):
        x = x.view()
        x.setflags(write=False)
    return x


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
