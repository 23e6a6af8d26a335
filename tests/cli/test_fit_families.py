"""`kullback fit` with families that are not mixtures, and with several."""

import pytest

FIT = ("fit", "faithful.csv", "--direction", "forward", "--no-report")


def test_several_families_are_a_table(run):
    ran = run(*FIT, "--columns", "eruptions", "--family", "normal,gamma,kde,beta")
    assert ran.code == 0
    assert "chosen from 3 candidate(s)" in ran.out
    rows = [line.split() for line in ran.out.splitlines()]
    assert any(row[:2] == ["normal", "2"] for row in rows)
    assert "left out: beta: column eruptions: the value 3.6 at row 0" in ran.out
    assert "by the greatest mean log score" in ran.out


def test_the_best_family_in_json_and_in_bits(run):
    body = run(*FIT, "--columns", "waiting", "--family", "best", "--json", "--units", "bits").json
    chosen = body["selection"]["candidates"][body["selection"]["chosen"]]
    assert chosen["family"] == body["family"] == "negative_binomial"
    assert chosen["held_out"]["unit"] == "bits"
    assert chosen["held_out"]["value"] == pytest.approx(body["held_out"]["value"])


def test_a_kernel_density_of_two_columns(run):
    out = run(*FIT, "--family", "kde").out
    assert "q = kernel_density(272 points of 2 column(s), bandwidth=" in out


def test_categories_of_a_file(run, write):
    path = write("pets.csv", "pet\n" + "cat\n" * 6 + "dog\n" * 3 + "fish\n")
    ran = run("fit", path, "--family", "categorical", "--direction", "forward", "--no-report")
    assert ran.code == 0
    assert "q = categorical([0.565217, 0.304348, 0.130435])" in ran.out


def test_a_value_outside_the_support_is_named(run, write):
    path = write("x.csv", "income\n3\n-4\n5\n")
    ran = run("fit", path, "--family", "gamma", "--direction", "forward", "--no-report")
    assert ran.code == 2
    assert "column income: the value -4 at row 1 is outside the support of gamma" in ran.err
