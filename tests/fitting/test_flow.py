"""Flows: closed forms, bits, files, and what is said where they cannot be."""

import math
import sys

import pytest

pytest.importorskip("jax")
pytest.importorskip("flowjax")

import jax.numpy as jnp
import numpy as np

from kullback.api.fit import fit
from kullback.api.store import load, save
from kullback.core.errors import InputError, MissingDependencyError, UnsupportedError
from kullback.distributions.flow import CouplingFlow, size
from kullback.distributions.vector import MultivariateNormal
from kullback.families import Flow, FullRank
from kullback.fitting.components import Components
from kullback.fitting.flow import flow_from
from kullback.measure.density import check
from kullback.results.status import Status
from kullback.targets import LogDensity, Samples

#: Of x_1 given x_0, about x_0^2 / 2; the log of what the density below integrates to.
SD = 0.5
LOG_EVIDENCE = 1.25


def _banana(x):
    normal = -0.5 * (x[0] ** 2 + ((x[1] - 0.5 * x[0] ** 2) / SD) ** 2)
    return normal - math.log(2.0 * math.pi * SD) + LOG_EVIDENCE


def _log_banana(x):
    return np.array([float(v) for v in _banana(x.T)]) - LOG_EVIDENCE


def _draws(n):
    rng = np.random.default_rng(2)
    first = rng.standard_normal(n)
    return np.column_stack([first, 0.5 * first**2 + SD * rng.standard_normal(n)])


BANANA = LogDensity(_banana, np.zeros(2))


@pytest.fixture(scope="module")
def banana():
    return fit(BANANA, Flow(), direction="reverse")


def _flow(d=3, spread=0.1, seed=0):
    """A flow that nobody fitted, from a mixture of two."""
    rng = np.random.default_rng(seed)
    means = rng.normal(size=(2, d))
    q = Components(np.array([0.3, 0.7]), means, np.array([np.eye(d), 0.5 * np.eye(d)]))
    start = flow_from(q, rng)
    moved = start.parameters + spread * rng.standard_normal(len(start.parameters))
    return q, start, CouplingFlow(
        start.loc, start.scale_tril, start.base, start.orders, start.width, moved
    )  # fmt: skip


class TestTheDensity:
    @pytest.mark.parametrize("d", [3, pytest.param(6, marks=pytest.mark.slow)])
    def test_it_begins_as_its_base(self, d):
        q, start, _ = _flow(d)
        x = np.random.default_rng(1).normal(size=(50, d))
        assert start.log_prob(x) == pytest.approx(q.log_prob(x), abs=1e-12)

    def test_it_is_normalised_and_its_draws_are_of_it(self):
        assert check(_flow()[2]).problems == ()

    def test_the_log_determinant_is_that_of_differences(self):
        _, _, q = _flow(3, spread=0.3)
        z = np.array([[0.3, -0.5, 1.1]])
        step = 1e-5
        ends = [q.pushed(z + s * step * np.eye(3))[0] for s in (1.0, -1.0)]
        slope = (ends[0] - ends[1]) / (2.0 * step)
        assert q.pushed(z)[1][0] == pytest.approx(np.linalg.slogdet(slope)[1], abs=1e-7)
        there, log_det = q.pushed(z)
        again, back = q.pushed(there, back=True)
        assert again == pytest.approx(z, abs=1e-10)
        assert back == pytest.approx(-log_det, abs=1e-10)

    def test_parameters_that_do_not_fit_are_refused(self):
        _, start, _ = _flow(3)
        parts = start.loc, start.scale_tril, start.base
        with pytest.raises(InputError, match=f"not {size(6, 3, 48)}"):
            CouplingFlow(*parts, start.orders, start.width, np.zeros(3))
        with pytest.raises(InputError, match="orders"):
            CouplingFlow(*parts, np.zeros((6, 3), int), start.width, start.parameters)


