"""A JAX log density as a compiled function of many points: traced once, compiled in two shapes."""

import functools
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, final

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import eval_jaxpr
from jax.extend.core import ClosedJaxpr, jaxpr_as_fun

from kullback.core.errors import DensityError, InputError
from kullback.core.numerics import float64
from kullback.core.user_code import guarded, raised
from kullback.interop.callables import TracingError, described, explained
from kullback.interop.parameters import layout
from kullback.targets import LogDensity

Array = np.ndarray
Evaluate = Callable[[Array], tuple[Array, Array]]
#: From data and points to values and gradients.
Program = Callable[[list[Any], Array], tuple[Any, Any]]
Kind = jax.ShapeDtypeStruct

#: Rows of the large program, if its intermediate arrays allow; and how many rows go one by one.
ROWS, _FEW = 256, 4
#: Numbers of rows that other programs are compiled for.
COUNTS = (64, 512, 4096, 32768)
#: Numbers that one intermediate array of the large program may hold (256 MiB).
_NUMBERS = 2**25


def compiled(log_density: Callable[[jax.Array], Any], d: int, *, name: str = "p") -> Evaluate:
    """Returns a JAX log density of one point (d,) as values (n,) and gradients (n, d) of n points, in NumPy.

    The function is called once, here, to trace it. At the first evaluation two programs are
    compiled side by side, for one row and for 256 (fewer where an intermediate array would be
    huge); the large one is waited for when more than four rows are asked for. Everything is
    float64, whatever the caller's flags. NaN and infinities are passed on.

    Example:
        >>> evaluate = compiled(lambda u: -0.5 * (u**2).sum(), 2)
        >>> evaluate(np.array([[1.0, 2.0]]))
        (array([-2.5]), array([[-1., -2.]]))
    """
    return compiled_with(log_density, d, (), name=name)(())


def compiled_with(
    log_density: Callable[..., Any], d: int, data: Sequence[Array], *, name: str = "p"
) -> Callable[[Sequence[Array]], Evaluate]:
    """Returns what makes of arrays a log density as `compiled` does, traced and compiled once for all of them.

    Args:
        log_density: of a point (d,) and of arrays.
        d: numbers in a point.
        data: arrays of the shapes and types that all have; their values are not looked at.
        name: of the density, in messages.

    Example:
        >>> about = compiled_with(lambda u, y: -0.5 * ((y - u) ** 2).sum(), 1, [np.zeros(2)])
        >>> [float(about([y])(np.zeros((1, 1)))[0][0]) for y in (np.ones(2), np.full(2, 3.0))]
        [-1.0, -9.0]
    """
    kinds = [jax.ShapeDtypeStruct(y.shape, y.dtype) for y in data]
    jaxpr = _trace(guarded(log_density, f"the log density of {name}"), d, kinds, name)
    programs = functools.cache(lambda: _start(jaxpr, d, kinds, name))

    def at(data: Sequence[Array]) -> Evaluate:
        with float64():
            held = [jax.device_put(np.array(y)) for y in data]  # the caller may change them
        return CompiledDensity(jaxpr, held, programs, name)

    return at


#: Programs of one row and of many, while they are compiled, and the rows of the latter.
Programs = tuple[Future[Program], Future[Program], int]


@final
@dataclass(frozen=True, eq=False)
class CompiledDensity:
    """Values and gradients of n points; for other programs of JAX, those of one.

    Attributes:
        jaxpr: value and gradient of a point, as traced.
        held: the data.
        programs: gives what is compiled of it.
        name: of the density, in messages.
    """

    jaxpr: ClosedJaxpr
    held: list[Any]
    programs: Callable[[], Programs]
    name: str

    def __call__(self, u: Array) -> tuple[Array, Array]:
        u = np.ascontiguousarray(u, dtype=np.float64)
        single, batch, rows = self.programs()
        few = len(u) <= _FEW or rows == 1
        chosen, size = (single, 1) if few else (batch, rows)
        program = chosen.result()
        try:
            return _of_rows(program, self.held, u, size)
        except jax.errors.JaxRuntimeError as error:
            raise DensityError(
                f"{str(error).strip()} (raised while the log density of {self.name} was computed)"
            ) from error

    @property
    def arrays(self) -> tuple[list[Any], list[Any]]:
        """What it holds, and the data: arguments of `traced`."""
        with float64():
            return [jax.device_put(c) for c in self.jaxpr.consts], self.held

    def traced(self, arrays: tuple[list[Any], list[Any]], u: Any) -> tuple[Any, Any]:
        """Returns value and gradient at one point, while JAX traces."""
        value, gradient = eval_jaxpr(self.jaxpr.jaxpr, arrays[0], u, *arrays[1])
        return value, gradient


