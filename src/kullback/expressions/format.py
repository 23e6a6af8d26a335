"""Distributions written as expressions: what `parse` reads back."""

import math
from collections.abc import Callable, Iterable
from fractions import Fraction

import numpy as np
from jaxtyping import Float

from kullback.distributions.base import Distribution, Foreign
from kullback.distributions.bounded import (
    Beta,
    ContinuousBernoulli,
    Kumaraswamy,
    LogUniform,
    Uniform,
)
from kullback.distributions.compound import Mixture, Product, Truncated
from kullback.distributions.counting import Binomial, Geometric, NegativeBinomial, Poisson
from kullback.distributions.gaussian_mixture import GaussianMixture
from kullback.distributions.positive import (
    GeneralizedGamma,
    HalfCauchy,
    InverseGaussian,
    Lindley,
    LogNormal,
    Pareto,
)
from kullback.distributions.real import Laplace, LogGamma, Logistic, Normal, StudentT, VonMises
from kullback.distributions.statistics import Real
from kullback.distributions.vector import Categorical, Dirichlet, MultivariateNormal

_SUM_TOLERANCE = 1e-9
#: The names of a generalised gamma of power 2 and factor 1/2, by its shape.
_HALVES = {0.5: "halfnormal", 1.0: "rayleigh", 1.5: "maxwell"}


def format_distribution(d: Distribution, *, digits: int = 6) -> str:
    """Returns a distribution as an expression, its numbers to so many significant digits.

    More digits are written where fewer would leave no distribution (weights that do not sum to
    1, the ends of a narrow interval). What expressions cannot say is shown by its name or fields.

    Example:
        >>> format_distribution(Normal(0.0, 2.0))
        'normal(0, sd=2)'
    """
    writer = _WRITERS.get(type(d))
    text = None if writer is None else writer(d, digits)
    return str(d) if text is None else text


def _number(value: Real, digits: int) -> str:
    return f"{float(value) + 0.0:.{digits}g}"


def _numbers(values: Iterable[float], digits: int) -> str:
    return f"[{', '.join(_number(float(v), digits) for v in values)}]"


def _shares(values: Float[np.ndarray, " k"], digits: int) -> list[str]:
    """Writes numbers that sum to 1 so that they do as they are written."""
    values = values / values.sum()
    written = [_number(float(v), digits) for v in values]
    if abs(math.fsum(float(w) for w in written) - 1.0) > 0.1 * _SUM_TOLERANCE:
        largest = int(np.argmax(values))
        others = math.fsum(float(w) for i, w in enumerate(written) if i != largest)
        written[largest] = f"{1.0 - others:.12g}"
    return written


def _chance(value: Real, digits: int) -> str:
    """Writes a probability; one inside (0, 1) stays inside."""
    inside = 0.0 < float(value) < 1.0
    for more in range(digits, 18):
        text = _number(value, more)
        if not inside or 0.0 < float(text) < 1.0:
            return text
    return repr(float(value))


def _ends(low: float, high: float, digits: int) -> tuple[str, str]:
    """Writes the ends of an interval to a small part of its length."""
    allowed = 10.0 ** (2 - digits) * (high - low)
    return _near(low, allowed, digits), _near(high, allowed, digits)


def _near(value: float, allowed: float, digits: int) -> str:
    texts = [_number(value, more) for more in range(digits, 18)]
    return next((t for t in texts if abs(float(t) - value) <= allowed), texts[-1])


def _location(name: str, loc: Real, spread: str, value: Real, digits: int) -> str:
    return f"{name}({_number(loc, digits)}, {spread}={_number(value, digits)})"


def _student_t(d: StudentT, digits: int) -> str:
    if d.df == 1.0:
        return _location("cauchy", d.loc, "scale", d.scale, digits)
    df = _number(d.df, digits)
    return f"student_t({df}, {_number(d.loc, digits)}, scale={_number(d.scale, digits)})"


def _log_gamma(d: LogGamma, digits: int) -> str | None:
    if d.shape == 1.0 and d.scale > 0.0:
        return _location("gumbel", d.loc, "scale", d.scale, digits)
    return None


def _generalized_gamma(d: GeneralizedGamma, digits: int) -> str:
    shape, power = _number(d.shape, digits), _number(d.power, digits)
    scale = _number(d.scale, digits)
    if d.power == 2.0 and d.factor == 0.5:
        if d.shape in _HALVES:
            return f"{_HALVES[d.shape]}(scale={scale})"
        if d.scale == 1.0:
            return f"chi({_number(2.0 * d.shape, digits)})"
    with np.errstate(over="ignore"):
        unit = _number(float(d.scale) * np.float64(d.factor) ** (-1.0 / d.power), digits)
    if d.power == 1.0:
        spread = f"scale={unit}"
        if isinstance(d.scale, Fraction):
            spread = f"rate={_number(Fraction(d.factor) / d.scale, digits)}"
        return f"exponential({spread})" if d.shape == 1.0 else f"gamma({shape}, {spread})"
    if d.power == -1.0:
        return f"inverse_gamma({shape}, scale={unit})"
    if d.shape == 1.0:
        name = "weibull" if d.power > 0.0 else "frechet"
        return f"{name}({power.lstrip('-')}, scale={unit})"
    return f"generalized_gamma({shape}, power={power}, scale={unit})"


