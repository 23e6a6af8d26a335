"""SciPy's frozen univariate distributions: a row for each that is a family of ours.

A row is the standard form; loc and scale are then pushed into it, or kept as a map.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
from scipy import stats

from kullback.core.errors import InputError, UnsupportedError
from kullback.distributions.base import Array, Distribution, Foreign, Support
from kullback.distributions.bounded import Beta, LogUniform
from kullback.distributions.compound import Bijection, Truncated
from kullback.distributions.counting import Chance, Geometric
from kullback.distributions.family import spelled
from kullback.distributions.positive import GeneralizedGamma, Pareto
from kullback.distributions.real import Laplace, LogGamma, Logistic, Normal, StudentT, VonMises
from kullback.distributions.registry import SCIPY
from kullback.interop.counts import integers, read_count, shifted
from kullback.interop.maps import (
    affine,
    categorical,
    fold,
    generalized_pareto,
    kept,
    logarithm,
    mixture,
    nearest,
    push,
)
from kullback.interop.scipy_logs import kinks_of, read_by_log, rough_quantile_of
from kullback.interop.scipy_vectors import kernel_density
from kullback.interop.scipy_vectors import read as scipy_vectors_read

#: Where SciPy's own families live; a user's subclass of one is called, not recognised.
_HOMES = ("scipy.stats._continuous_distns", "scipy.stats._discrete_distns")


def _reflected(p: Distribution) -> Distribution:
    return push(p, affine(0.0, -1.0), "a mirror image")


def _pearson3(skew: float) -> Distribution | None:
    """A gamma law of mean 0 and variance 1; SciPy takes one of hardly any skewness for a normal."""
    if abs(skew) < 1e-4:
        return Normal(0.0, 1.0) if skew == 0.0 else None
    slope = Fraction(skew) / 2
    gamma = GeneralizedGamma(1.0, nearest(1 / slope**2))
    return push(gamma, affine(-1 / slope, slope), "pearson3")


#: Standard forms (loc 0, scale 1) that are no family of ours, or one moved or in other parameters.
_STANDARD: dict[str, Callable[..., Distribution | None]] = {
    "t_gen": lambda df: StudentT(df, 0.0, 1.0) if df < math.inf else Normal(0.0, 1.0),
    "gumbel_l_gen": lambda: LogGamma(1.0, 0.0, -1.0),
    "loggamma_gen": lambda c: LogGamma(c, 0.0, -1.0),
    "moyal_gen": lambda: LogGamma(0.5, -nearest(logarithm(2.0)), 1.0),
    "nakagami_gen": lambda nu: GeneralizedGamma(1.0, nu, 2.0, nu),
    "weibull_max_gen": lambda c: _reflected(GeneralizedGamma(1.0, 1.0, c)),
    "levy_gen": lambda: GeneralizedGamma(1.0, 0.5, -1.0, 0.5),
    "levy_l_gen": lambda: _reflected(GeneralizedGamma(1.0, 0.5, -1.0, 0.5)),
    "johnsonsb_gen": lambda a, b: push(
        Normal(kept(-Fraction(a) / Fraction(b)), kept(1 / Fraction(b))),
        Bijection("sigmoid"),
        "johnsonsb",
    ),
    "foldnorm_gen": lambda c: fold(Normal(c, 1.0), "foldnorm"),
    "lomax_gen": lambda c: push(Pareto(1.0, c), affine(-1.0, 1.0), "lomax"),
    "pearson3_gen": _pearson3,
    "genpareto_gen": lambda c: generalized_pareto(0.0, 1.0, c),
}


def _power(b: float, high: float) -> Distribution:
    """A density like x^(-b - 1) that covers (1, high)."""
    if b > 0.0:
        return Pareto(1.0, b)
    if b == 0.0:
        return LogUniform(1.0, high)
    return push(Beta(-b, 1.0), affine(0.0, high), "truncpareto")


#: Cut from a family at ends given in standard units: the family and the ends, by the shapes.
_CUT: dict[str, Callable[..., tuple[Distribution, float, float]]] = {
    "truncnorm_gen": lambda a, b: (Normal(0.0, 1.0), a, b),
    "truncexpon_gen": lambda b: (GeneralizedGamma(1.0, 1.0), 0.0, b),
    "truncpareto_gen": lambda b, c: (_power(b, c), 1.0, c),
    "truncweibull_min_gen": lambda c, a, b: (GeneralizedGamma(1.0, 1.0, c), a, b),
}

#: exp of a family of the line, whose location is the log of SciPy's scale, and whose scale is 1 / its shape.
_EXPONENTIAL: dict[str, Callable[[Fraction, Fraction], Distribution]] = {
    "fisk_gen": lambda loc, scale: Logistic(nearest(loc), nearest(scale)),
    "loglaplace_gen": lambda loc, scale: Laplace(kept(loc), kept(scale)),
}


#: Families that a shift by an integer does not leave.
_SHIFTED: dict[str, Callable[..., Distribution]] = {
    "geom_gen": lambda p, loc: Geometric(Chance(probability=p), 1.0 + loc),
    "randint_gen": lambda low, high, loc: integers(low + loc, high - 1.0 + loc),
}


def _read_frozen(frozen: Any) -> Distribution:
    family = frozen.dist
    shapes, loc, scale = family._parse_args(*frozen.args, **frozen.kwds)  # noqa: SLF001
    name = f"scipy.stats.{family.name}"
    *shapes, loc, scale = _check_single([*shapes, loc, scale], name)
    if not (scale > 0.0 and math.isfinite(loc) and math.isfinite(scale)):
        raise InputError(f"{name}: needs a finite loc and a positive scale, got {loc} and {scale}")
    found = _recognise(family, shapes, loc, scale)
    if found is not None:
        return found
    if not np.all(family._argcheck(*shapes)):  # noqa: SLF001
        raise InputError(f"{name}: a shape parameter is out of range: {tuple(shapes)}")
    if hasattr(frozen, "logpmf") and loc == math.floor(loc):
        found = read_count(frozen, shapes, loc)
    if found is not None:
        return found
    if type(family).__module__ not in _HOMES or hasattr(frozen, "logpmf"):
        return _by_itself(frozen, name)
    # Floats are finest where the standard form has its end.
    return push(_standard_form(family(*shapes), name), affine(loc, scale), name)


def _by_itself(frozen: Any, name: str) -> Distribution:
    return _called(frozen, name, lambda rng, n: frozen.rvs(size=n, random_state=rng), frozen.ppf)


#: A NaN of SciPy's own families so many scales out is an overflow of theirs.
_FAR = 1e100


def _standard_form(frozen: Any, name: str) -> Distribution:
    """One of SciPy's own families of densities, by its methods."""
    family, shapes = frozen.dist, frozen.args

    def density(x: Array) -> Array:
        # What `logpdf` does after its checks of the arguments, which take longer than most densities.
        inside = family._support_mask(x, *shapes)  # noqa: SLF001
        found = np.full(x.shape, -np.inf)
        values = log_density(x[inside])
        found[inside] = np.where(np.isnan(values) & (np.abs(x[inside]) > _FAR), -np.inf, values)
        return found

    def log_density(x: Array) -> Array:
        try:
            return family._logpdf(x, *(np.full(x.shape, s) for s in shapes))  # noqa: SLF001
        except OverflowError:  # noncentral t beyond 1e150: of one value it takes all with it
            if len(x) == 1:
                return np.full(1, -np.inf)
            halves = np.array_split(x, 2)
            return np.concatenate([log_density(half) for half in halves])

    def draw(rng: np.random.Generator, n: int) -> Any:
        return frozen.rvs(size=n, random_state=rng)

    found = _called(frozen, name, draw, rough_quantile_of(frozen, density))
    return replace(found, density=density, hints=kinks_of(type(family).__name__, shapes))


