"""A JAX log density as a compiled function of many points: traced once, compiled in two shapes."""

import functools
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import eval_jaxpr
from jax.extend.core import ClosedJaxpr, jaxpr_as_fun

from kullback.core.errors import DensityError
from kullback.core.numerics import float64
from kullback.core.user_code import guarded
from kullback.interop.tracing import TracingError, described, explained

Array = np.ndarray
Evaluate = Callable[[Array], tuple[Array, Array]]
Program = Callable[[Array], tuple[Any, Any]]

#: Rows of the large program, if its intermediate arrays allow; and how many rows go one by one.
_ROWS, _FEW = 256, 4
#: Numbers that one intermediate array of the large program may hold (256 MiB).
_NUMBERS = 2**25


def compiled(log_density: Callable[[jax.Array], Any], d: int, *, name: str = "p") -> Evaluate:
    """Returns a JAX log density of one point as values and gradients of n points.

    The function is called once, here, to trace it. At the first evaluation two programs are
    compiled side by side, for one row and for 256 (fewer where an intermediate array would be
    huge); the large one is waited for when more than four rows are asked for. Everything is
    float64, whatever the caller's flags.

    Args:
        log_density: maps u of shape (d,) to a number.
        d: the dimension.
        name: what the density is called in messages.

    Returns:
        A function from u (n, d) to log densities (n,) and their gradients (n, d), in NumPy. NaN and
        infinities are passed on.

    Raises:
        TracingError: a `DensityError`: JAX cannot trace it, or it raises.
        DensityError: it does not return one number.

    Example:
        >>> evaluate = compiled(lambda u: -0.5 * (u**2).sum(), 2)
        >>> evaluate(np.array([[1.0, 2.0]]))
        (array([-2.5]), array([[-1., -2.]]))
    """
    jaxpr = _trace(guarded(log_density, f"the log density of {name}"), d, name)
    programs = functools.cache(lambda: _start(jaxpr, d, name))

    def evaluate(u: Array) -> tuple[Array, Array]:
        u = np.ascontiguousarray(u, dtype=np.float64)
        single, batch, rows = programs()
        few = len(u) <= _FEW or rows == 1
        chosen, size = (single, 1) if few else (batch, rows)
        try:
            with float64():
                return _in_chunks(chosen.result(), u, size)
        except jax.errors.JaxRuntimeError as error:
            raise DensityError(
                f"{str(error).strip()} (raised while the log density of {name} was computed)"
            ) from error

    return evaluate


def _trace(log_density: Callable[[jax.Array], Any], d: int, name: str) -> ClosedJaxpr:
    """Returns value and gradient of one point, traced."""
    point = jax.ShapeDtypeStruct((d,), np.float64)
    with float64():
        value = _traced(lambda u: _number(log_density(u), name), point, name)
        try:
            return _traced(jax.value_and_grad(lambda u: jaxpr_as_fun(value)(u)[0]), point, name)
        except TracingError as error:
            raise TracingError(
                f'{error}: JAX has no gradient of it; say gradient="differences"', "number"
            ) from error


def _traced(fn: Callable[[jax.Array], Any], point: jax.ShapeDtypeStruct, name: str) -> ClosedJaxpr:
    try:
        return jax.make_jaxpr(fn)(point)
    except DensityError:
        raise
    except Exception as error:
        raise explained(error, name) from error


def _number(value: Any, name: str) -> jax.Array:
    """Returns what a log density gave as a float64 scalar."""
    single = isinstance(value, (int, float, np.ndarray, np.number, np.bool_, jax.Array))
    if not single or np.size(value) != 1 or np.ndim(value) > 1 or jnp.iscomplexobj(value):
        raise DensityError(f"{name}: the log density returned {described(value)}")
    return jnp.reshape(jnp.asarray(value, dtype=jnp.float64), ())


def _start(jaxpr: ClosedJaxpr, d: int, name: str) -> tuple[Future[Program], Future[Program], int]:
    """Starts both compilations; they run outside Python's lock, in threads of their own.

    Lowering does not, and it may call code with global state: it stays in this thread.
    """
    rows, pool = _fitting_rows(jaxpr), ThreadPoolExecutor(2)
    with float64():
        # The data are arguments: as constants, XLA would fold them for seconds.
        data = [jax.device_put(c) for c in jaxpr.consts]
        single = pool.submit(_compile, _lowered(jaxpr, data, (1, d), name), data)
        batch = single
        if rows > 1:
            batch = pool.submit(_compile, _lowered(jaxpr, data, (rows, d), name), data)
    pool.shutdown(wait=False)
    return single, batch, rows


def _lowered(jaxpr: ClosedJaxpr, data: list[Any], shape: tuple[int, int], name: str) -> Any:
    def one(data: list[Any], u: jax.Array) -> list[Any]:
        return eval_jaxpr(jaxpr.jaxpr, data, u)

    points = jax.ShapeDtypeStruct(shape, np.float64)
    try:
        return jax.jit(jax.vmap(one, (None, 0))).lower(data, points)
    except Exception as error:
        raise explained(error, name) from error


def _compile(lowered: Any, data: list[Any]) -> Program:
    with float64():
        return functools.partial(lowered.compile(), data)


def _fitting_rows(jaxpr: ClosedJaxpr) -> int:
    """The rows of the large program: a power of two, 256 unless an array would be huge."""
    sizes = [np.prod(getattr(v.aval, "shape", ())) for e in jaxpr.eqns for v in e.outvars]
    largest = max((int(s) for s in sizes), default=1)
    rows = _ROWS
    while rows > 1 and rows * largest > _NUMBERS:
        rows //= 2
    return rows


def _in_chunks(program: Program, u: Array, size: int) -> tuple[Array, Array]:
    """Calls a program for `size` rows on any number of rows, the last chunk padded."""
    values, gradients = np.empty(len(u)), np.empty(u.shape)
    for start in range(0, len(u), size):
        rows = u[start : start + size]
        padding = np.broadcast_to(rows[:1], (size - len(rows), u.shape[1]))
        chunk = np.concatenate([rows, padding]) if len(padding) else rows
        value, gradient = program(chunk)
        values[start : start + size] = np.asarray(value)[: len(rows)]
        gradients[start : start + size] = np.asarray(gradient)[: len(rows)]
    return values, gradients
