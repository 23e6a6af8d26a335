"""What expressions mean, what they refuse, and that they are never run."""

import contextlib
import math
import sys
import time
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from kullback.core.errors import ExpressionError
from kullback.distributions.bounded import Beta, Uniform
from kullback.distributions.compound import Bijection, Mixture, Product, Transformed, Truncated
from kullback.distributions.counting import Binomial, Chance, Geometric, NegativeBinomial
from kullback.distributions.gaussian_mixture import GaussianMixture
from kullback.distributions.positive import GeneralizedGamma
from kullback.distributions.real import LogGamma, Normal, StudentT
from kullback.distributions.registry import FAMILIES, families
from kullback.distributions.vector import Categorical, Dirichlet, MultivariateNormal
from kullback.expressions.format import format_distribution
from kullback.expressions.parse import parse, readings
from tests.tried import tried

#: An expression and the same law in SciPy: parametrisations are checked by someone else's.
DENSITIES = [
    ("normal(1, sd=2)", stats.norm(1, 2)),
    ("normal(1, var=4)", stats.norm(1, 2)),
    ("normal(1, precision=4)", stats.norm(1, 0.5)),
    ("lognormal(0.5, sd=0.7)", stats.lognorm(0.7, scale=math.exp(0.5))),
    ("lognormal(0.5, var=0.49)", stats.lognorm(0.7, scale=math.exp(0.5))),
    ("laplace(1, scale=2)", stats.laplace(1, 2)),
    ("logistic(1, scale=2)", stats.logistic(1, 2)),
    ("cauchy(1, scale=2)", stats.cauchy(1, 2)),
    ("gumbel(1, scale=2)", stats.gumbel_r(1, 2)),
    ("student_t(3, 1, scale=2)", stats.t(3, 1, 2)),
    ("t(3)", stats.t(3)),
    ("vonmises(0.5, concentration=2)", stats.vonmises(2, 0.5)),
    ("gamma(2, rate=4)", stats.gamma(2, scale=0.25)),
    ("gamma(2, scale=4)", stats.gamma(2, scale=4)),
    ("exponential(rate=4)", stats.expon(scale=0.25)),
    ("exponential(scale=4)", stats.expon(scale=4)),
    ("exponential(mean=4)", stats.expon(scale=4)),
    ("chi2(3)", stats.chi2(3)),
    ("chi(3)", stats.chi(3)),
    ("weibull(1.5, scale=2)", stats.weibull_min(1.5, scale=2)),
    ("frechet(1.5, scale=2)", stats.invweibull(1.5, scale=2)),
    ("inverse_gamma(3, scale=2)", stats.invgamma(3, scale=2)),
    ("halfnormal(scale=2)", stats.halfnorm(scale=2)),
    ("rayleigh(scale=2)", stats.rayleigh(scale=2)),
    ("maxwell(scale=2)", stats.maxwell(scale=2)),
    ("generalized_gamma(2, power=3, scale=4)", stats.gengamma(2, 3, scale=4)),
    ("inverse_gaussian(2, shape=3)", stats.invgauss(2 / 3, scale=3)),
    ("wald(2, shape=3)", stats.invgauss(2 / 3, scale=3)),
    ("pareto(scale=2, shape=3)", stats.pareto(3, scale=2)),
    ("halfcauchy(scale=2)", stats.halfcauchy(scale=2)),
    ("beta(2, 3)", stats.beta(2, 3)),
    ("uniform(-1, 3)", stats.uniform(-1, 4)),
    ("loguniform(1, 9)", stats.loguniform(1, 9)),
    ("truncated(normal(0, sd=1), 0.5, 2)", stats.truncnorm(0.5, 2)),
    ("truncated(normal(0, sd=1), low=0.5)", stats.truncnorm(0.5, math.inf)),
    ("truncated(normal(0, sd=1), -inf, 2)", stats.truncnorm(-math.inf, 2)),
]

MASSES = [
    ("poisson(3)", stats.poisson(3)),
    ("bernoulli(0.3)", stats.bernoulli(0.3)),
    ("binomial(5, 0.3)", stats.binom(5, 0.3)),
    ("geometric(0.3, start=1)", stats.geom(0.3)),
    ("geometric(0.3, start=0)", stats.geom(0.3, loc=-1)),
    ("negative_binomial(4, success=0.3)", stats.nbinom(4, 0.3)),
    ("negative_binomial(4, failure=0.7)", stats.nbinom(4, 0.3)),
    ("nbinom(4, success=0.3)", stats.nbinom(4, 0.3)),
    ("categorical([0.2, 0.3, 0.5])", stats.rv_discrete(values=([0, 1, 2], [0.2, 0.3, 0.5]))),
]


@pytest.mark.parametrize(("text", "law"), DENSITIES, ids=[t for t, _ in DENSITIES])
def test_densities_are_those_of_scipy(text, law):
    low, high = law.ppf([0.01, 0.99])
    x = np.linspace(low, high, 41)[1:-1]
    np.testing.assert_allclose(parse(text).log_prob(x), law.logpdf(x), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("text", "law"), MASSES, ids=[t for t, _ in MASSES])
