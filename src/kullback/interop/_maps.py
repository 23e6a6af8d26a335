"""Monotone maps of the line, taken into a family's parameters where it is closed under them."""

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np

from kullback._core.errors import InputError, UnsupportedError
from kullback.distributions._base import Array, Distribution, Support
from kullback.distributions._bounded import Beta, LogUniform, Uniform
from kullback.distributions._compound import Bijection, Transformed
from kullback.distributions._foreign import Foreign
from kullback.distributions._positive import (
    GeneralizedGamma,
    HalfCauchy,
    InverseGaussian,
    LogNormal,
    Pareto,
)
from kullback.distributions._real import Laplace, LogGamma, Logistic, Normal, StudentT
from kullback.distributions._statistics import Real
from kullback.interop._parameters import kept, logarithm, nearest

#: Where each map is defined; the others take the whole line.
_DOMAINS = {
    "log": (0.0, math.inf),
    "power": (0.0, math.inf),
    "logit": (0.0, 1.0),
}


def affine(loc: Real, scale: Real) -> Bijection:
    """Returns x -> loc + scale x.

    Raises:
        InputError: a number is not finite, or the scale is 0.
    """
    if not (math.isfinite(loc) and math.isfinite(scale)) or scale == 0:
        raise InputError(
            f"an affine map needs a finite loc and a scale not 0, got {loc} and {scale}"
        )
    return Bijection("affine", loc, scale)


def inverse_affine(loc: Real, scale: Real) -> Bijection:
    """Returns y -> (y - loc) / scale, exactly."""
    forward = affine(loc, scale)
    slope = 1 / Fraction(forward.scale)
    return Bijection("affine", -Fraction(loc) * slope, slope)


def push(p: Distribution, f: Bijection, what: str) -> Distribution:
    """Returns the law of f(x), x of p, in the simplest form.

    Raises:
        UnsupportedError: p is discrete, or has mass where f is not defined.
    """
    _check_domain(p, f, what)
    if f.name == "affine":
        return _push_affine(p, Fraction(f.loc), Fraction(f.scale))
    match f.name, p:
        case "exp", Normal():
            return LogNormal(p.loc, p.scale)
        case "log", LogNormal():
            return Normal(p.loc, p.scale)
    return _append(p, f)


def push_all(p: Distribution, maps: list[Bijection], what: str) -> Distribution:
    """Returns the law of the last map of ... of the first map of x."""
    for f in maps:
        p = push(p, f, what)
    return p


def generalized_pareto(loc: float, scale: float, shape: float) -> Distribution:
    """Returns the law with P(X > x) = (1 + shape (x - loc) / scale)^(-1/shape)."""
    name = "GeneralizedPareto"
    if shape == 0.0:
        return push(GeneralizedGamma(scale, 1.0), affine(loc, 1.0), name)
    if not (math.isfinite(shape) and 0.0 < scale < math.inf):
        raise InputError(
            f"{name}: needs a finite shape and a positive scale, got {shape} and {scale}"
        )
    exponent = nearest(1 / Fraction(abs(shape)))
    width = affine(0.0, Fraction(scale) / Fraction(abs(shape)))
    if shape < 0.0:
        return push_all(Beta(1.0, exponent), [width, affine(loc, 1.0)], name)
    return push_all(Pareto(1.0, exponent), [affine(-1.0, 1.0), width, affine(loc, 1.0)], name)


def fold(p: Distribution, what: str) -> Distribution:
    """Returns the law of |x|, x of p: both preimages of a point count.

    Raises:
        UnsupportedError: p is discrete or a vector.
    """
    support = p.support
    if support.kind != "interval":
        raise UnsupportedError(f"{what}: the absolute value of {support} is not known here")
    if support.low >= 0.0:
        return p
    match p:
        case Normal(loc=0.0):
            return GeneralizedGamma(p.scale, 0.5, 2.0, 0.5)
        case Laplace(loc=0.0):
            return GeneralizedGamma(p.scale, 1.0)
        case StudentT(df=1.0, loc=0.0):
            return HalfCauchy(p.scale)
    return _folded(p, what)


def _folded(p: Distribution, what: str) -> Distribution:
    low, high = p.support.low, p.support.high

    def density(x: Array) -> Array:
        both = np.logaddexp(p.log_prob(x), p.log_prob(-x))
        return np.where(x >= 0.0, both, -math.inf)

    return Foreign(
        what,
        Support("interval", max(0.0, -high), max(-low, high)),
        density,
        sampler=lambda rng, n: np.abs(p.sample(rng, n)),
        strict=True,
        hints=tuple(float(v) for v in np.unique(np.abs(p.landmarks()))),
    )


