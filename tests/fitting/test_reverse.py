import math

import numpy as np
import pytest

from kullback.api.fit import fit as fit_fit
from kullback.api.store import load, save
from kullback.core.errors import DensityError, InputError, UnsupportedError
from kullback.families import LowRank, MeanField
from kullback.results.serialise import to_json
from tests.posteriors import banana, funnel, gaussian, modes, rotated, student, target


def fit(p, family, **options):
    return fit_fit(p, family, direction="reverse", **options)


def true_reverse_kl(found, p, log_evidence=0.0, n=100_000):
    """KL(q||p) on draws of our own, and its standard error."""
    x = found.sample(n, key=12345)
    ratio = found.log_prob(x) - p.evaluate(x)[0]
    return float(ratio.mean()) + log_evidence, float(ratio.std()) / math.sqrt(n)


@pytest.mark.parametrize("d", [1, 2, 10, pytest.param(60, marks=pytest.mark.slow)])
def test_a_gaussian_is_fitted_exactly(d):
    covariance = rotated(d, 1e4, seed=d)
    p = gaussian(np.linspace(-3.0, 3.0, d), covariance, log_evidence=5.0)
    found = fit(p, "full_rank")
    base = found.q.base
    np.testing.assert_allclose(base.loc, np.linspace(-3.0, 3.0, d), atol=1e-6)
    np.testing.assert_allclose(base.covariance, covariance, rtol=1e-5, atol=1e-9)
    assert found.reverse_kl.value < 1e-5
    assert found.elbo.value == pytest.approx(5.0, abs=1e-6)
    assert found.log_evidence.value == pytest.approx(5.0, abs=1e-4)
    assert found.diagnosis.verdict == "trust"


def test_mean_field_of_a_correlated_gaussian_has_its_closed_form():
    covariance = rotated(6, 30.0)
    precision = np.linalg.inv(covariance)
    found = fit(gaussian(np.ones(6), covariance), "mean_field")
    base = found.q.base
    np.testing.assert_allclose(base.loc, 1.0, atol=1e-6)
    np.testing.assert_allclose(np.diag(base.covariance), 1.0 / np.diag(precision), rtol=1e-6)
    truth = 0.5 * (np.log(np.diag(precision)).sum() + np.linalg.slogdet(covariance)[1])
    assert abs(found.reverse_kl.value - truth) < 4.0 * found.reverse_kl.standard_error
    # Linear response is exact for a Gaussian.
    shrunk = [q.expected_shrinkage for q in found.posterior.parameters]
    expected = 1.0 / np.sqrt(np.diag(precision) * np.diag(covariance))
    np.testing.assert_allclose(shrunk, expected, rtol=1e-6)
    for parameter, true in zip(found.posterior.parameters, expected, strict=True):
        assert abs(parameter.shrinkage.value - true) < 5.0 * parameter.shrinkage.standard_error


def test_conjugate_normal_mean_where_the_most_used_tool_is_9_to_15_percent_off():
    y = np.random.default_rng(0).normal(1.0, 1.0, 10)

    def evaluate(u):
        value = -0.5 * u[:, 0] ** 2 - 0.5 * np.sum((y - u) ** 2, axis=1)
        return value, -u + np.sum(y - u, axis=1, keepdims=True)

    found = fit(target(evaluate, 1), "mean_field")
    parameter = found.posterior.parameters[0]
    assert parameter.sd == pytest.approx(math.sqrt(1.0 / 11.0), rel=1e-4)
    assert parameter.mean == pytest.approx(y.sum() / 11.0, rel=1e-6)


def test_pymc_issue_6271():
    # Five unit-variance observations of mean 8 and a wide prior: exactly N(8.000, .447^2).
    y = np.array([6.5, 7.5, 8.0, 8.5, 9.5])
    precision = 5.0 + 1e-6

    def evaluate(u):
        return -0.5 * 1e-6 * u[:, 0] ** 2 - 0.5 * np.sum((y - u) ** 2, axis=1), (
            -1e-6 * u + np.sum(y - u, axis=1, keepdims=True)
        )

    found = fit(target(evaluate, 1, [0.0]), "mean_field")
    parameter = found.posterior.parameters[0]
    assert parameter.mean == pytest.approx(40.0 / precision, rel=1e-8)
    assert parameter.sd == pytest.approx(precision**-0.5, rel=1e-6)
    assert found.diagnosis.verdict == "trust"


