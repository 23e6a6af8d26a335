"""Independent latents with finitely many values each: mean-field over integer arrays."""

import math
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float, Int

from kullback.distributions._base import Array, Distribution, Support

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
