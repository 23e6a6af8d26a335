"""NumPyro classes of scalars as families: their parameters on the whole line, and where to start."""

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from kullback._core.errors import InputError, MissingDependencyError, UnsupportedError
from kullback.distributions._base import Distribution
from kullback.families import Bernoulli
from kullback.fitting._parametric import Parametric, Vector
from kullback.fitting._scalar_family import ScalarFamily
from kullback.fitting._scalar_table import by_name
from kullback.interop import as_distribution

#: From the whole line to where a constraint of NumPyro allows, and back.
_MAPS: dict[str, tuple[Callable[[float], float], Callable[[float], float]]] = {
    "real": (lambda t: t, lambda v: v),
    "positive": (lambda t: math.exp(min(max(t, -300.0), 300.0)), math.log),
    "unit_interval": (lambda t: 1.0 / (1.0 + math.exp(-t)), lambda v: math.log(v / (1.0 - v))),
}


def family_of(family: object, mean: float, variance: float) -> Parametric:
    """Returns a NumPyro class, or the name of one, as a family.

    Args:
        family: such as numpyro.distributions.Gamma, or "gamma".
        mean, variance: of the target, to start near it.

    Raises:
        InputError: no such family.
        UnsupportedError: its parameters are of a kind that is not fitted here.
    """
    cls = _class(family)
    constraints = {
        name: constraint
        for name, constraint in cls.arg_constraints.items()
        if name != "validate_args"
    }
    maps = [_map(cls.__name__, name, constraint) for name, constraint in constraints.items()]

    def build(vector: Vector) -> Distribution:
        values = [forward(float(t)) for (forward, _), t in zip(maps, vector, strict=True)]
        made = as_distribution(cls(**dict(zip(constraints, values, strict=True))))
        assert made is not None
        return made

    guesses = [_guesses(_word(c), mean, variance) for c in constraints.values()]
    starts = tuple(
        np.array([back(v) for (_, back), v in zip(maps, values, strict=True)])
        for values in itertools.product(*guesses)
    )
    return Parametric(cls.__name__, build, starts)


def scalar_family(recipe: object) -> ScalarFamily:
    """Returns a family of scalars for maximum likelihood: our own if we have it, which takes no JAX.

    Args:
        recipe: a NumPyro class, a function of NumPyro that stands for two, such as Bernoulli, a name, or
            Bernoulli().

    Raises:
        InputError: no such family.
        UnsupportedError: its parameters are of a kind that is not fitted here.
    """
    recipe = "bernoulli" if isinstance(recipe, Bernoulli) else recipe
    name = recipe if isinstance(recipe, str) else _name_in_numpyro(recipe)
    ours = None if name is None else by_name(name)
    if ours is not None:
        return ours
    cls = _class(recipe)
    from kullback.interop._likelihood import numpyro_family  # noqa: PLC0415 - JAX, for such families only

    return numpyro_family(cls)


def _name_in_numpyro(recipe: object) -> str | None:
    module = str(getattr(recipe, "__module__", ""))
    return getattr(recipe, "__name__", None) if module.startswith("numpyro.distributions") else None


def _class(family: object) -> type:
    try:
        import numpyro.distributions as numpyro  # noqa: PLC0415 - JAX is loaded for such families only
    except ImportError:
        raise MissingDependencyError(
            "NumPyro is needed for this family: pip install numpyro"
        ) from None
    if isinstance(family, str):
        names = {n.lower(): n for n in numpyro.__all__ if n[0].isupper()}
        wanted = family.lower().replace("_", "").replace("-", "")
        if wanted not in names:
            raise InputError(
                f'family "{family}" is not known: say mean_field, full_rank, mixture:2, or the name '
                "of a distribution of NumPyro with scalar events, such as gamma"
            )
        family = getattr(numpyro, names[wanted])
    if not (isinstance(family, type) and issubclass(family, numpyro.Distribution)):
        raise InputError(
            f"family={family!r} is not known: give MeanField(), FullRank(), Mixture(k), or a "
            "distribution class of NumPyro, not an instance"
        )
    return family


def _word(constraint: Any) -> str:
    text = type(constraint).__name__.lower().strip("_")
    if "greaterthan" in text and getattr(constraint, "lower_bound", 1.0) == 0.0:
        return "positive"
    if text in ("positive", "softpositive", "nonnegative"):
        return "positive"
    if "unitinterval" in text or (
        text == "interval" and (constraint.lower_bound, constraint.upper_bound) == (0.0, 1.0)
    ):
        return "unit_interval"
    return text


def _map(
    family: str, name: str, constraint: object
) -> tuple[Callable[[float], float], Callable[[float], float]]:
    word = _word(constraint)
    if word not in _MAPS:
        raise UnsupportedError(
            f"{family}: its parameter {name} ({word}) is not one that is fitted here: parameters "
            "must be real, positive or probabilities"
        )
    return _MAPS[word]


def _guesses(word: str, mean: float, variance: float) -> list[float]:
    spread = math.sqrt(variance)
    if word == "real":
        return [mean] if mean <= 0.0 else [mean, math.log(mean)]
    if word == "unit_interval":
        return [0.1, 0.5, 0.9]
    size = abs(mean) + spread
    found = [1.0, spread, size, mean * mean / variance, abs(mean) / variance, 5.0]
    return sorted({v for v in found if 1e-8 < v < 1e8})
