"""A torch log density as one over the whole space."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from kullback.core.errors import DensityError
from kullback.core.optional import need
from kullback.core.user_code import guarded, raised
from kullback.interop.examples import apart
from kullback.interop.parameters import Layout, layout, pullback
from kullback.interop.tracing import described, location
from kullback.targets import Unconstrained

Array = np.ndarray
#: Points of one call under vmap.
_ROWS = 256


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
    start = _flat(parts, parts.start[None])
    _check(scalar, torch.from_numpy(start[0]), torch)
    slopes, pull = _batched(scalar, start, torch), pullback(parts)

    def evaluate(u: Array) -> tuple[Array, Array]:
        values, gradients = np.empty(len(u)), np.empty(u.shape)
        for i in range(0, len(u), _ROWS):
            rows = u[i : i + _ROWS]
            value, slope = slopes(_flat(parts, rows))
            values[i : i + _ROWS] = value + parts.log_jacobian(rows)
            gradients[i : i + _ROWS] = pull(rows, slope)
        return values, gradients

    return parts.target(evaluate, gradient="automatic", origin="torch function")


def _flat(parts: Layout, u: Array) -> Array:
    """Returns n events, each with its parameters one after another, (n, e)."""
    named = parts.constrain(u)
    return np.concatenate([v.reshape(len(u), -1) for v in named.values()], axis=1)


def _scalar(fn: Callable[[Any], Any], parts: Layout, torch: Any, name: str) -> Callable[[Any], Any]:
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


def _check(scalar: Callable[[Any], Any], x: Any, torch: Any) -> None:
    """Raises DensityError if fn fails at one event, or its value is cut off from its argument."""
    with torch.enable_grad():
        value = scalar(x.clone().requires_grad_())
    if not value.requires_grad:
        raise DensityError(
            "the log density does not depend on its argument, as torch sees it: .item(), .numpy(), "
            ".detach() and torch.tensor(...) of a tensor cut the gradient off"
        )


def _batched(
    scalar: Callable[[Any], Any], start: Array, torch: Any
) -> Callable[[Array], tuple[Array, Array]]:
    """Returns values and gradients of n events: under vmap if fn takes it, else one by one."""

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
        found, known = together(pair), singly(pair)
    except Exception:  # noqa: BLE001 - whatever stops vmap, one at a time works
        return singly
    same = all(
        np.allclose(a, b, rtol=1e-9, equal_nan=True) for a, b in zip(found, known, strict=True)
    )
    return together if same else singly
