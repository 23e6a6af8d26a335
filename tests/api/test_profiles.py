"""Profiles of what is not in memory, or in parts: cell for cell those of the whole table."""

import functools
import operator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import polars as pl
import pytest

from kullback.api.fit import fit
from kullback.core.errors import InputError, WorkerError
from kullback.diff.driver import diff
from kullback.diff.profile import profile
from kullback.tables.lazy import lazy_rows, tell
from tests.engines import LAZY, lazily, quiet, session

pytestmark = quiet


@pytest.fixture(scope="module")
def frame():
    """Numbers with and without gaps and values that stand out, whole ones, decimals, ties, names, truths and times."""
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
            "tied": np.round(x[:, 1], 1),
            "rare": pl.Series(np.char.add("n", rng.zipf(1.3, 40_000).clip(max=9000).astype(str))),
            "row": pl.int_range(40_000, eager=True).cast(pl.String),
            "at": pl.datetime_range(
                pl.datetime(2026, 1, 1),
                interval="1m",
                closed="left",
                end=pl.datetime(2026, 1, 1) + pl.duration(minutes=40_000),
                eager=True,
            ),
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


@pytest.mark.parametrize("engine", ["polars", "duckdb", "ibis", "dask"])
@pytest.mark.parametrize("parts", [1, 11])
def test_parts_are_of_any_number_and_in_any_order(frame, engine, parts, tmp_path):
    first = profile(frame[:10_000])
    mixed = frame.sample(fraction=1.0, shuffle=True, seed=0)
    mixed.clear().write_parquet(tmp_path / "a.parquet")  # a part without rows
    same(profile(lazily(mixed, engine, tmp_path, parts), like=first), profile(frame, like=first))


def test_kinds_are_declared_of_lazy_frames_as_of_others(frame, lazy):
    said = {"tied": "category", "n": "identifier", "zeros": "continuous"}
    first = profile(frame[:10_000], kinds=said)
    assert "n" not in first.names
    same(profile(lazy, like=first, kinds=said), profile(frame, like=first, kinds=said))
    with pytest.raises(InputError, match="'x' is said to be of kind 'integer'"):
        profile(lazy, like=first, kinds={"x": "integer"})
    with pytest.raises(InputError, match="there is no column 'q'"):
        profile(lazy, like=first, kinds={"q": "count"})


def test_what_cannot_be_counted_in_pieces_is_told_in_one_line(frame, lazy):
    first = profile(frame)
    with pytest.raises(InputError, match="'x' is names in table, numbers in table"):
        profile(lazy, like=profile(frame.select(x=pl.col("a name"))), columns="x")
    import narwhals as nw

    narrow = nw.from_native(lazy)
    none = narrow.filter(nw.col("x") > 100.0).to_native()
    for like in (first, None):
        with pytest.raises(InputError, match="there are no rows in it"):
            profile(none, like=like)
    for given in (none, narrow.filter(nw.col("x") > 100.0)):
        with pytest.raises(InputError, match="current: there are no rows in it"):
            diff(first, given)


def test_what_spark_has_beside_frames_is_told(frame, tmp_path):
    given = lazily(frame, "spark", tmp_path)
    functions = pytest.importorskip("pyspark.sql.functions")
    first = profile(frame)
    listed = given.withColumn("l", functions.array("x")).withColumn("s", functions.struct("x", "n"))
    same(profile(listed, like=first), profile(frame, like=first))
    with pytest.raises(InputError, match="no column that can be counted"):
        profile(listed.select("l", "s"), like=first)
    stream = session().readStream.schema(given.schema).parquet(str(tmp_path))
    with pytest.raises(
        InputError, match="a streaming frame of Spark has no last row: in foreachBatch"
    ):
        profile(stream, like=first)
    with pytest.raises(InputError, match="two columns have the name 'x'"):
        profile(given.select("x", "x"), like=first)
    for other in (given.x, session(), given.rdd):
        with pytest.raises(InputError, match="is no data frame"):
            profile(other, like=first)
    broken = given.withColumn("x", functions.udf(lambda x: 1.0 / 0, "double")("x"))
    with pytest.raises(Exception, match="ZeroDivisionError"):
        profile(broken, like=first)


