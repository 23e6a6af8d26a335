"""NumPyro classes of scalars as families for maximum likelihood: gradients by JAX, steps by Newton."""

import inspect
import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, final

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from numpyro.distributions import Distribution as NumPyroDistribution
from numpyro.distributions import biject_to, constraints
from numpyro.distributions.constraints import is_dependent

from kullback.core.errors import InputError, MissingDependencyError, UnsupportedError
from kullback.core.numerics import float64
from kullback.distributions.base import Distribution, Foreign
from kullback.distributions.registry import by_name
from kullback.distributions.scalar import (
    Best,
    Domain,
    Embed,
    Parametric,
    ScalarFamily,
    Values,
    Vector,
    frame,
)
from kullback.families import Bernoulli
from kullback.interop import as_distribution
from kullback.solvers.minimise import Stationary, newton

#: Rows, and more of them up to a power of two.
Padded = Float[np.ndarray, " m"]

#: Unconstrained parameters stay within this of 0, where exp and the logistic function are finite.
_REACH = 300.0
_LEAST_ROWS = 256
#: Starts from which the best is climbed.
_TRIED = 3


@final
@dataclass(frozen=True, eq=False)
class _Compiled:
    """A class with its parameters on the whole line, compiled.

    Attributes:
        cls: of NumPyro.
        maps: from the whole line to where each parameter may be.
        loss: maps (parameters, rows, weights) to the mean of -log q and its gradient.
        log_prob: maps (parameters, rows) to log densities.
    """

    cls: Any
    maps: dict[str, Any]
    loss: Callable[..., Any]
    log_prob: Callable[..., Any]

    def values(self, at: Vector) -> dict[str, float]:
        """Returns the parameters by name."""
        with float64():
            return {
                name: float(forward(jnp.asarray(t)))
                for (name, forward), t in zip(self.maps.items(), at, strict=True)
            }


@lru_cache(maxsize=64)
def numpyro_family(cls: type) -> ScalarFamily:
    """Returns a NumPyro class of scalars, of real, positive, unit or interval parameters, as a family.

    Args:
        cls: such as numpyro.distributions.ZeroInflatedPoisson.

    Raises:
        UnsupportedError: its events are no scalars, or a parameter is an integer, a vector or a matrix.
    """
    name = cls.__name__
    made = _compiled(cls)
    domain = _domain(cls)
    centred = set(made.maps) >= {"loc", "scale"} and cls.support is constraints.real

    def maximise(x: Values, weights: Values, near: Best | None = None, /) -> Best:
        moved = (frame(x, weights) if near is None else near.frame) if centred else (0.0, 1.0)
        z = (x - moved[0]) / moved[1]
        rows, shares = _shared(z, weights / weights.sum(), whole=domain.integers)
        objective = _objective(made, rows, shares)
        starts = _starts(made, z) if near is None or near.at is None else [near.at]
        end, spent = _climbed(objective, starts, name)
        values = made.values(end.at)
        if centred:
            values["loc"] = moved[0] + moved[1] * values["loc"]
            values["scale"] *= moved[1]
        q = as_distribution(made.cls(**values))
        assert q is not None
        score = _score(made, end.at, moved)
        return Best(q, _notes(list(made.maps), end), spent, end.at, moved, score)

    return ScalarFamily(name, len(made.maps), domain, maximise)


def _compiled(cls: Any) -> _Compiled:
    accepted = inspect.signature(cls.__init__).parameters
    given = {n: c for n, c in cls.arg_constraints.items() if n in accepted}
    scalar = is_dependent(cls.support) or cls.support.event_dim == 0
    if not (given and scalar):
        raise UnsupportedError(
            f"{cls.__name__} is not a family of scalars with parameters of its own: give a class such as "
            "numpyro.distributions.Gamma"
        )
    maps = {name: _map(cls.__name__, name, c) for name, c in given.items()}

    def log_prob(at: Any, x: Any) -> Any:
        values = {n: f(t) for (n, f), t in zip(maps.items(), at, strict=True)}
        return cls(**values, validate_args=False).log_prob(x)

    def loss(at: Any, x: Any, shares: Any) -> Any:
        # Rows without weight may have no density: 0 times infinity must not reach the gradient.
        return -jnp.sum(jnp.where(shares > 0.0, shares * log_prob(at, x), 0.0))

    return _Compiled(cls, maps, jax.jit(jax.value_and_grad(loss)), jax.jit(log_prob))


def _map(family: str, name: str, constraint: Any) -> Any:
    plain = not (is_dependent(constraint) or constraint.is_discrete or constraint.event_dim)
    if plain:
        try:
            return biject_to(constraint)
        except NotImplementedError:
            pass
    word = type(constraint).__name__.strip("_")
    raise UnsupportedError(
        f"{family}: its parameter {name} ({word}) is not one that is fitted here: parameters must be real "
        "numbers, positive, probabilities or within an interval"
    )


