"""NumPyro classes of scalars as families for maximum likelihood: gradients by JAX, steps by Newton."""

import inspect
import itertools
import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any

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


@lru_cache(maxsize=64)
def numpyro_family(cls: Any) -> ScalarFamily:
    """Returns a NumPyro class of scalars, of real, positive, unit or interval parameters, as a family."""
    maps = _maps(cls)
    loss, log_prob = _compiled(cls, maps)
    domain = _domain(cls)
    centred = {*maps} >= {"loc", "scale"} and cls.support is constraints.real

    def maximise(x: Values, weights: Values, near: Best | None = None, /) -> Best:
        moved = (frame(x, weights) if near is None else near.frame) if centred else (0.0, 1.0)
        z = (x - moved[0]) / moved[1]
        objective = _objective(loss, z, weights / weights.sum(), whole=domain.integers)
        starts = _starts(maps, z) if near is None or near.at is None else [near.at]
        end, spent = _climbed(objective, starts, cls.__name__)
        with float64():
            values = {
                n: float(f(t)) for (n, f), t in zip(maps.items(), jnp.asarray(end.at), strict=True)
            }
        if centred:
            values["loc"] = moved[0] + moved[1] * values["loc"]
            values["scale"] *= moved[1]
        q = as_distribution(cls(**values))
        assert q is not None

        def score(x: Values) -> Values:
            rows = _padded((x - moved[0]) / moved[1])
            with float64():
                logs = np.asarray(log_prob(jnp.asarray(end.at), jnp.asarray(rows)))[: len(x)]
            return np.where(np.isnan(logs), -np.inf, logs) - math.log(moved[1])

        return Best(q, _notes(list(maps), end), spent, end.at, moved, score)

    return ScalarFamily(cls.__name__, len(maps), domain, maximise)


def _maps(cls: Any) -> dict[str, Any]:
    """The maps from the whole line to where each parameter of a class may be."""
    accepted = inspect.signature(cls.__init__).parameters
    given = {n: c for n, c in cls.arg_constraints.items() if n in accepted}
    scalar = is_dependent(cls.support) or cls.support.event_dim == 0
    if not (given and scalar):
        raise UnsupportedError(
            f"{cls.__name__} is not a family of scalars with parameters of its own: give a class such as "
            "numpyro.distributions.Gamma"
        )
    return {name: _mapped(cls.__name__, name, c) for name, c in given.items()}


def _compiled(cls: Any, maps: dict[str, Any]) -> tuple[Any, Any]:
    """The mean of -log q with its gradient, of (parameters, rows, weights), and log q, of (parameters, rows)."""

    def log_prob(at: Any, x: Any) -> Any:
        values = {n: f(t) for (n, f), t in zip(maps.items(), at, strict=True)}
        return cls(**values, validate_args=False).log_prob(x)

    def loss(at: Any, x: Any, shares: Any) -> Any:
        # Rows without weight may have no density: 0 times infinity must not reach the gradient.
        return -jnp.sum(jnp.where(shares > 0.0, shares * log_prob(at, x), 0.0))

    return jax.jit(jax.value_and_grad(loss)), jax.jit(log_prob)


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


def _objective(
    loss: Callable[..., Any], z: Values, shares: Values, *, whole: bool
) -> Callable[[Vector], tuple[float, Vector]]:
    if whole:  # only the different ones
        z, index = np.unique(z, return_inverse=True)
        shares = np.bincount(index, shares)
    with float64():
        held = jnp.asarray(_padded(z)), jnp.asarray(_padded(shares, fill=0.0))

    def objective(at: Vector) -> tuple[float, Vector]:
        with float64():
            value, gradient = loss(jnp.asarray(at), *held)
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


def _starts(maps: dict[str, Any], z: Values) -> list[Vector]:
    """Returns unconstrained parameters to try: products of a few guesses for each."""
    middle, spread = float(np.mean(z)), float(np.std(z)) or 1.0
    size = abs(middle) + spread
    guesses = []
    with float64():
        for forward in maps.values():
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


def _padded(values: Values, *, fill: float | None = None) -> Padded:
    """Returns values repeated (or filled) to a power of two, so that a class is compiled a few times only."""
    size = max(_LEAST_ROWS, 2 ** math.ceil(math.log2(len(values))))
    out = np.full(size, values[0] if fill is None else fill)
    out[: len(values)] = values
    return out


def _notes(names: list[str], end: Stationary) -> tuple[str, ...]:
    extreme = [n for n, t in zip(names, end.at, strict=True) if abs(t) > 30.0]
    simpler = "a simpler family describes the rows as well"
    if end.bound.any() or (extreme and end.flat):
        held = ", ".join(extreme) or "a parameter"
        return (f"{held} ran to the end of its range: {simpler}",)
    if not end.flat:
        return ()
    return (
        "the parameters are not identified: others have the same likelihood to nine digits; "
        + simpler,
    )


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
