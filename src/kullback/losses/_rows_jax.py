"""Row formulas for JAX: compiled, with their slopes as the gradient. Imported with the first JAX array."""

from functools import partial

import jax
import jax.numpy as jnp

from kullback.losses._arrays import widened
from kullback.losses._rows import RowFormula, Saved

#: What the backward pass needs: logits of p and q, what the formula saved, who is differentiated.
Residuals = tuple[jax.Array, jax.Array, Saved, bool, bool]


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def rows(formula: RowFormula, p: jax.Array, q: jax.Array) -> jax.Array:
    """Returns the values of all rows, without the last axis."""
    return _value(formula, p, q)[0]


@partial(jax.jit, static_argnums=0)
def _value(formula: RowFormula, p: jax.Array, q: jax.Array) -> tuple[jax.Array, Saved]:
    value, saved = formula.value(widened(p, jnp), widened(q, jnp), jnp)
    return value[..., 0], saved


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
    slope = formula.slope_p if side == "p" else formula.slope_q
    found = slope(widened(p, jnp), widened(q, jnp), saved, jnp)
    return (gradient[..., None] * found).astype((p if side == "p" else q).dtype)


rows.defvjp(_forward, _backward, symbolic_zeros=True)
