"""Calibration by simulation: exact draws alarm in 5 % of keys, biased ones are found with the right sign."""

import json
import multiprocessing
from concurrent.futures import ProcessPoolExecutor

import pytest

pytest.importorskip("jax")

import jax.numpy as jnp
import numpy as np
from scipy import stats

from kullback.api.calibrate import calibrate
from kullback.api.fit import fit
from kullback.api.store import load, save
from kullback.core.errors import DensityError, InputError, UnsupportedError
from kullback.results.status import Status
from kullback.targets import LogDensity, Samples
from kullback.views.calibration import calibration_document

ROWS = 4


def prior_draws(rng):
    mean = rng.normal(size=2)
    return {"m": mean}, mean + rng.normal(size=(ROWS, 2))


def log_posterior(s, y):
    return -0.5 * jnp.sum(s["m"] ** 2) - 0.5 * jnp.sum((y - s["m"]) ** 2)


def make_target(y):
    return LogDensity(log_posterior, {"m": np.zeros(2)}, data=y)


def sampler(shift=0.0, scale=1.0, n=100):
    """Draws of the posterior, which is known, moved by `shift` and stretched by `scale` of its sds."""

    def draw(y, rng):
        mean, sd = y.sum(axis=0) / (ROWS + 1), 1.0 / np.sqrt(ROWS + 1)
        return {"m": mean + sd * (np.array([shift, 0.0]) + scale * rng.normal(size=(n, 2)))}

    return draw


def of_two(mean, y):
    return -0.5 * jnp.sum(mean**2) - 0.5 * ((y - jnp.sum(mean)) / 0.5) ** 2


def two_of_a_sum(rng):
    mean = rng.normal(size=2)
    return mean, rng.normal(mean.sum(), 0.5)


def target_of_a_sum(y):
    return LogDensity(of_two, np.zeros(2), data=y)


class TestSampler:
    @pytest.mark.slow
    def test_exact_draws_alarm_in_five_per_cent_of_keys(self):
        alarms = [
            calibrate(make_target, prior_draws, 40, sampler=sampler(), key=key).verdict
            for key in range(60)
        ]
        assert alarms.count("miscalibrated") <= stats.binom.isf(1e-3, len(alarms), 0.05)

    @pytest.mark.slow
    def test_exact_draws_alarm_in_five_per_cent_of_many_keys(self):
        alarms = [
            calibrate(make_target, prior_draws, 60, sampler=sampler(n=50), key=key).verdict
            for key in range(400)
        ]
        assert alarms.count("miscalibrated") <= stats.binom.isf(1e-3, len(alarms), 0.05)

    @pytest.mark.parametrize(("shift", "finding"), [(0.8, "too high"), (-0.8, "too low")])
    def test_a_biased_one_is_found_with_its_sign(self, shift, finding):
        found = calibrate(make_target, prior_draws, 100, sampler=sampler(shift=shift))
        assert found.status is Status.UNTRUSTED
        assert found.quantity("m[0]").findings == (finding,)
        assert found.quantity("m[1]").findings == ()
        e = found.quantity("m[0]").mean_shift
        assert abs(e.value + shift) < 4.0 * e.standard_error

    def test_one_that_knows_no_data_is_found_by_the_log_density(self):
        """Its ranks are uniform for every parameter (Modrák et al. 2023)."""

        def prior(y, rng):
            return {"m": rng.normal(size=(200, 2))}

        found = calibrate(make_target, prior_draws, 100, sampler=prior)
        assert [q.name for q in found.miscalibrated] == ["log density of p"]
        assert found.quantity("log density of p").findings[-1] == "too low"

    def test_chains_are_thinned_to_what_they_are_worth(self):
        """An autoregression whose law is the posterior: unthinned, its ranks are not uniform."""

        def chains(y, rng):
            z, rho = rng.normal(size=(4, 400, 2)), 0.9
            for t in range(1, 400):
                z[:, t] = rho * z[:, t - 1] + np.sqrt(1 - rho**2) * z[:, t]
            return {"m": y.sum(axis=0) / (ROWS + 1) + z / np.sqrt(ROWS + 1)}

        found = calibrate(make_target, prior_draws, 120, sampler=chains)
        assert found.verdict == "no miscalibration found"
        assert 30 < found.draws < 160  # of 1,600, worth 84

    def test_draws_in_other_forms(self):
        """Samples, arrays of chains and fits."""

        def rows(y, rng):
            return Samples(sampler()(y, rng)["m"], order=False)

        def stacked(y, rng):
            return sampler(n=120)(y, rng)["m"].reshape(4, 30, 2)

        def fitted(y, rng):
            key = int(rng.integers(2**32))
            return fit(make_target(y), "full_rank", direction="reverse", report=False, key=key)

        for form in (rows, stacked, fitted):
            found = calibrate(make_target, prior_draws, 20, sampler=form)
            assert found.simulations == 20
            assert found.status is Status.DONE


