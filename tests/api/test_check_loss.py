"""check_loss: the right name for losses as they are written, and no name for what is none."""

import functools
import json

import numpy as np
import pytest

from kullback.api.check_loss import check_loss
from kullback.core.errors import InputError
from kullback.losses.sampled import (
    forward_kl_surrogate,
    reverse_kl_surrogate,
    score_function_loss,
)
from kullback.results.serialise import to_json

torch = pytest.importorskip("torch")

from tests import training_losses as zoo
from tests.tried import some_of


def named(loss):
    inner = getattr(loss, "func", loss)
    return getattr(inner, "__name__", type(inner).__name__)


@functools.cache
def checked(loss):
    return check_loss(loss)


@pytest.mark.parametrize("row", some_of(zoo.LOSSES, lambda _, row: named(row[0])))
def test_a_loss_is_named(row):
    loss, how, gradient, value, scale = row
    report = check_loss(loss, **how) if how else checked(loss)
    assert (report.gradient.name, report.value.name) == (gradient, value), str(report)
    if scale is not None:
        assert report.gradient.scale_words == scale, str(report)
    if report.gradient.named and gradient != "zero":
        error = 4e-3 if loss is zoo.half_precision else 2e-5
        assert abs(report.gradient.cosine) > 1 - error**2
        assert report.gradient.relative_error < error
    assert json.loads(json.dumps(to_json(report), allow_nan=False))["name"] == gradient
    assert str(report).startswith(named(loss))


def test_the_table_of_k1_k2_k3_to_twelve_digits():
    found = {name: checked(getattr(zoo, name)) for name in ("k1", "k2", "k3")}
    on = {name: report.on_policy for name, report in found.items()}
    assert on["k1"].gradient.name == "zero"
    for name, gradient in (("k2", "reverse"), ("k3", "forward")):
        assert on[name].gradient.name == gradient
        assert on[name].gradient.relative_error < 1e-12
        assert abs(on[name].gradient.scale - 1) < 1e-12
    for name in ("k1", "k3"):
        assert on[name].value.name == "reverse"
        assert abs(on[name].value.bias_reverse) < 1e-12
    assert on["k2"].value.bias_reverse > 0.01
    for report in found.values():
        assert report.off_policy.value.name == report.off_policy.gradient.name == "none"
        assert abs(report.off_policy.value.bias_reverse) > 0.01
    assert on["k3"].value.deviation < on["k1"].value.deviation


def test_our_own_surrogates_are_right_on_and_off_policy():
    for direction, loss in (
        ("reverse", lambda log_p, log_q, log_sampler: reverse_kl_surrogate(
            log_p=log_p, log_q=log_q, log_sampler=log_sampler)),
        ("forward", lambda log_p, log_q, log_sampler: forward_kl_surrogate(
            log_p=log_p, log_q=log_q, log_sampler=log_sampler)),
    ):  # fmt: skip
        roles = {"log_p": "p sampled", "log_q": "q sampled", "log_sampler": "old sampled"}
        report = check_loss(loss, roles=roles)
        for under in (report.on_policy, report.off_policy):
            assert (under.value.name, under.gradient.name) == (direction, direction)
            assert under.gradient.relative_error < 1e-12


def test_a_baseline_of_the_other_draws_changes_no_mean():
    def loss(log_p, log_q):
        return score_function_loss(log_p=log_p.reshape(-1), log_q=log_q.reshape(-1))

    report = check_loss(loss, roles={"log_p": "p sampled", "log_q": "q sampled"})
    assert (report.on_policy.gradient.name, report.on_policy.value.name) == ("reverse", "reverse")


@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(s, marks=pytest.mark.slow) for s in range(1, 6))]
)
def test_no_name_for_smooth_functions(seed):
    rng = np.random.default_rng(seed)
    a, b, c = (torch.tensor(x) for x in rng.normal(size=(3, 2)))

    def smooth(student_logits, teacher_logits):
        s, t = student_logits, teacher_logits
        inner = (
            torch.sin(a[0] * s + a[1] * t)
            + b[0] * torch.tanh(s * t)
            + b[1] * torch.log_softmax(s, -1) ** 2
        )
        return (c[0] * inner + c[1] * torch.cos(s - t)).sum(-1).mean()

    report = check_loss(smooth)
    assert report.gradient.name == report.value.name == "none"


@pytest.mark.parametrize("size", [pytest.param(1e-1, marks=pytest.mark.slow), 1e-3])
@pytest.mark.parametrize(
    "kind",
    ["square", "sine", *(pytest.param(k, marks=pytest.mark.slow) for k in ("weights", "power"))],
)
def test_no_name_for_perturbed_losses(kind, size):
    base = zoo.swapped if kind in ("square", "power") else zoo.masked

    def perturbed(student_logits, teacher_logits):
        ones = torch.ones(student_logits.shape[:-1], dtype=student_logits.dtype)
        args = (
            (student_logits, teacher_logits)
            if base is zoo.swapped
            else (student_logits, teacher_logits, ones)
        )
        kl = base(*args)
        extra = {
            "square": lambda: (student_logits**2).mean(),
            "weights": lambda: (
                torch.softmax(student_logits, -1) * torch.arange(student_logits.shape[-1])
            ).mean(),
            "power": lambda: kl**2,
            "sine": lambda: torch.sin(3 * student_logits).mean(),
        }[kind]()
        return kl + size * extra

    report = check_loss(perturbed)
    assert report.gradient.name == "none", str(report)
    assert report.gradient.relative_error > 2e-5
    if size == 1e-3:
        assert report.gradient.label == ("KL(q||p)" if base is zoo.swapped else "KL(p||q)")