def _check_domain(p: Distribution, f: Bijection, what: str) -> None:
    support = p.support
    if support.kind != "interval":
        raise UnsupportedError(
            f"{what} maps {support}, where there is no slope to account for: compare the "
            "distributions before the map; a one-to-one map leaves the KL as it is"
        )
    low, high = _DOMAINS.get(f.name, (-math.inf, math.inf))
    if support.low < low or support.high > high:
        raise UnsupportedError(
            f"{what}: the map {f.name} is defined on ({low:g}, {high:g}), but what is mapped has "
            f"mass on {support}: the result has no density of the form that is assumed"
        )


def _append(p: Distribution, f: Bijection) -> Distribution:
    if isinstance(p, Transformed):
        return Transformed(p.base, (*p.maps, f))
    return Transformed(p, (f,))


def _push_affine(p: Distribution, loc: Fraction, scale: Fraction) -> Distribution:
    if isinstance(p, Transformed) and p.maps[-1].name == "affine":
        step = Bijection("affine", _plain(loc), _plain(scale))
        last, rest = p.maps[-1], p.maps[:-1]
        before = Transformed(p.base, rest) if rest else p.base
        inner_loc, inner_scale = Fraction(last.loc), Fraction(last.scale)
        merged = _push_affine(before, loc + scale * inner_loc, scale * inner_scale)
        # An end that moves by a rounding would put mass of one law outside another's support.
        apart = _append(p, step)
        return merged if merged.support == apart.support else apart
    moved = _LOCATION_SCALE.get(type(p))
    if moved is not None:
        return moved(p, loc, scale)
    scaled = _SCALE.get(type(p))
    if scaled is not None and abs(scale) != 1:
        p, scale = scaled(p, abs(scale)), Fraction(1 if scale > 0 else -1)
    if (loc, scale) == (0, 1):
        return p
    return _append(p, Bijection("affine", _plain(loc), _plain(scale)))


def _plain(value: Fraction) -> Real:
    """The same number as a float where that is exact."""
    return float(value) if Fraction(float(value)) == value else value


def _moved(p: Any, loc: Fraction, scale: Fraction) -> tuple[float, float]:
    return nearest(loc + scale * Fraction(p.loc)), nearest(abs(scale) * Fraction(p.scale))


def _move_uniform(p: Any, loc: Fraction, scale: Fraction) -> Distribution:
    ends = sorted((loc + scale * Fraction(p.low), loc + scale * Fraction(p.high)))
    return Uniform(nearest(ends[0]), nearest(ends[1]))


def _move_log_gamma(p: Any, loc: Fraction, scale: Fraction) -> Distribution:
    moved, width = _moved(p, loc, scale)
    return LogGamma(p.shape, moved, math.copysign(width, scale * Fraction(p.scale)))


#: Families closed under every affine map.
_LOCATION_SCALE: dict[type, Callable[[Any, Fraction, Fraction], Distribution]] = {
    Normal: lambda p, loc, scale: Normal(
        kept(loc + scale * Fraction(p.loc)), _plain(abs(scale) * Fraction(p.scale))
    ),
    Laplace: lambda p, loc, scale: Laplace(*_moved(p, loc, scale)),
    Logistic: lambda p, loc, scale: Logistic(*_moved(p, loc, scale)),
    StudentT: lambda p, loc, scale: StudentT(p.df, *_moved(p, loc, scale)),
    LogGamma: _move_log_gamma,
    Uniform: _move_uniform,
}

#: Families closed under multiplication by a positive number.
_SCALE: dict[type, Callable[[Any, Fraction], Distribution]] = {
    GeneralizedGamma: lambda p, b: GeneralizedGamma(
        _plain(b * Fraction(p.scale)), p.shape, p.power, p.factor
    ),
    HalfCauchy: lambda p, b: HalfCauchy(nearest(b * Fraction(p.scale))),
    InverseGaussian: lambda p, b: InverseGaussian(
        nearest(b * Fraction(p.mean)), nearest(b * Fraction(p.shape))
    ),
    LogNormal: lambda p, b: LogNormal(kept(Fraction(p.loc) + logarithm(b)), p.scale),
    LogUniform: lambda p, b: LogUniform(
        nearest(b * Fraction(p.low)), nearest(b * Fraction(p.high))
    ),
    Pareto: lambda p, b: Pareto(nearest(b * Fraction(p.scale)), p.shape),
}
