"""Every SciPy distribution against SciPy's own log density."""

import math
import subprocess
import sys
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from scipy import stats

from kullback.api.measure import kl_divergence
from kullback.core.errors import InputError, UnsupportedError
from kullback.distributions.base import Foreign
from kullback.distributions.bounded import Beta, LogUniform, Uniform
from kullback.distributions.compound import Bijection, Mixture, Transformed, Truncated
from kullback.distributions.counting import Binomial, Geometric, NegativeBinomial, Poisson
from kullback.distributions.gaussian_mixture import GaussianMixture
from kullback.distributions.lifetimes import InverseGaussian
from kullback.distributions.positive import (
    GeneralizedGamma,
    HalfCauchy,
    LogNormal,
    Pareto,
)
from kullback.distributions.real import Laplace, LogGamma, Logistic, Normal, StudentT, VonMises
from kullback.distributions.student import MultivariateT
from kullback.distributions.vector import (
    Categorical,
    Directional,
    Dirichlet,
    Multinomial,
    MultivariateNormal,
    Wishart,
)
from kullback.interop import as_distribution

# fmt: off
#: name, shape parameters, what it becomes with a scale alone, and with loc and scale.
CONTINUOUS = [
    ("norm", (), Normal, Normal),
    ("laplace", (), Laplace, Laplace),
    ("logistic", (), Logistic, Logistic),
    ("cauchy", (), StudentT, StudentT),
    ("t", (3.5,), StudentT, StudentT),
    ("t", (math.inf,), Normal, Normal),
    ("gumbel_r", (), LogGamma, LogGamma),
    ("gumbel_l", (), LogGamma, LogGamma),
    ("loggamma", (2.5,), LogGamma, LogGamma),
    ("moyal", (), LogGamma, LogGamma),
    ("uniform", (), Uniform, Uniform),
    ("gamma", (2.5,), GeneralizedGamma, Transformed),
    ("erlang", (3,), GeneralizedGamma, Transformed),
    ("expon", (), GeneralizedGamma, Transformed),
    ("chi2", (3.5,), GeneralizedGamma, Transformed),
    ("chi", (3.5,), GeneralizedGamma, Transformed),
    ("halfnorm", (), GeneralizedGamma, Transformed),
    ("rayleigh", (), GeneralizedGamma, Transformed),
    ("maxwell", (), GeneralizedGamma, Transformed),
    ("nakagami", (2.5,), GeneralizedGamma, Transformed),
    ("weibull_min", (2.5,), GeneralizedGamma, Transformed),
    ("weibull_max", (2.5,), Transformed, Transformed),
    ("gengamma", (2.5, 1.5), GeneralizedGamma, Transformed),
    ("gengamma", (2.5, -1.5), GeneralizedGamma, Transformed),
    ("invgamma", (2.5,), GeneralizedGamma, Transformed),
    ("invweibull", (2.5,), GeneralizedGamma, Transformed),
    ("levy", (), GeneralizedGamma, Transformed),
    ("levy_l", (), Transformed, Transformed),
    ("lognorm", (0.75,), LogNormal, Transformed),
    ("gibrat", (), LogNormal, Transformed),
    ("invgauss", (0.75,), InverseGaussian, Transformed),
    ("wald", (), InverseGaussian, Transformed),
    ("pareto", (2.5,), Pareto, Transformed),
    ("lomax", (2.5,), Transformed, Transformed),
    ("genpareto", (0.3,), Transformed, Transformed),
    ("genpareto", (0.0,), GeneralizedGamma, Transformed),
    ("genpareto", (-0.3,), Transformed, Transformed),
    ("halfcauchy", (), HalfCauchy, Transformed),
    ("beta", (2.5, 0.75), Transformed, Transformed),
    ("arcsine", (), Transformed, Transformed),
    ("powerlaw", (2.5,), Transformed, Transformed),
    ("loguniform", (0.5, 8.0), LogUniform, Transformed),
    ("reciprocal", (0.5, 8.0), LogUniform, Transformed),
    ("fisk", (2.5,), Transformed, Transformed),
    ("loglaplace", (2.5,), Transformed, Transformed),
    ("vonmises_line", (1.5,), Transformed, Transformed),
    ("truncnorm", (-0.5, 2.0), Truncated, Truncated),
    ("truncnorm", (-math.inf, 2.0), Truncated, Truncated),
    ("truncexpon", (2.5,), Truncated, Transformed),
    ("truncpareto", (2.5, 4.0), Truncated, Transformed),
    ("truncweibull_min", (2.5, 0.25, 2.0), Truncated, Transformed),
]

