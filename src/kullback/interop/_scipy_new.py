"""SciPy's new distributions (`scipy.stats.Normal`, `make_distribution`, ...), of 1.15 and later."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from kullback._core.errors import InputError
from kullback.distributions._base import Distribution, Support
from kullback.distributions._bounded import LogUniform, Uniform
from kullback.distributions._compound import Bijection, Truncated
from kullback.distributions._counting import Binomial, Chance
from kullback.distributions._foreign import Foreign
from kullback.distributions._positive import GeneralizedGamma
from kullback.distributions._real import Logistic, Normal
from kullback.interop import _scipy_scalars
from kullback.interop._maps import affine, fold, push
from kullback.interop._parameters import mixture

_HOMES = ("scipy.stats._new_distributions", "scipy.stats._distribution_infrastructure")


def is_mixture(thing: Any) -> bool:
    """Whether an object is SciPy's Mixture."""
    return _name(thing) == "Mixture"


def read(thing: Any) -> Distribution:
    """Returns a distribution of SciPy's new kind as one of ours.

    Raises:
        InputError: a parameter is an array or out of range.
    """
    shape = tuple(vars(thing)["_shape"])
    label = f"scipy.stats {type(thing).__name__}"
    if shape:
        _scipy_scalars.check_single([np.empty(shape)], label)
    if is_mixture(thing):
        return mixture(
            np.array(thing.weights, dtype=np.float64), [read(c) for c in thing.components]
        )
    if vars(thing)["_any_invalid"]:
        raise InputError(f"{label}: a parameter is out of range: {thing!r}")
    reader = _READERS.get(_name(thing))
    found = reader(thing) if reader is not None else _recognised(thing)
    return _called(thing, label) if found is None else found


def _name(thing: Any) -> str:
    """The class of an object if it is SciPy's own, not a user's."""
    cls = type(thing)
    return cls.__name__ if cls.__module__ in _HOMES else ""


def _parameter(thing: Any, name: str, default: float = math.nan) -> float:
    return float(vars(thing)["_parameters"].get(name, default))


def _normal(thing: Any) -> Distribution:
    return Normal(_parameter(thing, "mu", 0.0), _parameter(thing, "sigma", 1.0))


def _inner(thing: Any) -> Distribution:
    """What a distribution was made from."""
    return read(vars(thing)["_dist"])


def _shifted(thing: Any) -> Distribution:
    map_ = affine(_parameter(thing, "loc"), _parameter(thing, "scale"))
    return push(_inner(thing), map_, "a shifted and scaled distribution")


def _truncated(thing: Any) -> Distribution:
    return Truncated(_inner(thing), _parameter(thing, "lb"), _parameter(thing, "ub"))


def _monotone(thing: Any) -> Distribution | None:
    """exp and log are known by the function itself; powers and reciprocals are not."""
    function = vars(thing)["_g"]
    if function is np.exp:
        return push(_inner(thing), Bijection("exp"), "exp of a distribution")
    if function is np.log:
        return push(_inner(thing), Bijection("log"), "log of a distribution")
    return None


def _recognised(thing: Any) -> Distribution | None:
    """What make_distribution made of one of SciPy's old families, whose methods it borrows."""
    for method in vars(type(thing)).values():
        family = getattr(method, "__self__", None)
        if family is not None and hasattr(family, "_shape_info"):
            shapes = [_parameter(thing, info.name) for info in family._shape_info()]  # noqa: SLF001
            return _scipy_scalars.recognise(family, shapes, 0.0, 1.0)
    return None


def _called(thing: Any, label: str) -> Distribution:
    discrete = any(cls.__name__ == "DiscreteDistribution" for cls in type(thing).__mro__)
    low, high = (float(end) for end in thing.support())
    return Foreign(
        label,
        Support("integers" if discrete else "interval", low, high),
        thing.logpmf if discrete else thing.logpdf,
        sampler=lambda rng, n: thing.sample((n,), rng=rng),
        inverse=thing.icdf,
    )


_READERS: dict[str, Callable[[Any], Distribution | None]] = {
    "Normal": _normal,
    "StandardNormal": _normal,
    "Logistic": lambda _: Logistic(0.0, 1.0),
    "Uniform": lambda d: Uniform(_parameter(d, "a"), _parameter(d, "b")),
    "_LogUniform": lambda d: LogUniform(_parameter(d, "a"), _parameter(d, "b")),
    "_Gamma": lambda d: GeneralizedGamma(1.0, _parameter(d, "a")),
    "Binomial": lambda d: Binomial(_parameter(d, "n"), Chance(probability=_parameter(d, "p"))),
    "ShiftedScaledDistribution": _shifted,
    "FoldedDistribution": lambda d: fold(_inner(d), "the absolute value of a distribution"),
    "TruncatedDistribution": _truncated,
    "MonotonicTransformedDistribution": _monotone,
}