def _check_single(parameters: list[Any], name: str) -> list[float]:
    """Returns parameters as numbers. Raises InputError if one is an array."""
    shape = np.broadcast_shapes(*(np.shape(p) for p in parameters))
    if shape:
        count = math.prod(shape)
        raise InputError(
            f"{name} has batch_shape {shape}: it is {count} "
            f"distribution{'' if count == 1 else 's'}; give one at a time, with plain numbers"
        )
    return [float(p) for p in parameters]


def _recognise(family: Any, shapes: list[float], loc: float, scale: float) -> Distribution | None:
    """Returns a distribution of one of SciPy's families in closed form; None if it has none here."""
    cls = type(family)
    name = f"scipy.stats.{family.name}"
    if cls.__name__ == "rv_sample":
        return _table(family, loc, name)
    if cls.__module__ not in _HOMES:
        return None
    if cls.__name__ == "vonmises_gen" and math.isinf(family.a):
        # The same class with finite ends is vonmises_line.
        if scale != 1.0:
            raise UnsupportedError(
                f"{name} lives on the circle and knows no scale, got {scale}; vonmises_line is the one "
                "that can be stretched"
            )
        return VonMises(math.remainder(loc, 2.0 * math.pi), shapes[0])
    standard = _standard(cls.__name__, shapes) or read_by_log(family, shapes)
    if standard is not None and not standard.support.discrete:
        return push(standard, affine(loc, scale), name)
    if cls.__name__ in _CUT:
        return _cut(*_CUT[cls.__name__](*shapes), loc, scale, name)
    if cls.__name__ in _EXPONENTIAL:
        base = _EXPONENTIAL[cls.__name__](logarithm(scale), 1 / Fraction(shapes[0]))
        return push(push(base, Bijection("exp"), name), affine(loc, 1.0), name)
    if cls.__name__ in _SHIFTED:
        _check_integer(loc, name)
        return _SHIFTED[cls.__name__](*shapes, loc)
    if standard is None:
        return None
    _check_integer(loc, name)
    return shifted(standard, loc)


