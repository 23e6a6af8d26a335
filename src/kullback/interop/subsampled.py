"""log p(x) = fn(x) + sum_i log_likelihood(x, row_i): over all rows, and estimated from a few of them."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from kullback.core.errors import DensityError, InputError
from kullback.core.numerics import float64
from kullback.core.user_code import guarded, raised
from kullback.interop.log_density import unconstrained
from kullback.interop.parameters import layout
from kullback.targets import LogDensity, Unconstrained

Array = np.ndarray
#: Values and gradients at n points, from rows drawn anew.
Minibatch = Callable[[Array, np.random.Generator], tuple[Array, Array]]
#: Rows of all the data that are looked at together.
_TOGETHER = 4096


def subsampled(
    p: LogDensity, log_likelihood: Callable[[Any, Any], Any], rows: Any, size: int
) -> tuple[Unconstrained, Minibatch]:
    """Returns log p over all rows, and an unbiased estimate of it and its gradient from `size` of them.

    The estimate is log p with its sum over rows replaced by N / size times that over rows drawn without
    replacement, the same for all points of a call.

    Args:
        p: what does not depend on the rows: fn is the log prior.
        log_likelihood: maps an event and a row to a number; a JAX function.
        rows: an array (N, ...), or a pytree of these with the same N.
        size: how many rows a step sees, from 1 to N.

    Raises:
        InputError: the rows are not arrays of one length, or the size is not from 1 to N.
        DensityError: a function cannot be traced.
    """
    data = jax.tree.map(np.asarray, rows)
    lengths = {leaf.shape[0] if leaf.ndim else 0 for leaf in jax.tree.leaves(data)}
    if len(lengths) != 1 or 0 in lengths:
        raise InputError(f"rows must be arrays of one length N > 0, got lengths {sorted(lengths)}")
    total = lengths.pop()
    if isinstance(size, bool) or not isinstance(size, int) or not 1 <= size <= total:
        raise InputError(f"size={size!r}: a step sees from 1 to N = {total} rows")

    prior: Callable[[Any], Any] = guarded(p.fn, "the log prior")
    log_likelihood = guarded(log_likelihood, "log_likelihood")

    def whole(x: Any) -> Any:
        terms = jax.lax.map(lambda row: log_likelihood(x, row), data, batch_size=_TOGETHER)
        return prior(x) + jnp.sum(terms)

    parts = layout(p.example, p.support)

    def one(u: jax.Array, some: Any) -> Any:
        x = parts.constrain_one(u)
        terms = jax.vmap(lambda row: log_likelihood(x, row))(some)
        return prior(x) + parts.log_jacobian_one(u) + (total / size) * jnp.sum(terms)

    program = jax.jit(jax.vmap(jax.value_and_grad(one), (0, None)))

    def minibatch(u: Array, rng: np.random.Generator) -> tuple[Array, Array]:
        chosen = rng.choice(total, size, replace=False, shuffle=False)
        some = jax.tree.map(lambda leaf: leaf[chosen], data)
        with float64():
            try:
                value, gradient = program(np.asarray(u, dtype=np.float64), some)
            except Exception as error:
                text, kind = raised(error)
                raise DensityError(
                    f"{text} ({kind} raised by log_likelihood or the log prior)"
                ) from error
        return np.asarray(value), np.asarray(gradient)

    return unconstrained(replace(p, fn=whole)), minibatch
