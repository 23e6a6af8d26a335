"""Losses of draws. Estimates of KL(q||p) from log-probabilities of tokens drawn from q: k1, k2 and k3.

Each is one thing as a value and another as a gradient. Differentiated as they are, with the tokens fixed:

    estimator                  mean (drawn from q)       mean gradient (drawn from q)
    k1 = log q - log p         KL(q||p)                  0
    k2 = (log q - log p)^2/2   not a KL, > 0             that of KL(q||p)
    k3 = p/q - 1 - log p/q     KL(q||p)                  that of KL(p||q)

The guide "You have a loss" recomputes the table. Losses with both right are the surrogates. Below them are bounds on
the log evidence from draws z of q(z), and losses with the gradient of KL(q||p): there log_p is the joint
log p(x, z), which is p up to its normaliser.
"""

import importlib
from collections.abc import Callable
from typing import Any, Literal

from jaxtyping import Float

from kullback.core.errors import InputError
from kullback.losses.arrays import (
    Array,
    as_array,
    is_torch,
    largest,
    masked,
    namespace,
    stopped,
    total,
    widened,
)
from kullback.losses.gaussian import expm1_minus

Per = Literal["token", "sequence"]


def k1(
    *,
    log_p: Float[Array, "*batch t"],
    log_q: Float[Array, "*batch t"],
    mask: Array | None = None,
    per: Per = "token",
) -> Float[Array, "..."]:
    """Returns log q - log p of tokens drawn from q.

    As a value: unbiased for KL(q||p), may be negative, a high variance where p is close to q. As a gradient
    (tokens fixed): zero in the mean, noise only; a loss of it descends nothing. In a reward it is right.

    Args:
        log_p, log_q: log-probabilities of the drawn tokens, (..., T).
        mask: 0 for tokens that do not count; they give 0.
        per: "token" for (..., T); "sequence" for the sum over T, (...,).

    Raises:
        InputError: shapes differ, or `per` is another word.

    Example:
        >>> import numpy as np
        >>> k1(log_p=np.log([0.5, 0.25]), log_q=np.log([0.25, 0.5])).round(4)
        array([-0.6931,  0.6931])

    Source:
        Schulman, "Approximating KL divergence" (2020).
    """
    return _log_ratio(log_p, log_q, mask, per)[0]


def k2(
    *,
    log_p: Float[Array, "*batch t"],
    log_q: Float[Array, "*batch t"],
    mask: Array | None = None,
    per: Per = "token",
) -> Float[Array, "..."]:
    """Returns (log q - log p)^2 / 2 of tokens drawn from q.

    As a value: biased, E_q[(log q - log p)^2] / 2; close to KL(q||p) only where p is close to q. As a
    gradient (tokens fixed): unbiased for that of KL(q||p). Off-policy: neither.

    Args:
        log_p, log_q, mask, per: as in `k1`; per sequence the sum is squared.

    Raises:
        InputError: shapes differ, or `per` is another word.

    Example:
        >>> import numpy as np
        >>> k2(log_p=np.log([0.5, 0.25]), log_q=np.log([0.25, 0.5])).round(4)
        array([0.2402, 0.2402])

    Source:
        Schulman, "Approximating KL divergence" (2020).
    """
    return 0.5 * _log_ratio(log_p, log_q, mask, per)[0] ** 2


def k3(
    *,
    log_p: Float[Array, "*batch t"],
    log_q: Float[Array, "*batch t"],
    mask: Array | None = None,
    per: Per = "token",
) -> Float[Array, "..."]:
    """Returns p/q - 1 - log(p/q) >= 0 of tokens drawn from q.

    As a value: unbiased for KL(q||p), never negative; its variance is that of p/q, which is large, or
    infinite, where q lacks mass of p. As a gradient (tokens fixed): unbiased for that of KL(p||q), the other
    direction. Off-policy: neither.

    Args:
        log_p, log_q, mask, per: as in `k1`; per sequence the ratio is that of sequences.

    Raises:
        InputError: shapes differ, or `per` is another word.

    Example:
        >>> import numpy as np
        >>> k3(log_p=np.log([0.5, 0.25]), log_q=np.log([0.25, 0.5])).round(4)
        array([0.3069, 0.1931])

    Source:
        Schulman, "Approximating KL divergence" (2020).
    """
    gap, xp = _log_ratio(log_p, log_q, mask, per)
    return expm1_minus(-gap, xp)


def _log_ratio(log_p: Array, log_q: Array, mask: Array | None, per: str) -> tuple[Array, Any]:
    """Returns log q - log p per token or per sequence, and the namespace."""
    log_p, log_q, xp = _both(log_p, log_q)
    return _over(masked(log_q - log_p, mask, xp), per, xp), xp


