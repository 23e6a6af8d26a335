"""Users' log densities as values and gradients over the whole space: of NumPy, torch, and `LogDensity`."""

import importlib.util
import math
import sys
import weakref
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Int

from kullback.core.errors import DensityError, InputError
from kullback.core.optional import need
from kullback.core.user_code import guarded, raised
from kullback.interop.callables import (
    TracingError,
    called,
    described,
    location,
    number,
    vectorized,
)
from kullback.interop.examples import apart
from kullback.interop.parameters import BARE, ParameterLayout, layout, pullback
from kullback.targets import LogDensity, Unconstrained

Array = np.ndarray
Evaluate = Callable[[Array], tuple[Array, Array]]
#: Steps relative to the size of a coordinate: eps^(1/5) for four points, errors h^4 and eps/h.
_STEP = float(np.finfo(float).eps ** 0.2)
#: A step this much too long for the width of the density is taken again, and how often; it stays this many ulps.
_STEEP, _TRIES, _ULPS = 0.05, 4, 64.0
#: Points of one call of a function that takes batches, and of one call under torch's vmap.
_POINTS, _ROWS = 100_000, 256


def unconstrained(p: LogDensity) -> Unconstrained:
    """Returns the log density of a JAX function in unconstrained coordinates; of a NumPy one by differences."""
    if not callable(p.fn):
        raise InputError(f"LogDensity: fn must be a function, got {type(p.fn).__name__}")
    if p.gradient is not None or importlib.util.find_spec("jax") is None:
        gradient = None if isinstance(p.gradient, str) else p.gradient_of_event
        return numpy_function(p.of_event, p.example, gradient=gradient, support=p.support)
    parts = layout(p.example, p.support)
    try:
        evaluate = _evaluate(p, parts)
    except TracingError as error:
        if error.obstacle not in ("array", "number"):
            raise
        return numpy_function(p.of_event, p.example, gradient=None, support=p.support)
    return parts.target(evaluate, gradient="automatic", origin="JAX function")


def _evaluate(p: LogDensity, parts: ParameterLayout) -> Evaluate:
    """Returns values and gradients by JAX: of data by a function that is traced and compiled once for their shapes."""
    from kullback.interop import jax_function  # noqa: PLC0415 - JAX is optional

    fn: Callable[..., Any] = guarded(p.fn, "the log density of p")

    def log_density(u: Any, *more: Any) -> Any:
        if parts.plain == "vector":
            return fn(u, *more)
        return fn(parts.constrain_one(u), *more) + parts.log_jacobian_one(u)

    if p.data is None:
        return jax_function.compiled(log_density, parts.dimension)
    arrays, mark, assemble = _apart(p.data)
    key = (mark, parts.marked(p.example))
    try:
        kept = _COMPILED.setdefault(p.fn, {})
    except TypeError:  # no weak reference, or no hash: a partial of a list, say
        kept = {}
    if key not in kept:
        made = jax_function.compiled_with(
            lambda u, *y: log_density(u, assemble(y)), parts.dimension, arrays
        )
        while len(kept) >= _STRUCTURES:
            kept.pop(next(iter(kept)))
        kept[key] = made
    return kept[key](arrays)


#: What was compiled of functions of an event and data, by the structure of both; of each function so many at most.
_COMPILED: weakref.WeakKeyDictionary[Callable[..., Any], dict[Any, Any]] = (
    weakref.WeakKeyDictionary()
)
_STRUCTURES = 8


def _apart(data: object) -> tuple[list[Array], Any, Callable[[Sequence[Any]], Any]]:
    """Returns the arrays in data, what tells their structure, and what puts arrays in their places.

    Python's whole numbers, booleans and texts belong to the structure: ranges and choices may depend on them.
    """
    leaves, structure = sys.modules["jax"].tree.flatten(data)
    fixed = [isinstance(v, (bool, int, str)) for v in leaves]
    arrays = [_array_of(v) for v, is_fixed in zip(leaves, fixed, strict=True) if not is_fixed]
    rest = [(type(v), v) if is_fixed else None for v, is_fixed in zip(leaves, fixed, strict=True)]

    def assemble(values: Sequence[Any]) -> Any:
        ahead = iter(values)
        return structure.unflatten([next(ahead) if v is None else v[1] for v in rest])

    kinds = tuple((y.shape, y.dtype.str) for y in arrays)
    return arrays, (structure, tuple(rest), kinds), assemble


