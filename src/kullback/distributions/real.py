"""Scalars on the whole line (and the circle)."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, final

import numpy as np
from mpmath import mp
from scipy import special

from kullback.distributions.base import Distribution
from kullback.distributions.scalar import (
    LINE,
    Best,
    ExactLocation,
    ExactScale,
    Finite,
    Location,
    Maximise,
    Positive,
    Quantiles,
    Role,
    Scalar,
    Scale,
    Values,
    Vector,
    frame,
    log_root,
    mean,
    median,
)
from kullback.distributions.statistics import ONE, Number, Statistic, X, exact, from_moments
from kullback.solvers.minimise import Stationary, newton


@final
@dataclass(frozen=True)
class Normal(Scalar):
    """N(loc, scale^2)."""

    region = LINE

    loc: ExactLocation
    scale: ExactScale

    def terms(self) -> dict[Statistic, Number]:
        (scale,) = exact(self.scale)
        return {
            ONE: -mp.log(scale) - mp.log(2 * mp.pi) / 2,
            Statistic("square", self.loc): -1 / (2 * scale**2),
        }

    def mean_of(self, statistic: Statistic) -> Number | None:
        loc, scale, a, b = exact(self.loc, self.scale, statistic.a, statistic.b)
        if statistic.name == "absolute":
            z = (loc - a) / scale
            folded = mp.sqrt(2 / mp.pi) * mp.exp(-(z**2) / 2) + z * mp.erf(z / mp.sqrt(2))
            return scale * folded
        if statistic.name == "exp":
            return mp.exp((loc - b) / a + (scale / a) ** 2 / 2)
        return from_moments(statistic, loc, scale**2)

    def quantile(self, u: Quantiles, *, upper: bool = False) -> Quantiles:
        return float(self.loc) + float(self.scale) * special.ndtri(u) * (-1.0 if upper else 1.0)


@final
@dataclass(frozen=True)
class Laplace(Scalar):
    """exp(-|x - loc| / scale) / (2 scale)"""

    region = LINE

    loc: ExactLocation
    scale: ExactScale

    def terms(self) -> dict[Statistic, Number]:
        (scale,) = exact(self.scale)
        return {ONE: -mp.log(2 * scale), Statistic("absolute", self.loc): -1 / scale}

    def mean_of(self, statistic: Statistic) -> Number | None:
        loc, scale, a, b = exact(self.loc, self.scale, statistic.a, statistic.b)
        if statistic.name == "absolute":
            distance = abs(loc - a)
            return distance + scale * mp.exp(-distance / scale)
        if statistic.name == "exp":
            if scale >= abs(a):
                return mp.inf
            return mp.exp((loc - b) / a) / (1 - (scale / a) ** 2)
        return from_moments(statistic, loc, 2 * scale**2)

    def quantile(self, u: Quantiles, *, upper: bool = False) -> Quantiles:
        z = np.where(u < 0.5, np.log(2.0 * u), -np.log(2.0 * (1.0 - u)))
        return float(self.loc) + float(self.scale) * z * (-1.0 if upper else 1.0)


@final
@dataclass(frozen=True)
class LogGamma(Scalar):
    """loc - scale log G, with G of Gamma(shape, 1).

    Gumbel is shape 1, its mirror image shape 1 and a negative scale; Moyal(loc, scale) is
    shape 1/2 at loc - scale log 2; the log of a gamma variable has scale -1.
    """

    region = LINE

    shape: Positive
    loc: Location
    scale: Annotated[float, Role("nonzero", "signed")]

    def terms(self) -> dict[Statistic, Number]:
        shape, loc, scale = exact(self.shape, self.loc, self.scale)
        return {
            ONE: -mp.log(abs(scale)) - mp.loggamma(shape) + shape * loc / scale,
            X: -shape / scale,
            Statistic("exp", -self.scale, self.loc): mp.mpf(-1),
        }

    def mean_of(self, statistic: Statistic) -> Number | None:
        shape, loc, scale, a, b = exact(self.shape, self.loc, self.scale, statistic.a, statistic.b)
        if statistic.name == "exp":
            moved = shape - scale / a
            if moved <= 0:
                return mp.inf
            return mp.exp((loc - b) / a + mp.loggamma(moved) - mp.loggamma(shape))
        mean = loc - scale * mp.digamma(shape)
        return from_moments(statistic, mean, scale**2 * mp.psi(1, shape))

    def quantile(self, u: Quantiles, *, upper: bool = False) -> Quantiles:
        inverse = special.gammaincinv if upper == (self.scale > 0) else special.gammainccinv
        with np.errstate(divide="ignore"):
            return float(self.loc) - self.scale * np.log(inverse(self.shape, u))


@final
@dataclass(frozen=True)
class StudentT(Scalar):
    """Student's t; Cauchy is df 1."""

    region = LINE

    df: Positive
    loc: Location
    scale: Scale

    def terms(self) -> dict[Statistic, Number]:
        df, scale = exact(self.df, self.scale)
        constant = mp.loggamma((df + 1) / 2) - mp.loggamma(df / 2) - mp.log(df * mp.pi) / 2
        return {ONE: constant - mp.log(scale), self._tail: -(df + 1) / 2}

    def mean_of(self, statistic: Statistic) -> Number | None:
        df, loc, scale, a, b = exact(self.df, self.loc, self.scale, statistic.a, statistic.b)
        if statistic == self._tail:
            return mp.digamma((df + 1) / 2) - mp.digamma(df / 2)
        if statistic.name == "log1p_square" and self.df == 1:
            width = b * mp.sqrt(mp.mpf(statistic.c))
            return mp.log(((scale + width) ** 2 + (loc - a) ** 2) / width**2)
        if statistic.name == "absolute" and self.df <= 1:
            return mp.inf
        if statistic.name == "exp":
            return mp.inf
        mean = loc if self.df > 1 else mp.nan
        variance = scale**2 * df / (df - 2) if self.df > 2 else mp.inf
        return from_moments(statistic, mean, variance)

    def quantile(self, u: Quantiles, *, upper: bool = False) -> Quantiles:
        return self.loc + self.scale * special.stdtrit(self.df, u) * (-1.0 if upper else 1.0)

    @property
    def _tail(self) -> Statistic:
        return Statistic("log1p_square", self.loc, self.scale, self.df)