@pytest.mark.slow
def test_pymc_issue_2162():
    x = np.array([1.17, 2.97, 3.26, 4.69, 5.83, 6.0, 6.41])
    y = np.array([78.93, 58.2, 67.47, 37.47, 45.65, 32.92, 29.97])

    def evaluate(u):
        a, b, log_s = u.T
        s2 = np.exp(2.0 * log_s)
        left = y - a[:, None] - b[:, None] * x
        squares = np.sum(left**2, axis=1)
        value = -0.5 * (a**2 + b**2) / 1e4 - 7.0 * log_s - 0.5 * squares / s2
        value += log_s - np.log1p(s2 / 25.0)
        by_a = -a / 1e4 + left.sum(axis=1) / s2
        by_b = -b / 1e4 + left @ x / s2
        by_s = -6.0 + squares / s2 - 2.0 * s2 / 25.0 / (1.0 + s2 / 25.0)
        return value, np.column_stack([by_a, by_b, by_s])

    # The exact posterior mean of the slope, by quadrature over log s of a Gaussian in (a, b).
    logs = np.linspace(0.0, 5.0, 2001)
    design = np.column_stack([np.ones(7), x])
    weights, means = [], []
    for log_s in logs:
        precision = design.T @ design / np.exp(2 * log_s) + np.eye(2) / 1e4
        center = np.linalg.solve(precision, design.T @ y / np.exp(2 * log_s))
        top = evaluate(np.array([[*center, log_s]]))[0][0]
        weights.append(top - 0.5 * np.linalg.slogdet(precision)[1])
        means.append(center[1])
    weights = np.exp(np.array(weights) - max(weights))
    exact = float(weights @ means / weights.sum())
    assert exact == pytest.approx(-8.885, abs=0.01)

    names = ("intercept", "slope", "log_sigma")
    found = fit(target(evaluate, 3, [0.0, 0.0, 0.0], names=names), "full_rank")
    slope = found.posterior.parameters[1]
    assert abs(slope.mean - exact) < 0.1 * slope.sd
    assert abs(slope.mean - exact) < 0.15


@pytest.mark.parametrize(
    "family",
    [
        "mean_field",
        pytest.param("mixture:2", marks=pytest.mark.slow),
        pytest.param("full_rank", marks=pytest.mark.slow),
        pytest.param("low_rank:1", marks=pytest.mark.slow),
    ],
)
def test_the_reported_kl_is_the_true_one_within_its_error(family):
    p = student(3, 30.0)
    found = fit(p, family)
    truth, error = true_reverse_kl(found, p)
    scale = math.hypot(error, found.reverse_kl.standard_error)
    assert abs(found.reverse_kl.value - truth) < 4.0 * scale
    assert found.elbo.value < 4.0 * found.elbo.standard_error


def test_low_rank_lies_between_mean_field_and_full_rank():
    factor = np.zeros((12, 1))
    factor[:, 0] = 1.0
    covariance = np.diag(np.linspace(0.5, 2.0, 12)) + factor @ factor.T
    p = gaussian(np.zeros(12), covariance)
    found = fit(p, LowRank(1))
    # The family holds the target.
    assert found.reverse_kl.value < 0.01
    np.testing.assert_allclose(found.q.base.covariance, covariance, atol=0.05)


@pytest.mark.parametrize(
    ("p", "families"),
    [
        (modes([-2.0, 0.0, 2.0], [0.3, 0.4, 0.3], 0.3), ["full_rank", "mixture:2"]),
        pytest.param(
            modes([-3.0, 0.0, 3.0], [0.3, 0.4, 0.3], 0.3),
            ["full_rank", "mixture:2"],
            marks=pytest.mark.slow,
        ),
        pytest.param(
            modes([-6.0, 0.0, 6.0], [0.3, 0.4, 0.3], 0.3),
            ["full_rank", "mixture:2"],
            marks=pytest.mark.slow,
        ),
        (modes([-20.0, 20.0], [0.3, 0.7], 1.0), ["mean_field", "full_rank"]),
        pytest.param(funnel(), ["mean_field", "full_rank"], marks=pytest.mark.slow),
        pytest.param(banana(), ["full_rank"], marks=pytest.mark.slow),
        pytest.param(student(5, 3.0), ["full_rank"], marks=pytest.mark.slow),
        pytest.param(student(1, 1.0), ["full_rank"], marks=pytest.mark.slow),
    ],
)
def test_what_misses_mass_or_is_far_off_is_never_trusted(p, families):
    for family in families:
        found = fit(p, family)
        assert found.diagnosis.verdict != "trust", (family, str(found.diagnosis))
        assert found.diagnosis.decided_by.remedy or found.diagnosis.decided_by.text