def test_masses_are_those_of_scipy(text, law):
    x = np.arange(-1.0, 8.0)
    np.testing.assert_allclose(np.exp(parse(text).log_prob(x)), law.pmf(x), rtol=1e-10, atol=1e-15)


def test_continuous_bernoulli_lindley_and_kumaraswamy():
    x = np.linspace(0.1, 0.9, 9)
    logit = parse("continuous_bernoulli(logit=2)").log_prob(x)
    np.testing.assert_allclose(logit, 2 * x + math.log(2 / math.expm1(2)), rtol=1e-12)
    lindley = parse("lindley(2)").log_prob(x)
    np.testing.assert_allclose(lindley, np.log(4 / 3 * (1 + x)) - 2 * x, rtol=1e-12)
    kumaraswamy = parse("kumaraswamy(2, 3)").log_prob(x)
    np.testing.assert_allclose(kumaraswamy, np.log(6 * x * (1 - x**2) ** 2), rtol=1e-12)


def test_every_family_is_tested_and_listed():
    tested = {text.partition("(")[0] for text, _ in DENSITIES + MASSES} - {"truncated"}
    tested |= {"continuous_bernoulli", "lindley", "kumaraswamy", "dirichlet", "mvnormal"}
    # What SciPy or NumPyro has is tested against it by its row, in tests/distributions/test_registry.py.
    assert set(FAMILIES) - tested <= {
        name for name, row in FAMILIES.items() if row.scipy or row.numpyro
    }
    listed = {line.partition("(")[0] for line in families()}
    assert listed == {row.name for row in FAMILIES.values()} | {"mixture", "product", "truncated"}


def test_rates_are_kept_exactly():
    assert parse("gamma(2, rate=3)").scale == Fraction(1, 3)
    assert parse("exponential(rate=0.1)").scale == 1 / Fraction(0.1)
    assert parse("negative_binomial(3, success=0.1)").chance.probability == 1 - Fraction(0.1)


def test_vectors():
    x = np.array([[0.5, -1.0], [2.0, 3.0]])
    covariance = [[2.0, 0.5], [0.5, 1.0]]
    full = parse("mvnormal([1, 0], cov=[[2, 0.5], [0.5, 1]])")
    truth = stats.multivariate_normal([1, 0], covariance).logpdf(x)
    np.testing.assert_allclose(full.log_prob(x), truth, rtol=1e-12)
    diagonal = parse("mvnormal([1, 0], sd=[2, 3])")
    truth = stats.norm([1, 0], [2, 3]).logpdf(x).sum(axis=1)
    np.testing.assert_allclose(diagonal.log_prob(x), truth, rtol=1e-12)
    simplex = np.array([[0.2, 0.3, 0.5]])
    truth = stats.dirichlet([1, 2, 3]).logpdf(simplex[0])
    np.testing.assert_allclose(parse("dirichlet([1, 2, 3])").log_prob(simplex), truth, rtol=1e-12)


def test_products_are_independent_blocks():
    d = parse("product(normal(0, sd=1), gamma(2, rate=3), mvnormal([0, 0], sd=[1, 1]))")
    assert isinstance(d, Product)
    assert d.widths == (1, 1, 2)


THREE_MODES = [
    "0.3*normal(-2, sd=0.3) + 0.4*normal(0, sd=0.4) + 0.3*normal(2, sd=0.3)",
    "mixture([0.3, 0.4, 0.3], normal(-2, sd=0.3), normal(0, sd=0.4), normal(2, sd=0.3))",
    "mixture(w=[0.3, 0.4, 0.3], normal(-2, sd=0.3), normal(0, sd=0.4), normal(2, sd=0.3))",
    (
        "mixture( w = (3, 4, 3), normal(-2, sd=.3), normal(0, var=.4**2), normal(2, sd=.3),"
        "normalize=True)"
    ),
    "mixture(normal(-2, sd=0.3), normal(0, sd=0.4), normal(2, sd=0.3), w=[0.3, 0.4, 0.3])",
    "normal(-2, sd=0.3)*0.3 + 0.4*normal(0, sd=0.4) + 3*normal(2, sd=0.3)/10",
    "0.6*(normal(-2, sd=0.3) + normal(2, sd=0.3))/2 + 0.4*normal(0, sd=0.4)",
    "0.6*mixture([0.5, 0.5], normal(-2, sd=0.3), normal(2, sd=0.3)) + 0.4*normal(0, sd=0.4)",
    "\n  0.3 * normal(-2, sd=0.3)\n+ 0.4 * normal(0, sd=0.4)\n+ 0.3 * normal(2, sd=0.3)\n",
]


@pytest.mark.parametrize("text", THREE_MODES)
def test_mixtures_in_every_spelling(text):
    d = parse(text)
    assert isinstance(d, Mixture)
    x = np.linspace(-4, 4, 33)
    density = (
        0.3 * stats.norm.pdf(x, -2, 0.3)
        + 0.4 * stats.norm.pdf(x, 0, 0.4)
        + 0.3 * stats.norm.pdf(x, 2, 0.3)
    )
    np.testing.assert_allclose(np.exp(d.log_prob(x)), density, rtol=1e-10)


