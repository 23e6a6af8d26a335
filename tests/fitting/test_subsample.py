"""Steps on some rows of the data, where the posterior is known."""

import pytest

pytest.importorskip("jax")

import jax.numpy as jnp
import numpy as np

from kullback.core.errors import InputError
from kullback.core.run import Run
from kullback.families import FullRank
from kullback.fitting.climbs import Climbs
from kullback.fitting.components import Components
from kullback.fitting.stochastic import stochastic_fit
from kullback.interop.functions import unconstrained
from kullback.interop.jax_function import subsampled
from kullback.solvers.modes import CountedDensity
from kullback.targets import LogDensity

N, D = 2000, 3
RNG = np.random.default_rng(0)
X = RNG.standard_normal((N, D))
Y = X @ np.array([1.0, -2.0, 0.5]) + RNG.standard_normal(N)
PRECISION = X.T @ X + np.eye(D)
MEAN = np.linalg.solve(PRECISION, X.T @ Y)


def prior(b):
    return -0.5 * jnp.sum(b**2)


def log_likelihood(b, row):
    x, y = row
    return -0.5 * (y - x @ b) ** 2


@pytest.fixture(scope="module")
def both():
    whole, minibatch = subsampled(LogDensity(prior, np.zeros(D)), log_likelihood, (X, Y), 100)
    return unconstrained(whole), minibatch


def test_the_estimate_is_unbiased(both):
    target, minibatch = both
    u, rng = MEAN[None] + 0.1, np.random.default_rng(1)
    value, gradient = target.evaluate(u)
    made = [minibatch(u, rng) for _ in range(2000)]
    rows = np.array([np.append(v, g) for v, g in made])
    error = rows.std(axis=0) / np.sqrt(len(rows))
    truth = np.append(value, gradient)
    assert np.abs((rows.mean(axis=0) - truth) / error).max() < 4.0
    assert value[0] == pytest.approx(
        -0.5 * np.sum((Y - X @ u[0]) ** 2) - 0.5 * np.sum(u**2), rel=1e-12
    )


@pytest.mark.slow
def test_a_fit_on_some_rows_ends_at_the_posterior_of_all(both):
    target, minibatch = both
    start = Components(np.ones(1), MEAN[None] + 0.03, 0.02 * np.eye(D)[None])
    density = CountedDensity(target.evaluate, D)
    fit = stochastic_fit(
        density,
        Climbs((), (start,), 0),
        FullRank(),
        Run(0, lambda _: None),
        minibatch=minibatch,
        most=70_000,
    )
    covariance = np.linalg.inv(PRECISION)
    root, moved = fit.q.roots[0], fit.q.means[0] - MEAN
    kl = 0.5 * (
        np.trace(PRECISION @ root @ root.T)
        + moved @ PRECISION @ moved
        - D
        + np.linalg.slogdet(covariance)[1]
        - 2 * np.linalg.slogdet(root)[1]
    )
    assert fit.noise[0] < 0.05
    assert kl < 5.0 * fit.noise[0]
    # All rows are looked at for the comparisons only.
    assert density.count < 10_000


def test_what_cannot_be_subsampled_is_refused():
    p = LogDensity(prior, np.zeros(D))
    with pytest.raises(InputError, match="from 1 to N = 2000 rows"):
        subsampled(p, log_likelihood, (X, Y), 5000)
    with pytest.raises(InputError, match="arrays of one length"):
        subsampled(p, log_likelihood, (X, Y[:5]), 5)