class TestFits:
    @pytest.mark.slow
    def test_mean_field_of_a_correlated_posterior_is_too_narrow(self):
        found = calibrate(target_of_a_sum, two_of_a_sum, 60, family="mean_field")
        assert found.quantity("x[0]").findings == found.quantity("x[1]").findings == ("too narrow",)
        # The reverse optimum: 1 / sqrt of a diagonal entry of the precision, over the sd.
        precision = np.eye(2) + 4.0
        ratio = np.sqrt(1.0 / precision[0, 0] / np.linalg.inv(precision)[0, 0])
        for name in ("x[0]", "x[1]"):
            e = found.quantity(name).sd_ratio
            assert abs(e.value - ratio) < 4.0 * e.standard_error

    @pytest.mark.slow
    def test_full_rank_of_it_is_fine(self):
        found = calibrate(target_of_a_sum, two_of_a_sum, 60, family="full_rank")
        assert found.verdict == "no miscalibration found"
        assert str(found).startswith(
            "reverse fits of full_rank, 60 data sets: no miscalibration found"
        )

    def test_same_key_same_bits(self):
        runs = [
            calibrate(target_of_a_sum, two_of_a_sum, 20, family="full_rank", key=7)
            for _ in range(2)
        ]
        assert (runs[0].ranks == runs[1].ranks).all()
        other = calibrate(target_of_a_sum, two_of_a_sum, 20, family="full_rank", key=8)
        assert (runs[0].ranks != other.ranks).any()

    @pytest.mark.slow
    def test_quantities_of_the_user(self):
        found = calibrate(
            target_of_a_sum, two_of_a_sum, 60, family="mean_field",
            quantities={"sum": lambda x, y: x.sum(axis=1)},
        )  # fmt: skip
        assert found.quantity("sum").findings == ("too wide",)


@pytest.fixture(scope="module")
def found():
    return calibrate(make_target, prior_draws, 60, sampler=sampler(scale=0.5))


class TestWhatIsSaid:
    def test_document(self, found, tmp_path):
        values = json.loads(json.dumps(calibration_document(found).values()))
        assert values["verdict"] == "miscalibrated"
        assert values["status"] == "untrusted"
        assert values["quantities"][0]["finding"] == "too narrow"
        assert len(values["ranks"]) == 60
        page = found.report(tmp_path / "page.html").read_text("utf-8")
        assert "Distribution of ranks, less the diagonal" in page
        assert "too narrow" in page
        assert "miscalibrated" in found._repr_html_()
        frame = found.to_frame()
        assert frame["name"].to_list() == ["m[0]", "m[1]", "log density of p"]

    def test_file(self, found, tmp_path):
        save(found, tmp_path / "c.kb")
        again = load(tmp_path / "c.kb")
        assert str(again) == str(found)
        assert (again.ranks == found.ranks).all()

    def test_interrupted(self):
        """What there is stays, and is said to be a part."""
        seen = []

        def stopped(y, rng):
            seen.append(y)
            if len(seen) == 31:
                raise KeyboardInterrupt
            return sampler()(y, rng)

        found = calibrate(make_target, prior_draws, 200, sampler=stopped)
        assert (found.simulations, found.asked, found.interrupted) == (30, 200, True)
        assert found.status is Status.INTERRUPTED
        assert found.notes[0] == "interrupted: 30 of 200 data sets"
        whole = calibrate(make_target, prior_draws, 40, sampler=sampler())
        assert (found.ranks == whole.ranks[:30]).all()
        with pytest.raises(KeyboardInterrupt):
            calibrate(make_target, prior_draws, 200, sampler=lambda y, rng: exec("raise KeyboardInterrupt"))  # fmt: skip

    @pytest.mark.parametrize(
        "after", [200, *(pytest.param(n, marks=pytest.mark.slow) for n in (1, 1500))]
    )
    def test_a_stopped_fit_is_not_one(self, after):
        """The function is interrupted somewhere in a fit, which then may return the best that it has."""
        calls = {}

        def slope(x, y):
            calls[float(y[0])] = calls.get(float(y[0]), 0) + 1
            if len(calls) == 4 and calls[float(y[0])] == after:
                raise KeyboardInterrupt
            return y - 2.0 * x

        def make(y):
            return LogDensity(
                lambda x, y: float(-0.5 * np.sum(x**2) - 0.5 * np.sum((y - x) ** 2)), np.zeros(1), gradient=slope,
                data=y,
            )  # fmt: skip

        def draws(rng):
            mean = rng.normal(size=1)
            return mean, mean + rng.normal(size=1)

        found = calibrate(make, draws, 60, family="full_rank")
        assert found.interrupted
        assert found.simulations == 3
        assert len(calls) == 4

    def test_data_sets_without_a_fit_are_counted(self):
        def some(y, rng):
            if y[0, 0] > 1.5:
                raise DensityError("no luck")
            return sampler()(y, rng)

        found = calibrate(make_target, prior_draws, 60, sampler=some)
        assert found.failed > 0
        assert found.simulations + found.failed == 60
        assert "could not be fitted: no luck" in found.notes[0]

        def none(y, rng):
            raise DensityError("never")

        with pytest.raises(DensityError, match="never"):
            calibrate(make_target, prior_draws, 60, sampler=none)

    def test_a_coordinate_of_one_value_is_left_out(self):
        def corner(s, y):
            return -0.5 * jnp.sum((s["m"] - y) ** 2)

        found = calibrate(
            lambda y: LogDensity(corner, {"m": np.zeros(2)}, data=y),
            lambda rng: ({"m": np.zeros(2)}, rng.normal(size=2)), 20,
            sampler=lambda y, rng: {"m": np.column_stack([rng.normal(size=50), np.zeros(50)])},
        )  # fmt: skip
        assert [q.name for q in found.quantities] == ["m[0]", "log density of p"]
        assert "m[1]: one value" in found.notes[0]


