"""NumPyro models as targets, against NumPyro's own potential and closed forms."""

import pytest

pytest.importorskip("jax")

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from numpyro.infer import MCMC, NUTS
from numpyro.infer.util import potential_energy
from scipy import stats

from kullback.api.judge import judge
from kullback.core.errors import DensityError, InputError, UnsupportedError
from kullback.core.numerics import float64
from kullback.interop.numpyro_model import numpyro_model
from kullback.targets import Unconstrained

Y = np.array([2.1, -0.4, 1.3], dtype=np.float32)


def schools(y, *, scale=2.0):
    mu = numpyro.sample("mu", dist.Normal(1.0, 5.0))
    tau = numpyro.sample("tau", dist.HalfCauchy(scale))
    with numpyro.plate("school", len(y)):
        z = numpyro.sample("z", dist.Normal())
        theta = numpyro.deterministic("theta", mu + tau * z)
    share = numpyro.sample("share", dist.Beta(2.0, 5.0))
    numpyro.sample("angle", dist.Uniform(-1.0, 3.0))
    numpyro.sample("p", dist.Dirichlet(jnp.array([1.0, 2.0, 3.0])))
    numpyro.sample("y", dist.Normal(theta * share, 0.5), obs=y)


@pytest.fixture(scope="module")
def target():
    return numpyro_model(schools, Y, scale=3.0)


@pytest.fixture(scope="module")
def points(target):
    return 0.3 + np.random.default_rng(5).normal(size=(6, target.dimension))


def split(u):
    return {
        "mu": u[0],
        "tau": u[1],
        "z": u[2:5],
        "share": u[5],
        "angle": u[6],
        "p": u[7:9],
    }


def test_the_parts(target):
    assert isinstance(target, Unconstrained)
    assert target.coordinates == (
        "mu", "tau", "z[0]", "z[1]", "z[2]", "share", "angle", "p[0]", "p[1]",
    )  # fmt: skip
    assert target.origin == "NumPyro model"
    assert target.dimension == 9


@pytest.mark.slow
def test_values_and_gradients_are_numpyros(target, points):
    values, gradients = target.evaluate(points)

    def log_prob(u):
        return -potential_energy(numpyro.handlers.seed(schools, 0), (Y,), {"scale": 3.0}, split(u))

    with float64():
        truth, slope = jax.vmap(jax.value_and_grad(log_prob))(jnp.asarray(points))
    np.testing.assert_allclose(values, truth, rtol=1e-12)
    np.testing.assert_allclose(gradients, slope, rtol=1e-9, atol=1e-12)


def test_there_and_back(target, points):
    values = target.constrain(points)
    assert list(values) == ["mu", "tau", "z", "theta", "share", "angle", "p"]
    np.testing.assert_allclose(
        values["theta"], values["mu"][:, None] + values["tau"][:, None] * values["z"], rtol=1e-12
    )
    np.testing.assert_allclose(target.unconstrain(values), points, rtol=1e-9)


def test_the_evidence_is_in_the_density():
    def conjugate():
        rate = numpyro.sample("rate", dist.Gamma(2.0, 3.0))
        numpyro.sample("count", dist.Poisson(rate), obs=4)

    target = numpyro_model(conjugate)
    u = np.linspace(-12.0, 6.0, 4001)[:, None]
    values, _ = target.evaluate(u)
    total = np.trapezoid(np.exp(values), u[:, 0])
    assert total == pytest.approx(stats.nbinom(2.0, 3.0 / 4.0).pmf(4), rel=1e-9)
    rate = target.constrain(u)["rate"]
    truth = stats.gamma(2.0, scale=1 / 3.0).logpdf(rate) + stats.poisson(rate).logpmf(4)
    np.testing.assert_allclose(values - target.log_jacobian(u), truth, rtol=1e-9, atol=1e-9)


def test_a_support_that_depends_on_another_site():
    def nested():
        top = numpyro.sample("top", dist.HalfNormal(2.0))
        numpyro.sample("low", dist.Uniform(0.0, top))

    target = numpyro_model(nested)
    u = np.array([[0.3, -1.0], [-2.0, 0.7]])
    values = target.constrain(u)
    np.testing.assert_allclose(values["low"], values["top"] / (1 + np.exp(-u[:, 1])), rtol=1e-12)
    np.testing.assert_allclose(target.unconstrain(values), u, rtol=1e-9)
    for i in range(2):
        ends = u[i] + 1e-6 * np.concatenate([np.eye(2), -np.eye(2)])
        moved = np.stack(list(target.constrain(ends).values()), axis=1)
        jacobian = np.linalg.slogdet((moved[:2] - moved[2:]) / 2e-6)[1]
        assert target.log_jacobian(u)[i] == pytest.approx(jacobian, abs=1e-7)
    truth = stats.halfnorm(scale=2.0).logpdf(values["top"]) - np.log(values["top"])
    np.testing.assert_allclose(target.evaluate(u)[0], truth + target.log_jacobian(u), rtol=1e-9)


