"""Two tables: what differs is found and sized, what does not is left in peace, and every kind of column is read."""

import datetime as dt
import json
import math
import multiprocessing
import re
import sys
from concurrent.futures import ProcessPoolExecutor
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
from scipy import stats

from kullback.api.measure import kl_divergence
from kullback.api.store import load, load_fit, save
from kullback.core.errors import InputError
from kullback.diff.driver import _below, diff
from kullback.diff.profile import profile
from kullback.files.profiles import read_profile, write_profile
from kullback.results.estimate import Estimate
from kullback.results.quantity import FORWARD_KL
from kullback.results.serialise import to_json
from kullback.targets import Samples

#: A column of three rows in a profile.
_COLUMN = {"name": "x", "kind": "numbers", "levels": {}, "edges": [0, 1], "counts": [1, 2]}


def _table(n, seed, *, shift=0.0, missing=0.0, together=0.2):
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(n, 2))
    amount = np.where(rng.random(n) < 0.3, 0.0, rng.lognormal(3.0, 1.0, n))
    return pl.DataFrame(
        {
            "age": np.round(rng.normal(40.0 + shift, 10.0, n)),
            "city": rng.choice(["A", "B", "C"], n, p=[0.5, 0.3, 0.2]),
            "amount": pl.Series(amount).set(pl.Series(rng.random(n) < missing), None),
            "member": rng.random(n) < 0.4,
            "height": z[:, 0],
            "weight": together * z[:, 0] + math.sqrt(1.0 - together**2) * z[:, 1],
            "day": pl.Series(rng.integers(19_000, 19_300, n)).cast(pl.Date),
        }
    )


@pytest.fixture(scope="module")
def changed():
    return diff(
        _table(1500, 0), _table(1200, 1, shift=3.0, missing=0.1, together=0.8), like="evidently"
    )


@pytest.fixture(scope="module")
def unchanged():
    return diff(_table(1500, 0), _table(1200, 1), max_kl=0.3)


def test_what_changed_is_found_and_sized(changed):
    assert {c.name for c in changed.differing} == {"age", "amount"}
    age = changed.column("age")
    assert age.forward.interval[0] < 0.045 < age.forward.interval[1]
    assert age.reverse.interval[0] < 0.045 < age.reverse.interval[1]
    assert age.medians == (40.0, 43.0)
    assert age.forward.direction == "KL(reference||current)"
    assert age.reverse.direction == "KL(current||reference)"
    assert age.jeffreys.value == pytest.approx(age.forward.value + age.reverse.value)
    amount = changed.column("amount")
    assert amount.missing == (0.0, pytest.approx(0.1, abs=0.03))
    assert amount.new == (("missing", pytest.approx(0.1, abs=0.03)),)
    assert amount.forward.interval[0] < -math.log(0.9) < amount.forward.interval[1]
    assert amount.reverse.kind == "unresolved"
    assert "reference" in amount.reverse.notes[0]
    assert sum(r.contribution for r in age.regions) == pytest.approx(age.forward.value, abs=1e-9)


def test_columns_that_go_together_differently_are_named(changed):
    joint = changed.joint
    assert joint.finding == "differs"
    pairs = [set(i.columns) for i in joint.interactions]
    assert pairs[0] == {"height", "weight"}
    assert joint.interactions[0].value.interval[0] > 0.1


def _log_ratio(table, rows):
    """Of height and weight as changed to what they were, by their densities."""
    x = table.select("height", "weight").to_numpy()[rows]
    laws = (stats.multivariate_normal(cov=[[1.0, r], [r, 1.0]]) for r in (0.8, 0.2))
    changed, before = (law.logpdf(x) for law in laws)
    return changed - before


def test_rows_least_like_the_other_table_are_of_their_own(changed):
    joint = changed.joint
    of_current, of_reference = (
        [r.row for r in rows] for rows in (joint.unlike_reference, joint.unlike_current)
    )
    for rows in (of_current, of_reference):
        assert len(set(rows)) == len(rows)
    current = _table(1200, 1, shift=3.0, missing=0.1, together=0.8)
    assert np.mean(_log_ratio(_table(1500, 0), of_reference)) < -1.0
    # Rows of missing amounts are unlike the reference, too, whatever height and weight are.
    missing = current["amount"].is_null().to_numpy()[of_current]
    assert (missing | (_log_ratio(current, of_current) > 0.0)).all()
    assert joint.unlike_reference[0].log_ratio > 1.0


