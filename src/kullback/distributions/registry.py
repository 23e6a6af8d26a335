"""The families: one row each. What is read, written, fitted and compared follows from it."""

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np

from kullback.core.errors import InputError
from kullback.distributions import bounded, counting, lifetimes, positive, real, vector
from kullback.distributions.base import Distribution
from kullback.distributions.family import (
    CHANCE,
    LOC,
    RATE_OR_MEAN,
    RATE_OR_SCALE,
    SCALE,
    SHAPE,
    SPREAD,
    SPREADS,
    START,
    WHICH_CHANCE,
    Family,
    Fitter,
    Spelling,
    Value,
    named,
    one,
    optional,
)
from kullback.distributions.positive import GeneralizedGamma
from kullback.distributions.scalar import Domain, ScalarFamily, Values
from kullback.distributions.statistics import Real

REAL = Domain()
POSITIVE = Domain(0.0)
FROM_ZERO = Domain(0.0, closed=(True, False))
UNIT = Domain(0.0, 1.0)
CLOSED_UNIT = Domain(0.0, 1.0, closed=(True, True))
CIRCLE = Domain(-math.pi, math.pi, closed=(True, True))
COUNTS = Domain(0.0, closed=(True, False), integers=True)
BINARY = Domain(0.0, 1.0, closed=(True, True), integers=True)

#: Shapes of generalised gamma distributions of power 2 and factor 1/2 that have names of their own.
_HALVES = (0.5, 1.0, 1.5)


def _unit(d: GeneralizedGamma) -> float:
    """The scale that a factor of 1 would have."""
    with np.errstate(over="ignore"):
        return float(d.scale) * np.float64(d.factor) ** (-1.0 / d.power)


def _scale(d: GeneralizedGamma) -> Real:
    """The same for a power of 1; a fraction, 1/rate, as it is."""
    return d.scale / Fraction(d.factor) if isinstance(d.scale, Fraction) else _unit(d)


def _is_half(d: GeneralizedGamma) -> bool:
    """Whether it is the length of standard normals, times a scale."""
    return (d.power, d.factor) == (2.0, 0.5)


