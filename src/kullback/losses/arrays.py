"""What the formulas need of an array library, for NumPy, JAX and torch alike."""

import math
import sys
from abc import ABC, abstractmethod
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
    return peak + log_mass(logits - peak, xp)


def log_mass(logits: Array, xp: Any) -> Array:
    """Returns log sum exp over the last axis, as `log_normalizer`, of logits of which the largest is 0."""
    mass = total(xp.exp(logits), xp)
    some = mass > 0
    safe = xp.where(some, mass, xp.ones_like(mass))
    return xp.where(some, xp.log(safe), 0.0 * safe - math.inf)


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
    """Returns rows as they are, their sum or their mean."""
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
    first, second, *others = _SERIES[xp.finfo(t.dtype).bits]
    series = first * t + second
    for coefficient in others:
        series = product_and(series, t, coefficient, xp)
    return series * t * t


def product_and(a: Array, b: Array, c: Array | float, xp: Any) -> Array:
    """Returns a b + c, in torch in one pass over the memory."""
    if not is_torch(xp):
        return a * b + c
    return xp.addcmul(c if xp.is_tensor(c) else xp.full_like(a[..., :1], c), a, b)


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


# A loss of two rows of logits, with its slopes given: as a function of JAX, torch and NumPy arrays. A formula has the
# value of each row and what its gradient needs of it, and the slopes. Compiled, JAX fuses both into their reductions
# and holds no copy of the logits; torch walks over blocks of rows.

#: What a row's slopes need besides its logits, each (..., 1).
Saved = tuple[Array, ...]


class RowFormula(ABC):
    """A function of logits (..., V) of p and of q, row by row; frozen, hashable subclasses.

    The largest logit of a row is 0: an offset, which says nothing, would cost the digits of all others.
    """

    @abstractmethod
    def value(self, p: Array, q: Array, xp: Any) -> tuple[Array, Saved]:
        """Returns the value of each row, (..., 1), and what the slopes need."""

    @abstractmethod
    def slope_p(self, p: Array, q: Array, saved: Saved, xp: Any) -> Array:
        """Returns the gradient with respect to the logits of p, (..., V)."""

    @abstractmethod
    def slope_q(self, p: Array, q: Array, saved: Saved, xp: Any) -> Array:
        """Returns the gradient with respect to the logits of q, (..., V)."""


def value_of(formula: RowFormula, p: Array, q: Array, xp: Any) -> tuple[Array, Saved]:
    """Returns the value of each row, (..., 1), and what `slope_of` needs besides the logits."""
    p, q = widened(p, xp), widened(q, xp)
    peaks = stopped(largest(p, xp), xp), stopped(largest(q, xp), xp)
    value, saved = formula.value(p - peaks[0], q - peaks[1], xp)
    return value, (*peaks, *saved)


def slope_of(formula: RowFormula, side: str, p: Array, q: Array, saved: Saved, xp: Any) -> Array:
    """Returns the gradient of each row's value with respect to the logits of a side, "p" or "q"."""
    slope = formula.slope_p if side == "p" else formula.slope_q
    return slope(widened(p, xp) - saved[0], widened(q, xp) - saved[1], saved[2:], xp)


def rows(formula: RowFormula, p: Array, q: Array) -> Array:
    """Returns the values of all rows, without the last axis, differentiable in p and q."""
    xp = namespace(p, q)
    p, q = as_array(p, xp), as_array(q, xp)
    if tuple(p.shape) != tuple(q.shape) or not p.shape:
        raise InputError(
            f"logits of p {tuple(p.shape)} and of q {tuple(q.shape)} must have one shape, the vocabulary "
            "last; broadcast them first"
        )
    if xp is np:
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            return value_of(formula, p, q, np)[0][..., 0]
    if is_torch(xp):  # a statement: torch.compile follows it, and no call of importlib
        from kullback.losses.rows_torch import rows as torch_rows  # noqa: PLC0415

        return torch_rows(formula, p, q)
    from kullback.losses.rows_jax import rows as jax_rows  # noqa: PLC0415

    return jax_rows(formula, p, q)
