"""Float64 inside, the caller's JAX flags untouched."""

import sys
from contextlib import AbstractContextManager, nullcontext


def float64() -> AbstractContextManager[object]:
    """Returns a context in which JAX computes in float64, if JAX is loaded at all.

    The flag is thread-local and restored on exit; NumPy needs nothing.
    """
    jax = sys.modules.get("jax")
    return nullcontext() if jax is None else jax.enable_x64(True)  # noqa: FBT003
