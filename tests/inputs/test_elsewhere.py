"""Paths to another machine: what is read there is what is read here, by every verb."""

import numpy as np
import polars as pl
import pytest

from kullback import FullRank, diff, fit, profile
from kullback.cli.app import main
from kullback.core.errors import InputError
from kullback.inputs.stream import scan
from tests.objects import served


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    place = tmp_path_factory.mktemp("buckets")
    rng = np.random.default_rng(1)
    for day in (1, 2):
        at = place / "data" / "rows" / f"day={day}"
        at.mkdir(parents=True)
        x = rng.normal(size=300)
        pl.DataFrame({"x": x, "y": x + rng.normal(size=300)}).write_parquet(at / "0.parquet")
    return place


@pytest.fixture
def store(root, monkeypatch):
    with served(root, monkeypatch) as where:
        yield where


@pytest.mark.parametrize(
    "pattern",
    [pytest.param("rows/", marks=pytest.mark.slow), "rows/**/*.parquet", "rows/day=1/0.parquet"],
)
def test_fits_and_profiles_are_those_of_the_same_files_here(root, store, pattern):
    here, there = str(root / "data" / pattern), f"s3://data/{pattern}"
    one, other = (fit(place, FullRank(), direction="forward", key=3) for place in (here, there))
    assert str(one.q) == str(other.q)
    assert one.divergence.value == other.divergence.value
    assert profile(here).to_frame().equals(profile(there).to_frame())


def test_directories_name_columns_there_too(root, store):
    here, there = (
        fit(place, FullRank(), direction="forward", key=3)
        for place in (
            scan(root / "data" / "rows", columns=["x", "day"]),
            scan("s3://data/rows/", columns=["x", "day"]),
        )
    )
    assert str(here.q) == str(there.q)
    day = "s3://data/rows/day=1/0.parquet"
    assert diff(day, "s3://data/rows/").columns[-1].name == "y"  # which both have


def test_a_path_of_http_is_one_file(root, store):
    here = fit(str(root / "data/rows/day=1/0.parquet"), FullRank(), direction="forward")
    there = fit(
        f"{store}/data/rows/day%3D1/0.parquet?signature=*a*", FullRank(), direction="forward"
    )
    assert str(here.q) == str(there.q)


def test_the_command_line_reads_it(store, capsys):
    rows = "s3://data/rows/*/*.parquet"
    assert main(["fit", rows, "--direction", "forward", "--family", "full_rank"]) == 0
    assert "600" in capsys.readouterr().out
    assert main(["diff", "s3://data/rows/day=1/0.parquet", "s3://data/rows/day=2/0.parquet"]) == 0


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("s3://data/rows/day=9/0.parquet", "not found"),
        ("s3://data/none/*.parquet", "there are no files there"),
        ("s3://data/rows/table.csv", "only .parquet files are read from elsewhere"),
    ],
)
def test_what_is_not_there_is_said_in_one_message(store, path, said):
    with pytest.raises(InputError, match="s3://data/") as told:
        fit(path, FullRank(), direction="forward")
    assert said in str(told.value)
    assert "\n" not in str(told.value)
