"""Newton's method in a box: minima to the rounding of the gradient."""

import numpy as np
import pytest

from kullback.solvers.minimise import newton

FREE = np.full(2, np.inf)


def rosenbrock(at):
    x, y = at
    value = (1 - x) ** 2 + 100 * (y - x * x) ** 2
    return value, np.array([-2 * (1 - x) - 400 * x * (y - x * x), 200 * (y - x * x)])


def test_a_curved_valley():
    end = newton(rosenbrock, np.array([-1.2, 1.0]), -FREE, FREE)
    assert end.at == pytest.approx([1.0, 1.0], abs=1e-12)
    assert not end.bound.any()
    assert not end.flat


def test_the_box_holds():
    end = newton(rosenbrock, np.array([-1.2, 1.0]), -FREE, np.array([0.5, np.inf]))
    assert end.at == pytest.approx([0.5, 0.25], abs=1e-12)
    assert end.bound.tolist() == [True, False]


def test_coordinates_of_very_different_size():
    def bowl(at):
        u = np.array([1e12, 1e-3]) * (at - np.array([3e-12, 5.0]))
        return float(u @ u), 2 * u * np.array([1e12, 1e-3])

    end = newton(bowl, np.zeros(2), -FREE, FREE, units=lambda at: np.array([1e-12, 1.0]))
    assert end.at == pytest.approx([3e-12, 5.0], rel=1e-9)


def test_what_the_value_does_not_tell_is_flat():
    def ridge(at):
        off = at[0] + at[1] - 1.0
        return off * off, np.array([2 * off, 2 * off])

    end = newton(ridge, np.zeros(2), -FREE, FREE)
    assert end.at.sum() == pytest.approx(1.0)
    assert end.flat


def test_what_overflows_is_too_far():
    def wall(at):
        return float(np.exp(at[0]) - 3.0 * at[0]), np.array([np.exp(at[0]) - 3.0])

    end = newton(wall, np.array([800.0]), -FREE[:1], FREE[:1])
    assert end.value == np.inf
    end = newton(wall, np.array([-5.0]), -FREE[:1], FREE[:1])
    assert end.at[0] == pytest.approx(np.log(3.0), rel=1e-14)
