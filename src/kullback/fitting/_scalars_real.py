"""Maximum likelihood on the whole line, by rows that are centred and scaled."""

import math
from collections.abc import Callable

import numpy as np
from scipy import special

from kullback.distributions._base import Distribution
from kullback.distributions._real import Laplace, LogGamma, Logistic, Normal, StudentT
from kullback.fitting._scalar_family import Best, Maximise, Values, Vector, frame, mean, median
from kullback.solvers._newton import Stationary, newton

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
