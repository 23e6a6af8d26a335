"""How many threads linear algebra and trees run on."""

import sys
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import Any, Literal

#: Coordinates up to which linear algebra gains nothing by several threads.
_NARROW = 64

#: Modules that bring a library of threads.
_WITH_LIBRARIES = ("numpy", "scipy.linalg", "sklearn", "torch")


def one_thread(of: Literal["blas", "openmp"] = "blas") -> AbstractContextManager[object]:
    """Returns a context in which linear algebra, or what is written with OpenMP, runs on one thread.

    Small work is slower on several: the threads wait for each other, and burn the time. Where other
    processes hold the cores they do little else: twenty times the time was measured. And the last digits
    of a sum are of their number.
    """
    loaded = tuple(name in sys.modules for name in _WITH_LIBRARIES)
    return _controller(loaded).limit(limits=1, user_api=of)


def threads(d: int) -> AbstractContextManager[object]:
    """Returns a context in which work in d coordinates has the threads that it can use: one, unless d is large."""
    return one_thread() if d <= _NARROW else nullcontext()


@cache
def _controller(_loaded: tuple[bool, ...]) -> Any:
    from threadpoolctl import ThreadpoolController  # noqa: PLC0415 - closed forms need none of it

    # Looking for the libraries takes longer than a small fit: they are looked for where there may be new ones.
    return ThreadpoolController()


# Float64 inside, the caller's JAX flags untouched.


def float64() -> AbstractContextManager[object]:
    """Returns a context in which JAX computes in float64, if JAX is loaded at all.

    The flag is thread-local and restored on exit; NumPy needs nothing.
    """
    jax = sys.modules.get("jax")
    return nullcontext() if jax is None else jax.enable_x64(True)  # noqa: FBT003
