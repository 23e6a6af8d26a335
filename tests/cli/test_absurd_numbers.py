"""Absurd numbers are told: exit code 0 to 3 and a line, never an exception of ours."""

import math

import numpy as np
import pytest

from kullback.api.check_loss import check_loss
from kullback.api.measure import kl_divergence
from kullback.core.errors import InputError, UnsupportedError

NORMAL = "normal(0, sd=1)"
LAPLACE = ("kl", "laplace(0, scale=1)", NORMAL, "--method", "monte carlo")
CLAIM = "[[claim]]\nwhat='a'\nquantity='kl'\np='normal(0, sd=1)'\nq='normal(1, sd=1)'\n"


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("kl", "student_t(1e300)", NORMAL), "p has the parameter 1e+300"),
        (("kl", NORMAL, "truncated(normal(0, sd=1), 0, 1e-300)"), "q has the parameter 1e-300"),
        ((*LAPLACE, "--n", "1000000000000"), "at most 67,108,864 draws"),
        ((*LAPLACE, "--n", "9" * 400), "at most 67,108,864 draws"),
        ((*LAPLACE, "--tolerance", "nan"), "must be positive"),
        (("kl", NORMAL, NORMAL, "--dx", "nan"), "dx must be positive"),
        (("fit", "faithful.csv", "--family", "mixture:2", "--direction", "forward", "--starts", "9" * 400), "--starts"),
        (("demo", "--starts", "1000000000"), "at most 100,000 restarts"),
    ],
)  # fmt: skip
def test_options_and_parameters(run, args, message):
    ran = run(*args)
    assert (ran.code, ran.out) == (2, ""), ran
    assert message in ran.err


def test_a_mass_beyond_every_integer(run):
    assert run("kl", "poisson(1e30)", NORMAL).code in (0, 2, 3)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"{CLAIM}value='1e999999999'", "beyond what float64 can hold"),
        (f"{CLAIM}value='nan'", "beyond what float64 can hold"),
        (f"{CLAIM}value='0.5'\ntolerance='1e999'", "tolerance = 1e999 is beyond"),
        (f"{CLAIM}value='0.5'\ntolerance='x'", "tolerance = 'x' is not a number"),
        (f"{CLAIM}value={'9' * 5000}", "not valid TOML"),
        ("x = " + "[" * 20_000 + "]" * 20_000, "nested too deeply"),
    ],
)
def test_claims(run, write, text, message):
    ran = run("verify", write("c.toml", text))
    assert (ran.code, ran.out) == (2, "")
    assert message in ran.err


def test_from_python():
    with pytest.raises(UnsupportedError, match="measure x in other units"):
        kl_divergence("student_t(1e300)", NORMAL)
    with pytest.raises(InputError, match="a key is a non-negative integer"):
        check_loss(lambda p_probs, q_probs: np.sum(p_probs), key=-1)


def test_a_bug_over_ordinary_parameters_stays_a_bug(monkeypatch):
    def broken(*args, **kwargs):
        raise OverflowError("math range error")

    monkeypatch.setattr("kullback.api.measure.label", broken)
    with pytest.raises(OverflowError):
        kl_divergence(NORMAL, "normal(0, sd=2)")


def test_a_number_that_is_none_is_unresolved():
    from kullback.api.measure import _number
    from kullback.results.estimate import Outcome

    assert _number(Outcome(math.nan, 0.0, "numeric", "sum")).kind == "unresolved"
