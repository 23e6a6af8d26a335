import math

import numpy as np
import pytest

from kullback.solvers.bridge import bridge
from kullback.solvers.modes import CountedDensity, find, reach, whitened
from kullback.solvers.tempering import Points, move, temper
from tests.posteriors import banana, gaussian, modes, rotated


@pytest.mark.parametrize(("d", "n"), [(1, 64), (3, 64), (25, 100), (40, 64)])
def test_whitened_draws_have_the_moments_exactly(d, n):
    z = whitened(d, n, np.random.default_rng(0))
    np.testing.assert_allclose(z.mean(axis=0), 0.0, atol=1e-13)
    np.testing.assert_array_equal(z[: n // 2], -z[n // 2 :])
    np.testing.assert_allclose(np.mean(z**2, axis=0), 1.0, rtol=1e-12)
    if n >= 2 * d:
        np.testing.assert_allclose(z.T @ z / n, np.eye(d), atol=1e-12)


def test_a_bridge_gives_the_ratio_within_its_error():
    def log_ratio(x):
        return math.log(3.0) - math.log(0.8) - 0.5 * ((x - 0.5) / 0.8) ** 2 + 0.5 * x**2

    scores = []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        found, error = bridge(log_ratio(rng.normal(size=500)), log_ratio(rng.normal(0.5, 0.8, 900)))
        scores.append((found - math.log(3.0)) / error)
    assert abs(np.mean(scores)) < 4.0 / math.sqrt(200)
    assert 0.85 < np.std(scores) < 1.15


def test_moves_leave_the_density_as_it_is():
    p = gaussian(np.zeros(20), np.eye(20))
    density = CountedDensity(p.evaluate, 20)
    rng = np.random.default_rng(0)
    for leaps in (1, 3):
        points = Points.at(density, rng.normal(size=(4000, 20)))
        step = 0.6
        for _ in range(10):
            points, odds, step = move(density, points, np.eye(20), step, rng, leaps=leaps)
        energy = np.mean(points.x**2, axis=1)
        assert abs(energy.mean() - 1.0) < 4.0 * energy.std() / math.sqrt(4000)
        assert 0.4 < odds.mean() < 0.9


@pytest.mark.parametrize(
    ("p", "times"),
    [
        (gaussian(np.arange(5.0), rotated(5, 100.0), log_evidence=2.0), 20.0),
        pytest.param(
            gaussian(np.zeros(30), rotated(30, 1e4), log_evidence=-7.0),
            10.0,
            marks=pytest.mark.slow,
        ),
        (modes([-6.0, 0.0, 6.0], [0.3, 0.4, 0.3], 0.3), 60.0),
    ],
)
def test_tempering_gives_the_evidence_within_its_error(p, times):
    truth = {5: 2.0, 30: -7.0, 1: 0.0}[p.dimension]
    scores = []
    for seed in range(8):
        density = CountedDensity(p.evaluate, p.dimension)
        top = find(density, p.start)
        found = temper(
            density,
            top.at,
            times * top.root,
            chains=256,
            length=4,
            rng=np.random.default_rng(seed),
            watch=lambda beta: None,
        )
        assert found.complete
        scores.append((found.log_evidence - truth) / found.standard_error)
    assert np.max(np.abs(scores)) < 4.0
    assert abs(np.mean(scores)) < 1.5


def test_tempering_goes_on_from_a_kept_state_with_the_same_bits():
    p, kept = banana(), []

    def run(resume=None, keep=None):
        return temper(
            CountedDensity(p.evaluate, 2), np.zeros(2), 20.0 * np.eye(2), chains=64, length=2, rng=np.random.default_rng(3),
            watch=lambda beta: None, resume=resume, keep=keep,
        )  # fmt: skip

    whole = run(keep=kept.append)
    again = run(resume=kept[1])
    assert again.log_evidence == whole.log_evidence
    np.testing.assert_array_equal(again.x, whole.x)


@pytest.mark.parametrize(
    ("p", "at"),
    [
        (gaussian([1e6], [[1e-6]]), [1e6]),
        (gaussian(np.arange(40.0), rotated(40, 1e6)), np.arange(40.0)),
        (gaussian([0.0, 0.0], np.diag([1e300, 1e-300]), start=[0.0, 0.0]), [0.0, 0.0]),
    ],
)
def test_modes_are_found_whatever_the_scales(p, at):
    mode = find(CountedDensity(p.evaluate, p.dimension), p.start)
    assert mode.proper
    assert mode.distance(np.asarray(at, dtype=float)) < 0.1
    # Laplace's approximation of a Gaussian is exact.
    assert mode.log_mass == pytest.approx(0.0, abs=1e-3)


def test_reach_finds_scales_apart_by_hundreds_of_orders():
    p = gaussian(np.zeros(3), np.diag([1e-80, 1.0, 1e80]))
    np.testing.assert_allclose(
        reach(CountedDensity(p.evaluate, 3), np.zeros(3)), [1e-40, 1.0, 1e40], rtol=1e-6
    )


def test_faults_are_counted_and_kept():
    def evaluate(u):
        value = np.where(u[:, 0] > 1.0, np.nan, 0.0)
        gradient = np.where(u[:, :1] < -1.0, np.nan, 0.0)
        return value, gradient

    density = CountedDensity(evaluate, 1)
    value, gradient = density(np.array([[0.0], [2.0], [-2.0], [3.0]]))
    np.testing.assert_array_equal(value, [0.0, -np.inf, -np.inf, -np.inf])
    assert np.isfinite(gradient).all()
    assert density.faulty == 3
    assert {kind for kind, _ in density.faults} == {"value", "gradient"}
    assert density.count == 4
