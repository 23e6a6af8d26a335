"""Every NumPyro class against NumPyro's own log density, computed in float64."""

import pytest

pytest.importorskip("jax")

from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from numpyro.distributions import transforms
from scipy import stats

from kullback.core.errors import InputError, UnsupportedError
from kullback.distributions.base import Foreign
from kullback.distributions.bounded import Beta, Kumaraswamy, LogUniform, Uniform
from kullback.distributions.compound import Mixture, Product, Transformed, Truncated
from kullback.distributions.counting import Binomial, Geometric, NegativeBinomial, Poisson
from kullback.distributions.gaussian_mixture import GaussianMixture
from kullback.distributions.positive import GeneralizedGamma, HalfCauchy, LogNormal, Pareto
from kullback.distributions.real import Laplace, LogGamma, Logistic, Normal, StudentT, VonMises
from kullback.distributions.student import MultivariateT
from kullback.distributions.vector import (
    Categorical,
    Dirichlet,
    Multinomial,
    MultivariateNormal,
    Wishart,
)
from kullback.interop import as_distribution
from tests.tried import some_of

LINE = [-2.5, -0.25, 0.5, 3.0]
POSITIVE = [0.03125, 0.5, 1.75, 6.0]
UNIT = [0.03125, 0.25, 0.5, 0.96875]
COUNTS = [0.0, 1.0, 2.0, 7.0]
MATRIX = [[2.0, 0.5], [0.5, 1.0]]
PLANE = [[0.0, 0.0], [1.0, -0.5], [-2.0, 3.0]]
SIMPLEX = [[0.25, 0.25, 0.5], [0.125, 0.625, 0.25]]


def f(value):
    """A parameter in the current default precision: float32 outside, float64 in the reference."""
    return jnp.asarray(value, dtype=float)


def affine_exp():
    maps = [transforms.AffineTransform(f(1.0), f(2.0)), transforms.ExpTransform()]
    return dist.TransformedDistribution(dist.Normal(0.0, 1.0), maps)


def mapped(base, *maps):
    return lambda: dist.TransformedDistribution(base(), list(maps))


def standard():
    return dist.Normal(f(0.5), f(1.25))


def mix(component):
    return dist.MixtureSameFamily(dist.Categorical(f([0.25, 0.75])), component)


