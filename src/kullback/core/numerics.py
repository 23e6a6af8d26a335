"""How many threads linear algebra and trees run on."""

import sys
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import Literal

from threadpoolctl import ThreadpoolController


def one_thread(of: Literal["blas", "openmp"] = "blas") -> AbstractContextManager[object]:
    """Returns a context in which linear algebra, or what is written with OpenMP, runs on one thread.

    Small work is slower on several: the threads wait for each other, and burn the time. Where other
    processes hold the cores they do little else: twenty times the time was measured.
    """
    return _controller(of).limit(limits=1, user_api=of)


@cache
def _controller(_of: str) -> ThreadpoolController:
    # Looking for the libraries takes longer than a small fit. Those of OpenMP come with scikit-learn,
    # which is imported late: each kind is looked for when it is first asked for.
    return ThreadpoolController()


# Float64 inside, the caller's JAX flags untouched.


def float64() -> AbstractContextManager[object]:
    """Returns a context in which JAX computes in float64, if JAX is loaded at all.

    The flag is thread-local and restored on exit; NumPy needs nothing.
    """
    jax = sys.modules.get("jax")
    return nullcontext() if jax is None else jax.enable_x64(True)  # noqa: FBT003
