"""Densities of the Python API that call sys.exit, or raise what is no density's: an error of ours that names them."""

import sys

import numpy as np
import pytest
from scipy import stats

from kullback.api.check_loss import check_loss
from kullback.api.explain import explain
from kullback.api.fit import fit
from kullback.api.measure import cross_entropy, entropy, kl_divergence
from kullback.api.plan import plan
from kullback.core.errors import InputError
from kullback.targets import Known, LogDensity, Samples

NORMAL = "normal(0, sd=1)"


def leave(*_):
    sys.exit(0)


def fail(*_):
    raise ZeroDivisionError("division by zero")


class Leaving(stats.rv_continuous):
    def _pdf(self, x):
        leave()


def _sampled(sample):
    return Known(lambda x: -0.5 * np.sum(x**2, axis=-1), sample=sample, example=np.zeros(3))


@pytest.mark.parametrize(
    "verb",
    [
        lambda: kl_divergence(Known(leave, sample=leave, example=0.0), NORMAL),
        lambda: kl_divergence(NORMAL, LogDensity(leave, 0.0, normalized=True)),
        lambda: entropy(LogDensity(leave, 0.0, normalized=True)),
        lambda: cross_entropy(Samples(np.arange(9.0)), LogDensity(leave, 0.0)),
        lambda: plan(NORMAL, LogDensity(leave, 0.0)),
        lambda: explain(NORMAL, LogDensity(leave, 0.0, normalized=True)),
        lambda: kl_divergence(_sampled(leave), _sampled(leave)),
        lambda: kl_divergence(Leaving(), NORMAL),
        lambda: fit(LogDensity(leave, 0.0), "full_rank", direction="reverse"),
        lambda: fit(LogDensity(leave, 0.0), "full_rank", direction="forward"),
        lambda: fit(
            LogDensity(lambda x: -(x**2), 0.0, gradient=leave), "full_rank", direction="reverse"
        ),
        lambda: fit(
            LogDensity(leave, np.zeros(3, dtype=int), support="binary"),
            "mean_field",
            direction="reverse",
        ),
        lambda: check_loss(lambda student_logits, teacher_logits: leave(), expect="forward").passes,
    ],
)
def test_sys_exit_is_an_error(verb):
    with pytest.raises(InputError, match=r"sys\.exit\(0\)"):
        verb()


def test_what_a_sampler_raises_is_named():
    with pytest.raises(InputError, match="the sampler of p raised ZeroDivisionError: division"):
        kl_divergence(_sampled(fail), _sampled(fail))