# fmt: off
FAMILIES = [
    ("Normal", lambda: dist.Normal(f(0.75), f(1.5)), LINE, Normal),
    ("Laplace", lambda: dist.Laplace(f(0.75), f(1.5)), LINE, Laplace),
    ("Logistic", lambda: dist.Logistic(f(0.75), f(1.5)), LINE, Logistic),
    ("Gumbel", lambda: dist.Gumbel(f(0.75), f(1.5)), LINE, LogGamma),
    ("Cauchy", lambda: dist.Cauchy(f(0.75), f(1.5)), LINE, StudentT),
    ("StudentT", lambda: dist.StudentT(f(3.5), f(0.75), f(1.5)), LINE, StudentT),
    ("VonMises", lambda: dist.VonMises(f(0.75), f(1.5)), LINE, VonMises),
    ("Gamma", lambda: dist.Gamma(f(2.5), f(0.75)), POSITIVE, GeneralizedGamma),
    ("Exponential", lambda: dist.Exponential(f(0.75)), POSITIVE, GeneralizedGamma),
    ("Chi2", lambda: dist.Chi2(f(3.0)), POSITIVE, GeneralizedGamma),
    ("HalfNormal", lambda: dist.HalfNormal(f(1.5)), POSITIVE, GeneralizedGamma),
    ("InverseGamma", lambda: dist.InverseGamma(f(2.5), f(0.75)), POSITIVE, GeneralizedGamma),
    ("Weibull", lambda: dist.Weibull(f(1.5), f(2.5)), POSITIVE, GeneralizedGamma),
    ("HalfCauchy", lambda: dist.HalfCauchy(f(1.5)), POSITIVE, HalfCauchy),
    ("LogNormal", lambda: dist.LogNormal(f(0.75), f(1.5)), POSITIVE, LogNormal),
    ("Pareto", lambda: dist.Pareto(f(0.5), f(2.5)), [0.75, 2.0, 9.0], Pareto),
    ("Levy", lambda: dist.Levy(f(-0.5), f(1.5)), POSITIVE, Transformed),
    ("LowerTruncatedPowerLaw", lambda: dist.LowerTruncatedPowerLaw(f(-2.5), f(0.5)), [0.75, 4.0], Pareto),
    ("Uniform", lambda: dist.Uniform(f(-3.0), f(4.0)), LINE, Uniform),
    ("LogUniform", lambda: dist.LogUniform(f(0.25), f(8.0)), [0.5, 2.0, 7.0], LogUniform),
    ("Beta", lambda: dist.Beta(f(2.5), f(0.75)), UNIT, Beta),
    ("BetaProportion", lambda: dist.BetaProportion(f(0.25), f(4.0)), UNIT, Beta),
    ("Kumaraswamy", lambda: dist.Kumaraswamy(f(2.5), f(0.75)), UNIT, Kumaraswamy),
    ("RelaxedBernoulli", lambda: dist.RelaxedBernoulli(f(0.5), logits=f(0.75)), UNIT, Transformed),
    ("Poisson", lambda: dist.Poisson(f(2.5)), COUNTS, Poisson),
    ("Bernoulli", lambda: dist.Bernoulli(f(0.25)), [0.0, 1.0], Binomial),
    ("Bernoulli_logits", lambda: dist.Bernoulli(logits=f(1.5)), [0.0, 1.0], Binomial),
    ("Binomial", lambda: dist.Binomial(9, f(0.25)), COUNTS, Binomial),
    ("Binomial_logits", lambda: dist.Binomial(9, logits=f(1.5)), COUNTS, Binomial),
    ("Geometric", lambda: dist.Geometric(f(0.25)), COUNTS, Geometric),
    ("Geometric_logits", lambda: dist.Geometric(logits=f(1.5)), COUNTS, Geometric),
    ("NegativeBinomial_logits", lambda: dist.NegativeBinomial(f(2.5), logits=f(-0.5)), COUNTS, NegativeBinomial),
    ("DiscreteUniform", lambda: dist.DiscreteUniform(0, 7), COUNTS, Categorical),
    ("DiscreteUniform_shifted", lambda: dist.DiscreteUniform(-2, 9), COUNTS, Foreign),
    ("Categorical", lambda: dist.Categorical(f([0.25, 0.125, 0.625])), [0.0, 1.0, 2.0], Categorical),
    ("Categorical_logits", lambda: dist.Categorical(logits=f([0.5, -1.0, 2.0])), [0.0, 1.0, 2.0], Categorical),
    ("OrderedLogistic", lambda: dist.OrderedLogistic(f(0.5), f([-1.0, 0.75])), [0.0, 1.0, 2.0], Categorical),
    ("ZeroInflatedPoisson", lambda: dist.ZeroInflatedPoisson(f(0.25), f(2.5)), COUNTS, Mixture),
    ("ZeroInflated_logits", lambda: dist.ZeroInflatedDistribution(dist.Poisson(f(2.5)), gate_logits=f(0.5)), COUNTS, Mixture),
    ("Multinomial", lambda: dist.Multinomial(4, f([0.25, 0.125, 0.625])), [[1, 1, 2], [4, 0, 0]], Multinomial),
    ("Dirichlet", lambda: dist.Dirichlet(f([0.5, 2.5, 4.0])), SIMPLEX, Dirichlet),
    ("MultivariateNormal", lambda: dist.MultivariateNormal(f([0.5, -1.0]), f(MATRIX)), PLANE, MultivariateNormal),
    ("MultivariateNormal_tril", lambda: dist.MultivariateNormal(f([0.5, -1.0]), scale_tril=f([[1.5, 0.0], [0.25, 0.5]])), PLANE, MultivariateNormal),
    ("MultivariateNormal_precision", lambda: dist.MultivariateNormal(0.0, precision_matrix=f(MATRIX)), PLANE, MultivariateNormal),
    ("LowRankMultivariateNormal", lambda: dist.LowRankMultivariateNormal(f([0.5, -1.0]), f([[1.0], [2.0]]), f([0.5, 0.25])), PLANE, MultivariateNormal),
    ("CirculantNormal", lambda: dist.CirculantNormal(f([0.5, -1.0, 2.0]), f([2.0, 0.5, 0.5])), [[0.0, 1.0, -1.0], [0.5, 0.5, 3.0]], MultivariateNormal),
    ("CirculantNormal_rfft", lambda: dist.CirculantNormal(f([0.5, -1.0, 2.0]), covariance_rfft=f([3.0, 1.5])), [[0.0, 1.0, -1.0], [0.5, 0.5, 3.0]], MultivariateNormal),
    ("GaussianRandomWalk", lambda: dist.GaussianRandomWalk(f(1.5), 2), PLANE, MultivariateNormal),
    ("MatrixNormal", lambda: dist.MatrixNormal(f([[0.5, -1.0]]), f([[1.5]]), f([[1.0, 0.0], [0.5, 2.0]])), PLANE, MultivariateNormal),
    ("GaussianStateSpace", lambda: dist.GaussianStateSpace(2, f([[0.5]]), scale_tril=f([[1.5]])), PLANE, MultivariateNormal),
    ("Wishart", lambda: dist.Wishart(f(3.5), f(MATRIX)), [[2.0, 0.5, 0.5, 1.0], [1.0, 0.0, 0.0, 4.0]], Wishart),
    ("Wishart_rate", lambda: dist.Wishart(f(3.5), rate_matrix=f(MATRIX)), [[2.0, 0.5, 0.5, 1.0]], Wishart),
    ("TruncatedNormal", lambda: dist.TruncatedNormal(f(0.5), f(1.25), low=f(-1.0)), [-0.5, 0.5, 3.0], Truncated),
    ("TruncatedNormal_two", lambda: dist.TruncatedNormal(f(0.5), f(1.25), low=f(-1.0), high=f(2.0)), [-0.5, 0.5, 1.5], Truncated),
    ("TruncatedCauchy", lambda: dist.TruncatedDistribution(dist.Cauchy(f(0.5), f(1.25)), high=f(2.0)), [-9.0, 0.5, 1.5], Truncated),
    ("Independent", lambda: dist.Normal(f([0.5, -1.0]), f([1.5, 0.25])).to_event(1), PLANE, Product),
    ("Independent_gamma", lambda: dist.Gamma(f([0.5, 2.0]), f(1.5)).to_event(1), [[0.5, 2.0], [3.0, 0.25]], Product),
    ("Expanded", lambda: dist.Normal(f(0.5), f(1.5)).expand([2]).to_event(1), PLANE, Product),
    ("LogNormal_by_maps", affine_exp, POSITIVE, LogNormal),
    ("affine", mapped(standard, transforms.AffineTransform(-0.5, -2.0)), LINE, Normal),
    ("LogitNormal", mapped(standard, transforms.SigmoidTransform()), UNIT, Transformed),
    ("softplus", mapped(standard, transforms.SoftplusTransform()), POSITIVE, Transformed),
    ("power", mapped(lambda: dist.Gamma(f(2.5), f(0.75)), transforms.PowerTransform(0.5)), POSITIVE, Transformed),
    ("log", mapped(lambda: dist.Gamma(f(2.5), f(0.75)), transforms.ExpTransform().inv), LINE, Transformed),
    ("inverse_affine", mapped(standard, transforms.AffineTransform(-0.5, 2.0).inv), LINE, Normal),
    ("elementwise", mapped(lambda: dist.Normal(f([0.5, -1.0]), f(1.0)).to_event(1), transforms.ExpTransform()), [[0.5, 2.0], [3.0, 0.25]], Product),
    ("LowerCholeskyAffine", mapped(lambda: dist.Normal(f([0.5, -1.0]), f(1.5)).to_event(1), transforms.LowerCholeskyAffine(np.array([1.0, 2.0]), np.array([[1.5, 0.0], [0.25, 0.5]]))), PLANE, MultivariateNormal),
    ("Mixture", lambda: mix(dist.Normal(f([0.5, -1.0]), f(1.5))), LINE, Mixture),
    ("Mixture_vectors", lambda: mix(dist.MultivariateNormal(f([[0.5, -1.0], [2.0, 0.0]]), f(MATRIX))), PLANE, GaussianMixture),
    ("Mixture_diagonal", lambda: mix(dist.Normal(f([[0.5, -1.0], [2.0, 0.0]]), f(1.5)).to_event(1)), PLANE, GaussianMixture),
    ("AsymmetricLaplace", lambda: dist.AsymmetricLaplace(f(0.5), f(1.5), f(0.75)), LINE, Transformed),
    ("SoftLaplace", lambda: dist.SoftLaplace(f(0.5), f(1.5)), LINE, Transformed),
    ("Dagum", lambda: dist.Dagum(f(1.5), f(2.5), f(0.75)), POSITIVE, Transformed),
    ("MixtureGeneral", lambda: dist.MixtureGeneral(dist.Categorical(logits=f([0.5, 1.0])), [dist.Normal(f(0.5), 1.0), dist.Cauchy(f(1.0), 2.0)]), LINE, Mixture),
]

