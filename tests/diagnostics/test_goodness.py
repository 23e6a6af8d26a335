"""Fits to samples looked at: p-values that hold, a gap that is 0 where q is p, the line that excess falls on."""

import json

import numpy as np
import pytest
from scipy import special, stats

from kullback.api.fit import fit as fit_fit
from kullback.api.store import load, save
from kullback.diagnostics.goodness import marginal
from kullback.distributions.gaussian_mixture import GaussianMixture, TableMixture
from kullback.families import FullRank, Mixture
from kullback.fitting.components import Components
from kullback.results.serialise import to_json
from kullback.targets import Samples


def _two(rng, n):
    first = rng.random(n) < 0.4
    return np.where(first, rng.normal(-2.0, 0.5, n), rng.normal(2.0, 1.0, n))


@pytest.fixture(scope="module")
def skewed():
    x = np.random.default_rng(0).gamma(2.0, size=(1500, 2))
    return fit_fit(Samples(x, columns=("a", "b")), FullRank(), direction="forward")


@pytest.mark.slow
def test_p_values_are_uniform_where_the_family_holds_p():
    found = []
    for key in range(60):
        x = np.random.default_rng(key).normal(size=300)
        fit = fit_fit(Samples(x), FullRank(), direction="forward", key=key)
        found.append(fit.likelihood.goodness[0].p_value)
    assert stats.kstest(found, "uniform").pvalue > 0.01


@pytest.mark.slow
def test_p_values_of_mixtures_hold():
    found = [
        fit_fit(Samples(_two(np.random.default_rng(key), 400)), Mixture(2),
               direction="forward", starts=2, key=key).likelihood.least_p_value
        for key in range(30)
    ]  # fmt: skip
    assert np.mean(np.array(found) < 0.1) < 0.25
    assert 0.3 < np.mean(found) < 0.75


def test_what_is_no_gaussian_is_found(skewed):
    likelihood = skewed.likelihood
    assert [g.column for g in likelihood.goodness] == ["a", "b"]
    assert likelihood.least_p_value < 1e-6
    assert all(sum(g.shares) == pytest.approx(1.0) for g in likelihood.goodness)
    kl = skewed.forward_kl
    truth = 2.0 * _kl_of_gamma()
    assert kl.value == pytest.approx(truth, abs=3.0 * kl.standard_error)
    assert kl.value > 3.0 * kl.standard_error


def _kl_of_gamma():
    """KL of a gamma(2) to the normal of its moments: H(p, q) - H(p)."""
    entropy = 2.0 + special.gammaln(2.0) - special.digamma(2.0)
    return 0.5 * np.log(2.0 * np.pi * np.e * 2.0) - entropy


def test_marginals_are_those_of_the_parts():
    q = Components(np.array([0.3, 0.7]), np.array([[0.0, 1.0], [2.0, -1.0]]),
                   np.array([[[1.0, 0.0], [0.5, 2.0]], [[0.3, 0.0], [0.1, 0.4]]]))  # fmt: skip
    draws = GaussianMixture(q.weights, q.means, q.roots).sample(np.random.default_rng(0), 20_000)
    for j in (0, 1):
        assert stats.kstest(marginal(q, j, draws[:, j]), "uniform").pvalue > 1e-3
    heavy = TableMixture(("continuous",), np.ones(1), np.zeros((1, 1)), 2.0 * np.ones((1, 1, 1)),
                         np.full(1, 3.0), np.ones((1, 0)), ())  # fmt: skip
    x = np.linspace(-9, 9, 7)
    assert marginal(heavy, 0, x) == pytest.approx(stats.t.cdf(x / 2.0, 3.0))


def test_rounded_values_do_not_fail_for_being_rounded():
    x = np.round(np.random.default_rng(0).normal(size=(4000, 2)), 1)
    fit = fit_fit(Samples(x), FullRank(), direction="forward")
    assert fit.likelihood.least_p_value > 0.01


def test_the_gap_is_0_where_q_is_p_and_not_where_tails_are_heavy():
    rng = np.random.default_rng(1)
    gap = fit_fit(Samples(_two(rng, 2000)), Mixture(2), direction="forward").likelihood.gap
    assert abs(gap.value) < 3.0 * gap.standard_error
    assert gap.direction == "E_q[log q] - E_p[log q]"


def test_frequencies_count_as_rows():
    x = np.random.default_rng(2).normal(size=400)
    repeats = np.arange(400) % 3 + 1
    a = fit_fit(Samples(x, frequencies=repeats), FullRank(), direction="forward").likelihood
    b = fit_fit(Samples(np.repeat(x, repeats)), FullRank(), direction="forward").likelihood
    assert a.goodness == b.goodness
    assert a.learning == b.learning
    assert a.goodness[0].n == repeats.sum()


def test_the_excess_falls_as_parameters_over_twice_the_rows():
    ratios = []
    for key in range(12):
        x = np.random.default_rng(key).normal(size=(800, 3))
        fit = fit_fit(Samples(x), FullRank(), direction="forward", key=key)
        m = fit.likelihood.parameters
        ratios += [p.excess * 2 * p.rows / m for p in fit.likelihood.learning if p.rows >= 200]
    error = np.std(ratios) / np.sqrt(len(ratios))
    assert np.mean(ratios) == pytest.approx(1.0, abs=4.0 * error + 0.1)


def test_columns_that_are_not_numbers_and_gaps_are_left_out():
    rng = np.random.default_rng(0)
    values = np.column_stack([rng.normal(size=300), rng.poisson(3.0, 300)])
    values[::7, 0] = np.nan
    p = Samples(values, columns=("x", "visits"), kinds={"visits": "count"}, missing=True)
    fit = fit_fit(p, Mixture(1), direction="forward")
    assert [g.column for g in fit.likelihood.goodness] == ["x"]
    assert fit.likelihood.goodness[0].n == 300 - 43
    assert fit.likelihood.gap is None
    assert fit.forward_kl is None
    assert any("not continuous" in note for note in fit.notes)


def test_everything_is_plain_json(skewed):
    body = to_json(skewed)
    json.dumps(body, allow_nan=False)
    assert body["likelihood"]["goodness"][0]["column"] == "a"
    assert len(body["likelihood"]["errors"]) == 5
    assert body["selection"] is None


def test_fits_with_findings_are_saved(skewed, tmp_path):
    save(skewed, tmp_path / "fit.kb")
    again = load(tmp_path / "fit.kb")
    assert again.likelihood == skewed.likelihood
    assert again.forward_kl == skewed.forward_kl


def test_one_far_row_is_not_taken_for_knowledge():
    x = np.append(np.random.default_rng(0).normal(size=300), 1e9)
    fit = fit_fit(Samples(x), Mixture(2), direction="forward", starts=2)
    assert fit.forward_kl is None
    assert fit.likelihood.learning == ()
    assert any("one row decides" in note for note in fit.notes)


def test_weights_that_are_no_numbers_of_rows():
    rng = np.random.default_rng(0)
    p = Samples(rng.normal(size=500), rng.random(500))
    fit = fit_fit(p, FullRank(), direction="forward")
    assert fit.forward_kl is None
    assert any("weights are not numbers of rows" in note for note in fit.notes)
    assert 300 < fit.likelihood.goodness[0].n < 450
    assert fit.likelihood.goodness[0].p_value > 0.001
    json.dumps(to_json(fit), allow_nan=False)
