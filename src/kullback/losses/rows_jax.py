"""Row formulas for JAX: compiled, block by block, the slopes as gradient. Imported with the first array."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from jax import lax

from kullback.losses.rows import RowFormula, Saved, slope_of, value_of

#: Numbers of a block, on accelerators and on the CPU, where they stay in the cache.
_BLOCK = (2**26, 2**18)

#: What the backward pass needs: logits of p and q, what the formula saved, who is differentiated.
Residuals = tuple[jax.Array, jax.Array, Saved, bool, bool]


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def rows(formula: RowFormula, p: jax.Array, q: jax.Array) -> jax.Array:
    """Returns the values of all rows, without the last axis."""
    return _value(formula, p, q)[0]


@partial(jax.jit, static_argnums=0)
def _value(formula: RowFormula, p: jax.Array, q: jax.Array) -> tuple[jax.Array, Saved]:
    def part(p: jax.Array, q: jax.Array) -> tuple[jax.Array, ...]:
        value, saved = value_of(formula, p, q, jnp)
        return value, *saved

    value, *saved = (_shaped(x, p.shape[:-1]) for x in _in_blocks(part, (p, q)))
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


def _shaped(rows: jax.Array, leading: tuple[int, ...]) -> jax.Array:
    return rows.reshape(*leading, rows.shape[-1])


def _forward(formula: RowFormula, p, q) -> tuple[jax.Array, tuple]:
    value, saved = _value(formula, p.value, q.value)
    kept = (p.value, q.value, saved, p.perturbed or None, q.perturbed or None)
    return value, kept


def _backward(formula: RowFormula, kept: tuple, gradient) -> tuple:
    p, q, saved, needs_p, needs_q = kept
    if isinstance(gradient, jax.custom_derivatives.SymbolicZero):
        return None, None
    return (
        _slope(formula, "p", p, q, saved, gradient) if needs_p is not None else None,
        _slope(formula, "q", p, q, saved, gradient) if needs_q is not None else None,
    )


@partial(jax.jit, static_argnums=(0, 1))
def _slope(
    formula: RowFormula, side: str, p: jax.Array, q: jax.Array, saved: Saved, gradient: jax.Array
) -> jax.Array:
    dtype = (p if side == "p" else q).dtype

    def part(
        p: jax.Array, q: jax.Array, gradient: jax.Array, *saved: jax.Array
    ) -> tuple[jax.Array]:
        found = slope_of(formula, side, p, q, saved, jnp)
        return ((gradient * found).astype(dtype),)

    (found,) = _in_blocks(part, (p, q, gradient[..., None], *saved))
    return _shaped(found, p.shape[:-1])


rows.defvjp(_forward, _backward, symbolic_zeros=True)
