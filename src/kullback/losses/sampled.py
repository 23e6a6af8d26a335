"""Estimates of KL(q||p) from log-probabilities of tokens drawn from q: k1, k2 and k3.

Each is one thing as a value and another as a gradient. Differentiated as they are, with the tokens fixed:

    estimator                  mean (drawn from q)       mean gradient (drawn from q)
    k1 = log q - log p         KL(q||p)                  0
    k2 = (log q - log p)^2/2   not a KL, > 0             that of KL(q||p)
    k3 = p/q - 1 - log p/q     KL(q||p)                  that of KL(p||q)

The guide "You have a loss" recomputes the table. Losses with both right are in `_surrogates`.
"""

from typing import Any, Literal

from jaxtyping import Float

from kullback.core.errors import InputError
from kullback.losses.arrays import masked, stopped, widened
from kullback.losses.gaussian import Array, as_array, expm1_minus, namespace

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
    return log_ratio(log_p, log_q, mask, per)[0]


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
    return 0.5 * log_ratio(log_p, log_q, mask, per)[0] ** 2


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
    gap, xp = log_ratio(log_p, log_q, mask, per)
    return expm1_minus(-gap, xp)


def log_ratio(log_p: Array, log_q: Array, mask: Array | None, per: str) -> tuple[Array, Any]:
    """Returns log q - log p per token or per sequence, and the namespace."""
    log_p, log_q, xp = both(log_p, log_q)
    return over(masked(log_q - log_p, mask, xp), per, xp), xp


def both(log_p: Array, log_q: Array) -> tuple[Array, Array, Any]:
    """Returns two arrays of one shape, of at least float32, and their namespace.

    Raises:
        InputError: the shapes differ.
    """
    xp = namespace(log_p, log_q)
    log_p, log_q = widened(as_array(log_p, xp), xp), widened(as_array(log_q, xp), xp)
    if tuple(log_p.shape) != tuple(log_q.shape):
        raise InputError(
            f"log_p {tuple(log_p.shape)} and log_q {tuple(log_q.shape)} must be of the same tokens"
        )
    return log_p, log_q, xp


def over(array: Array, per: str, xp: Any) -> Array:
    """Returns an array as it is, or summed over its last axis.

    Raises:
        InputError: `per` is another word.
    """
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
    log_p, log_q, xp = both(log_p, log_q)
    own = over(masked(log_q, mask, xp), per, xp)
    ratio = stopped(over(masked(log_q - log_p, mask, xp), per, xp), xp)
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
    log_p, log_q, xp = both(log_p, log_q)
    log_p = stopped(log_p, xp)
    gap = over(masked(log_p - log_q, mask, xp), per, xp)
    return _weight(log_p, log_sampler, mask, per, xp) * gap


def _weight(log_of: Array, log_sampler: Array | None, mask: Array | None, per: str, xp: Any) -> Any:
    """The importance weight, without a gradient; 1 where the sampler is the distribution itself."""
    if log_sampler is None:
        return 1.0
    other = widened(as_array(log_sampler, xp), xp)
    return xp.exp(stopped(over(masked(log_of - other, mask, xp), per, xp), xp))
