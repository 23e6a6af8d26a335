"""Compound counts, by SciPy's special functions: JAX's log beta function is off by up to 1e-6."""

import numpy as np
from jaxtyping import Float
from scipy import special

from kullback._core.errors import InputError
from kullback.distributions._base import Array, Distribution, Support
from kullback.distributions._foreign import Foreign


def beta_binomial(a: float, b: float, total: float) -> Distribution:
    """Returns the law of a Binomial(total, p) with p of Beta(a, b)."""
    name = _checked("BetaBinomial", a, b)

    def density(x: Array) -> Array:
        inside = (x >= 0.0) & (x <= total) & (x == np.floor(x))
        k = np.where(inside, x, 0.0)
        log_choose = -np.log1p(total) - special.betaln(total - k + 1.0, k + 1.0)
        log_p = log_choose + special.betaln(k + a, total - k + b) - special.betaln(a, b)
        return np.where(inside, log_p, -np.inf)

    def sampler(rng: np.random.Generator, n: int) -> Array:
        return rng.binomial(int(total), rng.beta(a, b, n))

    return Foreign(name, Support("integers", 0.0, total), density, sampler, strict=True)


def beta_negative_binomial(a: float, b: float, size: float) -> Distribution:
    """Returns the law of a NegativeBinomial(size, p) with p, a failure's chance, of Beta(a, b)."""
    name = _checked("BetaNegativeBinomial", a, b, size)

    def density(x: Array) -> Array:
        inside = (x >= 0.0) & (x == np.floor(x))
        k = np.where(inside, x, 0.0)
        rising = -np.log(size + k) - special.betaln(size, k + 1.0)
        log_p = rising + special.betaln(a + k, b + size) - special.betaln(a, b)
        return np.where(inside, log_p, -np.inf)

    def sampler(rng: np.random.Generator, n: int) -> Array:
        return rng.negative_binomial(size, 1.0 - rng.beta(a, b, n))

    return Foreign(name, Support("integers", 0.0), density, sampler, strict=True)


def dirichlet_multinomial(concentration: Float[np.ndarray, " k"], total: float) -> Distribution:
    """Returns the law of a Multinomial(total, p) with p of Dirichlet(concentration)."""
    name = _checked("DirichletMultinomial", *(float(c) for c in concentration))
    mass = concentration.sum()

    def density(x: Array) -> Array:
        inside = (x >= 0.0).all(axis=1) & (x == np.floor(x)).all(axis=1) & (x.sum(axis=1) == total)
        k = np.where(inside[:, None], x, 0.0)
        whole = special.gammaln(total + 1.0) - special.gammaln(total + mass) + special.gammaln(mass)
        parts = special.gammaln(k + concentration) - special.gammaln(k + 1.0)
        log_p = whole + np.sum(parts - special.gammaln(concentration), axis=1)
        return np.where(inside, log_p, -np.inf)

    def sampler(rng: np.random.Generator, n: int) -> Array:
        return rng.multinomial(int(total), rng.dirichlet(concentration, n))

    support = Support("counts", 0.0, total, len(concentration))
    return Foreign(name, support, density, sampler, strict=True)


def _checked(name: str, *parameters: float) -> str:
    bad = [p for p in parameters if not 0.0 < p < np.inf]
    if bad:
        raise InputError(f"{name}: parameters must be positive and finite, got {bad[0]}")
    return name