def _half(shape: float) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Returns how the length of 2 shape standard normals is made of a scale, and read."""
    return (
        lambda scale: GeneralizedGamma(scale, shape, 2.0, 0.5),
        lambda d: (d.scale,) if _is_half(d) and d.shape == shape else None,
    )


def _multivariate_normal(loc: tuple[float, ...], spread: Value) -> Distribution:
    center, given = np.array(loc), np.array(spread)
    if len(given) != len(center):
        raise InputError(f"loc has {len(center)} coordinates, the spread {len(given)}")
    if given.ndim == 1:
        return vector.MultivariateNormal(center, np.diag(given))
    if not np.allclose(given, given.T, rtol=1e-12, atol=0.0):
        raise InputError("a covariance matrix must be symmetric")
    return vector.MultivariateNormal.from_covariance(center, given)


def _loc_and_spread(d: vector.MultivariateNormal) -> tuple[Any, ...]:
    diagonal = np.array_equal(d.covariance, np.diag(np.diag(d.covariance)))
    return d.loc, ("sd", np.diag(d.scale_tril)) if diagonal else ("cov", d.covariance)


# fmt: off
_ROWS = (
    Family("normal", real.Normal, (LOC, SPREAD), numpyro={"Normal": "loc scale:sd"},
        scipy={"norm_gen": "", "Normal": "mu:loc sigma:sd", "StandardNormal": ""}, fit=Fitter(REAL, real.normal)),
    Family("lognormal", positive.LogNormal, (LOC, SPREAD), numpyro={"LogNormal": "loc scale:sd"},
        scipy={"lognorm_gen": "s:sd", "gibrat_gen": ""}, fit=Fitter(POSITIVE, positive.lognormal)),
    Family("laplace", real.Laplace, (LOC, SCALE), numpyro={"Laplace": "loc scale"},
        scipy={"laplace_gen": ""}, fit=Fitter(REAL, real.laplace)),
    Family("logistic", real.Logistic, (LOC, SCALE), numpyro={"Logistic": "loc scale"},
        scipy={"logistic_gen": "", "Logistic": ""}, fit=Fitter(REAL, real.logistic, near=True)),
    Family("cauchy", real.StudentT, (LOC, SCALE), lambda loc, scale: real.StudentT(1.0, loc, scale),
        lambda d: (d.loc, d.scale) if d.df == 1.0 else None, numpyro={"Cauchy": "loc scale"},
        scipy={"cauchy_gen": ""}, fit=Fitter(REAL, real.cauchy, near=True)),
    Family("gumbel", real.LogGamma, (LOC, SCALE), lambda loc, scale: real.LogGamma(1.0, loc, scale),
        lambda d: (d.loc, d.scale) if d.shape == 1.0 and d.scale > 0.0 else None, numpyro={"Gumbel": "loc scale"},
        scipy={"gumbel_r_gen": ""}, fit=Fitter(REAL, real.gumbel, near=True)),
    Family("student_t", real.StudentT, (one("df"), optional(LOC, 0.0), optional(SCALE, 1.0)), aliases=("t",),
        numpyro={"StudentT": "df loc scale"}, scipy={"t_gen": "df"}, fit=Fitter(REAL, real.student_t, near=True),
        contains={"normal": lambda n, loc, sd: {"df": n, "loc": loc, "scale": sd},
                  "cauchy": lambda n, loc, scale: {"df": 1.0, "loc": loc, "scale": scale}}),
    Family("vonmises", real.VonMises, (LOC, named("concentration", "nonnegative", "the concentration")),
        numpyro={"VonMises": "loc concentration"}, scipy={"vonmises_gen": "kappa:concentration"},
        fit=Fitter(CIRCLE, real.vonmises), constants=({"loc": 0.0, "concentration": 1e-9},)),
    Family("gamma", GeneralizedGamma, (SHAPE, RATE_OR_SCALE), lambda shape, scale: GeneralizedGamma(scale, shape),
        lambda d: (d.shape, _scale(d)) if d.power == 1.0 else None,
        numpyro={"Gamma": "concentration:shape rate"},
        scipy={"gamma_gen": "a:shape", "erlang_gen": "a:shape", "_Gamma": "a:shape"},
        fit=Fitter(POSITIVE, positive.gamma), contains={"exponential": lambda n, rate: {"shape": 1.0, "rate": rate},
                                                     "chi2": lambda n, df: {"shape": 0.5 * df, "rate": 0.5}}),
    Family("exponential", GeneralizedGamma, (RATE_OR_MEAN,), lambda scale: GeneralizedGamma(scale, 1.0),
        lambda d: (_scale(d),) if d.power == d.shape == 1.0 else None, numpyro={"Exponential": "rate"},
        scipy={"expon_gen": ""}, fit=Fitter(FROM_ZERO, positive.exponential)),
    Family("chi2", GeneralizedGamma, (one("df"),), lambda df: GeneralizedGamma(2.0, 0.5 * df),
        lambda d: None,  # it is written as a gamma distribution
        numpyro={"Chi2": "df"}, scipy={"chi2_gen": "df"}, fit=Fitter(POSITIVE, positive.chi2)),
    Family("chi", GeneralizedGamma, (one("df"),), lambda df: GeneralizedGamma(1.0, 0.5 * df, 2.0, 0.5),
        lambda d: (2.0 * d.shape,) if _is_half(d) and d.scale == 1.0 and d.shape not in _HALVES else None,
        scipy={"chi_gen": "df"}, fit=Fitter(POSITIVE, positive.chi)),
    Family("weibull", GeneralizedGamma, (SHAPE, SCALE), lambda shape, scale: GeneralizedGamma(scale, 1.0, shape),
        lambda d: (d.power, _unit(d)) if d.shape == 1.0 and d.power > 0.0 else None,
        numpyro={"Weibull": "concentration:shape scale"}, scipy={"weibull_min_gen": "c:shape"},
        fit=Fitter(POSITIVE, positive.weibull),
        contains={"exponential": lambda n, rate: {"shape": 1.0, "scale": 1.0 / rate}}),
    Family("frechet", GeneralizedGamma, (SHAPE, SCALE), lambda shape, scale: GeneralizedGamma(scale, 1.0, -shape),
        lambda d: (-d.power, _unit(d)) if d.shape == 1.0 and d.power < 0.0 and d.power != -1.0 else None,
        scipy={"invweibull_gen": "c:shape"}, fit=Fitter(POSITIVE, positive.frechet)),
    Family("inverse_gamma", GeneralizedGamma, (SHAPE, SCALE),
        lambda shape, scale: GeneralizedGamma(scale, shape, -1.0),
        lambda d: (d.shape, _unit(d)) if d.power == -1.0 else None,
        numpyro={"InverseGamma": "concentration:shape rate:scale"}, scipy={"invgamma_gen": "a:shape"},
        fit=Fitter(POSITIVE, positive.inverse_gamma)),
    Family("halfnormal", GeneralizedGamma, (SCALE,), *_half(0.5), numpyro={"HalfNormal": "scale"},
        scipy={"halfnorm_gen": ""}, fit=Fitter(FROM_ZERO, positive.halfnormal)),
    Family("rayleigh", GeneralizedGamma, (SCALE,), *_half(1.0), scipy={"rayleigh_gen": ""},
        fit=Fitter(POSITIVE, positive.rayleigh)),
    Family("maxwell", GeneralizedGamma, (SCALE,), *_half(1.5), scipy={"maxwell_gen": ""},
        fit=Fitter(POSITIVE, positive.maxwell)),
    Family("generalized_gamma", GeneralizedGamma, (SHAPE, named("power", "finite", "the power"), SCALE),
        lambda shape, power, scale: GeneralizedGamma(scale, shape, power), lambda d: (d.shape, d.power, _unit(d)),
        scipy={"gengamma_gen": "a:shape c:power"}),
    Family("inverse_gaussian", lifetimes.InverseGaussian, (one("mean"), named("shape", noun="the shape")),
        aliases=("wald",), scipy={"invgauss_gen": "mu:mean", "wald_gen": "1:mean"},
        fit=Fitter(POSITIVE, lifetimes.inverse_gaussian)),
    Family("gompertz", lifetimes.Gompertz, (SHAPE, RATE_OR_SCALE),
        numpyro={"Gompertz": "concentration:shape rate"}, scipy={"gompertz_gen": "c:shape"},
        fit=Fitter(FROM_ZERO, lifetimes.gompertz)),
    Family("pareto", positive.Pareto, (SCALE, named("shape", noun="the shape")),
        numpyro={"Pareto": "scale alpha:shape"}, scipy={"pareto_gen": "b:shape"},
        fit=Fitter(POSITIVE, positive.pareto, moving_ends=True)),
    Family("halfcauchy", positive.HalfCauchy, (SCALE,), numpyro={"HalfCauchy": "scale"},
        scipy={"halfcauchy_gen": ""}, fit=Fitter(FROM_ZERO, positive.halfcauchy)),
    Family("lindley", lifetimes.Lindley, (one("rate"),), fit=Fitter(FROM_ZERO, lifetimes.lindley)),
    Family("beta", bounded.Beta, (one("a"), one("b")), numpyro={"Beta": "concentration1:a concentration0:b"},
        scipy={"beta_gen": "a b", "arcsine_gen": "0.5:a 0.5:b", "powerlaw_gen": "a 1:b"},
        fit=Fitter(UNIT, bounded.beta), constants=({"a": 1.0, "b": 1.0},)),
    Family("kumaraswamy", bounded.Kumaraswamy, (one("a"), one("b")),
        numpyro={"Kumaraswamy": "concentration1:a concentration0:b"}, fit=Fitter(UNIT, bounded.kumaraswamy),
        constants=({"a": 1.0, "b": 1.0},)),
    Family("uniform", bounded.Uniform, (one("low", "finite"), one("high", "finite")),
        numpyro={"Uniform": "low high"}, scipy={"uniform_gen": "", "Uniform": "a:low b:high"},
        fit=Fitter(REAL, bounded.uniform, moving_ends=True)),
    Family("loguniform", bounded.LogUniform, (one("low"), one("high")), numpyro={"LogUniform": "low high"},
        scipy={"reciprocal_gen": "a:low b:high", "_LogUniform": "a:low b:high"},
        fit=Fitter(POSITIVE, bounded.loguniform, moving_ends=True)),
    Family("continuous_bernoulli", bounded.ContinuousBernoulli, (named("logit", "finite", "the logit"),),
        numpyro={"ContinuousBernoulli": "probs|logits:logit"}, fit=Fitter(CLOSED_UNIT, bounded.continuous_bernoulli)),
    Family("poisson", counting.Poisson, (one("rate"),), numpyro={"Poisson": "rate"},
        scipy={"poisson_gen": "mu:rate"}, fit=Fitter(COUNTS, counting.poisson)),
    Family("bernoulli", counting.Binomial, (CHANCE,), lambda p: counting.Binomial(1.0, p),
        lambda d: (d.chance,) if d.total == 1.0 else None, numpyro={"Bernoulli": "probs|logits:p"},
        scipy={"bernoulli_gen": "p"}, fit=Fitter(BINARY, counting.bernoulli)),
    Family("binomial", counting.Binomial, (one("n", "count"), CHANCE),
        numpyro={"Binomial": "total_count:n probs|logits:p"}, scipy={"binom_gen": "n p", "Binomial": "n p"}),
    Family("geometric", counting.Geometric, (CHANCE, START), numpyro={"Geometric": "probs|logits:p"},
        fit=Fitter(COUNTS, counting.geometric)),
    Family("negative_binomial", counting.NegativeBinomial, (one("r"), WHICH_CHANCE), None,
        lambda d: (d.shape, ("failure", d.chance)), aliases=("nbinom",),
        numpyro={"NegativeBinomial": "total_count:r probs|logits:failure"},
        scipy={"nbinom_gen": "n:r p:success"}, fit=Fitter(COUNTS, counting.negative_binomial),
        contains={"poisson": lambda n, rate: {"r": n, "success": n / (rate + n)},
                  "geometric": lambda n, p: {"r": 1.0, "success": p}}),
    Family("categorical", vector.Categorical, (one("p", "probabilities"),),
        lambda p: vector.Categorical.from_probabilities(np.array(p)), lambda d: (d.probabilities,)),
    Family("dirichlet", vector.Dirichlet, (one("concentration", "positive_vector"),),
        lambda concentration: vector.Dirichlet(np.array(concentration))),
    Family("mvnormal", vector.MultivariateNormal, (one("loc", "vector"), SPREADS), _multivariate_normal,
        _loc_and_spread),
)
# fmt: on

FAMILIES: dict[str, Family] = {name: row for row in _ROWS for name in (row.name, *row.aliases)}

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


#: What families are called elsewhere, where neither a library's class nor a name here is like it.
_ELSEWHERE = {
    "mvn": "mvnormal",
    "multivariatenormal": "mvnormal",
    "gaussian": "normal",
    "n": "normal",
    "nb": "negative_binomial",
    "bern": "bernoulli",
    "geom": "geometric",
    "pois": "poisson",
    "unif": "uniform",
    "u": "uniform",
    "exp": "exponential",
    "expo": "exponential",
    "bin": "binomial",
    "truncnorm": "truncated",
    "truncatednormal": "truncated",
    "delta": "categorical",
    "dirac": "categorical",
    "dir": "dirichlet",
}


def meant_by(name: str) -> str | None:
    """Returns the family that is called so elsewhere, by its name here; None if none is.

    Example:
        >>> meant_by("expon"), meant_by("HalfNormal"), meant_by("mvn")
        ('exponential', 'halfnormal', 'mvnormal')
    """
    plain = _plain(name)
    row = row_named(name) or SCIPY.get(f"{plain}_gen", (None,))[0]
    return _ELSEWHERE.get(plain) if row is None else row.name


def families() -> list[str]:
    """Returns how each family is written in an expression, one line each.

    Example:
        >>> families()[0]
        'normal(loc, sd= | var= | precision=)'
    """
    return [row.usage for row in _ROWS] + list(COMPOUNDS.values())


#: Those that are fitted by maximum likelihood.
TABLE: dict[str, ScalarFamily] = {row.name: row.fitted for row in _ROWS if row.fit is not None}


def row_named(name: str) -> Family | None:
    """Returns the family of a name, also as NumPyro and torch write it; None if it is not here.

    Example:
        >>> row_named("StudentT").name
        'student_t'
    """
    return _BY_NAME.get(_plain(name))


def by_name(name: str) -> ScalarFamily | None:
    """Returns the family of a name for maximum likelihood; None if it is not here, or is not fitted so."""
    # By its mean, NumPyro's second negative binomial distribution has other parameters and the same members.
    row = row_named(_plain(name).removesuffix("2") if _plain(name) == "negativebinomial2" else name)
    return None if row is None else TABLE.get(row.name)


def _plain(name: str) -> str:
    return name.lower().replace("_", "").replace("-", "")


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
    return [row for row in TABLE.values() if row.domain in domains and not row.moving_ends]


def row_of(member: Distribution) -> tuple[Family, list[tuple[Spelling, Any]]] | None:
    """Returns the family with the fewest parameters that a distribution belongs to, and these."""
    for row in _BY_SIZE:
        values = row.values(member) if row.cls is type(member) else None
        if values is not None:
            return row, values
    return None


#: The classes of NumPyro and torch, each with its family and the names of its parameters. torch has one,
#: NumPyro one for each way to give a probability.
NUMPYRO: dict[str, tuple[Family, str]] = {
    f"{name}{suffix}": (row, names)
    for row in _ROWS
    for name, names in row.numpyro.items()
    for suffix in (("", "Probs", "Logits") if "probs|logits" in names else ("",))
}
#: Those of SciPy.
SCIPY = {name: (row, names) for row in _ROWS for name, names in row.scipy.items()}
#: The rows, those with few parameters first.
_BY_SIZE = sorted(_ROWS, key=lambda row: len(row.parameters))
#: The families by all their names, without underscores and in lower case.
_BY_NAME: dict[str, Family] = {
    _plain(name): row
    for name, row in [*FAMILIES.items(), *((cls, row) for cls, (row, _) in NUMPYRO.items())]
}
