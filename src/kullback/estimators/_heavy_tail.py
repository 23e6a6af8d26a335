"""Whether what is averaged has a variance, judged by the tail of draws (Pareto k)."""

import numpy as np
from arviz_stats.base import array_stats  # pyright: ignore[reportPrivateImportUsage]
from jaxtyping import Float

#: A generalised Pareto tail has no variance from 1/2 on. Well before that an interval no longer
#: covers, and k is estimated with an error of about .05.
_LIMIT = 0.27


def pareto_k(values: Float[np.ndarray, " n"], *, right_only: bool) -> float:
    """Returns the index of the right tail, or of the heavier one; -inf if there is nothing to fit."""
    finite = values[np.isfinite(values)]
    if len(finite) < 100 or np.ptp(finite) <= 1e-12 * np.abs(finite).max():
        return -np.inf
    tail = "right" if right_only else "both"
    if len(np.unique(np.sort(finite)[-len(finite) // 50 :])) < 5:
        return -np.inf
    found = array_stats.pareto_khat(finite[None, :], tail=tail)
    return float(np.asarray(found))


def reason(samples: list[Float[np.ndarray, " n"]], *, right_only: bool) -> str | None:
    """Returns why averages of such values may not be trusted, or None.

    Args:
        samples: values drawn from each source.
        right_only: for log ratios under p, whose left tail is never heavier than exponential:
            P(log p/q < -c) <= exp(-c).
    """
    k = max(pareto_k(values, right_only=right_only) for values in samples)
    if any(not np.isfinite(values).all() for values in samples):
        return "the log ratio is not finite at some draws"
    if not k > _LIMIT:
        return None
    return f"variance may be infinite: the tail of what is averaged has Pareto k = {k:.2f}"