@pytest.mark.slow
class TestReverse:
    def test_a_banana_is_met(self, banana):
        """Independent of the report: p is normalised here, so that both KLs are means of known functions."""
        x = banana.sample(4000, key=5)
        lost = banana.log_prob(x) - _log_banana(x)
        error = float(lost.std()) / math.sqrt(len(x))
        assert float(lost.mean()) < 0.01 + 3.0 * error
        both = math.hypot(error, banana.reverse_kl.standard_error)
        assert abs(banana.reverse_kl.value - float(lost.mean())) < 4.0 * both
        y = _draws(4000)
        missed = _log_banana(y) - banana.log_prob(y)
        error = float(missed.std()) / math.sqrt(len(y))
        assert float(missed.mean()) < 0.03 + 3.0 * error
        assert abs(banana.log_evidence.value - LOG_EVIDENCE) < (
            4.0 * banana.log_evidence.standard_error
        )
        assert banana.diagnosis.verdict == "trust"

    def test_what_each_step_gained_is_told(self, banana):
        assert [rung.family for rung in banana.posterior.ladder] == [FullRank(), Flow()]
        first, last = (rung.elbo for rung in banana.posterior.ladder)
        assert last.value > first.value + 0.1
        assert any("the flow gained" in note for note in banana.notes)
        assert banana.family == Flow()

    def test_saved_and_read_has_the_same_bits(self, banana, tmp_path):
        save(banana, tmp_path / "fit")
        again = load(tmp_path / "fit")
        x = banana.sample(50)
        assert np.array_equal(again.log_prob(x), banana.log_prob(x))
        assert np.array_equal(again.sample(50), x)
        assert (tmp_path / "fit").stat().st_size < 400_000

    @pytest.mark.slow
    def test_nothing_is_gained_over_a_gaussian_that_is_p(self):
        """What comes out is the Gaussian, to the bit, and that is said."""
        root = np.array([[1.0, 0.0], [0.5, 0.2]])
        precision = np.linalg.inv(root @ root.T)
        p = LogDensity(lambda x: -0.5 * (x - 1.0) @ precision @ (x - 1.0), np.zeros(2))
        plain = fit(p, FullRank(), direction="reverse", report=False)
        found = fit(p, Flow(), direction="reverse", report=False)
        assert isinstance(found.q, MultivariateNormal)
        assert np.array_equal(found.q.scale_tril, plain.q.scale_tril)
        assert found.elbo.value == plain.elbo.value
        assert any("a flow gained no more than its error" in note for note in found.notes)

    @pytest.mark.slow
    def test_the_same_key_has_the_same_bits_also_after_a_kill(self, banana, tmp_path):
        kept = tmp_path / "kept"
        first = fit(BANANA, "flow", direction="reverse", checkpoint=kept)
        resumed = fit(BANANA, "flow", direction="reverse", checkpoint=kept)
        for other in (first, resumed):
            assert np.array_equal(other.q.parameters, banana.q.parameters)
            assert other.reverse_kl == banana.reverse_kl
        assert resumed.evaluations == banana.evaluations

    def test_the_inverse_metric_is_the_covariance_of_draws(self, banana):
        metric = banana.inverse_metric
        x = banana.sample(40_000, key=7)
        moved = x - x.mean(axis=0)
        for i, j in ((0, 0), (0, 1), (1, 1)):
            products = moved[:, i] * moved[:, j]
            # Those of the metric are of fewer draws.
            error = float(products.std()) * math.sqrt(1.0 / 40_000 + 1.0 / 2**14)
            assert abs(metric[i, j] - float(products.mean())) < 4.0 * error
        # Of the banana itself: x_1 varies by that of x_0^2 / 2 and its own.
        assert metric == pytest.approx(np.diag([1.0, 0.5 + SD**2]), abs=0.1)
        assert np.array_equal(metric, banana.inverse_metric)


def _interrupted_at(words, p, direction, **more):
    """A fit during which Ctrl-C comes as soon as these words are told; and what was told after it."""
    told = []

    def progress(what):
        told.append(str(what))
        if words in told[-1] and told.count(told[-1]) == 1:
            raise KeyboardInterrupt

    found = fit(p, Flow(), direction=direction, progress=progress, **more)
    assert found.interrupted
    assert found.status is Status.INTERRUPTED
    assert any("interrupted" in note for note in found.notes)
    return found, told[next(i for i, t in enumerate(told) if words in t) + 1 :]


class TestInterruption:
    def test_before_the_first_phase_ended_the_base_is_kept(self):
        plain = fit(BANANA, FullRank(), direction="reverse", report=False)
        found, after = _interrupted_at("flow: phase 1", BANANA, "reverse", report=False)
        assert np.array_equal(found.q.scale_tril, plain.q.scale_tril)
        assert found.elbo.value == plain.elbo.value
        assert not any("phase" in t for t in after)

    @pytest.mark.slow
    def test_later_the_flow_so_far_is_kept(self):
        found, after = _interrupted_at("flow: phase 2", BANANA, "reverse")
        assert isinstance(found.q, CouplingFlow)
        assert found.notes[0].startswith("interrupted during the fit")
        first, last = (rung.elbo for rung in found.posterior.ladder)
        assert last.value > first.value
        assert not any("phase" in t for t in after)

    @pytest.mark.slow
    @pytest.mark.parametrize("words", ["flow: phase 1", "likeliest flow: phase 1"])
    def test_forward(self, words):
        """In the second, the reverse flow is there, under which draws are likelier than under the base."""
        found, after = _interrupted_at(words, BANANA, "forward", report=False)
        assert isinstance(found.q, CouplingFlow) == (words == "likeliest flow: phase 1")
        assert found.notes[1].startswith("interrupted during the fit")
        assert not any("phase" in t for t in after)

    @pytest.mark.slow
    def test_of_rows(self):
        found, after = _interrupted_at("flow from 0: phase 1", Samples(_draws(600)), "forward")
        assert not isinstance(found.q, CouplingFlow)
        assert np.isfinite(found.log_prob(_draws(9))).all()
        assert not any("phase" in t for t in after)