def _array_of(value: object) -> Array:
    array = np.asarray(value)
    if array.dtype.kind not in "biufc":
        raise InputError(
            f"data has {type(value).__name__} in it: give arrays and numbers, in dicts, lists or tuples"
        )
    return array


def numpy_function(
    fn: Callable[[Any], object],
    example: object,
    *,
    gradient: Callable[[Any], object] | Literal["differences"] | None = None,
    support: object = None,
    name: str = "p",
) -> Unconstrained:
    """Returns a log density that JAX cannot trace as one over the whole space.

    Args:
        fn: maps an event, as the example is one, to a number; one that takes a batch of arrays at
            once is called so.
        example: an event inside the support.
        gradient: maps an event to the gradient of fn there, of the event's own shape; by default
            central differences of fourth order over the unconstrained coordinates, 4 d calls.
        support: as of `LogDensity`.
        name: what the density is called in messages.

    Raises:
        InputError: the example is not inside the support.
        DensityError: fn raises, or does not return one number, or gradient not one per coordinate.

    Example:
        >>> target = numpy_function(lambda x: -0.5 * np.sum(x**2), np.zeros(2))
        >>> target.evaluate(np.array([[1.0, 2.0]]))[1].round(9)
        array([[-1., -2.]])
    """
    if not (gradient is None or gradient == "differences" or callable(gradient)):
        raise InputError(f'gradient is a function or "differences", got {gradient!r}')
    parts = layout(example, support)
    values = _values(fn, parts, name)
    if not callable(gradient):
        evaluate = _with_differences(values)
        return parts.target(evaluate, gradient="differences", origin="NumPy function")
    evaluate = _with_gradient(values, gradient, parts, name)
    evaluate(parts.start[None])
    return parts.target(evaluate, gradient="given", origin="NumPy function")


def _values(
    fn: Callable[[Any], object], parts: ParameterLayout, name: str
) -> Callable[[Array], Array]:
    """Returns the log density of n points u, the Jacobian included."""
    first = _events(parts, parts.start[None])[0]
    number(called(fn, first, name), name)
    if parts.bare:
        many = vectorized(fn, np.asarray(first), name)
        return lambda u: _at_events(many, parts.constrain(u)[BARE]) + parts.log_jacobian(u)
    return lambda u: (
        np.array([number(called(fn, event, name), name) for event in _events(parts, u)])
        + parts.log_jacobian(u)
    )


def _at_events(many: Callable[[Array], Array], events: Array) -> Array:
    return many(events) if len(events) else np.zeros(0)


def _events(parts: ParameterLayout, u: Array) -> list[Any]:
    """Returns n events as the user's function takes them, of NumPy arrays."""
    named = parts.constrain(u)
    return [parts.assemble({k: v[i] for k, v in named.items()}) for i in range(len(u))]


