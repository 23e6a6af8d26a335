"""Estimators of the ELBO's gradient against closed forms and 30-digit quadrature."""

import numpy as np
import pytest
from mpmath import mp

from kullback.core.errors import InputError
from kullback.fitting.components import Components
from kullback.fitting.elbo_gradients import (
    ESTIMATORS,
    GaussianDraws,
    check_estimator,
    drawn_at,
    score_function_of_log_p,
)

UNBIASED = [name for name in ESTIMATORS if name != "score_function_of_log_p"]
N = 40_000

PRECISION = np.linalg.inv(np.array([[2.0, 0.9, 0.1], [0.9, 1.0, -0.3], [0.1, -0.3, 0.7]]))
CENTRE = np.array([0.5, -1.0, 2.0])
ROOT = np.array([[1.2, 0.0, 0.0], [0.4, 0.8, 0.0], [-0.3, 0.2, 1.1]])


def gaussian(x):
    moved = x - CENTRE
    return 3.0 - 0.5 * np.einsum("ni,ij,nj->n", moved, PRECISION, moved), -moved @ PRECISION


def q_of(*, diagonal):
    roots = np.diag(ROOT)[None] if diagonal else ROOT[None]
    return Components(np.ones(1), np.array([[0.2, -0.4, 1.5]]), roots)


def exact(q):
    """The gradient of the ELBO to the Gaussian in q's own coordinates."""
    root = np.diag(q.roots[0]) if q.diagonal else q.roots[0]
    shift = root.T @ PRECISION @ (CENTRE - q.means[0])
    change = np.eye(3) - root.T @ PRECISION @ root
    rows = np.diag(change) if q.diagonal else change[np.tril_indices(3)]
    return np.concatenate([shift, rows])


def scores(each, truth):
    """Differences from the truth in their own standard errors."""
    error = each.std(axis=0, ddof=1) / np.sqrt(len(each))
    return (each.mean(axis=0) - truth) / error


@pytest.mark.parametrize("diagonal", [True, False])
@pytest.mark.parametrize("name", UNBIASED)
def test_each_is_unbiased_for_a_gaussian(name, diagonal):
    q = q_of(diagonal=diagonal)
    drawn = drawn_at(gaussian, q, np.random.default_rng(1).standard_normal((N, 3)))
    made = ESTIMATORS[name].estimate(drawn)
    each = made.each(diagonal=diagonal)
    assert np.abs(scores(each, exact(q))).max() < 4.5
    shift, root = made.mean(diagonal=diagonal)
    flat = root if diagonal else root[np.tril_indices(3)]
    assert np.concatenate([shift, flat]) == pytest.approx(each.mean(axis=0), abs=1e-12)


def quartic(x):
    value = -0.25 * x[:, 0] ** 4 + 0.7 * x[:, 0] - np.log(np.cosh(x[:, 0] - 1.0))
    return value, -(x**3) + 0.7 - np.tanh(x - 1.0)


LINE = Components(np.ones(1), np.array([[0.3]]), np.array([[0.8]]))


def expect(f):
    """The mean of f(z, x) under LINE to 30 digits."""
    with mp.workdps(30):
        m, s = mp.mpf("0.3"), mp.mpf("0.8")
        return mp.quad(lambda z: mp.npdf(z) * f(z, m + s * z), [-14, -5, -2, 0, 2, 5, 14])


def log_p(x):
    return -(x**4) / 4 + mp.mpf("0.7") * x - mp.log(mp.cosh(x - 1))


def log_q(z):
    return mp.log(mp.npdf(z)) - mp.log(mp.mpf("0.8"))


def by_quadrature():
    def pull(x):
        return mp.mpf("0.8") * (mp.mpf("0.7") - x**3 - mp.tanh(x - 1))

    return np.array([expect(lambda z, x: pull(x)), 1 + expect(lambda z, x: z * pull(x))], float)


