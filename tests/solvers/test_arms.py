"""Walks along arms: they stay on a ridge that is known, and their Gaussians are as wide as p is there."""

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
    found = arms(density, begin, root)
    # Two walks, one step of each in turn; beyond the beginning are those of one of them.
    beyond = found.means[:, 0] > 1.05
    t, y = found.means[beyond, 0], found.means[beyond, 1]
    # A normal's mass is lost by 16 nats at 5.7 sds.
    assert t.max() > 5.0
    assert np.all(np.diff(t) > 0.0)
    # Within an sd of the curve, measured across it; sds as they are across it.
    across = width / np.sqrt(1.0 + slope(t) ** 2)
    assert np.all(np.abs(y - f(t)) / np.sqrt(1.0 + slope(t) ** 2) < across)
    normal = np.stack([-slope(t), np.ones_like(t), np.zeros_like(t)], axis=1)
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    sds = np.linalg.norm(np.einsum("kji,kj->ki", found.roots[beyond], normal), axis=1)
    np.testing.assert_allclose(sds, across, rtol=0.1)
    # What is beside the arm is taken where most of it is.
    np.testing.assert_allclose(found.means[:, 2], 0.0, atol=0.02)
    np.testing.assert_allclose(found.log_p, density(found.means)[0], rtol=1e-9)
    assert density.count < 10_000


def test_nowhere_to_go():
    """A Gaussian bends nowhere; a density that ends; one without a place to begin."""
    c = np.linalg.inv(ROOT @ ROOT.T)
    gaussian = CountedDensity(lambda x: (-0.5 * np.sum(x @ c * x, axis=1), -x @ c), 2)
    assert not len(arms(gaussian, np.ones((3, 2)), np.eye(2)).means)
    ends = CountedDensity(
        lambda x: (np.where(x[:, 0] < 1.5, -(x[:, 0] ** 3), -np.inf), -3 * x**2), 1
    )
    found = arms(ends, np.ones((1, 1)), np.ones((1, 1)))
    assert np.all(found.means < 1.5)
    nowhere = CountedDensity(lambda x: (np.full(len(x), -np.inf), np.zeros_like(x)), 2)
    assert not len(arms(nowhere, np.ones((2, 2)), np.eye(2)).means)
