"""KL by nearest neighbours: the truth in units of the reported error, rounding, and what is refused."""

import math

import numpy as np
import pytest

from kullback.api.measure import kl_divergence
from kullback.distributions.gaussian_mixture import GaussianMixture
from kullback.distributions.real import Normal, StudentT
from kullback.distributions.vector import MultivariateNormal
from kullback.measure.neighbours import neighbour_kl, step


def _mixture(d):
    means = np.zeros((2, d))
    means[:, 0] = -2.4, 1.6
    return GaussianMixture(np.array([0.4, 0.6]), means, np.array([0.5 * np.eye(d), np.eye(d)]))


def _normal(d, sd=1.0):
    return MultivariateNormal(np.zeros(d), sd * np.eye(d))


def _moments(q):
    return MultivariateNormal(q.mean, np.linalg.cholesky(q.covariance))


PAIRS = {
    "normal": lambda d: (_normal(d), _normal(d, 1.3)),
    "the same": lambda d: (_mixture(d), _mixture(d)),
    "mixture": lambda d: (_mixture(d), _moments(_mixture(d))),
}


@pytest.mark.slow
@pytest.mark.parametrize("d", [1, 2, 5])
@pytest.mark.parametrize("name", PAIRS)
def test_intervals_cover(name, d):
    p, q = PAIRS[name](d)
    x = p.sample(np.random.default_rng(7), 200_000)
    truth = float(np.mean(p.log_prob(x) - q.log_prob(x)))
    found = []
    for key in range(25):
        rng = np.random.default_rng([key, d])
        x = p.sample(rng, 600)
        found.append(neighbour_kl(x, q.log_prob(x), q, rng))
    assert sum(e.interval[0] <= truth <= e.interval[1] for e in found) >= 21
    bias = np.mean([e.value for e in found]) - truth
    assert abs(bias) < np.mean([e.standard_error for e in found])


def test_heavy_tails():
    p, q = StudentT(5.0, 0.0, 1.0), Normal(0.0, math.sqrt(5.0 / 3.0))
    truth = kl_divergence(p, q).value
    rng = np.random.default_rng(3)
    x = p.sample(rng, 3000)
    found = neighbour_kl(x[:, None], q.log_prob(x), q, rng)
    assert found.value == pytest.approx(truth, abs=3.0 * found.standard_error)
    assert found.standard_error < 0.05
    # log q of t(2) has no variance: means of it have errors that are not known.
    x = StudentT(2.0, 0.0, 1.0).sample(rng, 3000)
    assert neighbour_kl(x[:, None], q.log_prob(x), q, rng).kind == "unresolved"


def test_the_unit_of_the_data_does_not_matter():
    p, q = _mixture(2), _normal(2, 2.0)
    by = np.array([1e-6, 1e6])
    x = p.sample(np.random.default_rng(0), 1000)
    scaled = MultivariateNormal(q.loc * by, by[:, None] * q.scale_tril)
    one = neighbour_kl(x, q.log_prob(x), q, np.random.default_rng(1))
    other = neighbour_kl(x * by, scaled.log_prob(x * by), scaled, np.random.default_rng(1))
    assert one.value == pytest.approx(other.value, abs=0.02)


def test_rounded_values_are_spread_over_their_steps():
    rng = np.random.default_rng(0)
    x = np.round(rng.normal(size=(2000, 1)), 1)
    q = _normal(1)
    found = neighbour_kl(x, q.log_prob(x), q, rng)
    assert "rounded" in found.notes[0]
    assert found.value < 3.0 * found.standard_error < 0.1


@pytest.mark.parametrize(
    ("x", "reason"),
    [
        (np.random.default_rng(0).normal(size=(1000, 7)), "7 columns"),
        (np.random.default_rng(0).normal(size=(80, 1)), "too few"),
        (np.round(np.random.default_rng(0).normal(size=(1000, 1))), "too coarsely"),
        (np.tile(np.random.default_rng(0).normal(size=(500, 1)), (2, 1)), "rows repeat"),
    ],
)
def test_what_cannot_be_told_is_unresolved(x, reason):
    q = _normal(x.shape[1])
    found = neighbour_kl(x, q.log_prob(x), q, np.random.default_rng(0))
    assert found.kind == "unresolved"
    assert reason in found.reason


def test_steps_of_rounding():
    x = np.random.default_rng(0).normal(size=1000)
    assert step(x) == 0.0
    assert step(np.round(x, 2)) == pytest.approx(0.01)
    assert step(np.round(x * 4) / 4) == pytest.approx(0.25)
    assert step(np.concatenate([x, x])) == 0.0
