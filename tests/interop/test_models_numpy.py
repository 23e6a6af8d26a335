"""Plain functions as targets: values at once or in a loop, gradients given or by differences."""

import math
import sys

import numpy as np
import pytest
from scipy import stats

from kullback.core.errors import DensityError, InputError, MissingDependencyError
from kullback.interop.functions import numpy_function, torch_function
from kullback.interop.models import recognise
from kullback.interop.stan_program import stan_program

PRECISION = np.array([[2.0, 0.3], [0.3, 0.5]])
CENTRE = np.array([1.0, -200.0])
U = np.array([[0.4, -190.0], [1.7, 3.0], [-2.0, -200.5]])


def gaussian(x):
    return float(-0.5 * (x - CENTRE) @ PRECISION @ (x - CENTRE))


def slope(x):
    return -PRECISION @ (x - CENTRE)


def batches(x):
    return -0.5 * np.einsum("...i,ij,...j->...", x - CENTRE, PRECISION, x - CENTRE)


@pytest.mark.parametrize("fn", [gaussian, batches])
def test_differences(fn):
    target = numpy_function(fn, np.zeros(2))
    assert target.gradient == "differences"
    assert target.bare
    values, gradients = target.evaluate(U)
    np.testing.assert_allclose(values, [gaussian(u) for u in U], rtol=1e-13)
    np.testing.assert_allclose(gradients, [slope(u) for u in U], rtol=1e-7, atol=1e-7)


def test_a_gradient_that_is_given():
    target = numpy_function(gaussian, np.zeros(2), gradient=slope)
    assert target.gradient == "given"
    np.testing.assert_array_equal(target.evaluate(U)[1], [slope(u) for u in U])
    assert target.evaluate(U[:0])[1].shape == (0, 2)


def test_differences_of_a_narrow_density_far_away():
    target = numpy_function(lambda x: float(-np.cosh((x[0] - 1e6) / 1e-3)), np.array([1e6]))
    u = np.array([[1e6 + 1e-3], [1e6 - 2e-3]])
    truth = -np.sinh((u - 1e6) / 1e-3) / 1e-3
    np.testing.assert_allclose(target.evaluate(u)[1], truth, rtol=1e-6)


def test_a_huge_constant_does_not_shrink_the_step():
    target = numpy_function(lambda x: -1e12 - 3.0 * x * x, 0.0)
    np.testing.assert_allclose(target.evaluate(np.array([[2.0]]))[1], [[-12.0]], rtol=0.1)


def named(p):
    return (
        stats.gamma(3.0, scale=0.5).logpdf(p["rate"])
        + stats.beta(2.0, 5.0).logpdf(p["share"]).sum()
        - 0.5 * p["mu"] ** 2
    )


def named_slope(p):
    share = p["share"]
    return {
        "mu": -p["mu"],
        "share": 1.0 / share - 4.0 / (1.0 - share),
        "rate": 2.0 / p["rate"] - 2.0,
    }


EXAMPLE = {"mu": 1.0, "share": np.array([0.2, 0.6]), "rate": 2.0}
SUPPORT = {"share": "unit", "rate": "positive"}


def test_named_parameters_with_supports():
    u = np.array([[0.3, -1.0, 0.7, 0.2], [-1.2, 2.0, 0.1, -3.0]])
    plain = numpy_function(named, EXAMPLE, support=SUPPORT)
    given = numpy_function(named, EXAMPLE, support=SUPPORT, gradient=named_slope)
    assert plain.coordinates == ("mu", "share[0]", "share[1]", "rate")
    assert not plain.bare
    events = plain.constrain(u)
    share, rate = events["share"], events["rate"]
    truth = [
        named({k: v[i] for k, v in events.items()})
        + np.log(share[i] * (1 - share[i])).sum()
        + np.log(rate[i])
        for i in range(2)
    ]
    np.testing.assert_allclose(plain.evaluate(u)[0], truth, rtol=1e-12)
    np.testing.assert_allclose(given.evaluate(u)[0], truth, rtol=1e-12)
    by_hand = np.stack([-u[:, 0], 2 - 7 * share[:, 0], 2 - 7 * share[:, 1], 3 - 2 * rate], axis=1)
    np.testing.assert_allclose(given.evaluate(u)[1], by_hand, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(plain.evaluate(u)[1], by_hand, rtol=1e-7, atol=1e-8)


def test_a_scalar_function_of_the_standard_library():
    target = numpy_function(lambda x: -2.0 * x - math.lgamma(x), 1.5, support="positive")
    assert target.coordinates == ("x",)
    values, gradients = target.evaluate(np.array([[0.4]]))
    x = math.exp(0.4)
    assert values[0] == pytest.approx(-2 * x - math.lgamma(x) + 0.4, rel=1e-12)
    assert np.isfinite(gradients).all()


def test_a_wall_is_passed_on():
    target = numpy_function(lambda x: -x if x > 0.0 else -math.inf, 1.0)
    values, gradients = target.evaluate(np.array([[-5.0], [5.0]]))
    assert values[0] == -np.inf
    assert np.isnan(gradients[0, 0])
    assert gradients[1, 0] == pytest.approx(-1.0)


@pytest.mark.parametrize(
    ("library", "adaptor", "line"),
    [
        (
            "pymc",
            lambda m: pytest.importorskip("kullback.interop.pymc_model").pymc_model(m),
            r"pip install 'kullback\[pymc\]'",
        ),
        ("stan", stan_program, r"pip install 'kullback\[stan\]'"),
        ("torch", lambda fn: torch_function(fn, 0.0), "pip install torch"),
    ],
)
def test_a_missing_library_is_named_with_the_line_to_type(monkeypatch, library, adaptor, line):
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(MissingDependencyError, match=line):
        adaptor("model {}")


def test_what_is_no_model_is_not_recognised():
    assert recognise(gaussian) is None
    assert recognise(pytest) is None
    target = numpy_function(gaussian, np.zeros(2))
    assert recognise(target) is target


def raises(x):
    raise KeyError("no such row")


@pytest.mark.parametrize(
    ("fn", "example", "message"),
    [
        (raises, np.zeros(2), "no such row"),
        (raises, {"a": 1.0}, "^'no such row' .KeyError raised .* at {'a': .*test_models_numpy.py"),
        (lambda x: x, np.zeros(2), r"shape \(2,\)"),
        (lambda p: p["a"], {"a": np.zeros(3)}, r"returned shape \(3,\): .* sum it"),
        (lambda p: None, {"a": 1.0}, "returned None"),
    ],
)
def test_functions_that_are_not_densities(fn, example, message):
    with pytest.raises(DensityError, match=message):
        numpy_function(fn, example)


def test_gradients_that_are_not():
    with pytest.raises(DensityError, match=r"the gradient has shape \(3,\); it must be \(2,\)"):
        numpy_function(gaussian, np.zeros(2), gradient=lambda x: np.zeros(3))
    with pytest.raises(InputError, match="a function or \"differences\", got 'auto'"):
        numpy_function(gaussian, np.zeros(2), gradient="auto")
