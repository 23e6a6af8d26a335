"""Posterior collapse: which latent dimensions an encoder uses."""

import itertools
import math
from dataclasses import dataclass
from typing import Literal, NamedTuple, final

import numpy as np
from jaxtyping import Bool, Float

from kullback.core.errors import InputError
from kullback.losses.arrays import Array, as_array, namespace
from kullback.losses.gaussian import DiagonalGaussian, gaussian_kl, gaussian_kl_per_dimension

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

    Example:
        >>> posterior_collapse(np.array([0.8, 1e-4])).active_units
        1
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
        pair, base = _as_numbers(posterior), None if prior is None else _as_numbers(prior)
        kls, mean_variance = gaussian_kl_per_dimension(pair, base), _mean_variance(pair[0], base)
    else:
        kls, mean_variance = _as_array(posterior), None
    kl_per_dimension = _mean_over_examples(kls)
    active = kl_per_dimension > kl_threshold
    if mean_variance is not None:
        active &= mean_variance > variance_threshold
    return PosteriorCollapse(
        kl_per_dimension, mean_variance, active, kl_threshold, variance_threshold
    )


def _as_numbers(gaussian: DiagonalGaussian) -> DiagonalGaussian:
    """A Gaussian of any namespace with NumPy's arrays, float64."""
    mean, log_variance = gaussian
    return _as_array(mean), _as_array(log_variance)


def _as_array(array: Array) -> Float[np.ndarray, "..."]:
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


# The ELBO of a variational autoencoder, with reconstruction and KL apart.


class AutoencoderElbo(NamedTuple):
    """A lower bound on the mean log evidence of a batch, in nats per example; a JAX pytree.

    Attributes:
        elbo: reconstruction - kl.
        reconstruction: mean over the batch of the log likelihood, summed over the data's axes.
        kl: mean over the batch of KL(q(z|x)||p(z)), summed over the latent axis.
        kl_per_dimension: (d,), mean over the batch; their sum is `kl`.
        elbo_per_example: in the batch's shape; their mean is `elbo`, and over independent examples
            their sd / sqrt(n) is its standard error.

    Example:
        >>> bound = AutoencoderElbo(-3.0, -2.0, 1.0, np.ones(1), np.full(4, -3.0))
        >>> bound.beta_objective(4.0)
        -6.0
    """

    elbo: Float[Array, ""]
    reconstruction: Float[Array, ""]
    kl: Float[Array, ""]
    kl_per_dimension: Float[Array, " d"]
    elbo_per_example: Float[Array, " *batch"]

    def beta_objective(self, beta: float) -> Float[Array, ""]:
        """Returns reconstruction - beta KL, to be maximised; an ELBO only if beta = 1.

        With beta > 1 it lies below the ELBO, with beta < 1 it may exceed the log evidence. Whatever
        beta a model is trained with, report its `elbo`.

        Example:
            >>> import numpy as np
            >>> bound = autoencoder_elbo(np.array([-3.0]), (np.ones((1, 2)), np.zeros((1, 2))))
            >>> float(bound.elbo), float(bound.beta_objective(4.0))
            (-4.0, -7.0)

        Source:
            Higgins et al., "beta-VAE" (2017), equation 4.
        """
        return self.reconstruction - beta * self.kl


