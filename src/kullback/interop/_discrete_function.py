"""A user's log probability of discrete latents, whatever its style, as one of many states at once."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jaxtyping import Float, Int

from kullback._core.errors import DensityError, InputError
from kullback._core.precision import float64
from kullback._core.user_code import guarded, raised
from kullback.targets import LogDensity

Array = np.ndarray
Values = Callable[[Int[np.ndarray, "n m"]], Float[np.ndarray, " n"]]
#: States of one call of a compiled function.
_ROWS = 1024


def categories(p: LogDensity) -> int | None:
    """Returns how many values each latent has: 2 for support="binary", k for ("categories", k); else None."""
    match p.support:
        case "binary":
            return 2
        case ("categories", k):
            if isinstance(k, bool) or not isinstance(k, int) or k < 2:
                raise InputError(f"support=('categories', {k!r}): give how many, at least 2")
            return k
    return None


def discrete_values(p: LogDensity) -> tuple[Values, tuple[int, ...], int]:
    """Returns log p at codes (n, m), the shape of an event, and how many values each latent has.

    Raises:
        InputError: the example is not an array of whole numbers within the support.
        DensityError: fn raises, or does not return one number, or NaN or +inf, at a state.
    """
    k = categories(p)
    assert k is not None
    example = _example(p.example, k)
    call = _batched(p.fn, example, k)

    def values(codes: Array) -> Array:
        found = call(codes.reshape(-1, *example.shape))
        wrong = np.isnan(found) | (found == np.inf)
        if wrong.any():
            at = codes[int(np.argmax(wrong))].reshape(example.shape)
            raise DensityError(
                f"the log probability is {found[wrong][0]} at x = {at.tolist()}: it must be a number, or "
                "-inf where there is no mass"
            )
        return found

    return values, example.shape, k


def _example(example: object, k: int) -> Array:
    try:
        array = np.asarray(example)
    except ValueError:
        array = np.empty(0, dtype=object)
    if array.dtype.kind not in "iufb" or array.size == 0:
        raise InputError(
            f"example={example!r}: give an integer array, such as np.zeros(6, dtype=int)"
        )
    if not np.isin(array, np.arange(k)).all():
        raise InputError(f"example={example!r}: its values must be among 0 .. {k - 1}")
    return array.astype(np.int64)


def _batched(fn: Callable[..., Any], example: Array, k: int) -> Callable[[Array], Array]:
    if not callable(fn):
        raise InputError(f"LogDensity: fn must be a function, got {type(fn).__name__}")
    fn = guarded(fn, "the log probability")
    # Two different events: at one twice, some functions of one event look like functions of two.
    other = (example + (1 + np.arange(example.size) % 2).reshape(example.shape)) % k
    singly = [_attempt(fn, x) for x in (example, other)]
    together = _attempt(fn, np.stack([example, other]))
    alone = all(value.size == 1 for value in singly)
    if together.shape == (2,) and (
        not alone or np.allclose(together, np.ravel(singly), equal_nan=True)
    ):
        return lambda x: _attempt(fn, x)
    mapped = _mapped(fn, example)
    if mapped is not None:
        return mapped
    _one(fn, example)
    return lambda x: np.array([_one(fn, row) for row in x])


def _attempt(fn: Callable[..., Any], x: Array) -> Array:
    """What fn returns; empty if it fails, which may only mean that it takes events one by one."""
    try:
        with float64(), np.errstate(all="ignore"):
            return np.asarray(fn(x), dtype=np.float64)
    except Exception:  # noqa: BLE001 - whatever the user's function raises
        return np.empty(0)


def _mapped(fn: Callable[..., Any], example: Array) -> Callable[[Array], Array] | None:
    """The function under vmap, compiled for one number of states; None if JAX cannot trace it."""
    program = jax.jit(jax.vmap(fn))
    try:
        with float64():
            if jax.eval_shape(fn, jax.ShapeDtypeStruct(example.shape, np.int64)).shape != ():
                return None
    except Exception:  # noqa: BLE001 - it may be a NumPy function
        return None

    def values(x: Array) -> Array:
        out = np.empty(len(x))
        for start in range(0, len(x), _ROWS):
            rows = x[start : start + _ROWS]
            padding = np.broadcast_to(example, (_ROWS - len(rows), *example.shape))
            with float64():
                found = np.asarray(program(np.concatenate([rows, padding])), dtype=np.float64)
            out[start : start + _ROWS] = found[: len(rows)]
        return out

    return values


def _one(fn: Callable[..., Any], x: Array) -> float:
    try:
        with np.errstate(all="ignore"):
            value = np.asarray(fn(x), dtype=np.float64)
    except Exception as error:
        text, kind = raised(error)
        raise DensityError(
            f"{text} ({kind} raised by the log probability at x = {x.tolist()})"
        ) from error
    if value.size != 1:
        raise DensityError(
            f"the log probability of one state has shape {value.shape}; it must be one number"
        )
    return float(value.reshape(()))
