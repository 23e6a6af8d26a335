"""Monotone maps of the line, taken into a family's parameters where it is closed under them."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import scipy
from jaxtyping import Float
from mpmath import mp

from kullback.core.errors import InputError, UnsupportedError
from kullback.distributions.base import Array, Distribution, Foreign, Support
from kullback.distributions.bounded import Beta, Uniform
from kullback.distributions.compound import Bijection, Mixture, Product, Transformed
from kullback.distributions.counting import Chance
from kullback.distributions.gaussian_mixture import GaussianMixture
from kullback.distributions.positive import (
    GeneralizedGamma,
    HalfCauchy,
    LogNormal,
    Pareto,
)
from kullback.distributions.real import Laplace, Normal, StudentT
from kullback.distributions.scalar import Scalar, roles
from kullback.distributions.statistics import Real
from kullback.distributions.vector import Categorical, MultivariateNormal

#: Where each map is defined; the others take the whole line.
_DOMAINS = {
    "log": (0.0, math.inf),
    "power": (0.0, math.inf),
    "logit": (0.0, 1.0),
}


def affine(loc: Real, scale: Real) -> Bijection:
    """Returns x -> loc + scale x."""
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
    """Returns the law of f(x), x of p, in the simplest form."""
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
    """Returns the law of |x|, x of p: both preimages of a point count."""
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


#: Of the width of a uniform distribution, what rounding its ends may change.
_ROUNDED = 4 * Fraction(1, 2**52)


def _push_affine(p: Distribution, loc: Fraction, scale: Fraction) -> Distribution:
    if isinstance(p, Transformed) and p.maps[-1].name == "affine":
        step = Bijection("affine", kept(loc), kept(scale))
        last, rest = p.maps[-1], p.maps[:-1]
        before = Transformed(p.base, rest) if rest else p.base
        inner_loc, inner_scale = Fraction(last.loc), Fraction(last.scale)
        merged = _push_affine(before, loc + scale * inner_loc, scale * inner_scale)
        # An end that moves by a rounding would put mass of one law outside another's support.
        apart = _append(p, step)
        return merged if merged.support == apart.support else apart
    if isinstance(p, Scalar):
        ways = {role.way for role in roles(type(p)).values()}
        if "point" in ways:
            if not isinstance(p, Uniform) or _keeps_width(p, loc, scale):
                return _moved(p, loc, scale)
            # So far out its ends, as floats, do not keep how wide it is.
            p, scale = _moved(p, Fraction(0), abs(scale)), Fraction(1 if scale > 0 else -1)
            return _append(p, Bijection("affine", kept(loc), kept(scale)))
        if ways - {""} and abs(scale) != 1:
            p, scale = _moved(p, Fraction(0), abs(scale)), Fraction(1 if scale > 0 else -1)
    if (loc, scale) == (0, 1):
        return p
    return _append(p, Bijection("affine", kept(loc), kept(scale)))


def _keeps_width(p: Uniform, loc: Fraction, scale: Fraction) -> bool:
    """Whether the ends of a uniform law, moved and rounded, are as far apart as before they are rounded."""
    low, high = (Fraction(nearest(loc + scale * Fraction(end))) for end in (p.low, p.high))
    wide = scale * (Fraction(p.high) - Fraction(p.low))
    return abs(high - low - wide) <= _ROUNDED * abs(wide)


def _moved(p: Any, loc: Fraction, scale: Fraction) -> Scalar:
    """Returns the law of loc + scale x as a member of p's family, which is closed under such maps."""
    ways: dict[str, Callable[[Fraction], Fraction]] = {
        "point": lambda v: loc + scale * v,
        "length": lambda v: abs(scale) * v,
        "signed": lambda v: scale * v,
        "log": lambda v: v + logarithm(abs(scale)),
    }
    values = {
        name: (kept if role.exact else nearest)(ways[role.way](Fraction(getattr(p, name))))
        for name, role in roles(type(p)).items()
        if role.way
    }
    ends = [name for name, role in roles(type(p)).items() if role.way == "point"]
    if scale < 0:
        # What was the low end is the high one.
        values |= dict(zip(ends, [values[name] for name in reversed(ends)], strict=True))
    return replace(p, **values)


# Parameters as exact numbers, and the small distributions that every library needs.


def kept(value: Fraction) -> Real:
    """Returns an exact number as the float64 that it is, or as it is if it is none."""
    return float(value) if Fraction(float(value)) == value else value


def nearest(value: Fraction | float) -> float:
    """Returns the float64 nearest to an exact number: the only place where one is rounded."""
    return float(value)


#: Exact numbers with more bits than this would slow everything down.
_DIGITS = 50