def test_the_ladder_climbs_to_the_family_that_is_needed():
    found = fit(modes([-6.0, 0.0, 6.0], [0.3, 0.4, 0.3], 0.3), "auto")
    assert found.diagnosis.verdict == "trust"
    assert len(found.q.base.weights) == 3
    np.testing.assert_allclose(found.q.base.weights, [0.3, 0.4, 0.3], atol=1e-3)
    rungs = found.posterior.ladder
    assert [r.verdict for r in rungs] == ["do not use", "trust"]
    assert rungs[1].elbo.value - rungs[0].elbo.value == pytest.approx(-math.log(0.4), abs=0.01)


def test_the_evidence_holds_where_q_misses_modes():
    found = fit(modes([-20.0, 20.0], [0.3, 0.7], 1.0), "full_rank")
    assert abs(found.log_evidence.value) < 4.0 * found.log_evidence.standard_error
    assert abs(found.posterior.outside.value - 0.3) < 4.0 * found.posterior.outside.standard_error


def test_cauchy_tails_have_an_infinite_forward_kl():
    found = fit(student(1, 1.0), "full_rank")
    assert found.forward_kl.kind == "infinite"
    assert "no variance" in found.forward_kl.notes[0]
    assert found.diagnosis.verdict == "do not use"


@pytest.mark.slow
def test_same_key_same_bits_another_key_other_draws():
    p = banana()
    one, two, other = (fit(p, "full_rank", key=k) for k in (1, 1, 2))
    assert one.elbo == two.elbo
    assert one.evaluations == two.evaluations
    assert one.elbo != other.elbo
    gap = abs(one.elbo.value - other.elbo.value)
    assert gap < 5.0 * math.hypot(one.elbo.standard_error, other.elbo.standard_error) + 0.02


@pytest.mark.parametrize(
    ("rows", "time", "words"), [(64, 6, "during the fit"), (256, 9, "during the report")]
)
def test_ctrl_c_returns_the_best_so_far(rows, time, words):
    calls = []

    def evaluate(u):
        calls.append(len(u))
        if len(u) == rows and calls.count(rows) == time:
            raise KeyboardInterrupt
        return student(5, 3.0).evaluate(u)

    found = fit(target(evaluate, 5), "full_rank")
    assert found.interrupted
    assert words in found.notes[0]
    assert -1.0 < found.elbo.value < 0.0
    if words == "during the report":
        assert found.posterior.routes[1].kind == "unresolved"
        assert found.diagnosis.verdict != "trust"


def test_ctrl_c_in_the_first_report_of_auto_keeps_that_fit():
    calls = []

    def evaluate(u):
        calls.append(len(u))
        if len(u) == 512 and calls.count(512) == 3:  # the probe's third step
            raise KeyboardInterrupt
        return student(5, 3.0).evaluate(u)

    found = fit(target(evaluate, 5), "auto")
    assert found.interrupted
    assert "during the report" in found.notes[0]
    assert [rung.family for rung in found.posterior.ladder] == [MeanField()]
    assert -1.0 < found.elbo.value < 0.0


@pytest.mark.slow
def test_a_killed_run_goes_on_with_the_same_bits(tmp_path):
    p, path = banana(), tmp_path / "kept"
    whole = fit(p, "auto")

    class Killed(Exception):
        pass

    def die_at(words):
        def watch(said):
            if words in said:
                raise Killed

        return watch

    for words in ("tempering", "probing", "ELBO"):
        with pytest.raises(Killed):
            fit(p, "auto", checkpoint=path, progress=die_at(words))
    again = fit(p, "auto", checkpoint=path)
    assert again.elbo == whole.elbo
    assert again.log_evidence == whole.log_evidence
    assert again.evaluations == whole.evaluations
    np.testing.assert_array_equal(again.q.base.means, whole.q.base.means)
    with pytest.raises(InputError, match="another density, family or key"):
        fit(student(2, 30.0), "auto", checkpoint=path)


