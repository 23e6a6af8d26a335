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
        terms = np.where(
            np.isneginf(log_over), 0.0, np.exp(log_over + where.log_speed) * (log_over - log_under)
        )
    if total.unit == "bits":
        terms = terms / math.log(2.0)
    formula = f"{first} log({first}/{second})"
    style = "bars" if where.discrete else "signed"
    role: Role = direction
    bands = tuple(_band(r) for r in regions if not math.isnan(r.low) and r.low < r.high)
    span = _span(where, terms)
    holes = _empty(where, np.isposinf(terms), second)
    return Figure(
        title or f"{formula}, which KL({first}||{second}) sums up",
        _caption(total, second, terms, span, infinite=bool(holes)),
        where.axis(x_label),
        Axis(f"{formula}, of log x" if where.kind == "log" else formula, span),
        (Series("", x, np.where(np.isfinite(terms), terms, np.nan), role, style),),
        (*(bands if len(bands) > 1 else ()), *holes),
    )


def divergence_of(parts: Contributions | Estimate, direction: Direction) -> Estimate:
    """Returns the total under its proper name: explain(q, p) calls its first argument p."""
    if isinstance(parts, Estimate):
        return parts
    return parts.total if direction == "forward" else exchanged(parts.total)


def _band(region: Region) -> Band:
    return Band(region.low, region.high, _signed(region.contribution.value))


def _signed(value: float) -> str:
    """Returns a contribution in a few characters."""
    if math.isinf(value):
        return "∞"
    plain = value == 0.0 or 5e-4 <= abs(value) < 1e4
    return (f"{value:+.3f}" if plain else f"{value:+.1e}").replace("-", "−")


def _span(where: Line, terms: np.ndarray) -> tuple[float, float]:
    """Returns a range that leaves out peaks of almost no area."""
    finite = np.where(np.isfinite(terms), terms, 0.0)
    if not finite.any():
        return 0.0, 1.0
    most = height(where, finite)
    low, high = max(float(finite.min()), -most, -1e300), min(float(finite.max()), most)
    low, high = min(low, 0.0), max(high, 0.0)
    pad = 0.05 * (high - low)
    return low - pad * (low < 0.0), high + pad


def _empty(where: Line, missing: np.ndarray, name: str) -> tuple[Band, ...]:
    """Returns a band wherever the integrand is infinite, single points of the line left out."""
    edges = np.flatnonzero(np.diff(np.r_[False, missing, False].astype(int)))
    runs = [(int(a), int(b) - 1) for a, b in zip(edges[::2], edges[1::2], strict=True)]
    x, place = where.x, where.place
    least = 0.0 if where.discrete else 1e-3 * float(np.ptp(place))
    half = 0.4 if where.discrete else 0.0
    return tuple(
        Band(float(x[a]) - half, float(x[b]) + half, f"∞: {name} is 0 here", "bad")
        for a, b in runs
        if place[b] - place[a] >= least
    )


def _caption(
    total: Estimate, under: str, terms: np.ndarray, span: tuple[float, float], *, infinite: bool
) -> str:
    taken = ", less the hatched one below," if (terms < 0.0).any() else ""
    hole = f" The integrand is infinite where {under} has no mass." if infinite else ""
    finite = terms[np.isfinite(terms)]
    cut = len(finite) and (finite.max() > span[1] or finite.min() < span[0])
    peaks = " Peaks of almost no width are cut off." if cut else ""
    if total.kind in ("infinite", "unresolved"):
        return f"{sentence(total)}.{hole}{peaks}"
    return f"The area above 0{taken} is {sentence(total)}.{hole}{peaks}"
