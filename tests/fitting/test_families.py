"""Maximum likelihood of families of scalars, against scipy's densities and closed forms."""

import math
import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest
from scipy import stats

from kullback.api.fit import fit
from kullback.core.errors import InputError, KullbackError, UnsupportedError
from kullback.distributions.registry import TABLE, by_name
from kullback.families import Categorical, FullRank, KernelDensity
from kullback.targets import Samples

RNG = np.random.default_rng(20)
N = 2000


def _gamma(scale, shape, power, factor):
    """log density of kullback's generalised gamma, by scipy's: x = scale (G / factor)^(1/power)."""
    return lambda x: stats.gengamma.logpdf(x, shape, power, scale=scale * factor ** (-1.0 / power))


def _nb(mean, shape):
    return lambda x: stats.nbinom.logpmf(x, shape, shape / (shape + mean))


#: Rows, what the parameters of q are, and a log density of another library as a function of them.
CASES = {
    "normal": (RNG.normal(1e3, 1, N), lambda q: (q.loc, q.scale), lambda m, s: stats.norm(m, s).logpdf),
    "logistic": (RNG.logistic(3, 60, N), lambda q: (q.loc, q.scale), lambda m, s: stats.logistic(m, s).logpdf),
    "cauchy": (RNG.standard_cauchy(N) * 4 + 7, lambda q: (q.loc, q.scale), lambda m, s: stats.cauchy(m, s).logpdf),
    "gumbel": (RNG.gumbel(5, 3, N), lambda q: (q.loc, q.scale), lambda m, s: stats.gumbel_r(m, s).logpdf),
    "student_t": (RNG.standard_t(4, N) * 2 + 9, lambda q: (q.df, q.loc, q.scale), lambda v, m, s: stats.t(v, m, s).logpdf),
    "vonmises": (RNG.vonmises(1, 3, N), lambda q: (q.loc, q.concentration), lambda m, k: stats.vonmises(k, m).logpdf),
    "exponential": (RNG.exponential(3, N), lambda q: (q.scale,), lambda s: stats.expon(scale=s).logpdf),
    "gamma": (RNG.gamma(0.5, 3, N), lambda q: (q.scale, q.shape), lambda s, k: _gamma(s, k, 1, 1)),
    "lognormal": (RNG.lognormal(1, 2, N), lambda q: (q.loc, q.scale), lambda m, s: stats.lognorm(s, scale=math.exp(m)).logpdf),
    "weibull": (RNG.weibull(1.7, N) * 5, lambda q: (q.scale, q.power), lambda s, k: stats.weibull_min(k, scale=s).logpdf),
    "frechet": (3 / RNG.weibull(1.7, N), lambda q: (q.scale, -q.power), lambda s, k: stats.invweibull(k, scale=s).logpdf),
    "inverse_gamma": (1 / RNG.gamma(3, 2, N), lambda q: (q.scale, q.shape), lambda s, k: stats.invgamma(k, scale=s).logpdf),
    "inverse_gaussian": (RNG.wald(2, 3, N), lambda q: (q.mean, q.shape), lambda m, k: stats.invgauss(m / k, scale=k).logpdf),
    "halfnormal": (abs(RNG.normal(0, 3, N)), lambda q: (q.scale,), lambda s: stats.halfnorm(scale=s).logpdf),
    "halfcauchy": (abs(RNG.standard_cauchy(N)), lambda q: (q.scale,), lambda s: stats.halfcauchy(scale=s).logpdf),
    "rayleigh": (RNG.rayleigh(2, N), lambda q: (q.scale,), lambda s: stats.rayleigh(scale=s).logpdf),
    "maxwell": (np.sqrt(RNG.chisquare(3, N)), lambda q: (q.scale,), lambda s: stats.maxwell(scale=s).logpdf),
    "chi2": (RNG.chisquare(3, N), lambda q: (2 * q.shape,), lambda k: stats.chi2(k).logpdf),
    "chi": (np.sqrt(RNG.chisquare(3, N)), lambda q: (2 * q.shape,), lambda k: stats.chi(k).logpdf),
    "beta": (RNG.beta(2, 0.7, N), lambda q: (q.a, q.b), lambda a, b: stats.beta(a, b).logpdf),
    "poisson": (RNG.poisson(3, N) * 1.0, lambda q: (q.rate,), lambda r: stats.poisson(r).logpmf),
    "bernoulli": ((RNG.random(N) < 0.3) * 1.0, lambda q: (float(q.chance),), lambda p: stats.bernoulli(p).logpmf),
    "geometric": (RNG.geometric(0.3, N) - 1.0, lambda q: (float(q.chance),), lambda p: stats.geom(p, loc=-1).logpmf),
    "negative_binomial": (RNG.negative_binomial(3, 0.4, N) * 1.0, lambda q: (q.shape * math.exp(q.chance.logit), q.shape), _nb),
}  # fmt: skip


