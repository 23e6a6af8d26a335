"""The ELBO of a variational autoencoder, with reconstruction and KL apart."""

from typing import NamedTuple

from jaxtyping import Float

from kullback._core.errors import InputError
from kullback.losses._gaussian import (
    Array,
    DiagonalGaussian,
    as_array,
    gaussian_kl_per_dimension,
    namespace,
)


class AutoencoderElbo(NamedTuple):
    """A lower bound on the mean log evidence of a batch, in nats per example; a JAX pytree.

    Attributes:
        elbo: reconstruction - kl.
        reconstruction: mean over the batch of the log likelihood, summed over the data's axes.
        kl: mean over the batch of KL(q(z|x)||p(z)), summed over the latent axis.
        kl_per_dimension: (d,), mean over the batch; their sum is `kl`.
        elbo_per_example: in the batch's shape; their mean is `elbo`, and over independent examples
            their sd / sqrt(n) is its standard error.
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
