"""Draws and densities of anyone against log densities whose evidence and KLs are known."""

import json
import math

import numpy as np
import pytest
from scipy import stats

from kullback.api.density import check_density
from kullback.api.fit import fit
from kullback.api.judge import judge
from kullback.api.measure import kl_divergence
from kullback.api.store import load, save
from kullback.core.errors import DensityError, InputError, UnsupportedError
from kullback.inputs.draws import read_draws
from kullback.inputs.target import read
from kullback.results.status import Status
from kullback.targets import Known, LogDensity, Samples
from kullback.views.documents import document_of

TWO = "0.5*normal(-5, sd=1) + 0.5*normal(5, sd=1)"


def chains(rng, shape, memory):
    """Standard normals, each chain an AR(1): its integrated autocorrelation time is (1 + m) / (1 - m)."""
    z = rng.normal(size=shape)
    x = z.copy()
    for i in range(1, shape[1]):
        x[:, i] = memory * x[:, i - 1] + math.sqrt(1.0 - memory**2) * z[:, i]
    return x


def gaussian(d, level=2.0):
    """A correlated normal as an unnormalised log density of NumPy, its log evidence, and its root."""
    rng = np.random.default_rng(d)
    a = rng.normal(size=(d, d))
    root = np.linalg.cholesky(a @ a.T + np.eye(d))
    inverse = np.linalg.inv(root @ root.T)
    p = LogDensity(
        lambda x: level - 0.5 * np.einsum("...i,ij,...j->...", x, inverse, x), np.zeros(d),
        gradient=lambda x: -inverse @ x,
    )  # fmt: skip
    return p, level + 0.5 * d * math.log(2 * math.pi) + np.log(np.diag(root)).sum(), root


def errors(estimate, truth):
    return (estimate.value - truth) / estimate.standard_error


def judged(seeds):
    """Sets of four chains that remember for 19 draws."""
    p, truth, root = gaussian(4)
    made = []
    for seed in seeds:
        draws = chains(np.random.default_rng(seed), (4, 1000, 4), 0.9) @ root.T
        made.append(judge(p, draws, key=seed))
    return made, truth


@pytest.fixture(scope="module")
def found():
    return judged(range(3))


class TestRightDraws:
    """What draws of p itself are said to be."""

    @pytest.mark.slow
    def test_the_evidence_is_within_its_errors(self):
        made, truth = judged(range(6))
        for way in ("log_evidence", "by_draws"):
            z = np.array([errors(getattr(j, way), truth) for j in made])
            assert np.abs(z).max() < 4.0
            assert 0.1 < np.sum(z**2) < 22.5  # chi-square with 6 degrees of freedom: .1 %

    def test_means_and_sds_are_within_errors_that_know_of_memory(self, found):
        made, _ = found
        z = [
            (errors(c.mean_shift, 0.0), errors(c.shrinkage, 1.0))
            for j in made
            for c in j.parameters
        ]
        spread = np.sqrt(np.mean(np.square(z), axis=0))
        assert (spread > 0.5).all()
        assert (spread < 1.6).all()  # 19 draws that are worth one would make it 4.4
        for j in made:
            assert 100 < j.judged.effective < 500  # 4000 / 19 = 210

    def test_nothing_is_found(self, found):
        made, _ = found
        for j in made:
            assert j.verdict == "trust"
            assert j.status is Status.DONE
            assert j.reverse_kl.kind == j.forward_kl.kind == "lower_bound"
            assert j.reverse_kl.value == j.forward_kl.value == 0.0
            assert j.outside.value < 4.0 * j.outside.standard_error

    def test_the_same_key_gives_the_same_bits(self):
        draws = np.random.default_rng(0).normal(size=500)
        first, again = (judge("normal(0, sd=1)", draws, key=3) for _ in range(2))
        assert str(first) == str(again)
        assert first.log_evidence == again.log_evidence
        assert first.parameters == again.parameters


