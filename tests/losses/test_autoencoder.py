"""The ELBO against an exact evidence; posterior collapse; what a printed KL is."""

import pytest

pytest.importorskip("jax")

import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats

from kullback import losses
from kullback.core.errors import InputError
from kullback.losses import __all__
from kullback.losses.autoencoder import autoencoder_elbo, posterior_collapse, recognize_kl
from kullback.losses.gaussian import gaussian_kl, gaussian_kl_per_dimension

LOADINGS = np.diag([2.0, 0.7]) @ np.eye(2, 3)  # (d, pixels), orthogonal rows: q* is diagonal
NOISE = 0.6


def linear(seed=0, n=40):
    """Probabilistic PCA: data, exact posterior, exact log evidence."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 2)) @ LOADINGS + np.sqrt(NOISE) * rng.normal(size=(n, 3))
    evidence = stats.multivariate_normal(np.zeros(3), LOADINGS.T @ LOADINGS + NOISE * np.eye(3))
    precision = 1.0 + np.sum(LOADINGS**2, axis=1) / NOISE
    mean = x @ LOADINGS.T / NOISE / precision
    return x, (mean, np.broadcast_to(-np.log(precision), mean.shape)), evidence.logpdf(x)


def expected_log_likelihood(x, posterior):
    mean, log_variance = posterior
    spread = np.sum(np.exp(log_variance) * np.sum(LOADINGS**2, axis=1), axis=-1)
    squares = np.sum((x - mean @ LOADINGS) ** 2, axis=-1) + spread
    return -0.5 * (3 * np.log(2 * np.pi * NOISE) + squares / NOISE)


def test_the_elbo_of_the_exact_posterior_is_the_log_evidence():
    x, posterior, log_evidence = linear()
    bound = autoencoder_elbo(expected_log_likelihood(x, posterior), posterior)
    np.testing.assert_allclose(bound.elbo_per_example, log_evidence, rtol=1e-12)
    np.testing.assert_allclose(bound.elbo, log_evidence.mean(), rtol=1e-12)


def test_any_other_posterior_falls_short_by_its_kl():
    x, (mean, log_variance), log_evidence = linear()
    other = (0.6 * mean + 0.3, log_variance + np.array([0.9, -0.4]))
    bound = autoencoder_elbo(expected_log_likelihood(x, other), other)
    gap = gaussian_kl(other, (mean, log_variance))
    np.testing.assert_allclose(log_evidence - bound.elbo_per_example, gap, rtol=1e-9)
    assert (bound.elbo_per_example < log_evidence).all()


def test_the_parts_add_up_and_the_kl_is_a_sum_over_dimensions():
    x, posterior, _ = linear()
    log_likelihood = expected_log_likelihood(x, posterior)
    bound = autoencoder_elbo(log_likelihood, posterior)
    np.testing.assert_allclose(bound.reconstruction, log_likelihood.mean())
    np.testing.assert_allclose(bound.kl, gaussian_kl(posterior).mean())
    np.testing.assert_allclose(bound.kl, bound.kl_per_dimension.sum())
    np.testing.assert_allclose(bound.elbo, bound.reconstruction - bound.kl)
    np.testing.assert_allclose(bound.elbo, bound.elbo_per_example.mean())
    assert bound.beta_objective(1.0) == bound.elbo
    np.testing.assert_allclose(bound.beta_objective(4.0), bound.elbo - 3.0 * bound.kl)
    doubled = tuple(np.tile(a, 2) for a in posterior)
    np.testing.assert_allclose(autoencoder_elbo(log_likelihood, doubled).kl, 2.0 * bound.kl)


def test_a_prior_that_is_not_standard():
    x, posterior, _ = linear()
    prior = (np.array([0.5, -1.0]), np.array([0.3, -0.7]))
    bound = autoencoder_elbo(expected_log_likelihood(x, posterior), posterior, prior)
    np.testing.assert_allclose(bound.kl, gaussian_kl(posterior, prior).mean())


@pytest.mark.slow
def test_traced_mapped_and_differentiated():
    x, posterior, _ = linear(n=6)
    log_likelihood = expected_log_likelihood(x, posterior)
    plain = autoencoder_elbo(log_likelihood, posterior)
    with jax.enable_x64(True):
        arrays = jnp.asarray(log_likelihood), tuple(map(jnp.asarray, posterior))
        compiled = jax.jit(autoencoder_elbo)(*arrays)
        mapped = jax.vmap(autoencoder_elbo)(*arrays)
        gradient = jax.grad(lambda m: autoencoder_elbo(arrays[0], (m, arrays[1][1])).elbo)(
            arrays[1][0]
        )
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-13), plain, compiled)
    np.testing.assert_allclose(mapped.elbo, plain.elbo_per_example)
    assert mapped.kl_per_dimension.shape == (6, 2)
    np.testing.assert_allclose(gradient, -posterior[0] / 6.0, rtol=1e-13)


def test_the_dtype_is_the_callers():
    one = np.ones((2, 3), np.float32)
    bound = autoencoder_elbo(np.zeros(2, np.float32), (one, one))
    assert {np.asarray(part).dtype for part in bound} == {np.dtype(np.float32)}


def test_torch():
    torch = pytest.importorskip("torch")
    x, posterior, _ = linear(n=6)
    plain = autoencoder_elbo(expected_log_likelihood(x, posterior), posterior)
    mean = torch.tensor(posterior[0], requires_grad=True)
    tensors = (mean, torch.tensor(np.array(posterior[1])))
    bound = autoencoder_elbo(torch.tensor(expected_log_likelihood(x, posterior)), tensors)
    np.testing.assert_allclose(bound.elbo.item(), plain.elbo)
    bound.elbo.backward()
    np.testing.assert_allclose(mean.grad, -posterior[0] / 6.0)
    assert posterior_collapse(tensors).active_units == 2


@pytest.mark.parametrize(
    ("shape", "remedy"),
    [
        ((5, 8), r"log_likelihood\.sum\(axis=\(-1,\)\)"),
        ((5, 8, 8), r"sum\(axis=\(-2, -1,\)\)"),
        ((3, 5), r"log_likelihood\.mean\(axis=0\)"),
        ((), "not a log likelihood"),
        ((4,), "a number for each example"),
    ],
)
def test_a_bad_shape_of_log_likelihoods(shape, remedy):
    with pytest.raises(InputError, match=remedy):
        autoencoder_elbo(np.zeros(shape), (np.zeros((5, 2)), np.zeros((5, 2))))


def encoded(n=200, seed=0):
    """Four dimensions: used, at the prior, constant but off the prior, barely moving."""
    z = np.random.default_rng(seed).normal(size=n)
    mean = np.stack([z, 0.0 * z, 1.5 + 0.0 * z, 0.05 * z], axis=1)
    log_variance = np.tile(np.array([-2.0, 0.0, 0.0, 0.0]), (n, 1))
    return mean, log_variance


def test_dimensions_in_use_and_not():
    found = posterior_collapse(encoded())
    assert found.active.tolist() == [True, False, False, False]
    assert found.constant == (2,)
    assert (found.active_units, found.share_collapsed, found.extent) == (1, 0.75, "partial")
    assert "1 of 4 latent dimensions active" in str(found)
    assert "the same for every x: dimensions 2." in str(found)
    np.testing.assert_allclose(found.mean_variance, encoded()[0].var(axis=0, ddof=1))
    np.testing.assert_allclose(
        found.kl_per_dimension, gaussian_kl_per_dimension(encoded()).mean(axis=0)
    )


def test_from_kls_alone_the_constant_dimension_cannot_be_seen():
    kls = gaussian_kl_per_dimension(encoded())
    for given in (kls, kls.mean(axis=0), jnp.asarray(kls)):
        found = posterior_collapse(given)
        assert found.active.tolist() == [True, False, True, False]
        assert found.mean_variance is None


def test_lists_are_taken_though_annotations_cannot_say_so():
    kls = gaussian_kl_per_dimension(encoded())
    assert posterior_collapse(kls.mean(axis=0).tolist()).active_units == 2


def test_complete_and_none():
    tiny = tuple(1e-3 * a for a in encoded())
    assert posterior_collapse(tiny).extent == "complete"
    assert "lower beta" in str(posterior_collapse(tiny))
    used = tuple(a[:, :1] for a in encoded())
    assert posterior_collapse(used).extent == "none"
    assert "\n" not in str(posterior_collapse(used))


def test_activity_is_in_units_of_the_prior():
    mean, log_variance = encoded()
    moved = (100.0 * mean + 7.0, log_variance + 2 * np.log(100.0))
    prior = (np.full(4, 7.0), np.full(4, 2 * np.log(100.0)))
    found, plain = posterior_collapse(moved, prior), posterior_collapse((mean, log_variance))
    np.testing.assert_allclose(found.mean_variance, plain.mean_variance, atol=1e-12)
    np.testing.assert_allclose(found.kl_per_dimension, plain.kl_per_dimension, atol=1e-12)


def test_thresholds():
    assert (
        posterior_collapse(encoded(), kl_threshold=1e-4, variance_threshold=1e-4).active_units == 2
    )


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ((np.zeros((1, 3)), np.zeros((1, 3))), "at least two examples"),
        ((np.zeros(3), np.zeros(3)), "at least two examples"),
        (np.zeros((2, 3, 4)), "pair is a tuple"),
        (np.array([0.3, -0.2]), "KL of dimension 1 is -0.2, below 0"),
        (np.array([0.3, np.nan]), "NaN at \\(1,\\)"),
        ((np.full((2, 2), np.nan), np.zeros((2, 2))), "the training has diverged"),
    ],
)
def test_a_bad_posterior(given, message):
    with pytest.raises(InputError, match=message):
        posterior_collapse(given)


def posterior():
    rng = np.random.default_rng(3)
    return rng.normal(size=(32, 5)), rng.normal(size=(32, 5)) - 1.0


@pytest.mark.parametrize(
    ("wrong", "beta", "reading"),
    [
        (lambda m, v: (m**2 + np.exp(v) - 1 - v).mean(-1).mean() / 2, 1 / 5, "divided by d = 5"),
        (lambda m, v: (m**2 + np.exp(v) - 1 - v).mean() / 2, 1 / 5, "divided by d = 5"),
        (lambda m, v: (m**2 + np.exp(v) - 1 - v).sum() / 2, 32, "multiplied by n = 32"),
        (lambda m, v: (m**2 + np.exp(v) - 1 - v).sum(-1).mean(), 2, "without its factor 1/2"),
        (lambda m, v: (m**2 + np.exp(v) - 1 - v).mean(), 2 / 5, "latent axis and without its"),
        (lambda m, v: (1 + v - m**2 - np.exp(v)).sum(-1).mean() / 2, -1, "with the other sign"),
        (
            lambda m, v: (1 + v - m**2 - np.exp(v)).mean() / 2,
            -1 / 5,
            "axis and with the other sign",
        ),
        (lambda m, v: gaussian_kl((m, v)).mean() / np.log(2), 1.4427, "in bits"),
        (lambda m, v: gaussian_kl((0 * m, 0 * v), (m, v)).mean(), None, "the other direction"),
        (lambda m, v: (m**2 + np.exp(2 * v) - 1 - 2 * v).sum(-1).mean() / 2, None, "for the sd"),
    ],
)
def test_a_deliberately_wrong_autoencoder_is_recognized(wrong, beta, reading):
    found = recognize_kl(np.float32(wrong(*posterior())), posterior())
    assert reading in str(found)
    assert not found.right
    assert len(found.readings) == 1
    if beta is not None:
        np.testing.assert_allclose(found.beta, beta, rtol=1e-4)
        assert f"beta = {found.beta:.4g}" in str(found)


def test_the_right_kl_and_an_unknown_one():
    kl = gaussian_kl(posterior()).mean()
    right, unknown = recognize_kl(kl, posterior()), recognize_kl(1.2345 * kl, posterior())
    assert right.right
    assert "summed over the latent axis" in str(right)
    assert unknown.readings == ()
    assert "no known formula" in str(unknown)
    assert "beta = 1.234" in str(unknown)
    prior = (np.full(5, 0.3), np.full(5, -0.5))
    assert recognize_kl(gaussian_kl(posterior(), prior).mean(), posterior(), prior).right


def test_one_example_of_one_dimension_has_no_axes_to_confuse():
    pair = (np.array([[1.0]]), np.array([[0.0]]))
    assert recognize_kl(0.5, pair).readings == (recognize_kl(0.5, pair).readings[0],)


@pytest.mark.parametrize(("value", "scale"), [(np.nan, 1.0), (0.1, 0.0)])
def test_nothing_to_compare(value, scale):
    with pytest.raises(InputError, match="cannot be compared"):
        recognize_kl(value, tuple(scale * a for a in posterior()))


def test_the_public_names():
    assert all(getattr(losses, name) is not None for name in __all__)
    constants_first = sorted(__all__, key=lambda n: (not n.isupper(), not n[0].isupper(), n))
    assert constants_first == __all__