DISCRETE = [
    (stats.poisson(2.5), Poisson),
    (stats.binom(9, 0.3), Binomial),
    (stats.bernoulli(0.3), Binomial),
    (stats.nbinom(2.5, 0.3), NegativeBinomial),
    (stats.geom(0.3), Geometric),
    (stats.geom(0.3, loc=-1), Geometric),
    (stats.randint(0, 8), Categorical),
    (stats.randint(1, 7), Foreign),
    (stats.randint(0, 6, loc=2), Foreign),
    (stats.poisson(2.5, loc=2), Foreign),
    (stats.hypergeom(20, 7, 12), Foreign),
    (stats.zipf(2.5), Foreign),
    (stats.betabinom(9, 2.5, 0.75), Foreign),
    (stats.skellam(2.5, 1.5), Foreign),
    (stats.rv_discrete(values=([0, 1, 2], [0.25, 0.25, 0.5])), Categorical),
    (stats.rv_discrete(values=([2, 3, 7], [0.25, 0.25, 0.5])), Foreign),
]

FOREIGN = [
    stats.skewnorm(2.5, loc=1.0, scale=2.0), stats.gennorm(1.5), stats.genextreme(0.25),
    stats.triang(0.25), stats.nct(5.0, 0.5), stats.genlogistic(0.75),
    stats.laplace_asymmetric(1.5),
    stats.rv_histogram(np.histogram([0.0, 1.0, 1.5, 2.0, 4.0], bins=4)),
]

#: Those whose quantiles SciPy itself searches for, one by one.
SEARCHED = [
    stats.exponnorm(1.5), stats.genhyperbolic(0.5, 1.5, -0.5), stats.recipinvgauss(0.6), stats.norminvgauss(1.2, 0.5),
]
# fmt: on


def points_of(frozen):
    return frozen.ppf([0.01, 0.2, 0.5, 0.9, 0.999])


@pytest.mark.parametrize(
    ("name", "shapes", "scaled", "moved"),
    CONTINUOUS,
    ids=[f"{c[0]}{c[1] or ''}" for c in CONTINUOUS],
)
def test_continuous(name, shapes, scaled, moved):
    family = getattr(stats, name)
    for loc, scale, expected in [(0.0, 1.75, scaled), (-1.25, 0.3, moved)]:
        frozen = family(*shapes, loc=loc, scale=scale)
        ours = as_distribution(frozen)
        assert isinstance(ours, expected)
        x = points_of(frozen)
        np.testing.assert_allclose(ours.log_prob(x), frozen.logpdf(x), rtol=1e-9, atol=1e-11)
        low, high = frozen.support()
        np.testing.assert_allclose([ours.support.low, ours.support.high], [low, high], rtol=1e-14)


@pytest.mark.parametrize(
    ("frozen", "family"),
    DISCRETE,
    ids=[
        f"{c[0].dist.name if hasattr(c[0], 'dist') else 'table'}-{i}"
        for i, c in enumerate(DISCRETE)
    ],
)
def test_discrete(frozen, family):
    ours = as_distribution(frozen)
    assert isinstance(ours, family)
    x = np.arange(-1.0, 9.0)
    np.testing.assert_allclose(ours.log_prob(x), frozen.logpmf(x), rtol=1e-9, atol=1e-12)
    assert ours.log_prob(np.array([0.5]))[0] == -np.inf
    if isinstance(ours, Foreign):
        assert (ours.support.low, ours.support.high) == frozen.support()
        draws = ours.sample(np.random.default_rng(0), 5)
        assert draws.shape == (5,)
        assert np.isfinite(ours.log_prob(draws)).all()