def _with_differences(values: Callable[[Array], Array]) -> Evaluate:
    """Returns values with gradients by central differences.

    A step is relative to the size of the coordinate; it is taken again, smaller, where the
    curvature says that the density is much narrower, or where a step leads out of it.
    """

    def evaluate(u: Array) -> tuple[Array, Array]:
        found, gradients = values(u), np.empty(u.shape)
        rows = max(1, _POINTS // (4 * u.shape[1]))
        for i in range(0, len(u), rows):
            gradients[i : i + rows] = _refined(values, u[i : i + rows], found[i : i + rows])
        return found, gradients

    return evaluate


def _refined(values: Callable[[Array], Array], u: Array, here: Array) -> Array:
    """Returns the gradients at u, with steps that are small against the width of the density."""
    step = _STEP * np.maximum(1.0, np.abs(u))
    slope, width = _differences(values, u, here, step)
    for _ in range(_TRIES):
        outside = ~np.isfinite(slope) & np.isfinite(here)[:, None]
        coarse = step * _STEEP > _STEP * width
        again = (outside | coarse).any(axis=1)
        if not again.any():
            break
        step = np.where(outside, 1e-3 * step, np.where(coarse, _STEP * width, step))
        step = np.maximum(step, _ULPS * np.spacing(np.abs(u)))
        slope[again], width[again] = _differences(values, u[again], here[again], step[again])
    return slope


def _differences(
    values: Callable[[Array], Array], u: Array, here: Array, step: Array
) -> tuple[Array, Array]:
    """Returns gradients of fourth order, (8 (f1 - f-1) - (f2 - f-2)) / 12 h, and widths.

    Where a point of the stencil has no finite density, the others may: then those of second order,
    and NaN where these fail too. The width is the sd of a Gaussian of the curvature found.
    """
    n, d = u.shape
    # The step that is taken is the rounded one.
    step = (u + step) - u
    shifts = np.array([1.0, -1.0, 2.0, -2.0])[:, None, None, None]
    moves = shifts * (step[:, :, None] * np.eye(d))
    found = values((u[:, None, :] + moves).reshape(-1, d)).reshape(4, n, d)
    with np.errstate(all="ignore"):
        near, far = found[0] - found[1], found[2] - found[3]
        fine = (8.0 * near - far) / (12.0 * step)
        bend = np.abs(found[0] + found[1] - 2.0 * here[:, None])
        noise = 64.0 * np.finfo(float).eps * np.abs(found).max(axis=0)
        width = np.where(bend > noise, step / np.sqrt(bend), np.inf)
        slope = np.where(np.isfinite(fine), fine, near / (2.0 * step))
    return slope, np.where(width > 0.0, width, np.inf)


def _with_gradient(
    values: Callable[[Array], Array],
    gradient: Callable[[Any], object],
    parts: ParameterLayout,
    name: str,
) -> Evaluate:
    """Returns values with the user's gradients, which are over events, taken to those over u."""
    pull, wanted = pullback(parts), {leaf.name: leaf.shape for leaf in parts.leaves}
    size = sum(math.prod(shape) for shape in wanted.values())

    def slope_at(event: Any) -> Array:
        named = parts.take_apart(called(gradient, event, f"{name}'s gradient"))
        shapes = {k: np.shape(v) for k, v in named.items()}
        if shapes != wanted:
            got, want = (shapes[BARE], wanted[BARE]) if parts.bare else (shapes, wanted)
            raise DensityError(
                f"{name}: the gradient has shape {got}; it must be {want}, as an event"
            )
        return np.concatenate([np.ravel(np.asarray(named[k], dtype=np.float64)) for k in wanted])

    def evaluate(u: Array) -> tuple[Array, Array]:
        slopes = [slope_at(event) for event in _events(parts, u)]
        return values(u), pull(u, np.array(slopes).reshape(len(u), size))

    return evaluate


# A user's log probability of discrete latents.

Values = Callable[[Int[np.ndarray, "n m"]], Float[np.ndarray, " n"]]


def categories(p: LogDensity) -> int | None:
    """Returns how many values each latent has: 2 for support="binary", k for ("categories", k); else None."""
    match p.support:
        case "binary":
            return 2
        case ("categories", k):
            if isinstance(k, bool) or not isinstance(k, int) or k < 2:
                raise InputError(f"support=('categories', {k!r}): give how many, at least 2")
            return k
    return None


def discrete_values(p: LogDensity) -> tuple[Values, tuple[int, ...], int]:
    """Returns log p at codes (n, m), the shape of an event, and how many values each latent has."""
    k = categories(p)
    assert k is not None
    try:
        example = np.asarray(p.example)
    except ValueError:
        example = np.empty(0, dtype=object)
    if example.dtype.kind not in "iufb" or example.size == 0:
        raise InputError(
            f"example={p.example!r}: give an integer array, such as np.zeros(6, dtype=int)"
        )
    if not np.isin(example, np.arange(k)).all():
        raise InputError(f"example={p.example!r}: its values must be among 0 .. {k - 1}")
    example = example.astype(np.int64)
    other = (example + (1 + np.arange(example.size) % 2).reshape(example.shape)) % k
    call = vectorized(p.of_event, example, "p", other=other, of="log probability")

    def values(codes: Array) -> Array:
        found = call(codes.reshape(-1, *example.shape))
        wrong = np.isnan(found) | (found == np.inf)
        if wrong.any():
            at = codes[int(np.argmax(wrong))].reshape(example.shape)
            raise DensityError(
                f"the log probability is {found[wrong][0]} at x = {at.tolist()}: it must be a number, or "
                "-inf where there is no mass"
            )
        return found

    return values, example.shape, k


def torch_function(
    fn: Callable[[Any], Any], example: object, *, support: object = None, name: str = "p"
) -> Unconstrained:
    """Returns a torch log density as one over the whole space, with gradients by autograd.

    Args:
        fn: maps an event of float64 tensors, built as the example is, to a tensor with one number.
        example: an event inside the support: a number, tensor or array, or a dict, tuple or list of
            these.
        support: as of `LogDensity`.
        name: what the density is called in messages.

    Raises:
        MissingDependencyError: torch is not installed.
        InputError: the example is not inside the support.
        DensityError: fn raises, or does not return one number that depends on its argument.

    Example:
        >>> target = torch_function(lambda x: -0.5 * (x**2).sum(), np.zeros(2))
        >>> target.evaluate(np.array([[1.0, 2.0]]))
        (array([-2.5]), array([[-1., -2.]]))
    """
    torch = need("torch", "a torch function", "torch")
    is_tensor = torch.is_tensor
    leaves, build = apart(example)
    parts = layout(
        build([v.detach().cpu().numpy() if is_tensor(v) else v for _, v in leaves]), support
    )
    scalar = _scalar(fn, parts, torch, name)
    slopes, pull = _slopes(scalar, _flat(parts, parts.start[None]), torch), pullback(parts)

    def evaluate(u: Array) -> tuple[Array, Array]:
        values, gradients = np.empty(len(u)), np.empty(u.shape)
        for i in range(0, len(u), _ROWS):
            rows = u[i : i + _ROWS]
            value, slope = slopes(_flat(parts, rows))
            values[i : i + _ROWS] = value + parts.log_jacobian(rows)
            gradients[i : i + _ROWS] = pull(rows, slope)
        return values, gradients

    return parts.target(evaluate, gradient="automatic", origin="torch function")


def _flat(parts: ParameterLayout, u: Array) -> Array:
    """Returns n events as their numbers one after another, (n, e)."""
    named = parts.constrain(u)
    return np.concatenate([v.reshape(len(u), -1) for v in named.values()], axis=1)


def _scalar(
    fn: Callable[[Any], Any], parts: ParameterLayout, torch: Any, name: str
) -> Callable[[Any], Any]:
    """Returns fn of the parameters in one tensor, checked to give one number."""
    sizes = [math.prod(leaf.shape) for leaf in parts.leaves]
    fn = guarded(fn, f"the log density of {name}")

    def scalar(x: Any) -> Any:
        pieces = zip(parts.leaves, torch.split(x, sizes), strict=True)
        event = parts.assemble({leaf.name: piece.reshape(leaf.shape) for leaf, piece in pieces})
        try:
            value = fn(event)
        except Exception as error:
            text, kind = raised(error)
            raise DensityError(
                f"{text} ({kind} raised by the log density of {name}"
                f"{location(error)}; events are float64: give its data as .double())"
            ) from error
        if not torch.is_tensor(value):
            raise DensityError(
                f"{name}: the log density returned {described(value)} of torch, a tensor"
            )
        if value.numel() != 1 or value.is_complex():
            raise DensityError(f"{name}: the log density returned {described(value)}")
        return value.reshape(()).double()

    return scalar


def _slopes(scalar: Callable[[Any], Any], start: Array, torch: Any) -> Evaluate:
    """Returns values and gradients of n events: under vmap if fn takes it, else one by one."""
    with torch.enable_grad():
        if not scalar(torch.from_numpy(start[0].copy()).requires_grad_()).requires_grad:
            raise DensityError(
                "the log density does not depend on its argument, as torch sees it: .item(), .numpy(), "
                ".detach() and torch.tensor(...) of a tensor cut the gradient off"
            )

    def singly(x: Array) -> tuple[Array, Array]:
        values, gradients = np.empty(len(x)), np.empty(x.shape)
        for i, row in enumerate(x):
            with torch.enable_grad():
                point = torch.from_numpy(row.copy()).requires_grad_()
                value = scalar(point)
                (slope,) = torch.autograd.grad(value, point)
            values[i], gradients[i] = value.item(), slope.numpy()
        return values, gradients

    mapped = torch.func.vmap(torch.func.grad_and_value(scalar))

    def together(x: Array) -> tuple[Array, Array]:
        slopes, values = mapped(torch.from_numpy(np.ascontiguousarray(x)))
        return values.detach().numpy(), slopes.detach().numpy()

    pair = np.repeat(start, 2, axis=0) * np.array([[1.0], [1.0 + 1e-3]])
    try:
        pieces = zip(together(pair), singly(pair), strict=True)
        same = all(np.allclose(a, b, rtol=1e-9, equal_nan=True) for a, b in pieces)
    except Exception:  # noqa: BLE001 - whatever stops vmap, one at a time works
        return singly
    return together if same else singly
