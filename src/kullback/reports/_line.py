"""Where densities of the line are looked at: the window that holds them, and points in it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float

from kullback.distributions._base import Distribution
from kullback.reports._components import components

Values = Float[np.ndarray, " n"]

#: A point is shown if the density there is this share of its median over draws.
_FAINT = 0.002
#: A wider q may stretch the window of p to this many times its width.
_STRETCH = 8.0
#: Outcomes drawn one by one.
_MOST_OUTCOMES = 400
_FINE = 24
_SD_STEPS = np.concatenate([-np.geomspace(8.0, 0.05, 24), [0.0], np.geomspace(0.05, 8.0, 24)])


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

    def at(self, x: Values) -> Values:
        """Returns densities; infinite ones as NaN, which is where a curve breaks."""
        with np.errstate(over="ignore"):
            values = np.exp(self.log_at(x))
        return np.where(np.isfinite(values), values, np.nan)


@final
@dataclass(frozen=True, eq=False)
class Line:
    """Points of the line at which to draw, in order."""

    x: Values
    discrete: bool

    @property
    def span(self) -> tuple[float, float]:
        pad = 0.6 if self.discrete else 0.0
        return float(self.x[0]) - pad, float(self.x[-1]) + pad


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


def line(p: Distribution, *others: Distribution, points: int = 360) -> Line:
    """Returns points that show p and the others, more of them where they change fast."""
    if p.support.discrete:
        return _outcomes(p, others)
    ends = [_window(d) for d in (p, *others)]
    low, high = ends[0]
    reach = _STRETCH * (high - low)
    low = min(low, max(min(e[0] for e in ends), low - reach))
    high = max(high, min(max(e[1] for e in ends), high + reach))
    x = [np.linspace(low, high, points)]
    for d in (p, *others):
        marks = _marks(d)
        marks = marks[(marks > low) & (marks < high)]
        narrow = len(marks) > 1 and np.diff(marks).min() < (high - low) / points
        x.append(_filled(marks, 3) if narrow else marks[:0])
        x.append(_ends(d, low, high))
    return Line(np.unique(np.concatenate(x)), discrete=False)


def sounding(*distributions: Distribution) -> Values:
    """Returns the points that mass lies between, out to the far tails, for cheap integrals."""
    if distributions[0].support.discrete:
        return np.unique(np.concatenate([_integers(d) for d in distributions]))
    return np.unique(np.concatenate([_filled(_marks(d), _FINE) for d in distributions]))


def ceiling(d: Density, x: Values) -> float:
    """Returns how high to draw a density: to its top, unless that is a peak of no width."""
    values = np.nan_to_num(d.at(x))
    return float(values.max()) if d.of.support.discrete else height(x, values)


def height(x: Values, values: Values) -> float:
    """Returns the top of a curve, or less where a peak holds almost none of the area below it."""
    size = np.abs(values)
    area = 0.5 * (size[1:] + size[:-1]) * np.diff(x)
    level = np.minimum(size[1:], size[:-1])
    order = np.argsort(-level, kind="stable")
    reached = np.searchsorted(np.cumsum(area[order]), 0.1 * area.sum())
    typical = float(level[order[min(int(reached), len(order) - 1)]])
    return float(min(size.max(), 2.5 * typical)) if typical > 0.0 else float(size.max())


def _log_prob(d: Distribution, x: Values) -> Values:
    return d.log_prob(x if d.support.dimension == 0 else x[:, None])


def _marks(d: Distribution) -> Values:
    if d.support.dimension == 0:
        return d.landmarks()
    found = components(d)
    assert found is not None
    return np.unique(found.means + found.sds * _SD_STEPS)


def _filled(marks: Values, pieces: int) -> Values:
    steps = np.arange(pieces) / pieces
    inner = marks[:-1, None] + np.diff(marks)[:, None] * steps
    return np.unique(np.concatenate([inner.ravel(), marks[-1:]]))


def _window(d: Distribution) -> tuple[float, float]:
    """Returns the hull of where the density is more than faint."""
    x = _filled(_marks(d), _FINE)
    log_p = _log_prob(d, x)
    with np.errstate(invalid="ignore"):
        relative = np.exp(log_p - log_p.max())
    mass = relative * np.gradient(x)
    order = np.argsort(relative)
    middle = order[np.searchsorted(np.cumsum(mass[order]), 0.5 * mass.sum()).clip(max=len(x) - 1)]
    seen = x[relative > _FAINT * relative[middle]]
    low, high = float(seen[0]), float(seen[-1])
    pad = 0.03 * (high - low) or 1.0
    return low - pad, high + pad


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
    return Line(np.arange(low, high + 1.0, step), discrete=True)
