"""The integrator on integrals known by hand, easy and hard."""

import math

import numpy as np
import pytest

from kullback.solvers.quadrature import fill, integrate
from kullback.solvers.series import add_up

CASES = [
    (
        "gaussian",
        lambda x: np.exp(-x * x / 2),
        [-5.0, 0.0, 5.0],
        -np.inf,
        np.inf,
        math.sqrt(2 * math.pi),
    ),
    ("cauchy", lambda x: 1 / (1 + x * x), [-1.0, 0.0, 1.0], -np.inf, np.inf, math.pi),
    ("power tail", lambda x: x**-1.1, [1.5, 2.0], 1.0, np.inf, 10.0),
    ("root at the end", lambda x: x**-0.5, [0.25, 0.5], 0.0, 1.0, 2.0),
    ("log at the end", lambda x: -np.log(x), [0.25, 0.5], 0.0, 1.0, 1.0),
    ("kink", lambda x: np.exp(-np.abs(x)), [-1.0, 0.0, 1.0], -np.inf, np.inf, 2.0),
    (
        "narrow",
        lambda x: np.exp(-((x / 1e-6) ** 2) / 2),
        [-8e-6, -3e-6, -1e-6, 0.0, 1e-6, 3e-6, 8e-6],
        -1.0,
        1.0,
        1e-6 * math.sqrt(2 * math.pi),
    ),
]


@pytest.mark.parametrize(
    ("name", "f", "points", "low", "high", "truth"), CASES, ids=[c[0] for c in CASES]
)
def test_error_covers_the_truth(name, f, points, low, high, truth):
    def columns(x, speed):
        with np.errstate(all="ignore"):
            return (f(x) * np.exp(speed))[:, None]

    found = integrate(columns, fill(np.array(points), low, high), low, high)
    error = abs(float(found.value[0]) - truth)
    assert error <= float(found.error[0]) + 1e-15 * truth
    assert error <= 1e-9 * truth


def test_sum_of_a_geometric_series():
    found = add_up(
        lambda k, factor: (math.exp(factor) * 0.5 ** (k + 1.0))[:, None], 0.0, 0.0, math.inf
    )
    assert abs(float(found.value[0]) - 1.0) <= float(found.beyond[0]) + 1e-15


def test_sum_that_falls_like_a_power():
    found = add_up(
        lambda k, factor: (math.exp(factor) * (k + 1.0) ** -3.0)[:, None], 0.0, 0.0, math.inf
    )
    assert abs(float(found.value[0]) - 1.2020569031595942) <= float(found.beyond[0]) + 1e-14


def test_sum_that_diverges():
    found = add_up(
        lambda k, factor: (math.exp(factor) * 1.0 / (k + 1.0))[:, None], 0.0, 0.0, math.inf
    )
    assert found.slope > -1.0 - 1e-3