def test_the_weights_of_a_mixture_are_kept_as_given():
    d = parse(THREE_MODES[0])
    assert d.weights.tolist() == [0.3, 0.4, 0.3]
    assert [c.loc for c in d.components] == [-2.0, 0.0, 2.0]


def test_mixtures_that_are_no_mixture():
    assert parse("1*normal(0, sd=2)") == Normal(0.0, 2.0)
    assert parse("mixture([1], normal(0, sd=2))") == Normal(0.0, 2.0)
    assert parse("0*gamma(2, rate=1) + 1*normal(0, sd=2)") == Normal(0.0, 2.0)


def test_gaussian_vectors_become_one_gaussian_mixture():
    nested = "0.5*(0.5*mvnormal([0, 0], sd=[1, 2]) + 0.5*mvnormal([1, 1], cov=[[2, 1], [1, 2]]))"
    d = parse(f"{nested} + 0.5*mvnormal([5, 5], sd=[1, 1])")
    assert isinstance(d, GaussianMixture)
    assert d.weights.tolist() == [0.25, 0.25, 0.5]
    np.testing.assert_array_equal(d.means, [[0, 0], [1, 1], [5, 5]])
    covariances = d.scale_trils @ d.scale_trils.transpose(0, 2, 1)
    np.testing.assert_allclose(covariances[1], [[2, 1], [1, 2]], rtol=1e-14)


def test_tables_become_one_table():
    d = parse("0.25*categorical([0.5, 0.5]) + 0.75*categorical([0.1, 0.9])")
    assert isinstance(d, Categorical)
    np.testing.assert_allclose(d.probabilities, [0.2, 0.8], rtol=1e-15)


def test_numbers():
    assert parse("normal(2*pi - 1/4, sd=(1 + 1)**0.5)") == Normal(2 * math.pi - 0.25, 2**0.5)
    assert parse("normal(-1e-3, sd=+e)") == Normal(-0.001, math.e)
    assert parse("uniform(-2**2, 1_000)") == Uniform(-4.0, 1000.0)


def test_nested_truncations_are_one():
    d = parse("truncated(truncated(normal(0, sd=1), -1, 2), 0, 5)")
    assert d == Truncated(Normal(0.0, 1.0), 0.0, 2.0)


#: What has two readings, the message in full, and the readings.
AMBIGUOUS = [
    (
        "normal(0, 2)",
        "normal(0, 2): is 2 a standard deviation or a variance? "
        "Write normal(0, sd=2) or normal(0, var=2)",
        ["normal(0, sd=2)", "normal(0, var=2)"],
    ),
    (
        "lognormal(0, 2)",
        "lognormal(0, 2): is 2 a standard deviation or a variance? "
        "Write lognormal(0, sd=2) or lognormal(0, var=2)",
        ["lognormal(0, sd=2)", "lognormal(0, var=2)"],
    ),
    (
        "gamma(2, 3)",
        "gamma(2, 3): is 3 a rate or a scale (1/rate)? Write gamma(2, rate=3) or gamma(2, scale=3)",
        ["gamma(2, rate=3)", "gamma(2, scale=3)"],
    ),
    (
        "exponential(4)",
        "exponential(4): is 4 a rate or a scale (1/rate)? "
        "Write exponential(rate=4) or exponential(scale=4)",
        ["exponential(rate=4)", "exponential(scale=4)"],
    ),
    (
        "geometric(0.3)",
        "geometric(0.3): does it count the failures before the first success (start=0) or the "
        "trials up to it (start=1)? Write geometric(0.3, start=0) or geometric(0.3, start=1)",
        ["geometric(0.3, start=0)", "geometric(0.3, start=1)"],
    ),
    (
        "negative_binomial(3, 0.4)",
        "negative_binomial(3, 0.4): is 0.4 the probability of a success (as in SciPy) or that of a "
        "failure, which is what is counted (as in torch and NumPyro)? Write "
        "negative_binomial(3, success=0.4) or negative_binomial(3, failure=0.4)",
        ["negative_binomial(3, success=0.4)", "negative_binomial(3, failure=0.4)"],
    ),
    (
        "pareto(1, 2)",
        "pareto(1, 2): which is the scale and which the shape? "
        "Write pareto(scale=1, shape=2) or pareto(scale=2, shape=1)",
        ["pareto(scale=1, shape=2)", "pareto(scale=2, shape=1)"],
    ),
    (
        "laplace(0, 1)",
        "laplace(0, 1): is 1 the scale? Write laplace(0, scale=1)",
        ["laplace(0, scale=1)"],
    ),
    (
        "0.5*normal(0, 2) + 0.5*normal(1, 3)",
        "normal(0, 2): is 2 a standard deviation or a variance? Write normal(0, sd=2) or "
        "normal(0, var=2) (column 5 of '0.5*normal(0, 2) + 0.5*normal(1, 3)')",
        [
            "0.5*normal(0, sd=2) + 0.5*normal(1, sd=3)",
            "0.5*normal(0, var=2) + 0.5*normal(1, var=3)",
        ],
    ),
    (
        "product(normal(0, 2), gamma(2, 3))",
        None,
        [
            "product(normal(0, sd=2), gamma(2, rate=3))",
            "product(normal(0, sd=2), gamma(2, scale=3))",
            "product(normal(0, var=2), gamma(2, rate=3))",
            "product(normal(0, var=2), gamma(2, scale=3))",
        ],
    ),
]