#: What JAX 0.10 says of arrays that it has traced in float32 before, as a sampler does, and remembers so.
_MIXED = "requires arguments to have the same dtypes"


def _trace(log_density: Callable[..., Any], d: int, data: list[Kind], name: str) -> ClosedJaxpr:
    """Returns value and gradient of one point, traced; anew where JAX takes float64 for what it had in float32."""
    try:
        return _trace_once(log_density, d, data, name)
    except TracingError as error:
        if _MIXED not in str(error):
            raise
    jax.clear_caches()
    return _trace_once(log_density, d, data, name)


def _trace_once(
    log_density: Callable[..., Any], d: int, data: list[Kind], name: str
) -> ClosedJaxpr:
    point = jax.ShapeDtypeStruct((d,), np.float64)
    with float64():
        value = _traced(lambda u, *y: _number(log_density(u, *y), name), (point, *data), name)
        slope = jax.value_and_grad(lambda u, *y: jaxpr_as_fun(value)(u, *y)[0])
        try:
            return _traced(slope, (point, *data), name)
        except TracingError as error:
            raise TracingError(
                f'{error}: JAX has no gradient of it; say gradient="differences"', "number"
            ) from error


def _traced(fn: Callable[..., Any], given: Sequence[Kind], name: str) -> ClosedJaxpr:
    try:
        return jax.make_jaxpr(fn)(*given)
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


def _start(jaxpr: ClosedJaxpr, d: int, kinds: list[Kind], name: str) -> Programs:
    """Starts both compilations; they run outside Python's lock, in threads of their own.

    Lowering does not, and it may call code with global state: it stays in this thread.
    """
    rows, pool = _fitting_rows(jaxpr), ThreadPoolExecutor(2)
    with float64():
        # What the function holds is an argument too: as constants, XLA would fold it for seconds.
        held = [jax.device_put(c) for c in jaxpr.consts]
        single = pool.submit(_compile, _lowered(jaxpr, held, kinds, (1, d), name), held)
        batch = single
        if rows > 1:
            batch = pool.submit(_compile, _lowered(jaxpr, held, kinds, (rows, d), name), held)
    pool.shutdown(wait=False)
    return single, batch, rows


def _lowered(
    jaxpr: ClosedJaxpr, held: list[Any], kinds: list[Kind], shape: tuple[int, int], name: str
) -> Any:
    def one(held: list[Any], data: list[Any], u: jax.Array) -> list[Any]:
        return eval_jaxpr(jaxpr.jaxpr, held, u, *data)

    points = jax.ShapeDtypeStruct(shape, np.float64)
    try:
        return jax.jit(jax.vmap(one, (None, None, 0))).lower(held, kinds, points)
    except Exception as error:
        raise explained(error, name) from error


def _compile(lowered: Any, held: list[Any]) -> Program:
    with float64():
        return functools.partial(lowered.compile(), held)


def _of_rows(program: Program, held: list[Any], u: Array, size: int) -> tuple[Array, Array]:
    """The values and gradients of n points: `in_chunks` without its trees, which take as long as a small density."""
    n = len(u)
    values, gradients = np.empty(n), np.empty(u.shape)
    with float64():
        for start in range(0, n, size):
            part = u[start : start + size]
            value, gradient = program(held, part if len(part) == size else _filled(part, size))
            values[start : start + size] = np.asarray(value)[: n - start]
            gradients[start : start + size] = np.asarray(gradient)[: n - start]
    return values, gradients


def _fitting_rows(jaxpr: ClosedJaxpr) -> int:
    """The rows of the large program: a power of two, 256 unless an array would be huge."""
    sizes = [np.prod(getattr(v.aval, "shape", ())) for e in jaxpr.eqns for v in e.outvars]
    largest = max((int(s) for s in sizes), default=1)
    rows = ROWS
    while rows > 1 and rows * largest > _NUMBERS:
        rows //= 2
    return rows


