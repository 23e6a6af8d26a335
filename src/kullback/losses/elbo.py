"""Bounds on the log evidence from draws of q, and losses with the gradient of KL(q||p).

Here log_p is the joint log p(x, z), which is p up to its normaliser, and z are draws of q(z).
"""

import importlib
from collections.abc import Callable
from typing import Any, Literal

from jaxtyping import Float

from kullback.core.errors import InputError
from kullback.losses.arrays import is_torch, largest, stopped, total
from kullback.losses.gaussian import Array, namespace
from kullback.losses.sampled import both


def elbo(*, log_p: Float[Array, " n"], log_q: Float[Array, " n"]) -> Float[Array, ""]:
    """Returns the evidence lower bound from draws of q, in nats.

    log evidence >= E_q[log p(x, z) - log q(z)] = log evidence - KL(q||p)

    Through reparameterised draws z(phi) its negative has the gradient of KL(q||p). With the draws fixed its
    gradient is zero in the mean, however log_q depends on phi: use `score_function_loss` there.

    Args:
        log_p: log joint density at the draws.
        log_q: log density of q there.

    Raises:
        InputError: shapes differ.

    Example:
        >>> import numpy as np
        >>> float(elbo(log_p=np.array([-3.0, -5.0]), log_q=np.array([-1.0, -1.0])))
        -3.0

    Source:
        Jordan et al., "An introduction to variational methods for graphical models" (1999).
    """
    log_p, log_q, xp = both(log_p, log_q)
    return xp.mean(log_p - log_q)


def iwae(
    *, log_p: Float[Array, "*batch k"], log_q: Float[Array, "*batch k"]
) -> Float[Array, " *batch"]:
    """Returns the importance-weighted bound on the log evidence from k draws of q, in nats.

    log evidence >= E[ log (1/k) sum_i p(x, z_i) / q(z_i) ] >= ELBO

    Its gap is no KL between p and q; minimising it descends neither direction, but for k = 1 the ELBO's.

    Args:
        log_p, log_q: log densities of k draws along the last axis.

    Raises:
        InputError: shapes differ.

    Example:
        >>> import numpy as np
        >>> round(float(iwae(log_p=np.array([-3.0, -5.0]), log_q=np.array([-1.0, -1.0]))), 4)
        -2.5662

    Source:
        Burda, Grosse and Salakhutdinov, "Importance weighted autoencoders" (2016), equation 8.
    """
    log_p, log_q, xp = both(log_p, log_q)
    weights = log_p - log_q
    peak = stopped(largest(weights, xp), xp)
    mean = total(xp.exp(weights - peak), xp) / weights.shape[-1]
    return (peak + xp.log(mean))[..., 0]


def score_function_loss(
    *,
    log_p: Float[Array, " n"],
    log_q: Float[Array, " n"],
    baseline: Literal["leave_one_out", "none"] = "leave_one_out",
) -> Float[Array, ""]:
    """Returns a loss whose gradient is that of KL(q||p), from fixed draws of q, discrete ones too.

    mean_i [ r_i + (r_i - b_i) (log q_i - sg(log q_i)) ],  r = sg(log q - log p)

    The value is minus the ELBO. b_i is the mean of the other draws' r, which leaves the mean of the gradient
    as it is and takes away most of its noise, a constant in log p included.

    Args:
        log_p: log (joint) density at n draws of q.
        log_q: log q there, differentiable.
        baseline: "leave_one_out" needs two draws at least.

    Raises:
        InputError: shapes differ, there is one draw only, or the baseline is another word.

    Example:
        >>> import numpy as np
        >>> float(score_function_loss(log_p=np.array([-3.0, -5.0]), log_q=np.array([-1.0, -1.0])))
        3.0

    Source:
        Kool, van Hoof and Welling, "Buy 4 REINFORCE samples, get a baseline for free!" (2019).
    """
    log_p, log_q, xp = both(log_p, log_q)
    n = log_q.shape[0] if log_q.shape else 1
    if baseline not in ("leave_one_out", "none") or (baseline == "leave_one_out" and n < 2):
        raise InputError(
            f'baseline="{baseline}" with {n} draw(s): say "leave_one_out", with two draws or more, or "none"'
        )
    ratio = stopped(log_q - log_p, xp)
    others = (xp.sum(ratio, 0) - ratio) / (n - 1) if baseline == "leave_one_out" else 0.0
    return xp.mean(ratio + (ratio - others) * (log_q - stopped(log_q, xp)))


def stick_the_landing_loss(
    log_p: Callable[[Any], Array], log_q: Callable[[Any, Any], Array], *, parameters: Any, z: Any
) -> Float[Array, ""]:
    """Returns a loss with the gradient of KL(q||p), through the draws only: no noise where q is p.

    mean [ log q(z; sg(phi)) - log p(z) ],  z = z(phi)

    The gradient of log q(z; phi) in phi with z fixed has mean 0 under q; it is left out.

    Args:
        log_p: log (joint) density of draws.
        log_q: log q of parameters and draws.
        parameters: of q, any tree of arrays.
        z: draws, made from the parameters.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> def loss(m):
        ...     z = m + jnp.array([-1.0, 0.5])
        ...     return stick_the_landing_loss(
        ...         lambda z: -0.5 * z**2, lambda m, z: -0.5 * (z - m) ** 2, parameters=m, z=z)
        >>> float(jax.grad(loss)(0.0)), float(jax.grad(loss)(2.0))
        (0.0, 2.0)

    Source:
        Roeder, Wu and Duvenaud, "Sticking the landing" (2017).
    """
    fixed = _stopped_tree(parameters, z)
    gaps = log_q(fixed, z) - log_p(z)
    return namespace(gaps).mean(gaps)


def _stopped_tree(tree: Any, z: Any) -> Any:
    """A tree of arrays without gradients; torch's may be tuples, lists and dicts."""
    if is_torch(namespace(z)):
        match tree:
            case dict():
                return {name: _stopped_tree(part, z) for name, part in tree.items()}
            case tuple() | list():
                return type(tree)(_stopped_tree(part, z) for part in tree)
            case _:
                return tree.detach() if hasattr(tree, "detach") else tree
    jax = importlib.import_module("jax")
    return jax.tree.map(jax.lax.stop_gradient, tree)