@pytest.mark.parametrize(("text", "message", "meanings"), AMBIGUOUS)
def test_ambiguous_expressions_are_refused_with_the_question(text, message, meanings):
    with pytest.raises(ExpressionError) as caught:
        parse(text)
    if message is not None:
        assert str(caught.value) == message
    found = [format_distribution(d, digits=17) for _, d in readings(text)]
    assert found == [format_distribution(parse(m), digits=17) for m in meanings]


@pytest.mark.parametrize(
    "text", ["halfnormal(2)", "rayleigh(2)", "halfcauchy(2)", "cauchy(0, 2)", "gumbel(0, 2)",
             "logistic(0, 2)", "weibull(1, 2)", "inverse_gamma(1, 2)", "inverse_gaussian(1, 2)",
             "vonmises(0, 2)", "t(3, 0, 2)", "mvnormal([0], [2])", "continuous_bernoulli(2)"],
)  # fmt: skip
def test_every_spread_needs_its_name(text):
    with pytest.raises(ExpressionError, match=r"is (\[?2\]?) .*\? Write "):
        parse(text)


def test_the_readings_say_what_they_chose():
    assert [label for label, _ in readings("normal(0, 2)")] == ["sd = 2", "var = 2"]
    assert [label for label, _ in readings("pareto(1, 2)")] == [
        "scale = 1; shape = 2",
        "scale = 2; shape = 1",
    ]
    two = [label for label, _ in readings("0.5*normal(0, 2) + 0.5*normal(1, 3)")]
    assert two == ["sd = 2, 3", "var = 2, 3"]
    assert [label for label, _ in readings("geometric(0.3)")] == ["start = 0", "start = 1"]
    assert readings("normal(0, sd=2)") == [("as written", Normal(0.0, 2.0))]


def test_readings_that_cannot_be_are_left_out():
    assert [label for label, _ in readings("gamma(2, 1e-320)")] == ["scale = 1e-320"]


def test_the_suggested_lines_can_be_typed():
    for _, message, _ in AMBIGUOUS:
        if message is None or "column" in message:
            continue
        for line in message.partition("Write ")[2].split(" or "):
            parse(line)


