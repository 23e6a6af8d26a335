"""Families that `fit` takes, as maps of unconstrained parameters: our own, and classes of NumPyro."""

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float

from kullback.core.errors import InputError, UnsupportedError
from kullback.core.optional import need
from kullback.distributions.base import Distribution, Foreign
from kullback.distributions.registry import by_name
from kullback.distributions.scalar import (
    Embed,
    Parametric,
    ScalarFamily,
    Vector,
)
from kullback.families import Bernoulli
from kullback.interop import as_distribution

# NumPyro classes of scalars as families: their parameters on the whole line, and where to start.

#: From the whole line to where a constraint of NumPyro allows, and back.
_MAPS: dict[str, tuple[Callable[[float], float], Callable[[float], float]]] = {
    "real": (lambda t: t, lambda v: v),
    "positive": (lambda t: math.exp(min(max(t, -300.0), 300.0)), math.log),
    "unit_interval": (lambda t: 1.0 / (1.0 + math.exp(-t)), lambda v: math.log(v / (1.0 - v))),
}


#: Stands for 0.
_SMALL = 1e-9
#: Families within families: what is contained, and its parameters as those of the larger one; n stands for
#: infinity where the smaller is a limit of the larger.
_CONTAINED: dict[str, tuple[tuple[str, Callable[..., dict[str, float]]], ...]] = {
    "StudentT": (
        ("Normal", lambda n, loc, scale: {"df": n, "loc": loc, "scale": scale}),
        ("Cauchy", lambda n, loc, scale: {"df": 1.0, "loc": loc, "scale": scale}),
    ),
    "AsymmetricLaplace": (
        ("Laplace", lambda n, loc, scale: {"loc": loc, "scale": scale, "asymmetry": 1.0}),
    ),
    "Gamma": (
        ("Exponential", lambda n, rate: {"concentration": 1.0, "rate": rate}),
        ("Chi2", lambda n, df: {"concentration": 0.5 * df, "rate": 0.5}),
    ),
    "Weibull": (("Exponential", lambda n, rate: {"scale": 1.0 / rate, "concentration": 1.0}),),
    "GammaPoisson": (
        ("Poisson", lambda n, rate: {"concentration": n, "rate": n / rate}),
        ("GeometricProbs", lambda n, probs: {"concentration": 1.0, "rate": probs / (1.0 - probs)}),
    ),
    "NegativeBinomial2": (
        ("Poisson", lambda n, rate: {"mean": rate, "concentration": n}),
        ("GeometricProbs", lambda n, probs: {"mean": (1.0 - probs) / probs, "concentration": 1.0}),
    ),
    "NegativeBinomialProbs": (
        ("Poisson", lambda n, rate: {"total_count": n, "probs": rate / (rate + n)}),
        ("GeometricProbs", lambda n, probs: {"total_count": 1.0, "probs": 1.0 - probs}),
    ),
    "NegativeBinomialLogits": (
        ("Poisson", lambda n, rate: {"total_count": n, "logits": math.log(rate / n)}),
        (
            "GeometricProbs",
            lambda n, probs: {"total_count": 1.0, "logits": math.log1p(-probs) - math.log(probs)},
        ),
    ),
    "ZeroInflatedPoisson": (("Poisson", lambda n, rate: {"gate": n**-1.5, "rate": rate}),),
    "HurdlePoisson": (
        ("Poisson", lambda n, rate: {"gate": max(math.exp(-rate), 1e-300), "rate": rate}),
    ),
}
#: Members that are a distribution of their own: the uniform one.
_CONSTANTS: dict[str, tuple[dict[str, float], ...]] = {
    "Beta": ({"concentration1": 1.0, "concentration0": 1.0},),
    "Kumaraswamy": ({"concentration1": 1.0, "concentration0": 1.0},),
    "VonMises": ({"loc": 0.0, "concentration": _SMALL},),
}


def family_of(family: object) -> Parametric:
    """Returns a NumPyro class, or the name of one, as a family, with those that it contains.

    Args:
        family: such as numpyro.distributions.Gamma, or "gamma".

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
    maps = [_link(cls.__name__, name, constraint) for name, constraint in constraints.items()]
    words = [_word(constraint) for constraint in constraints.values()]
    evaluate: list[Any] = []

    def values_of(vector: Vector) -> list[float]:
        return [forward(float(t)) for (forward, _), t in zip(maps, vector, strict=True)]

    def exactly(vector: Vector) -> Distribution:
        values = dict(zip(constraints, values_of(vector), strict=True))
        try:
            member = cls(**values)
        except ValueError as error:
            # NumPyro's own check: a parameter that is derived from these overflows.
            raise InputError(f"{cls.__name__}: {error}") from None
        made = as_distribution(member)
        assert made is not None
        return made

    def build(vector: Vector) -> Distribution:
        made = exactly(vector)
        if not isinstance(made, Foreign):
            return made
        if not evaluate:
            from kullback.interop.numpyro import of_parameters  # noqa: PLC0415 - loads JAX

            evaluate.append(of_parameters(cls, tuple(constraints)))
        return evaluate[0](made, values_of(vector))

    def vector_of(parameters: dict[str, float]) -> Vector:
        return np.array(
            [back(parameters[n]) for n, (_, back) in zip(constraints, maps, strict=True)]
        )

    def guesses(mean: float, variance: float) -> list[Vector]:
        each = [_guesses(word, mean, variance) for word in words]
        return [
            np.array([back(v) for (_, back), v in zip(maps, values, strict=True)])
            for values in itertools.product(*each)
        ]

    return Parametric(
        cls.__name__,
        build,
        exactly,
        guesses,
        tuple(
            _within(name, larger, vector_of) for name, larger in _CONTAINED.get(cls.__name__, ())
        ),
        tuple(vector_of(values) for values in _CONSTANTS.get(cls.__name__, ())),
    )


def _within(
    name: str,
    larger: Callable[..., dict[str, float]],
    vector_of: Callable[[dict[str, float]], Vector],
) -> tuple[Parametric, Embed]:
    """A contained family, and the map from its unconstrained parameters to those of the larger one."""
    cls = _class(name)
    maps = {
        parameter: _link(name, parameter, constraint)[0]
        for parameter, constraint in cls.arg_constraints.items()
    }

    def embed(vector: Vector, limit: float) -> Float[np.ndarray, " k"]:
        values = {name: f(float(t)) for (name, f), t in zip(maps.items(), vector, strict=True)}
        return vector_of(larger(limit, **values))

    return family_of(name), embed


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

    from kullback.interop.numpyro_family import numpyro_family  # noqa: PLC0415 - JAX, for such families only

    return numpyro_family(cls)


def _name_in_numpyro(recipe: object) -> str | None:
    module = str(getattr(recipe, "__module__", ""))
    return getattr(recipe, "__name__", None) if module.startswith("numpyro.distributions") else None


def _class(family: object) -> type:
    numpyro = need("numpyro.distributions", f"family={family!r}", "kullback[jax]")
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


def _link(
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