SLOW = ("MultivariateStudentT", "LKJCholesky", "HurdlePoisson", "DoublyTruncatedPowerLaw")
FOREIGN = [
    ("DoublyTruncatedPowerLaw", lambda: dist.DoublyTruncatedPowerLaw(f(-1.5), f(0.5), f(8.0)), [0.75, 2.0, 6.0]),
    ("HurdlePoisson", lambda: dist.HurdlePoisson(f(0.25), f(2.5)), COUNTS),
    ("MultivariateStudentT", lambda: dist.MultivariateStudentT(f(3.5), f([0.5, -1.0]), f([[1.5, 0.0], [0.25, 0.5]])), PLANE),
    ("ProjectedNormal", lambda: dist.ProjectedNormal(f([0.5, -1.0])), [[1.0, 0.0], [0.0, -1.0]]),
    ("LKJCholesky", lambda: dist.LKJCholesky(2, f(1.5)), [[1.0, 0.0, 0.6, 0.8]]),
    ("SoftLaplace_vector", lambda: dist.SoftLaplace(f([1.5, 0.5]), f(0.75)).to_event(1), [[0.5, 2.0], [1.0, 0.25]]),
    ("multivariate_lognormal", mapped(lambda: dist.MultivariateNormal(f([0.5, -1.0]), f(MATRIX)), transforms.ExpTransform()), [[0.5, 2.0], [3.0, 0.25]]),
]
# fmt: on


