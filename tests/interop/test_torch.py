"""Every torch class against torch's own log density, computed in float64."""

from fractions import Fraction

import numpy as np
import pytest
from scipy import stats

from kullback.core.errors import InputError, UnsupportedError
from kullback.distributions.base import Foreign
from kullback.distributions.bounded import Beta, ContinuousBernoulli, Kumaraswamy, Uniform
from kullback.distributions.compound import Mixture, Product, Transformed
from kullback.distributions.counting import Binomial, Geometric, NegativeBinomial, Poisson
from kullback.distributions.gaussian_mixture import GaussianMixture
from kullback.distributions.positive import GeneralizedGamma, HalfCauchy, LogNormal, Pareto
from kullback.distributions.real import Laplace, LogGamma, Logistic, Normal, StudentT, VonMises
from kullback.distributions.vector import (
    Categorical,
    Dirichlet,
    Multinomial,
    MultivariateNormal,
    Wishart,
)
from kullback.interop import as_distribution

torch = pytest.importorskip("torch")
dist = torch.distributions
T = dist.transforms

LINE = [-2.5, -0.25, 0.5, 3.0]
POSITIVE = [0.03125, 0.5, 1.75, 6.0]
UNIT = [0.03125, 0.25, 0.625, 0.96875]
COUNTS = [0.0, 1.0, 2.0, 7.0]
MATRIX = [[2.0, 0.5], [0.5, 1.0]]
PLANE = [[0.0, 0.0], [1.0, -0.5], [-2.0, 3.0]]
QUADRANT = [[0.5, 2.0], [3.0, 0.25]]
SIMPLEX = [[0.25, 0.25, 0.5], [0.125, 0.625, 0.25]]
TRIL = [[1.5, 0.0], [0.25, 0.5]]


def f(value):
    """A parameter in torch's default precision: float32, and float64 in the reference."""
    return torch.tensor(value, dtype=torch.get_default_dtype())


@pytest.fixture
def float64():
    """Makes tensors float64 while the reference is built."""

    def reference(make, points):
        before = torch.get_default_dtype()
        torch.set_default_dtype(torch.float64)
        try:
            thing = make()
            return thing.log_prob(torch.tensor(points).reshape(-1, *thing.event_shape)).numpy()
        finally:
            torch.set_default_dtype(before)

    return reference


def standard():
    return dist.Normal(f(0.5), f(1.25))


def mapped(base, *maps):
    return lambda: dist.TransformedDistribution(base(), list(maps))


def mix(component):
    return dist.MixtureSameFamily(dist.Categorical(f([0.25, 0.75])), component)


