"""NumPyro and torch objects as our distributions: one reader, because their structure is one.

Each reader of a class returns an array of distributions, of the object's batch_shape; what stands
on top of a batch (Independent, a mixture) takes its pieces from there.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, final

import numpy as np
from scipy import special

from kullback.core.errors import InputError, KullbackError, UnsupportedError
from kullback.distributions.base import Array, Distribution, Foreign
from kullback.distributions.bounded import Beta
from kullback.distributions.compound import Truncated
from kullback.interop.library import Library, foreign
from kullback.interop.maps import fold, mixture, point, product
from kullback.interop.names import ROWS, Row, given
from kullback.interop.transforms import (
    all_linear,
    check_bijective,
    flat,
    linear,
    move,
    name_of,
    transform_steps,
)

#: A batch of more foreign densities is evaluated as one: piece by piece would be quadratic.
_PIECES = 64

#: An object array of distributions, of an object's batch_shape.
Batch = Any
Reader = Callable[[Any, Library], Batch]


def read_one(thing: Any, library: Library) -> Distribution:
    """Returns an object as one distribution of ours.

    Raises:
        InputError: it is a batch, or a parameter is out of range.
        UnsupportedError: it has no density that can be compared.
    """
    library.check_single(thing)
    return read_batch(thing, library)[()]


def batches(
    library: Library,
) -> tuple[Callable[[Any], Any], Callable[[Any], Any], Callable[[Any], Any]]:
    """Returns what is asked of a batch: its shape, loc and scale if it is one of normals, and all of it as ours."""

    def shape_of(thing: Any) -> tuple[int, ...]:
        return tuple(int(n) for n in getattr(thing, "batch_shape", ()))

    def normals(thing: Any) -> tuple[Array, Array] | None:
        if not (type(thing).__name__ == "Normal" and library.owns(type(thing))):
            return None
        shape = tuple(thing.batch_shape)
        arrays = library.array(thing.loc), library.array(thing.scale)
        if not shape and not arrays[0].shape and not arrays[1].shape:
            return arrays
        return np.broadcast_to(arrays[0], shape), np.broadcast_to(arrays[1], shape)

    return shape_of, normals, lambda thing: read_batch(thing, library)


def read_batch(thing: Any, library: Library) -> Batch:
    """Returns the distributions of an object, an array of its batch_shape."""
    found = library.lookup(thing, _TABLE)
    if isinstance(found, Row):
        return _from_row(thing, library, found)
    return _whole(thing, library) if found is None else found(thing, library)


def _from_row(thing: Any, library: Library, row: Row) -> Batch:
    batch = tuple(thing.batch_shape)
    columns = [
        _parameter(thing, library, name, axes, batch)
        for name, axes in zip(row.parameters, row.axes, strict=True)
    ]
    return _array([row.build(*(c(i) for c in columns)) for i in np.ndindex(*batch)], batch)


def _parameter(
    thing: Any, library: Library, name: str, axes: int, batch: tuple[int, ...]
) -> Callable[[tuple[int, ...]], object]:
    """Returns a function from an index of the batch to that distribution's parameter."""
    if name.endswith("="):
        plain = getattr(thing, name[:-1])
        return lambda index: plain
    if "|" in name:
        label, raw = given(thing, name.split("|"))
        pick = _picker(library.array(raw), axes, batch)
        return lambda index: (label, pick(index))
    return _picker(library.array(getattr(thing, name)), axes, batch)


def _picker(
    values: Array, axes: int, batch: tuple[int, ...]
) -> Callable[[tuple[int, ...]], float | Array]:
    event = values.shape[values.ndim - axes :]
    spread = np.broadcast_to(values, batch + event)
    if axes == 0 and not batch:
        one = float(values)
        return lambda index: one
    if axes == 0:
        return lambda index: float(spread[index])
    return lambda index: np.array(spread[index])


def _array(items: Sequence[Any], shape: tuple[int, ...]) -> Batch:
    out = np.empty(len(items), dtype=object)
    for i, item in enumerate(items):
        out[i] = item
    return out.reshape(shape)


def _whole(thing: Any, library: Library) -> Batch:
    return _array(foreign(thing, library), tuple(thing.batch_shape))


def _is_large(parts: Batch) -> bool:
    return parts.size > _PIECES and any(isinstance(p, Foreign) for p in parts.flat)