def test_nothing_is_found_where_nothing_changed(unchanged):
    assert unchanged.finding == "no evidence"
    assert unchanged.gate == "passed"
    assert "no evidence" in str(unchanged)
    for column in unchanged.columns:
        assert column.forward.interval[0] < 0.01
        assert 0.0 < column.detectable < 0.05


def test_results_are_plain_json(changed):
    text = json.dumps(to_json(changed), allow_nan=False)
    assert '"quantity": "kl"' in text
    assert to_json(changed.column("age"))["like"]["evidently"] > 0.0
    with pytest.raises(KeyError):
        changed.column("nobody")


def test_same_key_same_numbers():
    tables = _table(150, 0), _table(120, 1, shift=3.0)
    one, two = ({**to_json(diff(*tables, key=3)), "seconds": 0.0} for _ in range(2))
    assert one == two
    assert one["joint"] is not None


@pytest.mark.slow
@pytest.mark.parametrize("n", [50, 300])
def test_false_alarms_are_rare(n):
    """At most 5 % of pairs of samples without a difference are said to differ."""
    rng = np.random.default_rng(n)
    runs, alarms = 60, 0
    for _ in range(runs):
        a, b = (
            np.column_stack([rng.normal(size=n), rng.exponential(size=n), rng.poisson(2.0, n)])
            for _ in range(2)
        )
        alarms += diff(a, b, joint=False).finding == "differs"
    assert alarms <= runs * 0.05 + 3.0 * math.sqrt(runs * 0.0475)


@pytest.mark.slow
def test_a_shift_is_found_at_ten_thousand_rows():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=10_000), rng.normal(0.4, 1.0, 10_000)
    found = diff(a[:, None], b[:, None]).columns[0]
    assert found.finding == "differs"
    assert found.forward.interval[0] < 0.08 < found.forward.interval[1]
    assert found.forward.interval[1] - found.forward.interval[0] < 0.04


def test_gates():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=2000), rng.normal(1.0, 1.0, 2000)
    frames = [pl.DataFrame({"x": v}) for v in (a, b)]
    assert diff(*frames, max_kl=0.1).gate == "failed"
    assert diff(*frames, max_kl=2.0).gate == "passed"
    assert diff(*frames, max_kl=0.5).gate == "cannot tell"
    assert diff(*frames).gate is None


def test_groups_are_compared_by_themselves():
    rng = np.random.default_rng(0)
    group = np.array(["a", "b"])[np.arange(2000) % 2]
    one = pl.DataFrame({"g": group, "x": rng.normal(size=2000)})
    two = pl.DataFrame({"g": group, "x": rng.normal(size=2000) + (group == "b")})
    found = diff(one, two, by="g", joint=False, max_kl=0.05)
    parts = dict(found.groups)
    assert parts["a"].finding == "no evidence"
    assert parts["b"].finding == "differs"
    assert found.finding == "differs"
    assert found.gate == "failed"
    assert "1 of 2 groups" in str(found)


@pytest.mark.slow
def test_clusters_and_time_widen_errors():
    rng = np.random.default_rng(0)
    users = np.repeat(np.arange(200), 10)

    def one(shift):
        return pl.DataFrame(
            {
                "x": np.repeat(rng.normal(size=200) + shift, 10) + 0.1 * rng.normal(size=2000),
                "u": users,
            }
        )

    a, b = one(0.0), one(0.0)
    alone = diff(a, b, columns=["x"]).column("x")
    clustered = diff(a, b, cluster="u").column("x")
    # 200 users in each table, not 2000 rows: what looks like a difference is chance.
    assert alone.finding == "differs"
    assert clustered.finding == "no evidence"
    assert clustered.forward.interval[0] == 0.0
    assert clustered.rows[0] == pytest.approx(200.0, rel=0.2)
    assert clustered.certified is None
    walk = pl.DataFrame({"x": np.repeat(rng.normal(size=200), 10), "t": np.arange(2000)})
    steady = pl.DataFrame({"x": rng.normal(size=2000), "t": np.arange(2000)})
    ordered = diff(walk, steady, order="t").column("x")
    assert ordered.rows[0] < 500.0
    assert ordered.rows[1] > 900.0


