"""NumPyro and torch objects as our distributions: one reader, because their structure is one.

Each reader of a class returns an array of distributions, of the object's batch_shape; what stands
on top of a batch (Independent, a mixture) takes its pieces from there.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, Literal, final

import numpy as np
from jaxtyping import Float
from scipy import linalg, special

from kullback.core.errors import InputError, KullbackError, UnsupportedError
from kullback.distributions.base import Array, Distribution, Foreign, Support
from kullback.distributions.bounded import Beta
from kullback.distributions.compound import Bijection, Product, Truncated
from kullback.distributions.real import Normal
from kullback.distributions.vector import MultivariateNormal
from kullback.interop.maps import affine, fold, inverse_affine, mixture, point, product, push
from kullback.interop.names import ROWS, Row, given

#: A batch of more foreign densities is evaluated as one: piece by piece would be quadratic.
_PIECES = 64

#: An object array of distributions, of an object's batch_shape.
Batch = Any


# What NumPyro and torch must offer so that one reader serves both.


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


Reader = Callable[[Any, Library], Batch]


def read_one(thing: Any, library: Library) -> Distribution:
    """Returns an object as one distribution of ours.

    Raises:
        InputError: it is a batch, or a parameter is out of range.
        UnsupportedError: it has no density that can be compared.
    """
    library.check_single(thing)
    return read_batch(thing, library)[()]


def normals_of(thing: Any, library: Library) -> tuple[Array, Array] | None:
    """Returns loc and scale of a batch of normals, of its shape; None for any other."""
    plain = type(thing).__name__ == "Normal" and library.owns(type(thing))
    if not plain:
        return None
    shape = tuple(thing.batch_shape)
    loc, scale = (np.broadcast_to(library.array(v), shape) for v in (thing.loc, thing.scale))
    return loc, scale


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
        (*_signature(t, library), inverted) for t, inverted in _flat(thing.transforms, library)
    )
    kept = [replace(d, source=(base, by)) for d, base in zip(whole.flat, bases.flat, strict=True)]
    return _array(kept, whole.shape)


def _signature(thing: Any, library: Library) -> tuple[object, ...]:
    """What tells a transform from others: its class and its fields, or that it is this very object."""
    name = _name(thing, library)
    if not name:
        return (_Same(thing),)
    fields = {k: v for k, v in vars(thing).items() if not k.startswith("_")}
    return (name, *((k, _field(v, library)) for k, v in sorted(fields.items())))


def _field(value: Any, library: Library) -> object:
    if isinstance(value, (list, tuple)):
        return tuple(_field(v, library) for v in value)
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if _name(value, library):
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


# NumPyro and torch transforms as monotone maps, or as a matrix when they are linear.

#: What a coordinate goes through: maps, or None for the absolute value.
Maps = list[Bijection | None]


@final
@dataclass(frozen=True)
class Step:
    """One transform that acts on each coordinate by itself.

    Attributes:
        build: from the values of the parameters at one coordinate to what is done there.
        parameters: arrays that broadcast against batch and event.
    """

    build: Callable[..., Maps]
    parameters: tuple[Array, ...] = ()

    def at(
        self, index: tuple[int, ...], batch: tuple[int, ...], event: tuple[int, ...]
    ) -> list[Maps]:
        """Returns what is done to every coordinate of one distribution of the batch."""
        spread = [np.broadcast_to(p, batch + event)[index].reshape(-1) for p in self.parameters]
        count = int(np.prod(event))
        return [self.build(*(float(s[j]) for s in spread)) for j in range(count)]


#: The transforms by name: their parameters, what they do, and what their inverses do.
_ELEMENTWISE: dict[str, tuple[tuple[str, ...], Callable[..., Maps], Callable[..., Maps] | None]] = {
    "ExpTransform": ((), lambda: [Bijection("exp")], lambda: [Bijection("log")]),
    "SigmoidTransform": ((), lambda: [Bijection("sigmoid")], lambda: [Bijection("logit")]),
    "SoftplusTransform": ((), lambda: [Bijection("softplus")], None),
    "IdentityTransform": ((), list, list),
    "TanhTransform": (
        (),
        lambda: [Bijection("tanh")],
        lambda: [affine(0.5, 0.5), Bijection("logit"), affine(0.0, 0.5)],
    ),
    "AffineTransform": (
        ("loc", "scale"),
        lambda loc, scale: [affine(loc, scale)],
        lambda loc, scale: [inverse_affine(loc, scale)],
    ),
    "PowerTransform": (
        ("exponent",),
        lambda e: [Bijection("power", scale=e)],
        lambda e: [Bijection("power", scale=1 / Fraction(e))],
    ),
    "AbsTransform": ((), lambda: [None], None),
}

_LINEAR = {
    "AffineTransform",
    "IdentityTransform",
    "LowerCholeskyAffine",
    "RecursiveLinearTransform",
    "PermuteTransform",
    "ReshapeTransform",
    "DiscreteCosineTransform",
    "HaarTransform",
}


def transform_steps(transforms: list[Any], library: Library) -> list[Step] | None:
    """Returns the transforms as steps on single coordinates; None if one is not known as such."""
    found = [_step(t, library, inverted=inverted) for t, inverted in _flat(transforms, library)]
    known = [s for s in found if s is not None]
    return known if len(known) == len(found) else None


def _flat(transforms: list[Any], library: Library) -> list[tuple[Any, bool]]:
    """Transforms in order, taken out of what composes, inverts and reinterprets them."""
    out: list[tuple[Any, bool]] = []
    for t in transforms:
        name = _name(t, library)
        if name == "ComposeTransform":
            out += _flat(t.parts, library)
        elif name == "IndependentTransform":
            out += _flat([t.base_transform], library)
        elif name == "_InverseTransform":
            out += [(inner, not inverted) for inner, inverted in reversed(_flat([t.inv], library))]
        else:
            out.append((t, False))
    return out


def _name(transform: Any, library: Library) -> str:
    """The class of a transform if it is the library's own, not a user's variation of it."""
    cls = type(transform)
    return cls.__name__ if library.owns(cls) else ""


def _step(transform: Any, library: Library, *, inverted: bool) -> Step | None:
    row = _ELEMENTWISE.get(_name(transform, library))
    if row is None:
        return None
    names, forward, backward = row
    build = backward if inverted else forward
    if build is None:
        return None
    return Step(build, tuple(library.array(getattr(transform, n)) for n in names))


def move(
    base: Distribution, done: list[list[Maps]], event: tuple[int, ...], what: str
) -> Distribution | None:
    """Returns a distribution after steps on its coordinates; None if these depend on each other."""
    if event == ():
        return _move_scalar(base, [maps[0] for maps in done], what)
    if not isinstance(base, Product) or any(p.support.dimension for p in base.parts):
        return None
    parts = [_move_scalar(p, [maps[j] for maps in done], what) for j, p in enumerate(base.parts)]
    return product(parts, what)


def _move_scalar(p: Distribution, done: list[Maps], what: str) -> Distribution:
    for f in (f for maps in done for f in maps):
        p = fold(p, what) if f is None else push(p, f, what)
    return p


def check_bijective(transforms: list[Any], library: Library, what: str) -> None:
    """Raises UnsupportedError if a transform sends two points to one: its density then lies."""
    for t, _ in _flat(transforms, library):
        if type(t).__name__ == "AbsTransform" or not getattr(t, "bijective", True):
            raise UnsupportedError(
                f"{what}: {type(t).__name__} is not one-to-one, and log_prob counts only one of "
                "the points that it sends to the same place; give the density itself"
            )


def all_linear(transforms: list[Any], library: Library) -> bool:
    """Whether the transforms together are x -> A x + b."""
    return all(_name(t, library) in _LINEAR for t, _ in _flat(transforms, library))


def linear(base: Distribution, apply: Callable[[Array], Array]) -> Distribution | None:
    """Returns the Gaussian that a linear map makes of a Gaussian; None if base is not one.

    Args:
        base: what is mapped.
        apply: maps n points, as rows, to n events; it is x -> A x + b, read off at the origin and
            at the unit vectors.
    """
    if isinstance(base, MultivariateNormal):
        loc, root = base.loc, base.scale_tril
    elif isinstance(base, Product) and all(isinstance(p, Normal) for p in base.parts):
        normals: Any = base.parts
        loc, root = np.array([p.loc for p in normals]), np.diag([float(p.scale) for p in normals])
    elif isinstance(base, Product) and all(isinstance(p, MultivariateNormal) for p in base.parts):
        vectors: Any = base.parts
        loc = np.concatenate([p.loc for p in vectors])
        root = linalg.block_diag(*(p.scale_tril for p in vectors))
    else:
        return None
    images = apply(np.concatenate([np.zeros((1, len(loc))), np.eye(len(loc))]))
    flat = images.reshape(len(images), -1)
    origin, matrix = flat[0], (flat[1:] - flat[0]).T
    if matrix.shape[0] != matrix.shape[1]:
        return None
    return MultivariateNormal(origin + matrix @ loc, _triangular(matrix @ root))


def _triangular(root: Float[np.ndarray, "d d"]) -> Float[np.ndarray, "d d"]:
    """The lower triangle L with L L' = root root', and a positive diagonal."""
    ready = np.array_equal(root, np.tril(root))
    triangle = root if ready else np.asarray(linalg.qr(root.T, mode="r")[0]).T
    return triangle * np.where(np.diag(triangle) < 0.0, -1.0, 1.0)