# fmt: off
FAMILIES = [
    ("Normal", lambda: dist.Normal(f(0.75), f(1.5)), LINE, Normal),
    ("Laplace", lambda: dist.Laplace(f(0.75), f(1.5)), LINE, Laplace),
    ("Gumbel", lambda: dist.Gumbel(f(0.75), f(1.5)), LINE, LogGamma),
    ("Cauchy", lambda: dist.Cauchy(f(0.75), f(1.5)), LINE, StudentT),
    ("StudentT", lambda: dist.StudentT(f(3.5), f(0.75), f(1.5)), LINE, StudentT),
    ("Gamma", lambda: dist.Gamma(f(2.5), f(0.75)), POSITIVE, GeneralizedGamma),
    ("Exponential", lambda: dist.Exponential(f(0.75)), POSITIVE, GeneralizedGamma),
    ("Chi2", lambda: dist.Chi2(f(3.0)), POSITIVE, GeneralizedGamma),
    ("HalfNormal", lambda: dist.HalfNormal(f(1.5)), POSITIVE, GeneralizedGamma),
    ("InverseGamma", lambda: dist.InverseGamma(f(2.5), f(0.75)), POSITIVE, GeneralizedGamma),
    ("Weibull", lambda: dist.Weibull(f(2.5), f(1.5)), POSITIVE, GeneralizedGamma),
    ("HalfCauchy", lambda: dist.HalfCauchy(f(1.5)), POSITIVE, HalfCauchy),
    ("LogNormal", lambda: dist.LogNormal(f(0.75), f(1.5)), POSITIVE, LogNormal),
    ("GeneralizedPareto", lambda: dist.GeneralizedPareto(f(0.5), f(1.5), f(0.25)), [0.75, 2.0, 9.0], Transformed),
    ("Pareto", lambda: dist.Pareto(f(0.5), f(2.5)), [0.75, 2.0, 9.0], Pareto),
    ("Uniform", lambda: dist.Uniform(f(-3.0), f(4.0)), LINE, Uniform),
    ("Beta", lambda: dist.Beta(f(2.5), f(0.75)), UNIT, Beta),
    ("Kumaraswamy", lambda: dist.Kumaraswamy(f(2.5), f(0.75)), UNIT, Kumaraswamy),
    ("ContinuousBernoulli", lambda: dist.ContinuousBernoulli(f(0.125)), UNIT, ContinuousBernoulli),
    ("ContinuousBernoulli_logits", lambda: dist.ContinuousBernoulli(logits=f(1.5)), UNIT, ContinuousBernoulli),
    ("RelaxedBernoulli", lambda: dist.RelaxedBernoulli(f(0.5), f(0.25)), UNIT, Transformed),
    ("RelaxedBernoulli_logits", lambda: dist.RelaxedBernoulli(f(0.5), logits=f(0.75)), UNIT, Transformed),
    ("LogitRelaxedBernoulli", lambda: dist.relaxed_bernoulli.LogitRelaxedBernoulli(f(0.5), logits=f(0.75)), LINE, Logistic),
    ("Poisson", lambda: dist.Poisson(f(2.5)), COUNTS, Poisson),
    ("Bernoulli", lambda: dist.Bernoulli(f(0.25)), [0.0, 1.0], Binomial),
    ("Bernoulli_logits", lambda: dist.Bernoulli(logits=f(1.5)), [0.0, 1.0], Binomial),
    ("Binomial", lambda: dist.Binomial(9, f(0.25)), COUNTS, Binomial),
    ("Geometric", lambda: dist.Geometric(f(0.25)), COUNTS, Geometric),
    ("NegativeBinomial", lambda: dist.NegativeBinomial(f(2.5), f(0.25)), COUNTS, NegativeBinomial),
    ("NegativeBinomial_logits", lambda: dist.NegativeBinomial(f(2.5), logits=f(-0.5)), COUNTS, NegativeBinomial),
    ("Categorical", lambda: dist.Categorical(f([0.25, 0.125, 0.625])), [0.0, 1.0, 2.0], Categorical),
    ("Categorical_logits", lambda: dist.Categorical(logits=f([0.5, -1.0, 2.0])), [0.0, 1.0, 2.0], Categorical),
    ("OneHotCategorical", lambda: dist.OneHotCategorical(f([0.25, 0.125, 0.625])), [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]], Categorical),
    ("OneHotCategoricalStraightThrough", lambda: dist.OneHotCategoricalStraightThrough(f([0.25, 0.75])), [[1.0, 0.0]], Categorical),
    ("Multinomial", lambda: dist.Multinomial(4, f([0.25, 0.125, 0.625])), [[1.0, 1.0, 2.0], [4.0, 0.0, 0.0]], Multinomial),
    ("Dirichlet", lambda: dist.Dirichlet(f([0.5, 2.5, 4.0])), SIMPLEX, Dirichlet),
    ("MultivariateNormal", lambda: dist.MultivariateNormal(f([0.5, -1.0]), f(MATRIX)), PLANE, MultivariateNormal),
    ("MultivariateNormal_tril", lambda: dist.MultivariateNormal(f([0.5, -1.0]), scale_tril=f(TRIL)), PLANE, MultivariateNormal),
    ("MultivariateNormal_precision", lambda: dist.MultivariateNormal(f([0.5, -1.0]), precision_matrix=f(MATRIX)), PLANE, MultivariateNormal),
    ("LowRankMultivariateNormal", lambda: dist.LowRankMultivariateNormal(f([0.5, -1.0]), f([[1.0], [2.0]]), f([0.5, 0.25])), PLANE, MultivariateNormal),
    ("Wishart", lambda: dist.Wishart(f(3.5), f(MATRIX)), [[2.0, 0.5, 0.5, 1.0], [1.0, 0.0, 0.0, 4.0]], Wishart),
    ("Wishart_precision", lambda: dist.Wishart(f(3.5), precision_matrix=f(MATRIX)), [[2.0, 0.5, 0.5, 1.0]], Wishart),
    ("Independent", lambda: dist.Independent(dist.Normal(f([0.5, -1.0]), f([1.5, 0.25])), 1), PLANE, Product),
    ("Independent_matrix", lambda: dist.Independent(dist.Normal(f([[0.5, -1.0]]), f(1.5)), 2), PLANE, Product),
    ("Independent_vectors", lambda: dist.Independent(dist.Dirichlet(f([[0.5, 2.5], [1.0, 2.0]])), 1), [[0.25, 0.75, 0.5, 0.5]], Product),
    ("expanded", lambda: dist.Independent(dist.Gamma(f(0.5), f(1.5)).expand([2]), 1), QUADRANT, Product),
    ("LogNormal_by_maps", mapped(lambda: dist.Normal(f(0.0), f(1.0)), T.AffineTransform(1.0, 2.0), T.ExpTransform()), POSITIVE, LogNormal),
    ("affine", mapped(standard, T.AffineTransform(-0.5, -2.0)), LINE, Normal),
    ("LogitNormal", mapped(standard, T.SigmoidTransform()), UNIT, Transformed),
    ("tanh", mapped(standard, T.TanhTransform()), [-0.5, 0.25, 0.9375], Transformed),
    ("atanh", mapped(lambda: dist.Uniform(f(-1.0), f(1.0)), T.TanhTransform().inv), LINE, Transformed),
    ("softplus", mapped(standard, T.SoftplusTransform()), POSITIVE, Transformed),
    ("power", mapped(lambda: dist.Gamma(f(2.5), f(0.75)), T.PowerTransform(torch.tensor(0.5))), POSITIVE, Transformed),
    ("log", mapped(lambda: dist.Gamma(f(2.5), f(0.75)), T.ExpTransform().inv), LINE, Transformed),
    ("logit", mapped(lambda: dist.Beta(f(2.5), f(0.75)), T.SigmoidTransform().inv), LINE, Transformed),
    ("composed", mapped(standard, T.ComposeTransform([T.AffineTransform(1.0, 2.0), T.SigmoidTransform()]).inv.inv), UNIT, Transformed),
    ("elementwise", mapped(lambda: dist.Independent(dist.Normal(f([0.5, -1.0]), f(1.0)), 1), T.ExpTransform()), QUADRANT, Product),
    ("IndependentTransform", mapped(lambda: dist.Normal(f([0.5, -1.0]), f(1.0)), T.IndependentTransform(T.ExpTransform(), 1)), QUADRANT, Product),
    ("affine_of_vectors", mapped(lambda: dist.MultivariateNormal(f([0.5, -1.0]), f(MATRIX)), T.AffineTransform(torch.tensor([1.0, 2.0]), torch.tensor([-2.0, 0.5]))), PLANE, MultivariateNormal),
    ("Mixture", lambda: mix(dist.Normal(f([0.5, -1.0]), f(1.5))), LINE, Mixture),
    ("Mixture_vectors", lambda: mix(dist.MultivariateNormal(f([[0.5, -1.0], [2.0, 0.0]]), f(MATRIX))), PLANE, GaussianMixture),
    ("Mixture_diagonal", lambda: mix(dist.Independent(dist.Normal(f([[0.5, -1.0], [2.0, 0.0]]), f(1.5)), 1)), PLANE, GaussianMixture),
]

