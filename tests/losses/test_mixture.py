"""One formula for NumPy and for traced JAX arrays."""

import pytest

pytest.importorskip("jax")

import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats

from kullback.api.measure import kl_divergence
from kullback.distributions.gaussian_mixture import GaussianMixture
from kullback.losses.gaussian import gaussian_mixture_kl, gaussian_mixture_log_prob


def made(seed, k=3, d=2):
    rng = np.random.default_rng(seed)
    roots = np.tril(0.3 * rng.standard_normal((k, d, d)), -1) + 0.7 * np.eye(d)
    return rng.dirichlet(np.ones(k)), 2 * rng.standard_normal((k, d)), roots


def test_log_prob_against_scipy():
    w, m, roots = made(0)
    x = np.random.default_rng(1).normal(size=(50, 2)) * 3
    parts = [
        wk * stats.multivariate_normal(mk, r @ r.T).pdf(x)
        for wk, mk, r in zip(w, m, roots, strict=True)
    ]
    np.testing.assert_allclose(
        gaussian_mixture_log_prob(x, w, m, roots), np.log(sum(parts)), rtol=1e-9
    )
    np.testing.assert_allclose(
        GaussianMixture(w, m, roots).log_prob(x), np.log(sum(parts)), rtol=1e-9
    )


def test_far_and_narrow_components_keep_their_digits():
    means = np.array([[0.0, 0.0], [1e6, 1e6]])
    roots = np.stack([np.eye(2), 1e-3 * np.eye(2)])
    mixture = GaussianMixture(np.array([0.5, 0.5]), means, roots)
    at = np.array([[1e6 + 1e-3, 1e6]])
    expected = np.log(0.5) - 0.5 - np.log(2 * np.pi) - 2 * np.log(1e-3)
    np.testing.assert_allclose(mixture.log_prob(at), expected, rtol=1e-6)


@pytest.mark.slow
def test_the_traced_form_is_the_same_number_and_has_a_gradient():
    p, q = made(2), made(3)
    z = stats.norm.ppf(stats.qmc.Sobol(2, seed=0).random(1024))
    plain = gaussian_mixture_kl(p, q, z)
    with jax.enable_x64(True):
        traced = jax.jit(lambda means: gaussian_mixture_kl((p[0], means, p[2]), q, jnp.asarray(z)))
        value, gradient = jax.value_and_grad(traced)(jnp.asarray(p[1]))
        step = 1e-6 * np.eye(1, 6, 2).reshape(3, 2)
        slope = float(traced(jnp.asarray(p[1] + step)) - traced(jnp.asarray(p[1] - step))) / 2e-6
    np.testing.assert_allclose(float(value), float(plain), rtol=1e-10)
    np.testing.assert_allclose(float(gradient[1, 0]), slope, rtol=1e-5)
    measured = kl_divergence(GaussianMixture(*p), GaussianMixture(*q))
    assert abs(float(plain) - measured.value) < 0.02 * measured.value