class TestEightSchools:
    """Exact draws by quadrature over two parameters, each kept for four steps."""

    EFFECTS = np.array([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0])
    SDS = np.array([15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0])

    def _draws(self, rng):
        y, sd = self.EFFECTS, self.SDS
        mu, v = np.linspace(-25, 35, 500), np.linspace(-14, 7, 1200)
        tau = np.exp(v)
        total = sd**2 + tau[:, None] ** 2
        log = -0.5 * (mu[:, None] / 5) ** 2 - np.log1p((tau / 5) ** 2) + v
        log = log + 0.5 * np.sum(np.log(2 * np.pi * sd**2 / total), axis=1)
        log = log - 0.5 * np.sum((y - mu[:, None, None]) ** 2 / total, axis=2)
        top = log.max()
        p = np.exp(log - top)
        evidence = top + math.log(p.sum() * (mu[1] - mu[0]) * (v[1] - v[0]))
        at = np.unravel_index(rng.choice(p.size, 1000, p=p.ravel() / p.sum()), p.shape)
        mus = mu[at[0]] + rng.uniform(-0.5, 0.5, 1000) * (mu[1] - mu[0])
        taus = np.exp(v[at[1]] + rng.uniform(-0.5, 0.5, 1000) * (v[1] - v[0]))
        precision = 1.0 + (taus[:, None] / sd) ** 2
        mean = taus[:, None] * (y - mus[:, None]) / sd**2 / precision
        z = mean + rng.normal(size=(1000, 8)) / np.sqrt(precision)
        kept = {"mu": mus, "tau": taus, "z": z}
        return {
            k: np.repeat(x, 4, axis=0).reshape(4, 1000, *x.shape[1:]) for k, x in kept.items()
        }, evidence

    @pytest.mark.slow
    def test_evidence_and_verdict(self):
        jnp = pytest.importorskip("jax.numpy")
        y, sd = self.EFFECTS, self.SDS

        def log_p(s):
            mean = s["mu"] + s["tau"] * s["z"]
            prior = -0.5 * (s["mu"] / 5) ** 2 - jnp.log1p((s["tau"] / 5) ** 2)
            return prior - 0.5 * jnp.sum(s["z"] ** 2) - 0.5 * jnp.sum(((y - mean) / sd) ** 2)

        example = {"mu": 0.0, "tau": 1.0, "z": np.zeros(8)}
        p = LogDensity(log_p, example, support={"tau": "positive"})
        found = []
        for seed in range(2):
            draws, truth = self._draws(np.random.default_rng(seed))
            found.append(judge(p, draws, key=seed))
        assert {j.verdict for j in found} == {"trust"}
        for way in ("log_evidence", "by_draws"):
            assert all(abs(errors(getattr(j, way), truth)) < 4.0 for j in found)
        assert all(j.log_evidence.standard_error < 0.02 for j in found)
        # Four copies of each draw, seen by all errors.
        assert all(500 < j.judged.effective < 1500 for j in found)


