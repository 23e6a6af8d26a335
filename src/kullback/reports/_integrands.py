"""Figures of what is integrated: where a divergence is paid, and where it is paid back."""

import math

import numpy as np

from kullback.distributions._base import Distribution
from kullback.reports._figures import Axis, Band, Figure, Role, Series
from kullback.reports._line import Line, density, height
from kullback.reports._numbers import exchanged, sentence
from kullback.results._contributions import Contributions, Region
from kullback.results._estimate import Estimate
from kullback.results._fit import Direction

_NAMES: dict[Direction, tuple[str, str]] = {
    "forward": ("p", "q"),
    "reverse": ("q", "p"),
}


def integrand(
    p: Distribution,
    q: Distribution,
    direction: Direction,
    where: Line,
    *,
    total: Estimate,
    regions: tuple[Region, ...] = (),
    title: str = "",
    x_label: str = "x",
) -> Figure:
    """Returns p log(p/q), or q log(q/p) for the reverse direction, over the line.

    Args:
        p, q: the target and its approximation.
        direction: of the divergence whose integrand is wanted.
        where: points to draw at.
        total: the divergence, for the caption.
        regions: what parts of the line add, written above them.
        title: of the figure; the formula if there is none.
        x_label: of the axis.
    """
    over, under = (density(d) for d in ((p, q) if direction == "forward" else (q, p)))
    first, second = _NAMES[direction]
    x = where.x
    log_over, log_under = over.log_at(x), under.log_at(x)
    with np.errstate(invalid="ignore", over="ignore"):
        terms = np.where(np.isneginf(log_over), 0.0, np.exp(log_over) * (log_over - log_under))
    if total.unit == "bits":
        terms = terms / math.log(2.0)
    formula = f"{first} log({first}/{second})"
    style = "bars" if where.discrete else "signed"
    role: Role = direction
    bands = tuple(_band(r) for r in regions if not math.isnan(r.low) and r.low < r.high)
    holes = _empty(where, np.isposinf(terms), second)
    return Figure(
        title or f"{formula}, which KL({first}||{second}) sums up",
        _caption(total, second, infinite=bool(holes), negative=bool((terms < 0.0).any())),
        Axis(x_label, where.span),
        Axis(formula, _span(where, terms)),
        (Series("", x, np.where(np.isfinite(terms), terms, np.nan), role, style),),
        (*(bands if len(bands) > 1 else ()), *holes),
    )


def divergence_of(parts: Contributions | Estimate, direction: Direction) -> Estimate:
    """Returns the total under its proper name: explain(q, p) calls its first argument p."""
    if isinstance(parts, Estimate):
        return parts
    return parts.total if direction == "forward" else exchanged(parts.total)


def _band(region: Region) -> Band:
    value = region.contribution.value
    return Band(region.low, region.high, f"{value:+.3f}".replace("-", "−"))


def _span(where: Line, terms: np.ndarray) -> tuple[float, float]:
    """Returns a range that leaves out peaks of almost no area."""
    finite = np.where(np.isfinite(terms), terms, 0.0)
    if not finite.any():
        return 0.0, 1.0
    most = float(np.abs(finite).max()) if where.discrete else height(where.x, finite)
    low, high = max(float(finite.min()), -most, -1e300), min(float(finite.max()), most)
    low, high = min(low, 0.0), max(high, 0.0)
    pad = 0.05 * (high - low)
    return low - pad * (low < 0.0), high + pad


def _empty(where: Line, missing: np.ndarray, name: str) -> tuple[Band, ...]:
    """Returns a band wherever the integrand is infinite, single points of the line left out."""
    edges = np.flatnonzero(np.diff(np.r_[False, missing, False].astype(int)))
    x, least = where.x, 0.0 if where.discrete else 1e-3 * float(np.ptp(where.x))
    ends = [(float(x[a]), float(x[b - 1])) for a, b in zip(edges[::2], edges[1::2], strict=True)]
    half = 0.4 if where.discrete else 0.0
    return tuple(
        Band(low - half, high + half, f"∞: {name} is 0 here", "bad")
        for low, high in ends
        if high - low >= least
    )


def _caption(total: Estimate, under: str, *, infinite: bool, negative: bool) -> str:
    taken = ", less the hatched one below" if negative else ""
    hole = f" It is infinite where {under} has no mass." if infinite else ""
    return f"The area above 0{taken}, is {sentence(total)}.{hole}"
