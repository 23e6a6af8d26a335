"""Figures of densities of the line: a target or a histogram behind, fits in front of it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float

from kullback.distributions._base import Distribution
from kullback.reports._figures import Annotation, Axis, Band, Figure, Role, Series, Size
from kullback.reports._line import Line, ceiling, density, line
from kullback.results._fit import Fit

Values = Float[np.ndarray, " n"]
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
    low, high = _seen(x, ends)
    edges = np.linspace(low, high, _bins(x, low, high) + 1)
    heights = np.histogram(x, edges, weights=weights)[0] / np.diff(edges)
    steps = np.concatenate([[0.0], np.repeat(heights, 2), [0.0]])
    series = Series(f"{len(x)} samples of p", np.repeat(edges, 2), steps, "sample", "area")
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


def _seen(x: Values, window: tuple[float, float]) -> tuple[float, float]:
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
