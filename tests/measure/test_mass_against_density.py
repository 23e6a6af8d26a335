"""A mass function and a density share no mass: every divergence is what it is for disjoint supports."""

import math

import pytest

from kullback.api.explain import explain
from kullback.api.measure import cross_entropy, divergence

PAIRS = [("poisson(3)", "normal(0, sd=1)"), ("gamma(2, rate=1)", "binomial(10, 0.5)")]
VALUES = {
    "forward_kl": math.inf,
    "reverse_kl": math.inf,
    "jeffreys": math.inf,
    "pearson_chi2": math.inf,
    "neyman_chi2": math.inf,
    "jensen_shannon": math.log(2),
    "jensen_shannon_sum": 2 * math.log(2),
    "jensen_shannon_distance": math.sqrt(math.log(2)),
    "squared_hellinger": 1.0,
    "total_variation": 1.0,
}


@pytest.mark.parametrize(("p", "q"), [*PAIRS, *[pair[::-1] for pair in PAIRS]])
def test_every_divergence(p, q):
    for kind, value in VALUES.items():
        found = divergence(p, q, kind=kind)
        assert found.value == pytest.approx(value, rel=1e-15), kind
        assert found.kind == ("exact" if math.isfinite(value) else "infinite")
    assert divergence(p, q, kind="alpha", alpha=0.5).value == pytest.approx(4.0)
    assert divergence(p, q, kind="renyi", alpha=0.5).kind == "infinite"
    assert cross_entropy(p, q).kind == "infinite"


@pytest.mark.parametrize(("p", "q"), [*PAIRS, *[pair[::-1] for pair in PAIRS]])
def test_no_region_adds_a_finite_part(p, q):
    parts = explain(p, q)
    assert parts.total.kind == "infinite"
    shares = {(r.mass_p, r.mass_q): r.contribution.value for r in parts.regions}
    assert shares == {(1.0, 0.0): math.inf, (0.0, 1.0): 0.0}


def test_outcomes_that_q_lacks_are_infinite_and_not_inf_plus_minus_inf():
    parts = explain("poisson(3)", "binomial(10, 0.5)")
    kinds = {r.contribution.kind for r in parts.regions if r.low > 10}
    assert kinds == {"infinite"}
