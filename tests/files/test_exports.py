"""Scores and draws to files."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import polars as pl
import pytest

from kullback.core.errors import InputError
from kullback.files.atomic import write_atomic
from kullback.files.writing import as_csv, column, write_columns


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", ["a.csv", "a.parquet", "a.PARQUET"])
def test_a_column_in_pieces(name):
    numbers = np.random.default_rng(0).standard_normal(300_000)
    numbers[7] = -np.inf
    with column(name, "log_prob") as spool:
        for part in np.array_split(numbers, 7):
            spool.write(part)
        spool.write(np.array([np.nan]))
        assert os.listdir() == []
    frame = (pl.read_csv if name == "a.csv" else pl.read_parquet)(name)
    assert frame.columns == ["log_prob"]
    found = frame["log_prob"].cast(pl.Float64)
    np.testing.assert_array_equal(found[:-1].to_numpy(), numbers)
    assert found[-1] is None
    assert os.listdir() == [name]


def test_nothing_is_left_of_what_fails(here):
    (here / "a.csv").write_text("old")

    def interrupted():
        with column("a.csv", "x") as spool:
            spool.write(np.ones(3))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert os.listdir() == ["a.csv"]
    assert (here / "a.csv").read_text() == "old"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk(here):
    with pytest.raises(InputError, match="this cannot be written: No space"):
        write_atomic("/dev/full", b"x")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a.xlsx", "'.xlsx' names no format that is written here; .csv, .parquet and .npy are"),
        ("none/a.csv", "there is no directory none"),
        ("folder.csv", "this is a directory"),
    ],
)
def test_places_that_are_none(here, name, message):
    (here / "folder.csv").mkdir()
    with pytest.raises(InputError, match=message):
        write_columns(name, ["x"], [np.ones(2)])
    with pytest.raises(InputError), column(name, "x"):
        pass


def test_columns(here):
    columns = [np.array([1.5, -2.0]), ["a", "=b()"]]
    write_columns("a.parquet", ["x", "c"], columns)
    assert pl.read_parquet("a.parquet").rows() == [(1.5, "a"), (-2.0, "=b()")]
    write_columns("a.csv", ["x", "c"], columns)
    assert (here / "a.csv").read_text() == "x,c\n1.5,a\n-2.0,=b()\n"
    write_columns("a.csv", ["x", "c"], columns, spreadsheet=True)
    assert (here / "a.csv").read_text() == "x,c\n1.5,a\n-2.0,'=b()\n"
    write_columns("a.npy", ["x", "y"], [np.ones(2), np.zeros(2)])
    assert np.load("a.npy").tolist() == [[1, 0], [1, 0]]
    with pytest.raises(InputError, match=".npy holds no labels"):
        write_columns("a.npy", ["x", "c"], columns)


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@sum", "\tx", "\rx"])
def test_text_is_no_formula_in_a_spreadsheet_and_itself_elsewhere(text):
    columns = [[text, "plain"], np.array([-1.0, 2.0])]
    whole = pl.read_csv(as_csv([text, "y"], columns).encode(), infer_schema=False)
    assert (whole.columns, whole.to_series(0).to_list()) == ([text, "y"], [text, "plain"])
    found = pl.read_csv(as_csv([text, "y"], columns, spreadsheet=True).encode())
    assert found.columns == [f"'{text}", "y"]
    assert found.to_series(0).to_list() == [f"'{text}", "plain"]
    assert found["y"].to_list() == [-1.0, 2.0]


WRITES = """
import sys
import numpy as np
from kullback.files.writing import column
rng = np.random.default_rng(0)
try:
    with column(sys.argv[1], "x") as spool:
        for _ in range(60):
            spool.write(rng.standard_normal(100_000))
except KeyboardInterrupt:
    print("interrupted")
"""


@pytest.mark.parametrize("name", [pytest.param("a.csv", marks=pytest.mark.slow), "a.parquet"])
def test_ctrl_c_while_polars_writes_leaves_nothing(here, name):
    for wait in (0.0, 0.05, 0.1):
        child = subprocess.Popen(
            [sys.executable, "-c", WRITES, name],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        while child.poll() is None and not os.listdir():
            time.sleep(0.001)
        time.sleep(wait)
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=30)
        assert (err, out) in {("", "interrupted\n"), ("", "")}
        # It may have been all there already.
        assert os.listdir() == ([] if out else [name])
        (here / name).unlink(missing_ok=True)


def test_a_column_of_nothing(here):
    with column("a.parquet", "x"):
        pass
    assert pl.read_parquet("a.parquet").schema == {"x": pl.Float64}
    assert len(pl.read_parquet("a.parquet")) == 0