def test_weights_move_the_answer():
    rng = np.random.default_rng(1)
    x = rng.normal(size=2000)
    tilted = pl.DataFrame({"x": x, "w": np.exp(0.5 * x)})
    plain = pl.DataFrame({"x": rng.normal(0.5, 1.0, 2000), "w": np.ones(2000)})
    assert diff(tilted, plain, columns=["x"]).finding == "differs"
    assert diff(tilted, plain, weights="w").finding == "no evidence"
    with pytest.raises(InputError, match="holds no weights"):
        diff(tilted.with_columns(w=-1.0), plain, weights="w")


def test_frames_of_pandas_and_arrow_are_read_alike():
    pandas = pytest.importorskip("pandas")
    table = _table(400, 5).drop("day")
    other = _table(300, 6, shift=5.0).drop("day")
    want = diff(table, other, joint=False)
    made = [pandas.DataFrame(t.to_dict(as_series=False)) for t in (table, other)]
    found = diff(*made, joint=False)
    assert [c.name for c in found.columns] == [c.name for c in want.columns]
    assert found.column("age").forward == want.column("age").forward


def test_odd_columns():
    n = 300
    rng = np.random.default_rng(0)
    frame = pl.DataFrame(
        {
            "id": [f"row {i}" for i in rng.integers(1 << 40, size=3000)],
            "list": [[1]] * 3000,
            "empty": pl.Series([None] * 3000, dtype=pl.Float64),
            "one": np.ones(3000),
            "inf": np.where(rng.random(3000) < 0.1, np.inf, rng.normal(size=3000)),
            "when": [
                dt.datetime(2024, 1, 1, tzinfo=dt.UTC) + dt.timedelta(hours=int(h))
                for h in rng.integers(0, 900, 3000)
            ],
            "<b>": rng.normal(size=3000),
        }
    )
    found = diff(frame, frame.sample(n, seed=1), joint=False)
    left = dict(found.left_out)
    assert "name rows" in left["id"]
    assert "cannot be compared" in left["list"]
    assert found.finding == "no evidence"
    for name in ("empty", "one", "inf", "when", "<b>"):
        assert not math.isnan(found.column(name).forward.interval[0])


@pytest.mark.parametrize(
    ("given", "match"),
    [
        (({"a": 1}, 3), "reference is a dict, and diff takes rows: a data frame"),
        ((pl.DataFrame({"a": [1.0]}), pl.DataFrame({"b": [1.0]})), "no column in common"),
        (
            (pl.DataFrame({"a": pl.Series([], dtype=pl.Float64)}), pl.DataFrame({"a": [1.0]})),
            "no rows",
        ),
        (("nowhere.parquet", "nowhere.csv"), "there is no such file"),
    ],
)
def test_bad_tables_are_refused(given, match):
    with pytest.raises(InputError, match=match):
        diff(*given)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"columns": ["y"]}, "no column 'y'"),
        ({"cluster": "y"}, "no column 'y'"),
        ({"by": "y"}, "no column 'y'"),
        ({"max_kl": -1.0}, "0 or more"),
        ({"like": "nannyml"}, "evidently"),
        ({"max_kl": "a"}, "max_kl='a': .* a number of nats"),
        ({"max_kl": math.nan}, "0 or more"),
        ({"by": 3}, "by=3: give the name"),
        ({"weights": 3}, "weights=3: give the name"),
        ({"by": "x"}, "no other column"),
        ({"columns": 3}, "columns=3: give names"),
        ({"columns": [1]}, r"columns=\[1\]: give names"),
        ({"joint": "no"}, "True or False"),
        ({"key": "x"}, "is not a key"),
        ({"progress": 3}, "progress=3: give a function"),
    ],
)
def test_bad_options_are_refused(options, match):
    frame = pl.DataFrame({"x": [1.0, 2.0, 3.0]})
    with pytest.raises(InputError, match=match):
        diff(frame, frame, **options)


_SAME = {
    "ones": np.ones(300),
    "no value": np.full(300, np.nan),
    "one value or none": np.where(np.arange(300) % 7, 3.0, np.nan),
    "one name": ["a"] * 300,
}


