"""Models of BridgeStan, by the methods that they have; a stand-in follows BridgeStan's reference, since no compiler is here."""

import math

import numpy as np
import pytest

import kullback as kb
from kullback.core.errors import InputError
from kullback.interop.models import recognise
from kullback.interop.stan_program import stan_program

MEAN = np.array([[1.0, -2.0, 0.5], [0.0, 3.0, -1.0]])


class StandIn:
    """a ~ normal(MEAN, 2), a matrix; sd ~ exponential(1.5), positive; transformed: twice sd."""

    def param_unc_num(self):
        return 7

    def param_names(self, *, include_tp=False, include_gq=False):
        assert not include_gq
        entries = [f"a.{i}.{j}" for j in (1, 2, 3) for i in (1, 2)] + ["sd"]
        return entries + (["two", "z.real", "z.imag"] if include_tp else [])

    def param_constrain(self, theta_unc, *, include_tp=False, include_gq=False):
        assert not include_gq
        x = np.append(theta_unc[:6], np.exp(theta_unc[6]))
        return np.concatenate([x, [2.0 * x[6], 0.0, 1.0]]) if include_tp else x

    def param_unconstrain(self, theta):
        if not theta[6] > 0.0:
            raise RuntimeError("sd is not positive")
        return np.append(theta[:6], np.log(theta[6]))

    def log_density(self, theta_unc, *, propto=True, jacobian=True):
        if theta_unc[0] > 50.0:
            raise RuntimeError("too far")
        z = (theta_unc[:6] - MEAN.ravel(order="F")) / 2.0
        value = -0.5 * z @ z - 6.0 * math.log(2.0 * math.sqrt(2.0 * math.pi))
        value += math.log(1.5) - 1.5 * math.exp(min(theta_unc[6], 700.0))
        return value + jacobian * theta_unc[6] - 100.0 * propto

    def log_density_gradient(self, theta_unc, *, propto=True, jacobian=True):
        assert jacobian
        slope = -(theta_unc[:6] - MEAN.ravel(order="F")) / 4.0
        whole = np.append(slope, 1.0 - 1.5 * np.exp(theta_unc[6]))
        return self.log_density(theta_unc, propto=propto), whole


def test_the_parts():
    target = stan_program(StandIn())
    assert target.dimension == 7
    names = ("a[1,1]", "a[2,1]", "a[1,2]", "a[2,2]", "a[1,3]", "a[2,3]", "sd")
    assert target.coordinates == names
    u = np.random.default_rng(0).normal(size=(5, 7))
    c = target.constrain(u)
    assert list(c) == ["a", "sd", "two", "z.real", "z.imag"]
    np.testing.assert_array_equal(c["a"][:, 1, 0], u[:, 1])
    np.testing.assert_allclose(c["two"], 2.0 * np.exp(u[:, 6]))
    np.testing.assert_allclose(target.log_jacobian(u), u[:, 6])
    assert target.unconstrain is not None
    np.testing.assert_allclose(target.unconstrain({"a": c["a"], "sd": c["sd"]}), u)
    with pytest.raises(InputError, match="sd is not positive"):
        target.unconstrain({"a": c["a"], "sd": -c["sd"]})
    values, _ = target.evaluate(np.full((1, 7), 60.0))
    assert np.isneginf(values[0])


def test_it_is_recognised_and_its_evidence_has_all_constants():
    target = recognise(StandIn())
    assert target is not None
    fit = kb.fit(StandIn(), "full_rank", direction="reverse", report=False)  # pyright: ignore[reportArgumentType]
    assert -0.2 < fit.elbo.value < 0.01
    np.testing.assert_allclose(fit.sample(4000, key=1)["a"].mean(axis=0), MEAN, atol=0.2)  # pyright: ignore[reportArgumentType]


def test_nothing_to_fit_is_refused():
    class Empty(StandIn):
        def param_unc_num(self):
            return 0

    with pytest.raises(InputError, match="no parameters"):
        stan_program(Empty())
