"""Losses of sampled tokens whose value and whose gradient are those of one divergence."""

from typing import Any

from jaxtyping import Float

from kullback.losses._arrays import masked, stopped, widened
from kullback.losses._gaussian import Array, as_array
from kullback.losses._sampled import Per, both, over


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
