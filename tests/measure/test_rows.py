"""What a row stands for: the same laws in every verb that has an error."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from kullback import (
    KullbackError,
    Mixture,
    Samples,
    cross_entropy,
    diff,
    fit,
    kl_divergence,
    plan,
    score,
)
from kullback.core.errors import InputError
from kullback.measure.samples.dependence import lasting, step_of
from kullback.measure.samples.means import mean_of
from kullback.tables.rows import Rows, account
from tests.tried import tried

N = 400
VERBS = ("kl_divergence", "other side", "cross_entropy", "fit", "gamma", "diff", "score")


@pytest.fixture(scope="module")
def model():
    return fit(np.random.default_rng(5).normal(size=(200, 2)), "full_rank", direction="forward")


def answer(verb, p, model):
    """The value of a verb and its error."""
    other = Samples(np.random.default_rng(9).normal(0.2, 1.0, size=(N, p.values.shape[1])))
    one = Samples(p.values[:, 0], **_account(p))
    if verb == "kl_divergence":
        found = kl_divergence(one, Samples(other.values[:, 0]))
    elif verb == "other side":
        found = kl_divergence(Samples(other.values[:, 0]), one)
    elif verb == "cross_entropy":
        found = cross_entropy(one, "normal(0, sd=1)")
    elif verb == "fit":
        found = fit(p, Mixture(1), direction="forward", key=1).divergence
    elif verb == "gamma":
        found = fit(
            Samples(np.exp(p.values[:, 0]), **_account(p)), "gamma", direction="forward"
        ).divergence
    elif verb == "diff":
        found = diff(p, other, joint=False)
        return [v for c in found.columns for v in (c.p_value, *c.forward.interval)]
    else:
        found = score(model, p).mean
    return [found.value, found.standard_error]


def _account(p):
    return {
        "weights": p.weights,
        "frequencies": p.frequencies,
        "cluster": p.cluster,
        "order": p.order,
    }


def _rows(seed=0, n=N):
    return np.random.default_rng(seed).normal(size=(n, 2))


@pytest.mark.parametrize("verb", VERBS)
def test_only_ratios_of_weights_matter(verb, model):
    x, rng = _rows(), np.random.default_rng(1)
    for w in (np.exp(rng.normal(size=N)), np.ceil(5 * np.exp(0.5 * rng.normal(size=N)))):
        one, other = (answer(verb, Samples(x, w * c), model) for c in (1.0, 12.7))
        assert one == pytest.approx(other, rel=1e-9, abs=1e-9)
    plain = answer(verb, Samples(x), model)
    assert answer(verb, Samples(x, np.full(N, 10.0)), model) == pytest.approx(plain, rel=1e-9)
    # Uneven weights are worth fewer rows.
    assert Samples(x, np.exp(rng.normal(size=N))).rows.counts.sum() < 0.7 * N


@pytest.mark.parametrize("verb", VERBS)
def test_frequencies_are_rows_written_out(verb, model):
    x, f = _rows(2), np.random.default_rng(3).integers(0, 4, N)
    once = answer(verb, Samples(x, frequencies=f), model)
    assert once == pytest.approx(answer(verb, Samples(np.repeat(x, f, axis=0)), model), rel=1e-9)


@pytest.mark.parametrize("verb", VERBS)
def test_the_order_of_independent_rows_means_nothing(verb, model):
    x, order = _rows(4), np.random.default_rng(5).permutation(N)
    w = np.exp(np.random.default_rng(6).normal(size=N))
    once = answer(verb, Samples(x, w), model)
    assert answer(verb, Samples(x[order], w[order]), model) == pytest.approx(once, rel=1e-6)
    by_size = np.argsort(x[:, 0])
    assert answer(verb, Samples(x[by_size], w[by_size]), model) == pytest.approx(once, rel=1e-6)


@pytest.mark.parametrize("verb", ["cross_entropy", "fit", "gamma", "score"])
@pytest.mark.parametrize("how", ["order", "cluster", "chains"])
def test_rows_that_depend_on_each_other_widen(verb, how, model):
    x = np.repeat(_rows(7, 100), 4, axis=0) + 1e-3 * _rows(8, 400)
    shuffled = np.random.default_rng(0).permutation(400)
    said = {
        "order": {"order": np.arange(400)},
        "cluster": {"cluster": np.repeat(np.arange(100), 4)},
        "chains": {"order": np.arange(400), "cluster": np.repeat([0, 1], 200)},
    }[how]
    said = {name: values[shuffled] for name, values in said.items()}
    value, alone = answer(verb, Samples(x[shuffled], order=False), model)
    same, error = answer(verb, Samples(x[shuffled], **said), model)
    assert same == pytest.approx(value, rel=1e-6)
    assert 1.5 * alone < error < 3.0 * alone


def test_chains_of_a_tree_are_known():
    base = pytest.importorskip("arviz_base")
    rng = np.random.default_rng(0)
    x = rng.normal(size=(4, 500))
    for i in range(1, 500):
        x[:, i] = 0.9 * x[:, i - 1] + np.sqrt(1 - 0.81) * x[:, i]
    p = Samples(base.from_dict({"posterior": {"mu": x}}))
    assert p.cluster.tolist() == np.repeat(np.arange(4), 500).tolist()
    found, alone = (
        cross_entropy(s, "normal(0, sd=1)") for s in (p, Samples(p.values, order=False))
    )
    assert found.value == pytest.approx(alone.value)
    assert found.standard_error > 2.0 * alone.standard_error
    assert "depend on each other as said" in found.notes[0]


def chain(rng, n, memory=0.9):
    x = rng.normal(size=n)
    for i in range(1, n):
        x[i] = memory * x[i - 1] + np.sqrt(1 - memory**2) * x[i]
    return x


@pytest.mark.parametrize("memory", [0.5, 0.9])
def test_what_lasts_is_seen_where_nothing_is_said(memory):
    misses = 0
    for seed in range(40):
        found = cross_entropy(
            Samples(chain(np.random.default_rng(seed), 1000, memory)), "normal(0, sd=1)"
        )
        misses += not found.interval[0] <= 0.5 * np.log(2 * np.pi * np.e) <= found.interval[1]
        assert memory < 0.9 or "say order=False" in found.notes[0]
    assert misses <= 7


def test_tables_that_were_sorted_or_put_together_are_no_chains():
    rng = np.random.default_rng(0)
    parts = np.concatenate([rng.normal(-3, 1, 500), rng.normal(3, 1, 500)])
    trend = rng.normal(size=2000) + np.linspace(-3, 3, 2000)
    by_group = np.sort(rng.integers(0, 5, 1000)).astype(float)
    for x in (
        np.sort(parts),
        parts,
        trend,
        by_group,
        by_group[::-1],
        np.repeat(rng.normal(size=200), 3),
    ):
        assert lasting([x], [False], Rows()) == (1.0, False)


@tried(200)
@given(st.integers(0, 2**31), st.integers(20, 2000))
def test_independent_rows_are_not_taken_for_a_chain(seed, n):
    x = np.random.default_rng(seed).standard_t(2, size=n)
    assert lasting([x], [False], Rows()) == (1.0, False)


def test_few_clusters_are_students():
    rng, misses = np.random.default_rng(1), 0
    for _ in range(300):
        x = np.repeat(rng.normal(size=5), 40) + 0.1 * rng.normal(size=200)
        found = mean_of(x, Rows(cluster=np.repeat(np.arange(5), 40)))
        misses += abs(found.value) > 1.96 * found.error
    assert misses <= 27


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (
            {"frequencies": [1, 2.5, 1]},
            "that of row 1 is 2.5: give weights of a survey as weights=",
        ),
        ({"frequencies": [0, 0, 0]}, "all 0"),
        ({"frequencies": [1, 2]}, "shape"),
        ({"weights": [1, -1, 1]}, "non-negative"),
        ({"cluster": [1, 2]}, "shape"),
        ({"order": [1, np.nan, 2]}, "NaN at row 1"),
    ],
)
def test_what_cannot_be_meant_is_refused(said, message):
    with pytest.raises(InputError, match=message):
        account(3, **said)


def test_columns_by_name():
    frame = pl.DataFrame(
        {"x": [1.0, 2.0, 4.0], "w": [1, 2, 1], "c": ["a", "a", "b"], "t": [3, 1, 2]}
    )
    p = Samples(frame, weights="w", cluster="c", order="t")
    assert p.columns == ("x",)
    assert (p.cluster.tolist(), p.order.tolist()) == ([0, 0, 1], [2, 0, 1])


def test_reverse_fits_refuse_rows_that_depend_on_each_other():
    p = Samples(_rows(), order=True)
    with pytest.raises(KullbackError, match="have no independent halves"):
        fit(p, "full_rank", direction="reverse")


# A missing value is no place where q has no mass: "infinite" is a proof.

_GAPS = np.where(np.arange(200) % 9, np.random.default_rng(3).poisson(5.0, 200) + 0.0, np.nan)


@pytest.mark.parametrize("q", ["normal(5, sd=2)", "poisson(5)", "student_t(df=3)"])
@pytest.mark.parametrize("verb", [kl_divergence, cross_entropy, plan])
def test_rows_with_gaps_are_refused_by_a_density_of_whole_rows(verb, q):
    with pytest.raises(InputError, match=r"column x0 has 23 missing value\(s\).*drop or fill"):
        verb(Samples(_GAPS, missing=True), q)


def test_draws_of_a_density_have_no_gaps_that_rows_could_lack():
    with pytest.raises(InputError, match="x0 has 23 missing"):
        kl_divergence("normal(5, sd=2)", Samples(_GAPS, missing=True))


@pytest.mark.parametrize("family", ["normal", "poisson", "full_rank"])
def test_missing_cells_are_not_outside_the_support_of_a_fit(family):
    whole = _GAPS[~np.isnan(_GAPS)]
    fitted, gaps = fit(whole, family, direction="forward"), Samples(_GAPS, missing=True)
    with pytest.raises(InputError, match=r"the row \[nan\] has missing cells .* missing='drop'"):
        score(fitted, gaps, missing=True)
    found = score(fitted, gaps, missing="drop")
    assert (found.outside, found.left_out, found.mean.n) == (0, 23, 177)


def test_heavy_tails_of_one_column_score_the_rows_that_they_were_fitted_to():
    gaps = Samples(np.random.default_rng(3).standard_t(4, 200) + 0.0 * _GAPS, missing=True)
    fitted = fit(gaps, Mixture(1, tails="student_t"), direction="forward")
    found = score(fitted, gaps, missing=True)
    assert (found.outside, found.mean.n) == (0, 200)
    assert found.mean.value == pytest.approx(-fitted.divergence.value, abs=1e-9)
    there = gaps.values[~np.isnan(gaps.values)]
    best = stats.t.logpdf(there, *stats.t.fit(there)).sum() / 200
    assert found.mean.value == pytest.approx(best, abs=1e-4)


def test_steps_of_values_that_float32_would_not_tell_apart():
    x = 1101.9 + 1e-8 * np.arange(9.0)
    assert step_of(x) == 0.0
    assert step_of(np.sort(np.concatenate([x, [1102.2]]))) == pytest.approx(0.3)
