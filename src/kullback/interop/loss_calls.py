"""Calling a loss of JAX, torch or NumPy on float64 arrays, for its value and its gradient."""

import contextlib
import functools
import importlib
import importlib.util
import inspect
import itertools
import sys
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from kullback.core.numerics import float64
from kullback.core.user_code import user_code

Array = np.ndarray
#: Arguments by name: arrays are turned into the library's, all else is passed as it is.
Arguments = Mapping[str, Any]
#: The weight of each number of an output of this shape.
Weigh = Callable[[tuple[int, ...]], Array | float]


@final
@dataclass(frozen=True)
class Seed:
    """An argument that is a source of random numbers, in whatever form the library has."""

    number: int


#: Repetitions where they cannot be run together.
_SINGLY = 400
#: Programs that run a few times on small arrays: XLA's optimisations take twice the time that compiling needs.
_QUICKLY = {"xla_backend_optimization_level": 0}


class LossCall(ABC):
    """A loss in one library."""

    name: str

    @abstractmethod
    def many(
        self, draws: Sequence[Arguments], wanted: Sequence[str], weigh: Weigh
    ) -> tuple[Array, dict[str, Array] | None, int]:
        """Returns, for each draw, the weighted sum of the output and its gradients; and the precision.

        Gradients are None where the library has none (NumPy). The precision is 64 or 32 bits.
        """

    @abstractmethod
    def repeated(
        self, draw: Arguments, wanted: Sequence[str], weigh: Weigh, count: int
    ) -> tuple[Array, dict[str, Array] | None]:
        """Returns the same of one draw, `count` times, each with other random numbers of the loss's own."""


def libraries(fn: Callable[..., Any]) -> list[str]:
    """Returns the libraries a function may be written in, the likeliest first."""
    names = _roots(fn)
    found = [n for n in ("torch", "jax", "numpy") if n in names or (n == "jax" and "jnp" in names)]
    if "optax" in names and "jax" not in found:
        found.append("jax")
    found += ["torch"] if "torch" in sys.modules and "torch" not in found else []
    found += [n for n in ("jax", "numpy") if n not in found]
    return [n for n in found if importlib.util.find_spec(n) is not None]


def loss_call(
    library: str, fn: Callable[..., Any], positional: Sequence[str], lists: Collection[str] = ()
) -> LossCall:
    """Returns a loss as one of a library.

    Args:
        library: "torch", "jax" or "numpy".
        fn: the loss.
        positional: names that are passed by position, in their order.
        lists: names of arguments that are passed as lists, along their first axis.
    """
    bound = functools.partial(_bound, fn, tuple(positional), frozenset(lists))
    return {"torch": _Torch, "jax": _Jax, "numpy": _Numpy}[library](bound)


def _bound(
    fn: Callable[..., Any], positional: tuple[str, ...], lists: frozenset[str], arguments: Arguments
) -> Any:
    given = {n: list(v) if n in lists else v for n, v in arguments.items()}
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

    def __init__(self, bound: Callable[[Arguments], Any]) -> None:
        self._bound = bound

    def many(
        self, draws: Sequence[Arguments], wanted: Sequence[str], weigh: Weigh
    ) -> tuple[Array, dict[str, Array] | None, int]:
        sums, bits = self._each(draws, weigh, itertools.repeat(0))
        return sums, None, bits

    def repeated(
        self, draw: Arguments, wanted: Sequence[str], weigh: Weigh, count: int
    ) -> tuple[Array, dict[str, Array] | None]:
        return self._each([draw] * count, weigh, itertools.count())[0], None

    def _each(
        self, draws: Sequence[Arguments], weigh: Weigh, seeds: Iterable[int]
    ) -> tuple[Array, int]:
        sums, bits = [], 64
        state = np.random.get_state()  # noqa: NPY002 - what the user's loss may draw from
        try:
            for draw, seed in zip(draws, seeds, strict=False):
                np.random.seed(seed)  # noqa: NPY002
                output = np.asarray(self._bound(_copies(draw, seed)))
                bits = min(bits, _bits(str(output.dtype)))
                sums.append(float(np.sum(weigh(output.shape) * output.astype(np.float64))))
        finally:
            np.random.set_state(state)  # noqa: NPY002
        return np.array(sums), bits