#: What is wrong and what the message says.
WRONG = [
    # parameters
    ("normal(0, sd=-2)", r"sd must be a positive, finite number, got -2 \(column 14\)"),
    ("normal(0, sd=0)", "sd must be a positive"),
    ("normal(0, sd=inf)", "sd must be a positive, finite number, got inf"),
    ("normal(0, var=-4)", "var must be a positive, finite number, got -4"),
    ("normal(0, precision=1e-320)", "whose inverse is finite"),
    ("normal(inf, sd=1)", "loc must be a finite number, got inf"),
    ("normal(0)", r"sd= \| var= \| precision= is missing; write normal\(loc, sd="),
    ("normal()", "loc is missing"),
    ("normal", r"the parameters are missing; write normal\(loc"),
    ("normal(0, sd=1, var=1)", "give sd= or var=, not both"),
    ("normal(0, 1, sd=1)", "1 and sd= are one too many"),
    ("normal(0, loc=1, sd=1)", "0 and loc= are one too many"),
    ("normal(0, 1, 2)", r"too many parameters; write normal\(loc"),
    ("normal(0, sd=1, sd=2)", "sd= is given twice"),
    ("normal(0, sigma=2)", r"there is no sigma=; did you mean sd=\? Write normal\("),
    ("normal(mu=0, sd=2)", "did you mean loc=?"),
    ("normal(0, foo=2)", r"there is no foo=; write normal\(loc"),
    ("normal([0, 1], sd=1)", r"loc must be a finite number, got \[0, 1\]"),
    ("normal(0, sd=normal(0, sd=1))", "sd must be a positive, finite number, got normal"),
    ("gamma(2, rate=1e-320)", "whose inverse is finite"),
    ("bernoulli(1.5)", "p must be a number between 0 and 1, got 1.5"),
    ("binomial(2.5, 0.5)", "n must be a whole number, 0 or more, got 2.5"),
    ("geometric(0.5, start=2)", "start must be 0 or 1, got 2"),
    ("geometric(0, start=1)", "the probability must be positive"),
    ("uniform(2, 1)", "low must be below high"),
    ("categorical([0.2, 0.5])", "the probabilities sum to 0.7, not 1.* normalize=True"),
    ("categorical([0.5, 0.6, -0.1])", "p must be a list of finite numbers, 0 or more"),
    ("categorical([0, 0], normalize=True)", "the probabilities sum to 0, not 1"),
    ("categorical([0.2, 0.8], normalize=1)", "normalize= is True or False"),
    ("categorical(0.5)", r"p must be a list .* got 0.5"),
    ("categorical([])", "p must be a list"),
    ("dirichlet([1, 0])", "concentration must be a list of positive"),
    ("mvnormal([0, 0], cov=[[1, 2], [2, 1]])", "positive definite; its smallest eigenvalue is -1"),
    ("mvnormal([0, 0], cov=[[1, 0.5], [0.4, 1]])", "must be symmetric"),
    ("mvnormal([0, 0], cov=[[1, 0], [0]])", "cov must be a square matrix"),
    ("mvnormal([0, 0], cov=[1, 1])", "cov must be a square matrix"),
    ("mvnormal([0, 0], sd=[1])", "loc has 2 coordinates, the spread 1"),
    ("mvnormal([0, 0], [[1, 0], [0, 1]])", r"a covariance matrix\? Write mvnormal\(\[0, 0\], cov="),
    ("mvnormal(0, sd=[1])", "loc must be a list"),
    # names
    ("nrmal(0, sd=1)", r"there is no 'nrmal'; did you mean normal or mvnormal\? Known: normal, "),
    ("exp(2)", r"there is no 'exp'; did you mean exponential\?"),
    ("U(0, 1)", r"there is no 'U'; did you mean uniform\?"),
    ("truncnorm(0, 1)", r"there is no 'truncnorm'; did you mean truncated\?"),
    ("bin(5, 0.3)", r"there is no 'bin'; did you mean binomial\?"),
    ("delta(0)", r"there is no 'delta'; did you mean categorical\?"),
    ("Normal(0, sd=1)", r"there is no 'Normal'; did you mean normal\? Known"),
    ("foo(1)", r"there is no 'foo'\. Known: normal, .* truncated"),
    ("normal(x, sd=1)", r"there is no 'x'.*\(column 8 of 'normal\(x, sd=1\)'\)"),
    # mixtures and the like
    ("0.3*normal(0, sd=1) + 0.6*normal(1, sd=1)", "the weights sum to 0.9, not 1"),
    ("normal(0, sd=1) + normal(1, sd=1)", "the weights sum to 2, not 1; write w1"),
    ("2*normal(0, sd=1)", "a number in front of a distribution is its weight"),
    ("-0.5*normal(0, sd=1) + 1.5*normal(1, sd=1)", "a weight must be finite, 0 or more, got -0.5"),
    ("1.5*normal(0, sd=1) - 0.5*normal(1, sd=1)", "there is no such arithmetic"),
    ("-normal(0, sd=1)", "a mixture has no negative weights"),
    ("inf*normal(0, sd=1)", "a weight must be finite"),
    ("normal(0, sd=1) + 3", "there is no such arithmetic"),
    ("normal(0, sd=1) * normal(0, sd=1)", "there is no such arithmetic"),
    ("normal(0, sd=1) ** 2", "there is no such arithmetic"),
    ("normal(0, sd=1) / 0", "this divides by 0"),
    ("0.5*normal(0, sd=1) + 0.5*mvnormal([0, 0], sd=[1, 1])", "of one dimension"),
    ("0.5*mvnormal([0], sd=[1]) + 0.5*mvnormal([0, 0], sd=[1, 1])", "of one dimension"),
    ("0.5*normal(0, sd=1) + 0.5*poisson(3)", "one kind"),
    ("mixture([0.5, 0.6], normal(0, sd=1), normal(1, sd=1))", "the weights sum to 1.1, not 1"),
    ("mixture([0.5, 0.5], normal(0, sd=1))", "2 weights but 1 distributions"),
    ("mixture(normal(0, sd=1), normal(1, sd=1))", r"write mixture\(\[w1, w2, ...\]"),
    ("mixture([0.5, 0.5])", "a list of weights and then distributions"),
    ("mixture([0.5, -0.5, 1], t(1), t(2), t(3))", "w must be a list of finite numbers, 0 or more"),
    ("mixture([0.5, 0.5], 1, 2)", "this is a number, not a distribution"),
    ("mixture()", "a list of weights"),
    ("product()", "the blocks are missing"),
    ("product(1)", "this is a number, not a distribution"),
    ("truncated(poisson(3), 0, 3)", "only a continuous distribution of one number"),
    ("truncated(mvnormal([0], sd=[1]), 0, 3)", "only a continuous distribution of one number"),
    ("truncated(normal(0, sd=1))", "low, high or both"),
    ("truncated(normal(0, sd=1), 0, high=1, low=1)", "low, high or both"),
    ("truncated(normal(0, sd=1), 2, 1)", "low must be below high"),
    ("truncated(beta(2, 2), 2, 3)", "has no mass between"),
    # values
    ("3", "this is a number, not a distribution"),
    ("[1, 2]", "this is a list, not a distribution"),
    ("[normal(0, sd=1)]", "a list holds numbers"),
    ("", r"an expression is empty; write for example normal\(0, sd=2\)"),
    ("   \n ", "an expression is empty"),
    ("normal(0, sd=1", "this cannot be read: '\\(' was never closed, column 7"),
    ("normal(0, sd=1) normal", "this cannot be read"),
    ("normal(0; sd=1)", "this cannot be read"),
    ("normal(−1, sd=1)", "invalid character '−'"),
    ("normal(0, sd=1) # a comment", "# has no place"),
    ("normal(0, sd=1e400)", "1e400: too large for a float64"),
    ("normal(0, sd=1e-400)", "1e-400: too small for a float64"),
    ("normal(1e308*10, sd=1)", "this is not a finite real number"),
    ("normal(inf - inf, sd=1)", "this is not a finite real number"),
    ("normal((-8)**0.5, sd=1)", "this is not a finite real number"),
    ("normal(1/0, sd=1)", "this divides by 0"),
    ("normal(0**-1, sd=1)", "this divides by 0"),
    ("normal(7 // 2, sd=1)", "there is no such arithmetic|BinOp has no place"),
    ("normal(0, sd=True)", "a bool has no place"),
    ("normal(0, sd='2')", "a str has no place"),
    ("normal(0, sd=2j)", "a complex has no place"),
    ("normal(0, sd=None)", "a NoneType has no place"),
    ("draws.csv", "Attribute has no place in an expression"),
]


