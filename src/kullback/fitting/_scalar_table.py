"""The families of scalars that are fitted without JAX: one row each."""

import math

import numpy as np

from kullback.fitting import _scalars_bounded as bounded
from kullback.fitting import _scalars_counts as counts
from kullback.fitting import _scalars_positive as positive
from kullback.fitting import _scalars_real as real
from kullback.fitting._scalar_family import Domain, ScalarFamily, Values

REAL = Domain()
POSITIVE = Domain(0.0)
FROM_ZERO = Domain(0.0, closed=(True, False))
UNIT = Domain(0.0, 1.0)
CLOSED_UNIT = Domain(0.0, 1.0, closed=(True, True))
CIRCLE = Domain(-math.pi, math.pi, closed=(True, True))
COUNTS = Domain(0.0, closed=(True, False), integers=True)
BINARY = Domain(0.0, 1.0, closed=(True, True), integers=True)

_ROWS = (
    ScalarFamily("normal", 2, REAL, real.normal),
    ScalarFamily("laplace", 2, REAL, real.laplace),
    ScalarFamily("logistic", 2, REAL, real.logistic),
    ScalarFamily("cauchy", 2, REAL, real.cauchy),
    ScalarFamily("gumbel", 2, REAL, real.gumbel),
    ScalarFamily("student_t", 3, REAL, real.student_t),
    ScalarFamily("uniform", 2, REAL, bounded.uniform, moving_ends=True),
    ScalarFamily("vonmises", 2, CIRCLE, bounded.vonmises),
    ScalarFamily("exponential", 1, FROM_ZERO, positive.exponential),
    ScalarFamily("gamma", 2, POSITIVE, positive.gamma),
    ScalarFamily("lognormal", 2, POSITIVE, positive.lognormal),
    ScalarFamily("weibull", 2, POSITIVE, positive.weibull),
    ScalarFamily("inverse_gamma", 2, POSITIVE, positive.inverse_gamma),
    ScalarFamily("inverse_gaussian", 2, POSITIVE, positive.inverse_gaussian),
    ScalarFamily("frechet", 2, POSITIVE, positive.frechet),
    ScalarFamily("halfnormal", 1, FROM_ZERO, positive.halfnormal),
    ScalarFamily("halfcauchy", 1, FROM_ZERO, positive.halfcauchy),
    ScalarFamily("rayleigh", 1, POSITIVE, positive.rayleigh),
    ScalarFamily("maxwell", 1, POSITIVE, positive.maxwell),
    ScalarFamily("chi2", 1, POSITIVE, positive.chi2),
    ScalarFamily("chi", 1, POSITIVE, positive.chi),
    ScalarFamily("lindley", 1, FROM_ZERO, positive.lindley),
    ScalarFamily("pareto", 2, POSITIVE, positive.pareto, moving_ends=True),
    ScalarFamily("loguniform", 2, POSITIVE, positive.loguniform, moving_ends=True),
    ScalarFamily("beta", 2, UNIT, bounded.beta),
    ScalarFamily("kumaraswamy", 2, UNIT, bounded.kumaraswamy),
    ScalarFamily("continuous_bernoulli", 1, CLOSED_UNIT, bounded.continuous_bernoulli),
    ScalarFamily("poisson", 1, COUNTS, counts.poisson),
    ScalarFamily("geometric", 1, COUNTS, counts.geometric),
    ScalarFamily("negative_binomial", 2, COUNTS, counts.negative_binomial),
    ScalarFamily("bernoulli", 1, BINARY, counts.bernoulli),
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
