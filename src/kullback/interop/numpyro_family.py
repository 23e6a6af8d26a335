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
from numpyro.distributions import biject_to, constraints
from numpyro.distributions.constraints import is_dependent

from kullback.core.errors import InputError, UnsupportedError
from kullback.core.numerics import float64
from kullback.distributions.scalar import (
    Best,
    Domain,
    ScalarFamily,
    Values,
    Vector,
    frame,
)
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
    maps = {name: _mapped(cls.__name__, name, c) for name, c in given.items()}

    def log_prob(at: Any, x: Any) -> Any:
        values = {n: f(t) for (n, f), t in zip(maps.items(), at, strict=True)}
        return cls(**values, validate_args=False).log_prob(x)

    def loss(at: Any, x: Any, shares: Any) -> Any:
        # Rows without weight may have no density: 0 times infinity must not reach the gradient.
        return -jnp.sum(jnp.where(shares > 0.0, shares * log_prob(at, x), 0.0))

    return _Compiled(cls, maps, jax.jit(jax.value_and_grad(loss)), jax.jit(log_prob))


def _mapped(family: str, name: str, constraint: Any) -> Any:
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