FOREIGN = [
    ("FisherSnedecor", lambda: dist.FisherSnedecor(f(2.5), f(3.5)), POSITIVE),
    ("LKJCholesky", lambda: dist.LKJCholesky(2, f(1.5)), [[1.0, 0.0, 0.6, 0.8]]),
    ("LogisticNormal", lambda: dist.LogisticNormal(f([0.5, -1.0]), f([1.0, 0.5])), SIMPLEX),
    ("RelaxedOneHotCategorical", lambda: dist.RelaxedOneHotCategorical(f(0.5), f([0.25, 0.25, 0.5])), SIMPLEX),
    ("vector", lambda: dist.Independent(dist.FisherSnedecor(f([2.5, 1.5]), f(3.5)), 1), QUADRANT),
    ("multivariate_lognormal", mapped(lambda: dist.MultivariateNormal(f([0.5, -1.0]), f(MATRIX)), T.ExpTransform()), QUADRANT),
]
# fmt: on


@pytest.mark.parametrize(
    ("make", "points", "family"), [c[1:] for c in FAMILIES], ids=[c[0] for c in FAMILIES]
)
def test_family(make, points, family, float64):
    ours = as_distribution(make())
    assert isinstance(ours, family)
    np.testing.assert_allclose(
        ours.log_prob(np.array(points)), float64(make, points), rtol=1e-9, atol=1e-12
    )