def _independent(thing: Any, library: Library) -> Batch:
    parts = read_batch(thing.base_dist, library)
    taken = thing.reinterpreted_batch_ndims
    if taken == 0:
        return parts
    if _is_large(parts):
        return _whole(thing, library)
    batch = parts.shape[: parts.ndim - taken]
    rows = parts.reshape(math.prod(batch), -1)
    return _array([product(list(row), library.name(thing)) for row in rows], batch)


def _expanded(thing: Any, library: Library) -> Batch:
    return np.broadcast_to(read_batch(thing.base_dist, library), tuple(thing.batch_shape))


def _masked(thing: Any, library: Library) -> Batch:
    if not np.all(library.array(vars(thing)["_mask"])):
        raise InputError(
            f"{library.name(thing)}: a masked density is not a density (it is 1 everywhere); "
            "give the distribution without its mask"
        )
    return read_batch(thing.base_dist, library)


def _transformed(thing: Any, library: Library) -> Batch:
    batch, event = tuple(thing.batch_shape), tuple(thing.event_shape)
    name = library.name(thing)
    steps = transform_steps(thing.transforms, library)
    if steps is not None:
        bases = read_batch(thing.base_dist, library)
        moved = [
            move(bases[i], [s.at(i, batch, event) for s in steps], event, name)
            for i in np.ndindex(*batch)
        ]
        if all(m is not None for m in moved):
            return _array(moved, batch)
    check_bijective(thing.transforms, library, name)
    if not batch and all_linear(thing.transforms, library):
        gaussian = linear(
            read_batch(thing.base_dist, library)[()],
            lambda x: library.apply(
                thing.transforms, x.reshape(len(x), *thing.base_dist.event_shape)
            ),
        )
        if gaussian is not None:
            return _array([gaussian], batch)
    return _with_sources(thing, library)


def _with_sources(thing: Any, library: Library) -> Batch:
    """Behind its own log density; what is mapped, and by what, is kept where it is known."""
    whole = _whole(thing, library)
    try:
        bases = read_batch(thing.base_dist, library)
    except KullbackError:
        return whole
    if bases.shape != whole.shape:
        return whole
    by = tuple(
        (*_signature(t, library), inverted) for t, inverted in flat(thing.transforms, library)
    )
    kept = [replace(d, source=(base, by)) for d, base in zip(whole.flat, bases.flat, strict=True)]
    return _array(kept, whole.shape)


def _signature(thing: Any, library: Library) -> tuple[object, ...]:
    """What tells a transform from others: its class and its fields, or that it is this very object."""
    name = name_of(thing, library)
    if not name:
        return (_Same(thing),)
    fields = {k: v for k, v in vars(thing).items() if not k.startswith("_")}
    return (name, *((k, _field(v, library)) for k, v in sorted(fields.items())))


def _field(value: Any, library: Library) -> object:
    if isinstance(value, (list, tuple)):
        return tuple(_field(v, library) for v in value)
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if name_of(value, library):
        return _signature(value, library)
    try:
        array = np.asarray(library.array(value), dtype=np.float64)
    except (TypeError, ValueError):
        return _Same(value)
    return array.shape, array.tobytes()


@final
@dataclass(frozen=True, eq=False)
class _Same:
    """Equal to another only if it holds the very same object, which it keeps alive."""

    thing: Any

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.thing is other.thing

    def __hash__(self) -> int:
        return id(self.thing)


def _correlations(thing: Any, library: Library) -> Batch:
    """LKJ: the canonical partial correlations are independent Betas (Lewandowski et al., 2009)."""
    whole = _whole(thing, library)
    d = int(getattr(thing, "dimension", getattr(thing, "dim", 0)))
    shapes = np.broadcast_to(library.array(thing.concentration), whole.shape)
    if d < 2:
        return whole
    kept = []
    for found, shape in zip(whole.flat, np.ravel(shapes), strict=True):
        betas = [float(shape) + 0.5 * (d - 1 - k) for k in range(1, d) for _ in range(d - k)]
        source = product([Beta(b, b) for b in betas], library.name(thing))
        kept.append(replace(found, source=(source, ("partial correlations", d))))
    return _array(kept, whole.shape)


def _folded(thing: Any, library: Library) -> Batch:
    parts = read_batch(thing.base_dist, library)
    return _array([fold(p, library.name(thing)) for p in parts.flat], parts.shape)


