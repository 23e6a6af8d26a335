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

from kullback.distributions.base import Distribution
from kullback.distributions.compound import Bijection
from kullback.distributions.counting import Chance, NegativeBinomial
from kullback.distributions.family import Family, spelled
from kullback.distributions.positive import GeneralizedGamma, Pareto
from kullback.distributions.real import Logistic
from kullback.distributions.registry import NUMPYRO
from kullback.distributions.student import MultivariateT
from kullback.distributions.vector import Dirichlet, Multinomial, MultivariateNormal, Wishart
from kullback.interop.maps import (
    affine,
    beta_binomial,
    beta_negative_binomial,
    categorical,
    chance,
    cholesky,
    dirichlet_multinomial,
    generalized_pareto,
    integers,
    log_odds,
    nearest,
    positive_fraction,
    push,
    push_all,
    tril_of_precision,
)

Vector = Float[np.ndarray, " d"]
Matrix = Float[np.ndarray, "d d"]


@final
@dataclass(frozen=True)
class Row:
    """How one class becomes a family.

    Attributes:
        build: takes the parameters in order; for alternatives, the name given and its value.
        parameters: attribute names; "a|b" where the class takes either; "num_steps=" for a plain
            attribute, the same for a whole batch.
        dimensions: axes of one distribution's parameter; 0 for all if empty.
    """

    build: Callable[..., Distribution]
    parameters: tuple[str, ...]
    dimensions: tuple[int, ...] = ()

    @property
    def axes(self) -> tuple[int, ...]:
        return self.dimensions or (0,) * len(self.parameters)


_CHANCE = "probs|logits"
_COVARIANCE = "covariance_matrix|precision_matrix|scale_tril"
_SCALE_MATRIX = "covariance_matrix|precision_matrix|scale_matrix|rate_matrix|scale_tril"


def _inverse(value: float, what: str) -> Fraction:
    return 1 / positive_fraction(value, what)


def _levy(loc: float, scale: float) -> Distribution:
    return push(GeneralizedGamma(scale, 0.5, -1.0, 0.5), affine(loc, 1.0), "Levy")


def _power_law(alpha: float, low: float) -> Distribution:
    return Pareto(low, nearest(-1 - Fraction(alpha)))


def _gamma_poisson(concentration: float, rate: float) -> Distribution:
    odds = 1 + positive_fraction(rate, "GammaPoisson: rate")
    return NegativeBinomial(concentration, Chance(probability=1 / odds))


def _relaxed_logit(temperature: float, given: tuple[str, float]) -> Distribution:
    """(logit p + a standard logistic variable) / temperature"""
    slope = _inverse(temperature, "RelaxedBernoulli: temperature")
    loc = slope * Fraction(log_odds(*given))
    return push(Logistic(0.0, 1.0), affine(loc, slope), "RelaxedBernoulli")


def _relaxed(temperature: float, given: tuple[str, float]) -> Distribution:
    base = _relaxed_logit(temperature, given)
    return push_all(base, [Bijection("sigmoid")], "RelaxedBernoulli")


def _multivariate_normal(loc: Float[np.ndarray, " _"], given: tuple[str, Matrix]) -> Distribution:
    name, matrix = given
    # NumPyro keeps a scalar loc as one coordinate that stands for all.
    loc = np.array(np.broadcast_to(loc, matrix.shape[:1]))
    if name == "covariance_matrix":
        return MultivariateNormal.from_covariance(loc, matrix)
    root = matrix if name == "scale_tril" else tril_of_precision(matrix)
    return MultivariateNormal(loc, np.tril(root))


def _student(df: float, loc: Float[np.ndarray, " _"], root: Matrix) -> Distribution:
    return MultivariateT(df, np.array(np.broadcast_to(loc, root.shape[:1])), np.tril(root))


def _low_rank(loc: Vector, factor: Float[np.ndarray, "d r"], diagonal: Vector) -> Distribution:
    return MultivariateNormal.from_covariance(loc, factor @ factor.T + np.diag(diagonal))


def _matrix_normal(
    loc: Float[np.ndarray, "n p"],
    rows: Float[np.ndarray, "n n"],
    columns: Float[np.ndarray, "p p"],
) -> Distribution:
    """An event is the matrix row after row: the Kronecker product of the two roots is its root."""
    return MultivariateNormal(loc.ravel(), np.kron(np.tril(rows), np.tril(columns)))


def _random_walk(scale: float, steps: int) -> Distribution:
    return MultivariateNormal(np.zeros(steps), scale * np.tril(np.ones((steps, steps))))


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


