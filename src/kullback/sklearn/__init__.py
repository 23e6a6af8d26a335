"""Layer 12: densities as scikit-learn estimators, for pipelines and searches over their parameters."""

from kullback.sklearn._best import BestDensity
from kullback.sklearn._kernel import KernelDensity
from kullback.sklearn._mixture import MixtureDensity

__all__ = ["BestDensity", "KernelDensity", "MixtureDensity"]
