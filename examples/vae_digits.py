"""A variational autoencoder of scikit-learn's 8x8 digits, its ELBO, and whether it collapsed.

    python examples/vae_digits.py               # an ELBO with its standard error, on held-out images
    python examples/vae_digits.py --beta 100    # the posterior collapses, and the detector says so

Pixels are made 0 or 1, so that Bernoulli log likelihoods are log probabilities of the data.
"""

import argparse
from functools import partial
from itertools import pairwise
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from sklearn.datasets import load_digits

from kullback.losses.autoencoder import (
    AutoencoderElbo,
    PosteriorCollapse,
    autoencoder_elbo,
    posterior_collapse,
)

PIXELS, HIDDEN, LATENT, BATCH = 64, 128, 8, 100
TRAINING = 1500  # of 1797 images; the rest is held out
OPTIMIZER = optax.adam(2e-3)


class Evaluation(NamedTuple):
    """What the held-out images say, in nats per image."""

    bound: AutoencoderElbo
    standard_error: float
    collapse: PosteriorCollapse


def load_images() -> tuple[jax.Array, jax.Array]:
    """Returns training and held-out images, (n, 64) of zeros and ones, shuffled once and for all."""
    images = (load_digits().data >= 8).astype(np.float32)
    images = images[np.random.default_rng(0).permutation(len(images))]
    return jnp.asarray(images[:TRAINING]), jnp.asarray(images[TRAINING:])


def initialize(key: jax.Array) -> dict[str, list[tuple[jax.Array, jax.Array]]]:
    """Returns the weights of an encoder and a decoder with one hidden layer each."""
    sizes = {"encoder": (PIXELS, HIDDEN, 2 * LATENT), "decoder": (LATENT, HIDDEN, PIXELS)}
    keys = iter(jax.random.split(key, 4))
    return {
        name: [
            (jax.random.normal(next(keys), (a, b), jnp.float32) / a**0.5, jnp.zeros(b, jnp.float32))
            for a, b in pairwise(size)
        ]
        for name, size in sizes.items()
    }


def apply(layers, x):
    """Returns a network with tanh between two affine layers, at x."""
    (w1, b1), (w2, b2) = layers
    return jnp.tanh(x @ w1 + b1) @ w2 + b2


def encode(params, x):
    """Returns mean and log variance of q(z|x), each (n, LATENT)."""
    mean, log_variance = jnp.split(apply(params["encoder"], x), 2, axis=-1)
    return mean, log_variance


def log_likelihood(params, x, posterior, key):
    """Returns log p(x|z) at one draw z of q(z|x) per image: a sum over pixels, (n,)."""
    mean, log_variance = posterior
    noise = jax.random.normal(key, mean.shape, mean.dtype)
    logits = apply(params["decoder"], mean + jnp.exp(0.5 * log_variance) * noise)
    return jnp.sum(x * logits - jax.nn.softplus(logits), axis=-1)


def loss(params, x, beta, key):
    """Returns minus the beta objective, which is minus the ELBO where beta is 1."""
    posterior = encode(params, x)
    bound = autoencoder_elbo(log_likelihood(params, x, posterior, key), posterior)
    return -bound.beta_objective(beta)


@partial(jax.jit, static_argnames="epochs")
def train(images, beta, key, *, epochs: int):
    """Returns trained weights; beta is traced, so that another beta compiles nothing."""

    def step(state, inputs):
        params, moments = state
        rows, key = inputs
        gradient = jax.grad(loss)(params, images[rows], beta, key)
        updates, moments = OPTIMIZER.update(gradient, moments)
        return (optax.apply_updates(params, updates), moments), None

    def epoch(state, key):
        order, noise = jax.random.split(key)
        batches = jax.random.permutation(order, len(images)).reshape(-1, BATCH)
        return jax.lax.scan(step, state, (batches, jax.random.split(noise, len(batches))))

    first, rest = jax.random.split(key)
    params = initialize(first)
    state = (params, OPTIMIZER.init(params))
    return jax.lax.scan(epoch, state, jax.random.split(rest, epochs))[0][0]


@partial(jax.jit, static_argnames="draws")
def measure(params, images, key, *, draws: int = 64):
    """Returns the ELBO of images, the likelihood averaged over draws of z, and the posterior."""
    posterior = encode(params, images)
    one = partial(log_likelihood, params, images, posterior)
    return autoencoder_elbo(
        jnp.mean(jax.lax.map(one, jax.random.split(key, draws)), axis=0), posterior
    ), posterior


def evaluate(params, images, key) -> Evaluation:
    """Returns the ELBO, its standard error over images, and which latent dimensions are used."""
    bound, posterior = measure(params, images, key)
    error = float(np.std(bound.elbo_per_example, ddof=1) / len(images) ** 0.5)
    return Evaluation(bound, error, posterior_collapse(posterior))


def run(*, beta: float = 1.0, epochs: int = 100, key: int = 0) -> Evaluation:
    """Trains on the training images and returns what the held-out images say."""
    training, held_out = load_images()
    trained, measured = jax.random.split(jax.random.key(key))
    params = train(training, jnp.float32(beta), trained, epochs=epochs)
    return evaluate(params, held_out, measured)


def main() -> None:
    """Prints what `run` finds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--beta", type=float, default=1.0, help="weight of the KL in training")
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--key", type=int, default=0)
    bound, error, collapse = run(**vars(parser.parse_args()))
    print(f"ELBO            {bound.elbo:8.2f} ± {error:.2f} nats per held-out image")
    print(f"reconstruction  {bound.reconstruction:8.2f}")
    print(f"KL(q(z|x)||p)   {bound.kl:8.2f}")
    print("per dimension  ", *(f"{kl:7.3f}" for kl in bound.kl_per_dimension))
    print(f"active units    {collapse.active_units} of {LATENT}")
    print(collapse)


if __name__ == "__main__":
    main()
