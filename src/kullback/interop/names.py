"""The classes of NumPyro and torch that are families of ours: one row each.

The two libraries share names and meanings; where only one has a class, the row serves that one.
"""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, final

import numpy as np
from jaxtyping import Float
from scipy import linalg, special

from kullback.distributions.base import Distribution, Support
from kullback.distributions.compound import Bijection
from kullback.distributions.counting import Chance, NegativeBinomial
from kullback.distributions.family import Family, spelled
from kullback.distributions.positive import GeneralizedGamma, Pareto
from kullback.distributions.real import Logistic
from kullback.distributions.registry import NUMPYRO
from kullback.distributions.student import MultivariateT
from kullback.distributions.vector import Dirichlet, Multinomial, MultivariateNormal, Wishart
from kullback.interop.counts import (
    beta_binomial,
    beta_negative_binomial,
    dirichlet_multinomial,
    integers,
)
from kullback.interop.maps import (
    affine,
    categorical,
    chance,
    cholesky,
    generalized_pareto,
    log_odds,
    nearest,
    positive_fraction,
    push,
    tril_of_precision,
)
from kullback.interop.scipy_logs import standard_form

Vector = Float[np.ndarray, " d"]
Matrix = Float[np.ndarray, "d d"]


@final
@dataclass(frozen=True)
class ClassRow:
    """How one class becomes a family.

    Attributes:
        build: takes the parameters in order; for alternatives, the name given and its value.
        parameters: attribute names; "a|b" where the class takes either; "num_steps=" for a plain
            attribute, the same for a whole batch.
        axes: of one distribution's parameter; none of any if empty.
    """

    build: Callable[..., Distribution]
    parameters: tuple[str, ...]
    axes: tuple[int, ...] = ()


_CHANCE = "probs|logits"
_COVARIANCE = "covariance_matrix|precision_matrix|scale_tril"
_SCALE_MATRIX = "covariance_matrix|precision_matrix|scale_matrix|rate_matrix|scale_tril"


def _levy(loc: float, scale: float) -> Distribution:
    return push(GeneralizedGamma(scale, 0.5, -1.0, 0.5), affine(loc, 1.0), "Levy")


def _gamma_poisson(concentration: float, rate: float) -> Distribution:
    odds = 1 + positive_fraction(rate, "GammaPoisson: rate")
    return NegativeBinomial(concentration, Chance(probability=1 / odds))


def _relaxed_logit(temperature: float, given: tuple[str, float]) -> Distribution:
    """(logit p + a standard logistic variable) / temperature"""
    slope = 1 / positive_fraction(temperature, "RelaxedBernoulli: temperature")
    loc = slope * Fraction(log_odds(*given))
    return push(Logistic(0.0, 1.0), affine(loc, slope), "RelaxedBernoulli")


def _relaxed(temperature: float, given: tuple[str, float]) -> Distribution:
    return push(_relaxed_logit(temperature, given), Bijection("sigmoid"), "RelaxedBernoulli")


def _whole(loc: Float[np.ndarray, " _"], matrix: Matrix) -> Vector:
    """A loc of all coordinates: NumPyro keeps a scalar one as one coordinate that stands for all."""
    return np.array(np.broadcast_to(loc, matrix.shape[:1]))


def _multivariate_normal(loc: Float[np.ndarray, " _"], given: tuple[str, Matrix]) -> Distribution:
    name, matrix = given
    loc = _whole(loc, matrix)
    if name == "covariance_matrix":
        return MultivariateNormal.from_covariance(loc, matrix)
    root = matrix if name == "scale_tril" else tril_of_precision(matrix)
    return MultivariateNormal(loc, np.tril(root))


def _matrix_normal(
    loc: Float[np.ndarray, "n p"],
    rows: Float[np.ndarray, "n n"],
    columns: Float[np.ndarray, "p p"],
) -> Distribution:
    """An event is the matrix row after row: the Kronecker product of the two roots is its root."""
    return MultivariateNormal(loc.ravel(), np.kron(np.tril(rows), np.tril(columns)))


def _circulant(loc: Vector, given: tuple[str, Float[np.ndarray, " _"]]) -> Distribution:
    name, values = given
    row = values if name == "covariance_row" else np.fft.irfft(values, len(loc))
    return MultivariateNormal.from_covariance(loc, linalg.toeplitz(row))


def _wishart(degrees: tuple[str, float], given: tuple[str, Matrix]) -> Distribution:
    (_, df), (name, matrix) = degrees, given
    if name == "scale_tril":
        return Wishart(df, np.tril(matrix))
    if name in ("precision_matrix", "rate_matrix"):
        return Wishart(df, tril_of_precision(matrix))
    return Wishart(df, cholesky(matrix, "Wishart: the scale matrix"))


def _ordered_logistic(predictor: float, cutpoints: Vector) -> Distribution:
    """log(F(b) - F(a)) = log F(b) + log F(-a) + log(1 - exp(a - b)), F the logistic cdf."""
    ends = np.concatenate([[-np.inf], cutpoints - predictor, [np.inf]])
    below, above = ends[:-1], ends[1:]
    with np.errstate(all="ignore"):
        log_p = special.log_expit(above) + special.log_expit(-below)
        log_p = log_p + np.log(-np.expm1(below - above))
    return categorical("logits", log_p)


def _softened_laplace(loc: float, scale: float) -> Distribution:
    standard = standard_form("hypsecant_gen", "SoftLaplace", Support("interval"))
    return push(standard, affine(loc, scale), "SoftLaplace")