@pytest.mark.parametrize("same", _SAME.values(), ids=_SAME)
@pytest.mark.parametrize("others", ["x", "xy"])
def test_a_column_that_never_changes_adds_nothing(same, others):
    rng = np.random.default_rng(0)
    tables = [
        pl.DataFrame({"same": same, **{o: rng.normal(size=300) for o in others}}) for _ in "ab"
    ]
    found = diff(*tables)
    assert found.column("same").finding == found.finding == "no evidence"
    if same is not _SAME["no value"]:
        estimate = kl_divergence(*(Samples(table, missing=True) for table in tables))
        assert estimate.interval[0] == 0.0


def test_a_constant_that_moves_is_a_difference():
    x = np.random.default_rng(0).normal(size=(2, 300))
    found = diff(
        pl.DataFrame({"a": np.ones(300), "b": x[0]}),
        pl.DataFrame({"a": np.full(300, 2.0), "b": x[1]}),
    )
    assert [c.name for c in found.differing] == ["a"]
    assert found.joint.finding == "differs"


@pytest.mark.parametrize("columns", ["x", ["x", "x"]])
def test_a_column_is_compared_once(columns):
    frame = pl.DataFrame({"x": [1.0, 2.0, 3.0], "y": [1.0, 2.0, 3.0]})
    assert [c.name for c in diff(frame, frame, columns=columns).columns] == ["x"]


def test_moments_of_a_time_zone_are_dates():
    pandas = pytest.importorskip("pandas")
    hours = pandas.date_range("2024", periods=300, freq="h", tz="Europe/Berlin")
    frame = pandas.DataFrame({"t": hours, "x": np.sin(np.arange(300.0))})
    found = diff(frame, frame, joint=False)
    assert {(c.name, c.kind) for c in found.columns} == {("t", "dates"), ("x", "numbers")}
    # Wall clocks that differ may be the same moments.
    elsewhere = frame.assign(t=hours.tz_convert("Asia/Tokyo"))
    assert diff(frame, elsewhere, joint=False).column("t").forward.value == 0.0
    naive = frame.assign(t=hours.tz_convert("UTC").tz_localize(None))
    assert diff(frame, naive, joint=False).column("t").forward.value == 0.0


def test_columns_of_one_name_are_refused():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(np.ones((5, 2)), columns=["a", "a"])
    with pytest.raises(InputError, match="columns have the same name .*'a'"):
        diff(frame, frame)


_ROWS = np.random.default_rng(0).normal(size=300)
#: Columns of reference and current beside one that does not change, and what the gate says.
_CHANGES = {
    "missing": ([1.0] * 300, None, "missing in current"),
    "numbers to text": (_ROWS, [str(v) for v in _ROWS], "numbers in reference, text in current"),
    "numbers to names": (_ROWS, ["a", "b"] * 150, "numbers in reference, names in current"),
    "numbers to dates": (_ROWS, pl.Series([9] * 300).cast(pl.Date), "numbers .* dates in current"),
    "numbers to lists": (
        _ROWS,
        [[1]] * 300,
        "numbers in reference, values that cannot be compared",
    ),
    "all null": (_ROWS, [None] * 300, "no value in current"),
    "all null names": (["a", "b"] * 150, [None] * 300, "no value in current"),
    "names to row names": (["a"] * 300, [f"u{i}" for i in range(300)], None),
    "lists in both": ([[1]] * 300, [[2]] * 300, None),
    "null in both": ([None] * 300, [None] * 300, None),
    "only in current": (None, _ROWS, None),
}


@pytest.mark.parametrize("profiled", [False, True])
@pytest.mark.parametrize(("before", "now", "reason"), _CHANGES.values(), ids=_CHANGES)
def test_a_gate_fails_for_columns_that_are_lost(before, now, reason, profiled):
    frames = [
        pl.DataFrame({"x": _ROWS, **({} if a is None else {"a": a})}, strict=False)
        for a in (before, now)
    ]
    reference = profile(frames[0]) if profiled else frames[0]
    found = diff(reference, frames[1], max_kl=50.0, joint=False)
    if reason is None:
        assert found.lost == ()
        assert found.gate != "failed"
        return
    assert found.gate == "failed"
    ((name, said),) = found.lost
    assert name == "a"
    assert re.search(reason, said)
    assert diff(reference, frames[1], joint=False).gate is None
    assert diff(reference, frames[1], max_kl=50.0, columns=["x"]).gate == "passed"