@pytest.mark.parametrize(
    "frozen",
    FOREIGN,
    ids=[d.dist.name or "custom" if hasattr(d, "dist") else "histogram" for d in FOREIGN],
)
def test_foreign(frozen):
    ours = as_distribution(frozen)
    base = ours.base if isinstance(ours, Transformed) else ours
    assert isinstance(base, Foreign)
    assert (ours.support.low, ours.support.high) == frozen.support()
    x = points_of(frozen)
    np.testing.assert_array_equal(ours.log_prob(x), frozen.logpdf(x))
    standard = frozen.dist(*frozen.args) if hasattr(frozen, "dist") else frozen
    u = np.array([1e-9, 0.02, 0.25, 0.9, 0.9999])
    np.testing.assert_array_equal(base.rough_quantile(u), standard.ppf(u))
    first, again = (ours.sample(np.random.default_rng(3), 4) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert first.shape == (4,)


@pytest.mark.parametrize("frozen", SEARCHED, ids=lambda d: d.dist.name)
def test_rough_quantiles_place_panels_and_nothing_else(frozen):
    ours = as_distribution(frozen)
    # A panel may end anywhere near a quantile: a thousandth of the mass beside it is near.
    u = np.linspace(0.002, 0.998, 51)
    np.testing.assert_allclose(frozen.cdf(ours.rough_quantile(u)), u, atol=1e-3)
    exact = replace(ours, rough_quantile=frozen.ppf)
    np.testing.assert_array_equal(exact.log_prob(frozen.ppf(u)), ours.log_prob(frozen.ppf(u)))
    np.testing.assert_array_equal(
        ours.sample(np.random.default_rng(3), 9),
        frozen.rvs(9, random_state=np.random.default_rng(3)),
    )
    one, two = (kl_divergence(p, Normal(0.5, 3.0)) for p in (ours, exact))
    assert not ours.strata()
    assert one.kind == two.kind == "numeric"
    error = one.standard_error + two.standard_error
    assert error < 1e-8
    assert one.value == pytest.approx(two.value, rel=0, abs=error)


def test_parameters_are_kept_exactly():
    assert as_distribution(stats.gamma(2.0, scale=0.1)) == GeneralizedGamma(0.1, 2.0)
    assert as_distribution(stats.norm(0.1, 0.3)) == Normal(0.1, 0.3)
    assert as_distribution(stats.nbinom(2, 0.1)).chance.probability == 1 - Fraction(0.1)
    shifted = as_distribution(stats.gamma(2.0, loc=0.1, scale=0.3))
    assert shifted == Transformed(GeneralizedGamma(0.3, 2.0), (Bijection("affine", 0.1, 1.0),))


def test_a_shift_moves_the_end_of_the_support_exactly():
    for scale in (0.3, 0.7, 1.1):
        for name in ("lomax", "gamma", "pareto"):
            frozen = getattr(stats, name)(2.5, loc=0.1, scale=scale)
            assert as_distribution(frozen).support.low == frozen.support()[0]


def test_keywords_and_positions_are_the_same():
    assert as_distribution(stats.gamma(a=2.0, scale=3.0)) == as_distribution(
        stats.gamma(2.0, 0.0, 3.0)
    )


def test_the_circle():
    frozen = stats.vonmises(1.5, loc=2.0)
    ours = as_distribution(frozen)
    assert ours == VonMises(2.0, 1.5)
    x = np.array([-3.0, 0.5, 3.0])
    np.testing.assert_allclose(ours.log_prob(x), frozen.logpdf(x), rtol=1e-12)


def test_a_family_without_parameters_is_itself():
    assert as_distribution(stats.norm) == Normal(0.0, 1.0)


class Ramp(stats.rv_continuous):
    """A user's own: 2 x on [0, 1]."""

    def _pdf(self, x):
        return 2.0 * x


class Flat(type(stats.norm)):
    """A user's variation of a family of SciPy's."""

    def _logpdf(self, x):
        return -np.abs(x) - math.log(2.0)


def test_a_users_family_is_called():
    ours = as_distribution(Ramp(a=0.0, b=1.0, name="ramp"))
    np.testing.assert_allclose(ours.log_prob(np.array([0.5, 2.0])), [0.0, -np.inf])
    assert isinstance(as_distribution(Flat(name="flat")(loc=1.0)), Foreign)


def rng_rows(d, rows=3):
    return np.random.default_rng(0).normal(size=(rows, d))


POSITIVE_DEFINITE = np.array([[2.0, 0.5], [0.5, 1.0]])

# fmt: off
VECTORS = [
    (stats.multivariate_normal([0.5, -1.0], POSITIVE_DEFINITE), MultivariateNormal, rng_rows(2), (2,)),
    (stats.multivariate_normal([0.5, -1.0], stats.Covariance.from_diagonal([2.0, 0.5])), MultivariateNormal, rng_rows(2), (2,)),
    (stats.matrix_normal([[0.5, -1.0]], [[1.5]], POSITIVE_DEFINITE), MultivariateNormal, rng_rows(2), (1, 2)),
    (stats.multivariate_t([0.5, -1.0], POSITIVE_DEFINITE, df=3.5), MultivariateT, rng_rows(2), (2,)),
    (stats.multivariate_t([0.5, -1.0], POSITIVE_DEFINITE, df=np.inf), MultivariateNormal, rng_rows(2), (2,)),
    (stats.matrix_t([[0.5, -1.0]], [[1.5]], POSITIVE_DEFINITE, df=3.5), Foreign, rng_rows(2), (1, 2)),
    (stats.vonmises_fisher([0.0, 1.0, 0.0], 2.5), Directional, np.array([[0.0, 0.6, 0.8], [1.0, 0.0, 0.0]]), (3,)),
]
COUNTS = [
    (stats.multinomial(4, [0.25, 0.125, 0.625]), Multinomial),
    (stats.dirichlet_multinomial([0.5, 2.5, 9.0], 4), Foreign),
    (stats.multivariate_hypergeom([4, 3, 2], 4), Foreign),
]
# fmt: on


@pytest.mark.parametrize(("frozen", "family", "x", "event"), VECTORS)
def test_vectors(frozen, family, x, event):
    ours = as_distribution(frozen)
    assert isinstance(ours, family)
    theirs = [float(frozen.logpdf(row.reshape(event))) for row in x]
    np.testing.assert_allclose(ours.log_prob(x), theirs, rtol=1e-9)
    if isinstance(ours, Foreign):
        assert ours.sample(np.random.default_rng(0), 3).shape == (3, x.shape[1])


@pytest.mark.parametrize(("frozen", "family"), COUNTS)
def test_counts(frozen, family):
    ours = as_distribution(frozen)
    assert isinstance(ours, family)
    x = np.array([[1, 1, 2], [2, 2, 0], [1, 1, 1]])
    np.testing.assert_allclose(
        ours.log_prob(x.astype(float)), [*frozen.logpmf(x[:2]), -np.inf], rtol=1e-9
    )


def test_matrices():
    x = np.array([[2.0, 0.5], [0.5, 1.0]])
    for frozen, family in [
        (stats.wishart(4, POSITIVE_DEFINITE), Wishart),
        (stats.invwishart(4, POSITIVE_DEFINITE), Foreign),
    ]:
        ours = as_distribution(frozen)
        assert isinstance(ours, family)
        np.testing.assert_allclose(ours.log_prob(x.reshape(1, 4)), frozen.logpdf(x), rtol=1e-9)
        assert ours.sample(np.random.default_rng(0), 3).shape == (3, 4)


def test_simplex_and_normal_inverse_gamma():
    frozen = stats.dirichlet([0.5, 2.5, 4.0])
    ours = as_distribution(frozen)
    assert isinstance(ours, Dirichlet)
    x = np.array([0.25, 0.25, 0.5])
    np.testing.assert_allclose(ours.log_prob(x[None]), frozen.logpdf(x), rtol=1e-9)
    pair = stats.normal_inverse_gamma(0.5, 1.5, 2.5, 0.75)
    ours = as_distribution(pair)
    expected = [float(pair.logpdf(0.5, 2.0)), -np.inf]
    np.testing.assert_allclose(ours.log_prob(np.array([[0.5, 2.0], [0.5, -1.0]])), expected)
    assert ours.sample(np.random.default_rng(0), 3).shape == (3, 2)


@pytest.mark.parametrize(
    ("shape", "family"), [((20,), Mixture), ((100,), Foreign), ((2, 20), GaussianMixture)]
)
def test_kernel_density(shape, family):
    data = np.random.default_rng(0).normal(size=shape)
    kde = stats.gaussian_kde(data, weights=np.arange(1.0, shape[-1] + 1.0))
    ours = as_distribution(kde)
    assert isinstance(ours, family)
    x = rng_rows(2) if len(shape) == 2 else rng_rows(1)[:, 0]
    np.testing.assert_allclose(ours.log_prob(x), kde.logpdf(x.T), rtol=1e-9)
    assert ours.sample(np.random.default_rng(0), 3).shape == x.shape


new = pytest.mark.skipif(
    not hasattr(stats, "Normal"), reason="the new distributions are of SciPy 1.15"
)


# fmt: off
NEW = [
    (lambda: stats.Normal(mu=0.5, sigma=1.5), Normal),
    (lambda: stats.Normal(), Normal),
    (lambda: stats.Uniform(a=-1.0, b=2.0), Uniform),
    (lambda: 2.0 * stats.Normal(mu=0.5, sigma=1.5) - 1.0, Normal),
    (lambda: -stats.Normal(mu=0.5, sigma=1.5), Normal),
    (lambda: stats.exp(stats.Normal(mu=0.5, sigma=1.5)), LogNormal),
    (lambda: stats.log(stats.Uniform(a=1.0, b=2.0)), Transformed),
    (lambda: abs(stats.Normal(mu=0.5, sigma=1.5)), Foreign),
    (lambda: stats.truncate(stats.Normal(mu=0.5, sigma=1.5), 0.0, 2.0), Truncated),
    (lambda: stats.order_statistic(stats.Normal(mu=0.5, sigma=1.5), r=2, n=4), Foreign),
    (lambda: 1.0 / stats.Uniform(a=1.0, b=2.0), Foreign),
    (lambda: stats.make_distribution(stats.gamma)(a=2.5), GeneralizedGamma),
    (lambda: 3.0 * stats.make_distribution(stats.gamma)(a=2.5), GeneralizedGamma),
    (lambda: stats.make_distribution(stats.skewnorm)(a=2.5), Foreign),
    (lambda: stats.make_distribution(stats.beta)(a=2.5, b=0.75), Beta),
    (lambda: stats.Mixture([stats.Normal(mu=0.5, sigma=1.5), stats.Normal()], weights=[0.25, 0.75]), Mixture),
]
# fmt: on


@new
@pytest.mark.parametrize(("make", "family"), NEW)
def test_new(make, family):
    theirs = make()
    ours = as_distribution(theirs)
    assert isinstance(ours, family)
    x = np.array([0.0625, 0.25, 0.6875, 0.75, 1.5])
    with np.errstate(all="ignore"):
        np.testing.assert_allclose(ours.log_prob(x), theirs.logpdf(x), rtol=1e-9, atol=1e-12)
    low, high = theirs.support()
    assert (ours.support.low, ours.support.high) == pytest.approx((low, high))
    if isinstance(ours, Foreign):
        assert ours.sample(np.random.default_rng(0), 3).shape == (3,)


@pytest.mark.skipif(not hasattr(stats, "Binomial"), reason="Binomial is of SciPy 1.16")
def test_new_discrete():
    x = np.array([0.0, 3.0, 9.0])
    theirs = stats.Binomial(n=9, p=0.3)
    ours = as_distribution(theirs)
    assert isinstance(ours, Binomial)
    np.testing.assert_allclose(ours.log_prob(x), theirs.logpmf(x), rtol=1e-9)
    poisson = as_distribution(stats.make_distribution(stats.poisson)(mu=2.5))
    assert poisson == Poisson(2.5)
    zipf = as_distribution(stats.make_distribution(stats.zipf)(a=2.5))
    assert (zipf.support.kind, zipf.support.low) == ("integers", 1.0)


# fmt: off
REFUSED = [
    (lambda: stats.norm([0.0, 1.0]), InputError, r"batch_shape \(2,\): it is 2 distributions"),
    (lambda: stats.norm(scale=[1.0]), InputError, r"batch_shape \(1,\): it is 1 distribution;"),
    (lambda: stats.Normal(mu=[0.0, 1.0]), InputError, r"batch_shape \(2,\)"),
    (lambda: stats.multinomial([3, 4], [0.5, 0.5]), InputError, r"batch_shape \(2,\)"),
    (lambda: stats.norm(0.0, -1.0), InputError, "positive scale, got 0.0 and -1.0"),
    (lambda: stats.norm(math.nan, 1.0), InputError, "finite loc"),
    (lambda: stats.gamma(-1.0), InputError, "shape must be positive"),
    (lambda: stats.gennorm(-1.0), InputError, r"out of range: \(-1\.0,\)"),
    (lambda: stats.binom(3, 1.5), InputError, "between 0 and 1"),
    (lambda: stats.Normal(mu=0.0, sigma=-1.0), InputError, "out of range"),
    (lambda: stats.multivariate_normal([0.0, 0.0], np.ones((2, 2)), allow_singular=True), InputError, "positive definite"),
    (lambda: stats.gamma, InputError, r"scipy\.stats\.gamma\(a=\.\.\.\)"),
    (lambda: stats.multivariate_normal, InputError, "family without its parameters"),
    (lambda: stats.vonmises(1.5, scale=2.0), UnsupportedError, "knows no scale"),
    (lambda: stats.poisson(2.0, loc=0.5), UnsupportedError, "off the integers"),
    (lambda: stats.geom(0.5, loc=0.5), UnsupportedError, "off the integers"),
    (lambda: stats.rv_discrete(values=([0.5, 1.0], [0.5, 0.5])), UnsupportedError, "not integers"),
    (lambda: stats.ortho_group(3), UnsupportedError, "drawn from only"),
    (lambda: stats.random_table([1, 2], [2, 1]), UnsupportedError, "random_table"),
]
# fmt: on


@pytest.mark.parametrize(("make", "error", "message"), REFUSED)
def test_what_cannot_be_used_says_why(make, error, message):
    with pytest.raises(error, match=message):
        as_distribution(make())


@pytest.mark.parametrize(
    "thing", [stats.ttest_1samp([1.0, 2.0, 4.0], 0.0), stats.qmc.Sobol(2), stats.Covariance, stats]
)
def test_other_things_are_none(thing):
    assert as_distribution(thing) is None


@pytest.mark.slow
def test_other_libraries_are_not_imported_for_it():
    code = (
        "import sys, scipy.stats; from kullback.interop import as_distribution;"
        "as_distribution(scipy.stats.norm()); as_distribution(object());"
        "print([m for m in ('jax', 'numpyro', 'torch') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "frozen",
    [
        stats.rice(1.3, 0.5, 2.0), stats.hypsecant(0.5, 2.0), stats.exponpow(1.7, 0.5, 2.0), stats.foldnorm(1.4, 0.5, 2.0),
        stats.johnsonsu(0.4, 1.2, 0.5, 2.0), stats.johnsonsb(0.4, 1.2, 0.5, 2.0), stats.norminvgauss(1.3, -0.7, 0.5, 2.0),
        stats.ncf(1.3, 2.7, 1.1, 0.5, 2.0), stats.gausshyper(1.3, 2.7, 1.1, 0.6, 0.5, 2.0), stats.cosine(0.5, 2.0),
        stats.genhyperbolic(0.7, 1.3, -0.7, 0.5, 2.0), stats.exponweib(1.3, 0.7, 0.0, 2.0), stats.burr(1.3, 2.7, 0.0, 2.0), stats.ncx2(1.3, 2.7, 0.0, 2.0),
        stats.mielke(1.3, 2.7, 0.5, 2.0), stats.kappa3(1.3, 0.5, 2.0), stats.rel_breitwigner(1.3, 0.5, 2.0), stats.laplace_asymmetric(1.3, 0.5, 2.0),
        stats.jf_skew_t(1.2, 3.0, 0.5, 2.0), stats.truncpareto(-1.7, 3.0, 0.5, 2.0),
    ],
    ids=lambda d: d.dist.name,
)  # fmt: skip
def test_log_densities_of_our_own(frozen):
    ours = as_distribution(frozen)
    assert (ours.support.low, ours.support.high) == pytest.approx(frozen.support())
    x = frozen.ppf(np.linspace(0.01, 0.99, 19))
    np.testing.assert_allclose(ours.log_prob(x), frozen.logpdf(x), rtol=1e-11, atol=1e-11)
    if np.isinf(frozen.support()[1]):
        far = ours.log_prob(np.array([frozen.ppf(0.5) + 200.0]))
        assert np.isfinite(far).all() or frozen.dist.name == "exponpow"


#: Far out, in 30 digits: the power in each overflows or vanishes, or its density does.
FAR = [
    (stats.exponweib(0.5273729533235905, 3.2389389815745586), 1.2345e-290, -472.1682111699617),
    (stats.exponweib(1.9, 2.4), 1.2345e-290, -2374.921556317427),
    (stats.burr(1.8750413260381158, 0.3682723119492528), 1.2345e-290, 206.21579667845674),
    (stats.burr12(9.5, 0.4), 1.2345e140, -1547.0133783683214),
    (stats.mielke(1.9429565158073268, 2.377492926494654), 1.2345e140, -1088.8223932288115),
    (stats.kappa3(1.5702615962438033), 1.2345e140, -828.6446697035931),
    (stats.ncx2(0.9318003341092205, 1.0029591850827315), 1.2345e20, -6.1724999988872765e19),
    (stats.ncx2(700.0, 3.0), 0.001, -4353.175417538237),
    (stats.rel_breitwigner(0.7961794039577441), 1.2345e140, -1290.8565770609714),
    (stats.laplace_asymmetric(1.7), -1e30, -5.882352941176471e29),
]


@pytest.mark.parametrize(
    ("frozen", "x", "truth"), FAR, ids=lambda v: v.dist.name if hasattr(v, "dist") else ""
)
def test_log_densities_far_out(frozen, x, truth):
    assert as_distribution(frozen).log_prob(np.array([x]))[0] == pytest.approx(truth, rel=1e-13)
