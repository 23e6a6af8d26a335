"""A user's parameters, constrained and named, as one vector over the whole space."""

import json
import math
import sys
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, final

import numpy as np
from jaxtyping import Float

from kullback.core.errors import InputError
from kullback.interop.bijections import REAL, Interval, Support, read_support, words
from kullback.interop.examples import Build, apart, number_array
from kullback.targets import Unconstrained

Array = np.ndarray
#: The name of a single parameter that has none.
BARE = "x"


@final
@dataclass(frozen=True, eq=False)
class Leaf:
    """A parameter and its coordinates.

    Attributes:
        name: dotted, such as "layer.weight".
        shape: of one value.
        support: where the values lie.
        free_shape: the shape of its coordinates.
        offset: where these begin in u.
    """

    name: str
    shape: tuple[int, ...]
    support: Support
    free_shape: tuple[int, ...]
    offset: int

    @property
    def size(self) -> int:
        """How many coordinates of u are its own."""
        return math.prod(self.free_shape)

    @property
    def coordinates(self) -> tuple[str, ...]:
        """The names of its coordinates, such as "theta[2,0]"."""
        if not self.free_shape:
            return (self.name,)
        places = (",".join(map(str, i)) for i in np.ndindex(*self.free_shape))
        return tuple(f"{self.name}[{place}]" for place in places)

    def take(self, u: Any) -> Any:
        """Returns its own coordinates in u, of shape (..., *free_shape)."""
        own = u[..., self.offset : self.offset + self.size]
        return own.reshape((*u.shape[:-1], *self.free_shape))

    def unconstrain(self, x: Array) -> Array:
        """Returns the coordinates (n, size) of n values.

        Raises:
            InputError: values of another shape, or outside the support; those on an end of an
                interval, where rounding puts them, are inside.
        """
        if x.shape[1:] != self.shape:
            raise InputError(f"{self.name} has shape {x.shape}; it must be (n, *{self.shape})")
        inside = self._contains(x, closed=True)
        if not inside.all():
            raise InputError(
                f"{self.name} = {x[~inside][0]} is not in {self.support.describe()}"
                f" ({int((~inside).sum())} of {len(x)} are not)"
            )
        return self.support.unconstrain(x).reshape(len(x), -1)

    def check_example(self, x: Array) -> None:
        """Raises InputError if a value of its shape is not inside the support."""
        if not np.isfinite(x).all():
            raise InputError(f"the example has {self.name} = {x}: it must be finite")
        if not self._contains(x[None], closed=False).all():
            raise InputError(
                f"the example has {self.name} = {x}, which is not inside "
                f"{self.support.describe()}: give an example there, or another support"
            )

    def _contains(self, x: Array, *, closed: bool) -> Array:
        if self.support is REAL:
            return np.ones(len(x), dtype=bool)
        inside = self.support.contains(x)
        if closed and isinstance(self.support, Interval):
            inside |= (x == self.support.low) | (x == self.support.high)
        return np.all(inside.reshape(len(x), -1), axis=1)