@pytest.mark.parametrize(("text", "message"), WRONG, ids=[t for t, _ in WRONG])
def test_what_is_wrong_is_said(text, message):
    with pytest.raises(ExpressionError, match=message):
        parse(text)


@pytest.mark.parametrize("text", [t for t, m in WRONG if "Write mvnormal" not in m])
def test_what_is_wrong_has_no_readings(text):
    with pytest.raises(ExpressionError):
        readings(text)


def test_the_column_counts_characters():
    with pytest.raises(ExpressionError, match=r"sd= is given twice \(column 21\)"):
        parse("normal(éπ, sd=1, sd=2)")


#: Nothing of this may run, hang, or end in another exception.
HOSTILE = {
    "import": "__import__('os').system('touch /tmp/kullback-was-here')",
    "import in a parameter": "normal(__import__('os').getpid(), sd=1)",
    "attribute": "().__class__",
    "attribute chain": "normal.__globals__['__builtins__']",
    "subclasses": "().__class__.__bases__[0].__subclasses__()",
    "eval": "eval('1')",
    "open": "open('/etc/passwd')",
    "lambda": "lambda: 1",
    "called lambda": "(lambda: normal(0, sd=1))()",
    "comprehension": "[x for x in (1, 2)]",
    "generator": "mixture((w for w in [1]), normal(0, sd=1))",
    "walrus": "(x := normal(0, sd=1))",
    "conditional": "normal(0, sd=1) if 1 else normal(0, sd=2)",
    "format string": "f'{1}'",
    "bytes": "b'normal'",
    "dictionary": "{1: 2}",
    "set": "{1, 2}",
    "subscript": "normal(0, sd=1)[0]",
    "comparison": "normal(0, sd=1) == 1",
    "boolean": "normal(0, sd=1) and normal(0, sd=1)",
    "invert": "normal(~1, sd=1)",
    "not": "normal(not 1, sd=1)",
    "matrix product": "normal(1 @ 2, sd=1)",
    "shift": "normal(1 << 1000000000, sd=1)",
    "modulo": "normal(7 % 4, sd=1)",
    "star": "normal(*[0, 1])",
    "double star": "normal(**{'loc': 0, 'sd': 1})",
    "await": "await normal(0, sd=1)",
    "yield": "(yield)",
    "statement": "import os",
    "two lines": "normal(0, sd=1)\nimport os",
    "semicolon": "normal(0, sd=1); import os",
    "ellipsis": "...",
    "tower of powers": "normal(9**9**9**9, sd=1)",
    "power": "normal(10**1000000000, sd=1)",
    "long chain of powers": "normal(" + "9**" * 2000 + "9, sd=1)",
    "repetition": "normal('x' * 1000000000000, sd=1)",
    "list repetition": "mixture([1] * 1000000000, normal(0, sd=1))",
    "long integer": "normal(" + "9" * 5000 + ", sd=1)",
    "hexadecimal": "normal(0x" + "f" * 5000 + ", sd=1)",
    "too long": "normal(0, sd=1)" + " " * 10_000,
    "many parentheses": "(" * 4000 + "1" + ")" * 4000,
    "many brackets": "[" * 4000 + "]" * 4000,
    "many signs": "-" * 9000 + "1",
    "many calls": "normal" + "()" * 4000,
    "many attributes": "x" + ".x" * 4000,
    "many terms": "1+" * 4000 + "1",
    "deep calls": "product(" * 90 + "normal(0, sd=1)" + ")" * 90,
    "deep lists": "categorical(" + "[" * 90 + "1" + "]" * 90 + ")",
    "deep arithmetic": "normal(" + "(1-" * 60 + "1" + ")" * 60 + ", sd=1)",
    "long name": "x" * 9000,
    "many arguments": "normal(" + "1," * 4000 + "sd=1)",
    "zeros": "categorical([" + "0," * 4900 + "])",
    "null byte": "normal(0, sd=1)\0",
    "surrogate": "normal(0, sd=\ud800)",
    "right to left": "normal(0, sd=\u202e1)",
}


