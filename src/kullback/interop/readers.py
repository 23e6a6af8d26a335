"""NumPyro and torch objects as our distributions: one reader, because their structure is one.

Each reader of a class returns an array of distributions, of the object's batch_shape; what stands
on top of a batch (Independent, a mixture) takes its pieces from there.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, final

import numpy as np
from scipy import special

from kullback.core.errors import InputError, KullbackError, UnsupportedError
from kullback.distributions.base import Array, Distribution, Foreign
from kullback.distributions.bounded import Beta
from kullback.distributions.compound import Truncated
from kullback.interop.counts import point
from kullback.interop.library import Batch, Library, built, foreign, parameter_of
from kullback.interop.maps import fold, mixture, product
from kullback.interop.names import ROWS, ClassRow
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

Reader = Callable[[Any, Library], Batch]


def read_one(thing: Any, library: Library) -> Distribution:
    """Returns an object as one distribution of ours."""
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
        loc, scale = (np.broadcast_to(library.array(v), shape) for v in (thing.loc, thing.scale))
        return loc, scale

    return shape_of, normals, lambda thing: read_batch(thing, library)


def read_batch(thing: Any, library: Library) -> Batch:
    """Returns the distributions of an object, an array of its batch_shape."""
    found = library.lookup(thing, _TABLE)
    if isinstance(found, ClassRow):
        return _from_row(thing, library, found)
    return foreign(thing, library) if found is None else found(thing, library)


def _from_row(thing: Any, library: Library, row: ClassRow) -> Batch:
    batch = tuple(thing.batch_shape)
    axes_of = row.axes or (0,) * len(row.parameters)
    columns = [
        _parameter(thing, library, name, axes, batch)
        for name, axes in zip(row.parameters, axes_of, strict=True)
    ]
    return built(batch, lambda index: row.build(*(column(index) for column in columns)))


def _parameter(
    thing: Any, library: Library, name: str, axes: int, batch: tuple[int, ...]
) -> Callable[[tuple[int, ...]], object]:
    """Returns a function from an index of the batch to that distribution's parameter."""
    if name.endswith("="):
        plain = getattr(thing, name[:-1])
        return lambda index: plain
    if "|" in name:
        label, raw = parameter_of(thing, name.split("|"))
        pick = _picker(library.array(raw), axes, batch)
        return lambda index: (label, pick(index))
    return _picker(library.array(getattr(thing, name)), axes, batch)


def _picker(
    values: Array, axes: int, batch: tuple[int, ...]
) -> Callable[[tuple[int, ...]], float | Array]:
    spread = np.broadcast_to(values, batch + values.shape[values.ndim - axes :])
    return lambda index: np.array(spread[index]) if axes else float(spread[index])


def _elementwise(build: Callable[..., Distribution], shape: tuple[int, ...], *parts: Any) -> Batch:
    """Returns what is built of the elements of arrays, which broadcast to a shape."""
    out = np.empty(shape, dtype=object)
    out[...] = np.frompyfunc(build, len(parts), 1)(*parts)
    return out


def _is_large(parts: Batch) -> bool:
    return parts.size > _PIECES and any(isinstance(p, Foreign) for p in parts.flat)


def _independent(thing: Any, library: Library) -> Batch:
    parts = read_batch(thing.base_dist, library)
    taken = thing.reinterpreted_batch_ndims
    if taken == 0:
        return parts
    if _is_large(parts):
        return foreign(thing, library)
    batch, name = parts.shape[: parts.ndim - taken], library.name(thing)
    return built(batch, lambda index: product(list(np.ravel(parts[index])), name))


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
        moved = built(
            batch, lambda i: move(bases[i], [s.at(i, batch, event) for s in steps], event, name)
        )
        if all(m is not None for m in moved.flat):
            return moved
    check_bijective(thing.transforms, library, name)
    if not batch and all_linear(thing.transforms, library):
        gaussian = linear(
            read_batch(thing.base_dist, library)[()],
            lambda x: library.applied(
                thing.transforms, x.reshape(len(x), *thing.base_dist.event_shape)
            ),
        )
        if gaussian is not None:
            return built((), lambda _: gaussian)
    return _with_sources(thing, library)


def _with_sources(thing: Any, library: Library) -> Batch:
    """Behind its own log density; what is mapped, and by what, is kept where it is known."""
    whole = foreign(thing, library)
    try:
        bases = read_batch(thing.base_dist, library)
    except KullbackError:
        return whole
    if bases.shape != whole.shape:
        return whole
    by = tuple((*_signature(t, library), back) for t, back in flat(thing.transforms, library))
    return _elementwise(lambda d, base: replace(d, source=(base, by)), whole.shape, whole, bases)


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
    whole, name = foreign(thing, library), library.name(thing)
    d = int(getattr(thing, "dimension", getattr(thing, "dim", 0)))

    def with_source(found: Foreign, shape: float) -> Foreign:
        betas = [shape + 0.5 * (d - 1 - k) for k in range(1, d) for _ in range(d - k)]
        source = product([Beta(b, b) for b in betas], name)
        return replace(found, source=(source, ("partial correlations", d)))

    shapes = library.array(thing.concentration)
    return whole if d < 2 else _elementwise(with_source, whole.shape, whole, shapes)


def _folded(thing: Any, library: Library) -> Batch:
    parts, name = read_batch(thing.base_dist, library), library.name(thing)
    return _elementwise(lambda p: fold(p, name), parts.shape, parts)


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
        return foreign(thing, library)
    weights = np.broadcast_to(_weights(mixing, library), (*batch, parts.shape[-1]))
    parts = np.broadcast_to(parts, weights.shape)
    return built(batch, lambda index: mixture(weights[index], list(parts[index])))


def _weights(mixing: Any, library: Library) -> Array:
    name, raw = parameter_of(mixing, ["probs", "logits"])
    values = library.array(raw)
    return special.softmax(values, axis=-1) if name == "logits" else values


def _truncated(thing: Any, library: Library) -> Batch:
    ends = [
        library.array(getattr(thing, name, default))
        for name, default in (("low", -math.inf), ("high", math.inf))
    ]
    bases = read_batch(thing.base_dist, library)
    return _elementwise(Truncated, tuple(thing.batch_shape), bases, *ends)


def _zero_inflated(thing: Any, library: Library) -> Batch:
    name, raw = parameter_of(thing, ["gate_logits", "gate"])
    gate = library.array(raw)
    logits = name == "gate_logits"
    shares = (special.expit(gate), special.expit(-gate)) if logits else (gate, 1.0 - gate)
    zero = point(0.0, library.name(thing))

    def inflated(base: Distribution, *weights: float) -> Distribution:
        return mixture(np.array(weights), [zero, base])

    bases = read_batch(thing.base_dist, library)
    return _elementwise(inflated, tuple(thing.batch_shape), bases, *shares)


def _delta(thing: Any, library: Library) -> Batch:
    batch, name = tuple(thing.batch_shape), library.name(thing)
    if np.any(library.array(thing.log_density) != 0.0):
        raise InputError(f"{name} with a log_density is not normalised; give one without")
    values = library.array(thing.v).reshape(*batch, -1)

    def one(index: tuple[int, ...]) -> Distribution:
        points = [point(float(v), name) for v in values[index]]
        return product(points, name) if thing.event_shape else points[0]

    return built(batch, one)


def _hurdle(thing: Any, library: Library) -> Batch:
    discrete = vars(thing)["_is_discrete"]
    return foreign(thing, library) if discrete else _MIXED_HURDLE(thing, library)


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

_TABLE: dict[str, ClassRow | Reader] = {**ROWS, **_READERS}
