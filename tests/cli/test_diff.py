"""kullback diff and kullback profile as they are typed."""

import numpy as np
import polars as pl
import pytest

from tests.render.pages import words_of


@pytest.fixture
def tables(tmp_path):
    rng = np.random.default_rng(0)
    for name, shift in (("ref", 0.0), ("same", 0.0), ("cur", 1.0)):
        frame = pl.DataFrame(
            {
                "x": rng.normal(shift, 1.0, 800),
                "city": rng.choice(["A", "B"], 800),
                "<b>y</b>": rng.normal(size=800),
                "day": pl.Series(rng.integers(19_000, 19_300, 800)).cast(pl.Date),
            }
        )
        frame.write_parquet(tmp_path / f"{name}.parquet")
        frame.write_csv(tmp_path / f"{name}.csv")


@pytest.mark.usefixtures("tables")
class TestDiff:
    def test_says_what_differs(self, run):
        ran = run("diff", "ref.parquet", "cur.parquet", "--no-joint")
        assert ran.code == 0
        assert "differs" in ran.out
        assert "KL(ref||cur)" in ran.out
        assert "x: median" in ran.out
        assert ran.err == ""

    def test_gate(self, run):
        assert run("diff", "ref.parquet", "cur.parquet", "--no-joint", "--max-kl", "0.1").code == 1
        ran = run("diff", "ref.parquet", "same.parquet", "--no-joint", "--max-kl", "0.5")
        assert ran.code == 0
        assert "gate passed" in ran.out

    def test_json(self, run):
        ran = run("diff", "ref.csv", "cur.csv", "--columns", "x,city", "--json", "--no-joint")
        assert ran.code == 0
        assert ran.json["command"] == "diff"
        assert ran.json["finding"] == "differs"
        assert [c["name"] for c in ran.json["columns"]] == ["x", "city"]
        assert ran.json["columns"][0]["forward"]["interval"][0] > 0.3

    def test_report(self, run, tmp_path):
        ran = run("diff", "ref.parquet", "cur.csv", "--report", "out.html")
        assert ran.code == 0
        words = words_of((tmp_path / "out.html").read_text())
        assert "they differ" in words
        assert "Look first at x" in words
        assert "<b>y</b>" in words

    def test_profile(self, run, tmp_path):
        ran = run("profile", "ref.parquet", "-o", "ref.profile")
        assert ran.code == 0
        assert (tmp_path / "ref.profile").stat().st_size < 120_000
        assert run("diff", "ref.profile", "cur.csv", "--max-kl", "0.1").code == 1
        assert run("diff", "ref.profile", "same.csv", "--max-kl", "0.1").code == 0
        ran = run(
            "profile", "same.parquet", "-o", "both.profile", "--merge", "ref.profile", "--json"
        )
        assert ran.json["rows"] == 1600

    def test_by(self, run):
        ran = run(
            "diff", "ref.parquet", "cur.parquet", "--by", "city", "--columns", "x", "--no-joint"
        )
        assert ran.code == 0
        assert "A: Column by column" in ran.out
        assert "B: Column by column" in ran.out

    def test_a_column_with_bad_cells_takes_no_other_along(self, run, write):
        write("bad.csv", "x,city\n1.0,A\noops,B\n2.0,A\n")
        ran = run("diff", "ref.parquet", "bad.csv")
        assert ran.code == 0
        assert "column 'x' has 1 cell that is not a finite number, on line 3 ('oops')" in " ".join(
            ran.out.split()
        )
        assert "city" in ran.out
        assert run("diff", "ref.parquet", "bad.csv", "--max-kl", "99").code == 1

    @pytest.mark.parametrize(
        ("args", "words"),
        [
            (("diff", "ref.parquet", "nowhere.csv"), "there is no such file"),
            (("diff", "ref.parquet", "cur.parquet", "--columns", "z"), "no column 'z'"),
            (("diff", "ref.parquet", "cur.parquet", "--report", "no/out.html"), "no directory"),
            (("profile", "ref.parquet", "-o", "no/x.profile"), "no directory"),
            (("diff", "ref.parquet", "cur.csv", "--columns", ""), "there is no name in it"),
            (("diff", "ref.parquet", "cur.csv", "--columns", "x,"), "a name is empty"),
            (("diff", "ref.parquet", "cur.csv", "--report", "./ref.parquet"), "overwrite"),
            (("diff", "ref.parquet", "cur.csv", "--report", "cur.csv"), "overwrite"),
            (("diff", "ref.p*t", "cur.csv", "--report", "ref.parquet"), "overwrite"),
            (("diff", ".", "cur.csv", "--report", "same.parquet"), "overwrite"),
            (("profile", "ref.csv", "-o", "ref.csv"), "overwrite"),
            (("profile", "ref.csv", "--merge", "bad.csv", "-o", "bad.csv"), "overwrite"),
            (("profile", "ref.csv", "--like", "bad.csv", "-o", "bad.csv"), "overwrite"),
            (("score", "bad.csv", "ref.csv", "--out", "ref.csv"), "overwrite"),
            (("sample", "ref.csv", "-n", "3", "--out", "ref.csv"), "overwrite"),
            (("kl", "ref.csv", "normal(0, sd=1)", "--report", "ref.csv"), "overwrite"),
            (("verify", "ref.csv", "--report", "ref.csv"), "overwrite"),
            (
                (
                    "fit",
                    "ref.csv",
                    "--family",
                    "gamma",
                    "--direction",
                    "forward",
                    "--out",
                    "ref.csv",
                ),
                "overwrite",
            ),
        ],
    )
    def test_bad_input(self, run, write, args, words):
        write("bad.csv", "x,city\n1.0,A\noops,B\n2.0,A\n")
        ran = run(*args)
        assert ran.code == 2
        assert words in ran.err
        assert ran.err.count("\n") == 1

    def test_a_gate_names_what_is_lost(self, run, tmp_path):
        frame = pl.read_parquet("cur.parquet")
        frame.drop("city").with_columns(x=pl.lit("a")).write_parquet("less.parquet")
        options = ("--no-joint", "--max-kl", "9", "--report", "out.html")
        ran = run("diff", "ref.parquet", "less.parquet", *options)
        assert ran.code == 1
        words = " ".join(ran.out.split())
        assert "gate failed: city: missing in current; x: numbers in reference, names in" in words
        page = words_of((tmp_path / "out.html").read_text())
        assert "gate failed" in page
        assert "city: missing in current" in page
        ran = run("diff", "ref.parquet", "less.parquet", "--no-joint", "--json")
        assert (ran.code, ran.json["gate"]) == (0, None)
        assert {c["name"] for c in ran.json["lost"]} == {"x", "city"}

    def test_columns_without_names_are_called_as_those_of_arrays(self, run, write):
        values = np.random.default_rng(0).normal(size=(60, 2))
        np.save("a.npy", values)
        write("a.csv", "\n".join(f"{a},{b}" for a, b in values))
        for name in ("a.npy", "a.csv"):
            ran = run("diff", name, name, "--json", "--no-joint")
            assert {c["name"] for c in ran.json["columns"]} == {"x0", "x1"}


def test_one_unit_in_one_answer(run, write):
    rng = np.random.default_rng(0)
    for name, shift in (("a.csv", 0.0), ("b.csv", 1.0)):
        write(name, "x\n" + "\n".join(map(str, rng.normal(shift, 1.0, 300))) + "\n")
    ran = run("diff", "a.csv", "b.csv", "--units", "bits", "--max-kl", "0.1", "--report", "r.html")
    assert ran.code == 1
    assert "certainly above 0.1 bits" in " ".join(ran.out.split())
    assert "nats" not in ran.out