def newton_step(log_prob_of, at, x):
    """How far a Newton step on the likelihood, by differences of another library's density, would go."""
    at = np.array(at, dtype=float)
    d = len(at)
    steps = np.diag(1e-4 * np.maximum(np.abs(at), 0.01))

    def mean(point):
        return log_prob_of(*point)(x).mean()

    gradient = np.array([(mean(at + h) - mean(at - h)) / (2 * h.sum()) for h in steps])
    hessian = np.empty((d, d))
    for i, h in enumerate(steps):
        for j, k in enumerate(steps):
            corners = mean(at + h + k) - mean(at + h - k) - mean(at - h + k) + mean(at - h - k)
            hessian[i, j] = corners / (4 * h.sum() * k.sum())
    return np.linalg.solve(hessian, gradient)


@pytest.mark.parametrize("name", CASES)
def test_no_step_improves_the_likelihood(name):
    x, parameters, log_prob_of = CASES[name]
    best = TABLE[name].maximise(x, np.ones(len(x)))
    at = parameters(best.q)
    assert best.q.log_prob(x) == pytest.approx(log_prob_of(*at)(x), rel=1e-9, abs=1e-9)
    assert np.all(np.abs(newton_step(log_prob_of, at, x)) < 1e-6 * np.maximum(np.abs(at), 1.0))


@pytest.mark.parametrize("name", ["kumaraswamy", "continuous_bernoulli", "lindley"])
def test_families_that_scipy_lacks_are_stationary(name):
    import dataclasses

    x = np.random.default_rng(1).beta(2.0, 0.7, 500)
    q = TABLE[name].maximise(x, np.ones(500)).q
    for field in dataclasses.fields(q):
        at = getattr(q, field.name)
        h = 1e-4 * at
        up, down = (
            dataclasses.replace(q, **{field.name: at + s * h}).log_prob(x).mean() for s in (1, -1)
        )
        middle = q.log_prob(x).mean()
        assert abs((up - down) * h / 2 / (up + down - 2 * middle)) < 1e-6 * at


def test_closed_forms():
    x = np.random.default_rng(2).exponential(size=101) + 0.5
    ones = np.ones(101)
    assert TABLE["uniform"].maximise(x, ones).q.high == x.max()
    assert TABLE["loguniform"].maximise(x, ones).q.low == x.min()
    pareto = TABLE["pareto"].maximise(x, ones).q
    assert (pareto.scale, pareto.shape) == (x.min(), pytest.approx(1 / np.log(x / x.min()).mean()))
    laplace = TABLE["laplace"].maximise(x, ones).q
    assert laplace.loc == np.median(x)
    assert laplace.scale == pytest.approx(np.abs(x - np.median(x)).mean())


@pytest.mark.parametrize("name", ["normal", "student_t", "laplace", "cauchy", "logistic", "gumbel"])
@pytest.mark.parametrize(("loc", "scale"), [(1e8, 1.0), (1.7e9, 60.0), (0.0, 1e-12)])
def test_a_shift_and_a_scale_change_nothing_else(name, loc, scale):
    z = np.round(np.random.default_rng(3).standard_t(5, 1000), 6)
    x = loc + scale * z
    a = TABLE[name].maximise((x - loc) / scale, np.ones(1000)).q
    b = TABLE[name].maximise(x, np.ones(1000)).q
    assert (float(b.loc) - loc) / scale == pytest.approx(
        float(a.loc), abs=1e-7 + 1e-15 * loc / scale
    )
    assert float(b.scale) / scale == pytest.approx(float(a.scale), rel=1e-7)


