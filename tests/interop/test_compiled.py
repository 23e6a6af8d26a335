"""Compiled densities: values and gradients in any number of rows, and what stops the tracing."""

import pytest

pytest.importorskip("jax")

import math

import jax
import jax.numpy as jnp
import numpy as np

from kullback.core.errors import DensityError
from kullback.interop.callables import TracingError
from kullback.interop.jax_function import compiled

CALLS = []


def skewed(u):
    CALLS.append(1)
    return u[0] ** 3 - jnp.exp(u[1]) * u[2] + DATA.sum()


DATA = np.array([1.0, 2.0], dtype=np.float32)


@pytest.fixture(scope="module")
def evaluate():
    return compiled(skewed, 3)


@pytest.mark.parametrize("n", [0, 1, 4, 5, 256, 300, 515])
def test_any_number_of_rows(evaluate, n):
    u = np.random.default_rng(n).normal(size=(n, 3))
    values, gradients = evaluate(u)
    assert values.dtype == gradients.dtype == np.float64
    np.testing.assert_allclose(values, u[:, 0] ** 3 - np.exp(u[:, 1]) * u[:, 2] + 3.0, rtol=1e-12)
    truth = np.stack([3 * u[:, 0] ** 2, -np.exp(u[:, 1]) * u[:, 2], -np.exp(u[:, 1])], axis=1)
    np.testing.assert_allclose(gradients, truth, rtol=1e-12)


def test_the_function_is_called_once_and_the_flag_is_as_it_was(evaluate):
    assert len(CALLS) == 1
    assert evaluate(np.ones((2, 3)))[0].dtype == np.float64
    assert jnp.ones(1).dtype == (jnp.float64 if jax.config.jax_enable_x64 else jnp.float32)


def test_nan_and_infinity_are_passed_on():
    values, gradients = compiled(lambda u: jnp.log(u[0]), 1)(np.array([[-1.0], [0.0], [2.0]]))
    assert np.isnan(values[0])
    assert values[1] == -np.inf
    assert gradients[2, 0] == 0.5


@pytest.mark.parametrize("fn", [lambda u: 3, lambda u: (u > 0.0).sum(), lambda u: np.float32(3)])
def test_what_counts_as_one_number(fn):
    assert compiled(fn, 3)(np.ones((1, 3)))[0] == 3.0


@pytest.mark.parametrize(
    ("fn", "message"),
    [
        (lambda u: u, r"returned shape \(3,\): a log density is one number; sum it"),
        (lambda u: None, "returned None: is a `return` missing"),
        (lambda u: (u[0], u[1]), "returned a tuple"),
        (lambda u: u.sum() * 1j, "complex128: a log density is one real number"),
        (
            lambda u: list(u)[4],
            r"^list index out of range \(IndexError raised .* at test_compiled.py",
        ),
    ],
)
def test_what_does_not(fn, message):
    with pytest.raises(DensityError, match=message):
        compiled(fn, 3)


@pytest.mark.parametrize(
    ("fn", "message", "obstacle"),
    [
        (lambda u: -u[0] if u[0] > 0.0 else u[0], "use jnp.where or jax.lax.cond", "branch"),
        (lambda u: u[u > 0.0].sum(), "x.mask.* at test_compiled.py:.*jnp.where", "branch"),
        (lambda u: math.log(u[0]), r"math.log.*use jax.numpy.*gradient=\"differences\"", "number"),
        (lambda u: np.log(u).sum(), "NumPy or SciPy function was given a JAX value", "array"),
        (
            lambda u: jax.lax.while_loop(lambda s: s < 3.0, lambda s: s + 1.0, u[0]),
            "Reverse-mode .* no gradient of it",
            "number",
        ),
    ],
)
def test_what_cannot_be_traced_is_explained(fn, message, obstacle):
    with pytest.raises(TracingError, match=message) as caught:
        compiled(fn, 3)
    assert caught.value.obstacle == obstacle


def test_the_users_own_words_come_out_of_a_callback(capfd):
    def host(u):
        raise ValueError("no data at this point")

    @jax.custom_vjp
    def density(u):
        return jax.pure_callback(
            host, jax.ShapeDtypeStruct((), u.dtype), u, vmap_method="sequential"
        )

    density.defvjp(lambda u: (density(u), u), lambda u, g: (g * u,))
    with pytest.raises(DensityError, match="no data at this point"):
        compiled(density, 2)(np.ones((1, 2)))
