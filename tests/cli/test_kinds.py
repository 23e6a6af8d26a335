"""--kind NAME=KIND: of fit, diff, profile; messages say it as it is typed."""

import numpy as np
import pytest


@pytest.fixture
def shop(write):
    rng = np.random.default_rng(8)
    rows = zip(rng.integers(1, 6, 400), np.exp(rng.normal(3.0, 0.6, 400)), strict=True)
    return write("shop.csv", "rating,price\n" + "\n".join(f"{r},{p:.4f}" for r, p in rows) + "\n")


FIT = ("--family", "mixture:2", "--direction", "forward", "--no-report", "-q")


def test_a_rating_is_no_continuous_column_unless_it_is_said(run, shop):
    ran = run("fit", shop, *FIT)
    assert ran.code == 0
    assert "--kind ...=continuous" in " ".join(ran.out.split())
    ran = run("fit", shop, "--columns", "rating", *FIT)
    assert ran.code == 2
    assert "say --kind rating=continuous" in ran.err
    assert "--family categorical" in ran.err
    assert run("fit", shop, "--kind", "rating=count", *FIT).code == 0


def test_kinds_of_diff_and_profile(run, shop, tmp_path):
    ran = run("diff", shop, shop, "--kind", "rating=category", "--no-joint", "--json")
    assert {c["name"]: c["kind"] for c in ran.json["columns"]} == {
        "rating": "levels",
        "price": "numbers",
    }
    ran = run("profile", shop, "--kind", "rating=category", "-o", "p.profile", "--json")
    assert [c["kind"] for c in ran.json["columns"]] == ["levels", "numbers"]


@pytest.mark.parametrize(
    ("kind", "words"),
    [("rating", "write NAME=VALUE"), ("nope=count", "no column 'nope'"), ("price=count", "is not a count"), ("price=words", "choose from")],
)  # fmt: skip
def test_kinds_that_are_none(run, shop, kind, words):
    for command in (("fit", shop, *FIT), ("diff", shop, shop, "--no-joint")):
        ran = run(*command, "--kind", kind)
        assert ran.code == 2
        assert words in ran.err
