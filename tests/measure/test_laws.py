"""Laws that hold whatever the numbers: style.md."""

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from kullback.api.measure import cross_entropy, divergence, entropy, kl_divergence
from tests.tried import tried


def floats(low, high):
    """Floats whose differences are 0 or large enough that their squares do not underflow."""
    return st.floats(low, high).map(lambda v: round(v, 9) + 0.0)


locs = floats(-50, 50)
scales = floats(0.01, 100)
shapes = floats(0.05, 50)
chances = floats(0.01, 0.99)
quick = tried(60)


def _pair(form, *values):
    """Two members of one family."""
    return st.tuples(*values, *values).map(
        lambda v: (form.format(*v[: len(values)]), form.format(*v[len(values) :]))
    )


PAIRS = st.one_of(
    _pair("normal({}, sd={})", locs, scales),
    _pair("laplace({}, scale={})", locs, scales),
    _pair("gumbel({}, scale={})", floats(-5, 5), floats(0.5, 5)),
    _pair("cauchy({}, scale={})", locs, scales),
    _pair("gamma({}, rate={})", shapes, scales),
    _pair("weibull({}, scale={})", floats(0.5, 5), floats(0.1, 10)),
    _pair("inverse_gamma({}, scale={})", shapes, scales),
    _pair("lognormal({}, sd={})", floats(-3, 3), floats(0.1, 3)),
    _pair("beta({}, {})", shapes, shapes),
    _pair("pareto(scale=1, shape={})", shapes),
    _pair("poisson({})", scales),
    _pair("geometric({}, start=0)", chances),
    _pair("negative_binomial(2.5, success={})", chances),
    _pair("binomial(12, {})", chances),
    _pair("vonmises({}, concentration={})", floats(-3, 3), floats(0.1, 50)),
    _pair("dirichlet([{}, {}, {}])", shapes, shapes, shapes),
    _pair("lindley({})", floats(0.05, 20)),
    _pair("logistic({}, scale={})", floats(-5, 5), floats(0.3, 3)),
)
#: Pairs without closed forms: the bound takes part.
MIXTURES = _pair(
    "0.3*normal({}, sd={}) + 0.7*normal({}, sd={})",
    floats(-5, 5), floats(0.2, 3), floats(-5, 5), floats(0.2, 3),
)  # fmt: skip


def value(estimate):
    assert estimate.kind in ("exact", "numeric"), estimate
    return estimate.value


def close(a, b, *estimates, relative=1e-9):
    slack = sum(e.standard_error for e in estimates)
    return abs(a - b) <= slack + relative * max(abs(a), abs(b)) + 1e-300


@quick
@given(PAIRS)
def test_kl_is_not_negative_and_zero_only_of_equals(pair):
    p, q = pair
    forward = kl_divergence(p, q)
    if forward.kind == "exact":
        assert forward.value > 0.0 or p == q
    else:
        assert forward.value >= -forward.standard_error
    assert kl_divergence(p, p).value == 0.0


@quick
@given(MIXTURES)
def test_kl_of_mixtures_is_not_negative_and_zero_of_equals(pair):
    p, q = pair
    forward, same = kl_divergence(p, q), kl_divergence(p, p)
    assert forward.value >= -forward.standard_error
    assert abs(same.value) <= same.standard_error + 1e-300


@quick
@given(st.one_of(PAIRS, MIXTURES))
def test_swapping_is_reverse(pair):
    p, q = pair
    swapped, reverse = kl_divergence(q, p), divergence(p, q, kind="reverse_kl")
    forward = divergence(p, q, kind="forward_kl")
    assume("unresolved" not in (swapped.kind, reverse.kind))
    assert close(swapped.value, reverse.value, swapped, reverse)
    assert close(kl_divergence(p, q).value, forward.value, forward, kl_divergence(p, q))


@quick
@given(PAIRS)
def test_jeffreys_is_the_sum(pair):
    p, q = pair
    if "dirichlet" in p:
        return
    parts = [kl_divergence(p, q), kl_divergence(q, p)]
    whole = divergence(p, q, kind="jeffreys")
    assume(all(e.kind in ("exact", "numeric") for e in (*parts, whole)))
    assert close(whole.value, parts[0].value + parts[1].value, whole, *parts)


@quick
@given(st.one_of(PAIRS, MIXTURES))
@pytest.mark.slow
def test_bounds_between_divergences(pair):
    p, q = pair
    if "dirichlet" in p:
        return
    kinds = ("total_variation", "jensen_shannon", "squared_hellinger")
    forward = kl_divergence(p, q)
    variation, shannon, hellinger = (divergence(p, q, kind=kind) for kind in kinds)
    assume(
        all(
            e.kind == "numeric" or e.kind == "exact"
            for e in (forward, variation, shannon, hellinger)
        )
    )
    slack = (
        2 * (forward.standard_error + variation.standard_error) + hellinger.standard_error + 1e-12
    )
    assert 2.0 * variation.value**2 <= forward.value + slack  # Pinsker
    assert -shannon.standard_error <= shannon.value <= math.log(2.0) + shannon.standard_error
    assert variation.value <= 1.0 + variation.standard_error
    # squared Hellinger in the convention 1 - BC: H^2 <= TV <= sqrt(2) H, and H^2 <= KL / 2
    assert hellinger.value <= variation.value + slack
    assert variation.value <= math.sqrt(2.0 * max(hellinger.value, 0.0)) + 1e-6 + slack
    assert hellinger.value <= 0.5 * forward.value + slack


