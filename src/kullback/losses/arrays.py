"""What the formulas need of an array library, for NumPy, JAX and torch alike."""

import math
import sys
from typing import Any, Literal, TypeAlias

import numpy as np

from kullback.core.errors import InputError

#: An array of whichever namespace; no type says that.
Array: TypeAlias = Any
Reduction = Literal["mean", "sum", "none"]

#: How many partial sums run side by side: compilers vectorise them, and float32 keeps its digits.
_LANES = 16
#: Below this |t| exp(t) - 1 - t is summed as its series, to t^9, in less than float64 to t^6: 4e-15 are then kept.
_NEAR = 0.1
_SERIES = {
    bits: tuple(1.0 / math.factorial(n) for n in range(last, 1, -1))
    for bits, last in ((16, 6), (32, 6), (64, 9))
}


def namespace(*arrays: Array) -> Any:
    """Returns torch if any array is a tensor, jax.numpy if any is JAX's or traced, otherwise NumPy."""
    homes = {type(array).__module__.partition(".")[0]: array for array in arrays}
    if "torch" in homes:
        return sys.modules["torch"]
    traced = homes.get("jax", homes.get("jaxlib"))
    return np if traced is None else traced.__array_namespace__()


def as_array(array: Array, xp: Any) -> Array:
    """Returns lists and the like as arrays; tensors as they are, with their gradient."""
    return array if hasattr(array, "detach") else xp.asarray(array)


def is_torch(xp: Any) -> bool:
    """Whether a namespace is torch."""
    return xp.__name__ == "torch"


def widened(array: Array, xp: Any) -> Array:
    """Returns half precision as float32, integers as the default float; float32 and float64 as they are."""
    wide = (xp.float32, xp.float64)
    if array.dtype in wide:
        return array
    if is_torch(xp):
        return array.to(xp.float32)
    return array.astype(xp.result_type(float) if array.dtype.kind in "iub" else xp.float32)


def total(array: Array, xp: Any) -> Array:
    """Returns the sum over the last axis, which is kept with length 1."""
    return _in_lanes(array, xp, "sum")


def largest(array: Array, xp: Any) -> Array:
    """Returns the largest number of the last axis, which is kept with length 1; 0 if it is -inf."""
    peak = _in_lanes(array, xp, "amax" if is_torch(xp) else "max")
    return xp.where(xp.isneginf(peak), 0.0 * xp.ones_like(peak), peak)


def log_normalizer(logits: Array, xp: Any) -> Array:
    """Returns log sum exp over the last axis, which is kept with length 1; -inf if all are."""
    peak = stopped(largest(logits, xp), xp)
    mass = total(xp.exp(logits - peak), xp)
    some = mass > 0
    safe = xp.where(some, mass, xp.ones_like(mass))
    return xp.where(some, peak + xp.log(safe), peak - math.inf)


def stopped(array: Array, xp: Any) -> Array:
    """Returns an array through which no gradient goes."""
    if is_torch(xp):
        return array.detach()
    return array if xp is np else sys.modules["jax"].lax.stop_gradient(array)


def taken(array: Array, indices: Array, xp: Any) -> Array:
    """Returns entries of the last axis, by indices of the same leading shape."""
    if is_torch(xp):
        return xp.gather(array, -1, indices)
    return xp.take_along_axis(array, indices, axis=-1)


def masked(array: Array, mask: Array | None, xp: Any) -> Array:
    """Returns an array with 0 where the mask is, whatever it had there, NaN included."""
    if mask is None:
        return array
    return xp.where(as_array(mask, xp) != 0, array, xp.zeros_like(array))


def reduced(rows: Array, reduction: str, xp: Any) -> Array:
    """Returns rows as they are, their sum or their mean.

    Raises:
        InputError: the reduction is another word.
    """
    if reduction == "none":
        return rows
    if reduction not in ("mean", "sum"):
        raise InputError(
            f'reduction="{reduction}" is not known: say "mean" (over rows), "sum" or "none"'
        )
    return getattr(xp, reduction)(rows)


def near_zero(t: Array, xp: Any) -> Array:
    """Whether `small_excess` has the digits of exp(t) - 1 - t."""
    return xp.abs(t) < _NEAR


def small_excess(t: Array, xp: Any) -> Array:
    """Returns exp(t) - 1 - t of numbers near 0, with its digits."""
    first, *others, last = _SERIES[xp.finfo(t.dtype).bits]
    series = first * t
    for coefficient in others:
        series = (series + coefficient) * t
    return (series + last) * t * t


def _in_lanes(array: Array, xp: Any, name: str) -> Array:
    """A reduction of the last axis; JAX's in lanes, the others' own code is vectorised already."""
    if xp is np or is_torch(xp):
        return getattr(xp, name)(array, -1, keepdims=True)
    reduce = getattr(xp, name)
    whole = array.shape[-1] // _LANES * _LANES
    if whole == 0:
        return reduce(array, axis=-1, keepdims=True)
    lanes = xp.reshape(array[..., :whole], (*array.shape[:-1], -1, _LANES))
    first = reduce(reduce(lanes, axis=-2), axis=-1, keepdims=True)
    if whole == array.shape[-1]:
        return first
    rest = reduce(array[..., whole:], axis=-1, keepdims=True)
    return first + rest if name == "sum" else xp.maximum(first, rest)
