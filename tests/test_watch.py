"""watch: day after day against a reference, with one level for all days and columns."""

import io
import math
import zipfile

import numpy as np
import polars as pl
import pytest

import kullback as kb
from kullback.core.errors import InputError
from kullback.results.status import Status
from kullback.testing import assert_same_law
from tests.render.pages import words_of


def _table(rng, n, shift=0.0, *, city=("A", "B", "C"), missing=0.1):
    x = rng.normal(shift, 1.0, n)
    return pl.DataFrame(
        {
            "x": x,
            "n": rng.poisson(3, n),
            "city": rng.choice(list(city), n),
            "m": pl.Series(np.where(rng.random(n) < missing, np.nan, x**2)).fill_nan(None),
        }
    )


def _days(watched, rng, days, n=50, **kwargs):
    for _ in range(days):
        watched = watched.update(_table(rng, n, **kwargs))
    return watched


@pytest.fixture(scope="module")
def reference():
    return _table(np.random.default_rng(0), 2000)


@pytest.fixture(scope="module")
def changed(reference):
    rng = np.random.default_rng(1)
    return _days(_days(kb.watch(reference), rng, 6), rng, 6, shift=0.6)


def test_a_change_is_found_named_and_dated(changed):
    assert changed.alarm
    assert changed.status is Status.FAILED
    x = changed.column("x")
    assert (x.finding, x.change) == ("differs", "higher values")
    assert x.since in ("day 6", "day 7", "day 8")
    assert int(changed.alarm_day.split()[1]) in range(7, 13)
    assert x.divergence.kind == "lower_bound"
    assert 0.02 < x.divergence.value < 0.18  # the truth
    assert changed.column("city").finding == "no evidence"
    assert changed.evidence == pytest.approx(max(c.evidence for c in changed.columns) - math.log(4))
    assert x.shares[0].share_reference != x.shares[0].share_current


def test_an_alarm_stays(changed):
    rng = np.random.default_rng(2)
    later = _days(changed, rng, 60, n=200)
    assert later.alarm_day == changed.alarm_day
    assert later.alarm
    # What it was is told as of the day when the evidence was highest.
    assert later.column("x").since in ("day 6", "day 7", "day 8")


@pytest.mark.parametrize(
    ("kwargs", "column", "change"),
    [
        ({"missing": 0.5}, "m", "more missing"),
        ({"missing": 0.0}, "m", "fewer missing"),
        ({"city": ("A", "B", "C", "D")}, "city", "more new levels or missing"),
        ({"city": ("A", "A", "B")}, "city", None),
    ],
)
def test_other_kinds_of_change(reference, kwargs, column, change):
    watched = _days(kb.watch(reference), np.random.default_rng(3), 10, n=100, **kwargs)
    assert [c.name for c in watched.differing] == [column]
    if change is not None:
        assert watched.column(column).change == change


def test_unit_errors_and_spread(reference):
    rng = np.random.default_rng(4)
    day = _table(rng, 400).with_columns(
        pl.when(pl.int_range(400) < 20).then(pl.col("x") * 1000).otherwise(pl.col("x")).alias("x")
    )
    found = kb.watch(reference).update(day).column("x")
    assert found.finding == "differs"
    assert found.change in ("more missing or above 4", "more values below -4")
    wide = _table(rng, 400).with_columns(pl.col("x") * 1.6)
    assert kb.watch(reference).update(wide).column("x").change == "more spread"


def test_nothing_changes_no_alarm_though_many_more_rows_come_than_the_reference_has():
    alarms = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        watched = _days(kb.watch(_table(rng, 80)), rng, 12, n=300)
        alarms += watched.alarm
    assert alarms <= 3


# One file, one process, one answer.


def test_through_the_file_and_in_one_process_are_the_same_bits(reference, tmp_path):
    path = tmp_path / "state.kb"
    rngs = [np.random.default_rng(5), np.random.default_rng(5)]
    whole = kb.watch(reference)
    kb.save(whole, path)
    for i in range(40):
        whole = whole.update(_table(rngs[0], 20, 0.3 * (i > 30)))
        kb.save(kb.load(path).update(_table(rngs[1], 20, 0.3 * (i > 30))), path)
    again = kb.load(path)
    assert str(again) == str(whole)
    for mine, other in zip(again.columns, whole.columns, strict=True):
        np.testing.assert_array_equal(mine.history, other.history)
        np.testing.assert_array_equal(mine.groups.counts, other.groups.counts)


