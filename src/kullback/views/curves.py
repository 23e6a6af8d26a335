"""Figures of densities of the line: p or a histogram behind, fits in front; integrands; optimisation paths."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import final

import numpy as np
from jaxtyping import Float

from kullback.distributions.base import Distribution
from kullback.losses.divergences import forward_kl
from kullback.render.document import Annotation, Axis, Band, Figure, Role, Series, Size
from kullback.results.contributions import Contributions, Region
from kullback.results.estimate import Estimate
from kullback.results.fit import Direction, Fit
from kullback.views.lines import Line, Values, ceiling, density, height, line, sounding, steps
from kullback.views.numbers import exchanged, sentence

#: Curves drawn along a path.
_SNAPSHOTS = 14
_BINS = (12, 60)
#: A fit is drawn at most so many times as high as the histogram.
_OVER = 1.6
_Y_LABELS = {"linear": "density", "log": "density of log x", "outcomes": "probability"}


@final
@dataclass(frozen=True, eq=False)
class Curve:
    """A fitted density with its name and colour."""

    name: str
    role: Role
    of: Distribution
    dashed: bool = False
    strength: float = 1.0


@final
@dataclass(frozen=True, eq=False)
class Backdrop:
    """What stands behind the fits: the density of p, or a histogram of draws of it.

    Attributes:
        series: itself.
        line: the points at which the fits are to be drawn.
        top: how high it reaches, leaving out peaks of no width.
        cut: whether something was left out.
    """

    series: Series
    line: Line
    top: float
    cut: bool


def of_density(p: Distribution, others: Sequence[Distribution], points: int = 360) -> Backdrop:
    """Returns p's density, on points that also show the others."""
    where = line(p, *others, points=points)
    shown = density(p)
    y = shown.on(where)
    top = ceiling(shown, where)
    name = "p, normalised to draw it" if not p.normalized else "p"
    series = Series(name, where.x, y, "p", "bars" if where.discrete else "area")
    return Backdrop(series, where, top, bool(np.nanmax(y) > 1.001 * top))


def of_samples(
    x: Values, weights: Values | None, others: Sequence[Distribution], points: int = 360
) -> Backdrop:
    """Returns a histogram of draws of p, as a density; of single outcomes where q is discrete."""
    weights = np.full(len(x), 1.0 / len(x)) if weights is None else weights / weights.sum()
    where = line(others[0], *others[1:], points=points, straight=True)
    if where.discrete:
        values, which = np.unique(x, return_inverse=True)
        shares = np.bincount(which, weights)
        both = np.union1d(where.x, np.arange(values[0], values[-1] + 1.0))
        if len(both) <= 2 * len(where.x) + 50:
            where = Line(both, "outcomes")
        series = Series(f"{len(x)} samples of p", values, shares, "sample", "bars")
        return Backdrop(series, where, float(shares.max()), cut=False)
    ends = (
        max(float(where.x[0]), others[0].support.low),
        min(float(where.x[-1]), others[0].support.high),
    )
    low, high = _range(x, ends)
    edges = np.linspace(low, high, _bins(x, low, high) + 1)
    heights = np.histogram(x, edges, weights=weights)[0] / np.diff(edges)
    series = Series(f"{len(x)} samples of p", *steps(edges, heights), "sample", "area")
    inner = np.linspace(low, high, points)
    return Backdrop(series, Line(inner, "linear"), float(heights.max()), cut=False)


def densities(
    title: str,
    caption: str,
    backdrop: Backdrop,
    curves: Sequence[Curve],
    *,
    x_label: str = "x",
    bands: tuple[Band, ...] = (),
    size: Size = "wide",
    annotations: tuple[Annotation, ...] = (),
) -> Figure:
    """Returns a figure of the backdrop and the curves before it, from 0 up."""
    where = backdrop.line
    shown = [(c, density(c.of)) for c in curves]
    style = "dots" if where.discrete else "line"
    front = tuple(
        Series(c.name, where.x, d.on(where), c.role, "dashed" if c.dashed else style, c.strength)
        for c, d in shown
    )
    most = _OVER * backdrop.top if backdrop.series.role == "sample" else math.inf
    tops = [backdrop.top, *(min(ceiling(d, where), most) for _, d in shown)]
    cut = backdrop.cut or any(
        float(np.nanmax(s.y)) > 1.001 * t for s, t in zip(front, tops[1:], strict=True)
    )
    if cut:
        caption = f"{caption} Peaks of almost no width are cut off at the top.".strip()
    y_label = "" if size == "small" else _Y_LABELS[where.kind]
    x_label = "" if size == "small" else x_label
    return Figure(
        title,
        caption,
        where.axis(x_label),
        Axis(y_label, (0.0, 1.06 * max(tops))),
        (backdrop.series, *front),
        bands,
        annotations,
        size,
    )


