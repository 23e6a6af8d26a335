"""Infinite and bounds are proofs: ends by arithmetic, masses left out, underflow, kinks, heavy sums, verdicts on tails."""

import math

import numpy as np
import pytest
import scipy.stats as st
from mpmath import mp

import kullback as kb
from kullback.inputs.given import distribution
from kullback.measure.quadrature import kinks
from kullback.solvers.quadrature import add_up


def holds(estimate, truth, slack=1e-15):
    assert estimate.kind in ("exact", "numeric")
    assert abs(estimate.value - truth) <= estimate.standard_error + slack * max(abs(truth), 1e-300)


@pytest.mark.parametrize("seed", range(12))
def test_ends_by_arithmetic_are_ends(seed):
    rng = np.random.default_rng(seed)
    loc, scale = rng.uniform(0.1, 0.9), rng.uniform(0.05, 0.5)
    p = st.truncnorm((0 - loc) / scale, (1 - loc) / scale, loc, scale)
    x, w = np.polynomial.legendre.leggauss(400)
    x = 0.5 + 0.5 * x
    with mp.workdps(20):
        truth = 0.5 * float(w @ (p.pdf(x) * (p.logpdf(x) - np.log(6 * x * (1 - x)))))
    holds(kb.kl_divergence(p, st.beta(2, 2)), truth, 1e-4)


@pytest.mark.parametrize(
    ("p", "q"),
    [
        (st.uniform(0.1, 0.2), "uniform(0.1, 0.3)"),
        (st.uniform(2.7, 0.3), st.uniform(2.7, 0.1 * 3)),
        (st.expon(0.1 * 3 - 0.3), st.expon()),
        (st.expon(), st.expon(0.1 * 3 - 0.3)),
    ],
)
def test_one_law_in_two_spellings(p, q):
    estimate = kb.kl_divergence(p, q)
    assert estimate.kind in ("exact", "numeric")
    assert abs(estimate.value) < 1e-14


@pytest.mark.parametrize(
    ("p", "q"),
    [
        ("uniform(0, 1)", "uniform(1e-9, 1)"),
        ("beta(0.01, 1)", "uniform(1e-16, 1)"),
        ("exponential(rate=1)", "pareto(scale=1e-20, shape=1)"),
        ("normal(0, sd=1)", "truncated(normal(0, sd=1), -10, 10)"),
    ],
)
def test_mass_that_is_no_rounding_makes_it_infinite(p, q):
    estimate = kb.kl_divergence(p, q)
    assert estimate.kind == "infinite"
    assert "mass" in estimate.reason


@pytest.mark.parametrize(("cut", "truth"), [(6.2, 5.646316e-10), (7.0, 2.559625e-12)])
def test_mass_of_q_outside_p_is_part_of_the_answer(cut, truth):
    estimate = kb.kl_divergence(f"truncated(normal(0, sd=1), -{cut}, {cut})", "normal(0, sd=1)")
    holds(estimate, truth, 1e-6)
    assert estimate.standard_error < 1e-6 * truth


def test_mass_of_q_outside_p_on_the_integers():
    p = [math.comb(8, i) / 2**8 for i in range(9)]
    q = [math.comb(9, i) * 0.1**i * 0.9 ** (9 - i) for i in range(9)]
    truth = sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))
    holds(kb.kl_divergence(st.binom(8, 0.5), st.binom(9, 0.1)), truth)


def test_a_mass_that_underflows_outside_is_a_mass():
    assert kb.kl_divergence(st.logser(0.1247), st.zipfian(2.15, 390)).kind == "infinite"


def test_masses_that_scipy_lets_underflow():
    planck = math.log(0.4 / -math.expm1(-2.0)) + 1.5 * math.log(0.6) + 5
    holds(kb.kl_divergence(st.geom(0.4), st.planck(2.0)), planck)
    n = np.arange(1, 3000)
    log_p, log_q = (
        (n - 1) * np.log(0.7) + np.log(0.3),
        n * np.log(0.7) - np.log(n) - np.log(-np.log1p(-0.7)),
    )
    holds(
        kb.kl_divergence(st.geom(0.3), st.logser(0.7)), math.fsum(np.exp(log_p) * (log_p - log_q))
    )


def test_the_crossing_of_two_densities_is_a_cut():
    p, q = (
        st.norm(-0.9076010584831238, 0.6043565273284912),
        st.laplace(1.0174791812896729, 0.5119174122810364),
    )
    holds(kb.divergence(p, q, kind="total_variation"), 0.869046332035118, 1e-13)


