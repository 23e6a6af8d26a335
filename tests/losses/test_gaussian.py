"""KL of diagonal Gaussians: closed forms against independent ones, in three array libraries."""

import pytest

pytest.importorskip("jax")

import sys

import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import numpyro.distributions as dist
from hypothesis import given
from scipy import integrate, stats

from kullback.core.errors import InputError
from kullback.losses.gaussian import gaussian_kl, gaussian_kl_per_dimension


def made(seed, n=5, d=3):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)) * 1.5, rng.normal(size=(n, d))


def exact(mean, log_variance, q_mean=0.0, q_log_variance=0.0):
    """In 60 digits, from the numbers that float64 holds."""
    with mpmath.workdps(60):
        m, s = mpmath.mpf(mean) - mpmath.mpf(q_mean), mpmath.mpf(q_log_variance)
        t = mpmath.mpf(log_variance) - s
        return float((m**2 / mpmath.exp(s) + mpmath.expm1(t) - t) / 2)


def test_the_direction_against_quadrature():
    p, q = (np.array([0.7]), np.array([np.log(0.4)])), (np.array([-0.5]), np.array([np.log(2.5)]))
    a, b = (stats.norm(m[0], np.exp(0.5 * v[0])) for m, v in (p, q))
    forward = integrate.quad(lambda x: a.pdf(x) * (a.logpdf(x) - b.logpdf(x)), -9, 9, limit=200)[0]
    backward = integrate.quad(lambda x: b.pdf(x) * (b.logpdf(x) - a.logpdf(x)), -14, 14, limit=200)[
        0
    ]
    assert abs(forward - backward) > 0.5
    np.testing.assert_allclose(gaussian_kl(p, q), forward, rtol=1e-8)
    np.testing.assert_allclose(gaussian_kl(q, p), backward, rtol=1e-8)


@pytest.mark.parametrize("with_q", [False, True])
def test_against_numpyro(with_q):
    p, q = made(0), made(1) if with_q else (np.zeros((5, 3)), np.zeros((5, 3)))
    with jax.enable_x64(True):
        one, other = (dist.Normal(jnp.asarray(m), jnp.exp(0.5 * jnp.asarray(v))) for m, v in (p, q))
        expected = np.asarray(dist.kl_divergence(one.to_event(1), other.to_event(1)))
    found = gaussian_kl(p, q if with_q else None)
    assert found.shape == (5,)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_it_is_a_sum_over_the_latent_axis_and_not_a_mean():
    mean, log_variance = made(2, n=4, d=6)
    per_dimension = gaussian_kl_per_dimension((mean, log_variance))
    assert per_dimension.shape == (4, 6)
    np.testing.assert_allclose(gaussian_kl((mean, log_variance)), per_dimension.sum(axis=-1))
    twice = gaussian_kl((np.tile(mean, 2), np.tile(log_variance, 2)))
    np.testing.assert_allclose(twice, 2.0 * per_dimension.sum(axis=-1), rtol=1e-14)


reals = st.floats(-700.0, 700.0)


@given(st.floats(-1e3, 1e3), reals, st.floats(-1e3, 1e3), st.floats(-300.0, 300.0))
def test_every_digit_at_any_log_variance(m, v, qm, qv):
    p, q = (np.array([m]), np.array([v])), (np.array([qm]), np.array([qv]))
    truth = exact(m, v, qm, qv)
    found = gaussian_kl(p, q)
    assert found >= 0.0
    np.testing.assert_allclose(found, truth, rtol=1e-12, atol=1e-100)
    np.testing.assert_allclose(gaussian_kl(p), exact(m, v), rtol=1e-13, atol=1e-100)


@pytest.mark.parametrize("t", [1e-12, -1e-8, 1e-4, -0.0999999, 0.1000001, 0.5, 20.0, -700.0])
def test_nothing_cancels_near_the_prior(t):
    np.testing.assert_allclose(gaussian_kl((np.zeros(1), np.array([t]))), exact(0.0, t), rtol=1e-14)


def test_the_ends_of_the_scale():
    zero = np.zeros(1)
    assert gaussian_kl((zero, zero)) == 0.0
    assert gaussian_kl((zero, np.array([-np.inf]))) == np.inf
    assert gaussian_kl((zero, np.array([800.0]))) == np.inf
    assert np.isnan(gaussian_kl((zero, np.array([np.nan]))))
    assert np.isnan(gaussian_kl((np.array([np.nan]), zero)))