def test_workers_of_spark_without_this_package_are_told_of(monkeypatch):
    trace = "Traceback ...\n  File x\nModuleNotFoundError: No module named 'kullback'\n"
    with pytest.raises(
        WorkerError, match="No module named 'kullback'; install kullback and pyarrow"
    ):
        tell(trace)
    with pytest.raises(InputError, match="^what was wrong$"):
        tell("Traceback\nkullback.core.errors.InputError: what was wrong\n\n at org.apache")
    tell("Traceback\nZeroDivisionError: division by zero")


def test_profiles_of_parts_add_up_to_that_of_the_whole(frame):
    frame = frame.drop("rare")  # rare names of a part are not kept
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
    found = diff(profile(frame.drop("at")), relation.limit(20_000), joint=False)
    assert all(column.finding == "no evidence" for column in found.columns)


@pytest.fixture
def small(monkeypatch):
    """Nothing but a few rows is held."""
    monkeypatch.setattr("kullback.tables.table.MAX_CELLS", 1000)


def test_what_is_too_big_to_be_held_is_told(lazy, small):
    with pytest.raises(InputError, match="40,000 rows of 12 columns are too many.*write .parquet"):
        diff(lazy, lazy, by="a name")
    with pytest.raises(InputError, match="are too many.*write .parquet files"):
        fit(lazy, "full_rank", direction="forward")


@pytest.mark.slow
def test_tables_too_big_to_be_held_differ_by_counts_of_all_rows(frame, lazy, tmp_path, small):
    """By column the same as their profiles, together as rows that are drawn."""
    moved = frame.with_columns(pl.col("x") + 0.2)
    names = ["x", "tied", "a name", "at", "rare"]
    found = diff(frame, lazy, columns=names)
    like = profile(frame, columns=names)
    known = diff(frame, profile(frame, like=like), columns=names)
    assert found.rows == (40_000, 40_000)
    assert [(c.name, c.forward) for c in found.columns] == [
        (c.name, c.forward) for c in known.columns
    ]
    assert found.finding == "no evidence"
    assert found.joint.rows[1] == 10_000
    found = diff(lazy, moved.lazy(), columns=names)
    assert [c.name for c in found.columns if c.finding == "differs"] == ["x"]
    assert found.joint.finding == "differs"
    assert not found.joint.unlike_current
    # KL of two Gaussians a fifth of an sd apart.
    x = found.columns[0].forward
    assert abs(x.value - 0.02) < 4.0 * x.standard_error
    assert any("columns are compared by counts of all rows" in note for note in found.notes)
    assert diff(like, lazy).finding == "no evidence"
    assert diff(lazy, like).joint is None


def test_cells_of_what_is_too_big_to_be_held_are_those_of_rows_that_are_drawn(frame, lazy, small):
    found = profile(lazy)
    assert found.rows == 40_000
    assert set(found.names) == set(profile(frame).names)
    assert 500 < len(found.column("x").edges) < 1100
    for name in ("a name", "ok", "rare"):
        assert found.column(name).levels == profile(frame).column(name).levels
    same(profile(frame, like=found), found)


def test_names_that_repeat_are_told_of_by_all_verbs():
    pd = pytest.importorskip("pandas")
    twice = pd.DataFrame(np.zeros((9, 2)), columns=["a", "a"])
    for verb in (profile, partial(diff, np.zeros((9, 1)))):
        with pytest.raises(InputError, match="columns have the same name"):
            verb(twice)


def test_rows_are_drawn_from_all_parts_alike():
    """Of 200 draws of 1,000 in 5,000 rows, the mean of what is uniform has its standard error."""
    x = np.linspace(0.0, 1.0, 5000)
    rows = lazy_rows(pl.LazyFrame({"x": x}), "table")
    means = np.array([rows.drawn(["x"], 1000, (k,))["x"].to_numpy().mean() for k in range(200)])
    error = x.std() / np.sqrt(1000) * np.sqrt(1.0 - 1000 / 5000)
    z = (means - 0.5) / error
    assert abs(z.mean()) < 4.0 / np.sqrt(200)
    assert 0.8 < z.std() < 1.2