def test_kinks_of_foreign_densities_are_found():
    np.testing.assert_allclose(kinks(distribution(st.triang(0.35), "q")), [0.35], rtol=1e-8)
    assert len(kinks(distribution(st.norminvgauss(1.0, 0.3), "q"))) == 0
    p = st.gumbel_r(-0.6912940075569611, 0.9476575879358253)
    q = st.laplace_asymmetric(0.769193113199148, scale=0.4260910408912064)
    holds(kb.kl_divergence(p, q), 0.7686562403262056, 2e-15)


@pytest.mark.parametrize("power", [1.1, 1.5, 2.0, 3.0])
def test_heavy_sums_are_summed_by_blocks_that_double(power):
    total = add_up(
        lambda k: np.stack([k**-power, k**-power * np.log(k)], axis=1), 1.0, 1.0, math.inf
    )
    truth = [float(mp.zeta(power)), -float(mp.zeta(power, 1, 1))]
    assert np.abs(total.value - truth) == pytest.approx(0.0, abs=1e-12)
    assert total.terms < 200_000


@pytest.mark.parametrize("scale", [1.1, 1.5, 1.9])
def test_a_sum_that_diverges_far_out_is_infinite(scale):
    assert kb.kl_divergence(st.zipf(scale), st.dlaplace(0.6)).kind == "infinite"


def test_zipf_against_zipf():
    truth = 1.5 * (-mp.zeta(1.5, 1, 1) / mp.zeta(1.5)) + mp.log(mp.zeta(3) / mp.zeta(1.5))
    holds(kb.kl_divergence(st.zipf(1.5), st.zipf(3.0)), float(truth), 1e-13)


def test_a_heavy_count_where_scipys_beta_function_is_off():
    a, p = 1.2574891361121279, 0.6510631628474443
    holds(kb.kl_divergence(st.yulesimon(a), st.geom(p)), 2.79858829514358602699928196328)


def banana(x):
    return -0.5 * x[..., 0] ** 2 - 0.5 * (x[..., 1] - x[..., 0] ** 2) ** 2 - np.log(2 * np.pi)


def banana_draws(rng, n):
    z = rng.normal(size=(n, 2))
    return np.column_stack([z[:, 0], z[:, 1] + z[:, 0] ** 2])


def test_the_verdict_on_a_tail_does_not_hang_on_the_key():
    p, q = (
        kb.Known(banana, banana_draws, np.zeros(2)),
        st.multivariate_normal([0, 1], [[1.5, 0], [0, 4]]),
    )
    found = [kb.kl_divergence(p, q, key=key, n=8192) for key in range(6)]
    assert {e.kind for e in found} == {"estimate"}
    assert max(abs(e.value - 0.60421307) / e.standard_error for e in found) < 4.5


def test_a_tail_without_variance_is_unresolved_for_every_key():
    t = st.multivariate_t(np.zeros(2), np.eye(2), df=2.5)
    p = kb.Known(t.logpdf, lambda rng, n: t.rvs(n, random_state=rng), np.zeros(2))
    kinds = {
        kb.kl_divergence(p, st.multivariate_normal(np.zeros(2)), key=k, n=4096).kind
        for k in range(4)
    }
    assert kinds == {"unresolved"}


@pytest.mark.parametrize(("df", "finite"), [(1.0, False), (2.0, False), (2.5, True), (30.0, True)])
def test_a_t_against_a_gaussian(df, finite):
    p, q = st.multivariate_t([0.0], [[2.0]], df), st.multivariate_normal([1.0], [[0.7]])
    there, line = kb.kl_divergence(p, q), st.t(df, 0, math.sqrt(2.0))
    assert (there.kind == "infinite") != finite
    if finite:
        assert there.value == pytest.approx(
            kb.kl_divergence(line, "normal(1, var=0.7)").value, rel=1e-10
        )
    back = kb.kl_divergence(q, p)
    holds(back, kb.kl_divergence("normal(1, var=0.7)", line).value, 1e-12)


def test_maps_of_matrices_are_left_out():
    found = kb.kl_divergence(st.invwishart(7, np.eye(3)), st.invwishart(5.5, np.eye(3)))
    assert found.value == pytest.approx(0.38370481969862, abs=1e-12)


def test_a_tolerance_that_is_not_reached_is_said():
    found = kb.kl_divergence(
        "normal(0, sd=1)", "student_t(3)", method="monte carlo", tolerance=1e-300
    )
    assert any("tolerance not reached" in note for note in found.notes)


def test_a_density_that_changes_its_argument_cannot():
    def log_prob(x):
        x -= 1.0
        return -0.5 * x**2 - 0.5 * np.log(2 * np.pi)

    p = kb.Known(log_prob, lambda rng, n: rng.normal(1, 1, n))
    holds(kb.kl_divergence(p, "normal(0, sd=2)"), math.log(2) + 0.25 - 0.5, 1e-12)
