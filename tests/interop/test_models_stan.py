"""Stan programs as targets, against closed forms. Compiling one takes half a minute."""

import numpy as np
import pytest
from scipy import stats
from scipy.special import expit

from kullback.core.errors import DensityError, InputError
from kullback.interop.models import recognise
from kullback.interop.stan_program import stan_program

pytestmark = pytest.mark.filterwarnings("ignore")
stan = pytest.importorskip("stan")

CODE = """
data { int<lower=1> n; vector[n] y; }
parameters { matrix[2, 3] a; real mu; real<lower=0> sd; simplex[3] p; real<lower=-1, upper=2> b; }
transformed parameters { real two = 2 * mu; }
model {
  if (mu > 50) reject("mu is too far: ", mu);
  target += normal_lpdf(to_vector(a) | 1, 2);
  target += normal_lpdf(mu | 1, 2);
  target += exponential_lpdf(sd | 1.5);
  target += normal_lpdf(y | mu, sd);
  target += dirichlet_lpdf(p | [1, 2, 3]');
}
generated quantities { real noise = normal_rng(0, 1); }
"""
Y = np.array([3.0, 1.0, -0.5])


@pytest.fixture(scope="module")
def target():
    return stan_program(CODE, {"n": 3, "y": Y})


@pytest.fixture(scope="module")
def points(target):
    return 0.2 + 0.7 * np.random.default_rng(4).normal(size=(4, target.dimension))


def test_the_parts(target):
    assert target.coordinates == (
        "a[1,1]", "a[2,1]", "a[1,2]", "a[2,2]", "a[1,3]", "a[2,3]", "mu", "sd", "p[1]", "p[2]", "b",
    )  # fmt: skip
    assert target.dimension == 11
    assert target.origin == "Stan program"


def test_values_and_the_jacobian(target, points):
    c = target.constrain(points)
    assert list(c) == ["a", "mu", "sd", "p", "b", "two"]
    truth = [
        stats.norm(1, 2).logpdf(c["a"][i]).sum()
        + stats.norm(1, 2).logpdf(c["mu"][i])
        + stats.expon(scale=1 / 1.5).logpdf(c["sd"][i])
        + stats.norm(c["mu"][i], c["sd"][i]).logpdf(Y).sum()
        + stats.dirichlet([1, 2, 3]).logpdf(c["p"][i])
        for i in range(len(points))
    ]
    jacobian = target.log_jacobian(points)
    np.testing.assert_allclose(target.evaluate(points)[0] - jacobian, truth, rtol=1e-9)
    share = expit(points[:, 10])
    rest = jacobian - points[:, 7] - np.log(3 * share * (1 - share))
    ends = points[0] + 1e-6 * np.concatenate([np.eye(11), -np.eye(11)])
    p = target.constrain(ends)["p"][:, :2]
    slope = ((p[:11] - p[11:]) / 2e-6)[8:10]
    # Whichever map Stan has for a simplex, the Jacobian is that of its free entries up to a constant.
    other = points[1] + 1e-6 * np.concatenate([np.eye(11), -np.eye(11)])
    q = target.constrain(other)["p"][:, :2]
    second = ((q[:11] - q[11:]) / 2e-6)[8:10]
    expected = np.linalg.slogdet(slope)[1] - np.linalg.slogdet(second)[1]
    assert rest[0] - rest[1] == pytest.approx(expected, abs=1e-6)


def test_gradients(target, points):
    _, gradients = target.evaluate(points[:1])
    ends = points[0] + 1e-5 * np.concatenate([np.eye(11), -np.eye(11)])
    values, _ = target.evaluate(ends)
    np.testing.assert_allclose(
        gradients[0], (values[:11] - values[11:]) / 2e-5, rtol=1e-5, atol=1e-7
    )


def test_there_and_back(target, points):
    c = target.constrain(points)
    np.testing.assert_allclose(c["a"][0, 1, 0], points[0, 1])
    np.testing.assert_allclose(c["a"][0, 0, 2], points[0, 4])
    np.testing.assert_allclose(c["two"], 2 * c["mu"])
    np.testing.assert_allclose(target.unconstrain(c), points, rtol=1e-9)
    with pytest.raises(InputError, match="row 0 is not in the support: .*Lower bounded variable"):
        target.unconstrain({**c, "sd": -c["sd"]})


def test_a_rejected_point_has_no_mass(target, points):
    far = points[:1] + 100.0 * np.eye(11)[6]
    value, gradient = target.evaluate(far)
    assert value[0] == -np.inf
    assert np.isnan(gradient).all()


def test_what_cannot_be_used():
    with pytest.raises(InputError, match="data y: there are 2 NaN, first at index 1"):
        stan_program(CODE, {"n": 3, "y": np.array([1.0, np.nan, np.nan])})
    with pytest.raises(InputError, match="not built(.|\n)*expected after variable declaration"):
        stan_program("parameters { real mu } model {}")
    with pytest.raises(InputError, match="got int"):
        stan_program(3)


def test_a_built_program_is_recognised_and_may_reject_everything():
    model = stan.build('parameters { real mu; } model { reject("never: ", mu); }')
    with pytest.raises(DensityError, match="^never: .*rejects all of 5 points"):
        recognise(model)
