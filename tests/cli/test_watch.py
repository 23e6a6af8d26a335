"""kullback watch as it is typed."""

import numpy as np
import polars as pl
import pytest

from tests.render.pages import words_of


@pytest.fixture
def tables(tmp_path):
    rng = np.random.default_rng(0)
    for name, n, shift in (("ref", 1000, 0.0), ("d1", 100, 0.0), ("d2", 100, 1.0)):
        frame = pl.DataFrame({"x": rng.normal(shift, 1.0, n), "city": rng.choice(["A", "B"], n)})
        frame.write_parquet(tmp_path / f"{name}.parquet")


@pytest.mark.usefixtures("tables")
class TestWatch:
    def test_day_after_day(self, run, tmp_path):
        assert run("watch", "s.kb", "--reference", "ref.parquet").code == 0
        quiet = run("watch", "s.kb", "d1.parquet", "--day", "monday")
        assert quiet.code == 0
        assert "no alarm" in quiet.out
        loud = run("watch", "s.kb", "d2.parquet", "--report", "w.html")
        assert loud.code == 1
        assert "x: higher values since day 2" in loud.out
        assert "Evidence by day" in words_of((tmp_path / "w.html").read_text())
        assert run("watch", "s.kb").code == 1
        shown = run("watch", "s.kb", "--json").json
        assert shown["alarm"] is True
        assert [d["name"] for d in shown["days"]] == ["monday", "day 2"]

    def test_begins_and_goes_on_in_one_call(self, run):
        ran = run(
            "watch", "s.kb", "d1.parquet", "--reference", "ref.parquet", "--columns", "x", "--json"
        )
        assert ran.code == 0
        assert [c["name"] for c in ran.json["columns"]] == ["x"]
        bits = run("watch", "s.kb", "--units", "bits", "--json").json
        assert bits["threshold"] == pytest.approx(np.log2(20.0))

    @pytest.mark.parametrize(
        ("typed", "words"),
        [
            (("none.kb", "d1.parquet"), "first call says --reference"),
            (("s.kb", "d1.parquet", "--reference", "ref.parquet"), "has its reference already"),
            (("s.kb", "d1.parquet", "--day", "monday"), "a day counts once"),
            (("s.kb", "--day", "monday"), "say CURRENT"),
            (("s.kb", "d1.parquet", "--key", "1"), "said once, with --reference"),
            (("s.kb", "none.parquet"), "none.parquet"),
            (("new.kb", "--reference", "ref.profile"), "a profile has none"),
            (("ref.parquet", "d1.parquet"), "not a file of kullback's"),
            (("d1.parquet", "d1.parquet"), "overwrite"),
        ],
    )
    def test_bad_input(self, run, typed, words, tmp_path):
        run("watch", "s.kb", "d1.parquet", "--reference", "ref.parquet", "--day", "monday")
        run("profile", "ref.parquet", "-o", "ref.profile")
        before = (tmp_path / "s.kb").read_bytes()
        ran = run("watch", *typed)
        assert ran.code == 2
        assert words in ran.err
        assert (tmp_path / "s.kb").read_bytes() == before
