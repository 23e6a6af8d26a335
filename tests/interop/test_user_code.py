"""Densities of the Python API that call sys.exit, or raise what is no density's: an error of ours that names them."""

import sys

import numpy as np
import pytest
from scipy import stats

import kullback as kb

NORMAL = "normal(0, sd=1)"


def leave(*_):
    sys.exit(0)


def fail(*_):
    raise ZeroDivisionError("division by zero")


class Leaving(stats.rv_continuous):
    def _pdf(self, x):
        leave()


def _sampled(sample):
    return kb.Known(lambda x: -0.5 * np.sum(x**2, axis=-1), sample=sample, example=np.zeros(3))


@pytest.mark.parametrize(
    "verb",
    [
        lambda: kb.kl_divergence(kb.Known(leave, sample=leave, example=0.0), NORMAL),
        lambda: kb.kl_divergence(NORMAL, kb.LogDensity(leave, 0.0, normalized=True)),
        lambda: kb.entropy(kb.LogDensity(leave, 0.0, normalized=True)),
        lambda: kb.cross_entropy(kb.Samples(np.arange(9.0)), kb.LogDensity(leave, 0.0)),
        lambda: kb.plan(NORMAL, kb.LogDensity(leave, 0.0)),
        lambda: kb.explain(NORMAL, kb.LogDensity(leave, 0.0, normalized=True)),
        lambda: kb.kl_divergence(_sampled(leave), _sampled(leave)),
        lambda: kb.kl_divergence(Leaving(), NORMAL),
        lambda: kb.fit(kb.LogDensity(leave, 0.0), "full_rank", direction="reverse"),
        lambda: kb.fit(kb.LogDensity(leave, 0.0), "full_rank", direction="forward"),
        lambda: kb.fit(
            kb.LogDensity(lambda x: -(x**2), 0.0, gradient=leave), "full_rank", direction="reverse"
        ),
        lambda: kb.fit(
            kb.LogDensity(leave, np.zeros(3, dtype=int), support="binary"),
            "mean_field",
            direction="reverse",
        ),
        lambda: (
            kb.check_loss(lambda student_logits, teacher_logits: leave(), expect="forward").passes
        ),
    ],
)
def test_sys_exit_is_an_error(verb):
    with pytest.raises(kb.InputError, match=r"sys\.exit\(0\)"):
        verb()


def test_what_a_sampler_raises_is_named():
    with pytest.raises(kb.InputError, match="the sampler of p raised ZeroDivisionError: division"):
        kb.kl_divergence(_sampled(fail), _sampled(fail))