@pytest.mark.parametrize(("make", "points"), [c[1:] for c in FOREIGN], ids=[c[0] for c in FOREIGN])
def test_foreign_density_and_sampler(make, points, float64):
    ours = as_distribution(make())
    parts = ours.parts if isinstance(ours, Product) else (ours,)
    assert all(isinstance(p, Foreign) for p in parts)
    np.testing.assert_allclose(
        ours.log_prob(np.array(points)), float64(make, points), rtol=1e-9, atol=1e-12
    )
    draws, again = (ours.sample(np.random.default_rng(0), 5) for _ in range(2))
    assert draws.shape == (5, *np.shape(points)[1:])
    np.testing.assert_array_equal(draws, again)
    assert np.isfinite(ours.log_prob(draws)).all()


def test_von_mises_where_torchs_own_bessel_function_is_off_by_1e_8():
    x = np.array(LINE)
    ours = as_distribution(dist.VonMises(0.75, 1.5))
    assert isinstance(ours, VonMises)
    np.testing.assert_allclose(ours.log_prob(x), stats.vonmises(1.5, loc=0.75).logpdf(x), rtol=1e-9)


def test_the_callers_random_state_is_left_alone():
    ours = as_distribution(dist.FisherSnedecor(2.0, 3.0))
    torch.manual_seed(7)
    expected = torch.rand(1)
    torch.manual_seed(7)
    ours.sample(np.random.default_rng(0), 3)
    assert torch.rand(1) == expected


def test_parameters_are_kept_exactly():
    assert as_distribution(dist.Gamma(2.0, 3.0)).scale == Fraction(1, 3)
    assert as_distribution(dist.Normal(0.1, 1.0)).loc == float(np.float32(0.1))
    wide = torch.tensor(0.1, dtype=torch.float64, requires_grad=True)
    assert as_distribution(dist.Normal(wide, 1.0)).loc == 0.1
    matrix = torch.tensor([[2.0, 0.1], [0.1, 1.0]])
    given = as_distribution(dist.MultivariateNormal(torch.zeros(2), matrix)).given
    np.testing.assert_array_equal(given, matrix.double().numpy())


def test_what_was_computed_on_the_way_is_not_what_was_given():
    thing = dist.Bernoulli(logits=torch.tensor(0.5))
    assert thing.probs > 0.0
    assert as_distribution(thing).chance.logit == 0.5
    relaxed = dist.RelaxedOneHotCategorical(torch.tensor(0.5), probs=torch.tensor([0.1, 0.9]))
    x = np.array([[0.25, 0.75]])
    before = as_distribution(relaxed).log_prob(x)
    assert relaxed.logits.shape == (2,)
    np.testing.assert_array_equal(as_distribution(relaxed).log_prob(x), before)


def test_support_and_what_is_outside():
    ours = as_distribution(dist.FisherSnedecor(2.0, 3.0))
    assert (ours.support.low, ours.support.high) == (0.0, np.inf)
    assert ours.log_prob(np.array([-1.0, 1.0]))[0] == -np.inf
    shifted = as_distribution(dist.GeneralizedPareto(0.5, 1.5, 0.25))
    assert shifted.support.low == 0.5
    kinds = [
        as_distribution(d).support.kind
        for d in (
            dist.LKJCholesky(2, 1.5),
            dist.RelaxedOneHotCategorical(torch.tensor(0.5), torch.ones(3)),
        )
    ]
    assert kinds == ["matrix", "simplex"]


