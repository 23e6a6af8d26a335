"""SciPy's families on the integers by log masses of our own."""

import math

import numpy as np
import pytest
import scipy.stats as st
from mpmath import mp

from kullback.interop import as_distribution

FAMILIES = [
    st.planck(0.5), st.planck(2.0, 3), st.boltzmann(0.3, 20), st.dlaplace(0.7, -2), st.logser(0.97), st.zipf(1.7),
    st.zipfian(1.3, 50), st.zipfian(1.0, 100_000), st.yulesimon(2.5), st.skellam(10, 3), st.skellam(300, 310.0, 1),
    st.nhypergeom(50, 20, 7), st.hypergeom(50, 20, 17), st.nchypergeom_fisher(40, 20, 10, 1.7),
    st.poisson_binom([0.1, 0.5, 0.9]), st.betabinom(9, 2, 3.0), st.betanbinom(4, 3.0, 2.0), st.nbinom(5, 0.3, 2),
    st.poisson(4, -1),
]  # fmt: skip


@pytest.mark.parametrize("frozen", FAMILIES, ids=lambda f: f"{f.dist.name}{f.args}")
def test_where_scipy_is_right(frozen):
    ours = as_distribution(frozen)
    x = np.unique(np.floor(frozen.median() + np.array([-3.0, -1.0, 0.0, 1.0, 2.0, 5.0])))
    x = x[(x >= frozen.support()[0]) & (x <= frozen.support()[1])]
    np.testing.assert_allclose(ours.log_prob(x), frozen.logpmf(x), rtol=1e-9, atol=1e-9)
    assert np.isneginf(ours.log_prob(x + 0.5)).all()


@pytest.mark.parametrize("k", [400, 2000, -700, 0])
def test_skellam_far_out(k):
    with mp.workdps(40):
        truth = (
            -13
            + mp.mpf(k) / 2 * mp.log(mp.mpf(10) / 3)
            + mp.log(mp.besseli(abs(k), 2 * mp.sqrt(30)))
        )
    found = as_distribution(st.skellam(10, 3)).log_prob(np.array([float(k)]))[0]
    assert found == pytest.approx(float(truth), rel=1e-14)


@pytest.mark.parametrize("k", [40.0, 1e3, 1e5, 9e5, 1e6, 1e12])
def test_yule_simon_where_scipys_beta_function_is_off(k):
    a = 1.2574891361121279
    with mp.workdps(60):
        whole = mp.loggamma(k) + mp.loggamma(mp.mpf(a) + 1) - mp.loggamma(mp.mpf(k) + mp.mpf(a) + 1)
        truth = float(mp.log(a) + whole)
    assert as_distribution(st.yulesimon(a)).log_prob(np.array([k]))[0] == pytest.approx(
        truth, rel=1e-15, abs=2e-14
    )


def test_masses_below_the_smallest_float_are_not_zero():
    assert math.isfinite(as_distribution(st.planck(2.0)).log_prob(np.array([5000.0]))[0])
    assert math.isfinite(as_distribution(st.logser(0.1)).log_prob(np.array([5000.0]))[0])
