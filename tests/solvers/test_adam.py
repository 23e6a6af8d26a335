"""Adam against optax."""

import pytest

pytest.importorskip("optax")

import jax
import numpy as np
import optax

from kullback.solvers.minimise import Adam


def test_steps_are_those_of_optax():
    rng = np.random.default_rng(0)
    with jax.enable_x64(True):
        theirs = optax.adam(1.0)
        state = theirs.init(np.zeros(5))
        ours = Adam.start(5)
        for _ in range(20):
            gradient = rng.standard_normal(5) * 10.0 ** rng.uniform(-6, 6, 5)
            update, state = theirs.update(gradient, state)
            ours = ours.after(gradient)
            assert ours.direction == pytest.approx(-np.asarray(update), rel=1e-12)