def test_a_fit_is_saved_and_loaded(tmp_path):
    found = fit(banana(), "mixture:2")
    save(found, tmp_path / "fit")
    again = load(tmp_path / "fit")
    x = found.sample(10)
    np.testing.assert_array_equal(again.log_prob(x), found.log_prob(x))
    assert to_json(again.posterior) == to_json(found.posterior)
    assert again.diagnosis.verdict == found.diagnosis.verdict


@pytest.mark.slow
def test_a_damaged_file_is_refused_whatever_byte_is_wrong(tmp_path):
    path = tmp_path / "fit"
    save(fit(banana(), "full_rank"), path)
    data, rng = path.read_bytes(), np.random.default_rng(0)
    for _ in range(200):
        flipped = bytearray(data)
        flipped[rng.integers(len(data))] ^= 1 << rng.integers(8)
        path.write_bytes(bytes(flipped))
        try:
            load(path)
        except InputError:
            continue
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match="damaged"):
        load(path)
    with pytest.raises(InputError, match="no such file"):
        load(tmp_path / "none")


def test_draws_and_what_samplers_start_from():
    found = fit(gaussian(np.zeros(2), rotated(2, 4.0)), "full_rank")
    draws = found.draws
    assert draws.plain["x"].shape == (len(draws.log_p), 2)
    assert draws.weights.sum() == pytest.approx(1.0)
    assert draws.refreshed["x"].shape[1] == 2
    starts = found.starting_points(4)
    assert len(starts) == 4
    assert starts[0]["x"].shape == (2,)
    np.testing.assert_allclose(found.inverse_metric, rotated(2, 4.0), rtol=1e-5)
    assert any("Waste-free" in source for source in found.citations())


def test_an_arviz_tree():
    pytest.importorskip("arviz_base")
    tree = fit(gaussian(np.zeros(2), rotated(2, 4.0)), "full_rank").to_datatree()
    assert tree["posterior"]["x"].dims[:2] == ("chain", "draw")
    assert {"lp", "log_q", "weight"} <= set(tree["sample_stats"].data_vars)


def test_fits_of_samples_have_no_evidence():
    found = fit_fit(np.random.default_rng(0).normal(size=100), "gaussian", direction="forward")
    with pytest.raises(
        UnsupportedError, match="elbo rests on draws towards p, and this fit has none .*LogDensity"
    ):
        _ = found.elbo


@pytest.mark.parametrize(
    ("evaluate", "d", "words"),
    [
        (lambda u: (np.where(u[:, 0] > 0.5, np.nan, -0.5 * u[:, 0] ** 2), -u), 1, "NaN"),
        (lambda u: (np.where(u[:, 0] > 0.0, -u[:, 0], -np.inf), -np.ones_like(u)), 1, 'support="positive"'),
        (lambda u: (np.where(u[:, 0] < 2.0, u[:, 0], -np.inf), np.ones_like(u)), 1, r"mass for x\[0\] > 2"),
        (lambda u: (-0.5 * np.sum(u**2, axis=1), u * np.nan), 2, "gradient"),
        (lambda u: (np.zeros(len(u)), np.zeros_like(u)), 2, "does not fall"),
        (
            lambda u: (-0.5 * (u[:, 0] - u[:, 1]) ** 2, (u[:, :1] - u[:, 1:]) * np.array([[-1.0, 1.0]])),
            2,
            "does not fall along",
        ),
        (lambda u: (-1e15 - 0.5 * np.sum(u**2, axis=1), -u), 2, "subtract the constant"),
        (lambda u: (np.full(len(u), np.nan), u), 2, "NaN"),
        (lambda u: (np.full(len(u), -np.inf), u), 2, "-inf"),
    ],
)  # fmt: skip
def test_broken_densities_have_their_own_message(evaluate, d, words):
    def quiet(u):
        with np.errstate(all="ignore"):
            return evaluate(u)

    with pytest.raises(DensityError, match=words):
        fit(target(quiet, d), "full_rank")


def test_a_narrow_density_far_away_is_fitted():
    found = fit(gaussian([1e6], [[1e-6]], start=[0.0]), "full_rank")
    parameter = found.posterior.parameters[0]
    assert parameter.mean == pytest.approx(1e6, abs=1e-6)
    assert parameter.sd == pytest.approx(1e-3, rel=1e-4)
    assert found.diagnosis.verdict == "trust"