def autoencoder_elbo(
    log_likelihood: Float[Array, " *batch"],
    posterior: DiagonalGaussian,
    prior: DiagonalGaussian | None = None,
) -> AutoencoderElbo:
    """Returns the ELBO of a variational autoencoder on a batch, reconstruction and KL apart.

    mean_i log p(x_i) >= mean_i { E_q(z|x_i)[log p(x_i|z)] - KL(q(z|x_i)||p(z)) }

    The KL is exact, summed over the latent axis and averaged over examples. It is an ELBO if
    `log_likelihood` is a complete log likelihood: summed over pixels, its constants included, and
    of data that the likelihood can produce (Bernoulli: zeros and ones, not grey values).

    Args:
        log_likelihood: log p(x_i|z_i) for z_i drawn from q(z|x_i), or its mean over several such
            draws; one number per example. Under `jax.vmap` that is a scalar.
        posterior: the encoder's (mean, log variance) of q(z|x), each (..., d).
        prior: (mean, log variance) of p(z); standard normal where not given.

    Raises:
        InputError: there is not one log likelihood per example, or the latent axes differ.

    Example:
        >>> import numpy as np
        >>> mean, log_variance = np.array([[1.0, 0.0], [0.0, 2.0]]), np.zeros((2, 2))
        >>> bound = autoencoder_elbo(np.array([-10.0, -12.0]), (mean, log_variance))
        >>> float(bound.elbo), float(bound.reconstruction), float(bound.kl)
        (-12.25, -11.0, 1.25)
        >>> bound.kl_per_dimension
        array([0.25, 1.  ])

    Source:
        Kingma and Welling, "Auto-Encoding Variational Bayes" (2014), equation 3.
    """
    xp = namespace(log_likelihood, *posterior, *(prior or ()))
    parts = gaussian_kl_per_dimension(posterior, prior)
    log_likelihood = as_array(log_likelihood, xp)
    _one_per_example(tuple(log_likelihood.shape), tuple(parts.shape))
    per_dimension = xp.mean(xp.reshape(parts, (-1, parts.shape[-1])), axis=0)
    per_example = log_likelihood - xp.sum(parts, axis=-1)
    reconstruction, kl = xp.mean(log_likelihood), xp.sum(per_dimension)
    return AutoencoderElbo(reconstruction - kl, reconstruction, kl, per_dimension, per_example)


def _one_per_example(given: tuple[int, ...], latent: tuple[int, ...]) -> None:
    batch = latent[:-1]
    if given == batch:
        return
    remedy = "pass log p(x_i|z_i), a number for each example"
    if len(given) > len(batch) and given[: len(batch)] == batch:
        axes = ", ".join(str(-k) for k in range(len(given) - len(batch), 0, -1))
        remedy = (
            f"sum over the data's axes, log_likelihood.sum(axis=({axes},)); a mean changes beta"
        )
    elif not given:
        remedy += "; a mean over pixels is not a log likelihood and changes beta"
    elif batch and given[-len(batch) :] == batch:
        remedy = "average over the draws of z, log_likelihood.mean(axis=0)"
    raise InputError(
        f"log_likelihood has shape {given}, but the posterior {latent} is a batch of {batch}: {remedy}"
    )


# What a KL value printed by somebody's autoencoder is: a sum, a mean, or something else.


@final
@dataclass(frozen=True)
class RecognizedKl:
    """What a value is in terms of the KL.

    Attributes:
        value: as it was given.
        kl: summed over the latent axis, averaged over examples, in nats.
        beta: value / kl, the weight that the value gives the KL in a loss.
        readings: the formulas with the fewest faults that give the value; empty if none is known.

    Example:
        >>> RecognizedKl(0.5, 1.0, 0.5, ()).beta
        0.5
    """

    value: float
    kl: float
    beta: float
    readings: tuple[str, ...]

    @property
    def right(self) -> bool:
        """Whether it is the KL."""
        return self.readings[:1] == (_RIGHT,)

    def __str__(self) -> str:
        reading = ", or ".join(self.readings) or "no known formula of the KL"
        verdict = "" if self.right else f"; as a loss it has beta = {self.beta:.4g}"
        return f"{self.value:.6g} is {reading}{verdict} (KL = {self.kl:.6g} nats per example)"


_KL = "the KL"
_RIGHT = "the KL: summed over the latent axis, averaged over examples"


