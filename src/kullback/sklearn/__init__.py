"""Layer 12: densities as scikit-learn estimators, for pipelines and searches over their parameters."""

from kullback.sklearn.conditional import ConditionalDensity
from kullback.sklearn.estimators import BestDensity, KernelDensity, MixtureDensity

__all__ = ["BestDensity", "ConditionalDensity", "KernelDensity", "MixtureDensity"]
