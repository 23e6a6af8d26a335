"""The kind of a column: decided once, declared in Python and on the command line, and what every verb uses."""

import numpy as np
import polars as pl
import pytest

import kullback as kb
from kullback.inputs import read_samples, scan
from kullback.tables.files import open_table
from kullback.tables.frames import of_object
from kullback.tables.kinds import Column, is_lattice

RNG = np.random.default_rng(0)
DAY = pl.Series([19_000, 19_001, 19_002]).cast(pl.Date)
#: Values of a column, and the kind they are of.
KINDS = {
    "continuous": [0.5, 1.0, None],
    "integer": [1.0, 2.0, None],
    "category": ["a", "b", "a"],
    "date": DAY,
    "constant": [3, 3, None],
    "empty": pl.Series([None, None, None], dtype=pl.Float64),
    "identifier": [f"id{i}" for i in range(30)],
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_kind_is_decided_by_the_values(kind):
    assert of_object(pl.DataFrame({"x": KINDS[kind]}), "t").read("x").kind == kind


@pytest.mark.parametrize(
    ("values", "kind", "message"),
    [
        ([0.5, 1.0], "count", "0.5 on row 1 is not a count"),
        ([1.0, -1.0], "count", "-1 on row 2 is not a count"),
        ([1.0, 0.5], "integer", "0.5 on row 2 is not a whole number"),
        (["a", "b"], "continuous", "is String, so it cannot be 'continuous'"),
        (DAY, "category", "holds dates, so it cannot be 'category'"),
        ([1.0, 2.0], "date", "is not declared 'date'; choose from continuous, integer"),
        ([1.0, 2.0], "words", "choose from continuous, integer, count"),
    ],
)
def test_what_is_declared_is_checked(values, kind, message):
    with pytest.raises(kb.InputError, match=message):
        of_object(pl.DataFrame({"x": values}), "t").declared({"x": kind}).read("x")


def test_numbers_that_were_written_as_text_can_be_declared():
    column = of_object(pl.DataFrame({"x": ["1", "2.5", None]}), "t").declared({"x": "continuous"})
    np.testing.assert_array_equal(column.read("x").values, [1.0, 2.5, np.nan])


def test_digits_with_leading_zeros_are_codes(tmp_path):
    place = tmp_path / "a.csv"
    place.write_text("zip,x\n02134,1\n10115,2\n02134,3\n")
    column = open_table(place).read("zip")
    assert (column.kind, column.labels) == ("code", ("02134", "10115"))
    assert read_samples(place).labels == (("02134", "10115"), ())
    numbers = read_samples(place, kinds={"zip": "integer"})
    assert numbers.values[:, 0].tolist() == [2134, 10115, 2134]
    # The other table need not have one that begins with 0.
    other = tmp_path / "b.csv"
    other.write_text("zip,x\n10115,1\n94040,2\n10115,3\n")
    assert kb.diff(str(place), str(other), joint=False).column("zip").kind == "levels"


def test_a_declared_kind_is_what_every_verb_uses(tmp_path):
    frame = pl.DataFrame({"zip": RNG.choice([7, 8, 9], 400), "x": RNG.normal(size=400)})
    frame.write_parquet(tmp_path / "a.parquet")
    kinds = {"zip": "category"}
    samples = kb.Samples(frame, kinds=kinds)
    assert (samples.kinds, samples.labels) == (("category", "continuous"), (("7", "8", "9"), ()))
    stream = scan(tmp_path / "a.parquet", kinds=kinds)
    assert (stream.kinds, stream.labels) == (samples.kinds, samples.labels)
    np.testing.assert_array_equal(np.concatenate([v for v, _ in stream.read()]), samples.values)
    found = kb.diff(frame, frame, kinds=kinds, joint=False).column("zip")
    assert (found.kind, found.medians) == ("levels", None)
    assert kb.profile(frame, kinds=kinds).column("zip").levels.keys() == {"7", "8", "9"}
    model = kb.fit(samples, "mixture:1", direction="forward")
    assert kb.score(model, frame).outside == 0
    left_out = kb.diff(frame, frame, kinds={"zip": "identifier"}, joint=False)
    assert dict(left_out.left_out)["zip"].startswith("an identifier")
    assert kb.profile(frame, kinds={"zip": "identifier"}).names == ("x",)
    for verb in (lambda k: kb.diff(frame, frame, kinds=k), lambda k: kb.profile(frame, kinds=k)):
        with pytest.raises(kb.InputError, match="kinds: there is no column 'nope'"):
            verb({"nope": "count"})
        with pytest.raises(kb.InputError, match="is not a count"):
            verb({"x": "count"})


@pytest.mark.parametrize(
    ("values", "lattice"),
    [
        (np.repeat([1.0, 2.0, 3.0], 20), True),
        (np.repeat(np.arange(12.0), 5), True),
        (np.repeat(np.arange(13.0), 5), False),
        (np.arange(12.0), False),
        (np.repeat([0.5, 1.0], 20), False),
        (np.ones(50), False),
        (np.append(np.repeat([0.0, 1.0], 20), np.nan), True),
    ],
)
def test_few_whole_numbers_that_repeat_are_a_lattice(values, lattice):
    assert is_lattice(values) is lattice


def _ratings():
    return np.column_stack([RNG.integers(1, 6, 600), np.exp(RNG.normal(3.0, 0.6, 600))])


def test_ratings_are_categories_to_a_mixture():
    rows = kb.Samples(_ratings(), columns=("rating", "price"))
    assert rows.kinds == ("integer", "continuous")
    found = kb.fit(rows, "mixture:2", direction="forward")
    assert found.labels == (("1", "2", "3", "4", "5"), ())
    assert any("rating: a few whole numbers" in note for note in found.notes)
    assert found.status.value == "done"
    assert kb.score(found, rows).outside == 0
    with pytest.raises(
        kb.InputError, match='column x0 holds a few whole numbers.*family="categorical"'
    ):
        kb.fit(kb.Samples(_ratings()[:, 0]), "mixture:2", direction="forward")
    with pytest.raises(kb.InputError, match="few whole numbers.*spikes"):
        kb.fit(rows, "mixture:2", direction="reverse")


@pytest.mark.slow
def test_a_component_narrower_than_the_step_is_not_to_be_trusted():
    kinds = ("integer", "continuous")
    wide = kb.Samples(
        np.column_stack([np.repeat(np.arange(20.0), 30), RNG.normal(size=600)]), kinds=kinds
    )
    assert kb.fit(wide, "mixture:2", direction="forward").status.value == "done"
    two = np.column_stack([RNG.choice([*range(14), *[40] * 14], 600), RNG.normal(size=600)])
    spiked = kb.fit(kb.Samples(two.astype(float)), "mixture:2", direction="forward")
    assert spiked.likelihood.spikes == ("x0",)
    assert spiked.status.value == "untrusted"
    assert spiked.notes[0].startswith("not to be used: a component is narrower than the step")
    free = kb.Samples(two.astype(float), kinds=("continuous", "continuous"))
    assert kb.fit(free, "mixture:2", direction="forward").likelihood.spikes == ()


def test_columns_keep_what_was_declared():
    column = Column("numbers", np.array([1.0, 2.0, 3.0]), declared="count")
    assert column.take(np.array([0, 2])).kind == "count"
