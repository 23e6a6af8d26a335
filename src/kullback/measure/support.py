"""Is q positive wherever p is? Where it is not, the KL is infinite, and this says where."""

import math

import numpy as np

from kullback.distributions.base import Array, Distribution, Foreign
from kullback.distributions.compound import Mixture, Product, Transformed, Truncated
from kullback.distributions.scalar import Scalar
from kullback.measure.question import Question
from kullback.results.estimate import Outcome, exact, infinite
from kullback.solvers.quadrature import add_up, fill, integrate

_METHOD = "support"


def gap(p: Distribution, q: Distribution, *, names: str = "pq") -> Outcome | None:
    """Returns infinity with the place where p has mass and q has none; None if q covers p."""
    a, b = p.support, q.support
    one, other = names
    if a.discrete != b.discrete:
        return infinite(f"support: {_kinds(p, q, names)}", _METHOD)
    if a.dimension:
        special = {"simplex", "sphere"} & {a.kind, b.kind}
        if special and a.kind != b.kind:
            return infinite(f"support: {one} lives on {a}, {other} on {b}", _METHOD)
        return None
    sides = []
    if a.low < b.low:
        sides.append((f"x < {b.low:g}", a.low, b.low))
    if a.high > b.high:
        sides.append((f"x > {b.high:g}", b.high, a.high))
    if not sides:
        return None
    masses = [mass(p, low, high) for _, low, high in sides]
    if not any(masses) and not isinstance(p, Scalar):
        return None
    where = " and ".join(
        f"{words} where {one} has mass {_words(m)}"
        for (words, *_), m in zip(sides, masses, strict=True)
    )
    return infinite(f"support: {other} is 0 on {where}", _METHOD)


def share_nothing(p: Distribution, q: Distribution) -> bool:
    """Whether one has masses where the other has a density: each has all of its mass where the other has none."""
    mine, other = _discrete(p), _discrete(q)
    return mine != other and (len(mine) == len(other) or len(set(mine)) == len(set(other)) == 1)


def apart(question: Question, p: Distribution, q: Distribution) -> Outcome | None:
    """Returns the answer for a mass function and a density, which is that of disjoint supports; None for others.

    A draw of p has density 1 of p and 0 of q against p itself, and the other way round.
    """
    if not share_nothing(p, q):
        return None
    one, none = np.array([0.0, -np.inf]), np.array([-np.inf, 0.0])
    with np.errstate(all="ignore"):
        value = question.finish(math.fsum(question.contribution(one, none, np.zeros(2))))
    reason = f"{_kinds(p, q, 'pq')}: they share no mass"
    if math.isfinite(value):
        return exact(value, _METHOD, reason)
    return infinite(f"support: {reason}", _METHOD)


def _kinds(p: Distribution, q: Distribution, names: str) -> str:
    kinds = [
        "discrete" if all(kind) else "partly discrete" if any(kind) else "continuous"
        for kind in (_discrete(p), _discrete(q))
    ]
    return f"{names[0]} is {kinds[0]} and {names[1]} {kinds[1]}"


def _discrete(d: Distribution) -> tuple[bool, ...]:
    """Which coordinates are discrete."""
    if isinstance(d, Product):
        return tuple(kind for part in d.parts for kind in _discrete(part))
    return (d.support.discrete,) * max(1, d.support.dimension)


def mass(p: Distribution, low: float, high: float) -> float:
    """Returns P(low < x < high) of a scalar."""
    if p.support.discrete:
        first = p.support.low if math.isinf(low) or low < p.support.low else math.floor(low) + 1.0
        last = p.support.high if math.isinf(high) else min(math.ceil(high) - 1.0, p.support.high)
        if first > last:
            return 0.0
        start = first if math.isfinite(first) else last
        return float(add_up(lambda x: np.exp(p.log_prob(x))[:, None], start, first, last).value[0])
    low, high = max(low, p.support.low), min(high, p.support.high)
    if low >= high:
        return 0.0
    marks = np.concatenate([p.landmarks(), _inner(low, high)])
    points = np.unique(marks[(marks > low) & (marks < high)])
    whole = integrate(
        lambda x, speed: np.exp(p.log_prob(x) + speed)[:, None], fill(points, low, high), low, high
    )
    return float(whole.value[0])


def _inner(low: float, high: float) -> np.ndarray:
    """Returns points inside an interval, also close to its finite ends."""
    if math.isfinite(low) and math.isfinite(high):
        return low + (high - low) * np.array([1e-6, 1e-3, 0.1, 0.5, 0.9, 0.999, 1.0 - 1e-6])
    steps = np.geomspace(1e-6, 1e3, 10)
    if math.isfinite(low):
        return low + steps
    return high - steps if math.isfinite(high) else np.array([0.0])


def _words(value: float) -> str:
    return f"{value:.3g}" if value > 0.0 else "below 1e-300"


# Where a log density of -inf means no mass, and where it is only too small for a float64.


def certainly_empty(q: Distribution, x: Array) -> np.ndarray:
    """Returns where q has no mass by its support, so that -inf is no underflow."""
    s = q.support
    outside = (x < s.low) | (x > s.high)
    match q:
        case Mixture():
            return np.logical_and.reduce([certainly_empty(c, x) for c in q.components])
        case Truncated():
            return outside | certainly_empty(q.base, x)
        case Foreign() if q.strict:
            return np.full(x.shape, fill_value=True)
        case Transformed():
            return outside | certainly_empty(q.base, q.pull(x))
        case _:
            return outside
