"""Walks along arms: they stay on a ridge that is known, and their Gaussians are as wide as p is there."""

import math

import numpy as np
import pytest

from kullback.solvers.arms import arms
from kullback.solvers.modes import CountedDensity

ROOT = np.array([[1.0, 0.0], [0.9, 0.8]])


def along(f, slope, width):
    """N(0, 1), about a curve of it N(0, width^2), and another coordinate that is N(0, 1) alone."""

    def evaluate(x):
        off = (x[:, 1] - f(x[:, 0])) / width
        value = -0.5 * (x[:, 0] ** 2 + off**2 + x[:, 2] ** 2)
        return value, np.stack(
            [-x[:, 0] + off * slope(x[:, 0]) / width, -off / width, -x[:, 2]], axis=1
        )

    return CountedDensity(evaluate, 3)


@pytest.mark.parametrize(
    ("f", "slope"),
    [(np.exp, np.exp), (lambda t: t**3, lambda t: 3.0 * t**2), (np.square, lambda t: 2.0 * t)],
)
@pytest.mark.parametrize("width", [0.3, 0.03])
def test_an_arm_is_walked_to_its_end(f, slope, width):
    """Chains of p^(1/4) were at .5 of the way, and KL(p||q) 8.6 ± 1.5 for 279."""
    density = along(f, slope, width)
    begin = np.array([[1.0, f(1.0), 0.3]])
    root = np.eye(3)
    root[:2, :2] = ROOT
    found = arms(density, begin, np.array([[1.0, 0.5, 0.0]]), root[None])
    t, y = found.means[:, 0], found.means[:, 1]
    # A normal's mass is lost by 16 nats at 5.7 sds.
    assert t.max() > 5.0
    assert np.all(np.diff(t) > 0.0)
    # Within an sd of the curve, measured across it; sds as they are across it.
    across = width / np.sqrt(1.0 + slope(t) ** 2)
    assert np.all(np.abs(y - f(t)) / np.sqrt(1.0 + slope(t) ** 2) < across)
    normal = np.stack([-slope(t), np.ones_like(t), np.zeros_like(t)], axis=1)
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    sds = np.linalg.norm(np.einsum("kji,kj->ki", found.roots, normal), axis=1)
    np.testing.assert_allclose(sds, across, rtol=0.1)
    np.testing.assert_allclose(found.log_p, density(found.means)[0], rtol=1e-9)
    assert density.count < 10_000


def test_the_masses_of_a_gaussian_are_its_own():
    """Along a line all of p that is across it, times the step."""
    c = np.diag([1.0, 0.01, 0.04])

    def evaluate(x):
        return -0.5 * np.sum(x @ np.linalg.inv(c) * x, axis=1), -x @ np.linalg.inv(c)

    found = arms(
        CountedDensity(evaluate, 3), np.zeros((1, 3)), np.array([[1.0, 0.0, 0.0]]), np.eye(3)[None]
    )
    lengths = np.linalg.norm(found.roots[:, 0], axis=1)
    expected = (
        -0.5 * found.means[:, 0] ** 2 + np.log(0.1 * 0.2 * lengths) + 0.5 * math.log(2 * math.pi)
    )
    np.testing.assert_allclose(found.log_masses, expected, atol=1e-6)


def test_nowhere_to_go():
    """A density that ends, and one that is nowhere soft."""
    ends = CountedDensity(lambda x: (np.where(x[:, 0] < 0.1, 0.0, -np.inf), np.zeros_like(x)), 1)
    found = arms(ends, np.zeros((1, 1)), np.ones((1, 1)), np.ones((1, 1, 1)))
    assert np.all(found.means < 0.1)
    stiff = CountedDensity(lambda x: (-5e3 * np.sum(x**2, axis=1), -1e4 * x), 2)
    assert not len(arms(stiff, np.zeros((1, 2)), np.ones((1, 2)), np.eye(2)[None]).means)