def reference(make, points):
    """NumPyro's own answer, its parameters built in float64; one compilation each."""
    thing = make()
    kind = int if thing.support.is_discrete else float
    with jax.enable_x64(True):
        x = np.asarray(points, dtype=kind).reshape(-1, *thing.event_shape)
        return np.asarray(jax.jit(lambda x: make().log_prob(x))(x))


@pytest.mark.parametrize("case", some_of(FAMILIES, lambda i, case: case[0], every=4))
def test_family(case):
    _, make, points, family = case
    ours = as_distribution(make())
    assert isinstance(ours, family)
    expected = reference(make, points)
    np.testing.assert_allclose(
        ours.log_prob(np.array(points, dtype=float)), expected, rtol=1e-9, atol=1e-12
    )


@pytest.mark.parametrize(
    ("make", "points"),
    [
        pytest.param(*c[1:], id=c[0], marks=[pytest.mark.slow] if c[0] in SLOW else [])
        for c in FOREIGN
    ],
)
def test_foreign_density_and_sampler(make, points):
    ours = as_distribution(make())
    parts = ours.parts if isinstance(ours, Product) else (ours,)
    bases = [p.base if isinstance(p, Transformed) else p for p in parts]
    assert all(isinstance(p, (Foreign, MultivariateT)) for p in bases)
    expected = reference(make, points)
    np.testing.assert_allclose(
        ours.log_prob(np.array(points, dtype=float)), expected, rtol=1e-9, atol=1e-12
    )
    draws = ours.sample(np.random.default_rng(0), 5)
    assert draws.shape == (5, *np.shape(points)[1:])
    assert draws.dtype == np.float64
    assert np.isfinite(ours.log_prob(draws)).all()


# fmt: off
PEERS = [
    (dist.GammaPoisson(2.5, 0.75), stats.nbinom(2.5, 0.75 / 1.75)),
    (dist.NegativeBinomial2(2.0, 4.0), stats.nbinom(4.0, 2.0 / 3.0)),
    (dist.NegativeBinomial(2.5, 0.25), stats.nbinom(2.5, 0.75)),
    (dist.BetaBinomial(2.5, 0.75, 20), stats.betabinom(20, 2.5, 0.75)),
    (dist.BetaNegativeBinomial(2.5, 3.5, 4.0), stats.betanbinom(4, 3.5, 2.5)),
]
# fmt: on


@pytest.mark.parametrize(("thing", "peer"), PEERS)
def test_counts_where_numpyro_itself_is_off_by_1e_6(thing, peer):
    x = np.array([0.0, 1.0, 2.0, 7.0, 19.0])
    ours = as_distribution(thing)
    np.testing.assert_allclose(ours.log_prob(x), peer.logpmf(x), rtol=1e-9)
    assert np.isneginf(ours.log_prob(np.array([-1.0, 0.5]))).all()
    draws = ours.sample(np.random.default_rng(0), 4000)
    assert abs(draws.mean() - peer.mean()) < 5.0 * peer.std() / 4000**0.5


