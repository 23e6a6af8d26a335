"""NumPyro distributions, evaluated in float64 whatever the caller's flag."""

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from numpyro.distributions import Distribution as NumPyroDistribution
from numpyro.distributions.constraints import Constraint, is_dependent
from numpyro.distributions.transforms import Transform
from numpyro.distributions.util import cholesky_of_inverse, lazy_property

from kullback.core.errors import InputError
from kullback.core.numerics import float64
from kullback.distributions.base import Array, Distribution, Foreign
from kullback.interop.library import Evaluator, Library
from kullback.interop.names import given
from kullback.interop.readers import normals_of, read_batch, read_one

#: Points are padded to one of these counts, so that a density is compiled a few times only.
_COUNTS = (64, 512, 4096, 32768)
_COVARIANCES = ("covariance_matrix", "scale_matrix")
_PRECISIONS = ("precision_matrix", "rate_matrix")


def read(thing: Any) -> Distribution | None:
    """Returns a NumPyro distribution as one of ours; None for any other object of NumPyro.

    Raises:
        InputError: it is a batch, it holds JAX tracers, or a parameter is out of range.
        UnsupportedError: it has no density that can be compared.
    """
    if not isinstance(thing, NumPyroDistribution):
        return None
    _check_concrete(thing)
    return read_one(thing, LIBRARY)


def _check_concrete(thing: Any) -> None:
    if any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(thing)):
        raise InputError(
            f"{LIBRARY.name(thing)} holds JAX tracers: kl_divergence returns numbers with errors "
            "and cannot be traced; inside jit, grad or vmap use the formulas of kullback.losses"
        )


def _array(value: Any) -> Array:
    return np.asarray(value).astype(np.float64)


def _evaluate(thing: Any) -> Evaluator:
    with float64():
        wide = _widen(thing, {})
    inside, density = _inside(wide), _padded(_traced(wide.log_prob))

    def log_prob(x: Array) -> Array:
        with float64():
            return np.where(inside(x), density(x), -np.inf)

    drawn = _traced(lambda key, count: wide.sample(key, (count,)), static=1)

    def sample(rng: np.random.Generator, n: int) -> Array:
        with float64():
            keys = [jax.random.key(int(rng.integers(2**32))) for _ in _pieces(n)]
            pairs = zip(_pieces(n), keys, strict=True)
            return np.concatenate([drawn(k, _padding(rows))[:rows] for rows, k in pairs])

    def quantile(u: Array) -> Array:
        with float64():
            return _array(wide.icdf(jnp.asarray(u)))

    return Evaluator(log_prob, sample if _can_sample(thing) else None, quantile)


def of_parameters(cls: type, names: tuple[str, ...]) -> Callable[[Foreign, list[float]], Foreign]:
    """Returns what evaluates members of a class by one compiled function of parameters and points.

    What is returned maps a member and the values of its parameters to the same member, which compiles
    nothing of its own: a search asks for thousands of members.
    """

    def density(values: Any, x: Any) -> Any:
        return cls(**dict(zip(names, values, strict=True)), validate_args=False).log_prob(x)

    def quantile(values: Any, u: Any) -> Any:
        return cls(**dict(zip(names, values, strict=True)), validate_args=False).icdf(u)

    compiled, inverted = _traced(density), _traced(quantile)

    def member(made: Foreign, values: list[float]) -> Foreign:
        region = made.region

        def log_prob(x: Array) -> Array:
            inside = (x >= region.low) & (x <= region.high)
            if region.discrete:
                inside &= x == np.floor(x)
            safe = np.where(inside, x, x[inside][0] if inside.any() else 0.0)
            with float64():
                parameters = np.asarray(values, dtype=np.float64)
                found = _padded(lambda rows: compiled(parameters, rows))(safe)
            return np.where(inside & ~np.isnan(found), found, -np.inf)

        def inverse(u: Array) -> Array:
            with float64():
                return inverted(np.asarray(values, dtype=np.float64), u)

        return replace(made, density=log_prob, inverse=made.inverse and inverse)

    return member


def _traced(fn: Callable[..., Any], *, static: int | None = None) -> Callable[..., Array]:
    """Returns a function compiled if it can be, otherwise called as it is.

    Args:
        fn: takes arrays.
        static: the position of an argument that is a plain number.
    """
    compiled, plain = jax.jit(fn, static_argnums=static), [False]

    def call(x: Any, *rest: int) -> Array:
        if not plain[0]:
            try:
                return _array(compiled(x, *rest))
            except jax.errors.JAXTypeError:
                plain[0] = True
        return _array(fn(x if rest else jnp.asarray(x), *rest))

    return call


