"""Other people's models as targets: NumPyro, PyMC, Stan, torch and plain functions."""

import sys
from typing import TYPE_CHECKING, Any

from kullback.core.optional import need
from kullback.interop.bridgestan import is_bridged
from kullback.interop.functions import numpy_function, torch_function
from kullback.interop.stan_program import stan_program
from kullback.targets import Unconstrained

if TYPE_CHECKING:
    from kullback.interop.numpyro_model import numpyro_model
    from kullback.interop.pymc_model import pymc_model

__all__ = [
    "numpy_function",
    "numpyro_model",
    "pymc_model",
    "recognise",
    "stan_program",
    "torch_function",
]

#: Where a library's class of models lives, its name, and what reads it.
_MODELS = (
    ("pymc.model", "Model", "pymc_model"),
    ("stan.model", "Model", "stan_program"),
)


def __getattr__(name: str) -> Any:
    """Imports what needs JAX when it is asked for."""
    if name not in ("numpyro_model", "pymc_model"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(need(f"kullback.interop.{name}", name, "kullback[jax]"), name)


def recognise(thing: object) -> Unconstrained | None:
    """Returns a PyMC model, a built Stan program or a model of BridgeStan as a density; None for anything else.

    Args:
        thing: anything; no library is imported to look at it.

    Raises:
        InputError: the model has nothing to fit, or NaN in its data.
        UnsupportedError: a variable of it is discrete.
        DensityError: it cannot be evaluated.

    Example:
        >>> recognise("a string") is None
        True
    """
    if isinstance(thing, Unconstrained):
        return thing
    if is_bridged(thing):
        return stan_program(thing)
    for module, name, reader in _MODELS:
        if any(
            cls.__name__ == name and f"{cls.__module__}.".startswith(f"{module}.")
            for cls in type(thing).__mro__
        ):
            return getattr(sys.modules[__name__], reader)(thing)
    return None
