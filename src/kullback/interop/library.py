"""What NumPyro and torch must offer so that one reader serves both; their own densities and supports."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal, final

import numpy as np

from kullback.core.errors import InputError, UnsupportedError
from kullback.distributions.base import Array, Distribution, Foreign, Support


@final
@dataclass(frozen=True)
class Evaluator:
    """A distribution object as functions of float64 arrays.

    Attributes:
        log_prob: events of shape (n, *batch, *event) to log densities of shape (n, *batch), -inf
            outside the support.
        sample: a generator and n to draws of shape (n, *batch, *event); None if it cannot.
        quantile: levels of shape (n, *batch) to quantiles of that shape; None if unknown.
    """

    log_prob: Callable[[Array], Array]
    sample: Callable[[np.random.Generator, int], Array] | None
    quantile: Callable[[Array], Array] | None


@final
@dataclass(frozen=True)
class Library:
    """A library whose distributions have a batch_shape and an event_shape.

    Attributes:
        package: where its classes live.
        array: a parameter as a float64 array.
        evaluate: a distribution object as functions.
        apply: transforms, in order, applied to points.
        remedy: what makes a batch of the given number of axes one distribution, as a line to type.
    """

    package: str
    array: Callable[[Any], Array]
    evaluate: Callable[[Any], Evaluator]
    apply: Callable[[list[Any], Array], Array]
    remedy: Callable[[int], str]

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
                f"{self.remedy(len(shape))} (independent coordinates), or index one"
            )


#: Those whose events lie on a surface, whatever their `support` says: the logarithms of a simplex.
_SURFACES = {"ExpRelaxedCategorical", "ExpRelaxedOneHotCategorical"}

_MIDDLE = np.array([0.25, 0.5])


def foreign(thing: Any, library: Library) -> list[Distribution]:
    """Returns the distributions of a batch, each behind its own log density.

    Raises:
        UnsupportedError: it has no density.
    """
    evaluator = library.evaluate(thing)
    batch, event = tuple(thing.batch_shape), tuple(thing.event_shape)
    return [_foreign(thing, library, evaluator, i, event) for i in np.ndindex(*batch)]


def _foreign(
    thing: Any,
    library: Library,
    evaluator: Evaluator,
    index: tuple[int, ...],
    event: tuple[int, ...],
) -> Distribution:
    name = library.name(thing)
    if 0 in event:
        raise UnsupportedError(f"{name} has events of shape {event}: there is nothing to compare")
    support = region(_support(thing), event, index, name)
    if type(thing).__name__ in _SURFACES:
        support = replace(support, kind="surface")
    batch, pick = tuple(thing.batch_shape), (slice(None), *index)
    flat = (-1,) if support.dimension else ()

    def spread(x: Array) -> Array:
        """Gives every distribution of the batch the same points."""
        points = x.reshape(len(x), *(1 for _ in batch), *event)
        return np.broadcast_to(points, (len(x), *batch, *event))

    def density(x: Array) -> Array:
        try:
            return evaluator.log_prob(spread(np.asarray(x, dtype=np.float64)))[pick]
        except NotImplementedError as error:
            raise UnsupportedError(f"{name} cannot compute its log density: {error}") from None

    sample, quantile = evaluator.sample, _checked_quantile(evaluator, batch, event)
    return Foreign(
        name,
        support,
        density,
        sampler=None if sample is None else lambda rng, n: sample(rng, n)[pick].reshape(n, *flat),
        inverse=None if quantile is None else lambda u: quantile(spread(u))[pick],
    )


def _support(thing: Any) -> Any:
    try:
        return thing.support
    except (NotImplementedError, AttributeError, ValueError):
        return None


def _checked_quantile(
    evaluator: Evaluator, batch: tuple[int, ...], event: tuple[int, ...]
) -> Callable[[Array], Array] | None:
    """The quantile function, if it is one: many objects have the method but not the formula."""
    if event or evaluator.quantile is None:
        return None
    levels = np.broadcast_to(_MIDDLE.reshape(2, *(1 for _ in batch)), (2, *batch))
    try:
        values = evaluator.quantile(levels)
    except Exception:  # noqa: BLE001 - whatever a foreign formula raises, there is none
        return None
    return (
        evaluator.quantile if values.shape == levels.shape and np.isfinite(values).all() else None
    )


# Where a foreign distribution lives: the constraints of NumPyro and torch as supports.

_MATRICES = {
    "_PositiveDefinite",
    "_PositiveSemiDefinite",
    "_PositiveSemidefinite",
    "_CorrMatrix",
    "_CorrCholesky",
    "_LowerCholesky",
    "_LowerTriangular",
    "_Symmetric",
    "_Square",
}
_VECTORS: dict[str, Literal["simplex", "sphere", "one_hot"]] = {
    "_Simplex": "simplex",
    "_Sphere": "sphere",
    "_OneHot": "one_hot",
}


def region(
    constraint: Any, event_shape: tuple[int, ...], index: tuple[int, ...], what: str
) -> Support:
    """Returns the support of one distribution of a batch.

    Args:
        constraint: a constraint object of NumPyro or torch; None if there is none.
        event_shape: the shape of one event.
        index: which distribution of the batch, for bounds that are arrays.
        what: the name in messages.

    Raises:
        UnsupportedError: the events lie on a plane, where densities mean something else.
    """
    names = _names(constraint)
    if "_ZeroSum" in names:
        raise UnsupportedError(
            f"{what}: its events sum to zero, so that its density is one on a plane and no other "
            "distribution compares with it; drop the last coordinate and use a MultivariateNormal"
        )
    if event_shape == ():
        return _scalar(constraint, names, index)
    dimension = math.prod(event_shape)
    for name, kind in _VECTORS.items():
        if name in names:
            return Support(kind, dimension=dimension)
    if names & _MATRICES:
        return Support("matrix", dimension=dimension)
    if "_Multinomial" in names:
        return Support("counts", 0.0, _bound(_base(constraint), "upper_bound", index), dimension)
    discrete = bool(getattr(_base(constraint), "is_discrete", False))
    return Support("counts" if discrete else "real", dimension=dimension)


def _scalar(constraint: Any, names: set[str], index: tuple[int, ...]) -> Support:
    base = _base(constraint)
    if "_Boolean" in names:
        return Support("integers", 0.0, 1.0)
    low, high = _bound(base, "lower_bound", index), _bound(base, "upper_bound", index)
    kind = "integers" if bool(getattr(base, "is_discrete", False)) else "interval"
    return Support(kind, low, high)


def _base(constraint: Any) -> Any:
    """The constraint on one coordinate."""
    while hasattr(constraint, "base_constraint"):
        constraint = constraint.base_constraint
    return constraint


def _names(constraint: Any) -> set[str]:
    return {cls.__name__ for cls in type(_base(constraint)).__mro__}


def _bound(base: Any, name: str, index: tuple[int, ...]) -> float:
    value = getattr(base, name, None)
    if value is None:
        return -math.inf if name == "lower_bound" else math.inf
    array = np.asarray(value, dtype=np.float64)
    # Bounds have the trailing axes of the batch; an axis of length 1 stands for all of it.
    own = index[len(index) - array.ndim :] if array.ndim else ()
    return float(array[tuple(0 if n == 1 else i for i, n in zip(own, array.shape, strict=True))])
