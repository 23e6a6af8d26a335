"""A `LogDensity` as values and gradients over the whole space."""

import importlib.util
from collections.abc import Callable
from typing import Any

from kullback.core.errors import InputError
from kullback.core.user_code import guarded
from kullback.interop.numpy_function import numpy_function
from kullback.interop.parameters import layout
from kullback.interop.tracing import TracingError
from kullback.targets import LogDensity, Unconstrained


def unconstrained(p: LogDensity) -> Unconstrained:
    """Returns the log density of a JAX function in unconstrained coordinates; of a NumPy one by differences.

    Raises:
        InputError: the example or the support cannot be used.
        DensityError: the function cannot be traced, raises, or does not return one number.
    """
    if not callable(p.fn):
        raise InputError(f"LogDensity: fn must be a function, got {type(p.fn).__name__}")
    if p.gradient is not None or importlib.util.find_spec("jax") is None:
        gradient = None if isinstance(p.gradient, str) else p.gradient
        return numpy_function(p.fn, p.example, gradient=gradient, support=p.support)
    from kullback.interop.jax_function import compiled  # noqa: PLC0415 - JAX is optional

    parts = layout(p.example, p.support)
    fn: Callable[[Any], Any] = guarded(p.fn, "the log density of p")

    def log_density(u: Any) -> Any:
        return fn(parts.constrain_one(u)) + parts.log_jacobian_one(u)

    plain = parts.is_real and parts.bare and parts.leaves[0].shape == (parts.dimension,)
    whole: Callable[[Any], Any] = fn if plain else log_density
    try:
        evaluate = compiled(whole, parts.dimension)
    except TracingError as error:
        if error.obstacle not in ("array", "number"):
            raise
        return numpy_function(p.fn, p.example, gradient=None, support=p.support)
    return parts.target(evaluate, gradient="automatic", origin="JAX function")
