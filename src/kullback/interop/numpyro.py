"""NumPyro distributions, evaluated in float64 whatever the caller's flag."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any, ClassVar, final

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
from kullback.interop.jax_function import COUNTS, count, in_counts
from kullback.interop.library import Library
from kullback.interop.readers import batches, read_one


def read(thing: Any) -> Distribution | None:
    """Returns a NumPyro distribution as one of ours; None for any other object of NumPyro."""
    if not isinstance(thing, NumPyroDistribution):
        return None
    if any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(thing)):
        raise InputError(
            f"{LIBRARY.name(thing)} holds JAX tracers: kl_divergence returns numbers with errors "
            "and cannot be traced; inside jit, grad or vmap use the formulas of kullback.losses"
        )
    return read_one(thing, LIBRARY)


@final
class _NumPyro(Library):
    package: ClassVar[str] = "numpyro.distributions"
    base: ClassVar[type] = NumPyroDistribution
    parts: ClassVar[tuple[type, ...]] = (NumPyroDistribution, Transform, Constraint)
    remedy: ClassVar[str] = ".to_event({})"
    root: ClassVar[str] = "scale_tril"

    def array(self, value: Any) -> Array:
        return np.asarray(value).astype(np.float64)

    def own(self, x: Array) -> Any:
        return jnp.asarray(x)

    def precise(self) -> AbstractContextManager[object]:
        return float64()

    def wide(self, value: Any) -> Any:
        if isinstance(value, (np.ndarray, np.generic, jax.Array)):
            floating = jnp.issubdtype(value.dtype, jnp.floating)
            return jnp.asarray(self.array(value)) if floating else value
        if jax.tree_util.all_leaves([value]):
            return value
        return jax.tree.map(self.wide, value)

    def settle(self, value: Any, new: Any) -> None:
        """Forgets what was computed from the narrow parameters: it is computed again from the wide ones."""
        kept = getattr(type(value), "arg_constraints", {})
        for name in vars(value):
            if isinstance(getattr(type(value), name, None), lazy_property) and name not in kept:
                del vars(new)[name]

    def cholesky(self, matrix: Any, *, inverse: bool) -> Any:
        return cholesky_of_inverse(matrix) if inverse else jnp.linalg.cholesky(matrix)

    def density(self, wide: Any) -> Callable[[Array], Array]:
        inside, compiled = _inside(wide), _traced(wide.log_prob)

        def log_prob(x: Array) -> Array:
            with float64():
                return np.where(inside(x), _padded(compiled, x), -np.inf)

        return log_prob

    def sampler(self, wide: Any) -> Callable[[np.random.Generator, int], Array]:
        drawn = _traced(lambda key, count: wide.sample(key, (count,)), static=1)

        def sample(rng: np.random.Generator, n: int) -> Array:
            whole, rest = divmod(n, COUNTS[-1])
            pieces = [COUNTS[-1]] * whole + [rest] * (rest > 0 or n == 0)
            with float64():
                keys = [jax.random.key(int(rng.integers(2**32))) for _ in pieces]
                pairs = zip(pieces, keys, strict=True)
                return np.concatenate([drawn(key, count(rows))[:rows] for rows, key in pairs])

        return sample


LIBRARY = _NumPyro()

shape_of, normals, each = batches(LIBRARY)


def of_parameters(cls: type, names: tuple[str, ...]) -> Callable[[Foreign, list[float]], Foreign]:
    """Returns what evaluates members of a class by one compiled function of parameters and points.

    What is returned maps a member and the values of its parameters to the same member, which compiles
    nothing of its own: a search asks for thousands of members.
    """

    def made_of(values: Any) -> Any:
        return cls(**dict(zip(names, values, strict=True)), validate_args=False)

    compiled = _traced(lambda values, x: made_of(values).log_prob(x))
    inverted = _traced(lambda values, u: made_of(values).icdf(u))

    def member(made: Foreign, values: list[float]) -> Foreign:
        region = made.region

        def log_prob(x: Array) -> Array:
            inside = (x >= region.low) & (x <= region.high)
            if region.discrete:
                inside &= x == np.floor(x)
            safe = np.where(inside, x, x[inside][0] if inside.any() else 0.0)
            with float64():
                parameters = np.asarray(values, dtype=np.float64)
                found = _padded(lambda rows: compiled(parameters, rows), safe)
            return np.where(inside & ~np.isnan(found), found, -np.inf)

        def quantile(u: Array) -> Array:
            with float64():
                return inverted(np.asarray(values, dtype=np.float64), u)

        return replace(made, density=log_prob, rough_quantile=made.rough_quantile and quantile)

    return member


def _traced(fn: Callable[..., Any], *, static: int | None = None) -> Callable[..., Array]:
    """Returns a function compiled if it can be, otherwise called as it is; argument `static` is a plain number."""
    compiled, plain = jax.jit(fn, static_argnums=static), [False]

    def call(x: Any, *rest: int) -> Array:
        if not plain[0]:
            try:
                return LIBRARY.array(compiled(x, *rest))
            except jax.errors.JAXTypeError:
                plain[0] = True
        return LIBRARY.array(fn(x if rest else jnp.asarray(x), *rest))

    return call


def _padded(density: Callable[[Array], Array], x: Array) -> Array:
    return in_counts(density, x) if len(x) else np.zeros(x.shape[:1])


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