def _standard(cls: str, shapes: list[float]) -> Distribution | None:
    """Returns the standard form of a class with these shape parameters; None if it is not known."""
    if cls in _STANDARD:
        return _STANDARD[cls](*shapes)
    return _member(cls, dict(enumerate(shapes))) if cls in SCIPY else None


def _member(cls: str, values: dict[Any, float]) -> Distribution:
    """Returns a member of the family that a class is; parameters, by name or position, left out are standard."""
    family, names = SCIPY[cls]
    plain = {}
    for i, (theirs, ours) in enumerate(spelled(names)):
        if theirs[0].isdigit():
            plain[ours] = float(theirs)
        elif theirs in values or i in values:
            plain[ours] = values[theirs if theirs in values else i]
    return family.member(plain)


def _cut(
    base: Distribution, low: float, high: float, loc: float, scale: float, name: str
) -> Distribution:
    """The base, stretched (and moved, where it can be) before it is cut."""
    where = loc if isinstance(base, Normal) else 0.0
    ends = [
        e if math.isinf(e) else nearest(Fraction(where) + Fraction(scale) * Fraction(e))
        for e in (low, high)
    ]
    cut = Truncated(push(base, affine(where, scale), name), ends[0], ends[1])
    return push(cut, affine(loc - where, 1.0), name)


def _table(family: Any, loc: float, name: str) -> Distribution | None:
    """A distribution given by its values: a Categorical if these are 0, 1, ..., k - 1."""
    values = np.asarray(family.xk, dtype=np.float64) + loc
    if not np.array_equal(values, np.floor(values)):
        raise UnsupportedError(
            f"{name}: its values are not integers; number them 0, 1, ... and compare those"
        )
    if not np.array_equal(values, np.arange(len(values))):
        return None
    return categorical("probs", np.asarray(family.pk, dtype=np.float64))