@quick
@given(PAIRS)
def test_split_into_entropy_and_cross_entropy(pair):
    p, q = pair
    if "dirichlet" in p:
        return
    forward, cross, own = kl_divergence(p, q), cross_entropy(p, q), entropy(p)
    assume(all(e.kind in ("exact", "numeric") for e in (forward, cross, own)))
    size = abs(cross.value) + abs(own.value)
    bounds = sum(e.standard_error for e in (forward, cross, own))
    assert abs(forward.value - (cross.value - own.value)) <= bounds + 1e-13 * size


@quick
@given(st.one_of(PAIRS, MIXTURES))
def test_bits_are_nats_over_log_2(pair):
    estimate = kl_divergence(*pair)
    assert math.isclose(estimate.bits.value * math.log(2.0), estimate.value, rel_tol=1e-15)
    assert estimate.bits.nats.value == pytest.approx(estimate.value, rel=1e-15)
    assert estimate.bits.unit == "bits"


@quick
@given(locs, scales, locs, scales, floats(-10, 10), floats(0.1, 10))
def test_affine_maps_change_nothing(m, s, n, t, shift, factor):
    from scipy import stats

    for family in (stats.norm, stats.laplace, stats.cauchy):
        before = kl_divergence(family(m, s), family(n, t))
        after = kl_divergence(
            family(shift + factor * m, factor * s), family(shift + factor * n, factor * t)
        )
        assert math.isclose(before.value, after.value, rel_tol=1e-8, abs_tol=1e-12)


@quick
@given(MIXTURES, floats(-10, 10), floats(0.1, 10))
def test_affine_maps_change_nothing_for_mixtures(pair, shift, factor):
    import re

    def moved(text):
        return re.sub(
            r"normal\(([^,]+), sd=([^)]+)\)",
            lambda m: f"normal({shift + factor * float(m[1])!r}, sd={factor * float(m[2])!r})",
            text,
        )

    before = kl_divergence(*pair)
    after = kl_divergence(moved(pair[0]), moved(pair[1]))
    assert close(before.value, after.value, before, after, relative=1e-8)


@quick
@given(floats(-3, 3), floats(0.1, 3), floats(-3, 3), floats(0.1, 3))
def test_exp_and_reciprocal_change_nothing(m, s, n, t):
    normals = kl_divergence(f"normal({m}, sd={s})", f"normal({n}, sd={t})").value
    assert math.isclose(
        normals,
        kl_divergence(f"lognormal({m}, sd={s})", f"lognormal({n}, sd={t})").value,
        rel_tol=1e-12,
    )
    gammas = kl_divergence(f"gamma({s}, rate={t})", f"gamma({t}, rate={s})").value
    inverse = kl_divergence(
        f"inverse_gamma({s}, scale={t})", f"inverse_gamma({t}, scale={s})"
    ).value
    assert math.isclose(gammas, inverse, rel_tol=1e-12)


@quick
@given(PAIRS, PAIRS)
def test_independent_blocks_add_up(first, second):
    if any("dirichlet" in text for text in (*first, *second)):
        return
    parts = [kl_divergence(*first), kl_divergence(*second)]
    whole = kl_divergence(f"product({first[0]}, {second[0]})", f"product({first[1]}, {second[1]})")
    assume(all(e.kind in ("exact", "numeric") for e in parts))
    assert close(whole.value, parts[0].value + parts[1].value, whole, *parts)


@quick
@given(st.lists(floats(0.001, 1), min_size=2, max_size=8), st.data())
def test_vectors_of_probabilities(weights, data):
    other = data.draw(st.lists(floats(0.001, 1), min_size=len(weights), max_size=len(weights)))
    p, q = (np.array(v) / np.sum(v) for v in (weights, other))
    estimate = kl_divergence(p, q)
    p, q = p / math.fsum(p), q / math.fsum(q)
    truth = math.fsum(a * math.log(a / b) for a, b in zip(p, q, strict=True))
    assert estimate.value >= 0.0
    assert estimate.value == pytest.approx(truth, rel=1e-10, abs=1e-15)
    # Grouping outcomes cannot add information.
    if len(p) > 2:
        grouped = kl_divergence(np.append(p[:-2], p[-2:].sum()), np.append(q[:-2], q[-2:].sum()))
        assert grouped.value <= estimate.value * (1 + 1e-12) + 1e-16