def alone(fit: Fit, x_label: str) -> Figure:
    """Returns q by itself, before its other optima: where p is not at hand."""
    others = [o.q for o in fit.optima[1:] if o.q.support.dimension == fit.q.support.dimension]
    behind = of_density(fit.q, others)
    name = f"q, {fit.direction} fit"
    series = replace(behind.series, name=name, role=fit.direction)
    rest = [Curve("other optima", "neutral", q, dashed=True, strength=0.5) for q in others]
    return densities("The fitted q", "", replace(behind, series=series), rest, x_label=x_label)


def snapshots(
    title: str, caption: str, backdrop: Backdrop, fit: Fit, *, x_label: str = "x"
) -> Figure:
    """Returns q along the path of a fit, from faint to full, the last one thick with its name."""
    last = len(fit.path) - 1
    index = np.unique(np.linspace(0, last, min(_SNAPSHOTS, last + 1)).astype(int))
    curves = []
    for place, i in enumerate(index.tolist()):
        share = place / max(len(index) - 1, 1)
        name = "start" if i == 0 and last else "end" if i == last else ""
        curves.append(
            Curve(
                name,
                fit.direction,
                fit.path[i],
                dashed=i == 0 and last > 0,
                strength=0.25 + 0.75 * share**1.5,
            )
        )
    return densities(title, caption, backdrop, curves, x_label=x_label, size="half")


def _range(x: Values, window: tuple[float, float]) -> tuple[float, float]:
    """Returns the range of the draws and of the fits; of many draws without the last in 2000."""
    ends = (0.0, 1.0) if len(x) < 2000 else (0.0005, 0.9995)
    low, high = (float(v) for v in np.quantile(x, ends))
    return min(low, window[0]), max(high, window[1])


def _bins(x: Values, low: float, high: float) -> int:
    """Returns Freedman and Diaconis' number of bins, or the root of n if more, within reason."""
    quarters = np.quantile(x, [0.25, 0.75])
    width = 2.0 * float(quarters[1] - quarters[0]) / len(x) ** (1.0 / 3.0)
    wanted = (high - low) / width if width > 0.0 else math.inf
    return int(min(max(wanted, math.sqrt(len(x)), _BINS[0]), _BINS[1]))


# Figures of what is integrated: which regions contribute to a divergence, and with which sign.

_NAMES: dict[Direction, tuple[str, str]] = {"forward": ("p", "q"), "reverse": ("q", "p")}


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


# Figures of the way to an optimum: how far above its end a descent still was, step by step.

Gaps = Float[np.ndarray, " steps"]
#: Smaller gaps are rounding of the sums.
_FLOOR = 1e-11
#: Samples used for every step.
_MOST_ROWS = 20_000


def gaps_to_density(p: Distribution, fit: Fit) -> Gaps:
    """Returns the divergence along the path less that at its end, by sums over one set of points."""
    ends = [fit.path[i] for i in sorted({0, len(fit.path) // 2, len(fit.path) - 1})]
    x = sounding(p, *ends)
    log_p = density(p).log_at(x)
    divergences = []
    for q in fit.path:
        log_q = density(q).log_at(x)
        with np.errstate(invalid="ignore"):
            terms = (
                forward_kl(log_p, log_q) if fit.direction == "forward" else forward_kl(log_q, log_p)
            )
        total = terms.sum() if p.support.discrete else np.trapezoid(terms, x)
        divergences.append(float(total))
    return np.array(divergences) - divergences[-1]


def gaps_to_samples(
    samples: Float[np.ndarray, "n d"], weights: Float[np.ndarray, " n"] | None, fit: Fit
) -> Gaps:
    """Returns the cross-entropy along the path less that at its end, over rows fitted to."""
    every = max(1, math.ceil(len(samples) / _MOST_ROWS))
    x = samples[::every]
    w = np.ones(len(x)) if weights is None else weights[::every]
    points = x[:, 0] if fit.q.support.dimension == 0 else x
    losses = [-float(w @ q.log_prob(points)) / float(w.sum()) for q in fit.path]
    return np.array(losses) - losses[-1]


def descent(
    title: str, caption: str, gaps: dict[str, tuple[Fit, Gaps]], size: Size = "wide"
) -> Figure | None:
    """Returns the gaps of one or more fits on a logarithmic axis; None if none is worth drawing."""
    series = []
    for name, (fit, gap) in gaps.items():
        steps = np.arange(len(gap), dtype=np.float64)
        shown = np.where(np.isfinite(gap) & (gap > _FLOOR), gap, np.nan)
        if np.isfinite(shown).sum() > 1:
            series.append(Series(name, steps, shown, fit.direction, "dots"))
    if not series:
        return None
    longest = max(int(np.flatnonzero(np.isfinite(s.y))[-1]) for s in series)
    return Figure(
        title,
        caption,
        Axis("step", (-0.4, longest + 0.4)),
        Axis("above the value at the last step, in nats", log=True),
        tuple(series),
        size=size,
    )
