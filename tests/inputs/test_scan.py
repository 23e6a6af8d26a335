"""Parquet files in pieces: order, kinds, faults with their rows, memory, Ctrl-C."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import polars as pl
import pytest

from kullback.api.fit import fit
from kullback.api.score import score
from kullback.core.errors import InputError
from kullback.diff.driver import diff
from kullback.diff.profile import profile
from kullback.families import FullRank
from kullback.inputs import stream as _scan
from kullback.inputs.samples import read_samples
from kullback.inputs.stream import read_rows, scan
from kullback.tables import table as table_module
from kullback.targets import Samples, Stream


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def parts(here):
    """Three files of 2,500 rows; the last is in a directory of its own."""
    r = np.random.default_rng(0)
    whole = pl.DataFrame(
        {
            "x": r.standard_normal(7500),
            "n": r.integers(0, 9, 7500),
            "c": r.choice(["b", "a", "c"], 7500),
            "ok": r.random(7500) < 0.5,
            "w": r.random(7500),
        }
    )
    (here / "parts" / "z").mkdir(parents=True)
    for i, name in enumerate(["a.parquet", "b.parquet", "z/a.parquet"]):
        whole[2500 * i : 2500 * (i + 1)].write_parquet(here / "parts" / name, row_group_size=900)
    whole.write_parquet("whole.parquet")
    return whole


def _all(stream: Stream):
    values, weights = zip(*stream.read(), strict=True)
    joined = None if weights[0] is None else np.concatenate(weights)
    return np.concatenate(values), joined


@pytest.mark.parametrize("path", ["parts", "parts/**/*.parquet", "whole.parquet"])
def test_a_stream_is_the_table_in_pieces(parts, monkeypatch, path):
    monkeypatch.setattr(_scan, "_MOST", 1000)
    options = {"weights": "w", "counts": ["n"]}
    found, known = scan(path, **options), read_samples("whole.parquet", **options)
    for _ in range(2):
        values, weights = _all(found)
        np.testing.assert_array_equal(values, known.values)
        np.testing.assert_array_equal(weights, known.weights)
    assert (found.columns, found.kinds, found.labels) == (known.columns, known.kinds, known.labels)
    assert sum(1 for _ in found.read()) > 3
    assert all(v.flags.c_contiguous for v, _ in found.read())


def test_columns_and_patterns(parts):
    found = scan("parts/*.parquet", columns=["ok", "x"])
    values, weights = _all(found)
    assert weights is None
    np.testing.assert_array_equal(values, parts[:5000].select("ok", "x").to_numpy().astype(float))


def test_a_file_too_big_for_memory_is_a_stream(parts, monkeypatch):
    assert isinstance(read_rows("whole.parquet").samples, Samples)
    monkeypatch.setattr(table_module, "MAX_CELLS", 1000)
    assert isinstance(read_rows("whole.parquet"), Stream)
    assert isinstance(read_rows("parts"), Stream)


def test_missing_cells(parts, here):
    frame = pl.DataFrame(
        {"x": [1.0, None, np.nan, 4.0], "n": [1, 2, 3, None], "c": ["a", "b", None, "b"]}
    )
    frame.write_parquet(here / "parts" / "b.parquet")
    (here / "parts" / "a.parquet").unlink()
    (here / "parts" / "z" / "a.parquet").unlink()
    assert _all(scan("parts", columns=["x", "c"], missing="drop"))[0].tolist() == [[1, 0], [4, 1]]
    kept = scan("parts", missing=True)
    assert kept.missing
    np.testing.assert_array_equal(_all(kept)[0][:, 0], [1, np.nan, np.nan, 4])
    with pytest.raises(
        InputError, match=r"^parts/b.parquet: column 'x' has 2 cells .* row 2; say mis"
    ):
        _all(scan("parts"))


#: A second file, options, and what is said.
FAULTS = {
    "infinite": ({"x": [0.0, np.inf]}, {"missing": True}, "b.parquet: column 'x' has 1 infinite .* row 2"),
    "null": ({"x": [0.0, None]}, {}, "b.parquet: column 'x' has 1 cell without a value, on row 2"),
    "half a count": ({"n": [1.0, 0.5]}, {"counts": ["n"]}, "b.parquet: column 'n' .* 0.5 on row 2"),
    "negative weight": ({"w": [1.0, -1.0]}, {"weights": "w"}, "b.parquet: .* weight -1 on row 2"),
    "missing weight": ({"w": [1.0, None]}, {"weights": "w", "missing": True}, "'w' has 1 cell without"),
    "another type": ({"x": ["a", "b"]}, {}, "b.parquet: column 'x' is String, but in .* Float64"),
    "no column": ({"x": None}, {}, "b.parquet: there is no column 'x'"),
    "one more": ({"q": [1, 2]}, {}, "b.parquet: there is a column 'q'"),
    "no such column": ({}, {"columns": ["q"]}, "there is no column 'q'; it has x, n, c"),
    "no such weights": ({}, {"weights": "q"}, "there is no column 'q' for weights"),
    "weights of words": ({}, {"weights": "c"}, "'c' is String, not numbers"),
    "counts of words": ({}, {"counts": ["c"]}, "'c' is String, so it cannot be 'count'"),
}  # fmt: skip


@pytest.mark.parametrize(("change", "options", "message"), FAULTS.values(), ids=FAULTS)
def test_what_is_wrong_is_said_with_the_file_and_the_row(here, change, options, message):
    good = {"x": [1.0, 2.0], "n": [1, 2], "c": ["a", "b"], "w": [1.0, 2.0]}
    (here / "p").mkdir()
    pl.DataFrame(good).write_parquet("p/a.parquet")
    changed = {k: v for k, v in {**good, **change}.items() if v is not None}
    pl.DataFrame(changed).write_parquet("p/b.parquet")
    with pytest.raises(InputError, match=message):
        _all(scan("p", **options))


def test_names_are_no_categories_and_dates_no_numbers(here):
    pl.DataFrame({"s": [f"name {i}" for i in range(50)]}).write_parquet("a.parquet")
    with pytest.raises(InputError, match="50 different values"):
        scan("a.parquet")
    pl.DataFrame({"s": pl.Series([0]).cast(pl.Date)}).write_parquet("a.parquet")
    with pytest.raises(InputError, match="of type Date; make numbers"):
        scan("a.parquet")


def test_zero_weights_are_seen_at_the_end(here):
    pl.DataFrame({"x": [1.0], "w": [0.0]}).write_parquet("a.parquet")
    with pytest.raises(InputError, match="all weights are 0"):
        _all(scan("a.parquet", weights="w"))


def test_a_file_that_changes_is_noticed(parts, here):
    found = scan("parts")
    parts[:10].write_parquet(here / "parts" / "b.parquet")
    with pytest.raises(InputError, match="b.parquet: this file has changed"):
        _all(found)
    (here / "parts" / "b.parquet").unlink()
    with pytest.raises(InputError, match="b.parquet: this cannot be read: No such file"):
        _all(found)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("none", "there is no such file"),
        ("none*.parquet", "no file has a name like this"),
        ("empty", "there are no .parquet files in this directory"),
        ("*.csv", "a.csv: only .parquet files are read in pieces"),
        ("bad.parquet", "bad.parquet: this cannot be read as Parquet"),
        ("bare.parquet", "bare.parquet: the file is empty"),
        ("rows.parquet", "there are no rows in it"),
    ],
)
def test_paths_that_lead_nowhere(here, path, message):
    (here / "empty").mkdir()
    (here / "a.csv").write_text("x\n1\n")
    (here / "bad.parquet").write_bytes(b"PAR1 nonsense PAR1")
    (here / "bare.parquet").write_bytes(b"")
    pl.DataFrame({"x": pl.Series([], dtype=pl.Float64)}).write_parquet("rows.parquet")
    with pytest.raises(InputError, match=message):
        scan(path)


def test_damage_in_the_middle(here):
    pl.DataFrame({"x": np.random.default_rng(0).random(100_000)}).write_parquet("a.parquet")
    whole = (here / "a.parquet").read_bytes()
    (here / "a.parquet").write_bytes(whole[:8] + bytes(40) + whole[48:])
    with pytest.raises(InputError, match="^a.parquet: this cannot be read as Parquet"):
        _all(scan("a.parquet"))


PASSES = """
import sys
from kullback.inputs import scan
found = scan(sys.argv[1])
rows = sum(len(values) for values, _ in found.read())
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(rows, peak.split()[1], flush=True)
try:
    while True:
        for _ in found.read():
            pass
