"""Fits over discrete latents, against sums over all states."""

import pytest

pytest.importorskip("jax")

import jax.numpy as jnp
import numpy as np
from scipy.special import logsumexp

from kullback.api.fit import fit as fit_any
from kullback.core.errors import DensityError, InputError, UnsupportedError
from kullback.core.run import Run
from kullback.diagnostics.states import states
from kullback.distributions.vector import Independent
from kullback.families import Bernoulli, Categorical
from kullback.fitting.discrete import discrete_fit, gradient_at
from kullback.inputs.target import read
from kullback.solvers.gibbs import temper_discrete
from kullback.targets import LogDensity


def fit(p, family="auto", **options):
    return fit_any(p, family, **{"direction": "reverse", **options})


def couplings(m, size, field):
    rng = np.random.default_rng(0)
    return np.triu(rng.normal(0, size, (m, m)), 1), rng.normal(0, field, m)


def ising(m, size=0.05, field=0.5):
    """Codes (n, m) to log p (n,)."""
    w, h = couplings(m, size, field)
    return lambda x: np.einsum("ni,ij,nj->n", 2.0 * x - 1, w, 2.0 * x - 1) + (2.0 * x - 1) @ h


def noun(values, m, support="binary"):
    return LogDensity(values, np.zeros(m, dtype=int), support=support)


def elbo(log_probabilities, x, log_p):
    log_q = log_probabilities[np.arange(x.shape[1]), x].sum(axis=1)
    return float(np.exp(log_q) @ (log_p - log_q))


def coordinate_ascent(x, log_p, k, seed):
    """The mean-field optimum by exact updates, one latent after another."""
    m = x.shape[1]
    found = np.log(np.random.default_rng(seed).dirichlet(np.ones(k), m))
    for _ in range(200):
        for i in range(m):
            rest = np.exp(found[np.arange(m), x].sum(axis=1) - found[i, x[:, i]])
            means = np.array([rest[x[:, i] == c] @ log_p[x[:, i] == c] for c in range(k)])
            found[i] = means - logsumexp(means)
    return found


@pytest.mark.slow
def test_an_ising_model_ends_at_the_mean_field_optimum():
    values, x = ising(8, 0.3, 0.3), states(8, 2)
    log_p = values(x)
    best = max(elbo(coordinate_ascent(x, log_p, 2, s), x, log_p) for s in range(6))
    made = discrete_fit(values, 8, 2, Run(0, lambda _: None))
    gap = best - elbo(made.log_probabilities, x, log_p)
    assert -1e-9 < gap < max(5.0 * made.noise[0], 0.002)
    assert made.noise[0] < 0.01


@pytest.mark.parametrize("draws", [2, 64])
def test_the_gradient_is_unbiased(draws):
    values, x, rng = ising(4, 0.4, 0.6), states(4, 2), np.random.default_rng(0)
    logits = rng.normal(0.0, 0.7, (4, 2))

    def at(logits):
        return elbo(logits - logsumexp(logits, axis=1, keepdims=True), x, values(x))

    steps = 1e-6 * np.eye(8).reshape(8, 4, 2)
    exact = np.array([(at(logits + s) - at(logits - s)) / 2e-6 for s in steps]).reshape(4, 2)
    q = Independent(logits - logsumexp(logits, axis=1, keepdims=True), (4,))
    estimates = []
    for _ in range(3000):
        drawn = q.sample(rng, draws)
        estimates.append(gradient_at(q, drawn, values(drawn)))
    estimates = np.array(estimates)
    error = estimates.std(axis=0) / np.sqrt(len(estimates))
    assert np.abs((estimates.mean(axis=0) - exact) / error).max() < 4.0


@pytest.mark.slow
def test_an_independent_target_is_met_and_trusted():
    found = fit(noun(ising(6, 0.0, 1.0), 6), Bernoulli())
    assert found.diagnosis.verdict == "trust"
    assert found.reverse_kl.kind == "exact"
    assert found.reverse_kl.value < 1e-3
    _, h = couplings(6, 0.0, 1.0)
    assert found.q.probabilities == pytest.approx(1 / (1 + np.exp(-2 * h)), abs=0.02)
    draws = found.sample(5)
    assert draws.shape == (5, 6)
    assert draws.dtype.kind == "i"
    assert np.allclose(found.log_prob(draws), found.q.log_prob(draws))


