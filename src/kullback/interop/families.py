"""Families that `fit` takes, as maps of unconstrained parameters: our own, and classes of NumPyro."""

import functools
import importlib
import importlib.util
import itertools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from kullback.core.errors import InputError, UnsupportedError
from kullback.core.optional import need
from kullback.distributions.base import Distribution, Foreign
from kullback.distributions.family import Contains, Family
from kullback.distributions.registry import FAMILIES, by_name, row_named
from kullback.distributions.scalar import Embed, Parametric, Scalar, ScalarFamily, Vector
from kullback.families import Bernoulli
from kullback.interop import as_distribution

# Families by their parameters on the whole line, and where to start: rows of ours, and classes of NumPyro.

#: Maps from the whole line to where a parameter may be, and back.
_Link = tuple[Callable[[float], float], Callable[[float], float]]
_LINKS: dict[str, _Link] = {
    "real": (lambda t: t, lambda v: v),
    "positive": (lambda t: math.exp(min(max(t, -300.0), 300.0)), math.log),
    "unit_interval": (lambda t: 1.0 / (1.0 + math.exp(-t)), lambda v: math.log(v / (1.0 - v))),
}
#: Where a parameter of ours may be, by the rule of its first spelling.
_WORDS = {
    "finite": "real",
    "positive": "positive",
    "divisor": "positive",
    "nonnegative": "positive",
    "probability": "unit_interval",
}
#: Classes of NumPyro that contain families of ours, as `Family.contains`.
_CONTAINED: dict[str, Contains] = {
    "AsymmetricLaplace": {
        "laplace": lambda n, loc, scale: {"loc": loc, "scale": scale, "asymmetry": 1.0},
    },
    "GammaPoisson": {
        "poisson": lambda n, rate: {"concentration": n, "rate": n / rate},
        "geometric": lambda n, p: {"concentration": 1.0, "rate": p / (1.0 - p)},
    },
    "NegativeBinomial2": {
        "poisson": lambda n, rate: {"mean": rate, "concentration": n},
        "geometric": lambda n, p: {"mean": (1.0 - p) / p, "concentration": 1.0},
    },
    "ZeroInflatedPoisson": {"poisson": lambda n, rate: {"gate": n**-1.5, "rate": rate}},
    "HurdlePoisson": {
        "poisson": lambda n, rate: {"gate": max(math.exp(-rate), 1e-300), "rate": rate}
    },
}


@final
@dataclass(frozen=True)
class _Chart:
    """The parameters of a family by name, each with the word for where it may be."""

    words: dict[str, str]

    def values(self, vector: Vector) -> dict[str, float]:
        """Returns the parameters that a point of the whole space stands for."""
        pairs = zip(self.words.items(), vector, strict=True)
        return {name: _LINKS[word][0](float(t)) for (name, word), t in pairs}

    def vector(self, values: Mapping[str, float]) -> Vector:
        """Returns the point of the whole space that stands for parameters."""
        return np.array([_LINKS[word][1](values[name]) for name, word in self.words.items()])

    def guesses(self, mean: float, variance: float) -> list[Vector]:
        """Returns points of which one may be near a member with this mean and variance."""
        each = [_guesses(word, mean, variance) for word in self.words.values()]
        return [
            self.vector(dict(zip(self.words, values, strict=True)))
            for values in itertools.product(*each)
        ]

    def contained(self, families: Contains) -> tuple[tuple[Parametric, Embed], ...]:
        """Returns families of ours within this one, with the maps of their parameters to its own."""

        def embed(inner: "_Chart", larger: Callable[..., dict[str, float]]) -> Embed:
            return lambda at, n: self.vector(larger(n, **inner.values(at)))

        rows = [(FAMILIES[name], larger) for name, larger in families.items()]
        return tuple((_of_row(row), embed(_chart_of(row), larger)) for row, larger in rows)


def family_of(family: object) -> Parametric:
    """Returns a family of scalars, by a name or a class of NumPyro, by its unconstrained parameters."""
    name = family if isinstance(family, str) else _name_in_numpyro(family)
    row = None if name is None else row_named(name)
    if row is not None and issubclass(row.cls, Scalar):
        return _of_row(row)
    return _of_class(_class(family))


def _chart_of(row: Family) -> _Chart:
    first = [p.spellings[0] for p in row.parameters if not p.choices]
    words = {
        s.name: "end" if s.name in ("low", "high") else _WORDS.get(s.rule, s.rule) for s in first
    }
    return _Chart({name: _known(row.name, name, word) for name, word in words.items()})


def _of_row(row: Family) -> Parametric:
    chart = _chart_of(row)

    def build(vector: Vector) -> Distribution:
        return row.member(chart.values(vector))

    constants = tuple(chart.vector(values) for values in row.constants)
    return Parametric(
        row.name, build, build, chart.guesses, chart.contained(row.contains), constants
    )


def _of_class(cls: Any) -> Parametric:
    words = {n: _word(c) for n, c in cls.arg_constraints.items() if n != "validate_args"}
    chart = _Chart({n: _known(cls.__name__, n, word) for n, word in words.items()})

    def exactly(vector: Vector) -> Distribution:
        try:
            member = cls(**chart.values(vector))
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
        return evaluator()(made, list(chart.values(vector).values()))

    @functools.cache
    def evaluator() -> Callable[[Foreign, list[float]], Foreign]:
        return importlib.import_module("kullback.interop.numpyro").of_parameters(cls, tuple(words))

    contained = chart.contained(_CONTAINED.get(cls.__name__, {}))
    return Parametric(cls.__name__, build, exactly, chart.guesses, contained)


def scalar_family(recipe: object) -> ScalarFamily:
    """Returns a family of scalars for maximum likelihood: our own if we have it, which takes no JAX."""
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
    if isinstance(family, str) and importlib.util.find_spec("numpyro") is None:
        raise InputError(
            f'family "{family}" is not known: say mean_field, full_rank, mixture:2, or a family of expressions, such '
            "as gamma; those of NumPyro need it: pip install 'kullback[jax]'"
        )
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


def _known(family: str, name: str, word: str) -> str:
    """Returns the word for where a parameter may be, if there is a map to it."""
    if word not in _LINKS:
        raise UnsupportedError(
            f"{family}: its parameter {name} ({word}) is not one that is fitted here: parameters "
            "must be real, positive or probabilities"
        )
    return word


def _guesses(word: str, mean: float, variance: float) -> list[float]:
    spread = math.sqrt(variance)
    if word == "real":
        return [mean] if mean <= 0.0 else [mean, math.log(mean)]
    if word == "unit_interval":
        return [0.1, 0.5, 0.9]
    size = abs(mean) + spread
    found = [1.0, spread, size, mean * mean / variance, abs(mean) / variance, 5.0]
    return sorted({v for v in found if 1e-8 < v < 1e8})