def _shared(z: Values, shares: Values, *, whole: bool) -> tuple[Padded, Padded]:
    """Returns padded rows and shares; of whole numbers only the different ones."""
    if whole:
        z, index = np.unique(z, return_inverse=True)
        shares = np.bincount(index, shares)
    return _padded(z), _padded(shares, fill=0.0)


def _objective(
    made: _Compiled, rows: Padded, shares: Padded
) -> Callable[[Vector], tuple[float, Vector]]:
    with float64():
        held = jnp.asarray(rows), jnp.asarray(shares)

    def objective(at: Vector) -> tuple[float, Vector]:
        with float64():
            value, gradient = made.loss(jnp.asarray(at), *held)
            return float(value), np.asarray(gradient)

    return objective


def _climbed(
    objective: Callable[[Vector], tuple[float, Vector]], starts: list[Vector], name: str
) -> tuple[Stationary, int]:
    with np.errstate(all="ignore"):
        ranked = sorted(
            (v if math.isfinite(v := objective(s)[0]) else math.inf, i)
            for i, s in enumerate(starts)
        )
    usable = [starts[i] for value, i in ranked if math.isfinite(value)][:_TRIED]
    if not usable:
        raise InputError(
            f"{name}: the likelihood of these rows is 0 or infinite at every start: the family has no density "
            "at some of them; choose a family whose support holds all rows"
        )
    box = np.full(len(usable[0]), _REACH)
    ends = [newton(objective, s, -box, box) for s in usable]
    spent = len(starts) + sum(e.evaluations for e in ends)
    return min(ends, key=lambda e: e.value), spent


def _starts(made: _Compiled, z: Values) -> list[Vector]:
    """Returns unconstrained parameters to try: products of a few guesses for each."""
    middle, spread = float(np.mean(z)), float(np.std(z)) or 1.0
    size = abs(middle) + spread
    guesses = []
    with float64():
        for forward in made.maps.values():
            word = forward.codomain
            if word is constraints.real:
                found = {0.0, middle, math.log(size)}
            elif word is constraints.unit_interval:
                found = {0.1, 0.5, 0.9}
            else:
                found = {1.0, size, 1.0 / size, spread, 3.0}
            inside = [v for v in sorted(found) if bool(word(jnp.asarray(v)))] or [None]
            guesses.append(
                [0.0 if v is None else float(forward.inv(jnp.asarray(v))) for v in inside]
            )
    return [np.array(s) for s in itertools.product(*guesses)]


def _score(made: _Compiled, at: Vector, moved: tuple[float, float]) -> Callable[[Values], Values]:
    def score(x: Values) -> Values:
        rows = _padded((x - moved[0]) / moved[1])
        with float64():
            logs = np.asarray(made.log_prob(jnp.asarray(at), jnp.asarray(rows)))[: len(x)]
        return np.where(np.isnan(logs), -np.inf, logs) - math.log(moved[1])

    return score


def _padded(values: Values, *, fill: float | None = None) -> Padded:
    """Returns values repeated (or filled) to a power of two, so that a class is compiled a few times only."""
    size = max(_LEAST_ROWS, 2 ** math.ceil(math.log2(len(values))))
    out = np.full(size, values[0] if fill is None else fill)
    out[: len(values)] = values
    return out


def _notes(names: list[str], end: Stationary) -> tuple[str, ...]:
    notes = []
    extreme = [n for n, t in zip(names, end.at, strict=True) if abs(t) > 30.0]
    if end.bound.any() or (extreme and end.flat):
        held = ", ".join(extreme) or "a parameter"
        notes.append(
            f"{held} ran to the end of its range: a simpler family describes the rows as well"
        )
    elif end.flat:
        notes.append(
            "the parameters are not identified: others have the same likelihood to nine digits; "
            "a simpler family describes the rows as well"
        )
    return tuple(notes)


def _domain(cls: Any) -> Domain:
    support = cls.support
    if is_dependent(support):
        return Domain()
    if support is constraints.boolean:
        return Domain(0.0, 1.0, (True, True), integers=True)
    low = float(getattr(support, "lower_bound", -math.inf))
    high = float(getattr(support, "upper_bound", math.inf))
    integers = bool(support.is_discrete)
    word = type(support).__name__.lower()
    at_low = integers or "eq" in word or "nonnegative" in word or "circular" in word
    return Domain(low, high, (at_low, integers or "circular" in word), integers=integers)


def is_numpyro(thing: object) -> bool:
    """Whether something is a class of NumPyro's distributions."""
    return isinstance(thing, type) and issubclass(thing, NumPyroDistribution)


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

    def embed(vector: Vector, limit: float) -> Vector:
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