def test_the_absolute_value_counts_both_points():
    x = np.array([0.25, 1.0, 3.0])
    thing = dist.TransformedDistribution(dist.Normal(1.0, 1.0), T.AbsTransform())
    normal = Normal(1.0, 1.0)
    expected = np.logaddexp(normal.log_prob(x), normal.log_prob(-x))
    np.testing.assert_allclose(as_distribution(thing).log_prob(x), expected, rtol=1e-12)


class Shifted(dist.Normal):
    """Inherits the density: a Normal."""


class Doubled(dist.Normal):
    """Changes the density."""

    def log_prob(self, value):
        return dist.Normal(self.loc, 2.0 * self.scale).log_prob(value)


class Flow(T.Transform):
    """A user's own map, with parameters of a module."""

    domain = codomain = dist.constraints.real
    bijective = True

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)
        with torch.no_grad():
            self.layer.weight.fill_(2.0)
            self.layer.bias.fill_(1.0)

    def _call(self, x):
        return self.layer(x[..., None])[..., 0]

    def _inverse(self, y):
        return (y - self.layer.bias) / self.layer.weight[0]

    def log_abs_det_jacobian(self, x, y):
        return self.layer.weight[0].abs().log().expand(x.shape)


def test_a_subclass_is_its_parent_unless_it_changes_the_density():
    assert as_distribution(Shifted(0.5, 1.0)) == Normal(0.5, 1.0)
    ours = as_distribution(Doubled(0.5, 1.0))
    assert isinstance(ours, Foreign)
    x = np.array(LINE)
    np.testing.assert_allclose(ours.log_prob(x), Normal(0.5, 2.0).log_prob(x), rtol=1e-12)


def test_a_users_own_map_is_called_in_float64():
    ours = as_distribution(dist.TransformedDistribution(dist.Normal(0.5, 1.0), [Flow()]))
    assert isinstance(ours, Foreign)
    x = np.array(LINE)
    np.testing.assert_allclose(ours.log_prob(x), Normal(2.0, 2.0).log_prob(x), rtol=1e-12)
    assert ours.sample(np.random.default_rng(0), 4).shape == (4,)


# fmt: off
REFUSED = [
    (lambda: dist.Normal(torch.zeros(3), 1.0), InputError, r"batch_shape \(3,\): it is 3 distributions; make them one with torch\.distributions\.Independent\(d, 1\)"),
    (lambda: dist.Normal(torch.zeros(1), 1.0), InputError, r"batch_shape \(1,\): it is 1 distribution;"),
    (lambda: dist.Normal(0.0, -1.0, validate_args=False), InputError, "scale must be positive"),
    (lambda: dist.Exponential(-1.0, validate_args=False), InputError, "Exponential: rate must be positive"),
    (lambda: dist.Poisson(0.0), InputError, "rate must be positive"),
    (mapped(lambda: dist.Poisson(1.0), T.AffineTransform(0.0, 2.0)), UnsupportedError, "no slope"),
    (mapped(lambda: dist.Normal(0.0, 1.0), T.PowerTransform(torch.tensor(2.0))), UnsupportedError, "map power is defined on"),
    (mapped(lambda: dist.Normal(0.0, 1.0), T.AffineTransform(0.0, 0.0)), InputError, "a scale not 0"),
    (mapped(lambda: dist.MultivariateNormal(torch.zeros(2), torch.eye(2)), T.AbsTransform()), UnsupportedError, "AbsTransform is not one-to-one"),
]
# fmt: on


@pytest.mark.parametrize(("make", "error", "message"), REFUSED)
def test_what_cannot_be_used_says_why(make, error, message):
    with pytest.raises(error, match=message):
        as_distribution(make())


@pytest.mark.parametrize(
    "thing", [dist.Normal, dist.constraints.real, T.ExpTransform(), torch.zeros(2)]
)
def test_other_things_are_none(thing):
    assert as_distribution(thing) is None