def _mixture(thing: Any, library: Library) -> Batch:
    batch = tuple(thing.batch_shape)
    mixing = next(
        getattr(thing, name)
        for name in ("mixing_distribution", "mixture_distribution")
        if hasattr(thing, name)
    )
    listed = getattr(thing, "component_distributions", None)
    if listed is None:
        parts = read_batch(thing.component_distribution, library)
    else:
        parts = np.stack([np.broadcast_to(read_batch(c, library), batch) for c in listed], axis=-1)
    if _is_large(parts):
        return _whole(thing, library)
    weights = np.broadcast_to(_weights(mixing, library), (*batch, parts.shape[-1]))
    parts = np.broadcast_to(parts, weights.shape)
    return _array([mixture(weights[i], list(parts[i])) for i in np.ndindex(*batch)], batch)


def _weights(mixing: Any, library: Library) -> Array:
    name, raw = given(mixing, ["probs", "logits"])
    values = library.array(raw)
    return special.softmax(values, axis=-1) if name == "logits" else values


def _truncated(thing: Any, library: Library) -> Batch:
    batch = tuple(thing.batch_shape)
    bases = np.broadcast_to(read_batch(thing.base_dist, library), batch)
    ends = [
        np.broadcast_to(library.array(getattr(thing, name, default)), batch)
        for name, default in (("low", -math.inf), ("high", math.inf))
    ]
    pieces: list[Any] = list(np.ravel(bases))
    low, high = (np.ravel(end) for end in ends)
    cut = [Truncated(p, float(a), float(b)) for p, a, b in zip(pieces, low, high, strict=True)]
    return _array(cut, batch)


def _zero_inflated(thing: Any, library: Library) -> Batch:
    batch = tuple(thing.batch_shape)
    bases = np.broadcast_to(read_batch(thing.base_dist, library), batch)
    name, raw = given(thing, ["gate_logits", "gate"])
    gate = np.broadcast_to(library.array(raw), batch)
    pair = (
        (special.expit(gate), special.expit(-gate)) if name == "gate_logits" else (gate, 1.0 - gate)
    )
    zero = point(0.0, library.name(thing))
    weights = np.stack(pair, axis=-1)
    return _array([mixture(weights[i], [zero, bases[i]]) for i in np.ndindex(*batch)], batch)


def _delta(thing: Any, library: Library) -> Batch:
    batch, name = tuple(thing.batch_shape), library.name(thing)
    if np.any(library.array(thing.log_density) != 0.0):
        raise InputError(f"{name} with a log_density is not normalised; give one without")
    values = library.array(thing.v).reshape(*batch, -1)
    rows = [[point(float(v), name) for v in values[i]] for i in np.ndindex(*batch)]
    return _array([r[0] if not thing.event_shape else product(r, name) for r in rows], batch)


def _hurdle(thing: Any, library: Library) -> Batch:
    discrete = vars(thing)["_is_discrete"]
    return _whole(thing, library) if discrete else _MIXED_HURDLE(thing, library)


def _refuse(reason: str) -> Reader:
    def refuse(thing: Any, library: Library) -> Batch:
        raise UnsupportedError(f"{library.name(thing)} {reason}")

    return refuse


_CENSORED = _refuse(
    "is a likelihood of censored data, partly probabilities and partly densities, and not a "
    "distribution; give the base distribution"
)
_IMPROPER = _refuse("does not integrate to 1; give a proper distribution")
_MIXED_HURDLE = _refuse(
    "has a mass at 0 and a density elsewhere, which is neither discrete nor continuous; compare "
    "the gates (Bernoulli) and the base distributions, and add gate KL + (1 - gate) base KL"
)

_READERS: dict[str, Reader] = {
    "Independent": _independent,
    "ExpandedDistribution": _expanded,
    "MaskedDistribution": _masked,
    "TransformedDistribution": _transformed,
    "FoldedDistribution": _folded,
    "MixtureSameFamily": _mixture,
    "MixtureGeneral": _mixture,
    **dict.fromkeys(
        [
            f"{side}{name}"
            for side in ("LeftTruncated", "RightTruncated", "TwoSidedTruncated")
            for name in ("Distribution", "Gamma")
        ],
        _truncated,
    ),
    "ZeroInflatedProbs": _zero_inflated,
    "ZeroInflatedLogits": _zero_inflated,
    "Delta": _delta,
    "LKJ": _correlations,
    "LKJCholesky": _correlations,
    "LeftCensoredDistribution": _CENSORED,
    "RightCensoredDistribution": _CENSORED,
    "IntervalCensoredDistribution": _CENSORED,
    "ImproperUniform": _IMPROPER,
    "Unit": _IMPROPER,
    "HurdleProbs": _hurdle,
    "HurdleLogits": _hurdle,
}

_TABLE: dict[str, Row | Reader] = {**ROWS, **_READERS}
