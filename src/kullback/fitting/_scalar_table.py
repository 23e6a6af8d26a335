"""The families of scalars that are fitted without JAX: one row each."""

import math
from collections.abc import Callable

import numpy as np

from kullback.fitting import _scalars_bounded as bounded
from kullback.fitting import _scalars_counts as counts
from kullback.fitting import _scalars_positive as positive
from kullback.fitting import _scalars_real as real
from kullback.fitting._scalar_family import Best, Domain, ScalarFamily, Values

REAL = Domain()
POSITIVE = Domain(0.0)
FROM_ZERO = Domain(0.0, closed=(True, False))
UNIT = Domain(0.0, 1.0)
CLOSED_UNIT = Domain(0.0, 1.0, closed=(True, True))
CIRCLE = Domain(-math.pi, math.pi, closed=(True, True))
COUNTS = Domain(0.0, closed=(True, False), integers=True)
BINARY = Domain(0.0, 1.0, closed=(True, True), integers=True)


def _row(
    name: str,
    parameters: int,
    domain: Domain,
    maximise: Callable[[Values, Values], Best],
    *,
    moving_ends: bool = False,
) -> ScalarFamily:
    """Returns a row of a family that needs no start."""
    return ScalarFamily(
        name, parameters, domain, lambda x, weights, near=None: maximise(x, weights), moving_ends
    )


_ROWS = (
    _row("normal", 2, REAL, real.normal),
    _row("laplace", 2, REAL, real.laplace),
    ScalarFamily("logistic", 2, REAL, real.logistic),
    ScalarFamily("cauchy", 2, REAL, real.cauchy),
    ScalarFamily("gumbel", 2, REAL, real.gumbel),
    ScalarFamily("student_t", 3, REAL, real.student_t),
    _row("uniform", 2, REAL, bounded.uniform, moving_ends=True),
    _row("vonmises", 2, CIRCLE, bounded.vonmises),
    _row("exponential", 1, FROM_ZERO, positive.exponential),
    _row("gamma", 2, POSITIVE, positive.gamma),
    _row("lognormal", 2, POSITIVE, positive.lognormal),
    _row("weibull", 2, POSITIVE, positive.weibull),
    _row("inverse_gamma", 2, POSITIVE, positive.inverse_gamma),
    _row("inverse_gaussian", 2, POSITIVE, positive.inverse_gaussian),
    _row("frechet", 2, POSITIVE, positive.frechet),
    _row("halfnormal", 1, FROM_ZERO, positive.halfnormal),
    _row("halfcauchy", 1, FROM_ZERO, positive.halfcauchy),
    _row("rayleigh", 1, POSITIVE, positive.rayleigh),
    _row("maxwell", 1, POSITIVE, positive.maxwell),
    _row("chi2", 1, POSITIVE, positive.chi2),
    _row("chi", 1, POSITIVE, positive.chi),
    _row("lindley", 1, FROM_ZERO, positive.lindley),
    _row("pareto", 2, POSITIVE, positive.pareto, moving_ends=True),
    _row("loguniform", 2, POSITIVE, positive.loguniform, moving_ends=True),
    _row("beta", 2, UNIT, bounded.beta),
    _row("kumaraswamy", 2, UNIT, bounded.kumaraswamy),
    _row("continuous_bernoulli", 1, CLOSED_UNIT, bounded.continuous_bernoulli),
    _row("poisson", 1, COUNTS, counts.poisson),
    _row("geometric", 1, COUNTS, counts.geometric),
    _row("negative_binomial", 2, COUNTS, counts.negative_binomial),
    _row("bernoulli", 1, BINARY, counts.bernoulli),
)

TABLE = {row.name: row for row in _ROWS}

#: Names that other libraries use, without underscores and in lower case.
_ALIASES = {
    "t": "student_t",
    "wald": "inverse_gaussian",
    "negativebinomial2": "negative_binomial",
    "negativebinomialprobs": "negative_binomial",
    "negativebinomiallogits": "negative_binomial",
    "nbinom": "negative_binomial",
    "bernoulliprobs": "bernoulli",
    "bernoullilogits": "bernoulli",
    "geometricprobs": "geometric",
    "geometriclogits": "geometric",
}
_PLAIN = {name.replace("_", ""): name for name in TABLE}


def by_name(name: str) -> ScalarFamily | None:
    """Returns the family of a name, also as NumPyro writes it; None if it is not here.

    Example:
        >>> by_name("StudentT").name
        'student_t'
    """
    plain = name.lower().replace("_", "").replace("-", "")
    found = _ALIASES.get(plain) or _PLAIN.get(plain)
    return None if found is None else TABLE[found]


def living_on(x: Values) -> list[ScalarFamily]:
    """Returns the families to compare for rows: those of the narrowest domain that holds all of them.

    Whole numbers from 0 are taken for counts. Left out are families that end at the outermost rows: a row
    that is held out may fall beyond.
    """
    low, high = float(x.min()), float(x.max())
    if low >= 0.0 and bool(np.all(x == np.floor(x))):
        domains = [BINARY] if high <= 1.0 else [COUNTS]
    elif low >= 0.0 and high <= 1.0:
        domains = [UNIT, CLOSED_UNIT] if low > 0.0 and high < 1.0 else [CLOSED_UNIT]
    elif low >= 0.0:
        domains = [POSITIVE, FROM_ZERO] if low > 0.0 else [FROM_ZERO]
    else:
        domains = [REAL]
    return [row for row in _ROWS if row.domain in domains and not row.moving_ends]