@final
@dataclass(frozen=True, eq=False)
class ParameterLayout:
    """The user's parameters as a vector u of R^d, and back.

    Attributes:
        leaves: the parameters, in the user's order.
        start: the example as u.
        bare: whether there is a single parameter without a name, here called "x".
        build: what makes an event of its parts; None after loading: events are then dicts by name.
    """

    leaves: tuple[Leaf, ...]
    start: Float[np.ndarray, " d"]
    bare: bool
    build: Build | None = None

    @property
    def dimension(self) -> int:
        """d, the number of coordinates."""
        return sum(leaf.size for leaf in self.leaves)

    @property
    def coordinates(self) -> tuple[str, ...]:
        """The names of the coordinates of u."""
        return tuple(name for leaf in self.leaves for name in leaf.coordinates)

    @property
    def is_real(self) -> bool:
        """Whether u is the user's parameters themselves, put one after another."""
        return all(leaf.support is REAL for leaf in self.leaves)

    @property
    def plain(self) -> Literal["scalar", "vector"] | None:
        """What an event is where it is u itself: a number, or a vector; None for anything else."""
        if not (self.is_real and self.bare):
            return None
        shape = self.leaves[0].shape
        return "scalar" if shape == () else "vector" if len(shape) == 1 else None

    def marked(self, example: object) -> Hashable:
        """Returns what tells these parameters from others: their places in an example, shapes and supports."""
        structure = sys.modules["jax"].tree.structure(example)
        return structure, tuple((leaf.name, leaf.shape, leaf.support) for leaf in self.leaves)

    def constrain_one(self, u: Any) -> Any:
        """Returns an event as the user's function takes it, from u (d,); traceable."""
        return self.assemble(self.constrain(u, _jnp()))

    def assemble(self, values: Mapping[str, Any]) -> Any:
        """Returns an event as the user's function takes it, from its parts by name."""
        if self.build is None:
            return values[BARE] if self.bare else dict(values)
        return self.build([values[leaf.name] for leaf in self.leaves])

    def take_apart(self, event: Any) -> dict[str, Any]:
        """Returns the parts of an event by name, whatever their shapes."""
        if self.bare:
            return {BARE: event}
        parts, _ = apart(event)
        return dict(parts)

    def log_jacobian_one(self, u: Any) -> Any:
        """Returns log |d constrain(u) / du| at u (d,); traceable."""
        return self.log_jacobian(u, _jnp())

    def constrain(self, u: Float[Any, "*n d"], xp: Any = np) -> dict[str, Any]:
        """Returns n events by name, each of shape (n, *shape)."""
        return {leaf.name: leaf.support.constrain(leaf.take(u), xp) for leaf in self.leaves}

    def log_jacobian(self, u: Float[Any, "*n d"], xp: Any = np) -> Float[Any, " *n"]:
        """Returns log |d constrain(u) / du| at n points."""
        total = xp.zeros(u.shape[:-1], u.dtype)
        for leaf in self.leaves:
            if leaf.support is not REAL and len(u):
                part = leaf.support.log_jacobian(leaf.take(u), xp)
                total = total + part.reshape(*u.shape[:-1], -1).sum(axis=-1)
        return total

    def unconstrain(self, values: Mapping[str, Array]) -> Float[np.ndarray, "n d"]:
        """Returns n events by name as u.

        Raises:
            InputError: a parameter is missing, of another shape, or outside its support.
        """
        listed = in_order(values, [leaf.name for leaf in self.leaves])
        parts = [leaf.unconstrain(x) for leaf, x in zip(self.leaves, listed, strict=True)]
        return np.concatenate(parts, axis=1)

    def target(
        self,
        evaluate: Callable[[Array], tuple[Array, Array]],
        *,
        gradient: Literal["automatic", "given", "differences"],
        origin: str,
    ) -> Unconstrained:
        """Returns these parameters with the values and gradients of a log density of u."""
        return Unconstrained(
            dimension=self.dimension,
            evaluate=evaluate,
            constrain=self.constrain,
            log_jacobian=self.log_jacobian,
            unconstrain=self.unconstrain,
            start=self.start,
            coordinates=self.coordinates,
            bare=self.bare,
            gradient=gradient,
            origin=origin,
            layout=self.saved,
            plain=self.plain,
        )

    @property
    def saved(self) -> dict[str, Any] | None:
        """What `from_spec` needs to build this again, as plain JSON; None if an object of NumPyro's is a support."""
        known = [words(leaf.support) for leaf in self.leaves]
        if None in known:
            return None
        rows = [
            {"name": leaf.name, "shape": list(leaf.shape), "support": word}
            for leaf, word in zip(self.leaves, known, strict=True)
        ]
        return {"bare": self.bare, "leaves": rows, "start": self.start.tolist()}


def in_order(values: Mapping[str, Any], names: Sequence[str]) -> list[Array]:
    """Returns values in the order of names."""
    missing = [n for n in names if n not in values]
    if missing:
        raise InputError(f"no values of {', '.join(missing)}; there are {', '.join(values)}")
    return [np.asarray(values[n], dtype=np.float64) for n in names]


def nan_words(data: Any, counted: Array | bool = True) -> str:  # noqa: FBT001, FBT002 - a mask
    """Returns how many NaN there are among data that count, and the first's index; "" for none."""
    array = np.asarray(data)
    if array.dtype.kind != "f":
        return ""
    bad = np.argwhere(np.isnan(array) & np.broadcast_to(counted, array.shape))
    return (
        f"{len(bad)} NaN, first at index {', '.join(map(str, bad[0])) or '()'}" if len(bad) else ""
    )


def layout(example: object, support: object = None) -> ParameterLayout:
    """Returns the parameters of an example, with their supports, as a vector over the whole space.

    Args:
        example: an event inside the support: a number, an array, or a dict, tuple, list or other
            JAX pytree of these. A list of numbers is an array.
        support: for all parameters or in a dict by (dotted) name, a name standing for all that is
            under it: a word ("real", "positive", "unit", "simplex", ...), a pair (low, high) with
            infinite ends allowed, a NumPyro constraint, or None for real.

    Raises:
        InputError: the example is not made of finite numbers, or is outside the support.
        UnsupportedError: there is no bijection onto a support.

    Example:
        >>> parts = layout({"mu": 0.0, "sd": [1.0, 2.0]}, {"sd": "positive"})
        >>> parts.coordinates
        ('mu', 'sd[0]', 'sd[1]')
        >>> parts.constrain(np.zeros((1, 3)))
        {'mu': array([0.]), 'sd': array([[1., 1.]])}
    """
    parts, build = apart(example)
    bare = [name for name, _ in parts] == [""]
    names = [BARE] if bare else [name for name, _ in parts]
    values = [number_array(v, name) for (_, v), name in zip(parts, names, strict=True)]
    _check_names(names, values)
    chosen = _by_name(support, names)
    leaves = _leaves([(n, v.shape, chosen[n]) for n, v in zip(names, values, strict=True)])
    for leaf, value in zip(leaves, values, strict=True):
        leaf.check_example(value)
    start = np.concatenate(
        [leaf.unconstrain(v[None])[0] for leaf, v in zip(leaves, values, strict=True)]
    )
    result = ParameterLayout(tuple(leaves), start, bare, build)
    _check_start(result, values)
    return result