except KeyboardInterrupt:
    sys.exit(130)
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_memory_does_not_grow_with_the_files_and_ctrl_c_ends_a_pass(here):
    (here / "many").mkdir()
    r = np.random.default_rng(0)
    pl.DataFrame(r.standard_normal((500_000, 4)), schema=list("abcd")).write_parquet(
        "many/0.parquet"
    )
    for i in range(1, 8):
        os.link("many/0.parquet", f"many/{i}.parquet")
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    child = subprocess.Popen(
        [sys.executable, "-c", PASSES, "many"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )  # fmt: skip
    rows, kilobytes = (int(v) for v in child.stdout.readline().split())
    assert rows == 4_000_000  # 128 MB of numbers
    assert kilobytes < 400_000
    time.sleep(0.2)
    child.send_signal(signal.SIGINT)
    _, said = child.communicate(timeout=20)
    assert (child.returncode, said) == (130, "")


@pytest.fixture
def partitioned(here):
    """Four files by year and city, as Hive and Spark write them: one city without a name, one with a slash."""
    whole = []
    for i, (year, city) in enumerate(
        [(3, "Rome"), (3, "a%2Fb"), (12, "Rome"), (12, "__HIVE_DEFAULT_PARTITION__")]
    ):
        place = here / "visits" / f"year={year}" / f"city={city}"
        place.mkdir(parents=True)
        frame = pl.DataFrame({"x": np.random.default_rng(i).normal(size=200)})
        frame.write_parquet(place / "0.parquet")
        name = {"a%2Fb": "a/b", "__HIVE_DEFAULT_PARTITION__": None}.get(city, city)
        whole.append(frame.with_columns(year=pl.lit(year), city=pl.lit(name, dtype=pl.String)))
    # in the order of the names of the files
    return pl.concat([whole[2], whole[3], whole[0], whole[1]])


def test_directories_name_columns_where_they_are_asked_for(partitioned):
    assert scan("visits").columns == ("x",)
    found = scan("visits", columns=["year", "x", "city"], missing=True)
    assert (found.kinds, found.labels[2]) == (
        ("integer", "continuous", "category"),
        ("Rome", "a/b"),
    )
    values, _ = _all(found)
    np.testing.assert_array_equal(values[:, 0], partitioned["year"])
    np.testing.assert_array_equal(values[:, 1], partitioned["x"])
    np.testing.assert_array_equal(np.isnan(values[:, 2]), partitioned["city"].is_null())
    some = np.concatenate([v for v, _ in found.parts.part(150, 650)()])
    np.testing.assert_array_equal(some, values[150:650])
    kept = scan("visits", columns=["x", "city"], missing="drop").parts
    assert kept.rows == 600
    rows = np.concatenate([v for v, _ in kept.part(100, 500)()])
    np.testing.assert_array_equal(rows[:, 0], partitioned.drop_nulls()["x"][100:500])


def test_a_table_has_the_columns_that_its_directories_name(partitioned):
    counts = profile("visits")
    assert counts.names == ("x", "year", "city")
    assert counts.column("city").levels == {"Rome": 400.0, "a/b": 200.0, "missing": 200.0}
    assert counts.column("year").levels == {"3": 400.0, "12": 400.0}
    assert "0 of 2 groups differ" in str(diff("visits", partitioned, by="year", joint=False))
    # neither in models of all columns, nor above the directory that was given
    fitted = fit("visits", FullRank(), direction="forward")
    assert fitted.columns == ("x",)
    assert score(fitted, "visits").rows == 800
    assert profile("visits/year=3/city=Rome").names == ("x",)


def test_directories_that_name_different_columns_name_none(partitioned, here):
    odd = here / "visits" / "other=1"
    odd.mkdir()
    partitioned.select("x").write_parquet(odd / "0.parquet")
    assert profile("visits").names == ("x",)