def test_no_name_for_perturbed_samples_and_gaussians():
    report = check_loss(
        lambda logp, ref_logp: (
            (logp - ref_logp).pow(2).mean() + 0.01 * (logp - ref_logp).pow(4).mean()
        )
    )
    assert report.gradient.name == "none"
    report = check_loss(
        lambda mu, logvar: (0.5 * (mu**2 + logvar.exp() - 1 - logvar) + 0.01 * mu**4).sum(-1).mean()
    )
    assert report.gradient.name == "none"


def test_a_surprising_name_that_is_right():
    """E_q[sign(log q - log p) grad log q] is the gradient of 2 TV."""
    report = check_loss(lambda logp, ref_logp: torch.abs(logp - ref_logp).mean())
    assert (report.gradient.name, report.gradient.scale_words) == ("total_variation", "2")


def test_what_it_says_besides():
    text = str(checked(zoo.k1))
    assert "losses.reverse_kl_surrogate(log_p=ref_logprobs, log_q=logprobs)" in text
    assert "beta = 1/d" in str(checked(zoo.vae_mean))
    assert "batchmean" in str(checked(torch.nn.functional.kl_div))
    assert "truncated at the top 20" in str(checked(zoo.truncated))
    assert "clips" in str(checked(zoo.k3_clamped))
    assert "the sign is turned" in str(checked(zoo.negated))
    assert checked(zoo.detached).detached == "wholly"
    assert checked(zoo.straight_through).detached == "partly"
    assert checked(zoo.k3).detached == "none"
    assert not checked(zoo.two_temperatures).gradient_reaches_p
    assert dict(checked(zoo.two_temperatures).gradient.parameters) == pytest.approx(
        {"temperature_p": 0.04, "temperature_q": 0.1}, rel=1e-4)  # fmt: skip
    assert dict(checked(zoo.smoothed).gradient.parameters)["label_smoothing"] == pytest.approx(0.1)
    assert "Wasserstein" in str(checked(zoo.wasserstein))


def test_the_same_function_for_tokens_and_for_reparameterised_draws():
    report = checked(zoo.minus_elbo)
    assert [u.drawn for u in report.under] == ["path", "q", "p", "other"]
    assert report.under[0].gradient.name == "reverse"
    assert report.on_policy.gradient.name == "zero"


def test_what_is_expected():
    assert check_loss(zoo.k2, expect="reverse").passes
    report = check_loss(zoo.k3, expect="reverse")
    assert not report.passes
    assert any("reverse_kl_surrogate" in fix for fix in report.fixes)
    assert not check_loss(zoo.negated, expect="forward").passes
    assert checked(zoo.k3).passes


def test_it_asks_only_when_it_cannot_tell():
    def loss(a, b):
        left, right = torch.log_softmax(a, -1), torch.log_softmax(b, -1)
        return (left.exp() * (left - right)).sum(-1).mean()

    with pytest.raises(
        InputError,
        match=r"which of a and b is trained.*student='a'\): KL\(q\|\|p\).*student='b'\): KL\(p\|\|q\)",
    ):
        check_loss(loss)
    assert check_loss(loss, student="a").name == "reverse"
    assert check_loss(loss, student="b").name == "forward"
    assert check_loss(loss, roles={"a": "p logits", "b": "q logits"}).name == "forward"
    symmetric = lambda a, b: loss(a, b) + loss(b, a)
    assert check_loss(symmetric).name == "jeffreys"


def test_what_cannot_be():
    with pytest.raises(InputError, match="is a class, not a loss"):
        check_loss(torch.nn.KLDivLoss)
    with pytest.raises(InputError, match="what are the arguments"):
        check_loss(lambda config, state, batch, model: 0.0)
    with pytest.raises(InputError, match="no argument 'x'"):
        check_loss(zoo.k1, roles={"x": "mask"})
    with pytest.raises(InputError, match='role "logit" of logprobs is not known'):
        check_loss(zoo.k1, roles={"logprobs": "logit"})
    with pytest.raises(InputError, match="choose from forward"):
        check_loss(zoo.k1, expect="backward")
    with pytest.raises(
        InputError, match="cannot be called on small float64 arrays: torch: KeyError"
    ):
        check_loss(lambda student_logits, teacher_logits: torch.zeros(1) + {}["no"])
    with pytest.raises(InputError, match="the loss has the arguments"):
        check_loss(zoo.k1, student="nobody")


def test_random_numbers_flags_and_threads_are_the_callers_again():
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    threads = torch.get_num_threads()
    check_loss(zoo.k1)
    assert torch.rand(1) == expected
    assert torch.get_num_threads() == threads


def test_ratios_of_tokens_stand_beside_logits():
    def loss(student_logits, labels, log_ratio):
        return log_ratio.mean() + 0.0 * student_logits.mean()

    report = check_loss(loss)
    assert dict(report.arguments)["log_ratio"] == "log q - log p of sampled tokens"