def test_row_names_do_not_fail_a_gate_for_their_number():
    few, many = (
        pl.DataFrame({"x": [1.0] * n, "id": [f"{n}-{i}" for i in range(n)]}) for n in (800, 1200)
    )
    names = many.with_columns(id=pl.lit("a"))
    assert diff(few, many, max_kl=0.5, joint=False).gate == "passed"
    assert diff(many, few, max_kl=0.5, joint=False).gate == "passed"
    assert diff(names, many, max_kl=0.5, joint=False).gate == "failed"


def test_a_type_of_all_null_says_nothing():
    """A column without values is the same in Parquet, of whatever type, and in CSV."""
    reference = pl.DataFrame({"x": _ROWS})
    found = [
        diff(reference, pl.DataFrame({"x": pl.Series([None] * 300, dtype=t)})).column("x")
        for t in (pl.Null, pl.Float64, pl.String, pl.Date)
    ]
    assert {(c.kind, c.missing, c.p_value) for c in found} == {
        ("numbers", (0.0, 1.0), found[0].p_value)
    }


@pytest.mark.slow
def test_groups_of_one_side_are_named_and_fail_a_gate():
    reference = pl.DataFrame({"g": ["x"] * 150 + ["y"] * 100 + [None] * 50, "a": _ROWS})
    more = reference.with_columns(g=pl.col("g").fill_null("z"))
    found = diff(reference, reference, by="g", joint=False, max_kl=50.0)
    assert [label for label, _ in found.groups] == ["x", "y", "missing"]
    assert found.lost == ()
    assert found.gate != "failed"
    lost = diff(reference, more, by="g", joint=False, max_kl=50.0)
    assert lost.lost == (("g = missing", "50 rows in reference only"),)
    assert lost.gate == "failed"
    assert any("g = z has 50 rows in current only" in note for note in lost.notes)
    other = reference.with_columns(w=1.0), reference.with_columns(w=pl.lit("b"), b=1)
    typed = diff(*other, by="g", joint=False, max_kl=50.0)
    assert typed.lost == (("w", "numbers in reference, names in current"),)
    assert typed.only_current == ("b",)
    assert typed.gate == "failed"


def test_numbers_that_name_groups_stay_apart():
    frame = pl.DataFrame({"g": [94103, 94104, 2**60, 2**60 + 1] * 75, "a": _ROWS})
    labels = [label for label, _ in diff(frame, frame, by="g", joint=False).groups]
    assert labels == ["94103", "94104", str(2**60), str(2**60 + 1)]


