"""A plain Python or NumPy log density as one over the whole space, its gradient by differences or given."""

import math
import sys
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Int

from kullback.core.errors import DensityError, InputError
from kullback.core.numerics import float64
from kullback.core.user_code import guarded, raised
from kullback.interop.callables import vectorized
from kullback.interop.parameters import BARE, Layout, layout, pullback
from kullback.interop.tracing import location
from kullback.targets import LogDensity, Unconstrained

Array = np.ndarray
#: Steps relative to the size of a coordinate: eps^(1/5) for four points, errors h^4 and eps/h.
_STEP = float(np.finfo(float).eps ** 0.2)
#: A step this much too long for the width of the density is taken again, and how often; it stays this many ulps.
_STEEP, _TRIES, _ULPS = 0.05, 4, 64.0
#: Points of one call of a function that takes batches.
_POINTS = 100_000


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
    evaluate = (
        _with_gradient(values, gradient, parts, name)
        if callable(gradient)
        else _with_differences(values)
    )
    return parts.target(
        evaluate, gradient="given" if callable(gradient) else "differences", origin="NumPy function"
    )


def _values(fn: Callable[[Any], object], parts: Layout, name: str) -> Callable[[Array], Array]:
    """Returns the log density of n points u, the Jacobian included."""
    first = _events(parts, parts.start[None])[0]
    _one(fn, first, name)
    many = vectorized(fn, np.asarray(first), name) if parts.bare else None

    def batched(events: Any) -> Array:
        return many(events) if many else np.array([_one(fn, event, name) for event in events])

    def values(u: Array) -> Array:
        if not len(u):
            return np.zeros(0)
        events = parts.constrain(u)[BARE] if parts.bare else _events(parts, u)
        return batched(events) + parts.log_jacobian(u)

    return values


def _events(parts: Layout, u: Array) -> list[Any]:
    """Returns n events as the user's function takes them, of NumPy arrays."""
    named = parts.constrain(u)
    return [parts.assemble({k: v[i] for k, v in named.items()}) for i in range(len(u))]


def _one(fn: Callable[[Any], object], event: Any, name: str) -> float:
    value = _called(fn, event, name)
    array = np.asarray([] if value is None else value)
    if array.size != 1 or array.ndim > 1 or array.dtype.kind not in "iufb":
        what = "None" if value is None else f"{type(value).__name__} of shape {array.shape}"
        raise DensityError(
            f"{name}: the log density returned {what}: a log density is one number; sum it"
        )
    return float(array.reshape(()))


def _called(fn: Callable[[Any], object], event: Any, name: str) -> object:
    try:
        with np.errstate(all="ignore"):
            return guarded(fn, f"the log density of {name}")(event)
    except Exception as error:
        text, kind = raised(error)
        raise DensityError(
            f"{text} ({kind} raised by the log density of {name} at {event}{location(error)})"
        ) from error


def _with_differences(
    values: Callable[[Array], Array],
) -> Callable[[Array], tuple[Array, Array]]:
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
    values: Callable[[Array], Array], gradient: Callable[[Any], object], parts: Layout, name: str
) -> Callable[[Array], tuple[Array, Array]]:
    """Returns values with the user's gradients, which are over events, taken to those over u."""
    pull, size = pullback(parts), sum(math.prod(leaf.shape) for leaf in parts.leaves)

    def evaluate(u: Array) -> tuple[Array, Array]:
        slopes = [_slope(gradient, event, parts, name) for event in _events(parts, u)]
        return values(u), pull(u, np.array(slopes).reshape(len(u), size))

    evaluate(parts.start[None])
    return evaluate


def _slope(gradient: Callable[[Any], object], event: Any, parts: Layout, name: str) -> Array:
    """Returns a gradient over an event as one vector, in the order of the leaves."""
    slope = _called(gradient, event, f"{name}'s gradient")
    named = parts.take_apart(slope)
    shapes = {k: np.shape(v) for k, v in named.items()}
    wanted = {leaf.name: leaf.shape for leaf in parts.leaves}
    if shapes != wanted:
        bare = parts.bare and BARE in shapes
        got, want = (shapes[BARE], wanted[BARE]) if bare else (shapes, wanted)
        raise DensityError(f"{name}: the gradient has shape {got}; it must be {want}, as an event")
    return np.concatenate([np.ravel(np.asarray(named[k], dtype=np.float64)) for k in wanted])


