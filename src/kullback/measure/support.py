"""Is q positive wherever p is? Where it is not, the KL is infinite, and this says where."""

import math
from dataclasses import replace
from fractions import Fraction

import numpy as np

from kullback.distributions.base import Array, Distribution, Foreign
from kullback.distributions.compound import Bijection, Mixture, Product, Transformed, Truncated
from kullback.distributions.scalar import Scalar
from kullback.distributions.vector import Categorical
from kullback.interop.maps import affine, push
from kullback.measure.question import Question
from kullback.results.estimate import Outcome, exact, infinite
from kullback.solvers.quadrature import fill, integrate
from kullback.solvers.series import add_up

_METHOD = "support"


def gap(p: Distribution, q: Distribution, *, names: str = "pq") -> Outcome | None:
    """Returns infinity with the place where p has mass and q has none; None if q covers p."""
    a, b = p.support, q.support
    one, other = names
    if a.discrete != b.discrete:
        return infinite(f"support: {_kinds(p, q, names)}", _METHOD)
    if a.dimension:
        special = {"simplex", "sphere", "surface"} & {a.kind, b.kind}
        if special and a.kind != b.kind:
            return infinite(f"support: {one} lives on {a}, {other} on {b}", _METHOD)
        return None
    low, high = common(p, q)
    sides = []
    if low < b.low:
        sides.append((f"x < {b.low:g}", -math.inf, b.low))
    if high > b.high:
        sides.append((f"x > {b.high:g}", b.high, math.inf))
    for start, stop in _holes(q):
        # p may end where the hole begins, up to rounding; slivers are left to the integral.
        margin = _HOLE * (stop - start)
        inside = max(start + margin, low), min(stop - margin, high)
        if inside[0] < inside[1] and (mass(p, *inside) > 0.0 or _dense(p, *inside)):
            sides.append((f"{start:g} < x < {stop:g}", start, stop))
    if not sides:
        return None
    masses = [mass(p, low, high) for _, low, high in sides]
    if not any(masses) and not any(_dense(p, low, high) for _, low, high in sides):
        return None
    where = " and ".join(
        f"{words} where {one} has mass {_words(m)}"
        for (words, *_), m in zip(sides, masses, strict=True)
    )
    return infinite(f"support: {other} is 0 on {where}", _METHOD)


#: Ends of parts of a mixture further apart than this, as a share of where they are, leave a hole and not a rounding;
#: such a share of the hole, at both of its ends, may be rounding too.
_HOLE = 1e-6


def _holes(q: Distribution) -> list[tuple[float, float]]:
    """The intervals between the supports of a mixture's components."""
    if not isinstance(q, Mixture) or q.support.kind != "interval":
        return []
    parts = sorted((c.support.low, c.support.high) for c in q.components)
    reached, found = parts[0][1], []
    for low, high in parts[1:]:
        if low - reached > _HOLE * max(abs(low), abs(reached)):
            found.append((reached, low))
        reached = max(reached, high)
    return found


def _dense(p: Distribution, low: float, high: float) -> bool:
    """Whether p has mass between two points, however little: a log density is finite where a mass underflows.

    What is ours is positive all over its support, also where its log overflows.
    """
    law = p.base if isinstance(p, Transformed) else p
    if isinstance(law, Scalar) or (isinstance(law, Foreign) and law.ours and not law.strict):
        return True
    if not p.support.discrete:
        low, high = max(low, p.support.low), min(high, p.support.high)
    end, way = (low, 1.0) if math.isfinite(low) else (high, -1.0)
    steps = (
        np.array([1.0]) if p.support.discrete else max(abs(end), 1.0) * np.array([1e-9, 1e-3, 1.0])
    )
    x = end + way * steps
    x = x[(x > low) & (x < high)]
    return len(x) > 0 and bool(np.isfinite(p.log_prob(x)).any())


# Ends know their rounding: what arithmetic made of one number is one number.

#: Ends this many units of rounding apart are one end; of float32 so many, which is coarser.
_ULPS, _ULPS_SINGLE = 16.0, 4.0
#: More mass of p than this between two ends is not rounding.
_SLIVER = 1e-12


def common(p: Distribution, q: Distribution) -> tuple[float, float]:
    """Returns p's ends, moved to q's where these lie inside by no more than rounding."""
    a, b = p.support, q.support
    low, high = a.low, a.high
    if a.kind == b.kind == "interval":
        if low < b.low and _one_end(p, q, low, b.low):
            low = b.low
        if high > b.high and _one_end(p, q, high, b.high):
            high = b.high
    return low, high