def _both(log_p: Array, log_q: Array) -> tuple[Array, Array, Any]:
    """Returns two arrays of one shape, of at least float32, and their namespace."""
    xp = namespace(log_p, log_q)
    log_p, log_q = widened(as_array(log_p, xp), xp), widened(as_array(log_q, xp), xp)
    if tuple(log_p.shape) != tuple(log_q.shape):
        raise InputError(
            f"log_p {tuple(log_p.shape)} and log_q {tuple(log_q.shape)} must be of the same tokens"
        )
    return log_p, log_q, xp


def _over(array: Array, per: str, xp: Any) -> Array:
    """Returns an array as it is, or summed over its last axis."""
    if per not in ("token", "sequence"):
        raise InputError(f'per="{per}" is not known: say "token" or "sequence"')
    return array if per == "token" else xp.sum(array, -1)


# Losses of sampled tokens whose value and whose gradient are those of one divergence.


def reverse_kl_surrogate(
    *,
    log_p: Float[Array, "*batch t"],
    log_q: Float[Array, "*batch t"],
    log_sampler: Float[Array, "*batch t"] | None = None,
    baseline: float | Array = 0.0,
    mask: Array | None = None,
    per: Per = "token",
) -> Float[Array, "..."]:
    """Returns a loss of sampled tokens with the value and the gradient of KL(q||p), unbiased.

    w [ r + (r - b) (log q - sg(log q)) ],  r = sg(log q - log p),  w = sg(q / sampler),  sg: no gradient

    The value is w r, the gradient w (r - b) grad log q. Average it over draws. Tokens drawn from q itself need
    no `log_sampler`; those of an older policy do, or value and gradient are of nothing. Per token it is exact
    for tokens that do not depend on each other; in a sequence an early token changes later ones, and per
    sequence it is exact too, with more variance.

    Args:
        log_p, log_q: log-probabilities of the drawn tokens, (..., T); q is trained.
        log_sampler: those under the policy that drew them.
        baseline: what is subtracted from r in the gradient; it must not depend on the draw itself.
        mask: 0 for tokens that do not count.
        per: "token" for (..., T); "sequence" for (...,).

    Raises:
        InputError: shapes differ, or `per` is another word.

    Example:
        >>> import numpy as np
        >>> reverse_kl_surrogate(log_p=np.log([0.5, 0.25]), log_q=np.log([0.25, 0.5])).round(4)
        array([-0.6931,  0.6931])

    Source:
        Williams, "Simple statistical gradient-following algorithms" (1992).
    """
    log_p, log_q, xp = _both(log_p, log_q)
    own = _over(masked(log_q, mask, xp), per, xp)
    ratio = stopped(_over(masked(log_q - log_p, mask, xp), per, xp), xp)
    weight = _weight(log_q, log_sampler, mask, per, xp)
    return weight * (ratio + (ratio - baseline) * (own - stopped(own, xp)))


def forward_kl_surrogate(
    *,
    log_p: Float[Array, "*batch t"],
    log_q: Float[Array, "*batch t"],
    log_sampler: Float[Array, "*batch t"] | None = None,
    mask: Array | None = None,
    per: Per = "token",
) -> Float[Array, "..."]:
    """Returns a loss of sampled tokens with the value and the gradient of KL(p||q), unbiased.

    w (log p - log q),  w = sg(p / sampler), 1 where the tokens were drawn from p

    Drawn from p (the teacher, the data) it is maximum likelihood. Tokens of q go in with log_sampler=log_q, and
    have the variance of p/q.

    Args:
        log_p, log_q: log-probabilities of the drawn tokens, (..., T); q is trained.
        log_sampler: those under the policy that drew them; p where not given.
        mask: 0 for tokens that do not count.
        per: "token" for (..., T); "sequence" for (...,).

    Raises:
        InputError: shapes differ, or `per` is another word.

    Example:
        >>> import numpy as np
        >>> forward_kl_surrogate(log_p=np.log([0.5, 0.25]), log_q=np.log([0.25, 0.5])).round(4)
        array([ 0.6931, -0.6931])

    Source:
        Owen, "Monte Carlo theory, methods and examples" (2013), chapter 9.
    """
    log_p, log_q, xp = _both(log_p, log_q)
    log_p = stopped(log_p, xp)
    gap = _over(masked(log_p - log_q, mask, xp), per, xp)
    return _weight(log_p, log_sampler, mask, per, xp) * gap


def _weight(log_of: Array, log_sampler: Array | None, mask: Array | None, per: str, xp: Any) -> Any:
    """The importance weight, without a gradient; 1 where the sampler is the distribution itself."""
    if log_sampler is None:
        return 1.0
    other = widened(as_array(log_sampler, xp), xp)
    return xp.exp(stopped(_over(masked(log_of - other, mask, xp), per, xp), xp))


# Bounds on the log evidence, and losses with the gradient of KL(q||p).


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
    log_p, log_q, xp = _both(log_p, log_q)
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
    log_p, log_q, xp = _both(log_p, log_q)
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
    log_p, log_q, xp = _both(log_p, log_q)
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
