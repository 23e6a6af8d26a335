"""Calling a loss of JAX, torch or NumPy on float64 arrays, for its value and its gradient."""

import functools
import importlib
import importlib.util
import inspect
import sys
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, final

import numpy as np

from kullback.core.numerics import float64
from kullback.core.user_code import user_code

Array = np.ndarray
#: Arguments by name: arrays are turned into the library's, all else is passed as it is.
Arguments = Mapping[str, Any]
#: The weight of each number of an output of this shape.
Weigh = Callable[[tuple[int, ...]], Array | float]


class LossCall(ABC):
    """A loss in one library."""

    name: str

    def __init__(self, bound: Callable[[Arguments], Any]) -> None:
        self.bound = bound
        self.library = importlib.import_module(self.name)
        #: What was compiled and how precise it is, by what it was compiled for.
        self.programs: dict[str, Callable[..., Any]] = {}
        self.bits: dict[str, int] = {}

    @abstractmethod
    def many(
        self, draws: Sequence[Arguments], wanted: Sequence[str], weigh: Weigh
    ) -> tuple[Array, dict[str, Array] | None, int]:
        """Returns, for each draw, the weighted sum of the output and its gradients; and the precision.

        Gradients are None where the library has none (NumPy). The precision is 64 or 32 bits.
        """


def libraries(fn: Callable[..., Any]) -> list[str]:
    """Returns the libraries a function may be written in, the likeliest first."""
    names = _roots(fn)
    found = [n for n in ("torch", "jax", "numpy") if n in names or (n == "jax" and "jnp" in names)]
    if "optax" in names and "jax" not in found:
        found.append("jax")
    found += ["torch"] if "torch" in sys.modules and "torch" not in found else []
    found += [n for n in ("jax", "numpy") if n not in found]
    return [n for n in found if importlib.util.find_spec(n) is not None]


def loss_call(library: str, fn: Callable[..., Any], positional: Sequence[str]) -> LossCall:
    """Returns a loss as one of "torch", "jax" or "numpy"; `positional` are names passed by position."""
    bound = functools.partial(_bound, fn, tuple(positional))
    return {"torch": _Torch, "jax": _Jax, "numpy": _Numpy}[library](bound)


def _bound(fn: Callable[..., Any], positional: tuple[str, ...], arguments: Arguments) -> Any:
    given = dict(arguments)
    inner = getattr(fn, "func", fn)
    name = getattr(inner, "__name__", type(inner).__name__)
    with warnings.catch_warnings(), user_code(f"the loss {name}"):
        warnings.simplefilter("ignore")
        output = fn(*[given.pop(name) for name in positional], **given)
        return _first_number(output)


def _first_number(output: Any) -> Any:
    """A loss that returns more: the first, or what is called loss."""
    if isinstance(output, Mapping):
        return _first_number(output.get("loss", next(iter(output.values()))))
    if isinstance(output, tuple | list) and len(output) and not np.isscalar(output[0]):
        return _first_number(output[0])
    if isinstance(output, tuple | list) and len(output):
        return output[0]
    return getattr(output, "loss", output)


def _roots(fn: Callable[..., Any]) -> set[str]:
    """Names of the top-level modules and global names that a function's code mentions."""
    inner = inspect.unwrap(fn.func if isinstance(fn, functools.partial) else fn)
    found = {(getattr(inner, "__module__", None) or type(inner).__module__).partition(".")[0]}
    found.add(type(inner).__module__.partition(".")[0])
    for base in type(inner).__mro__:
        found.add(base.__module__.partition(".")[0])
    method = getattr(inner, "forward", None) or getattr(inner, "__func__", None) or inner
    called = vars(type(inner)).get("__call__")
    code = getattr(method, "__code__", None) or getattr(called, "__code__", None)
    scope = getattr(method, "__globals__", {})
    if code is None:
        return found
    for name in code.co_names:
        found.add(name)
        thing = scope.get(name)
        home = thing.__name__ if inspect.ismodule(thing) else getattr(thing, "__module__", "")
        found.add((home or "").partition(".")[0])
        if inspect.isfunction(thing):
            found |= set(thing.__code__.co_names)
            found |= {
                v.__name__.partition(".")[0]
                for n in thing.__code__.co_names
                if inspect.ismodule(v := thing.__globals__.get(n))
            }
    return found


