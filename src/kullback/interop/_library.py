"""What NumPyro and torch must offer so that one reader serves both."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from kullback._core.errors import InputError, UnsupportedError
from kullback.distributions._base import Array, Distribution
from kullback.distributions._foreign import Foreign
from kullback.interop._constraints import region

_MIDDLE = np.array([0.25, 0.5])


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
