"""The families that an expression may name: one row each.

A parameter that people write in two ways (a spread as a standard deviation or a variance) must be
given by name; its row holds the ways and the question to ask.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import final

import numpy as np

from kullback.core.errors import InputError
from kullback.distributions.base import Distribution
from kullback.distributions.bounded import (
    Beta,
    ContinuousBernoulli,
    Kumaraswamy,
    LogUniform,
    Uniform,
    beta,
    continuous_bernoulli,
    kumaraswamy,
    loguniform,
    uniform,
)
from kullback.distributions.counting import (
    Binomial,
    Chance,
    Geometric,
    NegativeBinomial,
    Poisson,
    bernoulli,
    geometric,
    negative_binomial,
    poisson,
)
from kullback.distributions.positive import (
    GeneralizedGamma,
    HalfCauchy,
    InverseGaussian,
    Lindley,
    LogNormal,
    Pareto,
    chi,
    chi2,
    exponential,
    frechet,
    gamma,
    halfcauchy,
    halfnormal,
    inverse_gamma,
    inverse_gaussian,
    lindley,
    lognormal,
    maxwell,
    pareto,
    rayleigh,
    weibull,
)
from kullback.distributions.real import (
    Laplace,
    LogGamma,
    Logistic,
    Normal,
    StudentT,
    VonMises,
    cauchy,
    gumbel,
    laplace,
    logistic,
    normal,
    student_t,
    vonmises,
)
from kullback.distributions.scalar import Best, Domain, ScalarFamily, Values
from kullback.distributions.statistics import Real
from kullback.distributions.vector import Categorical, Dirichlet, MultivariateNormal

#: A number, a list of numbers or a list of lists of numbers.
Value = float | tuple["Value", ...]


@final
@dataclass(frozen=True)
class Spelling:
    """One way to give a parameter.

    Attributes:
        name: the keyword.
        rule: a row of `RULES`: what the value must be.
        convert: maps the value to what the constructor takes.
        noun: what the value is, in a question.
    """

    name: str
    rule: str
    convert: Callable[..., object] = lambda value: value
    noun: str = ""


@final
@dataclass(frozen=True)
class Parameter:
    """A parameter of a family: exactly one of its spellings must be given.

    Attributes:
        spellings: the ways to give it.
        named: whether the name must be written, because the value alone would be ambiguous.
        asked: how many of the spellings are offered when the name is missing.
        default: the value when it is not given; None if it must be.
        choices: the values it can take, when the question is which; it then has no default.
    """

    spellings: tuple[Spelling, ...]
    named: bool = False
    asked: int = 2
    default: float | None = None
    choices: tuple[tuple[float, str], ...] = ()

    @property
    def usage(self) -> str:
        names = " | ".join(f"{s.name}=" if self.named else s.name for s in self.spellings)
        if self.default is None:
            return names
        return f"{names.removesuffix('=')}={self.default:g}"


@final
@dataclass(frozen=True)
class Family:
    """A row: the name in an expression, the parameters, and what is made of them in this order."""

    name: str
    parameters: tuple[Parameter, ...]
    make: Callable[..., Distribution]
    alias: str | None = None

    @property
    def usage(self) -> str:
        """How it is written, such as "normal(loc, sd= | var= | precision=)"."""
        return f"{self.name}({', '.join(p.usage for p in self.parameters)})"

    @property
    def has_probabilities(self) -> bool:
        """Whether `normalize=True` may be said."""
        return any(s.rule == "probabilities" for p in self.parameters for s in p.spellings)

    @property
    def spellings(self) -> dict[str, Parameter]:
        """The parameter that each keyword belongs to."""
        return {s.name: p for p in self.parameters for s in p.spellings}


def _finite(value: Value) -> bool:
    return isinstance(value, float) and math.isfinite(value)


def _vector(value: Value) -> bool:
    return isinstance(value, tuple) and len(value) > 0 and all(_finite(v) for v in value)


def _matrix(value: Value) -> bool:
    if not isinstance(value, tuple) or not value:
        return False
    return all(isinstance(v, tuple) and _vector(v) and len(v) == len(value) for v in value)


RULES: dict[str, tuple[Callable[..., bool], str]] = {
    "finite": (_finite, "must be a finite number"),
    "positive": (lambda v: _finite(v) and v > 0, "must be a positive, finite number"),
    "nonnegative": (lambda v: _finite(v) and v >= 0, "must be a finite number, 0 or more"),
    "divisor": (
        lambda v: _finite(v) and v > 0 and math.isfinite(1.0 / v),
        "must be a positive, finite number whose inverse is finite",
    ),
    "probability": (lambda v: _finite(v) and 0 <= v <= 1, "must be a number between 0 and 1"),
    "count": (
        lambda v: _finite(v) and 0 <= v < 2**53 and v == int(v),
        "must be a whole number, 0 or more",
    ),
    "start": (lambda v: v in (0.0, 1.0), "must be 0 or 1"),
    "end": (lambda v: isinstance(v, float) and not math.isnan(v), "must be a number or inf"),
    "vector": (_vector, "must be a list of finite numbers, such as [1, 2]"),
    "positive_vector": (
        lambda v: _vector(v) and min(v) > 0,
        "must be a list of positive, finite numbers, such as [1, 2]",
    ),
    "probabilities": (
        lambda v: _vector(v) and min(v) >= 0,
        "must be a list of finite numbers, 0 or more, such as [0.2, 0.8]",
    ),
    "matrix": (_matrix, "must be a square matrix of finite numbers, such as [[2, 1], [1, 2]]"),
}


def _one(name: str, rule: str) -> Parameter:
    return Parameter((Spelling(name, rule),))


def _named(name: str, rule: str = "positive", noun: str = "") -> Parameter:
    return Parameter((Spelling(name, rule, noun=noun),), named=True)


def _inverse(value: float) -> Fraction:
    return 1 / Fraction(value)


LOC = _one("loc", "finite")
SHAPE = _one("shape", "positive")
SCALE = _named("scale", noun="the scale")
CHANCE = Parameter((Spelling("p", "probability", Chance),))
SPREAD = Parameter(
    (
        Spelling("sd", "positive", noun="a standard deviation"),
        Spelling("var", "positive", math.sqrt, noun="a variance"),
        Spelling("precision", "divisor", lambda v: math.sqrt(1.0 / v), noun="a precision"),
    ),
    named=True,
)
RATE_OR_SCALE = Parameter(
    (
        Spelling("rate", "divisor", _inverse, noun="a rate"),
        Spelling("scale", "positive", noun="a scale (1/rate)"),
    ),
    named=True,
)
RATE_OR_MEAN = Parameter(
    (
        *RATE_OR_SCALE.spellings,
        Spelling("mean", "positive", noun="a mean"),
    ),
    named=True,
)
START = Parameter(
    (Spelling("start", "start"),),
    named=True,
    choices=(
        (0.0, "the failures before the first success (start=0)"),
        (1.0, "the trials up to it (start=1)"),
    ),
)
WHICH_CHANCE = Parameter(
    (
        Spelling(
            "success",
            "probability",
            lambda v: Chance(1 - Fraction(v)),
            noun="the probability of a success (as in SciPy)",
        ),
        Spelling(
            "failure",
            "probability",
            Chance,
            noun="that of a failure, which is what is counted (as in torch and NumPyro)",
        ),
    ),
    named=True,
)
SPREADS = Parameter(
    (
        Spelling("cov", "matrix", noun="a covariance matrix"),
        Spelling("sd", "positive_vector", noun="a list of standard deviations"),
    ),
    named=True,
)


def _power(power: float, factor: float = 1.0) -> Callable[[float, Real], Distribution]:
    """Returns a constructor of (shape, scale)."""
    return lambda shape, scale: GeneralizedGamma(scale, shape, power, factor)


def _half(shape: float) -> Callable[[float], Distribution]:
    """Returns a constructor of (scale): the length of 2 shape standard normals, times scale."""
    return lambda scale: GeneralizedGamma(scale, shape, 2.0, 0.5)


def _generalized(shape: float, power: float, scale: float) -> Distribution:
    return GeneralizedGamma(scale, shape, power)


def _multivariate_normal(loc: tuple[float, ...], spread: Value) -> Distribution:
    center, given = np.array(loc), np.array(spread)
    if len(given) != len(center):
        raise InputError(f"loc has {len(center)} coordinates, the spread {len(given)}")
    if given.ndim == 1:
        return MultivariateNormal(center, np.diag(given))
    if not np.allclose(given, given.T, rtol=1e-12, atol=0.0):
        raise InputError("a covariance matrix must be symmetric")
    return MultivariateNormal.from_covariance(center, given)


def _categorical(p: tuple[float, ...]) -> Distribution:
    return Categorical.from_probabilities(np.array(p))


def _dirichlet(concentration: tuple[float, ...]) -> Distribution:
    return Dirichlet(np.array(concentration))


_ROWS = (
    Family("normal", (LOC, SPREAD), Normal),
    Family("lognormal", (LOC, SPREAD), LogNormal),
    Family("laplace", (LOC, SCALE), Laplace),
    Family("logistic", (LOC, SCALE), Logistic),
    Family("cauchy", (LOC, SCALE), lambda loc, scale: StudentT(1.0, loc, scale)),
    Family("gumbel", (LOC, SCALE), lambda loc, scale: LogGamma(1.0, loc, scale)),
    Family(
        "student_t",
        (
            _one("df", "positive"),
            Parameter(LOC.spellings, default=0.0),
            Parameter(SCALE.spellings, named=True, default=1.0),
        ),
        StudentT,
        alias="t",
    ),
    Family(
        "vonmises",
        (LOC, _named("concentration", "nonnegative", "the concentration")),
        VonMises,
    ),
    Family("gamma", (SHAPE, RATE_OR_SCALE), _power(1.0)),
    Family("exponential", (RATE_OR_MEAN,), lambda scale: GeneralizedGamma(scale, 1.0)),
    Family("chi2", (_one("df", "positive"),), lambda df: GeneralizedGamma(2.0, 0.5 * df)),
    Family("chi", (_one("df", "positive"),), lambda df: _half(0.5 * df)(1.0)),
    Family("weibull", (SHAPE, SCALE), lambda k, scale: GeneralizedGamma(scale, 1.0, k)),
    Family("frechet", (SHAPE, SCALE), lambda k, scale: GeneralizedGamma(scale, 1.0, -k)),
    Family("inverse_gamma", (SHAPE, SCALE), _power(-1.0)),
    Family("halfnormal", (SCALE,), _half(0.5)),
    Family("rayleigh", (SCALE,), _half(1.0)),
    Family("maxwell", (SCALE,), _half(1.5)),
    Family(
        "generalized_gamma", (SHAPE, _named("power", "finite", "the power"), SCALE), _generalized
    ),
    Family(
        "inverse_gaussian",
        (_one("mean", "positive"), _named("shape", noun="the shape")),
        InverseGaussian,
    ),
    Family("pareto", (SCALE, _named("shape", noun="the shape")), Pareto),
    Family("halfcauchy", (SCALE,), HalfCauchy),
    Family("lindley", (_one("rate", "positive"),), Lindley),
    Family("beta", (_one("a", "positive"), _one("b", "positive")), Beta),
    Family("kumaraswamy", (_one("a", "positive"), _one("b", "positive")), Kumaraswamy),
    Family("uniform", (_one("low", "finite"), _one("high", "finite")), Uniform),
    Family("loguniform", (_one("low", "positive"), _one("high", "positive")), LogUniform),
    Family("continuous_bernoulli", (_named("logit", "finite", "the logit"),), ContinuousBernoulli),
    Family("poisson", (_one("rate", "positive"),), Poisson),
    Family("bernoulli", (CHANCE,), lambda p: Binomial(1.0, p)),
    Family("binomial", (_one("n", "count"), CHANCE), Binomial),
    Family("geometric", (CHANCE, START), Geometric),
    Family("negative_binomial", (_one("r", "positive"), WHICH_CHANCE), NegativeBinomial),
    Family("categorical", (_one("p", "probabilities"),), _categorical),
    Family("dirichlet", (_one("concentration", "positive_vector"),), _dirichlet),
    Family("mvnormal", (_one("loc", "vector"), SPREADS), _multivariate_normal),
)

FAMILIES: dict[str, Family] = {
    **{row.name: row for row in _ROWS},
    **{row.alias: row for row in _ROWS if row.alias},
}

#: How to write what is made of other distributions.
COMPOUNDS: dict[str, str] = {
    "mixture": "mixture([w1, w2, ...], d1, d2, ...), or w1*d1 + w2*d2 + ...",
    "product": "product(d1, d2, ...)",
    "truncated": "truncated(d, low, high)",
}

#: What people coming from elsewhere write for our keywords.
SYNONYMS: dict[str, tuple[str, ...]] = {
    "sigma": ("sd", "scale"),
    "std": ("sd", "scale"),
    "stddev": ("sd", "scale"),
    "scale": ("sd",),
    "variance": ("var",),
    "cov": ("var",),
    "tau": ("precision",),
    "mu": ("loc", "mean"),
    "mean": ("loc",),
    "mode": ("loc",),
    "nu": ("df",),
    "lam": ("rate",),
    "beta": ("rate", "b"),
    "alpha": ("shape", "a", "concentration"),
    "a": ("shape", "low"),
    "b": ("rate", "scale", "high"),
    "kappa": ("concentration",),
    "probs": ("p", "failure"),
    "weights": ("w",),
    "total": ("n",),
    "covariance": ("cov",),
}


def families() -> list[str]:
    """Returns how each family is written in an expression, one line each.

    Example:
        >>> families()[0]
        'normal(loc, sd= | var= | precision=)'
    """
    return [row.usage for row in _ROWS] + list(COMPOUNDS.values())


# The families of scalars that are fitted without JAX: one row each.

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


_FITTED = (
    _row("normal", 2, REAL, normal),
    _row("laplace", 2, REAL, laplace),
    ScalarFamily("logistic", 2, REAL, logistic),
    ScalarFamily("cauchy", 2, REAL, cauchy),
    ScalarFamily("gumbel", 2, REAL, gumbel),
    ScalarFamily("student_t", 3, REAL, student_t),
    _row("uniform", 2, REAL, uniform, moving_ends=True),
    _row("vonmises", 2, CIRCLE, vonmises),
    _row("exponential", 1, FROM_ZERO, exponential),
    _row("gamma", 2, POSITIVE, gamma),
    _row("lognormal", 2, POSITIVE, lognormal),
    _row("weibull", 2, POSITIVE, weibull),
    _row("inverse_gamma", 2, POSITIVE, inverse_gamma),
    _row("inverse_gaussian", 2, POSITIVE, inverse_gaussian),
    _row("frechet", 2, POSITIVE, frechet),
    _row("halfnormal", 1, FROM_ZERO, halfnormal),
    _row("halfcauchy", 1, FROM_ZERO, halfcauchy),
    _row("rayleigh", 1, POSITIVE, rayleigh),
    _row("maxwell", 1, POSITIVE, maxwell),
    _row("chi2", 1, POSITIVE, chi2),
    _row("chi", 1, POSITIVE, chi),
    _row("lindley", 1, FROM_ZERO, lindley),
    _row("pareto", 2, POSITIVE, pareto, moving_ends=True),
    _row("loguniform", 2, POSITIVE, loguniform, moving_ends=True),
    _row("beta", 2, UNIT, beta),
    _row("kumaraswamy", 2, UNIT, kumaraswamy),
    _row("continuous_bernoulli", 1, CLOSED_UNIT, continuous_bernoulli),
    _row("poisson", 1, COUNTS, poisson),
    _row("geometric", 1, COUNTS, geometric),
    _row("negative_binomial", 2, COUNTS, negative_binomial),
    _row("bernoulli", 1, BINARY, bernoulli),
)

TABLE = {row.name: row for row in _FITTED}

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
    return [row for row in _FITTED if row.domain in domains and not row.moving_ends]
