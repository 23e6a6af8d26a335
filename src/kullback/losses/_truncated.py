"""KL of the k likeliest tokens and one bucket for the rest: a lower bound, and named so."""

import importlib
import math
from typing import Any

import numpy as np
from jaxtyping import Float

from kullback._core.errors import InputError
from kullback.losses._arrays import Reduction, is_torch, log_normalizer, stopped, taken, widened
from kullback.losses._categorical import categorical_kl
from kullback.losses._gaussian import Array, as_array, namespace


def top_k_kl_lower_bound(
    *, p: Float[Array, "*batch v"], q: Float[Array, "*batch v"], k: int, reduction: Reduction
) -> Float[Array, "..."]:
    """Returns a lower bound of KL(p||q) from the k tokens that p likes best and a bucket for all others.

    KL(p||q) >= sum_{v in top k} p_v log(p_v / q_v) + p_rest log(p_rest / q_rest) >= 0

    Lumping outcomes together never increases a KL, so this is one, of coarser distributions. The sum over
    the top k alone is neither: it may be negative, and clamping it at 0 hides its gradient. With q's k
    likeliest exchange p and q: it bounds KL(q||p).

    Args:
        p, q: logits (..., V).
        k: how many tokens keep a place of their own, from 1 to V - 1.
        reduction: "mean" over rows, "sum" or "none".

    Raises:
        InputError: k is out of range, shapes differ, or the reduction is unknown.

    Example:
        >>> import numpy as np
        >>> p, q = np.array([[3.0, 1.0, 0.0, -1.0]]), np.array([[0.0, 1.0, 0.0, 0.0]])
        >>> for k in (1, 2, 3):
        ...     print(round(float(top_k_kl_lower_bound(p=p, q=q, k=k, reduction="mean")), 4))
        1.027
        1.0298
        1.0361

    Source:
        Cover and Thomas, "Elements of Information Theory" (2006), the data processing inequality.
    """
    xp = namespace(p, q)
    p, q = widened(as_array(p, xp), xp), widened(as_array(q, xp), xp)
    if tuple(p.shape) != tuple(q.shape) or not 1 <= k < p.shape[-1]:
        raise InputError(
            f"k={k} with logits of p {tuple(p.shape)} and q {tuple(q.shape)}: the shapes must be one, and k from 1 "
            "to V - 1; with all V tokens it is categorical_kl"
        )
    indices = _top(stopped(p, xp), k, xp)
    return categorical_kl(p=_coarse(p, indices, xp), q=_coarse(q, indices, xp), reduction=reduction)


def _coarse(logits: Array, indices: Array, xp: Any) -> Array:
    """The logits at the indices, and the log of the mass of all others."""
    rest = log_normalizer(_without(logits, indices, xp), xp)
    parts = [taken(logits, indices, xp), rest]
    return xp.cat(parts, -1) if is_torch(xp) else xp.concatenate(parts, axis=-1)


def _top(logits: Array, k: int, xp: Any) -> Array:
    if is_torch(xp):
        return xp.topk(logits, k, dim=-1).indices
    if xp is np:
        return np.argpartition(-logits, k - 1, axis=-1)[..., :k]
    return importlib.import_module("jax").lax.top_k(logits, k)[1]


def _without(logits: Array, indices: Array, xp: Any) -> Array:
    if is_torch(xp):
        return logits.scatter(-1, indices, -math.inf)
    if xp is np:
        copy = logits.copy()
        np.put_along_axis(copy, indices, -math.inf, axis=-1)
        return copy
    return xp.put_along_axis(logits, indices, -math.inf, axis=-1, inplace=False)