def in_chunks(program: Callable[[Any], Any], rows: Any, size: int = ROWS) -> Any:
    """Returns a program of `size` rows at n rows, in NumPy; the last are padded with the first.

    Args:
        program: a compiled function, from a pytree of arrays to one.
        rows: a pytree of arrays (n, ...).
        size: the rows that the program takes.
    """
    n = len(jax.tree.leaves(rows)[0])
    out = []
    with float64():
        for start in range(0, max(n, 1), size):
            part = jax.tree.map(lambda leaf: _filled(leaf[start : start + size], size), rows)  # noqa: B023
            out.append(jax.tree.map(lambda v: np.asarray(v)[: n - start], program(part)))  # noqa: B023
    return jax.tree.map(lambda *parts: np.concatenate(parts), *out) if len(out) > 1 else out[0]


def in_counts(program: Callable[[Any], Any], rows: Array) -> Any:
    """Returns a program at n rows, called with a few numbers of them only: it is compiled for each."""
    return in_chunks(program, rows, count(len(rows)))


def count(n: int) -> int:
    """Returns the smallest number of rows a program is compiled for that holds n, or the largest."""
    return next((c for c in COUNTS if c >= n), COUNTS[-1])


def _filled(rows: Array, size: int) -> Array:
    part = np.asarray(rows, dtype=rows.dtype if rows.dtype.kind in "iu" else np.float64)
    if len(part) == size:
        return part
    filler = part[:1] if len(part) else np.zeros((1, *part.shape[1:]), part.dtype)
    return np.concatenate([part, np.repeat(filler, size - len(part), axis=0)])


# A log density that is a sum over rows, estimated from a few of them.

#: Values and gradients at n points, from rows drawn anew.
Minibatch = Callable[[Array, np.random.Generator], tuple[Array, Array]]
#: Rows of all the data that are looked at together.
_TOGETHER = 4096


def subsampled(
    p: LogDensity, log_likelihood: Callable[[Any, Any], Any], rows: Any, size: int
) -> tuple[LogDensity, Minibatch]:
    """Returns log p(x) = fn(x) + sum_i log_likelihood(x, row_i), and an estimate of it and its gradient.

    The estimate is unbiased: the sum over rows is replaced by N / size times that over rows drawn without
    replacement, the same for all points of a call.

    Args:
        p: what does not depend on the rows: fn is the log prior.
        log_likelihood: maps an event and a row to a number; a JAX function.
        rows: an array (N, ...), or a pytree of these with the same N.
        size: how many rows a step sees, from 1 to N.

    Raises:
        InputError: the rows are not arrays of one length, or the size is not from 1 to N.
    """
    data = jax.tree.map(np.asarray, rows)
    lengths = {leaf.shape[0] if leaf.ndim else 0 for leaf in jax.tree.leaves(data)}
    if len(lengths) != 1 or 0 in lengths:
        raise InputError(f"rows must be arrays of one length N > 0, got lengths {sorted(lengths)}")
    total = lengths.pop()
    if isinstance(size, bool) or not isinstance(size, int) or not 1 <= size <= total:
        raise InputError(f"size={size!r}: a step sees from 1 to N = {total} rows")

    prior: Callable[[Any], Any] = guarded(p.of_event, "the log prior")
    log_likelihood = guarded(log_likelihood, "log_likelihood")

    def whole(x: Any) -> Any:
        terms = jax.lax.map(lambda row: log_likelihood(x, row), data, batch_size=_TOGETHER)
        return prior(x) + jnp.sum(terms)

    parts = layout(p.example, p.support)

    def one(u: jax.Array, some: Any) -> Any:
        x = parts.constrain_one(u)
        terms = jax.vmap(lambda row: log_likelihood(x, row))(some)
        return prior(x) + parts.log_jacobian_one(u) + (total / size) * jnp.sum(terms)

    program = jax.jit(jax.vmap(jax.value_and_grad(one), (0, None)))

    def minibatch(u: Array, rng: np.random.Generator) -> tuple[Array, Array]:
        chosen = rng.choice(total, size, replace=False, shuffle=False)
        some = jax.tree.map(lambda leaf: leaf[chosen], data)
        with float64():
            try:
                value, gradient = program(np.asarray(u, dtype=np.float64), some)
            except Exception as error:
                text, kind = raised(error)
                raise DensityError(
                    f"{text} ({kind} raised by log_likelihood or the log prior)"
                ) from error
        return np.asarray(value), np.asarray(gradient)

    return replace(p, fn=whole, data=None), minibatch
