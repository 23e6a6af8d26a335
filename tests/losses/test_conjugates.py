"""Conjugates are suprema, activations stay where they are finite, bounds bound and are attained."""

import pytest

pytest.importorskip("jax")

import jax
import jax.numpy as jnp
import numpy as np
from scipy import integrate, special, stats

from kullback.api.measure import divergence
from kullback.core.errors import InputError
from kullback.losses.adversarial import CONJUGATES, conjugate_pair, variational_bound

ROWS = [pytest.param(row, id=kind) for kind, row in CONJUGATES.items()]
U = np.exp(np.linspace(-30.0, 30.0, 600_001))
V = np.linspace(-6.0, 6.0, 41)


@pytest.mark.parametrize("row", ROWS)
def test_the_conjugate_is_the_supremum(row):
    t = row.slope(np.exp(np.linspace(-4.0, 4.0, 17)))
    numeric = [np.max(ti * U - row.generator(U)) for ti in t]
    np.testing.assert_allclose(row.conjugate(t), numeric, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("row", ROWS)
def test_the_slope_is_the_derivative_of_f(row):
    u = np.exp(np.linspace(-2.0, 2.0, 9))
    numeric = (row.generator(u * 1.000001) - row.generator(u * 0.999999)) / (2e-6 * u)
    np.testing.assert_allclose(row.slope(u), numeric, atol=1e-5)
    assert float(row.generator(1.0)) == pytest.approx(row.offset, abs=1e-15)


@pytest.mark.parametrize("row", ROWS)
def test_the_range_of_the_activation_is_where_the_conjugate_is_finite(row):
    far = row.activation(np.linspace(-500.0, 500.0, 101))
    assert (np.diff(row.activation(V)) > 0.0).all()
    # At the limit itself only rounding takes it: v = 500 is within 1e-200 of it.
    assert (row.activation(V) < row.limit).all()
    assert (far <= row.limit).all()
    assert row.limit - float(far[-1]) < 1e-9 or (row.limit == np.inf and float(far[-1]) >= 500.0)
    assert float(far[0]) <= -500.0 or (row.kind == "jensen_shannon_sum" and float(far[0]) < -499.0)
    assert np.isfinite(row.conjugate(row.activation(V))).all()


@pytest.mark.parametrize("row", ROWS)
def test_the_charge_is_the_conjugate_of_the_activation_and_does_not_overflow(row):
    np.testing.assert_allclose(
        row.charge(V), row.conjugate(row.activation(V)), rtol=1e-9, atol=1e-12
    )
    assert np.isfinite(row.charge(np.linspace(-80.0, 80.0, 9, dtype=np.float32))).all()
    assert row.charge(np.float32([0.5])).dtype == np.float32


@pytest.mark.parametrize("row", ROWS)
def test_bounds_are_below_the_divergence_and_the_best_critic_attains_it(row):
    p, q = stats.norm(0.0, 1.0), stats.norm(0.7, 1.3)
    x = np.linspace(-14.0, 15.0, 40_001)

    def bound(t, charge):
        return integrate.trapezoid(t * p.pdf(x) - charge * q.pdf(x), x)

    best = row.slope(np.exp(p.logpdf(x) - q.logpdf(x)))
    with np.errstate(invalid="ignore", over="ignore"):
        attained = bound(best, row.conjugate(best))
    expected = _divergence(row.kind)
    assert attained == pytest.approx(expected, abs=2e-6)
    for slope in (-0.8, 0.0, 0.3):
        v = 0.2 + slope * np.tanh(x)
        assert bound(row.activation(v), row.charge(v)) < expected


def _divergence(kind):
    """The package's own number, of the same name and convention."""
    names = {"gan": "jensen_shannon_sum"}
    measured = divergence("normal(0, sd=1)", "normal(0.7, sd=1.3)", kind=names.get(kind, kind))
    return measured.value - (np.log(4.0) if kind == "gan" else 0.0)


@pytest.mark.parametrize("row", ROWS)
def test_traced_and_differentiated_it_is_the_same(row):
    with jax.enable_x64(True):
        traced = jax.jit(row.charge)(jnp.asarray(V))
        slopes = jax.vmap(jax.grad(row.charge))(jnp.asarray(V))
        # d f*(t) / dt is the u at which t is the slope of f.
        inner = jax.vmap(jax.grad(row.activation))(jnp.asarray(V))
    np.testing.assert_allclose(traced, row.charge(V), rtol=1e-10, atol=1e-12)
    u = np.asarray(slopes / inner)
    usable = u > 0.0
    assert usable.any()
    np.testing.assert_allclose(
        row.slope(u[usable]), row.activation(V)[usable], rtol=1e-7, atol=1e-9
    )


def test_lamberts_function_against_scipy():
    t = np.linspace(-700.0, 30.0, 301)
    w = special.lambertw(np.exp(1.0 - t[t > -600.0])).real
    row = conjugate_pair("jeffreys")
    np.testing.assert_allclose(
        row.conjugate(t[t > -600.0]), w + 1 / w + t[t > -600.0] - 2, rtol=1e-9
    )
    assert np.isfinite(row.conjugate(t)).all()


def test_the_bound_of_outputs():
    rng = np.random.default_rng(0)
    v = rng.normal(size=100)
    row = conjugate_pair("reverse_kl")
    expected = row.activation(v).mean() - row.charge(v[:50]).mean()
    assert float(variational_bound("reverse_kl", v, v[:50])) == pytest.approx(expected)
    with pytest.raises(InputError, match="choose from forward_kl, reverse_kl"):
        variational_bound("total_variation", v, v)