class TestWrongDraws:
    """What is wrong is said with a number."""

    def test_one_of_two_modes(self):
        j = judge(TWO, np.random.default_rng(0).normal(-5, 1, (4, 1000, 1)))
        assert j.diagnosis.decided_by.name == "misses mass"
        assert j.verdict == "do not use"
        assert j.status is Status.UNTRUSTED
        assert abs(errors(j.log_evidence, 0.0)) < 4.0
        # The draws alone know half of p.
        assert abs(errors(j.by_draws, -math.log(2.0))) < 4.0
        assert 0.6 < j.reverse_kl.value < math.log(2.0)
        assert j.forward_kl.value > 1.0
        assert abs(errors(j.outside, 0.5)) < 4.0

    @pytest.mark.slow
    def test_the_missed_share_and_the_bounds_cover(self):
        """Chains that remember, in the heavier of two modes of five coordinates: what they miss is .3."""
        other = np.array([8.0, 0.0, 0.0, 0.0, 0.0])

        def log_p(x):
            near, far = (-0.5 * np.sum((x - m) ** 2, axis=-1) for m in (0.0, other))
            return np.logaddexp(math.log(0.7) + near, math.log(0.3) + far)

        def slope(x):
            share = 1.0 / (1.0 + 3.0 / 7.0 * np.exp(8.0 * x[0] - 32.0))
            return -share * x - (1.0 - share) * (x - other)

        p, truth = LogDensity(log_p, np.zeros(5), gradient=slope), 2.5 * math.log(2 * math.pi)
        found = [
            judge(p, chains(np.random.default_rng(k), (4, 1000, 5), 0.8), key=k) for k in range(6)
        ]
        for name, value in (
            ("outside", 0.3), ("log_evidence", truth), ("by_draws", truth + math.log(0.7)),
        ):  # fmt: skip
            z = np.array([errors(getattr(j, name), value) for j in found])
            assert np.abs(z).max() < 4.0
            assert np.sum(z**2) < 22.5  # chi-square with 6 degrees of freedom: .1 %
        assert {j.diagnosis.decided_by.name for j in found} == {"misses mass"}
        bounds = np.array([j.reverse_kl.value for j in found])
        assert (bounds > 0.2).all()
        assert (bounds < -math.log(0.7) + 0.01).all()  # 95 % of them are below it

    @pytest.mark.parametrize(
        "sd", [0.5, *(pytest.param(v, marks=pytest.mark.slow) for v in (0.8, 2.0))]
    )
    def test_the_wrong_width(self, sd):
        j = judge("normal(0, sd=1)", np.random.default_rng(1).normal(0, sd, 4000))
        (only,) = j.parameters
        assert abs(errors(only.shrinkage, sd)) < 4.0
        assert only.shrinkage.standard_error < 0.05 * sd
        q = f"normal(0, sd={sd})"
        reverse = kl_divergence(q, "normal(0, sd=1)").value
        forward = kl_divergence("normal(0, sd=1)", q).value
        assert 0.7 * reverse - 0.03 < j.reverse_kl.value < reverse
        assert 0.4 * forward - 0.03 < j.forward_kl.value < forward
        if sd != 0.8:
            assert j.verdict != "trust"
            assert f"{only.shrinkage.value:.2f}" in str(j.diagnosis) or sd > 1.0

    def test_chains_in_the_wrong_proportions_are_worth_few(self):
        rng = np.random.default_rng(2)
        mean = np.array([-5.0, -5.0, -5.0, 5.0])[:, None, None]
        j = judge(TWO, mean + rng.normal(size=(4, 500, 1)))
        assert j.judged.effective < 20
        assert j.diagnosis.decided_by.name == "effective size"

    def test_draws_where_p_is_zero(self):
        p = LogDensity(
            lambda x: np.where(x[..., 0] > 0, -0.5 * np.sum(x**2, axis=-1), -np.inf),
            np.ones(2),
            gradient=lambda x: -x,
        )
        j = judge(p, np.random.default_rng(0).normal(size=(1000, 2)))
        assert j.reverse_kl.kind == "infinite"
        assert "p is 0 at" in j.reverse_kl.reason
        assert j.verdict == "do not use"

    @pytest.mark.slow
    def test_a_parameter_that_does_not_move(self):
        p, _, root = gaussian(2)
        draws = np.random.default_rng(0).normal(size=(500, 2)) @ root.T
        draws[:, 0] = 0.0
        assert judge(p, draws).verdict == "do not use"

    @pytest.mark.slow
    def test_few_draws(self):
        p, truth, root = gaussian(12)
        j = judge(p, np.random.default_rng(0).normal(size=(60, 12)) @ root.T)
        assert j.diagnosis.decided_by.name == "effective size"
        assert abs(errors(j.log_evidence, truth)) < 4.0


