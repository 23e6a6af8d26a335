"""Modes: thin sheets across the coordinates, flat directions, saddles."""

import numpy as np
import pytest

from kullback.solvers.modes import CountedDensity, mode_at


def gaussian(sds, signs=1.0, seed=0):
    """A density whose Hessian is known, turned at random, and where its top is."""
    rng = np.random.default_rng(seed)
    d = len(sds)
    root = np.linalg.qr(rng.normal(size=(d, d)))[0] * sds
    inverse, top = np.linalg.inv(root), rng.normal(0.0, 4.0, d)

    def evaluate(x):
        z = (x - top) @ inverse.T
        return -0.5 * np.sum(signs * z * z, axis=1), -(signs * z) @ inverse

    return CountedDensity(evaluate, d), top, root


@pytest.mark.parametrize("thin", [1e-1, 1e-3, 1e-5, 1e-6])
@pytest.mark.parametrize("seed", range(3))
def test_a_sheet_across_the_coordinates_is_a_mode(thin, seed):
    sds = np.array([5.0, 2.0, thin])
    density, top, root = gaussian(sds, seed=seed)
    mode = mode_at(density, top + root @ np.array([0.3, -0.2, 0.5]))
    assert mode.proper
    # Of the coordinates of the top, which are some units, floats tell this share of the sheet.
    np.testing.assert_allclose(np.linalg.solve(root, mode.at - top), 0.0, atol=1e-2)
    truth = np.log(sds).sum() + 1.5 * np.log(2.0 * np.pi)
    assert mode.log_mass == pytest.approx(truth, abs=1e-6)


@pytest.mark.parametrize("thin", [1.0, 1e-4])
def test_a_saddle_is_no_mode(thin):
    density, top, _ = gaussian(np.array([5.0, 2.0, thin]), np.array([-1.0, 1.0, 1.0]))
    assert not mode_at(density, top).proper