def test_dirichlet_multinomial():
    ours = as_distribution(dist.DirichletMultinomial(jnp.array([0.5, 2.5, 9.0]), 4))
    x = np.array([[1.0, 1.0, 2.0], [4.0, 0.0, 0.0], [1.0, 1.0, 1.0]])
    peer = stats.dirichlet_multinomial([0.5, 2.5, 9.0], 4)
    np.testing.assert_allclose(ours.log_prob(x)[:2], peer.logpmf(x[:2].astype(int)), rtol=1e-9)
    assert ours.log_prob(x)[2] == -np.inf
    assert (ours.sample(np.random.default_rng(0), 6).sum(axis=1) == 4).all()


def test_the_answer_does_not_depend_on_the_callers_flag():
    x = np.array(POSITIVE)
    with jax.enable_x64(True):
        wide = as_distribution(dist.SoftLaplace(1.5, 0.75)).log_prob(x)
    narrow = as_distribution(dist.SoftLaplace(jnp.float32(1.5), jnp.float32(0.75))).log_prob(x)
    np.testing.assert_array_equal(wide, narrow)
    assert not jax.config.jax_enable_x64 or jnp.ones(1).dtype == jnp.float64


def test_parameters_are_kept_exactly():
    assert as_distribution(dist.Gamma(2.0, 3.0)).scale == Fraction(1, 3)
    assert as_distribution(dist.Normal(jnp.float32(0.1), 1.0)).loc == float(np.float32(0.1))
    assert as_distribution(dist.GammaPoisson(2.0, 3.0)).chance.probability == Fraction(1, 4)
    matrix = np.float32([[2.0, 0.1], [0.1, 1.0]])
    given = as_distribution(dist.MultivariateNormal(jnp.zeros(2), jnp.asarray(matrix))).given
    np.testing.assert_array_equal(given, matrix.astype(np.float64))


def test_the_covariance_computed_from_a_root_is_not_what_was_given():
    thing = dist.MultivariateNormal(jnp.zeros(2), scale_tril=jnp.eye(2))
    assert thing.covariance_matrix.shape == (2, 2)
    assert as_distribution(thing).given is None


# fmt: off
SUPPORTS = [
    (dist.Gompertz(1.0, 1.0), 0.0, np.inf, "interval"),
    (dist.SoftLaplace(0.0, 1.0), -np.inf, np.inf, "interval"),
    (dist.DoublyTruncatedPowerLaw(-1.5, 0.5, 8.0), 0.5, 8.0, "interval"),
    (dist.BetaBinomial(1.0, 1.0, 9), 0.0, 9.0, "integers"),
    (dist.HurdlePoisson(0.25, 1.0), 0.0, np.inf, "integers"),
    (dist.DirichletMultinomial(jnp.ones(3), 4), 0.0, 4.0, "counts"),
    (dist.ProjectedNormal(jnp.ones(2)), -np.inf, np.inf, "sphere"),
    (dist.LKJ(2, 1.0), -np.inf, np.inf, "matrix"),
    (dist.InverseWishart(4.0, jnp.eye(2)), -np.inf, np.inf, "matrix"),
    (dist.Delta(3.0), 3.0, 3.0, "integers"),
]
# fmt: on


@pytest.mark.parametrize(("thing", "low", "high", "kind"), SUPPORTS)
def test_support(thing, low, high, kind):
    support = as_distribution(thing).support
    assert (support.kind, support.low, support.high) == (kind, low, high)


def test_outside_the_support_the_density_is_zero():
    ours = as_distribution(dist.DoublyTruncatedPowerLaw(-1.5, 0.5, 8.0))
    assert ours.log_prob(np.array([-1.0]))[0] == -np.inf


def test_many_points_and_none():
    ours = as_distribution(dist.SoftLaplace(0.0, 1.0))
    assert ours.log_prob(np.zeros(40_000)).shape == (40_000,)
    assert ours.log_prob(np.zeros(0)).shape == (0,)


class Shifted(dist.Normal):
    """Inherits the density: a Normal."""


class Doubled(dist.Normal):
    """Changes the density, in a way that JAX cannot trace."""

    def log_prob(self, value, intermediates=None):
        return dist.Normal(self.loc, 2.0 * self.scale).log_prob(np.asarray(value))


