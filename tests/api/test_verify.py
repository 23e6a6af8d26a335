"""Published numbers, recomputed."""

import pytest

from kullback.api.demo import demo, doctor
from kullback.api.verify import examples, verify
from kullback.core.errors import InputError


def stamps(verification):
    return [f.stamp for f in verification.findings]


@pytest.mark.slow
def test_the_fourth_article():
    found = verify("three-modes")
    assert stamps(found) == ["refuted"] * 7 + ["confirmed"] * 7
    assert not found.passes
    loss = found.findings[0]
    assert loss.found.value == pytest.approx(2.7035, abs=1e-4)
    assert "0.5731" in loss.remark
    assert "0.2702" in loss.remark


def test_the_second_article_is_read_both_ways():
    found = verify("two-gaussians")
    values = {f.reading: f.found.value for f in found.findings[:2]}
    assert values["sd = 2, sd = 3"] == pytest.approx(0.127687, abs=1e-6)
    assert values["var = 2, var = 3"] == pytest.approx(0.036066, abs=1e-6)


@pytest.mark.parametrize(
    ("value", "stamp"),
    [
        ("0.1277", "confirmed"),
        ("0.128", "confirmed"),
        ("0.1276", "refuted"),
        ("1.3e-1", "confirmed"),
    ],
)
def test_the_last_printed_digit_counts(value, stamp):
    claim = {
        "what": "a",
        "quantity": "kl",
        "p": "normal(0, sd=2)",
        "q": "normal(0, sd=3)",
        "value": value,
    }
    assert stamps(verify({"claim": [claim]})) == [stamp]


def test_one_reading_that_matches_confirms():
    claim = {
        "what": "a",
        "quantity": "kl",
        "p": "normal(0, 2)",
        "q": "normal(0, 3)",
        "value": "0.0361",
    }
    found = verify({"claim": [claim]})
    assert stamps(found) == ["cannot tell", "confirmed"]
    assert found.findings[1].reading == "var = 2, var = 3"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, r"at least one \[\[claim\]\]"),
        (
            {"claim": [{"what": "a", "quantity": "kl", "p": "normal(0, sd=1)"}]},
            'claim "a": q is missing',
        ),
        ({"claim": [{"what": "a", "colour": 1}]}, "unknown key"),
        ({"claim": [{"what": "a"}]}, "quantity is missing or unknown"),
        ({"claim": [{"what": "a", "quantity": "optimum", "value": "1"}]}, "fit must be a table"),
    ],
)
def test_bad_claims(content, message):
    with pytest.raises(InputError, match=message):
        verify(content)


def test_missing_and_broken_files(tmp_path):
    with pytest.raises(InputError, match="no such file; bundled examples are"):
        verify("nowhere.toml")
    broken = tmp_path / "x.toml"
    broken.write_text("claim = [")
    with pytest.raises(InputError, match="not valid TOML"):
        verify(broken)


def test_examples_are_listed():
    assert examples() == ("f-gan", "three-modes", "two-gaussians")


def test_the_demo():
    found = demo(starts=16)
    assert found.price.value == pytest.approx(0.35667494394)
    assert [m.verdict for m in found.forward_cover.modes] == ["covered"] * 3
    assert [m.verdict for m in found.reverse_cover.modes].count("dropped") == 1
    assert found.reverse_cover.dropped == pytest.approx(0.3, abs=1e-3)


def test_the_doctor_finds_nothing():
    checks = doctor()
    assert len(checks) >= 12
    assert [c.name for c in checks if not c.passed] == []
