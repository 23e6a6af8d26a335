"""Reverse fits over discrete latents: integer arrays of known values."""

import math
from typing import final

import numpy as np

from kullback.core.errors import InputError
from kullback.diagnostics.discrete import diagnose_discrete
from kullback.diagnostics.verdict import Remedies
from kullback.distributions.vector import Independent
from kullback.families import Bernoulli, Categorical
from kullback.fitting.discrete import STARTS, discrete_fit
from kullback.interop.functions import Values, discrete_values
from kullback.results.fit import Fit, Optimum
from kullback.routes.table import Problem
from kullback.targets import LogDensity

_MORE = (
    "use fit.draws.tempered, draws of p by tempered Gibbs sweeps; or sum latents that depend on each other "
    'out of p, or join them into one of more values, support=("categories", k)'
)


@final
class _Counted:
    """Values of log p, and how many were asked for."""

    def __init__(self, values: Values) -> None:
        self.count = 0
        self._values = values

    def __call__(self, x: np.ndarray) -> np.ndarray:
        self.count += len(x)
        return self._values(x)


def fit(problem: Problem) -> Fit:
    """Returns the product of independent latents that is closest in KL(q||p), with its trust report.

    Raises:
        InputError: another family than the number of values calls for.
        DensityError: the function raises or returns NaN.
    """
    target, run = problem.target.given, problem.run
    assert isinstance(target, LogDensity)
    values, shape, k = discrete_values(target)
    _check_family(problem.family, k)
    counted = _Counted(values)
    made = discrete_fit(counted, math.prod(shape), k, run, starts=problem.starts or STARTS)
    spent = counted.count
    report = diagnose_discrete(counted, made, shape, run, Remedies(_MORE, _MORE))
    notes = (
        f"{spent} values of log p to the end of the fit, {counted.count - spent} more to report on it",
    )
    if made.interrupted:
        notes = ("interrupted during the fit: this is the best there was", *notes)
    q = Independent(made.log_probabilities, shape)
    return Fit(
        q=q,
        direction="reverse",
        family=Bernoulli() if k == 2 else Categorical(),
        divergence=report.reverse_kl,
        forward_kl=report.forward_kl,
        reverse_kl=report.reverse_kl,
        held_out=None,
        optima=(Optimum(q, report.reverse_kl, math.nan),),
        path=(),
        starts=made.starts,
        evaluations=counted.count,
        seconds=run.seconds,
        notes=notes,
        posterior=report.posterior,
        interrupted=made.interrupted,
    )


def _check_family(family: object, k: int) -> None:
    binary = isinstance(family, Bernoulli) or family == "bernoulli"
    if not binary or k == 2:
        return
    wanted = "Bernoulli()" if k == 2 else "Categorical()"
    raise InputError(f"family={family!r}: for latents of {k} values say family={wanted}")
