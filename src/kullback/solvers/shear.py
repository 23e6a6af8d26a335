"""Coordinates that undo a neck: scales of some coordinates that depend on another, as in centred hierarchies.

x = m + L (z exp(rates (t - origin))), t being a coordinate of x that is left as it is. L comes from the curvature of
log p at a place deep in the neck, where it is exact: means of centred effects are those of their group to many
digits there, which draws that are not so deep do not tell.

Sources: Neal (2003), Slice sampling, section 8 (the funnel); Papaspiliopoulos, Roberts, Sköld (2007), A general
framework for the parametrization of hierarchical models.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import final

import numpy as np
from jaxtyping import Float, Int

from kullback.solvers.modes import CountedDensity, Mode, mode_at

Array = np.ndarray
Draws = Float[np.ndarray, "n d"]
Values = Float[np.ndarray, " n"]
#: Correlations of a coordinate with the logs of squares of others' residuals: Gaussians, t(8), skewed and curved
#: densities of independent scales stay below .17 at 1,024 tempered draws; funnels and hierarchies have .3 to .8.
_CLEAR = 0.25
#: Of a coordinate with the squares themselves: a bend, x1 = x0^2 say, has .9, funnels and hierarchies stay below .55.
_BENT = 0.7
#: Nats that a scale's dependence has to gain in likelihood.
_GAIN = 8.0
#: Logs of scales beyond which they stay as they are; coordinates that are looked at.
_LONGEST, _MOST = 200.0, 64
#: How far beyond the deepest draws, in sds, the curvature is taken.
_DEEPER = (1.0, 0.0)


@final
@dataclass(frozen=True, eq=False)
class Shear:
    """Coordinates in which scales do not depend on one of them.

    Attributes:
        source: the coordinate that scales depend on, which is the same in both.
        offset: of x where all others are 0, (d,).
        mixing: L, with 1 on the diagonal and no entries beside it in the row and column of the source, (d, d).
        rates: by how much the log of each scale grows with the source, (d,).
        origin: the value of the source at which scales are 1.
    """

    source: int
    offset: Float[np.ndarray, " d"]
    mixing: Float[np.ndarray, "d d"]
    rates: Float[np.ndarray, " d"]
    origin: float

    @cached_property
    def _inverse(self) -> Float[np.ndarray, "d d"]:
        return np.linalg.inv(self.mixing)

    def _logs(self, t: Values) -> Draws:
        return np.clip(np.outer(t - self.origin, self.rates), -_LONGEST, _LONGEST)

    def forward(self, z: Draws) -> Draws:
        """Returns x at n points z."""
        return self.offset + (z * np.exp(self._logs(z[:, self.source]))) @ self.mixing.T

    def inverse(self, x: Draws) -> Draws:
        """Returns z at n points x."""
        return ((x - self.offset) @ self._inverse.T) * np.exp(-self._logs(x[:, self.source]))

    def log_det(self, z: Draws) -> Values:
        """Returns log |dx / dz|."""
        return self._logs(z[:, self.source]).sum(axis=1)

    def density(self, density: CountedDensity) -> CountedDensity:
        """Returns the log density of z, of one of x; faults far out are no reason to refuse."""

        def evaluate(z: Draws) -> tuple[Values, Draws]:
            x = self.forward(z)
            alive = np.isfinite(x).all(axis=1)
            value, gradient = np.full(len(z), -np.inf), np.zeros(z.shape)
            value[alive], gradient[alive] = density.far_out(x[alive])
            logs = self._logs(z[:, self.source])
            rates = np.where(np.abs(logs) < _LONGEST, self.rates, 0.0)
            slope = (gradient @ self.mixing) * np.exp(logs)
            turned = slope.copy()
            turned[:, self.source] += np.sum((slope * z + 1.0) * rates, axis=1)
            return value + logs.sum(axis=1), turned

        return CountedDensity(evaluate, len(self.offset))


def learnt_shear(density: CountedDensity, x: Draws) -> Shear | None:
    """Returns coordinates that undo the neck that draws show; None where they show none.

    Args:
        density: log p.
        x: draws of p, about.
    """
    d = x.shape[1]
    if not 2 <= d <= _MOST or (np.ptp(x, axis=0) <= 0.0).any():
        return None
    with np.errstate(all="ignore"):
        depends = scale_dependence(x)
        clear = np.abs(depends) > max(_CLEAR, (1.0 + 2.0 * math.sqrt(math.log(d))) / 16.0)
        strength = np.where(clear, depends**2, 0.0).sum(axis=1)
        if not strength.max() > 0.0:
            return None
        source = int(np.argmax(strength))
        t = x[:, source]
        towards = -float(np.sign(depends[source][clear[source]].sum()))
        rest = _by_dependence(x, source)
        mode = _deep(density, x, rest, source, towards)
    if mode is None:
        return None
    offset, mixing, rates = np.zeros(d), np.eye(d), np.zeros(d)
    offset[rest] = mode.at
    mixing[np.ix_(rest, rest)] = mode.root / np.diag(mode.root)
    y = np.linalg.solve(mixing, (x - offset).T).T
    for j in rest:
        rate, gain = _rate(y[:, j], t - t.mean())
        rates[j] = rate if gain > _GAIN else 0.0
    return Shear(source, offset, mixing, rates, float(t.mean())) if rates.any() else None


def scale_dependence(x: Draws) -> Float[np.ndarray, "d d"]:
    """Returns correlations of each coordinate, by rows, with the log of the squared residual of each other.

    Residuals are those of the linear regression on all others; the smallest, whose logs are far out, are cut. 0 where
    it is the coordinate that depends on the square.
    """
    n, d = x.shape
    white = (x - x.mean(axis=0)) / x.std(axis=0)
    precision = np.linalg.inv(white.T @ white / n + 1e-6 * np.eye(d))
    squares = np.maximum((white @ precision / np.diag(precision)) ** 2, 1e-300)
    logs = np.log(np.maximum(squares, np.quantile(squares, 0.02, axis=0)))
    by_logs, by_squares = (
        white.T @ ((v - v.mean(axis=0)) / v.std(axis=0)) / n for v in (logs, squares)
    )
    bent = np.maximum(np.abs(by_squares), np.abs(_bends(white)))
    found = np.where(bent > _BENT, 0.0, by_logs)
    np.fill_diagonal(found, 0.0)
    return np.nan_to_num(found)


def _bends(white: Draws) -> Float[np.ndarray, "d d"]:
    """Correlations of each coordinate, by rows, with the square of each other, less what is linear in that one.

    A bend of which draws hold one arm is mostly linear.
    """
    n, linear = len(white), white.T @ white / len(white)
    third, fourth = np.mean(white**3, axis=0), np.mean(white**4, axis=0)
    shared = white.T @ white**2 / n - linear * third
    left = np.maximum((fourth - 1.0 - third**2) * (1.0 - linear**2), 1e-12)
    return shared / np.sqrt(left)


def _by_dependence(x: Draws, source: int) -> Int[np.ndarray, " e"]:
    """The other coordinates, those first whose scale depends least on the source: the centre of a group, say."""
    t = x[:, source] - x[:, source].mean()
    rest = np.array([j for j in range(x.shape[1]) if j != source])
    residuals = [x[:, j] - x[:, j].mean() - t * float(t @ x[:, j]) / float(t @ t) for j in rest]
    return rest[np.argsort([abs(_rate(r, t)[0]) for r in residuals], kind="stable")]


def _deep(
    density: CountedDensity, x: Draws, rest: Array, source: int, towards: float
) -> Mode | None:
    """The mode of the other coordinates at a value of the source where scales are small."""
    t = x[:, source]
    deepest = int(np.argsort(towards * t)[-min(5, len(t))])
    for deeper in _DEEPER:
        at = float(t[deepest] + towards * deeper * t.std())

        def evaluate(v: Draws, at: float = at) -> tuple[Values, Draws]:
            whole = np.empty((len(v), x.shape[1]))
            whole[:, rest], whole[:, source] = v, at
            value, gradient = density.far_out(whole)
            return value, gradient[:, rest]

        mode = mode_at(CountedDensity(evaluate, len(rest)), x[deepest, rest])
        if mode.proper:
            return mode
    return None


def _rate(residual: Values, t: Values) -> tuple[float, float]:
    """The rate b of residuals from N(0, exp(2 (a + b t))), by maximum likelihood, and what it gains in nats.

    The likelihood is concave in b, a being at its best.
    """
    logs = 2.0 * np.log(np.maximum(np.abs(residual), 1e-150))
    n, rate = len(t), 0.0

    def level(b: float) -> tuple[float, Array]:
        terms = logs - 2.0 * b * t
        top = float(terms.max())
        parts = np.exp(terms - top)
        return top + math.log(float(parts.mean())), parts / parts.sum()

    for _ in range(100):
        _, shares = level(rate)
        mean = float(shares @ t)
        slope = n * (mean - float(t.mean()))
        bend = 2.0 * n * float(shares @ (t - mean) ** 2)
        step = float(np.clip(slope / max(bend, 1e-9 * n), -0.5 / t.std(), 0.5 / t.std()))
        rate += step
        if abs(step) < 1e-9:
            break
    gain = 0.5 * n * (level(0.0)[0] - level(rate)[0]) - n * rate * float(t.mean())
    return rate, gain
