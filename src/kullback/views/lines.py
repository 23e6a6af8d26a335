"""The points of the line at which densities are drawn: the window that holds them, and a grid in it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, final

import numpy as np
from jaxtyping import Float

from kullback.distributions.base import Distribution
from kullback.render.document import Axis
from kullback.views.components import components

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
class LineDensity:
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


def density(d: Distribution) -> LineDensity:
    """Returns d ready to be drawn; an unnormalised one is normalised on points, for drawing only."""
    if d.normalized:
        return LineDensity(d, 0.0)
    x = sounding(d)
    log_p = _log_prob(d, x)
    peak = float(np.max(log_p))
    mass = float(np.trapezoid(np.exp(log_p - peak), x))
    return LineDensity(d, peak + math.log(mass))


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


def ceiling(d: LineDensity, where: Line) -> float:
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
    gaussians = components(d)
    assert gaussians is not None
    return np.unique(gaussians.means + gaussians.sds * _SD_STEPS)


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
    visible = place[relative > _FAINT * middle]
    low, high = float(visible[0]), float(visible[-1])
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
    visible = []
    for d in (p, *others):
        x = _integers(d)
        log_p = _log_prob(d, x)
        visible.append(x[log_p > log_p.max() + math.log(_FAINT)])
    low, high = min(x[0] for x in visible), max(x[-1] for x in visible)
    step = max(1.0, math.ceil((high - low) / _MOST_OUTCOMES))
    return Line(np.arange(low, high + 1.0, step), "outcomes")


def steps(
    edges: Float[np.ndarray, " e"], heights: Float[np.ndarray, " b"]
) -> tuple[Values, Values]:
    """Returns the outline of a histogram."""
    return np.repeat(edges, 2), np.concatenate([[0.0], np.repeat(heights, 2), [0.0]])
