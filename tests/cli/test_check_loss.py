"""`kullback check-loss`: a loss in a file or a module, its gate and its messages."""

import importlib
import sys

import pytest

from kullback.api.check_loss import check_loss

LOSSES = """
import numpy as np

print("noise")

def k3(logp, ref_logp):
    gap = ref_logp - logp
    return np.mean(np.exp(gap) - 1 - gap)

def scaled(x, y, weight):
    return weight * np.mean(np.sum(x * np.log(x / y), axis=-1))

class Losses:
    forward = staticmethod(scaled)
"""


def test_a_loss_in_a_file(run, write):
    write("mine.py", LOSSES)
    ran = run("check-loss", "mine.py:k3")
    assert (ran.code, "noise" in ran.out) == (0, False)
    assert "samples drawn from q (on-policy)" in ran.out
    assert "fix: to descend KL(q||p)" in ran.out
    body = run("check-loss", "mine.py:k3", "--json").json
    assert (body["schema"], body["command"], body["name"]) == (2, "check-loss", "forward")
    assert body["under"][0]["value"]["name"] == "reverse"


def test_the_gate(run, write):
    write("mine.py", LOSSES)
    ran = run("check-loss", "mine.py:k3", "--expect", "reverse")
    assert ran.code == 1
    assert "NOT as expected: reverse was expected, the gradient is forward" in ran.out
    assert run("check-loss", "mine.py:k3", "--expect", "forward").code == 0


@pytest.mark.slow
def test_roles_and_numbers(run, write):
    write("mine.py", LOSSES)
    args = ("--role", "x=p probs", "--role", "y=q probs", "--fixed", "weight=0.5", "--json")
    body = run("check-loss", "mine.py:Losses.forward", *args).json
    assert (body["name"], body["under"][0]["gradient"]["scale_words"]) == ("forward", "weight")
    assert run("check-loss", "mine:k3").code == 0  # the same as a module of this directory


def test_bad_input(run, write):
    write("mine.py", LOSSES)
    write("broken.py", "1 / 0")
    for args, words in (
        (("mine.py",), "say module:function"),
        (("mine.py:k4",), "has no name 'k4'; it has k3, scaled"),
        (("nowhere.py:k3",), "no such file"),
        (("no.such.module:f",), "cannot be imported"),
        (("broken.py:f",), "ZeroDivisionError"),
        (("mine.py:k3", "--role", "x"), "write NAME=VALUE"),
        (("mine.py:k3", "--expect", "backward"), "choose from forward"),
        (("mine.py:scaled", "--fixed", "weight=1.0"), "which of x and y is trained"),
    ):
        ran = run("check-loss", *args)
        assert (ran.code, ran.out) == (2, ""), ran
        assert words in ran.err


TOKENS = """
import jax.numpy as jnp
import numpy as np
from kullback import losses

def k1(log_p, log_q):
    return (log_q - log_p).mean()

def k2(policy_logprobs, ref_logprobs):
    return np.mean((policy_logprobs - ref_logprobs) ** 2) / 2

def k3(log_p, log_q):
    return (jnp.exp(log_p - log_q) - 1 - (log_p - log_q)).mean()

def surrogate(log_p, log_q):
    return losses.reverse_kl_surrogate(log_p=log_p, log_q=log_q).mean()

def of_teacher_tokens(log_p, log_q):
    return losses.forward_kl_surrogate(log_p=log_p, log_q=log_q).mean()
"""


@pytest.mark.parametrize(
    ("loss", "descends"),
    [
        pytest.param("kullback.losses:k1", "zero", marks=pytest.mark.slow),
        pytest.param("kullback.losses:k3", "forward", marks=pytest.mark.slow),
        pytest.param("tokens:k1", "zero", marks=pytest.mark.slow),
        pytest.param("tokens:k2", "reverse", marks=pytest.mark.slow),
        ("tokens:k3", "forward"),
        pytest.param("tokens:surrogate", "reverse", marks=pytest.mark.slow),
    ],
)
def test_the_gate_asks_of_tokens_of_the_policy(run, write, tmp_path, loss, descends, monkeypatch):
    pytest.importorskip("jax")
    write("tokens.py", TOKENS)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "tokens", raising=False)
    module, _, name = loss.partition(":")
    fn = getattr(importlib.import_module(module), name)
    for expected in ("reverse", "forward"):
        ran = run("check-loss", loss, "--expect", expected, "--json")
        assert ran.code == (expected != descends), ran.out
        assert ran.json["name"] == descends
    assert check_loss(fn, expect=descends).passes
    if loss != "tokens:k1":  # as minus the ELBO of reparameterised draws it descends the reverse
        assert check_loss(fn).name == descends


def test_a_gate_says_which_draws_it_asks_of(run, write):
    pytest.importorskip("jax")
    write("tokens.py", TOKENS)
    out = " ".join(
        run("check-loss", "tokens.py:of_teacher_tokens", "--expect", "forward").out.split()
    )
    assert "the gradient is zero, with samples drawn from q (on-policy)" in out
    assert "for samples drawn from p the gradient is that of KL(p||q)" in out
    assert "losses.forward_kl_surrogate(log_p=log_p, log_q=log_q, log_sampler=log_q)" in out