@final
class _Torch(LossCall):
    name = "torch"

    def __init__(self, bound: Callable[[Arguments], Any]) -> None:
        self._bound = bound
        self._torch = importlib.import_module("torch")

    def many(
        self, draws: Sequence[Arguments], wanted: Sequence[str], weigh: Weigh
    ) -> tuple[Array, dict[str, Array] | None, int]:
        with self._alone():
            return self._each(draws, wanted, weigh, itertools.repeat(0))

    def repeated(
        self, draw: Arguments, wanted: Sequence[str], weigh: Weigh, count: int
    ) -> tuple[Array, dict[str, Array] | None]:
        with self._alone():
            try:
                return self._together(draw, wanted, weigh, count)
            except Exception:  # noqa: BLE001 - whatever vmap does not take, one at a time may work
                few = min(count, _SINGLY)
                return self._each([draw] * few, wanted, weigh, itertools.count())[:2]

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """One thread, and the caller's random numbers as they were."""
        torch = self._torch
        threads, state = torch.get_num_threads(), torch.get_rng_state()
        torch.set_num_threads(1)  # the tensors are tiny: more threads only wait for each other
        try:
            yield
        finally:
            torch.set_num_threads(threads)
            torch.set_rng_state(state)

    def _together(
        self, draw: Arguments, wanted: Sequence[str], weigh: Weigh, count: int
    ) -> tuple[Array, dict[str, Array]]:
        torch = self._torch
        tensors = {n: self._tensor(v, 0) for n, v in draw.items()}
        leaves = {n: tensors.pop(n) for n in wanted}

        def summed(leaves: dict[str, Any]) -> Any:
            output = torch.as_tensor(self._bound({**tensors, **leaves}))
            weights = torch.as_tensor(weigh(tuple(output.shape)), dtype=torch.float64)
            return (weights * output.to(torch.float64)).sum()

        def one(_: Any) -> Any:
            return torch.func.grad_and_value(summed)(leaves)

        torch.default_generator.manual_seed(0)
        found, values = torch.func.vmap(one, randomness="different")(torch.zeros(count))
        return values.detach().numpy(), {n: g.detach().numpy() for n, g in found.items()}

    def _each(
        self, draws: Sequence[Arguments], wanted: Sequence[str], weigh: Weigh, seeds: Iterable[int]
    ) -> tuple[Array, dict[str, Array], int]:
        torch = self._torch
        sums, bits = [], 64
        gradients: dict[str, list[Array]] = {name: [] for name in wanted}
        for draw, seed in zip(draws, seeds, strict=False):
            torch.default_generator.manual_seed(seed)  # every draw from one state of random numbers
            tensors = {n: self._tensor(v, seed) for n, v in draw.items()}
            leaves = [tensors[name].requires_grad_() for name in wanted]
            with torch.set_grad_enabled(bool(wanted)):
                output = torch.as_tensor(self._bound(tensors))
                bits = min(bits, _bits(str(output.dtype)))
                weights = torch.as_tensor(weigh(tuple(output.shape)), dtype=torch.float64)
                summed = (weights * output.to(torch.float64)).sum()
            found = (
                torch.autograd.grad(summed, leaves, allow_unused=True)
                if summed.requires_grad
                else [None] * len(leaves)
            )
            sums.append(summed.item())
            for name, leaf, gradient in zip(wanted, leaves, found, strict=True):
                empty = np.zeros(tuple(leaf.shape))
                gradients[name].append(empty if gradient is None else gradient.numpy())
        stacked = {name: np.stack(parts) for name, parts in gradients.items()}
        return np.array(sums), stacked, bits

    def _tensor(self, value: Any, seed: int) -> Any:
        if isinstance(value, Seed):
            return self._torch.Generator().manual_seed(seed)
        return self._torch.from_numpy(value.copy()) if isinstance(value, np.ndarray) else value