@final
class _Numpy(LossCall):
    name = "numpy"

    def many(
        self, draws: Sequence[Arguments], wanted: Sequence[str], weigh: Weigh
    ) -> tuple[Array, dict[str, Array] | None, int]:
        sums, bits = [], 64
        for draw in draws:
            copies = {n: v.copy() if isinstance(v, np.ndarray) else v for n, v in draw.items()}
            output = np.asarray(self.bound(copies))
            bits = min(bits, _bits(output.dtype))
            sums.append(float(np.sum(weigh(output.shape) * output.astype(np.float64))))
        return np.array(sums), None, bits


@final
class _Torch(LossCall):
    name = "torch"

    def many(
        self, draws: Sequence[Arguments], wanted: Sequence[str], weigh: Weigh
    ) -> tuple[Array, dict[str, Array] | None, int]:
        torch = self.library
        threads, state = torch.get_num_threads(), torch.get_rng_state()
        torch.set_num_threads(1)  # the tensors are tiny: more threads only wait for each other
        try:
            found = [self._one(draw, wanted, weigh) for draw in draws]
        finally:
            torch.set_num_threads(threads)
            torch.set_rng_state(state)
        values, slopes, bits = zip(*found, strict=True)
        gradients = {name: np.stack([s[i] for s in slopes]) for i, name in enumerate(wanted)}
        return np.array(values), gradients, min(bits)

    def _one(
        self, draw: Arguments, wanted: Sequence[str], weigh: Weigh
    ) -> tuple[float, list[Array], int]:
        torch = self.library
        torch.default_generator.manual_seed(0)  # every draw from one state of random numbers
        tensors = {
            n: torch.from_numpy(v.copy()) if isinstance(v, np.ndarray) else v
            for n, v in draw.items()
        }
        leaves = [tensors[name].requires_grad_() for name in wanted]
        with torch.set_grad_enabled(bool(wanted)):
            output = torch.as_tensor(self.bound(tensors))
            weights = torch.as_tensor(weigh(tuple(output.shape)), dtype=torch.float64)
            summed = (weights * output.to(torch.float64)).sum()
        found = [None for _ in leaves]
        if summed.requires_grad:
            found = torch.autograd.grad(summed, leaves, allow_unused=True)
        pairs = zip(leaves, found, strict=True)
        slopes = [np.zeros(tuple(x.shape)) if g is None else g.numpy() for x, g in pairs]
        return summed.item(), slopes, _bits(output.dtype)


@final
class _Jax(LossCall):
    name = "jax"

    def many(
        self, draws: Sequence[Arguments], wanted: Sequence[str], weigh: Weigh
    ) -> tuple[Array, dict[str, Array] | None, int]:
        jax = self.library
        names = [n for n, v in draws[0].items() if isinstance(v, np.ndarray)]
        fixed = {n: v for n, v in draws[0].items() if n not in names}
        with float64():
            arrays = {n: jax.numpy.asarray(np.stack([d[n] for d in draws])) for n in names}
            key = repr((tuple(wanted), {n: v.shape for n, v in arrays.items()}, fixed))

            def summed(leaves: Arguments, others: Arguments) -> Any:
                output = jax.numpy.asarray(self.bound({**fixed, **leaves, **others}))
                self.bits[key] = _bits(output.dtype)
                return (weigh(output.shape) * output.astype(np.float64)).sum()

            slopes = jax.value_and_grad(summed)
            compiled = self.programs.setdefault(key, jax.jit(jax.vmap(slopes)))
            leaves = {n: arrays.pop(n) for n in wanted}
            try:
                values, gradients = compiled(leaves, arrays)
            except Exception:  # noqa: BLE001 - whatever stops a trace, one at a time may work
                each = [
                    slopes(*({n: v[i] for n, v in side.items()} for side in (leaves, arrays)))
                    for i in range(len(draws))
                ]
                values, gradients = jax.tree.map(lambda *parts: np.stack(parts), *each)
            found = {n: np.asarray(gradients[n], dtype=np.float64) for n in wanted}
            return np.asarray(values, dtype=np.float64), found, self.bits[key]


def _bits(dtype: Any) -> int:
    """The precision of a type by its name; integers count as exact."""
    name = str(dtype)
    return 16 if name.endswith("16") else 32 if name.endswith("float32") else 64
