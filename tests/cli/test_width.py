"""No line is longer than the terminal is wide, and no word is cut."""

import pytest

SHARP, MIXED = "normal(0, sd=2)", "0.5*normal(-2, sd=1) + 0.5*laplace(2, scale=1)"
COMMANDS = [
    ("kl", SHARP, MIXED, "--max-kl", "0.1"),
    ("kl", SHARP, SHARP, "--kind", "total-variation"),
    ("plan", SHARP, MIXED),
    ("explain", SHARP, MIXED),
    ("explain", "negative KL"),
    ("explain", "k3"),
    ("verify", "two-gaussians"),
    pytest.param(("fit", MIXED, "--family", "full_rank", "--direction", "reverse", "--no-report"),
     marks=pytest.mark.slow),
    pytest.param(("fit", "faithful.csv", "--family", "normal,gamma,beta", "--direction", "forward",
     "--columns", "eruptions", "--no-report"), marks=pytest.mark.slow),
    ("diff", "faithful.csv", "faithful.csv", "--no-joint"),
]  # fmt: skip


@pytest.mark.parametrize("args", COMMANDS)
def test_lines_fit(run, monkeypatch, args):
    words = {}
    for width in (60, 80, 100, 120):
        monkeypatch.setenv("COLUMNS", str(width))
        out = run(*args).out
        assert max(map(len, out.splitlines())) <= width
        words[width] = set(out.replace(":", " ").replace(",", " ").split())
    assert words[60] <= words[120] | words[100]


def test_columns_that_are_no_number_are_not_heard(run, monkeypatch):
    monkeypatch.setenv("COLUMNS", "many")
    assert max(map(len, run("plan", SHARP, MIXED).out.splitlines())) <= 100
    monkeypatch.setenv("COLUMNS", "1")
    assert max(map(len, run("plan", SHARP, MIXED).out.splitlines())) <= 24
