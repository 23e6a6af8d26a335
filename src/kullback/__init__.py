"""Measure, minimise and explain KL divergence in both directions, with an error on every number."""

from importlib import import_module
from typing import TYPE_CHECKING

from kullback._version import __version__

if TYPE_CHECKING:
    from kullback._core.errors import (
        DensityError,
        ExpressionError,
        InputError,
        KullbackError,
        MissingDependencyError,
        UnsupportedError,
    )
    from kullback.api._check_loss import check_loss
    from kullback.api._diff import diff
    from kullback.api._explain import explain
    from kullback.api._fit import fit
    from kullback.api._gradients import explain_gradients
    from kullback.api._measure import cross_entropy, divergence, entropy, kl_divergence
    from kullback.api._plan import plan
    from kullback.api._profiles import profile
    from kullback.api._store import load, save
    from kullback.api._verify import verify
    from kullback.families import (
        Bernoulli,
        Categorical,
        FullRank,
        KernelDensity,
        LowRank,
        MeanField,
        Mixture,
    )
    from kullback.results._diff import Diff
    from kullback.results._estimate import Estimate
    from kullback.results._fit import Fit
    from kullback.results._loss_report import LossReport
    from kullback.targets import Counts, Grid, Known, LogDensity, Samples

_HOMES = {
    "kullback._core.errors": (
        "DensityError",
        "ExpressionError",
        "InputError",
        "KullbackError",
        "MissingDependencyError",
        "UnsupportedError",
    ),
    "kullback.api._diff": ("diff",),
    "kullback.api._check_loss": ("check_loss",),
    "kullback.api._explain": ("explain",),
    "kullback.api._fit": ("fit",),
    "kullback.api._gradients": ("explain_gradients",),
    "kullback.api._plan": ("plan",),
    "kullback.api._profiles": ("profile",),
    "kullback.api._store": ("load", "save"),
    "kullback.api._verify": ("verify",),
    "kullback.families": (
        "Bernoulli",
        "Categorical",
        "FullRank",
        "KernelDensity",
        "LowRank",
        "MeanField",
        "Mixture",
    ),
    "kullback.results._diff": ("Diff",),
    "kullback.results._fit": ("Fit",),
    "kullback.api._measure": ("cross_entropy", "divergence", "entropy", "kl_divergence"),
    "kullback.results._estimate": ("Estimate",),
    "kullback.targets": ("Counts", "Grid", "Known", "LogDensity", "Samples"),
    "kullback.results._loss_report": ("LossReport",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [  # noqa: RUF022 - by layer, as in _HOMES
    "DensityError",
    "ExpressionError",
    "InputError",
    "KullbackError",
    "MissingDependencyError",
    "UnsupportedError",
    "check_loss",
    "cross_entropy",
    "divergence",
    "entropy",
    "kl_divergence",
    "diff",
    "profile",
    "explain",
    "explain_gradients",
    "fit",
    "plan",
    "load",
    "save",
    "verify",
    "Bernoulli",
    "Categorical",
    "FullRank",
    "KernelDensity",
    "LowRank",
    "MeanField",
    "Mixture",
    "Diff",
    "Estimate",
    "Fit",
    "Counts",
    "LossReport",
    "Grid",
    "Known",
    "LogDensity",
    "Samples",
    "__version__",
]


def __getattr__(name: str) -> object:
    """Returns a public name, importing its module only now (PEP 562)."""
    if name not in _HOME_OF:
        raise AttributeError(f"module 'kullback' has no attribute {name!r}")
    return getattr(import_module(_HOME_OF[name]), name)
