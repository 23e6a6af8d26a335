"""Stochastic ascent, where the optimum is known."""

import numpy as np
import pytest

from kullback.core.errors import InputError
from kullback.core.run import Run
from kullback.families import FullRank, MeanField
from kullback.fitting.climbs import Climbs
from kullback.fitting.components import Chart, Components
from kullback.fitting.stochastic import stochastic_fit
from kullback.solvers.modes import CountedDensity

D = 4
RNG = np.random.default_rng(0)
HALF = RNG.standard_normal((D, D))
COVARIANCE = HALF @ HALF.T / D + 0.2 * np.eye(D)
PRECISION = np.linalg.inv(COVARIANCE)
CENTRE = RNG.standard_normal(D)
NAMES = ["reparameterization", "stick_the_landing", "score_function"]


def gaussian(x):
    moved = x - CENTRE
    return -0.5 * np.einsum("ni,ij,nj->n", moved, PRECISION, moved), -moved @ PRECISION


def found():
    """A start three sds off."""
    return Climbs((), (Components(np.ones(1), CENTRE[None] + 3.0, np.eye(D)[None]),), 0)


def kl(q):
    root = np.diag(q.roots[0]) if q.diagonal else q.roots[0]
    covariance, moved = root @ root.T, q.means[0] - CENTRE
    logs = np.linalg.slogdet(COVARIANCE)[1] - np.linalg.slogdet(covariance)[1]
    return 0.5 * (np.trace(PRECISION @ covariance) + moved @ PRECISION @ moved - D + logs)


def run(key=0, watch=lambda _: None):
    return Run(key, watch)


@pytest.mark.parametrize(
    "name", [NAMES[0], *(pytest.param(n, marks=pytest.mark.slow) for n in NAMES[1:])]
)
def test_mean_field_ends_at_the_optimum_within_its_error(name):
    best = kl(Components(np.ones(1), CENTRE[None], np.diag(PRECISION)[None] ** -0.5))
    fits = [
        stochastic_fit(CountedDensity(gaussian, D), found(), MeanField(), run(key), estimator=name)
        for key in range(6)
    ]
    excess = np.mean([kl(f.q) - best for f in fits])
    claimed = np.mean([f.noise[0] for f in fits])
    assert claimed < 0.01
    assert 0.1 * claimed < excess < 4.0 * claimed
    shifts = [np.abs(f.q.means[0] - CENTRE).max() / f.noise[1] for f in fits]
    assert np.mean(shifts) < 3.0


@pytest.mark.parametrize("name", NAMES)
def test_full_rank_ends_at_the_gaussian_itself(name):
    fit = stochastic_fit(CountedDensity(gaussian, D), found(), FullRank(), run(), estimator=name)
    assert kl(fit.q) < max(5.0 * fit.noise[0], 1e-12)
    assert fit.noise[0] < 0.01
    elbos = [elbo for _, elbo, _ in fit.trace]
    assert elbos[-1] > elbos[0] + 1.0


def test_the_score_function_needs_no_gradient():
    blind = CountedDensity(lambda x: (gaussian(x)[0], np.zeros_like(x)), D)
    seeing = CountedDensity(gaussian, D)
    a, b = (
        stochastic_fit(p, found(), MeanField(), run(), estimator="score_function")
        for p in (blind, seeing)
    )
    assert np.array_equal(a.q.means, b.q.means)


def test_the_same_key_gives_the_same_fit():
    a, b = (
        stochastic_fit(CountedDensity(gaussian, D), found(), FullRank(), run(3), most=20_000)
        for _ in range(2)
    )
    assert np.array_equal(a.q.roots, b.q.roots)


def test_interrupted_it_returns_the_best_so_far():
    calls = []

    def stop(text):
        calls.append(text)
        if len(calls) == 2:
            raise KeyboardInterrupt

    fit = stochastic_fit(CountedDensity(gaussian, D), found(), FullRank(), run(watch=stop))
    assert fit.interrupted
    assert kl(fit.q) < 1.0


def test_the_cap_holds_and_what_is_not_known_is_said():
    density = CountedDensity(gaussian, D)
    fit = stochastic_fit(density, found(), FullRank(), run(), most=100)
    assert density.count < 1000
    assert fit.noise == (np.inf, np.inf)


def test_an_unknown_estimator_is_refused():
    with pytest.raises(InputError, match='choose one of "stick_the_landing"'):
        stochastic_fit(
            CountedDensity(gaussian, D), found(), FullRank(), run(), estimator="reinforce"
        )


def test_half_a_space_without_mass_does_not_stop_it():
    def half(x):
        value, gradient = gaussian(x)
        return np.where(x[:, 0] < CENTRE[0] + 2.9, value, -np.inf), gradient

    fit = stochastic_fit(
        CountedDensity(half, D), found(), MeanField(), run(), estimator="score_function"
    )
    assert np.isfinite(fit.q.means).all()
    assert fit.q.means[0, 0] < CENTRE[0] + 2.0


@pytest.mark.parametrize("diagonal", [True, False])
def test_the_gradient_of_the_chart(diagonal):
    rng = np.random.default_rng(1)
    roots = np.array([[1.0, 2.0, 0.5]]) if diagonal else rng.standard_normal((1, 3, 3))
    chart = Chart(Components(np.ones(1), rng.standard_normal((1, 3)), roots), diagonal)
    at = 0.3 * rng.standard_normal(chart.size)
    weights, more = rng.standard_normal(3), rng.standard_normal(roots.shape[1:])

    def f(v):
        q = chart.unpack(v)
        return float(weights @ q.means[0] + np.sum(more * q.roots[0]))

    q = chart.unpack(at)
    own = q.roots[0] * more if diagonal else np.tril(q.roots[0].T @ more)
    shift = q.roots[0] * weights if diagonal else q.roots[0].T @ weights
    steps = 1e-6 * np.eye(chart.size)
    slopes = [(f(at + s) - f(at - s)) / 2e-6 for s in steps]
    assert chart.gradient(q, np.zeros(1), shift[None], own[None]) == pytest.approx(slopes, abs=1e-7)