def _one_hot(given: tuple[str, Vector]) -> Distribution:
    return categorical(*given, one_hot=True)


def _multinomial(total: float, given: tuple[str, Vector]) -> Distribution:
    return Multinomial(int(total), categorical(*given))


_LOC_SCALE = ("loc", "scale")

#: Scalars that are families of ours moved, stretched, mixed or in other parameters.
_SCALARS: dict[str, Row] = {
    "GeneralizedPareto": Row(generalized_pareto, ("loc", "scale", "concentration")),
    "Levy": Row(_levy, _LOC_SCALE),
    "LowerTruncatedPowerLaw": Row(_power_law, ("alpha", "low")),
    "RelaxedBernoulli": Row(_relaxed, ("temperature", _CHANCE)),
    "RelaxedBernoulliLogits": Row(_relaxed, ("temperature", _CHANCE)),
    "LogitRelaxedBernoulli": Row(_relaxed_logit, ("temperature", _CHANCE)),
    "GammaPoisson": Row(_gamma_poisson, ("concentration", "rate")),
    "DiscreteUniform": Row(integers, ("low", "high")),
    "BetaBinomial": Row(beta_binomial, ("concentration1", "concentration0", "total_count")),
    "BetaNegativeBinomial": Row(beta_negative_binomial, ("concentration1", "concentration0", "n")),
}

_CATEGORICAL = Row(lambda given: categorical(*given), (_CHANCE,), (1,))
_MULTINOMIAL = Row(_multinomial, ("total_count", _CHANCE), (0, 1))

_VECTORS: dict[str, Row] = {
    **{f"Categorical{way}": _CATEGORICAL for way in ("", "Probs", "Logits")},
    **{f"Multinomial{way}": _MULTINOMIAL for way in ("", "Probs", "Logits")},
    "MultivariateNormal": Row(_multivariate_normal, ("loc", _COVARIANCE), (1, 2)),
    "LowRankMultivariateNormal": Row(_low_rank, ("loc", "cov_factor", "cov_diag"), (1, 2, 1)),
    "MultivariateStudentT": Row(_student, ("df", "loc", "scale_tril"), (0, 1, 2)),
    "MatrixNormal": Row(_matrix_normal, ("loc", "scale_tril_row", "scale_tril_column"), (2, 2, 2)),
    "GaussianRandomWalk": Row(_random_walk, ("scale", "num_steps="), (0, 0)),
    "CirculantNormal": Row(_circulant, ("loc", "covariance_row|covariance_rfft"), (1, 1)),
    "DirichletMultinomial": Row(dirichlet_multinomial, ("concentration", "total_count"), (1, 0)),
    "Dirichlet": Row(Dirichlet, ("concentration",), (1,)),
    "OneHotCategorical": Row(_one_hot, (_CHANCE,), (1,)),
    "OrderedLogistic": Row(_ordered_logistic, ("predictor", "cutpoints"), (0, 1)),
    "Wishart": Row(_wishart, ("concentration|df", _SCALE_MATRIX), (0, 2)),
}


def _row(cls: str, family: Family, names: str) -> Row:
    """Returns how a class that is a family of ours becomes one."""
    pairs = [(ours, theirs) for theirs, ours in spelled(names)]

    def build(*values: Any) -> Distribution:
        found = {
            ours: _plain(family, ours, value, f"{cls}: {theirs}")
            for (ours, theirs), value in zip(pairs, values, strict=True)
        }
        return family.member(found)

    return Row(build, tuple(theirs for _, theirs in pairs))


def _plain(family: Family, ours: str, value: Any, what: str) -> Any:
    """A parameter as our spelling of it has it."""
    rule = next(s.rule for p in family.parameters for s in p.spellings if s.name == ours)
    if isinstance(value, tuple):
        return chance(*value) if rule == "probability" else log_odds(*value)
    if rule == "divisor":
        positive_fraction(value, what)
    return value


ROWS: dict[str, Row] = {
    **{cls: _row(cls, *columns) for cls, columns in NUMPYRO.items()},
    **_SCALARS,
    **_VECTORS,
}


def given(thing: Any, names: list[str]) -> tuple[str, Any]:
    """Returns which of alternative parameters an object was made from, and its value.

    The others are computed when asked for and stored after it, in the precision of the object.
    """
    for owner in (thing, getattr(thing, "_categorical", None), getattr(thing, "base_dist", None)):
        stored = vars(owner) if owner is not None else {}
        for name in stored:
            if name in names:
                return name, stored[name]
    name = next(n for n in names if hasattr(thing, n))
    return name, getattr(thing, name)