def _binomial(d: Binomial, digits: int) -> str:
    p = _chance(float(d.chance), digits)
    return f"bernoulli({p})" if d.total == 1.0 else f"binomial({int(d.total)}, {p})"


def _multivariate_normal(d: MultivariateNormal, digits: int) -> str:
    covariance = d.covariance
    loc = _numbers(d.loc, digits)
    if np.array_equal(covariance, np.diag(np.diag(covariance))):
        return f"mvnormal({loc}, sd={_numbers(np.diag(d.scale_tril), digits)})"
    written = [[_numbers(row, more) for row in covariance] for more in range(digits, 18)]
    rows = next((r for r in written if _is_covariance(r)), written[-1])
    return f"mvnormal({loc}, cov=[{', '.join(rows)}])"


def _is_covariance(rows: list[str]) -> bool:
    try:
        np.linalg.cholesky([[float(v) for v in row[1:-1].split(",")] for row in rows])
    except np.linalg.LinAlgError:
        return False
    return True


def _mixture(d: Mixture | GaussianMixture, digits: int) -> str:
    parts: tuple[Distribution, ...]
    if isinstance(d, GaussianMixture):
        pairs = zip(d.means, d.scale_trils, strict=True)
        parts = tuple(MultivariateNormal(m, s) for m, s in pairs)
    else:
        parts = d.components
    texts = [format_distribution(p, digits=digits) for p in parts]
    if len(texts) == 1:
        return texts[0]
    grouped = [f"({t})" if isinstance(p, Mixture) else t for p, t in zip(parts, texts, strict=True)]
    terms = zip(_shares(d.weights, digits), grouped, strict=True)
    return " + ".join(f"{w}*{t}" for w, t in terms)


def _product(d: Product, digits: int) -> str:
    return f"product({', '.join(format_distribution(p, digits=digits) for p in d.parts)})"


def _truncated(d: Truncated, digits: int) -> str:
    low, high = _ends(d.low, d.high, digits)
    return f"truncated({format_distribution(d.base, digits=digits)}, {low}, {high})"


def _interval(name: str) -> Callable[..., str]:
    return lambda d, n: f"{name}({', '.join(_ends(d.low, d.high, n))})"


def _pair(name: str) -> Callable[..., str]:
    return lambda d, n: f"{name}({_number(d.a, n)}, {_number(d.b, n)})"


_WRITERS: dict[type, Callable[..., str | None]] = {
    Normal: lambda d, n: _location("normal", d.loc, "sd", d.scale, n),
    LogNormal: lambda d, n: _location("lognormal", d.loc, "sd", d.scale, n),
    Laplace: lambda d, n: _location("laplace", d.loc, "scale", d.scale, n),
    Logistic: lambda d, n: _location("logistic", d.loc, "scale", d.scale, n),
    VonMises: lambda d, n: _location("vonmises", d.loc, "concentration", d.concentration, n),
    LogGamma: _log_gamma,
    StudentT: _student_t,
    GeneralizedGamma: _generalized_gamma,
    InverseGaussian: lambda d, n: _location("inverse_gaussian", d.mean, "shape", d.shape, n),
    Pareto: lambda d, n: f"pareto(scale={_number(d.scale, n)}, shape={_number(d.shape, n)})",
    HalfCauchy: lambda d, n: f"halfcauchy(scale={_number(d.scale, n)})",
    Lindley: lambda d, n: f"lindley({_number(d.rate, n)})",
    Beta: _pair("beta"),
    Kumaraswamy: _pair("kumaraswamy"),
    Uniform: _interval("uniform"),
    LogUniform: _interval("loguniform"),
    ContinuousBernoulli: lambda d, n: f"continuous_bernoulli(logit={_number(d.logit, n)})",
    Poisson: lambda d, n: f"poisson({_number(d.rate, n)})",
    Binomial: _binomial,
    Geometric: lambda d, n: f"geometric({_chance(float(d.chance), n)}, start={d.start:g})",
    NegativeBinomial: lambda d, n: (
        f"negative_binomial({_number(d.shape, n)}, failure={_chance(float(d.chance), n)})"
    ),
    Categorical: lambda d, n: f"categorical([{', '.join(_shares(d.probabilities, n))}])",
    Dirichlet: lambda d, n: f"dirichlet({_numbers(d.concentration, n)})",
    MultivariateNormal: _multivariate_normal,
    GaussianMixture: _mixture,
    Mixture: _mixture,
    Product: _product,
    Truncated: _truncated,
    Foreign: lambda d, n: d.name,
}