#: What happened while expressions were read; None while nobody listens.
HEARD: list[str] | None = None


def _listen(event: str, _: object) -> None:
    if HEARD is not None and event in {"exec", "import", "open", "os.system", "subprocess.Popen"}:
        HEARD.append(event)


sys.addaudithook(_listen)


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_hostile_text_is_refused_quickly(text, monkeypatch):
    heard: list[str] = []
    start = time.process_time()
    monkeypatch.setitem(globals(), "HEARD", heard)
    with pytest.raises(ExpressionError) as caught:
        parse(text)
    monkeypatch.undo()
    assert heard == []
    assert time.process_time() - start < 2.0
    assert len(str(caught.value)) < 1500


def test_the_listener_hears():
    with pytest.MonkeyPatch.context() as patch:
        heard: list[str] = []
        patch.setitem(globals(), "HEARD", heard)
        eval("1")
    assert heard == ["exec"]


def test_long_mixtures_are_read():
    text = " + ".join(f"0.01*normal({i}, sd=1)" for i in range(100))
    assert len(parse(text).components) == 100


FINITE = st.floats(-1e6, 1e6)
POSITIVE = st.floats(1e-6, 1e6)
INSIDE = st.floats(1e-6, 1 - 1e-6)


def _scalars() -> st.SearchStrategy:
    generalized = st.builds(
        GeneralizedGamma,
        POSITIVE,
        st.sampled_from([0.5, 1.0, 1.5, 2.25]),
        st.sampled_from([-2.0, -1.0, 0.75, 1.0, 2.0]),
        st.sampled_from([0.5, 1.0]),
    )
    return st.one_of(
        st.builds(Normal, FINITE, POSITIVE),
        st.builds(StudentT, st.sampled_from([1.0, 2.5]), FINITE, POSITIVE),
        st.builds(LogGamma, st.just(1.0), FINITE, POSITIVE),
        st.builds(Beta, POSITIVE, POSITIVE),
        st.builds(lambda low, width: Uniform(low, low + width), FINITE, POSITIVE),
        generalized,
    )


def _counts() -> st.SearchStrategy:
    return st.one_of(
        st.builds(lambda n, p: Binomial(float(n), Chance(p)), st.integers(0, 50), INSIDE),
        st.builds(lambda p, s: Geometric(Chance(p), s), INSIDE, st.sampled_from([0.0, 1.0])),
        st.builds(lambda r, p: NegativeBinomial(r, Chance(p)), POSITIVE, INSIDE),
        st.builds(lambda w: Categorical.from_probabilities(_shares(w)), _weights(3)),
    )


def _weights(k: int) -> st.SearchStrategy:
    return st.lists(st.floats(1e-3, 1.0), min_size=k, max_size=k)


def _shares(weights: list[float]) -> np.ndarray:
    return np.array(weights) / math.fsum(weights)


def _gaussian(numbers: list[float]) -> MultivariateNormal:
    a, b, c, d, e = numbers
    return MultivariateNormal(np.array([d, e]), np.array([[abs(a) + 0.1, 0.0], [c, abs(b) + 0.1]]))


def _gaussians() -> st.SearchStrategy:
    return st.builds(_gaussian, st.lists(st.floats(-10, 10), min_size=5, max_size=5))


def _mixtures() -> st.SearchStrategy:
    return st.builds(
        lambda w, parts: Mixture(_shares(w), tuple(parts)),
        _weights(3),
        st.lists(st.builds(Normal, FINITE, POSITIVE), min_size=3, max_size=3),
    )


ANY = st.one_of(_scalars(), _counts(), _gaussians(), _mixtures())


@given(ANY)
@tried(300)
def test_what_is_written_is_read_back(d):
    text = format_distribution(d)
    again = parse(text)
    assert again.support.kind == d.support.kind
    if isinstance(d, Mixture):
        np.testing.assert_allclose(again.weights, d.weights, atol=2e-6)
        written = [format_distribution(c) for c in d.components]
        assert [format_distribution(c) for c in again.components] == written
    elif isinstance(d, Categorical):
        np.testing.assert_allclose(again.probabilities, d.probabilities, atol=2e-6)
    elif isinstance(d, Uniform):
        width = d.high - d.low
        np.testing.assert_allclose([again.low, again.high], [d.low, d.high], atol=1e-3 * width)
        np.testing.assert_allclose(again.high - again.low, width, rtol=3e-4)
    else:
        assert format_distribution(again) == text


@given(_scalars())
@tried(200)
def test_seventeen_digits_lose_nothing(d):
    again = parse(format_distribution(d, digits=17))
    x = d.quantile(np.array([0.1, 0.3, 0.5, 0.7, 0.9]))
    np.testing.assert_allclose(again.log_prob(x), d.log_prob(x), rtol=1e-9, atol=1e-9)


@given(st.text(max_size=40))
@tried(300)
def test_any_text_is_read_or_refused(text):
    with contextlib.suppress(ExpressionError):
        parse(text)