@final
@dataclass(frozen=True)
class Logistic(Scalar):
    """Logistic(loc, scale)."""

    region = LINE

    loc: Location
    scale: Scale

    def terms(self) -> dict[Statistic, Number]:
        loc, scale = exact(self.loc, self.scale)
        return {ONE: -mp.log(scale) + loc / scale, X: -1 / scale, self._soft: mp.mpf(-2)}

    def mean_of(self, statistic: Statistic) -> Number | None:
        loc, scale, a, b = exact(self.loc, self.scale, statistic.a, statistic.b)
        if statistic == self._soft:
            return mp.mpf(1)
        if statistic.name == "exp":
            t = scale / a
            if abs(t) >= 1:
                return mp.inf
            return mp.exp((loc - b) / a) * mp.gamma(1 - t) * mp.gamma(1 + t)
        return from_moments(statistic, loc, (scale * mp.pi) ** 2 / 3)

    def quantile(self, u: Quantiles, *, upper: bool = False) -> Quantiles:
        return self.loc + self.scale * special.logit(u) * (-1.0 if upper else 1.0)

    @property
    def _soft(self) -> Statistic:
        return Statistic("softplus", -self.scale, self.loc)


@final
@dataclass(frozen=True)
class VonMises(Scalar):
    """exp(concentration cos(x - loc)) on [-pi, pi]."""

    region = ("interval", -math.pi, math.pi)

    loc: Finite
    concentration: Annotated[float, Role("nonnegative")]

    def terms(self) -> dict[Statistic, Number]:
        (kappa,) = exact(self.concentration)
        constant = -mp.log(2 * mp.pi * mp.besseli(0, kappa) * mp.exp(-kappa)) - kappa
        return {ONE: constant, Statistic("cos", self.loc): kappa}

    def mean_of(self, statistic: Statistic) -> Number | None:
        loc, kappa, a = exact(self.loc, self.concentration, statistic.a)
        if statistic.name == "cos":
            return mp.besseli(1, kappa) / mp.besseli(0, kappa) * mp.cos(loc - a)
        return mp.mpf(1) if statistic == ONE else None

    def quantile(self, u: Quantiles, *, upper: bool = False) -> Quantiles:
        width = min(math.pi, 40.0 / math.sqrt(max(self.concentration, 1e-12)))
        near = self.loc + np.linspace(-width, width, 20_001)
        far = np.linspace(-math.pi, math.pi, 2_001)
        wrapped = np.mod(near + math.pi, 2.0 * math.pi) - math.pi
        x = np.unique(np.concatenate([wrapped, far]))
        density = np.exp(self.log_prob(x))
        steps = 0.5 * np.diff(x) * (density[1:] + density[:-1])
        below = np.concatenate([[0.0], np.cumsum(steps)]) / np.sum(steps)
        return np.interp(1.0 - u if upper else u, below, x)


