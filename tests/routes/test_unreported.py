"""Many small fits: what report=False leaves out is said to be left out, and data= compiles once."""

import pytest

pytest.importorskip("jax")

import gc
import json
import time

import jax.numpy as jnp
import numpy as np

from kullback.api.fit import fit
from kullback.api.store import load, save
from kullback.core.errors import DensityError, InputError, UnsupportedError
from kullback.inputs.target import read
from kullback.interop import functions
from kullback.results.fit import NOT_ASKED
from kullback.results.status import Status
from kullback.targets import LogDensity, Subsample
from kullback.views.fit import fit_document

EFFECTS = np.array([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0])
SDS = np.array([15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0])
EXAMPLE = {"mu": 0.0, "tau": 1.0, "z": np.zeros(8)}


def eight_schools(s, y):
    mean = s["mu"] + s["tau"] * s["z"]
    prior = -0.5 * (s["mu"] / 5) ** 2 - jnp.log1p((s["tau"] / 5) ** 2) - 0.5 * jnp.sum(s["z"] ** 2)
    return prior - 0.5 * jnp.sum(((y - mean) / SDS) ** 2)


def of(y):
    return LogDensity(eight_schools, EXAMPLE, support={"tau": "positive"}, data=y)


@pytest.fixture(scope="module")
def alone():
    return fit(of(EFFECTS), "full_rank", direction="reverse", report=False)


class TestWithoutReport:
    def test_it_is_the_fit_that_a_report_judges(self):
        """The same bits, where the report does not find something better."""
        p = LogDensity(lambda x: -jnp.logaddexp(x[0], -x[0]) - 0.5 * (x[1] - x[0]) ** 2, np.ones(2))
        alone, whole = (fit(p, "full_rank", direction="reverse", report=r) for r in (False, True))
        assert alone.elbo == whole.elbo
        assert alone.sample(3, key=1).tolist() == whole.sample(3, key=1).tolist()

    def test_what_was_not_asked_for_is_said(self, alone, tmp_path):
        assert alone.unreported
        assert alone.divergence is alone.elbo
        assert alone.elbo.kind == "lower_bound"
        assert alone.forward_kl is alone.reverse_kl is alone.posterior is None
        assert alone.status is Status.DONE
        assert str(alone).splitlines()[1] == NOT_ASKED
        for name in ("log_evidence", "jeffreys", "diagnosis", "draws"):
            with pytest.raises(
                UnsupportedError, match=rf"fit.{name} was not asked for.*report=False"
            ):
                getattr(alone, name)
        document = fit_document(alone)
        values = json.loads(json.dumps(document.values()))
        assert values["posterior"] is values["reverse_kl"] is None
        assert NOT_ASKED in values["notes"]
        assert "not asked for" in alone.report(tmp_path / "fit.html").read_text("utf-8")
        save(alone, tmp_path / "fit.kb")
        again = load(tmp_path / "fit.kb")
        assert str(again) == str(alone)
        assert again.log_prob(again.sample(2)).tolist() == alone.log_prob(alone.sample(2)).tolist()

    @pytest.mark.parametrize(
        ("family", "direction"), [("mean_field", "reverse"), ("low_rank:1", "forward")]
    )
    def test_the_elbo_is_that_of_q(self, family, direction):
        """On a density of known evidence: ELBO = log evidence - KL(q||p)."""
        root = np.array([[1.0, 0.0], [0.6, 0.8]])
        inverse = np.linalg.inv(root @ root.T)
        p = LogDensity(lambda x: -0.5 * x @ inverse @ x + 3.0, np.zeros(2))
        found = fit(p, family, direction=direction, report=False)
        evidence = 3.0 + np.log(2 * np.pi) + np.log(0.8)
        kl = -0.5 * np.log(1 - 0.6**2) if family == "mean_field" else 0.0
        error = found.elbo.standard_error + 0.002  # of the fit itself, which is 2nd order
        assert abs(found.elbo.value - (evidence - kl)) < 4.0 * error

    def test_it_is_refused_where_it_would_not_be_used(self):
        with pytest.raises(InputError, match="report=False: Auto"):
            fit(of(EFFECTS), "auto", direction="reverse", report=False)
        with pytest.raises(InputError, match="report=False.*leave report out"):
            fit(np.arange(9.0), "full_rank", direction="forward", report=False)

    def test_a_density_that_is_none_is_refused_all_the_same(self):
        p = LogDensity(lambda x: jnp.where(x[0] > 0.5, jnp.nan, -0.5 * jnp.sum(x**2)), np.zeros(2))
        with pytest.raises(DensityError, match="NaN"):
            fit(p, "full_rank", direction="reverse", report=False)


