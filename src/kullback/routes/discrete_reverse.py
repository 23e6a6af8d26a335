"""Reverse fits over discrete latents: integer arrays of known values."""

import math
import time
from collections.abc import Callable
from typing import final

import numpy as np

from kullback.core.errors import InputError, UnsupportedError
from kullback.core.run import Run
from kullback.diagnostics.posterior import diagnose_discrete
from kullback.diagnostics.verdict import Remedies
from kullback.distributions.vector import Independent
from kullback.families import Bernoulli, Categorical
from kullback.fitting.discrete import STARTS, discrete_fit
from kullback.interop.numpy_function import Values, categories, discrete_values
from kullback.results.fit import Direction, Fit, Optimum
from kullback.targets import LogDensity

_NAMES = ("bernoulli", "categorical", "auto", "mean_field")
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


def is_discrete(target: object) -> bool:
    """Whether a target is a LogDensity over integer arrays."""
    return isinstance(target, LogDensity) and categories(target) is not None


def fit_discrete(
    target: LogDensity,
    family: object,
    *,
    direction: Direction,
    starts: int | None,
    key: object,
    watch: Callable[[str], None],
) -> Fit:
    """Returns the product of independent latents that is closest in KL(q||p), with its trust report.

    Args:
        target: with support="binary" or ("categories", k) and an integer array as its example.
        family: Bernoulli() or Categorical(), or the name of one.
        direction: "reverse".
        starts: ascents; 8 unless said.
        key: randomness.
        watch: told what is being done.

    Raises:
        InputError: another family.
        UnsupportedError: direction="forward".
        DensityError: the function raises or returns NaN.

    Example:
        >>> import numpy as np
        >>> p = LogDensity(lambda x: x @ np.array([1.0, -2.0]), np.zeros(2, dtype=int), support="binary")
        >>> found = fit_discrete(p, "bernoulli", direction="reverse", starts=1, key=0, watch=lambda _: None)
        >>> found.diagnosis.verdict
        'trust'
    """
    if direction != "reverse":
        raise UnsupportedError(
            "forward KL over discrete latents needs expectations under p: fit in reverse and look at "
            'fit.draws.tempered, direction="reverse"'
        )
    began = time.perf_counter()
    values, shape, k = discrete_values(target)
    _check_family(family, k)
    run, counted = Run(key, watch), _Counted(values)
    made = discrete_fit(counted, math.prod(shape), k, run, starts=starts or STARTS)
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
        seconds=time.perf_counter() - began,
        notes=notes,
        posterior=report.posterior,
        interrupted=made.interrupted,
    )


def _check_family(family: object, k: int) -> None:
    fits = isinstance(family, Categorical) or (isinstance(family, Bernoulli) and k == 2)
    if fits or (isinstance(family, str) and family in _NAMES):
        return
    wanted = "Bernoulli()" if k == 2 else "Categorical()"
    raise InputError(f"family={family!r}: for latents of {k} values say family={wanted}")