@pytest.mark.parametrize("name", sorted(TABLE))
def test_weights_are_repeated_rows(name):
    x = CASES[name][0][:90] if name in CASES else np.random.default_rng(4).beta(2, 3, 90)
    repeats = np.arange(90) % 3.0
    weighted = TABLE[name].maximise(x, repeats).q
    repeated = np.repeat(x, repeats.astype(int))
    once = TABLE[name].maximise(repeated, np.ones(len(repeated))).q
    assert weighted.log_prob(x[1:3]) == pytest.approx(once.log_prob(x[1:3]), rel=1e-10, abs=1e-10)


def test_normal_rows_have_no_degrees_of_freedom():
    x = stats.norm.ppf((np.arange(400) + 0.5) / 400)
    found = fit(Samples(x), "student_t", direction="forward")
    assert found.q.df == pytest.approx(1e6)
    assert "no heavier tails" in found.notes[1]
    assert found.divergence.value == pytest.approx(
        -stats.norm(0, x.std()).logpdf(x).mean(), abs=1e-5
    )


def test_counts_that_vary_too_little_are_poisson():
    x = np.array([2.0, 3.0, 4.0] * 20)
    found = fit(Samples(x), "negative_binomial", direction="forward")
    assert math.isfinite(found.q.shape)
    assert "Poisson" in found.notes[1]
    assert found.q.log_prob(x) == pytest.approx(stats.poisson(3).logpmf(x), abs=1e-5)


@pytest.mark.parametrize(
    ("rows", "family", "note"),
    [
        (np.zeros(30), "poisson", "rate ran to its bound"),
        (np.zeros(30), "geometric", "ran to its bound, 1"),
        (np.ones(30), "bernoulli", "probability ran to its bound"),
        (np.zeros(30), "negative_binomial", "not identified"),
        (np.r_[np.zeros(40), np.arange(1.0, 9.0)], "cauchy", "scale ran to its bound"),
        (np.r_[np.zeros(40), np.arange(1.0, 9.0)], "student_t", "scale ran to its bound"),
        (np.r_[np.zeros(40), np.arange(1.0, 9.0)], "gompertz", "vary as much as exponential ones"),
        (100.0 + 0.001 * np.arange(9.0), "gompertz", "a normal distribution describes"),
    ],
)
def test_bounds_are_said_and_finite(rows, family, note):
    found = fit(Samples(rows), family, direction="forward")
    assert note in " ".join(found.notes)
    assert np.isfinite(found.q.log_prob(rows)).all()


@pytest.mark.parametrize(
    ("rows", "family", "message"),
    [
        ([2.0, -3.0, 1.0, -1.0], "gamma", r"value -3 at row 1 \(and 1 more\) is outside the support of gamma, \(0, inf\): correct or drop"),
        ([2.0, 0.0, 1.0], "lognormal", "value 0 at row 1 .* exponential"),
        ([0.2, 3.0], "beta", r"value 3 at row 1 is outside .* divide by the largest"),
        ([1.0, 1.5], "poisson", "value 1.5 at row 1 .* round"),
        ([1.0, 4.0], "vonmises", "radians"),
        ([2.0, 2.0], "weibull", "column x0 is constant"),
        ([[1.0, 2.0]], "gamma", "scalar events, but the samples have 2 columns"),
        ([1.0, 2.0], "no_such", '"no_such" is not known'),
        pytest.param([1.0, 2.0], "binomial_probs", "total_count .*is not one that is fitted", marks=pytest.mark.skipif(find_spec("numpyro") is None, reason="a family of NumPyro")),
        (Samples([1.0, math.nan], missing=True), "normal", "1 missing value"),
    ],
)  # fmt: skip
def test_what_cannot_be_fitted(rows, family, message):
    p = rows if isinstance(rows, Samples) else Samples(rows)
    with pytest.raises(KullbackError, match=message):
        fit(p, family, direction="forward")