class TestData:
    def test_many_data_sets_cost_one_compilation(self, alone):
        kept = functions._COMPILED[eight_schools]
        before, rng, cpu = len(kept), np.random.default_rng(0), time.process_time()
        found = [
            fit(of(EFFECTS + rng.normal(size=8)), "full_rank", direction="reverse", report=False)
            for _ in range(5)
        ]
        assert (time.process_time() - cpu) / 5 < 0.45  # .15 alone, on a machine that others use
        assert len(kept) == before
        assert len({f.elbo.value for f in found}) == 5

    def test_the_same_as_a_closure(self):
        closed = LogDensity(
            lambda s: eight_schools(s, EFFECTS), EXAMPLE, support={"tau": "positive"}
        )
        u = np.random.default_rng(0).normal(size=(7, 10))
        for a, b in zip(
            *(read(p).unconstrained.evaluate(u) for p in (closed, of(EFFECTS))), strict=True
        ):
            np.testing.assert_allclose(a, b, rtol=1e-12)

    def test_other_structures_are_other_programs(self):
        def fn(x, data):
            return -0.5 * jnp.sum((x - jnp.mean(data["y"][: data["n"]])) ** 2)

        for example in (np.zeros(2), np.zeros(3)):
            for n in (1, 2):
                p = LogDensity(fn, example, data={"y": np.array([1.0, 3.0]), "n": n})
                value = read(p).unconstrained.evaluate(example[None])[0][0]
                assert value == -0.5 * len(example) * float(n) ** 2
        positive = LogDensity(
            fn, np.ones(2), data={"y": np.array([1.0, 3.0]), "n": 1}, support="positive"
        )
        assert read(positive).unconstrained.evaluate(np.zeros((1, 2)))[0][0] == 0.0

    def test_data_changed_afterwards_change_nothing(self):
        y = np.zeros(8)
        target = read(of(y)).unconstrained
        before = target.evaluate(np.zeros((1, 10)))[0]
        y += 1.0
        assert (target.evaluate(np.zeros((1, 10)))[0] == before).all()

    def test_what_was_compiled_goes_with_its_function(self):
        def fn(x, y):
            return -0.5 * jnp.sum((x - y) ** 2)

        read(LogDensity(fn, np.zeros(2), data=1.0)).unconstrained.evaluate(np.zeros((1, 2)))
        gc.collect()  # functions of other tests
        before = len(functions._COMPILED)
        del fn
        gc.collect()
        assert len(functions._COMPILED) == before - 1

    def test_a_numpy_function_and_its_gradient_take_data(self):
        p = LogDensity(
            lambda x, y: -0.5 * float(np.sum((x - y) ** 2)), np.zeros(2),
            gradient=lambda x, y: y - x, data=np.array([1.0, 2.0]),
        )  # fmt: skip
        value, slope = read(p).unconstrained.evaluate(np.zeros((1, 2)))
        assert (value.tolist(), slope.tolist()) == ([-2.5], [[1.0, 2.0]])

    def test_subsampled_rows_have_data_beside_them(self):
        rows = Subsample(lambda x, row: -0.5 * jnp.sum((row - x) ** 2), np.ones((4, 2)), 2)
        p = LogDensity(
            lambda x, scale: -0.5 * jnp.sum((x / scale) ** 2), np.zeros(2), subsample=rows, data=2.0
        )
        value = read(p).unconstrained.evaluate(np.full((1, 2), 2.0))[0][0]
        assert value == -0.5 * 2.0 - 0.5 * 8.0

    def test_data_are_arrays(self):
        p = LogDensity(lambda x, y: -0.5 * jnp.sum(x**2), np.zeros(2), data={"a": object()})
        with pytest.raises(InputError, match="data has object in it: give arrays"):
            _ = read(p).unconstrained
