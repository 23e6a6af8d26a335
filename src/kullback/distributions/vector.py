"""Distributions of vectors: Gaussian, Dirichlet, finite, spherical."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import final

import numpy as np
import scipy
from jaxtyping import Float, Int
from scipy import special

from kullback.core.errors import InputError, UnsupportedError
from kullback.distributions.base import Array, Distribution, Stratum, Support
from kullback.distributions.columns import asked_row, conditioned
from kullback.distributions.real import Normal


@final
@dataclass(frozen=True, eq=False)
class MultivariateNormal(Distribution):
    """N(loc, scale_tril scale_tril'); `given` keeps the covariance where that is what was given."""

    loc: Float[np.ndarray, " d"]
    scale_tril: Float[np.ndarray, "d d"]
    given: Float[np.ndarray, "d d"] | None = None

    def __post_init__(self) -> None:
        d = self.loc.shape[0]
        if self.scale_tril.shape != (d, d):
            raise InputError(
                f"MultivariateNormal: loc has {d} coordinates, scale_tril shape {self.scale_tril.shape}"
            )
        diagonal = self.scale_tril.diagonal()
        if not (np.isfinite(self.loc).all() and np.isfinite(self.scale_tril).all()):
            raise InputError("MultivariateNormal: loc and covariance must be finite")
        if not (diagonal > 0.0).all():
            raise InputError("MultivariateNormal: the covariance must be positive definite")

    @classmethod
    def from_covariance(
        cls, loc: Float[np.ndarray, " d"], covariance: Float[np.ndarray, "d d"]
    ) -> "MultivariateNormal":
        """Returns N(loc, covariance). Raises InputError unless it is positive definite."""
        try:
            return cls(loc, np.linalg.cholesky(covariance), covariance)
        except np.linalg.LinAlgError:
            low = float(np.linalg.eigvalsh(covariance)[0])
            raise InputError(
                "MultivariateNormal: the covariance must be positive definite; "
                f"its smallest eigenvalue is {low:.3g}"
            ) from None

    @property
    def support(self) -> Support:
        return Support("real", dimension=self.loc.shape[0])

    @cached_property
    def covariance(self) -> Float[np.ndarray, "d d"]:
        return self.scale_tril @ self.scale_tril.T if self.given is None else self.given

    def condition(self, x: Float[np.ndarray, " d"]) -> Distribution:
        """Returns the distribution of the coordinates that are NaN in x, given the others."""
        row = asked_row(x, len(self.loc))
        located, roots, _ = conditioned(
            self.loc[None], self.scale_tril[None], np.full(1, np.inf), row
        )
        if located.shape[1] == 1:
            return Normal(float(located[0, 0]), float(roots[0, 0, 0]))
        return MultivariateNormal(located[0], roots[0])

    def log_prob(self, x: Array) -> Float[np.ndarray, " n"]:
        z = scipy.linalg.solve_triangular(self.scale_tril, (x - self.loc).T, lower=True)
        half_log_det = np.log(np.diag(self.scale_tril)).sum()
        return -0.5 * np.sum(z * z, axis=0) - half_log_det - 0.5 * len(z) * math.log(2.0 * math.pi)

    def sample(self, rng: np.random.Generator, n: int) -> Array:
        return self._transport(rng.standard_normal((n, len(self.loc))))

    def strata(self) -> tuple[Stratum, ...]:
        return (Stratum(1.0, len(self.loc), self._transport),)

    def _transport(self, z: Array) -> Array:
        return self.loc + z @ self.scale_tril.T


@final
@dataclass(frozen=True, eq=False)
class Categorical(Distribution):
    """Finitely many outcomes, 0 .. k-1 (or their one-hot vectors), by their log probabilities.

    `probabilities` or `logits` keep what was given, so that nothing is rounded.
    """

    log_probabilities: Float[np.ndarray, " k"]
    probabilities: Float[np.ndarray, " k"]
    one_hot: bool = False
    logits: Float[np.ndarray, " k"] | None = None

    @classmethod
    def from_probabilities(
        cls, p: Float[np.ndarray, " k"], *, one_hot: bool = False
    ) -> "Categorical":
        """Returns the distribution with these probabilities, which must sum to 1."""
        with np.errstate(divide="ignore"):
            return cls(np.log(p), p, one_hot)

    @classmethod
    def from_logits(
        cls, logits: Float[np.ndarray, " k"], *, one_hot: bool = False
    ) -> "Categorical":
        """Returns softmax(logits)."""
        log_p = special.log_softmax(logits)
        return cls(log_p, np.exp(log_p), one_hot, logits)

    @property
    def support(self) -> Support:
        k = len(self.probabilities)
        if self.one_hot:
            return Support("one_hot", dimension=k)
        return Support("integers", 0.0, k - 1.0)

    def landmarks(self) -> Float[np.ndarray, " m"]:
        return np.flatnonzero(self.probabilities).astype(np.float64)

    def log_prob(self, x: Array) -> Float[np.ndarray, " n"]:
        index = np.argmax(x, axis=-1) if self.one_hot else np.asarray(x)
        valid = (index >= 0) & (index < len(self.probabilities)) & (index == np.floor(index))
        return np.where(
            valid, self.log_probabilities[np.where(valid, index, 0).astype(int)], -np.inf
        )

    def sample(self, rng: np.random.Generator, n: int) -> Array:
        index = rng.choice(
            len(self.probabilities), size=n, p=self.probabilities / self.probabilities.sum()
        )
        return np.eye(len(self.probabilities))[index] if self.one_hot else index.astype(np.float64)


@final
@dataclass(frozen=True, eq=False)
class Dirichlet(Distribution):
    """Gamma(sum a) / prod Gamma(a_i) prod x_i^(a_i - 1) on the simplex."""

    concentration: Float[np.ndarray, " k"]

    def __post_init__(self) -> None:
        a = self.concentration
        if a.ndim != 1 or len(a) < 2 or not (np.isfinite(a) & (a > 0.0)).all():
            raise InputError(f"Dirichlet: concentration must be positive and finite, got {a}")

    @property
    def support(self) -> Support:
        return Support("simplex", dimension=len(self.concentration))

    def log_prob(self, x: Array) -> Float[np.ndarray, " n"]:
        a = self.concentration
        constant = special.gammaln(a.sum()) - special.gammaln(a).sum()
        return constant + special.xlogy(a - 1.0, x).sum(axis=-1)

    def sample(self, rng: np.random.Generator, n: int) -> Array:
        return rng.dirichlet(self.concentration, n)


@final
@dataclass(frozen=True, eq=False)
class Multinomial(Distribution):
    """Counts of `total` draws from a Categorical."""

    total: int
    chances: Categorical

    @property
    def support(self) -> Support:
        return Support("counts", 0.0, float(self.total), len(self.chances.probabilities))

    def log_prob(self, x: Array) -> Float[np.ndarray, " n"]:
        constant = special.gammaln(self.total + 1.0) - special.gammaln(x + 1.0).sum(axis=-1)
        with np.errstate(invalid="ignore"):
            weighted = np.where(x == 0.0, 0.0, x * self.chances.log_probabilities)
        return np.where(x.sum(axis=-1) == self.total, constant + weighted.sum(axis=-1), -np.inf)

    def sample(self, rng: np.random.Generator, n: int) -> Array:
        p = self.chances.probabilities
        return rng.multinomial(self.total, p / p.sum(), n).astype(np.float64)


@final
@dataclass(frozen=True, eq=False)
class Wishart(Distribution):
    """Wishart(df, scale_tril scale_tril') on positive-definite matrices, flattened."""

    df: float
    scale_tril: Float[np.ndarray, "d d"]

    def __post_init__(self) -> None:
        if self.df <= self.scale_tril.shape[0] - 1:
            raise InputError(
                f"Wishart: df must exceed {self.scale_tril.shape[0] - 1}, got {self.df}"
            )

    @property
    def support(self) -> Support:
        return Support("matrix", dimension=self.scale_tril.size)

    def log_prob(self, x: Array) -> Float[np.ndarray, " n"]:
        d = self.scale_tril.shape[0]
        inner = scipy.linalg.solve_triangular(self.scale_tril, np.eye(d), lower=True)
        matrices = inner @ x.reshape(-1, d, d) @ inner.T
        log_det = np.linalg.slogdet(matrices)[1]
        half_log_det = np.log(np.diag(self.scale_tril)).sum()
        constant = (
            0.5 * self.df * d * math.log(2.0)
            + float(special.gammaln(0.5 * self.df - 0.5 * np.arange(d)).sum())
            + 0.25 * d * (d - 1) * math.log(math.pi)
        )
        trace = np.trace(matrices, axis1=1, axis2=2)
        return 0.5 * (self.df - d - 1) * log_det - 0.5 * trace - constant - (d + 1) * half_log_det

    def sample(self, rng: np.random.Generator, n: int) -> Array:
        d = self.scale_tril.shape[0]
        a = np.tril(rng.standard_normal((n, d, d)), -1)
        a[:, range(d), range(d)] = np.sqrt(rng.chisquare(self.df - np.arange(d), (n, d)))
        root = self.scale_tril @ a
        return (root @ root.transpose(0, 2, 1)).reshape(n, d * d)


@final
@dataclass(frozen=True, eq=False)
class Directional(Distribution):
    """Von Mises-Fisher or power-spherical on the unit sphere of R^d.

    exp(concentration mean.x), or (1 + mean.x)^concentration (De Cao and Aziz 2020).
    """

    mean: Float[np.ndarray, " d"]
    concentration: float
    power: bool = False

    @property
    def support(self) -> Support:
        return Support("sphere", dimension=len(self.mean))

    def log_prob(self, x: Array) -> Float[np.ndarray, " n"]:
        cosine = x @ self.mean
        if self.power:
            with np.errstate(divide="ignore"):
                return self.concentration * np.log1p(cosine) - self.log_normalizer
        return self.concentration * cosine - self.log_normalizer

    @cached_property
    def log_normalizer(self) -> float:
        d, kappa = len(self.mean), self.concentration
        if self.power:
            a, b = 0.5 * (d - 1) + kappa, 0.5 * (d - 1)
            return (
                (a + b) * math.log(2.0)
                + b * math.log(math.pi)
                + special.gammaln(a)
                - special.gammaln(a + b)
            )
        order = 0.5 * d - 1.0
        if kappa == 0.0:
            return math.log(2.0) + 0.5 * d * math.log(math.pi) - special.gammaln(0.5 * d)
        log_bessel = math.log(special.ive(order, kappa)) + kappa
        return 0.5 * d * math.log(2.0 * math.pi) + log_bessel - order * math.log(kappa)

    def sample(self, rng: np.random.Generator, n: int) -> Array:
        raise UnsupportedError("Directional distributions are measured in closed form only")


# Independent latents with finitely many values each: mean-field over integer arrays.

_SHOWN = 6


@final
@dataclass(frozen=True, eq=False)
class Independent(Distribution):
    """The product of m categoricals with values 0 .. k-1. Events are integer arrays of a shape of m numbers.

    Attributes:
        log_probabilities: (m, k).
        shape: of an event; () for a single latent.
    """

    log_probabilities: Float[np.ndarray, "m k"]
    shape: tuple[int, ...]

    def __post_init__(self) -> None:
        assert math.prod(self.shape) == len(self.log_probabilities)

    @property
    def support(self) -> Support:
        if not self.shape:
            return Support("integers", 0.0, self.log_probabilities.shape[1] - 1.0)
        return Support("counts", dimension=len(self.log_probabilities))

    @property
    def probabilities(self) -> Array:
        """Of each value, (*shape, k); for binary latents that of 1, (*shape)."""
        p = np.exp(self.log_probabilities).reshape(*self.shape, -1)
        return p[..., 1] if p.shape[-1] == 2 else p

    @property
    def entropy(self) -> float:
        """H(q), in nats."""
        p = np.exp(self.log_probabilities)
        return -float(np.sum(np.where(p > 0.0, p * self.log_probabilities, 0.0)))

    def log_prob(self, x: Array) -> Float[np.ndarray, " n"]:
        codes = np.asarray(x).reshape(len(x), -1)
        m, k = self.log_probabilities.shape
        valid = ((codes >= 0) & (codes < k) & (codes == np.floor(codes))).all(axis=1)
        index = np.where(valid[:, None], codes, 0).astype(np.int64)
        return np.where(valid, self.log_probabilities[np.arange(m), index].sum(axis=1), -np.inf)

    def sample(self, rng: np.random.Generator, n: int) -> Int[np.ndarray, "n ..."]:
        codes = self.at(rng.random((n, len(self.log_probabilities))))
        return codes.reshape(n, *self.shape)

    def at(self, u: Float[np.ndarray, "n m"]) -> Int[np.ndarray, "n m"]:
        """Returns the codes at quantiles u: draws, if u is uniform."""
        below = np.cumsum(np.exp(self.log_probabilities), axis=1)[:, :-1]
        return (u[:, :, None] > below).sum(axis=2)

    def __str__(self) -> str:
        m, k = self.log_probabilities.shape
        flat = np.exp(self.log_probabilities)
        rows = [f"{p[1]:.4g}" if k == 2 else f"{p.round(4).tolist()}" for p in flat[:_SHOWN]]
        rest = f", ... {m} in all" if m > _SHOWN else ""
        return f"independent({'bernoulli' if k == 2 else 'categorical'}: {', '.join(rows)}{rest})"
