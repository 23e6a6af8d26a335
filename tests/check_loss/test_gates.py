"""Gates: gradient, sign, scale, value and detachment are asked apart."""

import re
from pathlib import Path

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


@pytest.mark.parametrize(
    ("sign", "fails"), [pytest.param(-1.0, [], marks=pytest.mark.slow), (1.0, ["sign"])]
)
def test_an_expected_advantage_is_raised(sign, fails):
    def policy(log_prob, old_log_prob, advantages):
        return sign * (torch.exp(log_prob - old_log_prob) * advantages).mean()

    for scale in (None, 1.0, -1.0):
        assert failing(check_loss(policy, expect="expected_advantage", scale=scale)) == fails


def test_an_assertion_for_the_tests_of_training_code():
    assert assert_loss(right, gradient="forward", on="full", scale=1).passes
    with pytest.raises(
        AssertionError, match=r"(?s)mean is not the loss.*FAILS: scale: expected 1, found 1/V"
    ):
        assert_loss(mean, gradient="forward", on="full", scale=1)


def guide():
    """The rows of the guide's table: value, gradient, and both for draws of an older policy."""
    found = {}
    text = (Path(__file__).parents[2] / "docs/guides/a-loss.md").read_text()
    for line in text.splitlines():
        cells = [c.strip().replace("\\", "") for c in re.split(r"(?<!\\)\|", line)[1:-1]]
        if cells and re.match(r"k[123] [=×]", cells[0]):
            found[cells[0].partition(" =")[0]] = (*cells[1:3], *cells[3].split(", "))
    return found


GUIDE = guide()
NAMES = {"KL(q||p)": "reverse", "KL(p||q)": "forward", "zero": "zero"}


def estimator(name, log_p, log_q):
    gap = log_p - log_q
    return {"k1": -gap, "k2": 0.5 * gap**2, "k3": torch.exp(gap) - 1 - gap}[name[:2]]


@pytest.mark.parametrize("row", GUIDE)
def test_the_table_of_the_guide(row):
    def alone(log_p, log_q):
        return estimator(row, log_p, log_q).mean()

    def weighed(log_p, log_q, importance_ratio):
        ratio = importance_ratio.detach() if "detached" in row else importance_ratio
        return (ratio * estimator(row, log_p, log_q)).mean()

    report = check_loss(weighed if "ratio" in row else alone, on="tokens")
    found = (report.on_policy, report.off_policy)
    findings = [finding for under in found for finding in (under.value, under.gradient)]
    for said, finding in zip(GUIDE[row], findings, strict=True):
        if said in NAMES:
            assert finding.name == NAMES[said], str(report)
            assert finding.name == "zero" or finding.relative_error < 1e-12
        else:
            assert said in ("neither", "none of the KLs")
            assert finding.name not in NAMES.values(), str(report)


def test_the_table_of_the_guide_is_whole():
    assert len(GUIDE) == 9