def test_rows_of_a_day_in_another_order_are_the_same_bits(reference):
    day = _table(np.random.default_rng(6), 100, 0.2)
    one, other = (
        kb.watch(reference).update(d) for d in (day, day.sample(100, shuffle=True, seed=1))
    )
    assert [c.evidence for c in one.columns] == [c.evidence for c in other.columns]


def test_the_state_holds_no_value(tmp_path):
    rng = np.random.default_rng(7)
    x = rng.normal(size=800)
    names = [f"user{i % 400}@clinic.example" for i in range(800)]
    kinds = rng.choice(["common", "rare-diagnosis"], 800, p=[0.995, 0.005])
    table = pl.DataFrame({"x": x, "mail": names, "kind": kinds})
    path = tmp_path / "s.kb"
    day = pl.DataFrame({"x": x[:50] + 0.123456789, "mail": names[:50], "kind": ["new-secret"] * 50})
    kb.save(kb.watch(table).update(day), path)
    with zipfile.ZipFile(path) as archive:
        text = archive.read("content.json").decode()
        arrays = [
            np.load(io.BytesIO(archive.read(n)), allow_pickle=False)
            for n in archive.namelist()
            if n.endswith(".npy")
        ]
    assert "clinic.example" not in text
    assert "rare-diagnosis" not in text
    assert "new-secret" not in text
    kept = np.concatenate([a.ravel().astype(float) for a in arrays])
    assert not np.isin(x, kept).any()
    assert not np.isin(x[:50] + 0.123456789, kept).any()
    assert path.stat().st_size < 10_000


def test_a_damaged_file_is_said_to_be(changed, tmp_path):
    path = tmp_path / "s.kb"
    kb.save(changed, path)
    data, rng = path.read_bytes(), np.random.default_rng(0)
    for _ in range(60):
        bad = bytearray(data)
        bad[rng.integers(len(data))] ^= 1 << rng.integers(8)
        path.write_bytes(bytes(bad))
        try:
            again = kb.load(path)
        except InputError:
            continue
        assert str(again) == str(changed)


# What rows stand for.


