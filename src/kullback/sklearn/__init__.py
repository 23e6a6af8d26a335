"""Layer 12: densities as scikit-learn estimators, for pipelines and searches over their parameters."""

from kullback._core.errors import MissingDependencyError

try:
    import sklearn  # noqa: F401 - an optional package
except ImportError:
    raise MissingDependencyError(
        "kullback.sklearn needs scikit-learn: pip install 'kullback[sklearn]'"
    ) from None

from kullback.sklearn._best import BestDensity
from kullback.sklearn._kernel import KernelDensity
from kullback.sklearn._mixture import MixtureDensity

__all__ = ["BestDensity", "KernelDensity", "MixtureDensity"]
