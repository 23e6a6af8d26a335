"""Layer 10: other libraries' distribution objects, as ours.

A library is imported only when an object of it is given.
"""

import importlib
from typing import Any

from kullback.distributions.base import Distribution

__all__ = ["as_distribution", "batch_shape", "elements", "normals"]

#: Where a library's distribution classes live, and the module here that reads them.
_LIBRARIES = {
    "numpyro.distributions": "kullback.interop.numpyro",
    "torch.distributions": "kullback.interop.torch",
    "scipy.stats": "kullback.interop.scipy",
}


def as_distribution(thing: object) -> Distribution | None:
    """Returns a NumPyro, torch or SciPy distribution object as one of ours; None for anything else.

    Every class that has a closed form here becomes that form, its parameters kept exactly (a
    float32 parameter is the float64 of the same value). Any other is called through its own
    log density, in float64. A subclass counts as its parent unless it overrides the density.

    Args:
        thing: anything; one of our own distributions is returned as it is.

    Raises:
        InputError: it is a batch of several distributions, has a parameter out of range, or holds
            JAX tracers.
        UnsupportedError: it has no density that a divergence could be taken of.

    Example:
        >>> import scipy.stats
        >>> as_distribution(scipy.stats.norm(1.0, 2.0))
        Normal(loc=1.0, scale=2.0)
        >>> as_distribution("a string") is None
        True
    """
    if isinstance(thing, Distribution):
        return thing
    module = _reader(thing)
    return None if module is None else module.read(thing)


def batch_shape(thing: object) -> tuple[int, ...]:
    """Returns the shape of a batch of distributions of another library; () for one, or anything else."""
    module = _reader(thing)
    return () if module is None else module.shape_of(thing)


def elements(thing: object) -> Any:
    """Returns a batch of distributions of another library as an array of ours."""
    module = _reader(thing)
    assert module is not None
    return module.each(thing)


def normals(thing: object) -> Any:
    """Returns loc and scale of one or many normals of another library; None for anything else."""
    module = _reader(thing)
    return None if module is None else module.normals(thing)


def _reader(thing: object) -> Any:
    if isinstance(thing, (Distribution, type, str)):
        return None
    for name, reader in _LIBRARIES.items():
        if any(f"{cls.__module__}.".startswith(f"{name}.") for cls in type(thing).__mro__):
            return importlib.import_module(reader)
    return None