class TestDensities:
    """Any q with a density goes through the report of fits."""

    @pytest.mark.slow
    def test_a_fit_is_judged_as_it_was(self):
        p, truth, _ = gaussian(3)
        found = fit(p, "mean_field", direction="reverse")
        j = judge(p, found)
        for ours, own in ((j.reverse_kl, found.reverse_kl), (j.forward_kl, found.forward_kl)):
            assert abs(ours.value - own.value) < 4.0 * (own.standard_error + ours.standard_error)
            assert ours.kind == "estimate"
        assert abs(errors(j.log_evidence, truth)) < 4.0
        assert j.posterior is not None
        assert j.judged is j.by_draws is None

    @pytest.mark.slow
    def test_a_density_of_scipy(self):
        p, truth, root = gaussian(3)
        q = stats.multivariate_normal(np.full(3, 0.2), 1.5 * root @ root.T)
        j = judge(p, q)
        shift = np.sum(np.linalg.solve(root, np.full(3, 0.2)) ** 2)
        reverse = 0.5 * (4.5 + shift - 3 - 3 * math.log(1.5))
        forward = 0.5 * (2.0 + shift / 1.5 - 3 + 3 * math.log(1.5))
        assert abs(errors(j.reverse_kl, reverse)) < 4.0
        assert abs(errors(j.forward_kl, forward)) < 4.0
        assert abs(errors(j.log_evidence, truth)) < 4.0

    def test_a_sampler_and_a_log_density(self):
        """A q that is no mixture of Gaussians, over a p that is not over the whole line."""
        p, q = "gamma(3, rate=2)", "lognormal(0.2, sd=0.6)"
        j = judge(p, q)
        assert abs(errors(j.log_evidence, 0.0)) < 4.0
        assert abs(errors(j.reverse_kl, kl_divergence(q, p).value)) < 4.0
        assert abs(errors(j.forward_kl, kl_divergence(p, q).value)) < 4.0

    def test_one_that_misses_a_mode(self):
        j = judge(TWO, "normal(-5, sd=1)")
        assert j.diagnosis.decided_by is not None
        assert "misses mass" in {f.name for f in j.diagnosis.findings}
        assert j.verdict == "do not use"

    def test_one_that_is_none(self):
        p, _, _ = gaussian(2)
        law = stats.multivariate_normal(np.zeros(2), np.eye(2))
        q = Known(
            lambda x: 1.0 + np.atleast_1d(law.logpdf(x)),
            lambda rng, n: rng.normal(size=(n, 2)),
            np.zeros(2),
        )
        with pytest.raises(DensityError, match="q is no density"):
            judge(p, q)
        with pytest.raises(InputError, match="up to a constant"):
            judge(p, LogDensity(lambda x: -np.sum(x**2, axis=-1), np.zeros(2)))
        with pytest.raises(InputError, match="q has mass where p has none.*infinite"):
            judge("gamma(3, rate=2)", "normal(1, sd=1)")
        with pytest.raises(UnsupportedError, match="q has 3 coordinates, and p has 2"):
            judge(p, stats.multivariate_normal(np.zeros(3), np.eye(3)))


@pytest.fixture(scope="module")
def target():
    return read(TestWhatIsRead.P).unconstrained


@pytest.fixture(scope="module")
def draws():
    rng = np.random.default_rng(0)
    return {"a": np.abs(rng.normal(size=(2, 50))), "b": rng.normal(size=(2, 50, 2))}


class TestWhatIsRead:
    """The same draws in any form are the same draws."""

    P = LogDensity(
        lambda s: -0.5 * s["a"] ** 2 - 0.5 * np.sum(np.asarray(s["b"]) ** 2), {"a": 1.0, "b": np.zeros(2)},
        gradient="differences", support={"a": "positive"},
    )  # fmt: skip

    def test_arrays_and_frames(self, target, draws, tmp_path):
        flat = np.concatenate([draws["a"][:, :, None], draws["b"]], axis=2)
        wanted = read_draws(draws, target)
        assert wanted.u.shape == (100, 3)
        np.testing.assert_allclose(wanted.u[:, 0], np.log(draws["a"].ravel()))
        np.save(tmp_path / "draws.npy", flat)
        for given in (flat, tmp_path / "draws.npy", str(tmp_path / "draws.npy")):
            same = read_draws(given, target)
            assert same.u.tolist() == wanted.u.tolist()
            assert same.rows.cluster.tolist() == wanted.rows.cluster.tolist() == [0] * 50 + [1] * 50
        polars = pytest.importorskip("polars")
        rows = flat.reshape(-1, 3)
        columns = {"b[1]": rows[:, 2], "lp": rows[:, 0], "a": rows[:, 0], "b[0]": rows[:, 1]}
        frame = polars.DataFrame(columns)
        frame.write_csv(tmp_path / "draws.csv")
        for given in (frame, tmp_path / "draws.csv", rows, Samples(rows)):
            np.testing.assert_allclose(read_draws(given, target).u, wanted.u, rtol=1e-12)

    def test_trees_and_their_files(self, target, draws, tmp_path):
        arviz = pytest.importorskip("arviz_base")
        tree = arviz.from_dict({"posterior": {**draws, "other": draws["a"]}})
        wanted, same = read_draws(draws, target), read_draws(tree, target)
        assert same.u.tolist() == wanted.u.tolist()
        assert same.rows.cluster.tolist() == wanted.rows.cluster.tolist()
        pytest.importorskip("h5netcdf")
        tree.to_netcdf(tmp_path / "draws.nc", engine="h5netcdf")
        assert read_draws(tmp_path / "draws.nc", target).u.tolist() == wanted.u.tolist()

    def test_what_cannot_be_used(self, target, draws):
        a, b = draws["a"], draws["b"]
        for given, words in (
            ({"a": a}, "there are no draws of b; there are a"),
            (
                {"a": a, "b": b[..., :1]},
                r"draws of b have shape \(2, 50, 1\); they must be \(n, 2\), or",
            ),
            ({"a": a, "b": b[:1]}, "different numbers of draws"),
            ({"a": -a, "b": b}, "a = -.* is not in"),
            ({"a": a[:1, :9], "b": b[:1, :9]}, "there are 9 draws: at least 40"),
            ({"a": np.full_like(a, np.nan), "b": b}, "draws of a are not finite"),
            (np.zeros((50, 4)), r"shape \(50, 4\), and p has 3 numbers \(a, b\[0\], b\[1\]\)"),
            (Samples(np.ones((50, 3)), weights=np.arange(50.0)), "draws with weights"),
        ):
            with pytest.raises(InputError, match=words):
                read_draws(given, target)

    def test_p_is_no_rows(self):
        with pytest.raises(UnsupportedError, match=r"p is known by samples.*diff\(a, b\)"):
            judge(np.zeros((50, 2)), np.zeros((50, 2)))