@pytest.mark.slow
def test_a_subclass_is_its_parent_unless_it_changes_the_density():
    assert as_distribution(Shifted(0.5, 1.0)) == Normal(0.5, 1.0)
    ours = as_distribution(Doubled(jnp.float32(0.5), 1.0))
    assert isinstance(ours, Foreign)
    x = np.array(LINE)
    np.testing.assert_allclose(ours.log_prob(x), Normal(0.5, 2.0).log_prob(x), rtol=1e-12)


def test_the_absolute_value_counts_both_points():
    x = np.array([0.25, 1.0, 3.0])
    ours = as_distribution(dist.FoldedDistribution(dist.Normal(1.0, 1.0)))
    normal = Normal(1.0, 1.0)
    expected = np.logaddexp(normal.log_prob(x), normal.log_prob(-x))
    np.testing.assert_allclose(ours.log_prob(x), expected, rtol=1e-12)
    assert ours.log_prob(np.array([-1.0]))[0] == -np.inf
    by_map = mapped(lambda: dist.Normal(1.0, 1.0), transforms.AbsTransform())()
    np.testing.assert_array_equal(as_distribution(by_map).log_prob(x), ours.log_prob(x))
    assert as_distribution(dist.FoldedDistribution(dist.Normal(0.0, 2.0))) == GeneralizedGamma(
        2.0, 0.5, 2.0, 0.5
    )


def test_masks_of_ones_and_rows_of_products():
    assert as_distribution(dist.Normal(0.0, 1.0).mask(jnp.array(True))) == Normal(0.0, 1.0)
    ours = as_distribution(dist.Delta(jnp.array([1.0, 2.0]), event_dim=1))
    assert ours.log_prob(np.array([[1.0, 2.0], [1.0, 3.0]])).tolist() == [0.0, -np.inf]


# fmt: off
REFUSED = [
    (dist.Normal(jnp.zeros(3), 1.0), InputError, r"batch_shape \(3,\): it is 3 distributions; make them one with \.to_event\(1\)"),
    (dist.Normal(jnp.zeros((2, 3)), 1.0), InputError, r"it is 6 distributions.*\.to_event\(2\)"),
    (dist.Normal(jnp.zeros(1), 1.0), InputError, r"batch_shape \(1,\): it is 1 distribution;"),
    (dist.Normal(0.0, -1.0, validate_args=False), InputError, "scale must be positive"),
    (dist.Gamma(1.0, float("nan"), validate_args=False), InputError, "Gamma: rate must be positive"),
    (dist.Categorical(jnp.array([0.5, -0.5]), validate_args=False), InputError, "non-negative"),
    (dist.Delta(0.5), UnsupportedError, "point mass at 0.5: the KL from a point mass"),
    (dist.Delta(1.0, log_density=2.0), InputError, "not normalised"),
    (dist.Normal(0.0, 1.0).mask(False), InputError, "masked density"),
    (dist.HurdleGamma(0.5, 1.0, 1.0), UnsupportedError, "neither discrete nor continuous"),
    (dist.ImproperUniform(dist.constraints.real, (), ()), UnsupportedError, "does not integrate to 1"),
    (dist.ZeroSumNormal(1.0, (3,)), UnsupportedError, "sum to zero"),
    (dist.RightCensoredDistribution(dist.Normal(0.0, 1.0), jnp.array(0)), UnsupportedError, "censored"),
    (mapped(lambda: dist.Poisson(1.0), transforms.AffineTransform(0.0, 2.0))(), UnsupportedError, "no slope"),
    (mapped(lambda: dist.Normal(0.0, 1.0), transforms.PowerTransform(2.0))(), UnsupportedError, "map power is defined on"),
    (mapped(lambda: dist.MultivariateNormal(jnp.zeros(2), jnp.eye(2)), transforms.AbsTransform())(), UnsupportedError, "not one-to-one"),
]
# fmt: on


@pytest.mark.parametrize(("thing", "error", "message"), REFUSED)
def test_what_cannot_be_used_says_why(thing, error, message):
    with pytest.raises(error, match=message):
        as_distribution(thing)


def test_tracers_are_refused():
    def loss(loc):
        as_distribution(dist.Normal(loc, 1.0))
        return loc

    with pytest.raises(InputError, match=r"tracers.*kullback\.losses"):
        jax.jit(loss)(0.5)


@pytest.mark.parametrize(
    "thing", [dist.Normal, dist.constraints.real, transforms.ExpTransform(), 3.0, None]
)
def test_other_things_are_none(thing):
    assert as_distribution(thing) is None


def test_our_own_come_back():
    ours = Normal(0.0, 1.0)
    assert as_distribution(ours) is ours
