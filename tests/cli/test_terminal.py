"""Names of columns, files, levels and groups act on no terminal and look like no line of ours."""

import re

import numpy as np
import polars as pl
import pytest

ACTING = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
NAME = "\x1b[31mRED\u202e\nfake: exit 0\x9b1m\x07"
FORWARD = ("--direction", "forward", "--no-report")


def harmless(ran):
    text = ran.out + ran.err
    return ran.code != 70 and not ACTING.search(text) and "\nfake" not in text


@pytest.fixture
def tables(tmp_path):
    rng = np.random.default_rng(0)
    for i, name in enumerate(("one.parquet", "two.parquet")):
        columns = {
            NAME: rng.normal(i, 1.0, size=200),
            f"kind{NAME}": rng.choice([f"u{NAME}", "v"], 200),
            "group": rng.choice([f"g{NAME}", "h"], 200),
        }
        pl.DataFrame(columns).write_parquet(tmp_path / name)
    pl.DataFrame({NAME: [0.5, 0.5]}).write_parquet(tmp_path / "column.parquet")
    return tmp_path


def test_tables_and_fits(run, tables):
    for args in (
        ("diff", "one.parquet", "two.parquet", "--by", "group"),
        ("diff", "one.parquet", "two.parquet", "--by", NAME),
        ("profile", "one.parquet", "-o", "p.kbp"),
        ("fit", "one.parquet", "--family", "mixture:2", *FORWARD, "--out", "m.kb"),
        ("fit", "one.parquet", "--family", "gamma", "--columns", NAME, *FORWARD),
        ("score", "m.kb", "two.parquet"),
        ("sample", "m.kb", "-n", "3", "--out", "s.csv"),
        ("sample", "m.kb", "-n", "3", "--out", f"s{NAME}.csv"),
        ("kl", "column.parquet", "column.parquet"),
        ("explain", "column.parquet", "column.parquet"),
    ):
        assert harmless(run(*args)), args


@pytest.mark.parametrize("command", ["kl", "plan", "explain", "diff", "score"])
def test_arguments(run, tables, command):
    for name in (NAME, f"{NAME}.csv", f"normal({NAME})"):
        assert harmless(run(command, name, "column.parquet"))


def test_claims_and_losses(run, write):
    escaped = "\\u001b[31m\\u202e\\nfake: x"
    claim = f'title="T{escaped}"\n[[claim]]\nwhat="W{escaped}"\nquantity="kl"\nvalue="0.5"\n'
    write("c.toml", f'{claim}p="normal(0, sd=1)"\nq="normal(1, sd=1)"\n')
    assert harmless(run("verify", "c.toml"))
    write("l.py", f"def f(logp, ref_logp):\n    raise ValueError('{escaped}')\n")
    assert harmless(run("check-loss", "l.py:f"))
    assert harmless(run("explain", NAME))


def test_a_topic_keeps_its_lines(run):
    assert run("explain", "k1").out.count("\n") > 3
