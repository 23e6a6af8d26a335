"""SciPy distributions, frozen and new, as ours."""

from typing import Any

from scipy import stats

from kullback._core.errors import InputError
from kullback.distributions._base import Distribution
from kullback.interop import _scipy_new, _scipy_scalars, _scipy_vectors


def read(thing: Any) -> Distribution | None:
    """Returns a SciPy distribution as one of ours; None for any other object of SciPy.

    Raises:
        InputError: it is a batch, is not frozen, or a parameter is out of range.
        UnsupportedError: it has no density that can be compared.
    """
    if isinstance(thing, stats.gaussian_kde):
        return _scipy_vectors.kernel_density(thing)
    names = {cls.__name__ for cls in type(thing).__mro__}
    if "rv_frozen" in names:
        return _scipy_scalars.read(thing)
    if "rv_generic" in names:
        return _scipy_scalars.read(_freeze(thing))
    if "UnivariateDistribution" in names or _scipy_new.is_mixture(thing):
        return _scipy_new.read(thing)
    if "multi_rv_frozen" in names or type(thing).__name__ == "matrix_t_frozen":
        return _scipy_vectors.read(thing)
    if "multi_rv_generic" in names:
        raise _not_frozen(type(thing).__name__.removesuffix("_gen"), "...")
    return None


def _freeze(thing: Any) -> Any:
    if thing.numargs:
        raise _not_frozen(
            thing.name, ", ".join(f"{s.strip()}=..." for s in thing.shapes.split(","))
        )
    return thing()


def _not_frozen(name: str, arguments: str) -> InputError:
    return InputError(
        f"scipy.stats.{name} is a family without its parameters; "
        f"give one distribution: scipy.stats.{name}({arguments})"
    )
