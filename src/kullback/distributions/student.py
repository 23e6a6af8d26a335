"""Student's t in many coordinates."""

import math
from dataclasses import dataclass
from typing import final

import numpy as np
import scipy
from jaxtyping import Float
from scipy import special

from kullback.core.errors import InputError
from kullback.distributions.base import Array, Distribution, Support
from kullback.distributions.vector import MultivariateNormal


@final
@dataclass(frozen=True, eq=False)
class MultivariateT(Distribution):
    """loc + scale_tril z / sqrt(g / df), z standard normal and g chi-squared with df degrees of freedom."""

    df: float
    loc: Float[np.ndarray, " d"]
    scale_tril: Float[np.ndarray, "d d"]

    def __post_init__(self) -> None:
        if not 0.0 < self.df < math.inf:
            raise InputError(f"MultivariateT: df must be positive and finite, got {self.df}")
        MultivariateNormal(self.loc, self.scale_tril)  # checks both

    @property
    def support(self) -> Support:
        return Support("real", dimension=len(self.loc))

    def log_prob(self, x: Array) -> Float[np.ndarray, " n"]:
        z = scipy.linalg.solve_triangular(self.scale_tril, (x - self.loc).T, lower=True)
        d, log_det = len(z), float(np.log(np.diag(self.scale_tril)).sum())
        tail = np.log1p(np.sum(z * z, axis=0) / self.df)
        return log_constant(self.df, d) - log_det - 0.5 * (self.df + d) * tail

    def sample(self, rng: np.random.Generator, n: int) -> Array:
        z = rng.standard_normal((n, len(self.loc))) @ self.scale_tril.T
        return self.loc + z / np.sqrt(rng.chisquare(self.df, n) / self.df)[:, None]


def log_constant(df: float, d: int) -> float:
    """Returns log of Gamma((df + d) / 2) / (Gamma(df / 2) (df pi)^(d/2)), right also for large df."""
    half = 0.5 * d
    return (
        -float(special.betaln(half, 0.5 * df)) + math.lgamma(half) - half * math.log(df * math.pi)
    )
