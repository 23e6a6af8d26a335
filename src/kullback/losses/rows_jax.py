"""Row formulas for JAX: compiled, block by block, the slopes as gradient. Imported with the first array."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from jax import lax

from kullback.losses.arrays import RowFormula, Saved, slope_of, value_of

#: Numbers of a block, on accelerators and on the CPU, where they stay in the cache.
_BLOCK = (2**26, 2**18)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def rows(formula: RowFormula, p: jax.Array, q: jax.Array) -> jax.Array:
    """Returns the values of all rows, without the last axis."""
    return _value(formula, p, q)[0]


@partial(jax.jit, static_argnums=0)
def _value(formula: RowFormula, p: jax.Array, q: jax.Array) -> tuple[jax.Array, Saved]:
    def part(p: jax.Array, q: jax.Array) -> tuple[jax.Array, ...]:
        value, saved = value_of(formula, p, q, jnp)
        return value, *saved

    value, *saved = (x.reshape(*p.shape[:-1], -1) for x in _in_blocks(part, (p, q)))
    return value[..., 0], tuple(saved)


def _in_blocks(
    part: Callable[..., tuple[jax.Array, ...]], arrays: tuple[jax.Array, ...]
) -> tuple[jax.Array, ...]:
    """Applies a function of rows block by block, so that what it makes on the way stays small.

    The last block overlaps the one before, where the rows do not divide.
    """
    flat = [x.reshape(-1, x.shape[-1]) for x in arrays]
    rows, v = flat[0].shape
    step = max(1, _BLOCK[jax.default_backend() == "cpu"] // max(v, 1))
    if rows <= step:
        return part(*flat)

    def block(start: jax.Array | int) -> tuple[jax.Array, ...]:
        return part(*[lax.dynamic_slice_in_dim(x, start, step) for x in flat])

    def body(i: jax.Array, outs: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
        start = jnp.minimum(i * step, rows - step)
        pieces = zip(outs, block(start), strict=True)
        return tuple(lax.dynamic_update_slice_in_dim(out, x, start, 0) for out, x in pieces)

    shapes = jax.eval_shape(block, 0)
    outs = tuple(jnp.zeros((rows, *x.shape[1:]), x.dtype) for x in shapes)
    return lax.fori_loop(0, -(-rows // step), body, outs)


def _forward(formula: RowFormula, p, q) -> tuple[jax.Array, tuple]:
    value, saved = _value(formula, p.value, q.value)
    return value, (p.value, q.value, saved, p.perturbed or None, q.perturbed or None)


def _backward(formula: RowFormula, kept: tuple, gradient) -> tuple:
    p, q, saved, *needed = kept
    if isinstance(gradient, jax.custom_derivatives.SymbolicZero):
        return None, None
    return tuple(
        None if need is None else _slope(formula, side, p, q, saved, gradient)
        for side, need in zip(("p", "q"), needed, strict=True)
    )


@partial(jax.jit, static_argnums=(0, 1))
def _slope(
    formula: RowFormula, side: str, p: jax.Array, q: jax.Array, saved: Saved, gradient: jax.Array
) -> jax.Array:
    dtype = (p if side == "p" else q).dtype

    def part(p: jax.Array, q: jax.Array, rate: jax.Array, *saved: jax.Array) -> tuple[jax.Array]:
        return ((rate * slope_of(formula, side, p, q, saved, jnp)).astype(dtype),)

    (found,) = _in_blocks(part, (p, q, gradient[..., None], *saved))
    return found.reshape(p.shape)


rows.defvjp(_forward, _backward, symbolic_zeros=True)