def test_a_discrete_site_that_is_summed_out():
    pytest.importorskip("funsor")

    def mixture(y):
        x = numpyro.sample("x", dist.Normal(0.0, 2.0))
        with numpyro.plate("rows", 2):
            z = numpyro.sample("z", dist.Bernoulli(0.3), infer={"enumerate": "parallel"})
            numpyro.sample("y", dist.Normal(x + 3.0 * z, 1.0), obs=y)

    y = np.array([0.5, 2.0])
    target = numpyro_model(mixture, y)
    assert target.coordinates == ("x",)
    u = np.array([[0.3], [-1.2]])
    density = [
        np.log(0.7 * stats.norm(x, 1).pdf(y) + 0.3 * stats.norm(x + 3.0, 1).pdf(y)).sum()
        + stats.norm(0.0, 2.0).logpdf(x)
        for x in u[:, 0]
    ]
    np.testing.assert_allclose(target.evaluate(u)[0], density, rtol=1e-10)


def test_an_improper_prior_and_a_factor():
    def free():
        shape = numpyro.sample("a", dist.ImproperUniform(dist.constraints.positive, (), ()))
        numpyro.factor("likelihood", -3.0 * shape)

    target = numpyro_model(free)
    u = np.array([[0.5], [-1.5]])
    np.testing.assert_allclose(target.evaluate(u)[0], u[:, 0] - 3.0 * np.exp(u[:, 0]), rtol=1e-12)


def obs(y, mask=True):
    mu = numpyro.sample("mu", dist.Normal())
    numpyro.sample("obs", dist.Normal(mu, 1.0).expand([len(y)]).mask(mask), obs=y)


def test_data_with_nan_are_named():
    y = np.array([0.0, 1.0, 2.0, np.nan, np.nan])
    with pytest.raises(InputError, match="site obs: the data have 2 NaN, first at index 3"):
        numpyro_model(obs, y)
    assert numpyro_model(obs, y, mask=~np.isnan(y)).dimension == 1


def discrete():
    z = numpyro.sample("z", dist.Bernoulli(0.3))
    numpyro.sample("x", dist.Normal(z, 1.0))


def subsampled():
    mu = numpyro.sample("mu", dist.Normal())
    with numpyro.plate("rows", 10, subsample_size=2):
        numpyro.sample("y", dist.Normal(mu, 1.0), obs=jnp.zeros(2))


def broken():
    raise RuntimeError("the table is not there")


def branching():
    x = numpyro.sample("x", dist.Normal())
    numpyro.factor("f", 1.0 if x > 2.0 else 0.0)


def pointed():
    numpyro.sample("x", dist.Delta(1.0))


@pytest.mark.parametrize(
    ("model", "kind", "message"),
    [
        (discrete, UnsupportedError, r"site z is discrete \(Bernoulli.*enumerate"),
        (subsampled, UnsupportedError, "plate rows draws 2 of 10 rows anew"),
        (pointed, UnsupportedError, "site x is a Delta.*numpyro.deterministic"),
        (broken, DensityError, "^the table is not there .*RuntimeError.*test_models_numpyro.py"),
        (branching, DensityError, "branching: Python looks at a value.*jnp.where"),
        (lambda: None, InputError, "no latent sample sites"),
    ],
)
def test_what_cannot_be_fitted(model, kind, message):
    with pytest.raises(kind, match=message):
        numpyro_model(model)


@pytest.mark.slow
def test_a_model_that_a_sampler_has_run_in_single_precision():
    """JAX remembers arrays that it traced in float32; chains of the model are judged all the same."""
    y, sd = np.array([28.0, 8.0, -3.0, 7.0]), np.array([15.0, 10.0, 16.0, 11.0])

    def model():
        mu = numpyro.sample("mu", dist.Normal(0.0, 5.0))
        tau = numpyro.sample("tau", dist.HalfCauchy(5.0))
        with numpyro.plate("school", 4):
            z = numpyro.sample("z", dist.Normal(0.0, 1.0))
            theta = numpyro.deterministic("theta", mu + tau * z)
            numpyro.sample("y", dist.Normal(theta, sd), obs=y)

    sampler = MCMC(NUTS(model), num_warmup=200, num_samples=200, progress_bar=False)
    sampler.run(jax.random.key(0))
    drawn = sampler.get_samples(group_by_chain=True)
    found = judge(model, drawn)
    assert found.judged.draws == 200
    assert abs(found.by_draws.value - found.log_evidence.value) < 4.0 * (
        found.by_draws.standard_error + found.log_evidence.standard_error
    )
    # The deterministic site is had from the others, whether it is among the draws or not.
    latent = {name: drawn[name] for name in ("mu", "tau", "z")}
    assert {c.name for c in judge(model, latent).parameters} >= {"mu", "tau", "theta[3]"}