def _asymmetric_laplace(loc: float, scale: float, asymmetry: float) -> Distribution:
    name = "AsymmetricLaplace"
    standard = standard_form("laplace_asymmetric_gen", name, Support("interval"), asymmetry)
    return push(standard, affine(loc, scale), name)


def _dagum(concentration: float, sharpness: float, scale: float) -> Distribution:
    region = Support("interval", 0.0)
    standard = standard_form("burr_gen", "Dagum", region, sharpness, concentration)
    return push(standard, affine(0.0, scale), "Dagum")


_LOC_SCALE = ("loc", "scale")

#: Scalars that are families of ours moved, stretched, mixed or in other parameters.
_SCALARS: dict[str, ClassRow] = {
    "GeneralizedPareto": ClassRow(generalized_pareto, ("loc", "scale", "concentration")),
    "Levy": ClassRow(_levy, _LOC_SCALE),
    "SoftLaplace": ClassRow(_softened_laplace, _LOC_SCALE),
    "AsymmetricLaplace": ClassRow(_asymmetric_laplace, (*_LOC_SCALE, "asymmetry")),
    "Dagum": ClassRow(_dagum, ("concentration", "sharpness", "scale")),
    "LowerTruncatedPowerLaw": ClassRow(
        lambda alpha, low: Pareto(low, nearest(-1 - Fraction(alpha))), ("alpha", "low")
    ),
    "RelaxedBernoulli": ClassRow(_relaxed, ("temperature", _CHANCE)),
    "RelaxedBernoulliLogits": ClassRow(_relaxed, ("temperature", _CHANCE)),
    "LogitRelaxedBernoulli": ClassRow(_relaxed_logit, ("temperature", _CHANCE)),
    "GammaPoisson": ClassRow(_gamma_poisson, ("concentration", "rate")),
    "DiscreteUniform": ClassRow(integers, ("low", "high")),
    "BetaBinomial": ClassRow(beta_binomial, ("concentration1", "concentration0", "total_count")),
    "BetaNegativeBinomial": ClassRow(
        beta_negative_binomial, ("concentration1", "concentration0", "n")
    ),
}

_CATEGORICAL = ClassRow(lambda given: categorical(*given), (_CHANCE,), (1,))
_MULTINOMIAL = ClassRow(
    lambda total, given: Multinomial(int(total), categorical(*given)),
    ("total_count", _CHANCE),
    (0, 1),
)

_VECTORS: dict[str, ClassRow] = {
    **{f"Categorical{way}": _CATEGORICAL for way in ("", "Probs", "Logits")},
    **{f"Multinomial{way}": _MULTINOMIAL for way in ("", "Probs", "Logits")},
    "MultivariateNormal": ClassRow(_multivariate_normal, ("loc", _COVARIANCE), (1, 2)),
    "LowRankMultivariateNormal": ClassRow(
        lambda loc, factor, diagonal: MultivariateNormal.from_covariance(
            loc, factor @ factor.T + np.diag(diagonal)
        ),
        ("loc", "cov_factor", "cov_diag"),
        (1, 2, 1),
    ),
    "MultivariateStudentT": ClassRow(
        lambda df, loc, root: MultivariateT(df, _whole(loc, root), np.tril(root)),
        ("df", "loc", "scale_tril"),
        (0, 1, 2),
    ),
    "MatrixNormal": ClassRow(
        _matrix_normal, ("loc", "scale_tril_row", "scale_tril_column"), (2, 2, 2)
    ),
    "GaussianRandomWalk": ClassRow(
        lambda scale, n: MultivariateNormal(np.zeros(n), scale * np.tril(np.ones((n, n)))),
        ("scale", "num_steps="),
        (0, 0),
    ),
    "CirculantNormal": ClassRow(_circulant, ("loc", "covariance_row|covariance_rfft"), (1, 1)),
    "DirichletMultinomial": ClassRow(
        dirichlet_multinomial, ("concentration", "total_count"), (1, 0)
    ),
    "Dirichlet": ClassRow(Dirichlet, ("concentration",), (1,)),
    "OneHotCategorical": ClassRow(
        lambda given: categorical(*given, one_hot=True), (_CHANCE,), (1,)
    ),
    "OrderedLogistic": ClassRow(_ordered_logistic, ("predictor", "cutpoints"), (0, 1)),
    "Wishart": ClassRow(_wishart, ("concentration|df", _SCALE_MATRIX), (0, 2)),
}


def _row(cls: str, family: Family, names: str) -> ClassRow:
    """Returns how a class that is a family of ours becomes one."""
    rules = {s.name: s.rule for p in family.parameters for s in p.spellings}
    pairs = spelled(names)

    def plain(ours: str, value: Any, theirs: str) -> Any:
        """A parameter as our spelling of it has it."""
        if isinstance(value, tuple):
            return chance(*value) if rules[ours] == "probability" else log_odds(*value)
        if rules[ours] == "divisor":
            positive_fraction(value, f"{cls}: {theirs}")
        return value

    def build(*values: Any) -> Distribution:
        named = zip(pairs, values, strict=True)
        return family.member({ours: plain(ours, v, theirs) for (theirs, ours), v in named})

    return ClassRow(build, tuple(theirs for theirs, _ in pairs))


ROWS: dict[str, ClassRow] = {
    **{cls: _row(cls, *columns) for cls, columns in NUMPYRO.items()},
    **_SCALARS,
    **_VECTORS,
}
