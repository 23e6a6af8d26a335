"""Coordinates that undo a neck: the map and its gradient, what is learnt, what is left alone."""

import numpy as np
import pytest

from kullback.solvers.modes import CountedDensity
from kullback.solvers.shear import Shear, learnt_shear, scale_dependence


def funnel(d):
    def evaluate(x):
        v, rest = x[:, 0], x[:, 1:]
        squares = np.sum(rest**2, axis=1) * np.exp(-v)
        value = -(v**2) / 18.0 - 0.5 * squares - 0.5 * (d - 1) * v
        slope = np.column_stack(
            [-v / 9.0 + 0.5 * squares - 0.5 * (d - 1), -rest * np.exp(-v)[:, None]]
        )
        return value, slope

    return CountedDensity(evaluate, d)


def draws_of_funnel(rng, n, d, sd=3.0):
    v = sd * rng.standard_normal(n)
    return np.column_stack([v, np.exp(v / 2)[:, None] * rng.standard_normal((n, d - 1))])


def centred(rng, n):
    """Four effects around a mean, log scale t: x = (mean, t, effects), and the density of it."""

    def evaluate(x):
        mean, t, away = x[:, 0], x[:, 1], x[:, 2:] - x[:, :1]
        squares = away**2 * np.exp(-2.0 * t)[:, None]
        value = -0.5 * mean**2 - 0.5 * t**2 - 0.5 * squares.sum(axis=1) - 4.0 * t
        push = away * np.exp(-2.0 * t)[:, None]
        slope = np.column_stack([-mean + push.sum(axis=1), -t + squares.sum(axis=1) - 4.0, -push])
        return value, slope

    mean, t = rng.standard_normal((2, n))
    effects = mean[:, None] + np.exp(t)[:, None] * rng.standard_normal((n, 4))
    return CountedDensity(evaluate, 6), np.column_stack([mean, t, effects])


@pytest.fixture
def shear():
    mixing = np.eye(3)
    mixing[2, 0] = 0.7
    return Shear(1, np.array([1.0, 0.0, -2.0]), mixing, np.array([0.2, 0.0, -0.5]), 0.3)


def test_the_map_and_its_inverse(shear):
    z = np.random.default_rng(0).normal(size=(50, 3))
    np.testing.assert_allclose(shear.inverse(shear.forward(z)), z, atol=1e-12)
    assert (shear.forward(z)[:, 1] == z[:, 1]).all()


def test_the_density_and_its_gradient(shear):
    density = shear.density(CountedDensity(lambda x: (-0.5 * np.sum(x**2, axis=1), -x), 3))
    z, step = np.array([[0.4, -1.2, 0.9]]), 1e-6
    moved = [
        (density(z + step * e)[0] - density(z - step * e)[0])[0] / (2 * step) for e in np.eye(3)
    ]
    np.testing.assert_allclose(density(z)[1][0], moved, rtol=1e-7)
    # The determinant, against that of the map by differences.
    jacobian = [
        (shear.forward(z + step * e) - shear.forward(z - step * e))[0] / (2 * step)
        for e in np.eye(3)
    ]
    assert shear.log_det(z)[0] == pytest.approx(np.linalg.slogdet(np.array(jacobian))[1], abs=1e-8)


def test_far_out_it_is_no_fault():
    inner = funnel(3)
    density = Shear(0, np.zeros(3), np.eye(3), np.array([0.0, 9.0, 9.0]), 0.0).density(inner)
    with np.errstate(all="ignore"):
        value, slope = density(np.array([[1e8, 1e200, 1.0], [-1e8, 1.0, 1.0]]))
    assert not np.isnan(value).any()
    assert np.isfinite(slope).all()
    assert not inner.faults


@pytest.mark.parametrize("d", [2, 10])
def test_a_funnel_is_learnt_from_draws_that_miss_its_ends(d):
    """p in the new coordinates is N(0, I), but for the source: rates are within 4 errors of 1/2."""
    rng = np.random.default_rng(d)
    learnt = learnt_shear(funnel(d), draws_of_funnel(rng, 1024, d, sd=2.0))
    assert learnt.source == 0
    error = 1.0 / np.sqrt(2.0 * 1024) / 2.0  # of a rate, the source having an sd of 2
    np.testing.assert_allclose(learnt.rates[1:], 0.5, atol=4.0 * error)
    np.testing.assert_allclose(learnt.mixing, np.eye(d), atol=1e-6)
    np.testing.assert_allclose(learnt.offset, 0.0, atol=1e-6)


def test_effects_around_a_mean_are_so_to_many_digits():
    """However deep in the neck: effect less mean is of the size of the scale, far below those of the draws."""
    rng = np.random.default_rng(3)
    density, x = centred(rng, 1024)
    learnt = learnt_shear(density, x)
    assert learnt.source == 1
    deep = x.copy()
    deep[:, 1] = -12.0
    deep[:, 2:] = deep[:, :1] + np.exp(-12.0) * rng.standard_normal((1024, 4))
    y = (deep - learnt.offset) @ np.linalg.inv(learnt.mixing).T
    assert np.abs(y[:, 2:]).max() < 1e-3
    assert np.std(y[:, 2:]) < 100.0 * np.exp(-12.0)


@pytest.mark.parametrize("name", ["gaussian", "t", "skewed", "bent"])
def test_what_has_no_neck_is_left_alone(name):
    rng = np.random.default_rng(4)
    z = rng.standard_normal((1024, 6))
    root = np.linalg.cholesky(0.5 * np.eye(6) + 0.5)
    x = {
        "gaussian": z @ root.T,
        "t": z / np.sqrt(rng.chisquare(8, (1024, 1)) / 8),
        "skewed": np.log(rng.gamma(2.0, size=(1024, 6))),
        "bent": np.column_stack([z[:, :5], z[:, 0] ** 2 + 0.5 * z[:, 5]]),
    }[name]
    assert np.abs(scale_dependence(x)).max() < 0.25
    unused = CountedDensity(lambda x: (np.zeros(len(x)), np.zeros(x.shape)), 6)
    assert learnt_shear(unused, x) is None
    assert unused.count == 0
