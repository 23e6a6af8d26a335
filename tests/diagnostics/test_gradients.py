"""Bias and variance of gradient estimators, as `explain gradients` reports them."""

import pytest

pytest.importorskip("jax")

import math

import jax.numpy as jnp
import numpy as np

from kullback.api.gradients import explain_gradients
from kullback.cli.app import main
from kullback.core.errors import DensityError, InputError, UnsupportedError
from kullback.fitting.elbo_gradients import ESTIMATORS
from kullback.targets import LogDensity

FORGOTTEN = "score_function_of_log_p"


def posterior(x):
    return -0.25 * jnp.sum(x**4) + x[0] * x[1] - 0.5 * jnp.sum(x**2) - 100.0


@pytest.fixture(scope="module")
def found():
    return explain_gradients(LogDensity(posterior, np.zeros(3)), "full_rank")


def test_only_the_one_that_forgets_the_entropy_is_biased(found):
    assert {row.estimator for row in found.rows} == set(ESTIMATORS)
    assert found.parameters == 9
    assert {row.estimator for row in found.rows if row.biased} == {FORGOTTEN}
    for row in found.rows:
        if row.estimator == FORGOTTEN:
            # The gradient of the entropy: 1 for each of the three scales.
            assert row.bias.value == pytest.approx(math.sqrt(3), abs=4 * row.bias.standard_error)
        else:
            assert row.bias.value == pytest.approx(0.0, abs=4 * row.bias.standard_error + 1e-9)


def test_the_order_of_the_variances(found):
    best, worst = found.norms[0][0], found.norms[1][0]
    at = {(r.place, r.estimator): r for r in found.rows}
    path, whole = (at[best, n].variance.value for n in ("stick_the_landing", "reparameterization"))
    assert path < 0.5 * whole
    # A constant of -100 in log p is noise for what has no baseline, and nothing for what has one.
    bare = at[best, "score_function_without_baseline"]
    assert bare.ratio.value > 100.0 * at[best, "score_function"].ratio.value
    assert at[best, "stick_the_landing"].ratio.value == 1.0
    assert at[worst, "score_function"].needs == "value"


def test_the_variance_is_that_of_a_draw():
    found = explain_gradients("normal(1, sd=2)", "mean_field", key=3)
    row = next(r for r in found.rows if r.estimator == "reparameterization")
    # g = -z and 1 - z^2: variances 1 and 2.
    assert row.variance.value == pytest.approx(3.0, abs=4 * row.variance.standard_error)
    assert row.variance.standard_error < 0.3
    assert math.isinf(row.ratio.value)


@pytest.mark.slow
def test_biases_are_within_their_errors_as_often_as_they_should_be():
    scores = []
    for key in range(10):
        found = explain_gradients("gamma(3, rate=2)", "mean_field", key=key)
        scores += [
            r.bias.value / r.bias.standard_error for r in found.rows if r.estimator != FORGOTTEN
        ]
    assert np.sqrt(np.mean(np.square(scores))) < 1.6
    assert np.abs(scores).max() < 4.0


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(UnsupportedError, match="the target lives on the integers"):
        explain_gradients("bernoulli(0.3)")
    with pytest.raises(InputError, match="gradients are compared for"):
        explain_gradients("normal(0, sd=1)", "mixture:2")
    with pytest.raises(DensityError, match="say with support= where the parameters live"):
        explain_gradients(LogDensity(lambda x: jnp.where(x > 0.0, -x * x, -jnp.inf), 1.0))


def test_the_command(capsys):
    assert main(["explain", "gradients", "gamma(3, rate=2)"]) == 0
    out = capsys.readouterr().out
    assert "stick the landing" in out
    assert "at the optimum" in out
    assert main(["explain", "gradients"]) == 0
    assert "E_q[grad log q] = 0" in " ".join(capsys.readouterr().out.split())