@pytest.mark.parametrize("kind", ["frame", "array", "csv", "parquet", "npy"])
def test_integers_that_float64_cannot_hold_stay_apart(kind, tmp_path):
    a, b = (2**60 + shift + np.arange(300) // 3 for shift in (0, 90))
    if kind == "array":
        found = diff(a[:, None], b[:, None])
    else:
        sides = [pl.DataFrame({"x0": v}) for v in (a, b)]
        places = [str(tmp_path / f"{name}.{kind}") for name in "ab"]
        for place, side in zip(places, sides, strict=True):
            if kind == "npy":
                np.save(place, side["x0"].to_numpy())
            elif kind != "frame":
                getattr(side, f"write_{kind}")(place)
        found = diff(*(sides if kind == "frame" else places))
    assert found.finding == "differs"
    assert found.columns[0].medians == (49.5, 139.5)
    assert "compared by rank" in found.notes[0]


@pytest.mark.parametrize(
    ("other", "note"),
    [
        (np.arange(300), "compared by rank"),
        (np.array([2**63 + i for i in range(300)], dtype=np.uint64), "compared by rank"),
        (np.arange(300) + 0.5, "rounded to float64"),
    ],
)
def test_big_integers_against_others(other, note):
    sides = (
        pl.DataFrame({"x": [2**60 + i for i in range(299)] + [None]}),
        pl.DataFrame({"x": other}),
    )
    found = diff(*sides)
    assert found.finding == "differs"
    assert found.columns[0].missing[0] == pytest.approx(1 / 300)
    assert any(note in said for said in found.notes)


def test_identifiers_are_remarked_on():
    n = np.arange(300)
    frames = [pl.DataFrame({"id": n + shift, "x": _ROWS}) for shift in (0, 1000)]
    found = diff(*frames, joint=False)
    assert found.column("id").finding == "differs"
    assert "id looks like an identifier" in found.notes[0]
    assert diff(frames[0], frames[0], joint=False).notes == ()


def test_text_is_not_taken_for_missing():
    a, b = (pl.DataFrame({"x": ["missing"] * k + [None] * (500 - k)}) for k in (250, 100))
    for reference in (a, profile(a)):
        column = diff(reference, b).column("x")
        assert column.missing == (0.5, 0.8)
        assert {r.label for r in column.regions} == {"'missing'", "missing"}


def test_a_joint_divergence_below_one_of_a_column_is_remarked_on():
    x = _estimate(0.5)
    columns = tuple(
        SimpleNamespace(name=n, finding=f, forward=e, reverse=e)
        for n, f, e in (
            ("a", "differs", x),
            ("b", "no evidence", x),
            ("c", "differs", _estimate(0.1)),
        )
    )
    both = SimpleNamespace(forward=_estimate(0.4), reverse=_estimate(0.6))
    (note,) = _below(columns, both)
    assert "below a alone" in note
    assert _below(columns, None) == []


def _estimate(value):
    return Estimate(value, 0.1, (value - 0.2, value + 0.2), FORWARD_KL, "estimate", "ranks")


@pytest.mark.parametrize(
    ("second", "match"),
    [
        ({"b": [1.0]}, "2.parquet: there is no column 'a', but .*1.parquet has it"),
        ({"a": [1.0], "b": [1.0], "c": [1.0]}, "2.parquet: there is a column 'c'"),
        ({"a": ["x"], "b": [1.0]}, "2.parquet: column 'a' is String, but .* Float64"),
        pytest.param({"b": [1], "a": [None]}, None, marks=pytest.mark.slow),
    ],
)
def test_files_of_a_directory_have_the_same_columns(second, match, tmp_path):
    pl.DataFrame({"a": [1.0, 2.0], "b": [1.0, 2.0]}).write_parquet(tmp_path / "1.parquet")
    pl.DataFrame(second).write_parquet(tmp_path / "2.parquet")
    if match is None:
        assert diff(tmp_path, tmp_path, joint=False).rows == (3, 3)
        return
    with pytest.raises(InputError, match=match) as error:
        diff(tmp_path, tmp_path)
    assert "insert" not in str(error.value)


class TestProfiles:
    """Counts that stand for a table."""

    def test_agrees_with_the_table_itself(self, changed, tmp_path):
        reference, current = _table(1500, 0), _table(1200, 1, shift=3.0, missing=0.1)
        write_profile(tmp_path / "ref.profile", profile(reference))
        known = read_profile(tmp_path / "ref.profile")
        found = diff(known, current)
        for name in ("age", "city", "member", "height"):
            one, two = found.column(name).forward, changed.column(name).forward
            assert abs(one.value - two.value) < 0.6 * max(one.standard_error, two.standard_error)
        assert {c.name for c in found.differing} >= {"age", "amount"}

    def test_parts_add_up(self):
        whole = _table(2000, 3)
        cells = profile(whole[:1000])
        both = cells + profile(whole[1000:], like=cells)
        assert both.rows == 2000
        for column in both.columns:
            assert column.rows == 2000.0
        other = profile(whole[:1000]) + profile(whole[1000:])
        assert other.column("height").rows == pytest.approx(2000.0)
        found = diff(other, whole)
        assert found.finding == "no evidence"

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "{}",
            "[" * 5000,
            '{"format": "kullback profile", "version": 9}',
            '{"format": "kullback profile", "version": 1, "source": "x", "rows": 3, "columns": [{"name": "x", '
            '"kind": "numbers", "levels": {}, "edges": [1, 0], "counts": [1, 2]}]}',
            '{"format": "kullback profile", "version": 1, "source": "x", "rows": 3, "columns": 7}',
            *(
                json.dumps({"format": "kullback profile", "version": 1, "source": "x", **body})
                for body in (
                    {"rows": 3, "columns": []},
                    {"rows": True, "columns": [_COLUMN]},
                    {"rows": 10**30, "columns": [_COLUMN]},
                    {"rows": 4, "columns": [_COLUMN]},
                    {"rows": 3, "columns": [_COLUMN, _COLUMN]},
                    {"rows": 3, "columns": [{**_COLUMN, "name": 5}]},
                    {"rows": 3, "columns": [{**_COLUMN, "kind": "evil"}]},
                    {"rows": 3, "columns": [{**_COLUMN, "kind": "levels"}]},
                    {"rows": 3, "columns": [{**_COLUMN, "counts": [1e300, 1e300]}]},
                    {"rows": 3, "columns": [{**_COLUMN, "counts": [-1, 4]}]},
                    {"rows": 4, "columns": [{**_COLUMN, "levels": {"x": 1}}]},
                    {"rows": 3, "columns": [{"name": "x"}]},
                    {"rows": 3, "columns": [[]]},
                )
            ),
        ],
    )
    def test_bad_files_are_refused(self, text, tmp_path):
        (tmp_path / "bad.profile").write_text(text)
        with pytest.raises(InputError, match=r"bad\.profile: .*profile"):
            read_profile(tmp_path / "bad.profile")

    def test_kinds_do_not_mix(self):
        numbers, names, empty = (
            pl.DataFrame({"a": v}) for v in ([1.5, 2.5] * 9, ["p", "q"] * 9, [None] * 18)
        )
        with pytest.raises(InputError, match="'a' is numbers in .*, names in .*: counts"):
            profile(numbers) + profile(names)
        with pytest.raises(InputError, match="'a' is names in .*, numbers in"):
            profile(numbers, like=profile(names))
        both = profile(empty) + profile(names)
        assert (both.column("a").kind, both.rows) == ("levels", 36)
        with pytest.raises(InputError, match="give a Profile"):
            profile(numbers, like=3)