@pytest.mark.parametrize("name", UNBIASED)
def test_each_is_unbiased_for_a_density_that_is_no_gaussian(name):
    drawn = drawn_at(quartic, LINE, np.random.default_rng(2).standard_normal((N, 1)))
    each = ESTIMATORS[name].estimate(drawn).each(diagonal=False)
    assert np.abs(scores(each, by_quadrature())).max() < 4.0


def test_the_gradient_of_the_kl_is_the_mean_of_the_log_ratio_times_the_score():
    by_score = [
        expect(lambda z, x: (log_q(z) - log_p(x)) * z),
        expect(lambda z, x: (log_q(z) - log_p(x)) * (z**2 - 1)),
    ]
    assert np.array(by_score, float) == pytest.approx(-by_quadrature(), abs=1e-13)


def test_forgetting_the_entropy_is_wrong_by_exactly_its_gradient():
    of_log_p = [expect(lambda z, x: log_p(x) * z), expect(lambda z, x: log_p(x) * (z**2 - 1))]
    # H(q) = log s + const: its gradient is 0 with respect to the mean and 1 with respect to log s.
    assert np.array(of_log_p, float) - by_quadrature() == pytest.approx([0.0, -1.0], abs=1e-13)
    drawn = drawn_at(quartic, LINE, np.random.default_rng(3).standard_normal((N, 1)))
    each = score_function_of_log_p(drawn).each(diagonal=False)
    assert np.abs(scores(each, by_quadrature() + np.array([0.0, -1.0]))).max() < 4.0
    assert abs(scores(each, by_quadrature())[1]) > 10.0


def test_the_score_has_mean_zero():
    z = np.random.default_rng(4).standard_normal((N, 3))
    constant = GaussianDraws(z, np.ones(N), np.zeros(N), np.zeros((N, 3)))
    assert np.abs(scores(score_function_of_log_p(constant).each(diagonal=False), 0.0)).max() < 4.5
    assert expect(lambda z, x: z**2 - 1) == pytest.approx(0.0, abs=1e-13)


def test_where_q_is_p_sticking_the_landing_and_the_baseline_have_no_variance():
    covariance = np.linalg.inv(PRECISION)
    q = Components(np.ones(1), CENTRE[None], np.linalg.cholesky(covariance)[None])
    drawn = drawn_at(gaussian, q, np.random.default_rng(5).standard_normal((500, 3)))
    spread = {
        name: ESTIMATORS[name].estimate(drawn).each(diagonal=False).var(axis=0).sum()
        for name in ESTIMATORS
    }
    assert spread["stick_the_landing"] < 1e-24
    assert spread["score_function"] < 1e-24
    assert spread["reparameterization"] > 1.0
    # Without a baseline the constant of p is noise: here log Z is about 6.
    assert spread["score_function_without_baseline"] > spread["reparameterization"]


def test_the_baseline_lowers_the_variance():
    q = q_of(diagonal=False)
    drawn = drawn_at(gaussian, q, np.random.default_rng(6).standard_normal((2000, 3)))
    with_it, without = (
        ESTIMATORS[name].estimate(drawn).each(diagonal=False).var(axis=0).sum()
        for name in ("score_function", "score_function_without_baseline")
    )
    assert with_it < 0.8 * without


def test_the_baseline_leaves_small_batches_unbiased():
    rng, q = np.random.default_rng(7), q_of(diagonal=False)
    estimates = []
    for _ in range(8000):
        drawn = drawn_at(gaussian, q, rng.standard_normal((2, 3)))
        estimates.append(ESTIMATORS["score_function"].estimate(drawn).each(diagonal=False).mean(0))
    assert np.abs(scores(np.array(estimates), exact(q))).max() < 4.5


def test_a_fit_takes_only_what_is_unbiased():
    with pytest.raises(InputError, match="REINFORCE, the entropy forgotten, shown for comparison"):
        check_estimator("score_function_of_log_p")
    with pytest.raises(InputError, match='choose one of "stick_the_landing", "reparameterization"'):
        check_estimator("dreg")