PIECES = (
    "normal ( ) 0 , sd = 2 + * - [ ] mixture 0.5 gamma rate poisson product truncated inf ** / w 1"
).split()


@given(st.lists(st.sampled_from(PIECES), max_size=30).map("".join))
@tried(500)
def test_any_pieces_are_read_or_refused(text):
    with contextlib.suppress(ExpressionError):
        parse(text)
    with contextlib.suppress(ExpressionError):
        readings(text)


#: An object and how it is written.
WRITTEN = [
    (Normal(0.0, 2.0), "normal(0, sd=2)"),
    (Normal(-0.0, 1 / 3), "normal(0, sd=0.333333)"),
    (StudentT(1.0, 0.0, 2.0), "cauchy(0, scale=2)"),
    (StudentT(3.0, 0.0, 2.0), "student_t(3, 0, scale=2)"),
    (LogGamma(1.0, 0.0, 2.0), "gumbel(0, scale=2)"),
    (GeneralizedGamma(Fraction(1, 3), 2.0), "gamma(2, rate=3)"),
    (GeneralizedGamma(3.0, 2.0), "gamma(2, scale=3)"),
    (GeneralizedGamma(Fraction(1, 3), 1.0), "exponential(rate=3)"),
    (GeneralizedGamma(2.0, 0.5, 2.0, 0.5), "halfnormal(scale=2)"),
    (GeneralizedGamma(1.0, 2.0, 2.0, 0.5), "chi(4)"),
    (GeneralizedGamma(2.0, 1.0, 3.0), "weibull(3, scale=2)"),
    (GeneralizedGamma(2.0, 1.0, -3.0), "frechet(3, scale=2)"),
    (GeneralizedGamma(2.0, 3.0, -1.0), "inverse_gamma(3, scale=2)"),
    (GeneralizedGamma(2.0, 3.0, 4.0), "generalized_gamma(3, power=4, scale=2)"),
    (Uniform(1.0, 1.0 + 2.0**-30), "uniform(1, 1.0000000009313)"),
    (Binomial(1.0, Chance(0.25)), "bernoulli(0.25)"),
    (Binomial(7.0, Chance(0.25)), "binomial(7, 0.25)"),
    (Geometric(Chance(0.25), 1.0), "geometric(0.25, start=1)"),
    (Geometric(Chance(1 - 1e-9)), "geometric(0.999999999, start=0)"),
    (NegativeBinomial(3.0, Chance(0.25)), "negative_binomial(3, failure=0.25)"),
    (Categorical.from_probabilities(np.ones(2) / 2), "categorical([0.5, 0.5])"),
    (
        Categorical.from_probabilities(np.array([1, 1, 5]) / 7),
        "categorical([0.142857, 0.142857, 0.714286])",
    ),
    (Dirichlet(np.array([1.0, 2.0])), "dirichlet([1, 2])"),
    (MultivariateNormal(np.array([0.0, 1.0]), np.eye(2)), "mvnormal([0, 1], sd=[1, 1])"),
    (Truncated(Normal(0.0, 1.0), 0.0, math.inf), "truncated(normal(0, sd=1), 0, inf)"),
    (
        Mixture(np.array([0.5, 0.5]), (Normal(0.0, 1.0), StudentT(3.0, 0.0, 1.0))),
        "0.5*normal(0, sd=1) + 0.5*student_t(3, 0, scale=1)",
    ),
    (
        GaussianMixture(np.array([0.25, 0.75]), np.zeros((2, 1)), np.ones((2, 1, 1))),
        "0.25*mvnormal([0], sd=[1]) + 0.75*mvnormal([0], sd=[1])",
    ),
    (
        Product((Normal(0.0, 1.0), GeneralizedGamma(3.0, 2.0))),
        "product(normal(0, sd=1), gamma(2, scale=3))",
    ),
]


@pytest.mark.parametrize(("d", "text"), WRITTEN, ids=[t for _, t in WRITTEN])
def test_how_distributions_are_written(d, text):
    assert format_distribution(d) == text
    assert format_distribution(parse(text)) == text


def test_written_weights_sum_to_1():
    thirds = Categorical.from_probabilities(np.ones(3) / 3)
    text = format_distribution(thirds)
    assert text == "categorical([0.333334, 0.333333, 0.333333])"
    np.testing.assert_allclose(parse(text).probabilities.sum(), 1.0, rtol=1e-15)


def test_a_nearly_singular_covariance_stays_a_covariance():
    d = MultivariateNormal(np.zeros(2), np.array([[1.0, 0.0], [1.0, 1e-6]]))
    text = format_distribution(d)
    assert parse(text).support.dimension == 2
    assert text.startswith("mvnormal([0, 0], cov=[[1, 1], [1, 1.00000")


def test_what_cannot_be_said_is_shown():
    d = Transformed(Normal(0.0, 1.0), (Bijection("tanh"),))
    assert format_distribution(d) == str(d)
    assert format_distribution(LogGamma(1.0, 0.0, -2.0)).startswith("LogGamma(")