@pytest.fixture(scope="module")
def narrow():
    return judge("normal(0, sd=1)", np.random.default_rng(0).normal(0, 0.5, (2, 400, 1)))


class TestWhatComesOut:
    def test_it_prints(self, narrow):
        lines = str(narrow).splitlines()
        for line, start in zip(
            lines, ("log evidence =", "log evidence by the draws =", "KL(q||p) ≥", "KL(p||q) ≥", "mass of p", "do not use: too narrow"), strict=True,
        ):  # fmt: skip
            assert line.startswith(start)

    def test_it_is_plain_json_and_a_page_and_a_frame(self, narrow, tmp_path):
        values = json.loads(json.dumps(document_of(narrow).values()))
        assert values["verdict"] == "do not use"
        assert values["status"] == "untrusted"
        assert values["judged"]["chains"] == 2
        assert values["reverse_kl"]["kind"] == "lower_bound"
        assert values["parameters"][0]["shrinkage"]["value"] == narrow.parameters[0].shrinkage.value
        page = narrow.report(tmp_path / "page.html").read_text("utf-8")
        assert "How far the draws are from p" in page
        pytest.importorskip("polars")
        assert narrow.to_frame("findings")["verdict"].to_list()[0] == "do not use"

    def test_it_is_written_and_read(self, narrow, tmp_path):
        save(narrow, tmp_path / "judged.kb")
        again = load(tmp_path / "judged.kb")
        assert str(again) == str(narrow)
        assert again.parameters == narrow.parameters

    def test_chains_may_start_where_p_is(self, narrow):
        starts = narrow.starting_points(3, key=1)
        assert len(starts) == 3
        assert all(abs(s["x"]) < 6.0 for s in starts)


@pytest.mark.slow
@pytest.mark.parametrize(("sd", "keys"), [(0.8, 60), (1.3, 40)])
def test_bounds_are_below_the_truth_in_95_of_100(sd, keys):
    """Draws of N(0, sd^2) against N(0, 1): both KLs are known, and chance may lift a few bounds above them."""
    reverse = 0.5 * (sd**2 - 1.0) - math.log(sd)
    forward = 0.5 * (sd**-2 - 1.0) + math.log(sd)
    above = np.zeros(2)
    for key in range(keys):
        found = judge("normal(0, sd=1)", np.random.default_rng(key).normal(0.0, sd, 2000), key=key)
        above += found.reverse_kl.value > reverse, found.forward_kl.value > forward
        assert found.forward_kl.kind == found.reverse_kl.kind == "lower_bound"
    assert (above <= stats.binom(keys, 0.05).isf(1e-3)).all()


def test_a_fit_of_events_by_name_is_a_density():
    """The check was given events by name, and ended in a traceback."""
    jnp = pytest.importorskip("jax.numpy")

    def log_density(z):
        return -0.5 * jnp.sum(z["a"] ** 2) - 0.5 * (z["b"] - 1.0) ** 2

    given = LogDensity(log_density, {"a": np.zeros(2), "b": 0.0})
    q = fit(given, "full_rank", direction="reverse", report=False).q
    assert check_density(q).passes