def test_the_numbers_are_those_of_the_sums():
    values, x = ising(8, 0.3, 0.3), states(8, 2)
    found = fit(noun(values, 8), starts=2)
    log_p, log_q = values(x), found.q.log_prob(x)
    total = logsumexp(log_p)
    p, q = np.exp(log_p - total), np.exp(log_q)
    assert q.sum() == pytest.approx(1.0, abs=1e-12)
    assert found.log_evidence.value == pytest.approx(total, abs=1e-12)
    assert found.reverse_kl.value == pytest.approx(q @ (log_q - log_p + total), abs=1e-12)
    assert found.forward_kl.value == pytest.approx(p @ (log_p - total - log_q), abs=1e-12)
    assert found.posterior.energy.value == pytest.approx(q @ log_p, abs=1e-12)


def two_groups(x):
    """All 0 or all 1, nearly: independent latents can have one of the two."""
    return (2.0 * x - 1).sum(axis=-1) ** 2 / x.shape[-1]


@pytest.mark.parametrize("m", [8, 30])
def test_half_of_the_mass_missed_is_not_trusted(m):
    found = fit(LogDensity(two_groups, np.zeros(m, dtype=int), support="binary"), starts=2)
    assert found.diagnosis.verdict == "do not use"
    half = found.reverse_kl.value
    assert half > np.log(2.0) - 4.0 * found.reverse_kl.standard_error
    outside = found.posterior.outside
    assert outside.value == pytest.approx(0.5, abs=4 * outside.standard_error + 0.02)
    assert "tempered" in found.diagnosis.decided_by.remedy


def test_beyond_counting_the_two_routes_agree():
    found = fit(noun(ising(18, 0.05, 0.5), 18), starts=1)
    x = states(18, 2)
    truth = logsumexp(ising(18, 0.05, 0.5)(x))
    for route in found.posterior.routes:
        assert route.value == pytest.approx(truth, abs=4 * route.standard_error)
        assert route.standard_error < 0.1
    assert found.posterior.agreement.value == pytest.approx(
        0.0, abs=4 * found.posterior.agreement.standard_error
    )
    assert found.elbo.value < truth + 4 * found.elbo.standard_error


def test_tempering_knows_its_error():
    values, x = ising(10, 0.4, 0.2), states(10, 2)
    truth = logsumexp(values(x))
    scores = []
    for key in range(8):
        swept = temper_discrete(values, 10, 2, np.random.default_rng(key), lambda _: None)
        scores.append((swept.log_evidence - truth) / swept.standard_error)
    assert np.sqrt(np.mean(np.square(scores))) < 2.2


def test_categories_of_a_jax_function_in_a_grid():
    table = jnp.asarray(np.random.default_rng(1).normal(0, 1.0, (2, 2, 3)))

    def log_p(x):
        return jnp.take_along_axis(table, x[..., None], axis=-1).sum()

    p = LogDensity(log_p, np.zeros((2, 2), dtype=int), support=("categories", 3))
    assert read(p).known == "discrete log density"
    found = fit(p, Categorical(), starts=1)
    exact = np.exp(table) / np.exp(table).sum(axis=-1, keepdims=True)
    assert found.q.probabilities == pytest.approx(exact, abs=0.02)
    assert found.sample(3).shape == (3, 2, 2)
    assert found.posterior.parameters[0].name == "x[0,0]=0"
    assert found.diagnosis.verdict == "trust"


@pytest.mark.slow
def test_states_without_mass():
    def at_most_one(x):
        return 0.0 if np.sum(x) <= 1 else -np.inf

    found = fit(LogDensity(at_most_one, np.zeros(3, dtype=int), support="binary"), starts=2)
    assert found.log_evidence.value == pytest.approx(np.log(4.0))
    assert found.reverse_kl.kind == "infinite"
    assert found.diagnosis.verdict == "do not use"


def test_interrupted_it_returns_the_best_so_far():
    def stop(text):
        raise KeyboardInterrupt

    made = discrete_fit(ising(5), 5, 2, Run(0, stop))
    assert made.interrupted
    assert made.starts == 1


def test_what_is_wrong_is_said():
    good = noun(ising(3), 3)
    with pytest.raises(UnsupportedError, match="forward KL over discrete latents"):
        fit(good, direction="forward")
    with pytest.raises(UnsupportedError, match="those that can: bernoulli, categorical"):
        fit(good, "full_rank")
    with pytest.raises(InputError, match="its values must be among 0 .. 1"):
        fit(LogDensity(lambda x: 0.0, np.array([0, 2]), support="binary"))
    with pytest.raises(InputError, match="give how many, at least 2"):
        fit(LogDensity(lambda x: 0.0, np.zeros(2, int), support=("categories", 1)))
    with pytest.raises(DensityError, match=r"is nan at x = \[1, "):
        fit(LogDensity(lambda x: np.nan if x[0] else 0.0, np.zeros(2, int), support="binary"))
    with pytest.raises(DensityError, match="bad luck"):
        fit(LogDensity(_raises, np.zeros(2, int), support="binary"))


def _raises(x):
    raise RuntimeError("bad luck")
