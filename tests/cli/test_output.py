import io
import json
import math
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kullback.render.document import Badge, Detail, Document, Head, Notes, Section, Table
from kullback.render.json import write_json
from kullback.render.terminal import clean, show, write_text
from kullback.views.numbers import near


@given(st.text())
def test_clean_leaves_no_control_characters(text):
    cleaned = clean(text)
    assert all(c == "\n" or not (ord(c) < 32 or 127 <= ord(c) < 160) for c in cleaned)


@pytest.mark.parametrize(
    "text", ["\x1b[31mred\x1b[0m", "\x1b]0;title\x07red", "\x1b]8;;http://a\x1b\\red", "\u202ered"]
)
def test_clean_removes_whole_sequences(text):
    assert clean(text) == "red"


def test_json_has_neither_nan_nor_infinity():
    body = json.loads(
        write_json("x", {"a": math.inf, "b": [-math.inf, 1.5], "c": {"d": (1, math.nan)}})
    )
    assert body == {"schema": 2, "command": "x", "a": None, "b": [None, 1.5], "c": {"d": [1, None]}}


def _document(*blocks, headline=()) -> Document:
    return Document("t", dict, headline, sections=(Section("", "", blocks),))


def test_a_long_cell_is_broken_not_cut(capsys):
    words = " ".join(f"word{i}" for i in range(60))
    show(_document(Table("", (Head("a"), Head("b")), ((words, "1.25"),))))
    out = capsys.readouterr().out
    assert "…" not in out
    assert set(words.split()) <= set(out.split())
    assert max(map(len, out.splitlines())) <= 100


def test_markup_in_a_cell_is_text(capsys):
    show(_document(Table("", (Head("a"),), (("[red]x[/red] :smile:",),)), headline=("[bold]y",)))
    assert capsys.readouterr().out == "[bold]y\n\na\n[red]x[/red] :smile:\n"


def test_a_stream_without_the_characters_gets_others(monkeypatch):
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr("sys.stdout", stream)
    show(_document(headline=("x ≥ 1 ± 2 é",)))
    assert stream.buffer.getvalue() == b"x >= 1 +- 2 ?\n"


WORDS = st.text("abc ±%,", min_size=0, max_size=120)


@given(
    st.lists(st.tuples(WORDS, WORDS, WORDS), min_size=1, max_size=4), WORDS, st.integers(24, 120)
)
def test_no_line_is_too_wide_and_no_word_is_lost(rows, text, width):
    columns = (Head("name"), Head("value", "right"), Head("verdict"))
    cells = tuple((a, b, Badge(c, "bad")) for a, b, c in rows)
    document = _document(Table("", columns, cells), Notes((text,), "note"), headline=(text,))
    written = write_text(document, width)
    assert max(map(len, written.splitlines())) <= width
    short = {w for row in (*rows, (text,)) for t in row for w in t.split() if len(w) < 10}
    assert short <= set(written.replace(":", " ").split()) | {""}


def test_names_are_cleaned_and_details_are_left_to_the_page():
    table = Table("", (Head("\x1b[31mred"),), (("\x1b]0;title\x07x",),))
    hidden = Detail(lambda: (Notes(("hidden",)),))
    written = write_text(_document(table, hidden, headline=("\u202ey\nnote: z",)), 60)
    assert written == "y note: z\n\nred\nx\n"


@pytest.mark.parametrize(
    ("value", "scale", "text"),
    [(-2.0010040, 0.3, "-2.001"), (6e-9, 2.0, "0.000"), (1.2345e-4, 2e-4, "0.000123")],
)
def test_near(value, scale, text):
    assert near(value, scale) == text


def test_printing_loads_no_numpy():
    code = (
        "import sys, kullback.render.terminal, kullback.render.json; print('numpy' in sys.modules)"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "False"
