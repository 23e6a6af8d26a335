"""Profiles of what is not in memory, or in parts: cell for cell those of the whole table."""

import functools
import operator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import polars as pl
import pytest

from kullback.core.errors import InputError
from kullback.diff.driver import diff
from kullback.diff.profile import profile
from tests.engines import LAZY, lazily, quiet

pytestmark = quiet


@pytest.fixture(scope="module")
def frame():
    """Numbers with and without gaps and values that stand out, whole ones, decimals, names and truths."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40_000, 4))
    gaps = np.where(x[:, 2] > 1.0, np.nan, np.where(x[:, 2] > 0.9, np.inf, x[:, 2]))
    return pl.DataFrame(
        {
            "x": x[:, 0],
            "zeros": np.where(x[:, 1] > 0.3, 0.0, x[:, 1]),
            "gaps": pl.Series(gaps).set(pl.Series(x[:, 0] > 2.0), None),
            "n": np.round(1000 * x[:, 3]).astype(int),
            "f": x[:, 0].astype(np.float32),
            "a name": rng.choice(["a", "b", "it's", 'a "c"'], 40_000),
            "ok": x[:, 1] > 0.0,
            "empty": pl.Series([None] * 40_000, dtype=pl.Float64),
        }
    )


@pytest.fixture(scope="module", params=LAZY)
def lazy(frame, tmp_path_factory, request):
    return lazily(frame, request.param, tmp_path_factory.mktemp("lazy"))


@pytest.fixture(scope="module")
def relation(frame, tmp_path_factory):
    return lazily(frame, "duckdb", tmp_path_factory.mktemp("relation"))


def same(one, other):
    assert (one.names, one.rows) == (other.names, other.rows)
    for a, b in zip(one.columns, other.columns, strict=True):
        assert (a.kind, a.levels) == (b.kind, b.levels)
        np.testing.assert_array_equal(a.edges, b.edges, err_msg=a.name)
        np.testing.assert_array_equal(a.counts, b.counts, err_msg=a.name)


@pytest.mark.parametrize("known", [True, False])
def test_a_lazy_frame_has_the_profile_of_its_rows(frame, lazy, known):
    """Also where values lie above all that were seen, and names are new."""
    first = profile(frame[:10_000].filter(pl.col("x") < 1.0)) if known else None
    same(profile(lazy, like=first), profile(frame, like=first))
    same(profile(lazy, like=first, columns=["gaps"]), profile(frame, like=first, columns=["gaps"]))


def test_profiles_of_parts_add_up_to_that_of_the_whole(frame):
    first = profile(frame[:10_000].filter(pl.col("x") < 1.0))
    parts = [frame[i : i + 7000] for i in range(0, 40_000, 7000)]
    with ThreadPoolExecutor(2) as executor:
        found = functools.reduce(operator.add, executor.map(partial(profile, like=first), parts))
    same(found, profile(frame, like=first))


def test_columns_of_files_are_counted_on_workers(frame, tmp_path):
    for i in range(3):
        frame[15_000 * i : 15_000 * (i + 1)].write_parquet(tmp_path / f"{i}.parquet")
    with ThreadPoolExecutor(2) as executor:
        for like in (None, profile(frame[:5000])):
            there = profile(tmp_path, like=like, executor=executor)
            same(there, profile(tmp_path, like=like))
        same(profile(tmp_path, columns=["x"], executor=executor), profile(tmp_path, columns=["x"]))
        with pytest.raises(InputError, match="there is no column 'q'"):
            profile(tmp_path, columns=["q"], executor=executor)
        with pytest.raises(InputError, match="give their path, or leave executor out"):
            profile(frame, executor=executor)


def test_what_is_lazy_has_the_columns_that_are_asked_for(frame, relation):
    with pytest.raises(InputError, match="there is no column 'q'"):
        profile(relation, columns=["q"], like=profile(frame[:100]))
    with pytest.raises(InputError, match="no column that can be counted"):
        profile(relation.project("[x, n] as l"))
    # Rows of a relation in memory come by Arrow; of the same rows nothing differs.
    found = diff(profile(frame), relation.limit(20_000), joint=False)
    assert all(column.finding == "no evidence" for column in found.columns)


@pytest.mark.parametrize("engine", ["polars", "duckdb"])
def test_what_is_too_big_is_counted_and_not_collected(frame, engine, request, monkeypatch):
    given = frame.lazy() if engine == "polars" else request.getfixturevalue("relation")
    monkeypatch.setattr("kullback.tables.table.MAX_CELLS", 1000)
    with pytest.raises(
        InputError, match="40,000 rows of 8 columns are too many.*write .parquet files"
    ):
        diff(given, given)
    assert profile(given, columns=["x"]).rows == 40_000