def _check_integer(loc: float, name: str) -> None:
    if loc != math.floor(loc):
        raise UnsupportedError(f"{name}: loc = {loc} moves it off the integers; use an integer")


def _called(
    thing: Any, name: str, draw: Callable[..., Any], quantile: Callable[..., Any]
) -> Foreign:
    """A distribution behind its own functions. Its -inf may be underflow of its pdf."""
    low, high = (float(end) for end in thing.support())
    names = {cls.__name__ for cls in type(thing).__mro__}
    discrete = bool(names & {"DiscreteDistribution", "rv_discrete_frozen"})
    if discrete and not all(math.isinf(end) or end == math.floor(end) for end in (low, high)):
        raise UnsupportedError(f"{name}: loc moves it off the integers; use an integer")
    edges = getattr(getattr(thing, "dist", None), "_hbins", ())
    return Foreign(
        name,
        Support("integers" if discrete else "interval", low, high),
        thing.logpmf if discrete else thing.logpdf,
        draw,
        quantile,
        strict=len(edges) > 0,  # a bin of a histogram that holds nothing holds nothing
        hints=tuple(float(e) for e in edges),
    )


# SciPy distributions, frozen and new, as ours.


def read(thing: Any) -> Distribution | None:
    """Returns a SciPy distribution as one of ours; None for any other object of SciPy."""
    if isinstance(thing, stats.gaussian_kde):
        return kernel_density(thing)
    names = {cls.__name__ for cls in type(thing).__mro__}
    if "rv_frozen" in names:
        return _read_frozen(thing)
    if "rv_generic" in names:
        return _read_frozen(_freeze(thing))
    if "UnivariateDistribution" in names or _name(thing) == "Mixture":
        return _read_new(thing)
    if "multi_rv_frozen" in names or type(thing).__name__ == "matrix_t_frozen":
        return scipy_vectors_read(thing)
    if "multi_rv_generic" in names:
        raise _not_frozen(type(thing).__name__.removesuffix("_gen"), "...")
    return None


def _freeze(thing: Any) -> Any:
    if thing.numargs:
        raise _not_frozen(
            thing.name, ", ".join(f"{s.strip()}=..." for s in thing.shapes.split(","))
        )
    return thing()


def _not_frozen(name: str, arguments: str) -> InputError:
    return InputError(
        f"scipy.stats.{name} is a family without its parameters; "
        f"give one distribution: scipy.stats.{name}({arguments})"
    )


# SciPy's new distributions (`scipy.stats.Normal`, `make_distribution`, ...), of 1.15 and later.

_NEW_HOMES = ("scipy.stats._new_distributions", "scipy.stats._distribution_infrastructure")


def _read_new(thing: Any) -> Distribution:
    """Returns a distribution of SciPy's new kind as one of ours."""
    shape = tuple(vars(thing)["_shape"])
    label = f"scipy.stats {type(thing).__name__}"
    if shape:
        _check_single([np.empty(shape)], label)
    if _name(thing) == "Mixture":
        return mixture(
            np.array(thing.weights, dtype=np.float64), [_read_new(c) for c in thing.components]
        )
    if vars(thing)["_any_invalid"]:
        raise InputError(f"{label}: a parameter is out of range: {thing!r}")
    name = _name(thing)
    if name in SCIPY:
        parameters = vars(thing)["_parameters"]
        return _member(name, {key: float(value) for key, value in parameters.items()})
    found = _READERS.get(name, _recognised)(thing)
    if found is not None:
        return found
    return _called(thing, label, lambda rng, n: thing.sample((n,), rng=rng), thing.icdf)


def _name(thing: Any) -> str:
    """The class of an object if it is SciPy's own, not a user's."""
    cls = type(thing)
    return cls.__name__ if cls.__module__ in _NEW_HOMES else ""


def _parameter(thing: Any, name: str) -> float:
    return float(vars(thing)["_parameters"][name])