def test_rows_that_are_not_exchangeable_are_refused(reference):
    rng = np.random.default_rng(8)
    x = rng.normal(size=(200, 1))
    for said in (
        {"weights": rng.random(200)},
        {"cluster": np.arange(200) // 4},
        {"order": True},
    ):
        with pytest.raises(InputError, match=f"{next(iter(said))}=.*independent"):
            kb.watch(kb.Samples(x, **said))
        with pytest.raises(InputError, match=f"{next(iter(said))}="):
            kb.watch(rng.normal(size=(200, 1))).update(kb.Samples(x, **said))
    with pytest.raises(InputError, match="a profile has none"):
        kb.watch(kb.profile(reference))


def test_frequencies_are_rows():
    rng = np.random.default_rng(9)
    values, often = np.round(rng.normal(size=100), 1), rng.integers(0, 9, 100)
    day = rng.normal(size=(60, 1)).round(1)
    short = kb.watch(kb.Samples(values[:, None], frequencies=often)).update(day)
    long = kb.watch(np.repeat(values, often)[:, None]).update(day)
    assert short.evidence == long.evidence


def test_copied_rows_count_once():
    alarms = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        watched = kb.watch(rng.normal(size=(400, 2)))
        for _ in range(5):
            watched = watched.update(np.repeat(rng.normal(size=(40, 2)), 10, axis=0))
        alarms += watched.alarm
    assert alarms <= 3
    assert any("copied rows" in note for note in watched.notes)


def test_dependent_rows_are_said(reference):
    rng = np.random.default_rng(10)
    walk = np.zeros(1000)
    for i in range(1, 1000):
        walk[i] = 0.9 * walk[i - 1] + rng.normal()
    assert any("order=False" in note for note in kb.watch(walk[:, None]).notes)
    assert kb.watch(kb.Samples(walk[:, None], order=False)).notes == ()


def test_a_column_that_goes_or_changes_its_type_is_an_alarm(reference):
    rng = np.random.default_rng(11)
    gone = kb.watch(reference).update(_table(rng, 50).drop("n"))
    assert gone.alarm
    assert gone.lost == (("n, day 1", "missing in current"),)
    typed = kb.watch(reference).update(
        _table(rng, 50).with_columns(pl.col("n").cast(pl.String) + "x")
    )
    assert typed.lost == (("n, day 1", "numbers in reference, names in current"),)
    with pytest.raises(InputError, match="none of the columns"):
        kb.watch(reference).update(pl.DataFrame({"z": [1.0, 2.0]}))


def test_what_changes_in_any_case_is_left_out(reference):
    dated = reference.with_columns(
        pl.Series("day", np.arange(2000) % 300 + 19_000).cast(pl.Date), id=pl.int_range(2000)
    )
    watched = kb.watch(dated)
    assert dict(watched.left_out).keys() == {"day", "id"}
    assert kb.watch(dated, columns=["day", "x"]).column("day").kind == "dates"
    with pytest.raises(InputError, match="no column 'z'"):
        kb.watch(dated, columns="z")


def test_bad_input(reference):
    with pytest.raises(InputError, match="39 rows are too few"):
        kb.watch(reference[:39])
    with pytest.raises(InputError, match="a day counts once"):
        kb.watch(reference).update(reference[:50], day="a").update(reference[:50], day="a")
    with pytest.raises(InputError, match="name of the day"):
        kb.watch(reference).update(reference[:50], day=3)


def test_days_have_names_of_their_own(reference):
    watched = kb.watch(reference).update(reference[:50], day="day 2").update(reference[:50])
    assert [d.name for d in watched.days] == ["day 2", "day 3"]


def test_declared_kinds_hold_for_every_day():
    rng = np.random.default_rng(12)
    watched = kb.watch(pl.DataFrame({"zip": rng.integers(1, 6, 500)}), kinds={"zip": "category"})
    assert watched.column("zip").kind == "levels"
    assert not watched.update(pl.DataFrame({"zip": rng.integers(1, 6, 50)})).alarm


# How it is shown.


def test_it_is_shown(changed, tmp_path):
    words = words_of(changed.report(tmp_path / "w.html").read_text(encoding="utf-8"))
    for text in ("alarm", "Evidence by day", "all together", "alarm from here on", "higher values"):
        assert text in words
    frame = changed.to_frame()
    assert frame["name"].to_list() == ["x", "n", "city", "m"]
    assert frame["finding"][0] == "differs"


def test_bits_are_shown_and_nats_are_kept(changed):
    from kullback.results.serialise import in_unit, to_json

    bits = in_unit(changed, "bits")
    assert bits.evidence == pytest.approx(changed.evidence / math.log(2.0))
    assert bits.threshold == pytest.approx(math.log2(20.0))
    day = _table(np.random.default_rng(13), 50)
    assert bits.update(day).evidence == pytest.approx(changed.update(day).evidence, rel=1e-12)
    body = to_json(changed)
    assert body["alarm"] is True
    assert len(body["columns"][0]["evidence_by_day"]) == 12
    assert "groups" not in body["columns"][0]


def test_same_law(reference, tmp_path):
    rng = np.random.default_rng(14)
    state = tmp_path / "s.kb"
    assert not assert_same_law(reference, _table(rng, 100)).alarm
    for _ in range(3):
        assert_same_law(reference, _table(rng, 100), state=state)
    assert len(kb.load(state).days) == 3
    with pytest.raises(AssertionError, match="x: higher values"):
        assert_same_law(reference, _table(rng, 100, 1.0), state=state)
    assert len(kb.load(state).days) == 4


@pytest.mark.slow
def test_the_divergence_of_what_alarms_is_at_most_the_true_one():
    """Days are looked at until the alarm, and the change is dated by the same rows: the bound holds all the same."""
    above = alarms = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        watched = kb.watch(rng.normal(size=(2000, 1)), key=seed)
        for day in range(40):
            watched = watched.update(rng.normal(0.3 if day >= 5 else 0.0, 1.0, (30, 1)))
            if watched.alarm:
                break
        alarms += watched.alarm
        bound = watched.columns[0].divergence
        above += bound is not None and bound.value > 0.5 * 0.3**2
    assert alarms > 35
    assert above <= 5
