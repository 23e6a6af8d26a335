"""What NumPyro and torch must offer so that one reader serves both; their own densities and supports."""

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any, ClassVar, Literal

import numpy as np

from kullback.core.errors import InputError, UnsupportedError
from kullback.distributions.base import Array, Foreign, Support

#: Alternatives of which an object is made from one, a Cholesky factor being computed of it.
COVARIANCES = ("covariance_matrix", "scale_matrix")
PRECISIONS = ("precision_matrix", "rate_matrix")
#: An object array of distributions, of an object's batch_shape.
Batch = Any


class Library(ABC):
    """A library whose distributions have a batch_shape and an event_shape, evaluated in float64."""

    #: Where its classes live, and the class of its distributions.
    package: ClassVar[str]
    base: ClassVar[type]
    #: Classes whose objects are copied with the arrays in them, if they have any.
    parts: ClassVar[tuple[type, ...]]
    #: What makes a batch of some axes one distribution, as a line to type; where a Cholesky factor is stored.
    remedy: ClassVar[str]
    root: ClassVar[str]

    @abstractmethod
    def array(self, value: Any) -> Array:
        """Returns a parameter as a float64 array."""

    @abstractmethod
    def own(self, x: Array) -> Any:
        """Returns a float64 array as one of the library's."""

    @abstractmethod
    def precise(self) -> AbstractContextManager[object]:
        """Returns a context in which it computes in float64, and without gradients."""

    @abstractmethod
    def wide(self, value: Any) -> Any:
        """Returns what is no container or part of the library's, each number in it as the float64 of its value."""

    @abstractmethod
    def settle(self, value: Any, new: Any) -> None:
        """Computes again, or forgets, what a copy in float64 has of the narrow original."""

    @abstractmethod
    def cholesky(self, matrix: Any, *, inverse: bool) -> Any:
        """Returns the Cholesky factor of a matrix, or of its inverse."""

    @abstractmethod
    def density(self, wide: Any) -> Callable[[Array], Array]:
        """Returns the log densities of events (n, *batch, *event), -inf outside the support, as (n, *batch)."""

    @abstractmethod
    def sampler(self, wide: Any) -> Callable[[np.random.Generator, int], Array]:
        """Returns what draws n events, (n, *batch, *event)."""

    def owns(self, cls: type) -> bool:
        """Whether a class is the library's own, not a user's."""
        return cls.__module__.startswith(self.package)

    def lookup(self, thing: Any, table: dict[str, Any]) -> Any:
        """Returns the row of an object's class; None if it, or a subclass, changes the density."""
        for cls in type(thing).__mro__:
            if self.owns(cls) and cls.__name__ in table:
                same = getattr(type(thing), "log_prob", None) is getattr(cls, "log_prob", None)
                return table[cls.__name__] if same else None
        return None

    def name(self, thing: Any) -> str:
        """How an object is called in messages."""
        cls = type(thing)
        return f"{self.package}.{cls.__name__}" if self.owns(cls) else cls.__name__

    def check_single(self, thing: Any) -> None:
        """Raises InputError if the object is a batch of distributions."""
        shape = tuple(thing.batch_shape)
        if shape:
            count = math.prod(shape)
            raise InputError(
                f"{self.name(thing)} has batch_shape {shape}: it is {count} "
                f"distribution{'' if count == 1 else 's'}; make them one with "
                f"{self.remedy.format(len(shape))} (independent coordinates), or index one"
            )

    def widened(self, value: Any, seen: dict[int, Any] | None = None) -> Any:
        """Returns a copy with every number in it in float64, apart from any graph.

        A float32 parameter would otherwise meet the others (log rate, lgamma) before it meets x.
        """
        seen = {} if seen is None else seen
        if id(value) in seen:
            return seen[id(value)]
        if type(value) in (list, tuple):
            return type(value)(self.widened(v, seen) for v in value)
        if isinstance(value, dict):
            return {k: self.widened(v, seen) for k, v in value.items()}
        if not isinstance(value, self.parts):
            return self.wide(value)
        if not vars(value):  # a constraint without parameters is compared by identity
            return value
        new = seen[id(value)] = copy.copy(value)
        for name, field in list(vars(value).items()):
            vars(new)[name] = self.widened(field, seen)
        if isinstance(value, self.base):
            vars(new)["_validate_args"] = False
        self.settle(value, new)
        if self.root in vars(value):
            given, _ = parameter_of(value, [*COVARIANCES, *PRECISIONS, "scale_tril"])
            if given != "scale_tril":
                matrix = vars(new)[given]
                vars(new)[self.root] = self.cholesky(matrix, inverse=given in PRECISIONS)
        return new

    def applied(self, transforms: list[Any], x: Array) -> Array:
        """Returns points after transforms, in order."""
        with self.precise():
            y = self.own(x)
            for t in transforms:
                y = self.widened(t)(y)
            return self.array(y)


def parameter_of(thing: Any, names: list[str]) -> tuple[str, Any]:
    """Returns which of alternative parameters an object was made from, and its value.

    The others are computed when asked for and stored after it, in the precision of the object.
    """
    for owner in (thing, getattr(thing, "_categorical", None), getattr(thing, "base_dist", None)):
        stored = vars(owner) if owner is not None else {}
        for name in stored:
            if name in names:
                return name, stored[name]
    name = next(n for n in names if hasattr(thing, n))
    return name, getattr(thing, name)


#: Those whose events lie on a surface, whatever their `support` says: the logarithms of a simplex.
_SURFACES = {"ExpRelaxedCategorical", "ExpRelaxedOneHotCategorical"}