def _inner(thing: Any) -> Distribution:
    """What a distribution was made from."""
    return _read_new(vars(thing)["_dist"])


def _shifted(thing: Any) -> Distribution:
    map_ = affine(_parameter(thing, "loc"), _parameter(thing, "scale"))
    return push(_inner(thing), map_, "a shifted and scaled distribution")


def _monotone(thing: Any) -> Distribution | None:
    """exp and log are known by the function itself; powers and reciprocals are not."""
    known = {np.exp: Bijection("exp"), np.log: Bijection("log")}.get(vars(thing)["_g"])
    return known and push(_inner(thing), known, f"{known.name} of a distribution")


def _recognised(thing: Any) -> Distribution | None:
    """What make_distribution made of one of SciPy's old families, whose methods it borrows."""
    for method in vars(type(thing)).values():
        family = getattr(method, "__self__", None)
        if family is not None and hasattr(family, "_shape_info"):
            shapes = [_parameter(thing, info.name) for info in family._shape_info()]  # noqa: SLF001
            found = _recognise(family, shapes, 0.0, 1.0)
            if found is None and hasattr(family, "logpmf"):
                found = read_count(family(*shapes), shapes, 0.0)
            elif found is None and type(family).__module__ in _HOMES:
                found = _standard_form(family(*shapes), f"scipy.stats.{family.name}")
            return found
    return None


_READERS: dict[str, Callable[[Any], Distribution | None]] = {
    "ShiftedScaledDistribution": _shifted,
    "FoldedDistribution": lambda d: fold(_inner(d), "the absolute value of a distribution"),
    "TruncatedDistribution": lambda d: Truncated(
        _inner(d), _parameter(d, "lb"), _parameter(d, "ub")
    ),
    "MonotonicTransformedDistribution": _monotone,
}


# Batches: parameters that are arrays.


def shape_of(thing: Any) -> tuple[int, ...]:
    """Returns the shape of a batch; () for one distribution."""
    names = {cls.__name__ for cls in type(thing).__mro__}
    if "rv_frozen" in names:
        return np.broadcast_shapes(*(np.shape(v) for v in (*thing.args, *thing.kwds.values())))
    if "UnivariateDistribution" in names:
        return tuple(int(n) for n in vars(thing)["_shape"])
    return ()


def normals(thing: Any) -> tuple[np.ndarray, np.ndarray] | None:
    """Returns loc and scale of a batch of normals; None for others."""
    family: Any = getattr(thing, "dist", None)
    if _name(thing) == "Normal" and not vars(thing)["_any_invalid"]:
        return _together(*(vars(thing)["_parameters"][name] for name in ("mu", "sigma")))
    if type(family).__name__ != "norm_gen" or type(family).__module__ not in _HOMES:
        return None
    _, loc, scale = family._parse_args(*thing.args, **thing.kwds)  # noqa: SLF001
    return _together(loc, scale)


def _together(loc: Any, scale: Any) -> tuple[np.ndarray, np.ndarray]:
    pair = np.asarray(loc, np.float64), np.asarray(scale, np.float64)
    if pair[0].shape == pair[1].shape:
        return pair
    found = np.broadcast_arrays(*pair)
    return found[0], found[1]


def each(thing: Any) -> Any:
    """Returns an array of our distributions, of the shape of the batch."""
    shape = shape_of(thing)
    out = np.empty(shape, dtype=object)
    frozen = hasattr(thing, "dist")
    given = thing.kwds if frozen else vars(thing)["_original_parameters"]
    named = {k: np.broadcast_to(v, shape) for k, v in given.items() if v is not None}
    listed = [np.broadcast_to(v, shape) for v in thing.args] if frozen else []
    for index in np.ndindex(*shape):
        values = {k: float(v[index]) for k, v in named.items()}
        make = thing.dist if frozen else type(thing)
        out[index] = read(make(*(float(v[index]) for v in listed), **values))
    return out