def _pieces(n: int) -> list[int]:
    """n as a sum of numbers up to the largest count; at least one, perhaps 0."""
    whole, rest = divmod(n, _COUNTS[-1])
    return [_COUNTS[-1]] * whole + [rest] * (rest > 0 or n == 0)


def _padding(n: int) -> int:
    """The smallest count that holds n."""
    return next(c for c in _COUNTS if c >= n)


def _padded(density: Callable[[Array], Array]) -> Callable[[Array], Array]:
    """Returns a density that is only ever called with a few numbers of points."""

    def call(x: Array) -> Array:
        if not len(x):
            return np.zeros(x.shape[:1])
        out, start = [], 0
        for count in _pieces(len(x)):
            rows = x[start : start + count]
            rest = np.broadcast_to(rows[:1], (_padding(count) - count, *rows.shape[1:]))
            out.append(density(np.concatenate([rows, rest]))[:count])
            start += count
        return np.concatenate(out)

    return call


def _inside(wide: Any) -> Callable[[Array], Array]:
    """Returns a test of which events are in the support, (n, *batch), by NumPy.

    Not within the compiled density: the eigenvalues of a batch of matrices hang there.
    """
    support, batch = wide.support, tuple(wide.batch_shape)
    if support is None or is_dependent(support):
        return lambda x: np.ones(x.shape[: 1 + len(batch)], dtype=bool)

    def call(x: Array) -> Array:
        shape = (len(x), *batch)
        if not len(x):
            return np.ones(shape, dtype=bool)
        valid = np.asarray(support(x)).reshape(*shape, -1)
        return np.asarray(valid.all(axis=-1))

    return call


def _can_sample(thing: Any) -> bool:
    base = getattr(thing, "base_dist", None)
    own = type(thing).sample is not NumPyroDistribution.sample
    return own and (base is None or _can_sample(base))


def _widen(value: Any, seen: dict[int, Any]) -> Any:
    """Returns a copy with every float32 array in it as the float64 array of the same numbers.

    A float32 parameter would otherwise meet the others (log rate, lgamma) before it meets x.
    """
    if id(value) in seen:
        return seen[id(value)]
    if isinstance(value, (np.ndarray, np.generic, jax.Array)):
        floating = jnp.issubdtype(value.dtype, jnp.floating)
        return jnp.asarray(_array(value)) if floating else value
    if isinstance(value, (list, tuple)) and type(value) in (list, tuple):
        return type(value)(_widen(v, seen) for v in value)
    if isinstance(value, dict):
        return {k: _widen(v, seen) for k, v in value.items()}
    if isinstance(value, (NumPyroDistribution, Transform, Constraint)):
        # A constraint without parameters is compared by identity, and stays the same object.
        return _widen_fields(value, seen) if vars(value) else value
    if jax.tree_util.all_leaves([value]):
        return value
    return jax.tree.map(lambda leaf: _widen(leaf, seen), value)


def _widen_fields(value: Any, seen: dict[int, Any]) -> Any:
    new = copy.copy(value)
    seen[id(value)] = new
    kept = getattr(type(value), "arg_constraints", {})
    for name, field in list(vars(value).items()):
        if isinstance(getattr(type(value), name, None), lazy_property) and name not in kept:
            # Computed from the narrow parameters: it is computed again from the wide ones.
            del vars(new)[name]
        else:
            vars(new)[name] = _widen(field, seen)
    if isinstance(value, NumPyroDistribution):
        vars(new)["_validate_args"] = False
        _derive_root(value, new)
    return new


def _derive_root(value: Any, new: Any) -> None:
    """Computes a Cholesky factor again from the matrix that was given."""
    if "scale_tril" not in vars(value):
        return
    name, _ = given(value, [*_COVARIANCES, *_PRECISIONS, "scale_tril"])
    if name in _COVARIANCES:
        new.scale_tril = jnp.linalg.cholesky(vars(new)[name])
    elif name in _PRECISIONS:
        new.scale_tril = cholesky_of_inverse(vars(new)[name])


def _apply(transforms: list[Any], x: Array) -> Array:
    with float64():
        y = jnp.asarray(x)
        for t in transforms:
            y = _widen(t, {})(y)
        return _array(y)


LIBRARY = Library(
    "numpyro.distributions", _array, _evaluate, _apply, remedy=lambda axes: f".to_event({axes})"
)


# Batches.


def shape_of(thing: Any) -> tuple[int, ...]:
    """Returns the shape of a batch; () for one distribution."""
    return tuple(int(n) for n in getattr(thing, "batch_shape", ()))


def normals(thing: Any) -> tuple[Array, Array] | None:
    """Returns loc and scale of a batch of normals; None for others."""
    return normals_of(thing, LIBRARY)


def each(thing: Any) -> Any:
    """Returns an array of our distributions, of the shape of the batch."""
    return read_batch(thing, LIBRARY)