@pytest.mark.parametrize("log_variance", [-80.0, -5.0, -0.1, -1e-3, 0.0, 1e-3, 0.1, 5.0, 80.0])
def test_gradients_against_their_closed_form(log_variance):
    with jax.enable_x64(True):
        m, v = jnp.array([0.8, 0.0]), jnp.full(2, log_variance)
        by_mean, by_log_variance = jax.grad(lambda *p: gaussian_kl(p), argnums=(0, 1))(m, v)
    np.testing.assert_allclose(by_mean, m, rtol=1e-14)
    np.testing.assert_allclose(
        by_log_variance, 0.5 * np.expm1(np.full(2, log_variance)), rtol=1e-12
    )


def test_gradients_of_all_four_arguments_against_differences():
    (m, v), (qm, qv) = made(4, n=1, d=2), made(5, n=1, d=2)

    def value(flat):
        a, b, c, e = flat.reshape(4, 1, 2)
        return gaussian_kl((a, b), (c, e))[0]

    flat = np.stack([m, v, qm, qv]).ravel()
    differences = [(value(flat + h) - value(flat - h)) / 2e-5 for h in 1e-5 * np.eye(flat.size)]
    with jax.enable_x64(True):
        gradient = jax.jit(jax.grad(value))(jnp.asarray(flat))
    np.testing.assert_allclose(gradient, differences, rtol=1e-7, atol=1e-9)


@pytest.mark.slow
def test_the_hessian_where_p_is_q_is_the_fisher_information():
    with jax.enable_x64(True):
        q = (jnp.array([0.3]), jnp.array([-1.2]))
        hessian = jax.hessian(lambda f: gaussian_kl((f[:1], f[1:]), q))(jnp.concatenate(q))
    np.testing.assert_allclose(hessian, np.diag([np.exp(1.2), 0.5]), rtol=1e-12, atol=1e-14)


def test_the_callers_dtype():
    p, q = (tuple(a.astype(np.float32) for a in made(seed)) for seed in (6, 7))
    assert gaussian_kl(p, q).dtype == np.float32
    assert gaussian_kl(tuple(map(jnp.asarray, p)), tuple(map(jnp.asarray, q))).dtype == jnp.float32
    assert gaussian_kl(tuple(a.astype(np.float64) for a in p)).dtype == np.float64
    np.testing.assert_allclose(gaussian_kl(p, q), gaussian_kl(made(6), made(7)), rtol=1e-5)


@pytest.mark.parametrize("log_variance", [-87.0, 87.0])
def test_float32_far_out(log_variance):
    one = jnp.ones(1, jnp.float32)
    value, gradient = jax.value_and_grad(lambda v: gaussian_kl((one, v)))(log_variance * one)
    np.testing.assert_allclose(value, exact(1.0, log_variance), rtol=1e-5)
    assert np.isfinite(gradient).all()


def test_torch_tensors_with_their_gradient():
    torch = pytest.importorskip("torch")
    p, q = made(8), made(9)
    mean, log_variance = (torch.tensor(a, requires_grad=True) for a in p)
    found = gaussian_kl((mean, log_variance), tuple(map(torch.tensor, q)))
    np.testing.assert_allclose(found.detach(), gaussian_kl(p, q), rtol=1e-13)
    found.sum().backward()
    np.testing.assert_allclose(mean.grad, (p[0] - q[0]) / np.exp(q[1]), rtol=1e-12)
    np.testing.assert_allclose(log_variance.grad, 0.5 * np.expm1(p[1] - q[1]), rtol=1e-11)


def test_a_prior_for_all_examples():
    p, prior = made(10), (np.array([0.1, 0.2, 0.3]), np.array([0.0, -1.0, 1.0]))
    row = gaussian_kl((p[0][2], p[1][2]), prior)
    np.testing.assert_allclose(gaussian_kl(p, prior)[2], row)


def test_lists_are_taken_though_annotations_cannot_say_so():
    assert gaussian_kl(([1.0, 2.0], [0.0, 0.0])) == 2.5


@pytest.mark.parametrize(
    ("mean", "log_variance"),
    [(np.zeros((4, 1)), np.zeros(4)), (np.zeros((4, 3)), np.zeros((4, 1)))],
)
def test_bad_shapes_that_would_broadcast_into_nonsense(mean, log_variance):
    with pytest.raises(InputError, match="must agree in their last axis"):
        gaussian_kl((mean, log_variance))
    with pytest.raises(InputError, match="must agree"):
        gaussian_kl((np.float64(1.0), np.float64(0.0)))


def test_the_module_is_imported_without_jax_or_torch():
    import subprocess

    code = "import sys, kullback.losses; print([m for m in ('jax', 'torch') if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