@pytest.mark.slow
def test_our_own_families_load_no_jax():
    code = (
        "import sys, numpy as np, kullback as kb\n"
        "x = kb.Samples(np.random.default_rng(0).gamma(2, 3, 200))\n"
        "kb.fit(x, 'best', direction='forward'); kb.fit(x, 'kde', direction='forward')\n"
        "print('jax' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "False"


@pytest.fixture(scope="module")
def numpyro():
    return pytest.importorskip("numpyro.distributions")


def test_classes_of_numpyro_are_our_families(numpyro):
    x = RNG.gamma(2.0, 3.0, 50)
    p = Samples(x)
    assert fit(p, numpyro.Gamma, direction="forward").q == fit(p, "gamma", direction="forward").q
    for ours in (
        "Normal",
        "StudentT",
        "Weibull",
        "NegativeBinomial2",
        "Bernoulli",
        "Geometric",
        "Kumaraswamy",
    ):
        assert by_name(ours) is not None
    counts = Samples(np.array([0.0, 1.0, 1.0]))
    assert float(fit(counts, numpyro.Bernoulli, direction="forward").q.chance) == pytest.approx(
        2 / 3
    )


@pytest.mark.slow
def test_other_classes_of_numpyro(numpyro):
    rng = np.random.default_rng(5)
    counts = rng.poisson(3, N) * (rng.random(N) > 0.3) * 1.0
    zip_ = fit(Samples(counts), numpyro.ZeroInflatedPoisson, direction="forward")
    # The rate solves mean of the positive rows = rate / (1 - exp(-rate)).
    rate = zip_.q.components[1].rate
    assert rate / -math.expm1(-rate) == pytest.approx(counts[counts > 0].mean(), rel=1e-9)
    assert zip_.held_out.value == pytest.approx(-zip_.divergence.value, abs=0.01)
    moved = fit(Samples(1.7e9 + 60 * rng.normal(size=N)), numpyro.SoftLaplace, direction="forward")
    assert moved.divergence.value == pytest.approx(math.log(60) + 1.43, abs=0.06)
    assert moved.held_out.value == pytest.approx(-moved.divergence.value, abs=0.01)


def test_a_probability_that_runs_to_0_is_said(numpyro):
    counts = np.random.default_rng(11).poisson(20, 300) * 1.0
    found = fit(Samples(counts), numpyro.ZeroInflatedPoisson, direction="forward")
    assert "gate ran to the end of its range" in found.notes[1]
    assert found.divergence.value == pytest.approx(
        -stats.poisson(counts.mean()).logpmf(counts).mean()
    )


def test_the_best_family_is_the_true_one():
    x = np.random.default_rng(6).gamma(2.0, 3.0, 2000)
    found = fit(Samples(x), "best", direction="forward")
    chosen = found.selection
    assert found.family == chosen.best.family == "gamma"
    assert [c.behind is None for c in chosen.candidates].count(True) == 1
    scores = [c.held_out.value for c in chosen.candidates]
    assert scores == sorted(scores, reverse=True)
    first, other = chosen.candidates[0], chosen.candidates[3]
    assert other.behind.value == pytest.approx(
        first.held_out.value - other.held_out.value, abs=1e-12
    )
    assert other.behind.standard_error < other.held_out.standard_error
    gamma = next(c for c in chosen.candidates if c.family == "gamma")
    assert gamma.bic == pytest.approx(2 * math.log(2000) + 2 * 2000 * found.divergence.value)


def test_families_that_do_not_take_the_rows_are_listed():
    x = np.random.default_rng(7).normal(size=300)
    recipes = ["normal", "gamma", FullRank(), KernelDensity(), "nonsense"]
    found = fit(Samples(x), recipes, direction="forward")
    assert {c.family for c in found.selection.candidates} == {
        "normal",
        FullRank(),
        KernelDensity(),
    }
    assert ["gamma: column x0: the value" in s for s in found.selection.skipped] == [True, False]
    rows = {c.family: c for c in found.selection.candidates}
    assert rows["normal"].held_out.value == pytest.approx(rows[FullRank()].held_out.value, abs=1e-9)
    with pytest.raises(InputError, match="none of these families"):
        fit(Samples(x), "gamma,beta", direction="forward")
    with pytest.raises(UnsupportedError, match="those that can: full_rank"):
        fit("normal(0, sd=1)", "best", direction="forward")


def test_a_tie_goes_to_fewer_parameters():
    x = np.random.default_rng(8).exponential(2.0, 400)
    found = fit(Samples(x), "gamma,weibull,exponential", direction="forward")
    assert found.family == "exponential"
    if found.selection.chosen:
        assert "a tie" in found.notes[-1]


def test_the_best_of_counts_of_ones_and_of_vectors():
    rng = np.random.default_rng(9)
    counts = fit(Samples(rng.negative_binomial(2, 0.3, 500) * 1.0), "best", direction="forward")
    assert counts.family == "negative_binomial"
    assert "whole numbers" in counts.notes[-1]
    ones = fit(Samples((rng.random(50) < 0.3) * 1.0), "best", direction="forward")
    assert ones.family == "bernoulli"
    p = Samples(rng.normal(size=(200, 2)) @ np.array([[1.0, 0.9], [0.0, 0.4]]))
    assert fit(p, "full_rank,mean_field,kde", direction="forward").family == FullRank()


def test_categories_are_smoothed_shares():
    codes = np.array([0.0] * 6 + [1.0] * 3 + [2.0])
    p = Samples(codes, kinds=("category",), labels=(("a", "b", "c", "d"),))
    found = fit(p, Categorical(), direction="forward")
    assert found.q.probabilities == pytest.approx(np.array([6.5, 3.5, 1.5, 0.5]) / 12)
    left_out = (6 * math.log(5.5 / 11) + 3 * math.log(2.5 / 11) + math.log(0.5 / 11)) / 10
    assert found.held_out.value == pytest.approx(left_out)
    plain = fit(p, Categorical(smoothing=0.0), direction="forward")
    assert plain.q.log_prob(np.array([3.0]))[0] == -math.inf
    assert plain.held_out.kind == "infinite"
    assert plain.held_out.value == -math.inf
    assert "smoothing gives it some" in plain.held_out.reason
    assert plain.divergence.value == pytest.approx(stats.entropy([0.6, 0.3, 0.1]))


def test_columns_of_categories_and_their_frequencies():
    rng = np.random.default_rng(10)
    codes = np.column_stack([rng.integers(0, 2, 60), rng.integers(0, 4, 60)]) * 1.0
    repeats = np.arange(60) % 3.0
    a = fit(Samples(codes, frequencies=repeats), "categorical", direction="forward").q
    b = fit(
        Samples(np.repeat(codes, repeats.astype(int), axis=0)),
        "categorical:0.5",
        direction="forward",
    ).q
    assert a.log_prob(codes) == pytest.approx(b.log_prob(codes), abs=1e-12)
    assert np.exp(a.log_probabilities).sum(axis=1) == pytest.approx([1.0, 1.0])
    assert a.log_prob(np.array([[2.0, 0.0]]))[0] == -math.inf
    with pytest.raises(InputError, match="value 0.5 at row 0 is no code"):
        fit(Samples([0.5, 1.0]), "categorical", direction="forward")
    with pytest.raises(InputError, match="smoothing must be"):
        Categorical(-1.0)


@pytest.mark.parametrize("family", ["normal", "gamma"])
def test_few_rows_in_an_order_are_fitted_as_rows_are(family):
    # Too few to tell how far they depend on those before.
    x = np.array([1.0, 2.0, 2.5, 3.0, 4.0])
    ordered, alone = (
        fit(Samples(x, **how), family, direction="forward")
        for how in ({"order": np.array([3, 1, 2, 5, 4])}, {})
    )
    assert str(ordered.q) == str(alone.q)


def test_kumaraswamy_of_tiny_values_is_weibull():
    # (1 - x^a)^b is exp(-b x^a) where x^a is tiny.
    x = np.array([1e-4, 2e-4, 1.5e-4, 3e-4])
    for unit in (1.0, 1e-30):
        found = fit(Samples(x * unit), "kumaraswamy", direction="forward").q
        shape, _, scale = stats.weibull_min.fit(x, floc=0)
        assert found.a == pytest.approx(shape, rel=1e-3)
        assert found.b ** (-1 / found.a) == pytest.approx(scale * unit, rel=1e-3)