def logarithm(value: Real) -> Fraction:
    """Returns log(value) to 50 digits; value is positive."""
    with mp.workdps(_DIGITS):
        exact = Fraction(value)
        log = mp.log(mp.mpf(exact.numerator) / exact.denominator)
        return Fraction(int(mp.nint(log * 2**200)), 2**200)


#: Probabilities whose sum is this close to 1 are kept as given.
_SUM = 1e-12


def positive_fraction(value: float, what: str) -> Fraction:
    """Returns a positive, finite number as a fraction, so that 1/value is not rounded."""
    if not 0.0 < value < math.inf:
        raise InputError(f"{what} must be positive and finite, got {value}")
    return Fraction(value)


def log_odds(name: str, value: float) -> float:
    """Returns the log odds of a parameter that is a probability or is log odds already."""
    if name == "logits":
        return value
    if not 0.0 < value < 1.0:
        raise InputError(f"a probability must be inside (0, 1) here, got {value}")
    return nearest(logarithm(Fraction(value) / (1 - Fraction(value))))


def chance(name: str, value: float) -> Chance:
    """Returns a probability, as it was given."""
    return Chance(logit=value) if name == "logits" else Chance(probability=value)


def categorical(
    name: str, values: Float[np.ndarray, " k"], *, one_hot: bool = False
) -> Categorical:
    """Returns a Categorical from the parameter `probs` or `logits`."""
    if name == "logits":
        if np.isnan(values).any() or (values == np.inf).any() or np.isneginf(values).all():
            raise InputError(f"Categorical: logits must be numbers below infinity, got {values}")
        return Categorical.from_logits(values, one_hot=one_hot)
    return Categorical.from_probabilities(probabilities(values, "Categorical"), one_hot=one_hot)


def probabilities(values: Float[np.ndarray, " k"], what: str) -> Float[np.ndarray, " k"]:
    """Returns probabilities that sum to 1; the sum of float32 ones is off by 1e-8."""
    if not (np.isfinite(values).all() and (values >= 0.0).all() and values.any()):
        raise InputError(f"{what}: probabilities must be non-negative and finite, got {values}")
    total = math.fsum(values)
    return values if abs(total - 1.0) < _SUM else values / total


def tril_of_precision(precision: Float[np.ndarray, "d d"]) -> Float[np.ndarray, "d d"]:
    """Returns the Cholesky factor of the inverse of a positive-definite matrix."""
    flipped = cholesky(precision[::-1, ::-1], "the precision matrix")[::-1, ::-1]
    return scipy.linalg.solve_triangular(flipped.T, np.eye(len(precision)), lower=True)


def cholesky(matrix: Float[np.ndarray, "d d"], what: str) -> Float[np.ndarray, "d d"]:
    """Returns the Cholesky factor. Raises InputError unless the matrix is positive definite."""
    try:
        return np.linalg.cholesky(matrix)
    except np.linalg.LinAlgError:
        low = float(np.linalg.eigvalsh(matrix)[0])
        raise InputError(
            f"{what} must be positive definite; its smallest eigenvalue is {low:.3g}"
        ) from None


def product(parts: Sequence[Distribution], what: str) -> Distribution:
    """Returns independent parts side by side, nested products unpacked."""
    if not parts:
        raise InputError(f"{what} has no coordinates")
    unpacked = [q for p in parts for q in (p.parts if isinstance(p, Product) else (p,))]
    return Product(tuple(unpacked))


def mixture(weights: Float[np.ndarray, " k"], components: Sequence[Any]) -> Distribution:
    """Returns a mixture, of Gaussian vectors as one object."""
    weights = probabilities(weights, "Mixture")
    if len(components) == 1:
        return components[0]
    gaussians = [gaussian_vector(c) for c in components]
    known = [g for g in gaussians if g is not None]
    if len(known) < len(components) or len({len(loc) for loc, _ in known}) > 1:
        return Mixture(weights, tuple(components))
    means = np.stack([loc for loc, _ in known])
    return GaussianMixture(weights, means, np.stack([root for _, root in known]))


def gaussian_vector(p: Distribution) -> tuple[Array, Array] | None:
    """Returns the mean and Cholesky factor of a Gaussian vector; None for anything else."""
    if isinstance(p, MultivariateNormal):
        return p.loc, p.scale_tril
    parts: Any = p.parts if isinstance(p, Product) else ()
    if not parts or not all(isinstance(part, (Normal, MultivariateNormal)) for part in parts):
        return None
    roots = [q.scale_tril if isinstance(q, MultivariateNormal) else float(q.scale) for q in parts]
    loc = np.concatenate([np.atleast_1d(np.float64(q.loc)) for q in parts])
    return loc, np.asarray(scipy.linalg.block_diag(*roots))