@final
class _Jax(LossCall):
    name = "jax"

    def __init__(self, bound: Callable[[Arguments], Any]) -> None:
        self._bound = bound
        self._jax = importlib.import_module("jax")
        self._compiled: dict[object, Callable[..., Any]] = {}
        self._bits: dict[object, int] = {}

    def many(
        self, draws: Sequence[Arguments], wanted: Sequence[str], weigh: Weigh
    ) -> tuple[Array, dict[str, Array] | None, int]:
        jax = self._jax
        with float64():
            leaves, others = self._stacked(draws, wanted)
            shapes = {n: v.shape for side in (leaves, others) for n, v in side.items()}
            fixed = {n: v for n, v in draws[0].items() if n not in shapes}
            key = repr((tuple(wanted), shapes, fixed))
            if key not in self._compiled:
                slopes = jax.value_and_grad(self._weighted(key, fixed, weigh))
                self._compiled[key] = jax.jit(jax.vmap(slopes), compiler_options=_QUICKLY)
            try:
                values, gradients = self._compiled[key](leaves, others)
            except Exception:  # noqa: BLE001 - whatever stops a trace, one at a time may work
                values, gradients = self._singly(key, fixed, weigh, (leaves, others))
            found = {n: np.asarray(gradients[n], dtype=np.float64) for n in wanted}
            return np.asarray(values, dtype=np.float64), found, self._bits[key]

    def repeated(
        self, draw: Arguments, wanted: Sequence[str], weigh: Weigh, count: int
    ) -> tuple[Array, dict[str, Array] | None]:
        seeds = [n for n, v in draw.items() if isinstance(v, Seed)]
        draws = [{**draw, **{n: Seed(i) for n in seeds}} for i in range(count)]
        values, gradients, _ = self.many(draws, wanted, weigh)
        return values, gradients

    def _weighted(self, key: object, fixed: Arguments, weigh: Weigh) -> Callable[..., Any]:
        def summed(leaves: Arguments, others: Arguments) -> Any:
            output = self._jax.numpy.asarray(self._bound({**fixed, **leaves, **others}))
            self._bits[key] = _bits(str(output.dtype))
            return (weigh(output.shape) * output.astype(np.float64)).sum()

        return summed

    def _singly(
        self, key: object, fixed: Arguments, weigh: Weigh, sides: tuple[Arguments, Arguments]
    ) -> tuple[Array, dict[str, Array]]:
        slopes = self._jax.value_and_grad(self._weighted(key, fixed, weigh))
        count = len(next(iter({**sides[0], **sides[1]}.values())))
        parts = [
            slopes(*({n: v[i] for n, v in side.items()} for side in sides)) for i in range(count)
        ]
        gradients = {n: np.stack([np.asarray(g[n]) for _, g in parts]) for n in sides[0]}
        return np.array([float(v) for v, _ in parts]), gradients

    def _stacked(
        self, draws: Sequence[Arguments], wanted: Sequence[str]
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        draws = [
            {
                n: np.array([0, v.number], np.uint32) if isinstance(v, Seed) else v
                for n, v in d.items()
            }
            for d in draws
        ]  # a key of JAX in its raw form
        names = [n for n, v in draws[0].items() if isinstance(v, np.ndarray)]
        arrays = {n: self._jax.numpy.asarray(np.stack([d[n] for d in draws])) for n in names}
        leaves = {n: arrays[n] for n in wanted}
        return leaves, {n: v for n, v in arrays.items() if n not in leaves}


def _bits(dtype: str) -> int:
    """The precision of a type by its name; integers count as exact."""
    if dtype.endswith("16"):
        return 16
    return 32 if dtype.endswith("float32") else 64


def _copies(arguments: Arguments, seed: int) -> dict[str, Any]:
    return {
        n: v.copy()
        if isinstance(v, np.ndarray)
        else np.random.default_rng(seed)
        if isinstance(v, Seed)
        else v
        for n, v in arguments.items()
    }