# A user's log probability of discrete latents, whatever its style, as one of many states at once.

Values = Callable[[Int[np.ndarray, "n m"]], Float[np.ndarray, " n"]]
#: States of one call of a compiled function.
_ROWS = 1024


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
    """Returns log p at codes (n, m), the shape of an event, and how many values each latent has.

    Raises:
        InputError: the example is not an array of whole numbers within the support.
        DensityError: fn raises, or does not return one number, or NaN or +inf, at a state.
    """
    k = categories(p)
    assert k is not None
    example = _example(p.example, k)
    call = _batched(p.fn, example, k)

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


def _example(example: object, k: int) -> Array:
    try:
        array = np.asarray(example)
    except ValueError:
        array = np.empty(0, dtype=object)
    if array.dtype.kind not in "iufb" or array.size == 0:
        raise InputError(
            f"example={example!r}: give an integer array, such as np.zeros(6, dtype=int)"
        )
    if not np.isin(array, np.arange(k)).all():
        raise InputError(f"example={example!r}: its values must be among 0 .. {k - 1}")
    return array.astype(np.int64)


def _batched(fn: Callable[..., Any], example: Array, k: int) -> Callable[[Array], Array]:
    if not callable(fn):
        raise InputError(f"LogDensity: fn must be a function, got {type(fn).__name__}")
    fn = guarded(fn, "the log probability")
    # Two different events: at one twice, some functions of one event look like functions of two.
    other = (example + (1 + np.arange(example.size) % 2).reshape(example.shape)) % k
    singly = [_attempt(fn, x) for x in (example, other)]
    together = _attempt(fn, np.stack([example, other]))
    alone = all(value.size == 1 for value in singly)
    if together.shape == (2,) and (
        not alone or np.allclose(together, np.ravel(singly), equal_nan=True)
    ):
        return lambda x: _attempt(fn, x)
    mapped = _mapped(fn, example)
    if mapped is not None:
        return mapped
    _one_row(fn, example)
    return lambda x: np.array([_one_row(fn, row) for row in x])


def _attempt(fn: Callable[..., Any], x: Array) -> Array:
    """What fn returns; empty if it fails, which may only mean that it takes events one by one."""
    try:
        with float64(), np.errstate(all="ignore"):
            return np.asarray(fn(x), dtype=np.float64)
    except Exception:  # noqa: BLE001 - whatever the user's function raises
        return np.empty(0)


def _mapped(fn: Callable[..., Any], example: Array) -> Callable[[Array], Array] | None:
    """Returns the function under vmap, compiled for one number of states; None if JAX cannot trace it."""
    jax = sys.modules.get("jax")
    if jax is None:  # a function of JAX's comes with it
        return None
    program = jax.jit(jax.vmap(fn))
    try:
        with float64():
            if jax.eval_shape(fn, jax.ShapeDtypeStruct(example.shape, np.int64)).shape != ():
                return None
    except Exception:  # noqa: BLE001 - it may be a NumPy function
        return None

    def values(x: Array) -> Array:
        out = np.empty(len(x))
        for start in range(0, len(x), _ROWS):
            rows = x[start : start + _ROWS]
            padding = np.broadcast_to(example, (_ROWS - len(rows), *example.shape))
            with float64():
                found = np.asarray(program(np.concatenate([rows, padding])), dtype=np.float64)
            out[start : start + _ROWS] = found[: len(rows)]
        return out

    return values


def _one_row(fn: Callable[..., Any], x: Array) -> float:
    try:
        with np.errstate(all="ignore"):
            value = np.asarray(fn(x), dtype=np.float64)
    except Exception as error:
        text, kind = raised(error)
        raise DensityError(
            f"{text} ({kind} raised by the log probability at x = {x.tolist()})"
        ) from error
    if value.size != 1:
        raise DensityError(
            f"the log probability of one state has shape {value.shape}; it must be one number"
        )
    return float(value.reshape(()))