class TestForward:
    @pytest.mark.slow
    def test_of_a_log_density_a_banana_is_met(self):
        found = fit(BANANA, Flow(), direction="forward")
        y = _draws(20_000)
        missed = _log_banana(y) - found.log_prob(y)
        error = float(missed.std()) / math.sqrt(len(y))
        assert float(missed.mean()) < 0.01 + 3.0 * error
        both = math.hypot(error, found.forward_kl.standard_error)
        assert abs(found.forward_kl.value - float(missed.mean())) < 4.0 * both
        assert found.divergence is found.forward_kl

    @pytest.mark.slow
    def test_two_modes_are_both_covered(self):
        p = LogDensity(
            lambda x: jnp.logaddexp(-0.5 * jnp.sum((x + 4.0) ** 2), -0.5 * jnp.sum((x - 4.0) ** 2)),
            np.zeros(2),
        )
        for direction in ("forward", "reverse"):
            found = fit(p, Flow(), direction=direction)
            assert found.forward_kl.value < 0.01
            share = float((found.sample(4000)[:, 0] > 0.0).mean())
            assert abs(share - 0.5) < 4.0 * 0.5 / math.sqrt(4000)

    @pytest.mark.slow
    def test_of_rows_it_is_far_better_than_a_gaussian(self, tmp_path):
        """A curve and a funnel, which no few Gaussians are."""
        rng = np.random.default_rng(0)
        z = rng.standard_normal((6000, 4))
        z[:, 1] = 0.5 * z[:, 0] ** 2 + 0.4 * z[:, 1]
        z[:, 3] *= np.exp(0.7 * z[:, 2])
        plain = fit(Samples(z[:5000]), FullRank(), direction="forward")
        found = fit(Samples(z[:5000]), "flow", direction="forward")
        gain = found.log_prob(z[5000:]) - plain.log_prob(z[5000:])
        assert float(gain.mean()) > 0.5
        seen = found.held_out
        told = abs(float(found.log_prob(z[5000:]).mean()) - seen.value)
        assert told < 4.0 * math.hypot(
            seen.standard_error, float(found.log_prob(z[5000:]).std()) / 1000**0.5
        )
        save(found, tmp_path / "fit")
        assert np.array_equal(load(tmp_path / "fit").log_prob(z[:9]), found.log_prob(z[:9]))

    @pytest.mark.slow
    def test_rows_of_a_gaussian_stay_one_and_that_is_said(self):
        rows = np.random.default_rng(1).normal(size=(400, 2))
        found = fit(Samples(rows), Flow(), direction="forward")
        assert isinstance(found.q, MultivariateNormal)
        assert "a flow gained no more than its error" in found.notes[0]
        assert found.q.loc == pytest.approx(rows.mean(axis=0))

    def test_few_rows_and_categories_are_refused(self):
        with pytest.raises(InputError, match='needs 200, but there are 50: choose "full_rank"'):
            fit(Samples(np.random.default_rng(0).normal(size=(50, 2))), Flow(), direction="forward")
        codes = Samples(
            np.column_stack([np.arange(400.0), np.arange(400) % 3]), kinds={"x1": "category"}
        )
        with pytest.raises(InputError, match="x1 holds categories"):
            fit(codes, Flow(), direction="forward")


class TestAuto:
    @pytest.mark.slow
    def test_it_goes_to_a_flow_where_a_mixture_is_not_trusted(self):
        """Eight schools, non-centred: full rank is .22 nats off and a mixture .09."""
        effects = np.array([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0])
        errors = np.array([15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0])

        def log_p(u):
            spread = jnp.exp(u[1])
            prior = -0.5 * (u[0] / 5.0) ** 2 - 0.5 * jnp.sum(u[2:] ** 2)
            prior += u[1] - jnp.log1p((spread / 5.0) ** 2)
            return prior - 0.5 * jnp.sum(((effects - u[0] - spread * u[2:]) / errors) ** 2)

        found = fit(LogDensity(log_p, np.zeros(10)), "auto", direction="reverse")
        verdicts = [rung.verdict for rung in found.posterior.ladder]
        assert found.family == Flow()
        assert verdicts[-1] == "trust"
        assert "trust" not in verdicts[:-1]
        assert found.reverse_kl.value < 0.02


class TestRefusals:
    def test_a_number_has_nothing_to_couple(self):
        with pytest.raises(UnsupportedError, match="Flow.* cannot be fitted to a log density"):
            fit(LogDensity(lambda x: -0.5 * x**2, 0.0), Flow(), direction="reverse")

    def test_a_function_of_numpy_cannot_be_traced(self):
        p = LogDensity(
            lambda x: -0.5 * float(np.sum(np.asarray(x) ** 2)), np.zeros(2), gradient=lambda x: -x
        )
        with pytest.raises(UnsupportedError, match='family="mixture:auto"'):
            fit(p, Flow(), direction="reverse")

    def test_a_missing_package_is_named_with_what_to_type(self, banana, tmp_path, monkeypatch):
        save(banana, tmp_path / "fit")
        for name in [m for m in sys.modules if m.partition(".")[0] == "flowjax"]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.setitem(sys.modules, "flowjax", None)
        with pytest.raises(MissingDependencyError, match=r"pip install 'kullback\[flow\]'"):
            fit(BANANA, Flow(), direction="reverse")
