"""Gradients over a user's parameters as gradients over the whole space."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from kullback.interop._bijections import in_chunks
from kullback.interop._supports import Layout

Array = np.ndarray


def pullback(parts: Layout) -> Callable[[Array, Array], Array]:
    """Returns the map from gradients over events to those over u, the Jacobian's part added.

    The map takes points u (n, d) and gradients (n, e) of a density over events, these being the
    parameters one after another, and gives (n, d). It costs nothing where all parameters are real.
    """
    if parts.is_real:
        return lambda u, slopes: slopes

    def one(rows: tuple[jax.Array, jax.Array]) -> jax.Array:
        u, slope = rows

        def inner(u: jax.Array) -> jax.Array:
            values = [leaf.support.constrain(leaf.take(u), jnp) for leaf in parts.leaves]
            event = jnp.concatenate([jnp.ravel(v) for v in values])
            return jnp.dot(event, slope) + parts.log_jacobian_one(u)

        return jax.grad(inner)(u)

    program = jax.jit(jax.vmap(one))

    return lambda u, slopes: in_chunks(program, (u, slopes))
