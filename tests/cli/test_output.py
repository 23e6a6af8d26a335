import io
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kullback.render.terminal import clean, print_table, show, show_json
from kullback.results.estimate import Estimate
from kullback.results.quantity import FORWARD_KL
from kullback.views.numbers import figure, near


@given(st.text())
def test_clean_leaves_no_control_characters(text):
    cleaned = clean(text)
    assert all(c == "\n" or not (ord(c) < 32 or 127 <= ord(c) < 160) for c in cleaned)


@pytest.mark.parametrize(
    "text", ["\x1b[31mred\x1b[0m", "\x1b]0;title\x07red", "\x1b]8;;http://a\x1b\\red", "\u202ered"]
)
def test_clean_removes_whole_sequences(text):
    assert clean(text) == "red"


def test_json_has_neither_nan_nor_infinity(capsys):
    show_json("x", {"a": math.inf, "b": [-math.inf, 1.5], "c": {"d": (1, math.nan)}})
    body = json.loads(capsys.readouterr().out)
    assert body == {"schema": 2, "command": "x", "a": None, "b": [None, 1.5], "c": {"d": [1, None]}}


def test_a_long_cell_is_broken_not_cut(capsys):
    words = " ".join(f"word{i}" for i in range(60))
    show([print_table(("a", "b"), [[words, "1.25"]])])
    out = capsys.readouterr().out
    assert "…" not in out
    assert set(words.split()) <= set(out.split())
    assert max(map(len, out.splitlines())) <= 100


def test_markup_in_a_cell_is_text(capsys):
    show([print_table(("a",), [["[red]x[/red] :smile:"]]), "[bold]y"])
    assert capsys.readouterr().out == "a\n[red]x[/red] :smile:\n[bold]y\n"


def test_a_stream_without_the_characters_gets_others(monkeypatch):
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr("sys.stdout", stream)
    show(["x ≥ 1 ± 2 é"])
    assert stream.buffer.getvalue() == b"x >= 1 +- 2 ?\n"


def _estimate(**changes) -> Estimate:
    from dataclasses import replace

    made = Estimate.numeric(0.5, 1e-3, FORWARD_KL, method="m")
    return replace(made, **changes)


def test_figure_is_the_number_as_the_estimate_prints_it():
    assert figure(_estimate()) == "0.5000 ± 0.0010 nats"
    assert figure(_estimate(), unit=False) == "0.5000 ± 0.0010"
    assert figure(_estimate(kind="lower_bound")) == "≥ 0.5000 ± 0.0010 nats"
    assert figure(_estimate(kind="exact", standard_error=1e-17)) == "0.5 nats"
    assert figure(_estimate(kind="infinite", notes=("r",))) == "infinite"
    assert figure(_estimate(kind="unresolved", notes=("r",))) == "unresolved"


@pytest.mark.parametrize(
    ("value", "scale", "text"),
    [(-2.0010040, 0.3, "-2.001"), (6e-9, 2.0, "0.000"), (1.2345e-4, 2e-4, "0.000123")],
)
def test_near(value, scale, text):
    assert near(value, scale) == text
