"""Whether what is averaged has a variance, judged by the tail of the draws (Pareto k)."""

import numpy as np
from arviz_stats.base import array_stats
from jaxtyping import Float

#: A generalised Pareto tail has no variance from 1/2 on; the estimate of k is good to about .1.
_LIMIT = 0.42


def pareto_k(values: Float[np.ndarray, " n"]) -> float:
    """Returns the larger tail index of both tails; -inf where there is nothing to fit."""
    finite = values[np.isfinite(values)]
    if len(finite) < 100 or np.ptp(finite) <= 1e-12 * np.abs(finite).max():
        return -np.inf
    found = array_stats.pareto_khat(finite, chain_axis=None, draw_axis=-1, tail="both")
    return float(found)


def reason(strata: list[Float[np.ndarray, " n"]]) -> str | None:
    """Returns why averages of such values may not be trusted, or None."""
    k = max(pareto_k(values) for values in strata)
    if not k > _LIMIT:
        return None
    return f"variance may be infinite: the tail of what is averaged has Pareto k = {k:.2f}"
