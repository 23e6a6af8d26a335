"""Kernel density, against scipy's at the same bandwidth and against the truth."""

import math

import numpy as np
import pytest
from scipy import stats

from kullback.api.fit import fit
from kullback.api.measure import kl_divergence
from kullback.api.store import load, save
from kullback.core.errors import InputError
from kullback.distributions.kernel_density import KernelDensity as Kernels
from kullback.families import KernelDensity
from kullback.fitting.kernel_density import leave_one_out
from kullback.targets import Samples


def fitted(x, bandwidth=None, frequencies=None):
    return fit(Samples(x, frequencies=frequencies), KernelDensity(bandwidth), direction="forward")


@pytest.mark.parametrize("d", [1, 2, 6])
@pytest.mark.parametrize("bandwidth", [0.1, 0.7])
def test_the_density_is_scipys(d, bandwidth):
    rng = np.random.default_rng(d)
    x = rng.normal(size=(400, d)) @ rng.normal(size=(d, d)) + 5.0
    y = np.concatenate([x[:50], x[:5] + 30.0])
    # scipy divides by n - 1.
    theirs = stats.gaussian_kde(x.T, bw_method=bandwidth * math.sqrt(399 / 400)).logpdf(y.T)
    events = y[:, 0] if d == 1 else y
    ours = fitted(x, bandwidth).q.log_prob(events)
    finite = np.isfinite(theirs)
    assert ours[finite] == pytest.approx(theirs[finite], rel=1e-10, abs=1e-10)
    assert np.isfinite(ours).all()


def test_rules_of_thumb_are_scipys():
    x = np.random.default_rng(0).normal(size=(300, 3))
    for name in ("silverman", "scott"):
        assert fitted(x, name).q.bandwidth == pytest.approx(stats.gaussian_kde(x.T, name).factor)


def test_the_scale_of_the_rows_does_not_matter():
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=800), rng.normal(size=5000)
    found = {scale: fitted(scale * x) for scale in (0.01, 1.0, 100.0)}
    for scale, made in found.items():
        true = stats.norm(0, scale).logpdf(scale * y)
        gap = true - made.q.log_prob(scale * y)
        # What kernels cost over the truth is some thousandths of a nat, at every scale.
        assert 0.0 < gap.mean() < 0.02
        assert abs(made.held_out.value - true.mean()) < 3 * made.held_out.standard_error
        assert made.q.bandwidth == pytest.approx(found[1.0].q.bandwidth, rel=1e-6)


def test_the_bandwidth_is_the_best_of_those_left_out():
    x = np.random.default_rng(2).standard_t(4, 200)[:, None]
    q = fitted(x).q
    rows = np.arange(200)
    tried = q.bandwidth * np.array([0.9, 0.99, 1.0, 1.01, 1.1])
    values = [v.mean() for v in leave_one_out(q, rows, list(tried))]
    assert int(np.argmax(values)) == 2
    by_hand = []
    for i in range(200):
        others = np.delete(x[:, 0], i)
        width = q.bandwidth * float(q.scale_tril[0, 0])
        by_hand.append(np.log(stats.norm(others, width).pdf(x[i, 0]).mean()))
    assert leave_one_out(q, rows, [q.bandwidth])[0] == pytest.approx(by_hand, rel=1e-10)
    assert fitted(x).held_out.value == pytest.approx(np.mean(by_hand))


def test_two_narrow_heaps_get_narrow_kernels():
    rng = np.random.default_rng(3)
    x = np.concatenate([rng.normal(-100, 0.1, 300), rng.normal(100, 0.1, 300)])
    found = fitted(x)
    truth = -math.log(2) + stats.norm(0, 0.1).logpdf(rng.normal(0, 0.1, 1000)).mean()
    assert found.held_out.value == pytest.approx(truth, abs=0.15)


def test_rounded_rows_get_silvermans_rule_and_a_note():
    x = np.round(np.random.default_rng(4).normal(0, 10, 500))
    found = fitted(x)
    assert found.q.bandwidth == fitted(x, "silverman").q.bandwidth
    assert "Silverman" in found.notes[0]
    assert math.isfinite(found.held_out.value)


def test_a_few_copies_do_not_matter():
    x = np.random.default_rng(4).normal(0, 10, 500)
    found = fitted(np.r_[x, x[:20]])
    assert "chosen by the held-out likelihood" in found.notes[0]
    assert found.q.bandwidth == pytest.approx(fitted(x).q.bandwidth, rel=0.5)


def test_frequencies_are_repeated_rows():
    x = np.random.default_rng(5).normal(size=(60, 2))
    repeats = np.arange(60) % 3
    a = fitted(x, 0.4, repeats).q
    b = fitted(np.repeat(x, repeats, axis=0), 0.4).q
    assert a.log_prob(x) == pytest.approx(b.log_prob(x), abs=1e-10)


def test_large_offsets_cost_no_digits():
    x = np.random.default_rng(6).normal(size=(300, 2))
    a, b = fitted(x, 0.3).q, fitted(1e8 + x, 0.3).q
    assert b.log_prob(1e8 + x[:20]) == pytest.approx(a.log_prob((1e8 + x[:20]) - 1e8), abs=1e-6)


def test_draws_have_the_moments(tmp_path):
    x = np.random.default_rng(7).normal(size=(200, 2)) * [1.0, 5.0]
    found = fitted(x, 0.5)
    draws = found.sample(40_000)
    wanted = np.cov(x.T, bias=True) * (1 + 0.25)
    assert np.cov(draws.T) == pytest.approx(wanted, rel=0.05, abs=0.15)
    save(found, tmp_path / "kde.kullback")
    again = load(tmp_path / "kde.kullback")
    assert isinstance(again.q, Kernels)
    assert np.array_equal(again.q.log_prob(x), found.q.log_prob(x))


def test_a_kernel_density_of_one_column_can_be_measured():
    x = np.random.default_rng(8).normal(size=300)
    q = fitted(x).q
    kl = kl_divergence(q, "normal(0, sd=1)")
    assert kl.kind == "numeric"
    y = q.sample(np.random.default_rng(9), 100_000)
    terms = q.log_prob(y) - stats.norm.logpdf(y)
    assert abs(terms.mean() - kl.value) < 4 * terms.std() / math.sqrt(len(y)) + kl.standard_error


@pytest.mark.parametrize(
    ("rows", "bandwidth", "message"),
    [
        (np.zeros((9, 1)), None, "column x0 is constant"),
        (np.ones((9, 2)) * np.arange(9)[:, None], None, "linear combination"),
        (np.arange(9.0), 0.0, "give a positive number"),
    ],
)
def test_what_cannot_be_smoothed(rows, bandwidth, message):
    with pytest.raises(InputError, match=message):
        fitted(rows, bandwidth)


def test_a_bandwidth_that_is_no_number():
    with pytest.raises(InputError, match="wide is not a number"):
        fit(Samples(np.arange(9.0)), "kde:wide", direction="forward")
