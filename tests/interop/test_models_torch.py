"""torch functions as targets, against closed forms."""

import numpy as np
import pytest

from kullback.core.errors import DensityError, InputError
from kullback.interop.functions import torch_function

torch = pytest.importorskip("torch")

DATA = torch.tensor([1.0, 2.5, -0.3], dtype=torch.float64)
U = np.array([[0.4, 0.3], [-1.0, -0.7], [2.2, 1.1]])


def normal(p):
    return torch.distributions.Normal(p["mu"], p["sd"]).log_prob(DATA).sum()


def branching(p):
    return normal(p) if p["mu"].item() > -50.0 else -normal(p)


@pytest.mark.parametrize("fn", [normal, branching])
def test_named_parameters(fn):
    target = torch_function(fn, {"mu": 0.5, "sd": torch.tensor(2.0)}, support={"sd": "positive"})
    assert target.coordinates == ("mu", "sd")
    assert target.origin == "torch function"
    values, gradients = target.evaluate(U)
    residual = DATA.numpy() - U[:, :1]
    sd = np.exp(U[:, 1:])
    truth = (-0.5 * (residual / sd) ** 2 - U[:, 1:] - 0.5 * np.log(2 * np.pi)).sum(axis=1)
    np.testing.assert_allclose(values, truth + U[:, 1], rtol=1e-12)
    slope = np.stack(
        [(residual / sd**2).sum(axis=1), ((residual / sd) ** 2).sum(axis=1) - 2.0], axis=1
    )
    np.testing.assert_allclose(gradients, slope, rtol=1e-10)
    np.testing.assert_allclose(target.unconstrain(target.constrain(U)), U, rtol=1e-12)


def test_a_bare_vector_of_many_rows():
    target = torch_function(lambda x: -(x**4).sum() + x[0] * x[1], torch.zeros(2))
    assert target.bare
    u = np.random.default_rng(1).normal(size=(300, 2))
    values, gradients = target.evaluate(u)
    np.testing.assert_allclose(values, -(u**4).sum(axis=1) + u[:, 0] * u[:, 1], rtol=1e-10)
    np.testing.assert_allclose(gradients, -4 * u**3 + u[:, ::-1], rtol=1e-10)
    assert target.evaluate(u[:0])[1].shape == (0, 2)


def test_a_module_keeps_its_parameters_and_the_callers_grad_mode():
    weight = torch.ones(2, dtype=torch.float64, requires_grad=True)
    target = torch_function(lambda x: -(x - weight).square().sum(), [0.0, 0.0])
    with torch.no_grad():
        assert target.evaluate(np.array([[2.0, 5.0]]))[1].tolist() == [[-2.0, -8.0]]
    assert weight.grad is None
    assert torch.get_default_dtype() == torch.float32


def raises(x):
    raise RuntimeError("no such device here")


@pytest.mark.parametrize(
    ("fn", "message"),
    [
        (raises, "^no such device here .RuntimeError raised .* at test_models_torch.py"),
        (lambda x: torch.ones(2, 2) @ x, "same dtype.*give its data as .double"),
        (lambda x: x, r"returned shape \(2,\): a log density is one number; sum it"),
        (lambda x: 1.0, "returned a float"),
        (lambda x: torch.tensor(x.sum().item()), "does not depend on its argument.*.item"),
        (lambda x: None, "returned None"),
    ],
)
def test_functions_that_are_not_densities(fn, message):
    with pytest.raises(DensityError, match=message):
        torch_function(fn, torch.zeros(2))


def test_an_example_outside():
    with pytest.raises(InputError, match="not inside"):
        torch_function(lambda x: -x.sum(), -1.0, support="positive")