def recognize_kl(
    value: float | Float[Array, ""],
    posterior: DiagonalGaussian,
    prior: DiagonalGaussian | None = None,
    *,
    relative_tolerance: float = 1e-3,
) -> RecognizedKl:
    """Returns which formula gives a KL value that a training code printed for this very batch.

    The value is compared with the KL divided by d, summed over the batch, without its factor 1/2,
    with the other sign, in bits, in the other direction, with a log sd taken for log variance, and
    with any two of these faults at once.

    Args:
        value: the KL term of the loss on the batch.
        posterior: the encoder's (mean, log variance) on that batch, each (n, d) or (d,).
        prior: (mean, log variance) of p(z); standard normal where not given.
        relative_tolerance: of the comparison.

    Raises:
        InputError: the value is not finite, or the KL is 0, so that every formula gives 0.

    Example:
        >>> mean, log_variance = np.array([[1.0, 0.0], [0.0, 2.0], [1.0, 2.0]]), np.zeros((3, 2))
        >>> print(recognize_kl(5 / 6, (mean, log_variance)))
        0.833333 is the KL divided by d = 2: a mean over the latent axis;
        as a loss it has beta = 0.5 (KL = 1.66667 nats per example)
    """
    value = float(value)
    pair, base = _as_numbers(posterior), None if prior is None else _as_numbers(prior)
    kl = _batch_mean_kl(pair, base)
    if not math.isfinite(value) or not math.isfinite(kl) or kl == 0.0:
        raise InputError(
            f"value {value:g} cannot be compared with a KL of {kl:g}: both must be finite and the KL "
            "above 0; pass a batch on which the posterior differs from the prior"
        )
    return RecognizedKl(value, kl, value / kl, _readings(value, pair, base, relative_tolerance))


def _readings(
    value: float, posterior: DiagonalGaussian, prior: DiagonalGaussian | None, tolerance: float
) -> tuple[str, ...]:
    found: dict[int, list[str]] = {}
    d = posterior[0].shape[-1]
    steps = _faults(posterior[0].size // d, d)
    for (base, number), *faults in itertools.product(_bases(posterior, prior).items(), *steps):
        present = [text for text, _ in faults if text]
        predicted = number * math.prod(factor for _, factor in faults)
        if math.isclose(value, predicted, rel_tol=tolerance):
            count = len(present) + (base != _KL)
            text = " ".join([base, " and ".join(present)]).rstrip() if count else _RIGHT
            found.setdefault(count, []).append(text)
    fewest = min(found, default=3)
    return tuple(found[fewest]) if fewest <= 2 else ()


def _bases(posterior: DiagonalGaussian, prior: DiagonalGaussian | None) -> dict[str, float]:
    mean, log_variance = posterior
    other = (0.0 * mean, 0.0 * log_variance) if prior is None else prior
    kl = _batch_mean_kl(posterior, prior)
    return {
        _KL: kl,
        "the KL in bits": kl / math.log(2.0),
        "KL(p(z)||q(z|x)), the other direction": _batch_mean_kl(other, posterior),
        "the KL with exp(log variance) taken for the sd": _batch_mean_kl(
            (mean, 2.0 * log_variance), prior
        ),
    }


def _faults(n: int, d: int) -> list[list[tuple[str, float]]]:
    """The choices of each step, the right one first, with what they multiply."""
    right = ("", 1.0)
    latent = (f"divided by d = {d}: a mean over the latent axis", 1.0 / d)
    batch = [
        (f"multiplied by n = {n}: a sum over examples", float(n)),
        (f"divided by n = {n}: averaged over examples twice", 1.0 / n),
    ]
    return [
        [right, latent] if d > 1 else [right],
        [right, *batch] if n > 1 else [right],
        [right, ("without its factor 1/2", 2.0)],
        [right, ("with the other sign", -1.0)],
    ]


def _batch_mean_kl(p: DiagonalGaussian, q: DiagonalGaussian | None) -> float:
    return float(gaussian_kl(p, q).mean())
