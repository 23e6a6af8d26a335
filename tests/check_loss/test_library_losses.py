"""Losses as they stand in public libraries, right and wrong, get the verdict that each must get, and no bad advice."""

import time

import pytest

from kullback.api.check_loss import check_loss
from kullback.check_loss.signatures import SIGNATURES
from kullback.core.errors import InputError

torch = pytest.importorskip("torch")
pytest.importorskip("jax")

from tests import library_losses as zoo
from tests.tried import some_of


@pytest.mark.parametrize("row", some_of(zoo.LOSSES, lambda i, row: f"{i}-{row[0].__name__}"))
def test_its_verdict(row):
    loss, how, gradient, value, scale, has, has_not = row
    if gradient == "error":
        with pytest.raises(InputError, match=has):
            check_loss(loss, **how)
        return
    report = check_loss(loss, **how)
    text = str(report)
    assert gradient in (None, report.gradient.name), text
    assert value in (None, report.value.name), text
    assert scale in (None, report.gradient.scale_words), text
    assert has in text, text
    assert not [words for words in has_not.split("|") if words and words in text], text


def test_a_mask_that_is_not_kept_fails_the_gate():
    for loss, passes in (
        (zoo.mask_selected, True),
        (zoo.mask_unused, False),
        (zoo.mask_inverted, False),
        (zoo.mask_padding_counted, True),
    ):
        report = check_loss(loss, expect="forward")
        assert report.passes == passes, str(report)
    report = check_loss(zoo.mask_padding_counted, expect="forward", scale=1)
    assert [gate.of for gate in report.gates if not gate.passes] == ["mask"]


def test_a_layout_that_a_batch_contradicts_fails_the_gate():
    assert not check_loss(zoo.softmax_over_everything, expect="forward").passes


def test_the_same_verdict_on_a_slow_machine(monkeypatch):
    def slow(student_logits, teacher_logits, mask):
        time.sleep(0.002)
        return zoo.mask_selected(student_logits, teacher_logits, mask)

    assert check_loss(slow).gradient == check_loss(zoo.mask_selected).gradient


def test_signatures_of_libraries():
    with pytest.raises(InputError, match=r'signature="trl.ppg" is not known; choose from trl.grpo'):
        check_loss(zoo.grpo, signature="trl.ppg")
    with pytest.raises(
        InputError, match=r"has the arguments per_token_logps.*the loss has student_logits"
    ):
        check_loss(zoo.mask_unused, signature="trl.grpo")
    for roles in SIGNATURES.values():
        assert len({*roles}) == len(roles)


def test_names_that_are_none_of_its_arguments_are_said():
    with pytest.raises(InputError, match="student='mean2' is none of its arguments"):
        check_loss(zoo.numbered, student="mean2")
