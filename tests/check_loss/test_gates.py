"""Gates: gradient, sign, scale, value and detachment are asked apart."""

import pytest

from kullback.api.check_loss import check_loss
from kullback.core.errors import InputError
from kullback.testing import assert_loss

torch = pytest.importorskip("torch")
F = torch.nn.functional


def mean(student_logits, teacher_logits):
    return F.kl_div(
        F.log_softmax(student_logits, -1), F.softmax(teacher_logits, -1), reduction="mean"
    )


def right(student_logits, teacher_logits):
    return F.kl_div(
        F.log_softmax(student_logits, -1), F.softmax(teacher_logits, -1), reduction="batchmean"
    )


def cold(student_logits, teacher_logits, T=5.0):
    return right(student_logits / T, teacher_logits / T)


def hot(student_logits, teacher_logits, T=5.0):
    return T**2 * cold(student_logits, teacher_logits, T)


def k1(log_p, log_q):
    return (log_q - log_p).mean()


def k3(log_p, log_q):
    return (torch.exp(log_p - log_q) - 1 - (log_p - log_q)).mean()


def straight_through(log_p, log_q):
    square, value = 0.5 * (log_q - log_p) ** 2, torch.exp(log_p - log_q) - 1 + log_q - log_p
    return (square - square.detach() + value.detach()).mean()


def failing(report):
    return [gate.of for gate in report.gates if not gate.passes]


@pytest.mark.parametrize(
    ("loss", "fails"),
    [(right, []), (hot, []), (mean, ["scale"]), (cold, ["scale"])],
)
def test_a_factor_is_gated_apart(loss, fails):
    report = check_loss(loss, expect="forward", scale=1)
    assert failing(report) == fails
    assert report.passes == (not fails)
    assert check_loss(loss, expect="forward").passes
    assert report.on == "full"


def test_sign_value_and_detachment_are_gated_apart():
    turned = check_loss(lambda log_p, log_q: -straight_through(log_p, log_q), expect="reverse")
    assert failing(turned) == ["sign"]
    assert failing(check_loss(k3, expect="forward", expect_value="forward")) == ["value"]
    assert check_loss(k3, expect="forward", expect_value="reverse", detached="none").passes
    report = check_loss(straight_through, expect="reverse", expect_value="reverse", detached="none")
    assert failing(report) == ["detachment"]
    assert check_loss(straight_through, expect="reverse", scale=1, detached="partly").passes


def test_of_what_it_is_asked():
    assert check_loss(k1, expect="zero").on == "tokens"
    assert check_loss(k1, expect="reverse", on="path").passes
    assert failing(check_loss(k1, expect="reverse", on="tokens")) == ["gradient"]
    assert failing(check_loss(k3, expect="forward", on="off_policy")) == ["gradient"]
    with pytest.raises(InputError, match='on="path": right was looked at on full alone'):
        check_loss(right, expect="forward", on="path")
    with pytest.raises(InputError, match="choose from tokens, full"):
        check_loss(right, expect="forward", on="sequences")
    with pytest.raises(InputError, match="say which"):
        check_loss(right, scale=2)


def test_an_assertion_for_the_tests_of_training_code():
    assert assert_loss(right, gradient="forward", on="full", scale=1).passes
    with pytest.raises(
        AssertionError, match=r"(?s)mean is not the loss.*FAILS: scale: expected 1, found 1/V"
    ):
        assert_loss(mean, gradient="forward", on="full", scale=1)