def _one_end(p: Distribution, q: Distribution, end: float, other: float) -> bool:
    """Whether two finite ends differ by rounding only, and what is between them is none of p's mass."""
    apart = abs(end - other)
    if not math.isfinite(apart):
        return False
    largest = max(abs(end), abs(other))
    unit, most = _ULPS * 2.0**-52, _SLIVER
    if _single(end) or _single(other):
        unit, most = _ULPS_SINGLE * 2.0**-23, 1e-5
    elif apart > unit * largest:
        # An end near 0 is a difference of numbers as large as the distribution, or as its location.
        largest = max(largest, min(_width(p), _width(q)), _location(p), _location(q))
    return apart <= unit * largest and mass(p, min(end, other), max(end, other)) <= most


def _single(value: float) -> bool:
    """Whether a number comes from float32 arithmetic: its digits end there, and it takes them all."""
    fraction = math.frexp(value)[0]
    return (fraction * 2.0**24).is_integer() and not (fraction * 2.0**16).is_integer()


def _width(d: Distribution) -> float:
    s = d.support
    if math.isfinite(s.high - s.low):
        return s.high - s.low
    marks = d.landmarks()
    return float(marks[3 * len(marks) // 4] - marks[len(marks) // 4]) if len(marks) else 0.0


def _location(d: Distribution) -> float:
    """The size of what was added to make the ends."""
    if isinstance(d, Transformed) and d.maps[-1].name == "affine":
        return abs(float(d.maps[-1].loc))
    if isinstance(d, Truncated):
        marks = d.base.landmarks()
        return abs(float(marks[len(marks) // 2])) if len(marks) else 0.0
    return 0.0


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
    return _mass(p, low, high)[0]


def mass_outside(d: Distribution, low: float, high: float) -> tuple[float, float]:
    """Returns P(x < low or x > high) of a scalar, and a bound on its error."""
    parts = [(0.0, 0.0)]
    if d.support.low < low:
        parts.append(_mass(d, -math.inf, low))
    if d.support.high > high:
        parts.append(_mass(d, high, math.inf))
    return math.fsum(m for m, _ in parts), math.fsum(e for _, e in parts)


def _mass(p: Distribution, low: float, high: float) -> tuple[float, float]:
    """Returns the mass strictly between two points, and a bound on its error."""
    if p.support.discrete:
        first = p.support.low if math.isinf(low) or low < p.support.low else math.floor(low) + 1.0
        last = p.support.high if math.isinf(high) else min(math.ceil(high) - 1.0, p.support.high)
        if first > last:
            return 0.0, 0.0
        start = first if math.isfinite(first) else last
        found = add_up(
            lambda x, factor: np.exp(p.log_prob(x) + factor)[:, None], start, first, last
        )
        value = float(found.value[0])
        return value, float(found.beyond[0]) + 1e-12 * value
    low, high = max(low, p.support.low), min(high, p.support.high)
    if low >= high:
        return 0.0, 0.0
    marks = np.concatenate([p.landmarks(), _inner(low, high)])
    points = np.unique(marks[(marks > low) & (marks < high)])
    if not len(points):
        # There are next to no floats between them.
        ends = np.array([np.nextafter(low, high), np.nextafter(high, low)])
        value = float(np.exp(p.log_prob(ends)).max()) * (high - low)
        return value, value
    whole = integrate(
        lambda x, speed: np.exp(p.log_prob(x) + speed)[:, None], fill(points, low, high), low, high
    )
    return float(whole.value[0]), float(whole.error[0])


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


# Units: x is not followed beyond 1e150, and that is to be far for every distribution.

#: Sizes of x between which it is measured as it is.
_ORDINARY_SIZES = (1e-60, 1e60)


#: A scale of x so much larger than p's own is the unit: in smaller ones, a share of it underflows near 0; up to there.
_LARGER, _LARGEST = 1e10, 1e100


def unit_of(d: Distribution, *others: Distribution) -> float:
    """Returns a power of two near the size of a scalar's values where that is extreme, or another's is; else 1."""
    size = _size(d)
    least, most = _ORDINARY_SIZES
    if size and least < size < most:
        larger = max((s for other in others for s in _sizes(other)), default=0.0)
        size = min(larger, _LARGEST * size) if larger > _LARGER * max(size, 1.0) else 0.0
    return 2.0 ** round(math.log2(size)) if size else 1.0


def _size(d: Distribution) -> float:
    marks = d.landmarks()
    return float(np.median(np.abs(marks))) if len(marks) else 0.0


def _sizes(d: Distribution) -> list[float]:
    return [s for c in d.components for s in _sizes(c)] if isinstance(d, Mixture) else [_size(d)]


def in_units(d: Distribution, unit: float) -> Distribution:
    """Returns the law of x / unit."""
    if unit == 1.0:
        return d
    base, maps = (d.base, d.maps) if isinstance(d, Transformed) else (d, ())
    return Transformed(base, (*maps, Bijection("affine", 0.0, 1.0 / unit)))


#: A law whose quantiles are this close together, as a share of where they are, is seen too coarsely there by floats.
_NARROW = 1e-7


def in_place(p: Distribution, q: Distribution) -> tuple[Distribution, Distribution]:
    """Returns both laws moved to p's location, where floats are finest, if p is narrow, ends or has a pole there.

    Else to q's if that is narrow, and p smooth: log q may fall to -inf from one float to the next.
    """
    smooth = math.isinf(p.support.low) and math.isinf(p.support.high) and not _rises(p)
    for d in (p, q) if smooth else (p,):
        place = _place(d)
        if place is None:
            continue
        moved = _moved_by(p, place), _moved_by(q, place)
        ends = d is p and (float(place) == p.support.low or _rises(moved[0]))
        if not (ends or _narrow(d)):
            continue
        # Ends that are one but for rounding stay so.
        same = common(*moved)[0] >= moved[1].support.low or common(p, q)[0] < q.support.low
        return moved if same else (p, q)
    return p, q


def _narrow(d: Distribution) -> bool:
    marks = d.landmarks()
    return not len(marks) or float(np.ptp(marks)) <= _NARROW * float(np.abs(marks).max())


def _rises(d: Distribution) -> bool:
    """Whether a density is far higher close to 0 than at its quantiles."""
    marks = d.landmarks()
    if not len(marks):
        return False
    near = 1e-12 * float(np.ptp(marks))
    close = d.log_prob(np.array([-near, near]))
    return bool(
        close.max() > np.max(d.log_prob(marks[np.abs(marks) > near]), initial=-math.inf) + 3.0
    )


def _place(d: Distribution) -> Fraction | None:
    match d:
        case Transformed() if d.maps[-1].name == "affine":
            return Fraction(d.maps[-1].loc) or None
        case Scalar() if hasattr(d, "loc"):
            return Fraction(vars(d)["loc"]) or None
        case _:
            return None


def _moved_by(d: Distribution, place: Fraction) -> Distribution:
    """Returns the law of x - place, exactly where its location is a parameter."""
    match d:
        case Mixture():
            return replace(d, components=tuple(_moved_by(c, place) for c in d.components))
        case Transformed() if d.maps[-1].name == "affine":
            before, last = d.maps[:-1], d.maps[-1]
            base = Transformed(d.base, before) if before else d.base
            return push(base, affine(Fraction(last.loc) - place, last.scale), "a moved law")
        case _:
            return push(d, affine(-place, 1.0), "a moved law")


# Where a log density of -inf means no mass, and where it is only too small for a float64.


def _at_an_end(q: Mixture, x: Array) -> np.ndarray:
    """Where x is an end of a part, up to rounding."""
    ends = np.array([e for c in q.components for e in (c.support.low, c.support.high)])
    ends = ends[np.isfinite(ends)][:, None]
    close = np.abs(x - ends) <= _ULPS * 2.0**-52 * np.maximum(np.abs(x), np.abs(ends))
    return np.any(close, axis=0)


def certainly_empty(q: Distribution, x: Array) -> np.ndarray:
    """Returns where q has no mass by its support, so that -inf is no underflow."""
    s = q.support
    outside = (x < s.low) | (x > s.high)
    match q:
        case Mixture():
            empty = np.logical_and.reduce([certainly_empty(c, x) for c in q.components])
            return empty & ~_at_an_end(q, x) if empty.any() and not s.discrete else empty
        case Truncated():
            return outside | certainly_empty(q.base, x)
        case Categorical():
            return np.full(x.shape, fill_value=True)
        case Foreign() if q.strict:
            return np.full(x.shape, fill_value=True)
        case Transformed():
            return outside | certainly_empty(q.base, q.pull(x))
        case _:
            return outside
