"""Measure, minimise and explain KL divergence in both directions, with an error on every number."""

import sys
from collections.abc import Callable
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any, final

from kullback._version import __version__
from kullback.results.serialise import register

if TYPE_CHECKING:
    from kullback.api.calibrate import calibrate
    from kullback.api.check_loss import check_loss
    from kullback.api.density import check_density
    from kullback.api.explain import explain
    from kullback.api.explore import explore
    from kullback.api.fit import fit
    from kullback.api.gradients import explain_gradients
    from kullback.api.judge import judge
    from kullback.api.logits import logits_kl
    from kullback.api.measure import cross_entropy, divergence, entropy, kl_divergence
    from kullback.api.plan import plan
    from kullback.api.score import score
    from kullback.api.store import load, save
    from kullback.api.verify import verify
    from kullback.core.errors import (
        DensityError,
        ExpressionError,
        InputError,
        KullbackError,
        MissingDependencyError,
        UnsupportedError,
        WorkerError,
    )
    from kullback.diff.driver import diff
    from kullback.diff.profile import profile
    from kullback.diff.watch import watch
    from kullback.families import (
        Bernoulli,
        Categorical,
        Flow,
        FullRank,
        KernelDensity,
        LowRank,
        MeanField,
        Mixture,
    )
    from kullback.results.calibration import Calibration
    from kullback.results.diff import Diff
    from kullback.results.estimate import Estimate
    from kullback.results.fit import Fit
    from kullback.results.judgement import Judgement
    from kullback.results.loss_report import LossReport
    from kullback.results.profile import Profile
    from kullback.results.watch import Watch
    from kullback.targets import Counts, Grid, Known, LogDensity, Samples


_HOMES = {
    "kullback.core.errors": (
        "DensityError",
        "ExpressionError",
        "InputError",
        "KullbackError",
        "MissingDependencyError",
        "UnsupportedError",
        "WorkerError",
    ),
    "kullback.diff.driver": ("diff",),
    "kullback.api.calibrate": ("calibrate",),
    "kullback.api.check_loss": ("check_loss",),
    "kullback.api.density": ("check_density",),
    "kullback.api.explain": ("explain",),
    "kullback.api.plan": ("plan",),
    "kullback.api.explore": ("explore",),
    "kullback.api.gradients": ("explain_gradients",),
    "kullback.api.fit": ("fit",),
    "kullback.api.judge": ("judge",),
    "kullback.diff.profile": ("profile",),
    "kullback.diff.watch": ("watch",),
    "kullback.api.score": ("score",),
    "kullback.api.store": ("load", "save"),
    "kullback.api.verify": ("verify",),
    "kullback.families": (
        "Bernoulli",
        "Categorical",
        "Flow",
        "FullRank",
        "KernelDensity",
        "LowRank",
        "MeanField",
        "Mixture",
    ),
    "kullback.results.calibration": ("Calibration",),
    "kullback.results.diff": ("Diff",),
    "kullback.results.profile": ("Profile",),
    "kullback.results.fit": ("Fit",),
    "kullback.results.judgement": ("Judgement",),
    "kullback.api.logits": ("logits_kl",),
    "kullback.api.measure": ("cross_entropy", "divergence", "entropy", "kl_divergence"),
    "kullback.results.estimate": ("Estimate",),
    "kullback.targets": ("Counts", "Grid", "Known", "LogDensity", "Samples"),
    "kullback.results.loss_report": ("LossReport",),
    "kullback.results.watch": ("Watch",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [  # noqa: RUF022 - by layer, as in _HOMES
    "DensityError",
    "ExpressionError",
    "InputError",
    "KullbackError",
    "MissingDependencyError",
    "UnsupportedError",
    "WorkerError",
    "check_density",
    "check_loss",
    "cross_entropy",
    "divergence",
    "entropy",
    "kl_divergence",
    "logits_kl",
    "diff",
    "profile",
    "watch",
    "explain",
    "explain_gradients",
    "explore",
    "fit",
    "judge",
    "calibrate",
    "plan",
    "score",
    "load",
    "save",
    "verify",
    "Bernoulli",
    "Categorical",
    "Flow",
    "FullRank",
    "KernelDensity",
    "LowRank",
    "MeanField",
    "Mixture",
    "Calibration",
    "Diff",
    "Profile",
    "Watch",
    "Estimate",
    "Fit",
    "Judgement",
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


@final
class _Package(ModuleType):
    """This package: `diff` and `check_loss` are the functions, not the folders they live in."""

    def __setattr__(self, name: str, value: object) -> None:
        """Python binds a folder here when something in it is imported; a public name stays free."""
        if not (name in _HOME_OF and isinstance(value, ModuleType)):
            ModuleType.__setattr__(self, name, value)


sys.modules[__name__].__class__ = _Package


#: Who shows results, and goes on with them, joined here, since results know no views and views no HTML: by what
#: is done.
_SHOWING = {
    "document": ("kullback.views.documents", "document_of"),
    "notebook": ("kullback.render.html", "write_notebook"),
    "page": ("kullback.render.html", "signed_page"),
    "plot": ("kullback.render.plot", "plot"),
    "frame": ("kullback.views.frames", "frame_of"),
    "write": ("kullback.files.atomic", "write_atomic"),
    "update": ("kullback.diff.watch", "updated"),
}


def _showing(what: str) -> Callable[..., Any]:
    home, name = _SHOWING[what]
    return getattr(import_module(home), name)


register(_showing)
