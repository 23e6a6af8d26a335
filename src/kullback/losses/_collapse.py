"""Posterior collapse: which latent dimensions an encoder uses."""

from dataclasses import dataclass
from typing import Literal, final

import numpy as np
from jaxtyping import Bool, Float

from kullback._core.errors import InputError
from kullback.losses._gaussian import Array, DiagonalGaussian, gaussian_kl_per_dimension

_REMEDY = {
    "none": "",
    "partial": "Unused dimensions are usual: the ELBO prunes what does not pay. If too few are left, "
    "lower beta, or raise it from 0 to 1 in the first epochs.",
    "complete": "The encoder says nothing about x: the decoder models the data alone. Check that the "
    "log likelihood is summed, not averaged, over the data's axes (`recognize_kl` checks the KL); "
    "lower beta or a fixed noise variance; raise beta from 0 to 1 in the first epochs; allow free bits.",
}


@final
@dataclass(frozen=True, eq=False)
class PosteriorCollapse:
    """Which latent dimensions carry something about x.

    Attributes:
        kl_per_dimension: (d,), mean over examples of KL(q(z_j|x)||p(z_j)) in nats.
        mean_variance: (d,), variance over examples of E[z_j|x] in units of the prior's variance;
            None if only KLs were given.
        active: (d,), whether KL and variance are both above their thresholds.
        kl_threshold: in nats.
        variance_threshold: of `mean_variance`.
    """

    kl_per_dimension: Float[np.ndarray, " d"]
    mean_variance: Float[np.ndarray, " d"] | None
    active: Bool[np.ndarray, " d"]
    kl_threshold: float
    variance_threshold: float

    @property
    def active_units(self) -> int:
        """The number of dimensions in use."""
        return int(np.count_nonzero(self.active))

    @property
    def share_collapsed(self) -> float:
        """The share of dimensions not in use."""
        return 1.0 - self.active_units / len(self.active)

    @property
    def extent(self) -> Literal["none", "partial", "complete"]:
        """How much of the latent space has collapsed; in words."""
        if self.active_units == 0:
            return "complete"
        return "none" if self.active.all() else "partial"

    @property
    def constant(self) -> tuple[int, ...]:
        """Dimensions that pay a KL above the threshold but hardly move with x."""
        idle = ~self.active & (self.kl_per_dimension > self.kl_threshold)
        return tuple(np.flatnonzero(idle).tolist())

    def __str__(self) -> str:
        d = len(self.active)
        summary = (
            f"posterior collapse: {self.extent}; {self.active_units} of {d} latent dimensions active, "
            f"KL(q(z|x)||p(z)) {self.kl_per_dimension.sum():.4g} nats per example"
        )
        shown = ", ".join(map(str, self.constant))
        idle = f"Paid for, yet the same for every x: dimensions {shown}." if shown else ""
        return "\n".join(line for line in (summary, idle, _REMEDY[self.extent]) if line)


def posterior_collapse(
    posterior: DiagonalGaussian | Float[Array, "*n d"],
    prior: DiagonalGaussian | None = None,
    *,
    kl_threshold: float = 0.01,
    variance_threshold: float = 0.01,
) -> PosteriorCollapse:
    """Returns which latent dimensions are active, and whether the posterior has collapsed.

    active_j = mean_x KL(q(z_j|x)||p(z_j)) > kl_threshold
               and Var_x E[z_j|x] / Var p(z_j) > variance_threshold

    The first alone is passed by a posterior that differs from the prior in the same way for every
    x. Give it many examples, best held out: variances over few are rough.

    Args:
        posterior: the encoder's (mean, log variance), each (n, d), as a tuple; or an array of KLs,
            (d,) or (n, d), whose variance criterion is then left out.
        prior: (mean, log variance) of p(z); standard normal where not given.
        kl_threshold: in nats per dimension.
        variance_threshold: Burda's, with the prior's variance as the unit.

    Raises:
        InputError: fewer than two examples, other shapes, NaN, or KLs below 0.

    Example:
        >>> mean = np.array([[1.0, 0.0, 2.0], [-1.0, 0.0, 2.0]])
        >>> found = posterior_collapse((mean, np.zeros((2, 3))))
        >>> found.active, found.constant, found.extent
        (array([ True, False, False]), (2,), 'partial')
        >>> print(posterior_collapse(np.array([0.8, 1.2])))
        posterior collapse: none; 2 of 2 latent dimensions active, KL(q(z|x)||p(z)) 2 nats per example

    Source:
        Burda, Grosse and Salakhutdinov, "Importance weighted autoencoders" (2016), section 5.2.
    """
    if isinstance(posterior, tuple):
        pair, base = as_numbers(posterior), None if prior is None else as_numbers(prior)
        kls, mean_variance = gaussian_kl_per_dimension(pair, base), _mean_variance(pair[0], base)
    else:
        kls, mean_variance = _as_numbers(posterior), None
    kl_per_dimension = _mean_over_examples(kls)
    active = kl_per_dimension > kl_threshold
    if mean_variance is not None:
        active &= mean_variance > variance_threshold
    return PosteriorCollapse(
        kl_per_dimension, mean_variance, active, kl_threshold, variance_threshold
    )


def as_numbers(gaussian: DiagonalGaussian) -> DiagonalGaussian:
    """Returns a Gaussian of any namespace with NumPy's arrays, float64.

    Raises:
        InputError: one holds NaN.
    """
    mean, log_variance = gaussian
    return _as_numbers(mean), _as_numbers(log_variance)


def _as_numbers(array: Array) -> Float[np.ndarray, "..."]:
    plain = array.detach().cpu() if hasattr(array, "detach") else array
    found = np.asarray(plain, dtype=np.float64)
    if np.isnan(found).any():
        where = tuple(int(i) for i in np.argwhere(np.isnan(found))[0])
        raise InputError(
            f"NaN at {where}, {np.isnan(found).sum()} of {found.size} in all: the training has "
            "diverged; lower the learning rate, or bound the log variances"
        )
    return found


def _mean_variance(
    mean: Float[np.ndarray, "..."], prior: DiagonalGaussian | None
) -> Float[np.ndarray, " d"]:
    if mean.ndim != 2 or len(mean) < 2:
        raise InputError(
            f"means must be (n, d) with at least two examples, got {mean.shape}; "
            "with KLs alone pass posterior_collapse(kl_per_dimension)"
        )
    if prior is not None:
        mean = (mean - prior[0]) * np.exp(-0.5 * prior[1])
    return np.var(mean, axis=0, ddof=1)


def _mean_over_examples(kls: Float[np.ndarray, "..."]) -> Float[np.ndarray, " d"]:
    if kls.ndim not in (1, 2) or kls.size == 0:
        raise InputError(
            f"KLs must be (d,) or (n, d), got {kls.shape}; a (mean, log variance) pair is a tuple"
        )
    mean = kls if kls.ndim == 1 else kls.mean(axis=0)
    if (mean < -1e-6).any():
        raise InputError(
            f"KL of dimension {int(np.argmin(mean))} is {mean.min():.4g}, below 0: these are not KLs; "
            "gaussian_kl_per_dimension((mean, log_variance)) gives them"
        )
    return mean