def foreign(thing: Any, library: Library) -> Batch:
    """Returns the distributions of a batch, each behind its own log density."""
    name, batch, event = library.name(thing), tuple(thing.batch_shape), tuple(thing.event_shape)
    with library.precise():
        wide = library.widened(thing)
    density, draw = library.density(wide), library.sampler(wide)
    quantile, samples = _quantile(wide, library, batch, event), _can_sample(thing, library.base)
    try:
        constraint = thing.support
    except (NotImplementedError, AttributeError, ValueError):
        constraint = None

    def spread(x: Array) -> Array:
        """Gives every distribution of the batch the same points."""
        points = np.asarray(x, dtype=np.float64).reshape(len(x), *(1 for _ in batch), *event)
        return np.broadcast_to(points, (len(x), *batch, *event))

    def one(index: tuple[int, ...]) -> Foreign:
        pick, support = (slice(None), *index), region(constraint, event, index, name)
        if type(thing).__name__ in _SURFACES:
            support = replace(support, kind="surface")
        flat = (-1,) if support.dimension else ()

        def log_prob(x: Array) -> Array:
            try:
                return density(spread(x))[pick]
            except NotImplementedError as error:
                raise UnsupportedError(f"{name} cannot compute its log density: {error}") from None

        return Foreign(
            name,
            support,
            log_prob,
            sampler=(lambda rng, n: draw(rng, n)[pick].reshape(n, *flat)) if samples else None,
            rough_quantile=None if quantile is None else lambda u, at=quantile: at(spread(u))[pick],
        )

    return built(batch, one)


def built(batch: tuple[int, ...], build: Callable[[tuple[int, ...]], Any]) -> Batch:
    """Returns an object array of what is built for each index."""
    out = np.empty(batch, dtype=object)
    for index in np.ndindex(*batch):
        out[index] = build(index)
    return out


def _can_sample(thing: Any, base: type) -> bool:
    inner, ways = getattr(thing, "base_dist", None), ("sample", "rsample")
    own = any(getattr(type(thing), w) is not getattr(base, w) for w in ways if hasattr(base, w))
    return own and (inner is None or _can_sample(inner, base))


def _quantile(
    wide: Any, library: Library, batch: tuple[int, ...], event: tuple[int, ...]
) -> Callable[[Array], Array] | None:
    """The quantile function, if it is one: many objects have the method but not the formula."""

    def quantile(u: Array) -> Array:
        with library.precise():
            return library.array(wide.icdf(library.own(u)))

    if event:
        return None
    levels = np.broadcast_to(np.reshape([0.25, 0.5], (2, *(1 for _ in batch))), (2, *batch))
    try:
        values = quantile(levels)
    except Exception:  # noqa: BLE001 - whatever a foreign formula raises, there is none
        return None
    return quantile if values.shape == levels.shape and np.isfinite(values).all() else None


# Where a foreign distribution lives: the constraints of NumPyro and torch as supports.

_KINDS: dict[str, Literal["simplex", "sphere", "one_hot", "matrix"]] = {
    "_Simplex": "simplex", "_Sphere": "sphere", "_OneHot": "one_hot", "_PositiveDefinite": "matrix",
    "_PositiveSemiDefinite": "matrix", "_PositiveSemidefinite": "matrix", "_CorrMatrix": "matrix",
    "_CorrCholesky": "matrix", "_LowerCholesky": "matrix", "_LowerTriangular": "matrix", "_Symmetric": "matrix",
    "_Square": "matrix",
}  # fmt: skip


def region(
    constraint: Any, event_shape: tuple[int, ...], index: tuple[int, ...], what: str
) -> Support:
    """Returns the support of one distribution of a batch, from a constraint of NumPyro or torch, or None."""
    while hasattr(constraint, "base_constraint"):  # the constraint on one coordinate
        constraint = constraint.base_constraint
    names = [cls.__name__ for cls in type(constraint).__mro__]
    if 0 in event_shape:
        raise UnsupportedError(
            f"{what} has events of shape {event_shape}: there is nothing to compare"
        )
    if "_ZeroSum" in names:
        raise UnsupportedError(
            f"{what}: its events sum to zero, so that its density is one on a plane and no other "
            "distribution compares with it; drop the last coordinate and use a MultivariateNormal"
        )
    discrete = bool(getattr(constraint, "is_discrete", False))
    low, high = _bound(constraint, "lower", index), _bound(constraint, "upper", index)
    if event_shape == ():
        if "_Boolean" in names:
            return Support("integers", 0.0, 1.0)
        return Support("integers" if discrete else "interval", low, high)
    dimension = math.prod(event_shape)
    for name in names:
        if name in _KINDS:
            return Support(_KINDS[name], dimension=dimension)
    if "_Multinomial" in names:
        return Support("counts", 0.0, high, dimension)
    return Support("counts" if discrete else "real", dimension=dimension)


def _bound(constraint: Any, side: Literal["lower", "upper"], index: tuple[int, ...]) -> float:
    value = getattr(constraint, f"{side}_bound", None)
    if value is None:
        return -math.inf if side == "lower" else math.inf
    array = np.asarray(value, dtype=np.float64)
    # Bounds have the trailing axes of the batch; an axis of length 1 stands for all of it.
    own = index[len(index) - array.ndim :] if array.ndim else ()
    return float(array[tuple(0 if n == 1 else i for i, n in zip(own, array.shape, strict=True))])