def from_shapes(
    shapes: Mapping[str, tuple[int, ...]], supports: Mapping[str, object]
) -> ParameterLayout:
    """Returns parameters of given shapes and supports, by name, that start where u = 0."""
    leaves = _leaves([(name, tuple(shape), supports.get(name)) for name, shape in shapes.items()])
    return ParameterLayout(tuple(leaves), np.zeros(sum(leaf.size for leaf in leaves)), bare=False)


def from_spec(spec: Mapping[str, Any]) -> ParameterLayout:
    """Returns the layout that `ParameterLayout.saved` described."""
    try:
        rows = [(r["name"], tuple(map(int, r["shape"])), r["support"]) for r in spec["leaves"]]
        leaves = _leaves(rows)
        start = np.array(spec["start"], dtype=np.float64)
        result = ParameterLayout(tuple(leaves), start, bool(spec["bare"]))
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"this is not a description of parameters: {json.dumps(spec, default=str)[:200]} "
            f"({type(error).__name__}: {error})"
        ) from None
    if start.shape != (result.dimension,):
        raise InputError(f"start has shape {start.shape}, but d = {result.dimension}")
    return result


def _leaves(rows: list[tuple[str, tuple[int, ...], object]]) -> list[Leaf]:
    leaves: list[Leaf] = []
    offset = 0
    for name, shape, given in rows:
        support = read_support(given, name)
        free = _free_shape(support, shape, name)
        leaves.append(Leaf(name, shape, support, free, offset))
        offset += math.prod(free)
    return leaves


def _free_shape(support: Support, shape: tuple[int, ...], name: str) -> tuple[int, ...]:
    if isinstance(support, Interval):
        return shape
    axes = support.transform.codomain.event_dim
    if len(shape) < axes or (axes == 2 and shape[-1] != shape[-2]):
        raise InputError(
            f"{name} has shape {shape}, but {support.describe()} is one of "
            f"{'vectors' if axes == 1 else 'square matrices'}"
        )
    return tuple(support.transform.inverse_shape(shape))


def _by_name(support: object, names: list[str]) -> dict[str, object]:
    """Returns the support of each parameter, from one for all or from a dict."""
    if not isinstance(support, Mapping):
        return dict.fromkeys(names, support)
    out: dict[str, object] = {**dict.fromkeys(names)}
    for key, chosen in sorted(support.items(), key=lambda item: len(str(item[0]))):
        under = [n for n in names if n == key or n.startswith(f"{key}.")]
        if not under:
            raise InputError(
                f"there is a support for {key!r}, but the example has only {', '.join(names)}"
            )
        out.update(dict.fromkeys(under, chosen))
    return out


def _check_names(names: list[str], values: list[Array]) -> None:
    if sum(v.size for v in values) == 0:
        raise InputError("the example has no numbers in it: there is nothing to fit")
    double = next((n for n in names if names.count(n) > 1), None)
    if double is not None:
        raise InputError(f"two parameters of the example are called {double!r}; rename one")


def _check_start(result: ParameterLayout, values: list[Array]) -> None:
    """Raises InputError if the example is so near an end that the way back is lost."""
    if result.is_real:
        return
    back = result.constrain(result.start[None])
    for leaf, value in zip(result.leaves, values, strict=True):
        if not np.allclose(back[leaf.name][0], value, rtol=1e-5, atol=1e-5 * np.abs(value).max()):
            raise InputError(
                f"the example has {leaf.name} = {value}, on the edge of "
                f"{leaf.support.describe()}: give an example inside"
            )


def _jnp() -> Any:
    """JAX's arrays, for points that it traces: it is loaded then."""
    return sys.modules["jax"].numpy


# Gradients over a user's parameters as gradients over the whole space.


def pullback(parts: ParameterLayout) -> Callable[[Array, Array], Array]:
    """Returns the map from gradients over events to those over u, the Jacobian's part added.

    The map takes points u (n, d) and gradients (n, e) of a density over events, these being the
    parameters one after another, and gives (n, d). It costs nothing where all parameters are real.
    """
    if parts.is_real:
        return lambda u, slopes: slopes

    width = parts.dimension
    sizes = [math.prod(leaf.shape) for leaf in parts.leaves]
    ends = np.cumsum(sizes)

    def pulled(u: Array, slopes: Array) -> Array:
        out = np.empty((len(u), width))
        for leaf, size, end in zip(parts.leaves, sizes, ends, strict=True):
            own = slice(leaf.offset, leaf.offset + leaf.size)
            part = slopes[:, end - size : end]
            if isinstance(leaf.support, Interval):
                rate, drift = leaf.support.slopes(u[:, own])
                out[:, own] = part * rate + drift
            else:
                out[:, own] = leaf.support.pulled(u[:, own].reshape(-1, *leaf.free_shape), part)
        return out

    return pulled