# Maximum likelihood on the whole line, by rows that are centred and scaled.

#: Maps standardised rows, and shape parameters, to the loss, its derivative by the row, and those by the shapes.
Loss = Callable[..., tuple[Values, ...]]

_NARROWEST = math.log(1e-12)
#: From so many degrees of freedom on, a gain of fewer nats over all rows says nothing of them.
_MANY, _WORTH = 1e3, 1e-3
_DF = (math.log(1e-2), math.log(1e6))
#: Rows that tell which start is best.
_ENOUGH = 10_000
_EULER = 0.5772156649015329


def normal(x: Values, weights: Values) -> Best:
    """Returns the mean and the standard deviation, by two passes."""
    first = mean(weights, x - x[0])
    moved = (x - x[0]) - first
    rest = mean(weights, moved)
    spread = math.sqrt(mean(weights, (moved - rest) ** 2))
    return Best(Normal(float(x[0]) + (first + rest), spread))


def laplace(x: Values, weights: Values) -> Best:
    """Returns the median and the mean distance from it."""
    center = median(x, weights)
    return Best(Laplace(center, mean(weights, np.abs(x - center))))


def logistic(x: Values, weights: Values, near: Best | None = None) -> Best:
    """Returns the logistic distribution of greatest likelihood."""
    return _solved(_logistic, lambda m, s, _: Logistic(m, s), [[0.0, -0.3]])(x, weights, near)


def cauchy(x: Values, weights: Values, near: Best | None = None) -> Best:
    """Returns the Cauchy distribution of greatest likelihood: the best of several starts."""
    # Its likelihood may have several maxima, near clusters of rows.
    center, unit = frame(x, weights)
    places = [(float(v) - center) / unit for v in np.quantile(x, [0.25, 0.75])]
    starts = [[0.0, -0.7], *([p, -1.0] for p in places)]
    return _solved(_cauchy, lambda m, s, _: StudentT(1.0, m, s), starts)(x, weights, near)


def gumbel(x: Values, weights: Values, near: Best | None = None) -> Best:
    """Returns the Gumbel distribution (of maxima) of greatest likelihood."""
    center, unit = frame(x, weights)
    z = (x - center) / unit
    middle = mean(weights, z)
    spread = math.sqrt(6.0 * mean(weights, (z - middle) ** 2)) / math.pi
    start = [middle - _EULER * spread, math.log(spread)]
    return _solved(_gumbel, lambda m, s, _: LogGamma(1.0, m, s), [start])(x, weights, near)


def student_t(x: Values, weights: Values, near: Best | None = None) -> Best:
    """Returns Student's t of greatest likelihood, its degrees of freedom between 0.01 and a million."""
    starts = [[0.0, -0.2, math.log(5.0)], [0.0, -0.7, 0.0], [0.0, 0.2, math.log(100.0)]]

    def build(loc: float, scale: float, shape: Vector) -> Distribution:
        return StudentT(math.exp(shape[0]), loc, scale)

    best = _solved(_student, build, starts, shapes=(_DF,))(x, weights, near)
    assert isinstance(best.q, StudentT)
    if best.q.df < _MANY:
        return best
    # So flat a likelihood is settled by its value: is anything gained over the bound?
    limit = normal(x, weights).q
    assert isinstance(limit, Normal)
    bound = StudentT(math.exp(_DF[1]), float(limit.loc), float(limit.scale))
    if float(weights @ (best.q.log_prob(x) - bound.log_prob(x))) > _WORTH:
        return best
    note = (
        "the degrees of freedom ran to their bound of a million: the rows have no heavier tails than a normal "
        "distribution, which says the same with a parameter less"
    )
    return Best(bound, (note,), best.evaluations, best.at, best.frame)


