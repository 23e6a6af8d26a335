"""Numbers as text."""

import math

from kullback.results._estimate import Estimate


def figure(estimate: Estimate, *, unit: bool = True) -> str:
    """Returns an estimate as it prints itself, without its name and its method.

    Args:
        estimate: what to write.
        unit: whether to say the unit.

    Example:
        >>> from kullback.api._measure import kl_divergence
        >>> figure(kl_divergence("normal(0, sd=2)", "normal(0, sd=3)"))
        '0.127687 nats'
    """
    if estimate.kind in ("infinite", "unresolved"):
        return estimate.kind
    whole = str(estimate).removeprefix(f"{estimate.direction} ").removeprefix("= ")
    text = whole.partition(" (")[0]
    return text if unit else text.removesuffix(f" {estimate.unit}")


def share(value: float) -> str:
    """Returns a part of 1 in per cent."""
    return f"{100.0 * value:.3g} %"


def short(value: float) -> str:
    """Returns a number to four significant digits, not in powers of ten unless it must be."""
    return f"{value + 0.0:.4g}" if abs(value) >= 1e-3 or value == 0.0 else f"{value:.2g}"


def near(value: float, scale: float) -> str:
    """Returns a number with three decimals, or as many as show a hundredth of a small scale."""
    if math.isinf(scale):
        return f"{value:.4g}"
    decimals = 3 if scale >= 0.1 or scale <= 0.0 else 2 - math.floor(math.log10(scale))
    return f"{round(value, decimals) + 0.0:.{min(decimals, 15)}f}"
