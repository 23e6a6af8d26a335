"""Where densities of the line are looked at: the window that holds them, and points in it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, final

import numpy as np
from jaxtyping import Float

from kullback.distributions.base import Distribution
from kullback.losses.divergences import forward_kl
from kullback.render.document import Annotation, Axis, Band, Figure, Role, Series, Size
from kullback.results.estimate import Estimate
from kullback.results.fit import Direction, Fit
from kullback.results.others import Contributions, Region
from kullback.views.components import components
from kullback.views.numbers import exchanged, sentence

Values = Float[np.ndarray, " n"]

#: A point is shown if the density there is this share of its median over draws.
_FAINT = 0.002
#: A wider q may stretch the window of p to this many times its width.
_STRETCH = 8.0
#: Outcomes drawn one by one.
_MOST_OUTCOMES = 400
_FINE = 24
#: The axis is logarithmic where the 95th percentile is so many times the 5th.
_SPREAD = 300.0
_SD_STEPS = np.concatenate([-np.geomspace(8.0, 0.05, 24), [0.0], np.geomspace(0.05, 8.0, 24)])


@final
@dataclass(frozen=True, eq=False)
class Line:
    """Points of the line at which to draw, in order.

    Attributes:
        x: the points.
        kind: how they are spaced and what the axis shows: "log" where mass is spread over powers of
            ten of a positive x, and densities are then of log x; "outcomes" for whole numbers.
    """

    x: Values
    kind: Literal["linear", "log", "outcomes"]

    @property
    def discrete(self) -> bool:
        return self.kind == "outcomes"

    @property
    def place(self) -> Values:
        """Where the points stand on the axis, up to its scale: areas are areas over this."""
        return np.log(self.x) if self.kind == "log" else self.x

    @property
    def log_speed(self) -> Values:
        """What turns log densities of x into those of `place`: log dx/dplace."""
        return self.place if self.kind == "log" else np.zeros_like(self.x)

    def axis(self, label: str) -> Axis:
        """Returns the axis that shows the points."""
        pad = 0.6 if self.discrete else 0.0
        span = float(self.x[0]) - pad, float(self.x[-1]) + pad
        return Axis(label, span, log=self.kind == "log", whole=self.discrete)


@final
@dataclass(frozen=True, eq=False)
class Density:
    """A density on points of the line, normalised by them if it is not by itself.

    Attributes:
        of: the distribution.
        log_mass: log of its normalising constant, 0 if it has one.
    """

    of: Distribution
    log_mass: float

    def log_at(self, x: Values) -> Values:
        """Returns log densities, -inf where there is no mass."""
        return _log_prob(self.of, x) - self.log_mass

    def on(self, where: Line) -> Values:
        """Returns densities as the axis shows them; NaN, where a curve breaks, for infinite ones."""
        with np.errstate(over="ignore"):
            values = np.exp(self.log_at(where.x) + where.log_speed)
        return np.where(np.isfinite(values), values, np.nan)


def is_scalar(d: Distribution) -> bool:
    """Whether d can be drawn over the line."""
    s = d.support
    return s.dimension == 0 or (s.dimension == 1 and components(d) is not None)


def density(d: Distribution) -> Density:
    """Returns d ready to be drawn; an unnormalised one is normalised on points, for drawing only."""
    if d.normalized:
        return Density(d, 0.0)
    x = sounding(d)
    log_p = _log_prob(d, x)
    peak = float(np.max(log_p))
    mass = float(np.trapezoid(np.exp(log_p - peak), x))
    return Density(d, peak + math.log(mass))


def line(p: Distribution, *others: Distribution, points: int = 360, straight: bool = False) -> Line:
    """Returns points that show p and the others, more of them where they change fast.

    Args:
        p: what must be seen.
        others: what should be seen with it.
        points: at least so many, unless there are fewer outcomes.
        straight: never a logarithmic axis.
    """
    if p.support.discrete:
        return _outcomes(p, others)
    log = not straight and _spreads(p, *others)
    windows = [_window(d, log=log) for d in (p, *others)]
    low, high = windows[0]
    reach = _STRETCH * (high - low)
    low = min(low, max(min(w[0] for w in windows), low - reach))
    high = max(high, min(max(w[1] for w in windows), high + reach))
    if log:
        return Line(np.exp(np.linspace(low, high, points)), "log")
    x = [np.linspace(low, high, points)]
    for d in (p, *others):
        marks = _marks(d)
        marks = marks[(marks > low) & (marks < high)]
        narrow = len(marks) > 1 and np.diff(marks).min() < (high - low) / points
        x.append(_filled(marks, 3) if narrow else marks[:0])
        x.append(_ends(d, low, high))
    return Line(np.unique(np.concatenate(x)), "linear")


def sounding(*distributions: Distribution) -> Values:
    """Returns the points that mass lies between, out to the far tails, for cheap integrals."""
    if distributions[0].support.discrete:
        return np.unique(np.concatenate([_integers(d) for d in distributions]))
    return np.unique(np.concatenate([_filled(_marks(d), _FINE) for d in distributions]))


def ceiling(d: Density, where: Line) -> float:
    """Returns how high to draw a density: to its top, unless that is a peak of no width."""
    return height(where, np.nan_to_num(d.on(where)))


def height(where: Line, values: Values) -> float:
    """Returns the top of a curve, or less where a peak holds almost none of the area below it."""
    size = np.abs(values)
    if where.discrete:
        return float(size.max())
    level, area, order = _by_level(where.place, size)
    reached = int(np.searchsorted(area, 0.9 * area[-1]))
    typical = float(level[order[min(reached, len(order) - 1)]])
    return float(min(size.max(), 2.5 * typical)) if typical > 0.0 else float(size.max())


def _log_prob(d: Distribution, x: Values) -> Values:
    return d.log_prob(x if d.support.dimension == 0 else x[:, None])


def _marks(d: Distribution) -> Values:
    if d.support.dimension == 0:
        return d.landmarks()
    found = components(d)
    assert found is not None
    return np.unique(found.means + found.sds * _SD_STEPS)


def _filled(marks: Float[np.ndarray, " m"], pieces: int) -> Values:
    steps = np.arange(pieces) / pieces
    inner = marks[:-1, None] + np.diff(marks)[:, None] * steps
    return np.unique(np.concatenate([inner.ravel(), marks[-1:]]))


def _window(d: Distribution, *, log: bool) -> tuple[float, float]:
    """Returns the hull of where the density is more than faint, of log x if `log`."""
    x = _filled(_marks(d), _FINE)
    place = np.log(x) if log else x
    log_p = _log_prob(d, x) + (place if log else 0.0)
    relative = np.exp(log_p - log_p.max())
    level, mass, order = _by_level(place, relative)
    middle = level[order[np.searchsorted(mass, 0.5 * mass[-1])]]
    seen = place[relative > _FAINT * middle]
    low, high = float(seen[0]), float(seen[-1])
    pad = 0.03 * (high - low) or 1.0
    return low - pad, high + pad


def _by_level(
    place: Float[np.ndarray, " m"], values: Float[np.ndarray, " m"]
) -> tuple[Values, Values, np.ndarray]:
    """Returns the lower level of every panel, the area below it summed from low to high, the order."""
    level = np.minimum(values[1:], values[:-1])
    order = np.argsort(level, kind="stable")
    return level, np.cumsum((level * np.diff(place))[order]), order


def _spreads(*distributions: Distribution) -> bool:
    """Whether mass is spread over powers of ten of a positive x."""
    if any(d.support.low < 0.0 for d in distributions):
        return False
    for d in distributions:
        x = _filled(_marks(d), _FINE)
        log_p = _log_prob(d, x)
        level = np.minimum(log_p[1:], log_p[:-1])
        mass = np.cumsum(np.exp(level - level.max() + np.log(np.diff(x))))
        ends = x[np.searchsorted(mass, np.array([0.05, 0.95]) * mass[-1])]
        if ends[1] > _SPREAD * ends[0]:
            return True
    return False


def _ends(d: Distribution, low: float, high: float) -> Values:
    """Returns both sides of the ends of the support, where a density may jump."""
    ends = np.array([e for e in (d.support.low, d.support.high) if low < e < high])
    step = 1e-9 * (high - low)
    return np.concatenate([ends - step, ends, ends + step])


def _integers(d: Distribution) -> Values:
    s = d.support
    if math.isfinite(s.low) and s.high - s.low < _MOST_OUTCOMES:
        return np.arange(s.low, s.high + 1.0)
    marks = d.landmarks()
    low, high = max(s.low, marks[0] - 1.0), min(s.high, marks[-1] + 1.0)
    return np.arange(math.floor(low), math.ceil(high) + 1.0)


def _outcomes(p: Distribution, others: Sequence[Distribution]) -> Line:
    seen = []
    for d in (p, *others):
        x = _integers(d)
        log_p = _log_prob(d, x)
        seen.append(x[log_p > log_p.max() + math.log(_FAINT)])
    low, high = min(s[0] for s in seen), max(s[-1] for s in seen)
    step = max(1.0, math.ceil((high - low) / _MOST_OUTCOMES))
    return Line(np.arange(low, high + 1.0, step), "outcomes")


# Figures of densities of the line: a target or a histogram behind, fits in front of it.

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


# Figures of what is integrated: where a divergence is paid, and where it is paid back.

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
#: Samples looked at for every step.
_MOST_ROWS = 20_000


def gaps_to_density(p: Distribution, fit: Fit) -> Gaps:
    """Returns the divergence along the path less that at its end, by sums over one set of points."""
    ends = [fit.path[i] for i in sorted({0, len(fit.path) // 2, len(fit.path) - 1})]
    x = sounding(p, *ends)
    log_p = density(p).log_at(x)
    found = []
    for q in fit.path:
        log_q = density(q).log_at(x)
        with np.errstate(invalid="ignore"):
            terms = (
                forward_kl(log_p, log_q) if fit.direction == "forward" else forward_kl(log_q, log_p)
            )
        total = terms.sum() if p.support.discrete else np.trapezoid(terms, x)
        found.append(float(total))
    return np.array(found) - found[-1]


def gaps_to_samples(
    samples: Float[np.ndarray, "n d"], weights: Float[np.ndarray, " n"] | None, fit: Fit
) -> Gaps:
    """Returns the cross-entropy along the path less that at its end, over rows fitted to."""
    every = max(1, math.ceil(len(samples) / _MOST_ROWS))
    x = samples[::every]
    w = np.ones(len(x)) if weights is None else weights[::every]
    points = x[:, 0] if fit.q.support.dimension == 0 else x
    found = [-float(w @ q.log_prob(points)) / float(w.sum()) for q in fit.path]
    return np.array(found) - found[-1]


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