def _solved(
    loss: Loss,
    build: Callable[[float, float, Vector], Distribution],
    starts: list[list[float]],
    shapes: tuple[tuple[float, float], ...] = (),
) -> Maximise:
    """Returns Newton's method over (loc, log scale, shapes) of standardised rows."""
    low = np.array([-math.inf, _NARROWEST, *(s[0] for s in shapes)])
    high = np.array([math.inf, 30.0, *(s[1] for s in shapes)])

    def maximise(x: Values, weights: Values, near: Best | None = None, /) -> Best:
        step = len(x) // _ENOUGH
        if near is None and step > 1 and np.ptp(x[::step]) > 0.0:
            # The starts are tried on some of the rows, evenly spaced: all rows then begin near the best.
            near = maximise(x[::step], weights[::step])
        center, unit = frame(x, weights) if near is None else near.frame
        z = (x - center) / unit
        share = weights / weights.sum()

        def objective(at: Vector) -> tuple[float, Vector]:
            scale = math.exp(at[1])
            u = (z - at[0]) / scale
            value, slope, *others = loss(u, *at[2:])
            by_scale = 1.0 - float(share @ (slope * u))
            gradient = [-float(share @ slope) / scale, by_scale, *(share @ o for o in others)]
            return float(at[1]) + float(share @ value), np.array(gradient)

        known = near.at if near is not None and near.at is not None else None
        ends = [
            newton(objective, np.array(s), low, high, units=_units)
            for s in (starts if known is None else [known])
        ]
        end = min(ends, key=lambda e: e.value)
        at = end.at
        q = build(center + unit * float(at[0]), unit * math.exp(at[1]), at[2:])
        spent = sum(e.evaluations for e in ends)
        return Best(q, _notes(end), spent, at, (center, unit))

    return maximise


def _units(at: Vector) -> Vector:
    """Lengths over which the likelihood changes: a scale in the location, 1 in logs."""
    return np.array([math.exp(at[1]), *np.ones(len(at) - 1)])


def _notes(end: Stationary) -> tuple[str, ...]:
    note = (
        "the scale ran to its bound: so many rows have one value that the likelihood grows without end as "
        "the scale goes to 0; a mixture with a point mass describes such rows"
    )
    return (note,) if end.bound[1] else ()


def _logistic(u: Values) -> tuple[Values, ...]:
    half = 0.5 * u
    return 2.0 * np.logaddexp(half, -half), np.tanh(half)


def _cauchy(u: Values) -> tuple[Values, ...]:
    return np.log1p(u * u), 2.0 * u / (1.0 + u * u)


def _gumbel(u: Values) -> tuple[Values, ...]:
    decay = np.exp(-u)
    return u + decay, 1.0 - decay


def _student(u: Values, log_df: float) -> tuple[Values, ...]:
    df = math.exp(log_df)
    square = u * u
    tail = np.log1p(square / df)
    constant = special.betaln(0.5 * df, 0.5) + 0.5 * math.log(df)
    value = 0.5 * (df + 1.0) * tail + constant
    level = 0.5 * (special.digamma(0.5 * df) - special.digamma(0.5 * (df + 1.0))) + 0.5 / df
    by_df = df * (0.5 * tail + level) - 0.5 * (df + 1.0) * square / (df + square)
    return value, (df + 1.0) * u / (df + square), by_df


def vonmises(x: Values, weights: Values) -> Best:
    """Returns the von Mises distribution with the mean direction and the mean length of the rows."""
    sine, cosine = mean(weights, np.sin(x)), mean(weights, np.cos(x))
    loc = math.atan2(sine, cosine)
    short = mean(weights, 2.0 * np.sin(0.5 * (x - loc)) ** 2)
    if short >= 1.0 - 1e-12:
        return Best(VonMises(loc, 0.0), ("the rows have no direction: the concentration is 0",))
    guess = max(2.0 * (1.0 - short), 0.5 / short)
    return Best(VonMises(loc, log_root(lambda k: _shortfall(k) - short, guess)))


def _shortfall(kappa: float) -> float:
    """1 - I1(kappa) / I0(kappa), without cancellation where kappa is large."""
    if kappa < 500.0:
        return 1.0 - float(special.ive(1, kappa) / special.ive(0, kappa))
    t = 1.0 / kappa
    return t * (0.5 + t * (0.125 + t * (0.125 + t * (25.0 / 128.0 + t * 13.0 / 32.0))))
