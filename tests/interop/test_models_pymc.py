"""PyMC models as targets, against PyMC's own density, gradient and transforms."""

import pytest

pytest.importorskip("jax")

import jax
import numpy as np

from kullback.core.errors import InputError, UnsupportedError
from kullback.interop.pymc_model import pymc_model

pm = pytest.importorskip("pymc")

pytestmark = pytest.mark.filterwarnings("ignore")

Y = np.array([1.0, 2.0, -0.5])


@pytest.fixture(scope="module")
def model():
    with pm.Model() as model:
        mu = pm.Normal("mu", 1.0, 5.0)
        tau = pm.HalfCauchy("tau", 2.0)
        theta = pm.Normal("theta", mu, tau, shape=3)
        pm.Deterministic("square", theta**2)
        pm.Dirichlet("p", np.array([1.0, 2.0, 3.0]))
        pm.Uniform("share", 0.0, tau)
        pm.Normal("y", theta, 1.5, observed=Y)
    return model


@pytest.fixture(scope="module")
def before():
    return jax.config.jax_enable_x64


@pytest.fixture(scope="module")
def target(before, model):
    return pymc_model(model)


@pytest.fixture(scope="module")
def points(target):
    return target.start + 0.6 * np.random.default_rng(2).normal(size=(5, target.dimension)) + 0.1


def test_the_parts_and_the_flag(target, before):
    assert target.coordinates == (
        "mu", "tau", "theta[0]", "theta[1]", "theta[2]", "p[0]", "p[1]", "share",
    )  # fmt: skip
    assert target.origin == "PyMC model"
    assert jax.config.jax_enable_x64 == before


def test_values_and_gradients_are_pymcs(target, points, model):
    own = model.logp_dlogp_function(ravel_inputs=True)
    own.set_extra_values({})
    values, gradients = target.evaluate(points)
    for i, u in enumerate(points):
        value, gradient = own(u)
        assert values[i] == pytest.approx(float(value), rel=1e-10)
        np.testing.assert_allclose(gradients[i], gradient, rtol=1e-8, atol=1e-10)


def test_there_and_back(target, points):
    values = target.constrain(points)
    assert set(values) == {"mu", "tau", "theta", "square", "p", "share"}
    np.testing.assert_allclose(values["tau"], np.exp(points[:, 1]), rtol=1e-12)
    np.testing.assert_allclose(values["square"], values["theta"] ** 2, rtol=1e-12)
    np.testing.assert_allclose(
        values["share"], values["tau"] / (1 + np.exp(-points[:, 7])), rtol=1e-10
    )
    assert values["p"].shape == (5, 3)
    np.testing.assert_allclose(target.unconstrain(values), points, rtol=1e-8)
    with pytest.raises(InputError, match="no values of mu, tau"):
        target.unconstrain({})


def test_log_jacobian_is_the_numerical_one(target, points):
    d, u = target.dimension, points[1]
    ends = u + 1e-6 * np.concatenate([np.eye(d), -np.eye(d)])
    values = target.constrain(ends)
    kept = [values[k].reshape(2 * d, -1) for k in ("mu", "tau", "theta", "p", "share")]
    # A simplex has one coordinate less than entries.
    kept[3] = kept[3][:, :-1]
    flat = np.concatenate(kept, axis=1)
    own = np.linalg.slogdet((flat[:d] - flat[d:]) / 2e-6)[1]
    # PyMC takes the simplex with a volume of its own; only the rest is compared as it is.
    other = points[3]
    ends = other + 1e-6 * np.concatenate([np.eye(d), -np.eye(d)])
    values = target.constrain(ends)
    kept = [values[k].reshape(2 * d, -1) for k in ("mu", "tau", "theta", "p", "share")]
    kept[3] = kept[3][:, :-1]
    flat = np.concatenate(kept, axis=1)
    second = np.linalg.slogdet((flat[:d] - flat[d:]) / 2e-6)[1]
    found = target.log_jacobian(points[[1, 3]])
    assert found[0] - found[1] == pytest.approx(own - second, abs=1e-6)


def test_the_evidence_is_in_the_density():
    with pm.Model() as model:
        rate = pm.Gamma("rate", 2.0, 4.0)
        pm.Poisson("count", rate, observed=4)
    target = pymc_model(model)
    u = np.linspace(-12.0, 6.0, 2001)[:, None]
    total = np.trapezoid(np.exp(target.evaluate(u)[0]), u[:, 0])
    # Negative binomial: 5 (4/5)^2 (1/5)^4. PyMC's own constants, such as log 4!, are float32.
    assert total == pytest.approx(5.0 * 0.8**2 * 0.2**4, rel=1e-7)


def test_an_operation_that_jax_does_not_know(points):
    import pytensor.tensor as pt
    from pytensor.graph.basic import Apply
    from pytensor.graph.op import Op

    class Host(Op):
        def make_node(self, x):
            return Apply(self, [pt.as_tensor(x)], [pt.dscalar()])

        def perform(self, node, inputs, outputs):
            outputs[0][0] = np.array(-0.5 * float((inputs[0] ** 2).sum()))

        def pullback(self, inputs, outputs, cotangents):
            return [-inputs[0] * cotangents[0]]

        def grad(self, inputs, cotangents):
            return [-inputs[0] * cotangents[0]]

    with pm.Model() as model:
        x = pm.Flat("x", shape=2)
        tau = pm.HalfNormal("tau")
        pm.Deterministic("twice", 2.0 * tau)
        pm.Potential("density", Host()(x))
    target = pymc_model(model)
    u = np.array([[1.0, -2.0, 0.3], [0.5, 0.1, -1.0]])
    values, gradients = target.evaluate(u)
    tau = np.exp(u[:, 2])
    half = np.log(2.0) - 0.5 * np.log(2 * np.pi) - 0.5 * tau**2 + u[:, 2]
    np.testing.assert_allclose(values, -0.5 * (u[:, :2] ** 2).sum(axis=1) + half, rtol=1e-12)
    np.testing.assert_allclose(gradients[:, :2], -u[:, :2], rtol=1e-12)
    np.testing.assert_allclose(gradients[:, 2], 1.0 - tau**2, rtol=1e-10)
    np.testing.assert_allclose(target.constrain(u)["twice"], 2 * tau)
    np.testing.assert_allclose(target.log_jacobian(u), u[:, 2])


def test_what_cannot_be_fitted():
    with pm.Model() as discrete:
        pm.Poisson("count", 3.0)
    with pytest.raises(UnsupportedError, match="count is discrete.*marginalize"):
        pymc_model(discrete)
    with pytest.raises(InputError, match="no free variables"):
        pymc_model(pm.Model())
    with pm.Model() as data:
        mu = pm.Normal("mu")
        pm.Normal("y", mu, 1.0, observed=pm.Data("rows", np.array([1.0, 2.0])))
        pm.set_data({"rows": np.array([1.0, 2.0])})
    data["rows"].set_value(np.array([1.0, np.nan]))
    with pytest.raises(InputError, match="variable y: the data have 1 NaN, first at index 1"):
        pymc_model(data)
