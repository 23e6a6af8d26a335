"""The examples run, in a reduced setting, and say what they promise."""

import pytest

pytest.importorskip("jax")

import jax
import jax.numpy as jnp
import numpy as np

from examples import vae_digits

#: Training takes a quarter of a minute, and every test here needs it.
pytestmark = pytest.mark.slow
EPOCHS = 40


@pytest.fixture(scope="module")
def trained():
    """Weights for beta = 1 and beta = 100, from one compiled training."""
    training, held_out = vae_digits.load_images()
    key = jax.random.key(0)
    weights = {
        beta: vae_digits.train(training, jnp.float32(beta), key, epochs=EPOCHS)
        for beta in (1.0, 100.0)
    }
    return training, held_out, weights


@pytest.fixture(scope="module")
def found(trained):
    _, held_out, weights = trained
    return {b: vae_digits.evaluate(w, held_out, jax.random.key(1)) for b, w in weights.items()}


def test_the_vae_uses_its_latent_space(found):
    bound, error, collapse = found[1.0]
    assert collapse.active_units >= 6
    assert collapse.extent != "complete"
    assert bound.kl > 3.0
    assert 0.1 < error < 0.5
    assert bound.elbo > found[100.0].bound.elbo + 5.0 * error


def test_beta_100_collapses_and_the_detector_fires(found, trained):
    bound, _, collapse = found[100.0]
    assert collapse.extent == "complete"
    assert collapse.active_units == 0
    assert bound.kl < 0.01
    training, held_out, _ = trained
    p = np.asarray(training, float).mean(axis=0) * 0.999 + 5e-4
    pixels = np.where(held_out > 0, np.log(p), np.log1p(-p)).sum(axis=1).mean()
    assert (
        abs(float(bound.reconstruction) - pixels) < 0.5
    )  # the decoder knows the pixels' means only


def test_reconstruction_and_kl_are_apart_and_add_up(found):
    for bound, _, _ in found.values():
        np.testing.assert_allclose(bound.elbo, bound.reconstruction - bound.kl, rtol=1e-6)
        np.testing.assert_allclose(bound.elbo, np.mean(bound.elbo_per_example), rtol=1e-4)
        np.testing.assert_allclose(bound.kl, np.sum(bound.kl_per_dimension), rtol=1e-5)


@pytest.mark.slow
def test_the_elbo_lies_below_an_importance_weighted_log_evidence(found, trained):
    _, held_out, weights = trained
    params, x = weights[1.0], held_out[:100]
    mean, log_variance = vae_digits.encode(params, x)
    z = mean + jnp.exp(0.5 * log_variance) * jax.random.normal(
        jax.random.key(2), (500, *mean.shape), mean.dtype
    )
    logits = vae_digits.apply(params["decoder"], z)
    log_joint = (
        jnp.sum(x * logits - jax.nn.softplus(logits), axis=-1)
        + jax.scipy.stats.norm.logpdf(z).sum(axis=-1)
        - jax.scipy.stats.norm.logpdf(z, mean, jnp.exp(0.5 * log_variance)).sum(axis=-1)
    )
    evidence = jax.nn.logsumexp(log_joint, axis=0) - np.log(500)
    gap = np.asarray(evidence - found[1.0].bound.elbo_per_example[:100], float)
    assert 0.0 < gap.mean() < 3.0
    assert gap.mean() > 4.0 * gap.std() / 10.0


def test_the_same_key_gives_the_same_number(trained):
    training, _, weights = trained
    again = vae_digits.train(training, jnp.float32(1.0), jax.random.key(0), epochs=EPOCHS)
    assert jax.tree.all(jax.tree.map(lambda a, b: (a == b).all(), again, weights[1.0]))


def test_what_it_prints(monkeypatch, capsys, found):
    monkeypatch.setattr("sys.argv", ["vae_digits.py", "--beta", "100"])
    monkeypatch.setattr(vae_digits, "run", lambda **options: found[options["beta"]])
    vae_digits.main()
    printed = capsys.readouterr().out
    assert "±" in printed
    assert "active units    0 of 8" in printed
    assert "posterior collapse: complete" in printed