class TestRefused:
    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({}, "say what is calibrated"),
            ({"family": "full_rank", "sampler": sampler()}, "say what is calibrated"),
            ({"sampler": sampler(), "direction": "forward"}, "a sampler has none"),
            ({"n": 3, "family": "full_rank"}, "at least 20 data sets"),
            (
                {"sampler": sampler(), "quantities": {"a": lambda s, y: 1.0}},
                r"returned shape \(\) for",
            ),
            (
                {"sampler": sampler(), "quantities": {"m[0]": lambda s, y: s["m"][:, 0]}},
                "name of a parameter",
            ),
        ],
    )
    def test_options(self, options, message):
        with pytest.raises(InputError, match=message):
            calibrate(make_target, prior_draws, **{"n": 20, **options})

    @pytest.mark.parametrize(
        ("draws", "message"),
        [
            (lambda rng: rng.normal(), "must return"),
            (lambda rng: ({}, np.zeros((ROWS, 2))), "there is no value of m"),
            (lambda rng: ({"m": np.zeros(3)}, np.zeros((ROWS, 2))), r"m has shape \(3,\)"),
            (lambda rng: ({"m": np.full(2, np.nan)}, np.zeros((ROWS, 2))), "m is not finite"),
            (lambda rng: (np.zeros(3), np.zeros((ROWS, 2))), "there are 3 numbers"),
        ],
    )
    def test_prior_draws(self, draws, message):
        with pytest.raises(InputError, match=message):
            calibrate(make_target, draws, 20, sampler=sampler())

    def test_targets(self):
        with pytest.raises(UnsupportedError, match="must return a log density"):
            calibrate(lambda y: Samples(y), prior_draws, 20, sampler=sampler())
        with pytest.raises(InputError, match="there are no draws of m"):
            calibrate(make_target, prior_draws, 20, sampler=lambda y, rng: {"a": np.zeros((50, 2))})


class TestCheckpoint:
    def test_a_stopped_run_goes_on_with_the_same_bits(self, tmp_path):
        stopped = [0]

        def stopping(data, rng):
            stopped[0] += 1
            if stopped[0] == 13:
                raise KeyboardInterrupt
            return sampler()(data, rng)

        place = tmp_path / "kept"
        first = calibrate(make_target, prior_draws, 30, sampler=stopping, checkpoint=place)
        assert first.interrupted
        assert first.simulations == 12
        made: list[int] = []

        def counting(data, rng):
            made.append(1)
            return sampler()(data, rng)

        second = calibrate(make_target, prior_draws, 30, sampler=counting, checkpoint=place)
        assert len(made) == 18
        whole = calibrate(make_target, prior_draws, 30, sampler=sampler())
        np.testing.assert_array_equal(second.ranks, whole.ranks)
        with pytest.raises(InputError, match="another density, family or key"):
            calibrate(make_target, prior_draws, 30, sampler=sampler(), checkpoint=place, key=5)

    def test_what_could_not_be_fitted_is_kept_too(self, tmp_path):
        def sometimes(data, rng):
            if rng.random() < 0.3:
                raise DensityError("a test of faults")
            return sampler()(data, rng)

        place = tmp_path / "kept"
        first = calibrate(make_target, prior_draws, 30, sampler=sometimes, checkpoint=place)
        again = calibrate(make_target, prior_draws, 30, sampler=sometimes, checkpoint=place)
        assert first.failed == again.failed > 0
        np.testing.assert_array_equal(first.ranks, again.ranks)


class TestOnWorkers:
    @pytest.mark.slow
    def test_the_ranks_are_those_of_one_process(self):
        spawn = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(1, mp_context=spawn) as executor:
            how = {"family": "mean_field", "key": 3}
            there = calibrate(target_of_a_sum, two_of_a_sum, 23, executor=executor, **how)
            here = calibrate(target_of_a_sum, two_of_a_sum, 23, **how)
            np.testing.assert_array_equal(there.ranks, here.ranks)
            assert str(there) == str(here)
            with pytest.raises(InputError, match="cannot be sent to another process"):
                calibrate(make_target, prior_draws, 20, sampler=sampler(), executor=executor)
            with pytest.raises(InputError, match="a test of faults"):
                calibrate(_faulty, two_of_a_sum, 20, family="mean_field", executor=executor)


def _faulty(y):
    raise InputError("a test of faults")