@pytest.mark.slow
def test_tables_need_no_jax():
    import subprocess

    code = (
        "import sys, numpy as np, kullback as kb; r = np.random.default_rng(0);"
        "kb.diff(r.normal(size=(200, 2)), r.normal(size=(200, 2))); assert 'jax' not in sys.modules"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_profiles_add_up_and_compare_with_each_other(tmp_path):
    rng = np.random.default_rng(7)
    a, b, c = (
        pl.DataFrame({"x": rng.normal(shift, 1.0, 2000), "k": rng.choice(list("abc"), 2000)})
        for shift in (0.0, 0.0, 0.3)
    )
    cells = profile(a)
    both, whole = cells + profile(b, like=cells), profile(pl.concat([a, b]), like=cells)
    assert (both.rows, both.names) == (whole.rows, whole.names)
    np.testing.assert_array_equal(both.column("x").counts, whole.column("x").counts)
    save(both, tmp_path / "ref.profile")
    known = load(tmp_path / "ref.profile")
    found = diff(known, profile(c, like=cells))
    assert [d.name for d in found.differing] == ["x"]
    against_rows = diff(whole, c)
    for name in ("x", "k"):
        one, other = (d.column(name).forward for d in (found, against_rows))
        assert one.value == pytest.approx(other.value, abs=1e-3)
    swapped = diff(c, known).column("x")
    assert swapped.reverse.value == pytest.approx(found.column("x").forward.value, abs=1e-3)
    with pytest.raises(InputError, match="is no fit|not a fit|is damaged|this is"):
        load_fit(tmp_path / "ref.profile")
    with pytest.raises(TypeError):
        known + 3


def test_a_profile_holds_no_row(tmp_path):
    rng = np.random.default_rng(6)
    x = rng.normal(size=800)
    mails = [f"user{i % 400}@clinic.example" for i in range(800)]
    city = rng.choice(["A", "B", "rare"], 800, p=[0.5, 0.495, 0.005])
    made = profile(pl.DataFrame({"mail": mails, "city": city, "x": x, "n": np.round(x * 4)}))
    save(made, tmp_path / "p.profile")
    text = (tmp_path / "p.profile").read_text()
    assert not any(word in text for word in ("clinic", "rare"))
    assert not any(repr(float(v)) in text for v in x)
    for name in ("x", "n"):
        column = made.column(name)
        assert column.counts.min(initial=10.0) >= 10.0
        assert min(column.levels.values(), default=10.0) >= 10.0
        assert column.rows == 800


def test_rare_levels_of_a_profile_are_not_new():
    rng = np.random.default_rng(0)
    one, two = (
        pl.DataFrame({"user": rng.zipf(1.3, 20_000) % 50_000}).cast(pl.String) for _ in "ab"
    )
    found = diff(profile(one), two).column("user")
    assert found.finding == "no evidence"
    assert found.forward.interval[1] < 0.05


@pytest.mark.slow
def test_workers_compare_columns_with_the_same_bits(tmp_path):
    paths = []
    for i, shift in enumerate((0.0, 3.0)):
        table = _table(400, i, shift=shift, missing=0.1)
        number = pl.Series("id", np.arange(400) + 1000 * i)
        plain = pl.Series("plain", ["x"] * 400 if i else np.ones(400))
        weight = pl.Series("w", np.random.default_rng(i).exponential(size=400))
        table.with_columns(number, plain, weight).write_parquet(tmp_path / f"{i}.parquet")
        paths.append(tmp_path / f"{i}.parquet")
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as executor:
        for how in ({}, {"weights": "w"}):
            here, there = diff(*paths, **how), diff(*paths, executor=executor, **how)
            assert str(there) == str(here)
            left, right = to_json(here), to_json(there)
            assert {**left, "seconds": 0.0} == {**right, "seconds": 0.0}
            assert here.left_out == there.left_out != ()
        for given, message in ((pl.read_parquet(paths[0]), "give their path"), (profile(paths[0]), "give their path")):  # fmt: skip
            with pytest.raises(InputError, match=message):
                diff(given, paths[1], executor=executor)
        with pytest.raises(InputError, match="in one process"):
            diff(*paths, by="city", executor=executor)


@pytest.mark.slow
def test_what_is_certainly_small_is_no_finding():
    # Shifts of .03 and .5 sd: KL .00045 and .125 nats, both of them far beyond chance.
    rng = np.random.default_rng(8)
    before, after = rng.normal(size=(40_000, 2)), rng.normal([0.03, 0.5], 1.0, (40_000, 2))
    every, some = (diff(before, after, joint=False, ignore_below=limit) for limit in (0.0, 0.01))
    assert {c.name: c.finding for c in every.columns} == {"x0": "differs", "x1": "differs"}
    assert {c.name: c.finding for c in some.columns} == {"x0": "negligible", "x1": "differs"}
    assert (
        diff(before[:, :1], after[:, :1], joint=False, ignore_below=0.01).finding == "no evidence"
    )
    # A gap of a tenth is as small as it looks only where the interval says so.
    few = diff(before[:300], after[:300], joint=False, ignore_below=0.13)
    assert few.column("x1").finding == "differs"
    with pytest.raises(InputError, match="ignore_below=-1"):
        diff(before, after, ignore_below=-1)


def test_the_noise_floor_of_a_profile_with_a_rare_rest():
    # 95 of 100 pairs without a difference: half a chi-square less its mean, of some ten degrees, over rows.
    for seed in range(3):
        rng = np.random.default_rng(seed)
        some, others = (pl.DataFrame({"visits": rng.poisson(3, n)}) for n in (30_000, 8000))
        found = diff(profile(some), others, joint=False).column("visits")
        wanted = (stats.chi2.ppf(0.95, 10) - 10) / 2 * (1 / 30_000 + 1 / 8000)
        assert found.floor == pytest.approx(wanted, rel=0.4)


@pytest.mark.parametrize("values", [1, 3, 40])
def test_a_column_with_hardly_a_value_takes_nothing_down(values):
    def table(seed):
        rng = np.random.default_rng(seed)
        x = rng.normal(size=(300, 3))
        x[values:, 2] = np.nan
        return rng.permutation(x)

    found = diff(table(1), table(2))
    assert found.joint is not None
    assert found.joint.finding == "no evidence"
    moved = table(2)
    moved[:, 0] += 1.0
    assert diff(table(1), moved).joint.finding == "differs"
