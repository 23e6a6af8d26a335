"""Fits to tables with labels, counts and empty cells: the page, the report, and the saved model."""

import numpy as np
import pytest

FIT = (
    "fit",
    "table.csv",
    "--direction",
    "forward",
    "--counts",
    "visits",
    "--missing",
    "keep",
    "-q",
)


@pytest.fixture
def table(write):
    rng = np.random.default_rng(0)
    lines = ["height,visits,city"]
    for i in range(200):
        tall = i % 5 < 2
        cells = [
            f"{rng.normal(180 if tall else 150, 5):.2f}",
            str(rng.poisson(2 if tall else 9)),
            "paris" if rng.random() < (0.9 if tall else 0.2) else "rome",
        ]
        lines.append(",".join("" if rng.random() < 0.05 else c for c in cells))
    return write("table.csv", "\n".join(lines) + "\n")


def test_the_page_says_what_the_components_are(run, table, tmp_path):
    ran = run(*FIT, "--family", "mixture:2", "--out", "model.kb")
    assert ran.code == 0
    lines = [line.split() for line in ran.out.splitlines()]
    head = lines.index(["component", "weight", "column", "mean", "sd", "labels"])
    heights = [lines[head + 1 + 3 * k] for k in range(2)]
    rates = [lines[head + 2 + 3 * k] for k in range(2)]
    assert [float(row[1]) for row in heights] == pytest.approx([0.6, 0.4], abs=0.01)
    assert [float(row[3]) for row in heights] == pytest.approx([150, 180], abs=1.5)
    assert [row[0] for row in rates] == ["visits", "visits"]
    assert [float(row[1]) for row in rates] == pytest.approx([9, 2], abs=0.7)
    assert [lines[head + 3 + 3 * k][1] for k in range(2)] == ["rome", "paris"]
    assert "</html>" in (tmp_path / "kullback-fit.html").read_text()
    ran = run("score", "model.kb", "table.csv", "--missing", "keep", "--json")
    assert (ran.code, ran.json["rows"], ran.json["outside"]) == (0, 200, 0)
    ran = run("sample", "model.kb", "-n", "50")
    assert ran.out.splitlines()[0] == "height,visits,city"
    assert {line.split(",")[2] for line in ran.out.splitlines()[1:]} == {"paris", "rome"}


def test_rows_that_all_have_gaps_are_fitted_and_reported(run, write, tmp_path):
    rng = np.random.default_rng(1)
    rows = [
        ("", f"{x:.3f}") if i % 2 else (f"{x:.3f}", "") for i, x in enumerate(rng.normal(size=60))
    ]
    write("table.csv", "\n".join(["a,visits", *(",".join(r) for r in rows)]) + "\n")
    ran = run(
        "fit", "table.csv", "--direction", "forward", "--missing", "keep", "--family", "mixture:1"
    )
    assert ran.code == 0
    assert "</html>" in (tmp_path / "kullback-fit.html").read_text()


@pytest.mark.parametrize("direction", ["forward", "reverse"])
def test_one_gaussian_has_no_place_for_counts(run, table, direction):
    ran = run("fit", "table.csv", "--columns", "height,visits", "--counts", "visits", "--missing",
              "drop", "--family", "full_rank", "--direction", direction)  # fmt: skip
    assert ran.code == 2
    assert "column visits holds counts" in ran.err
    assert "or leave visits out" in ran.err


def test_columns_given_others(run):
    args = ("fit", "faithful.csv", "--family", "full_rank", "--direction", "forward", "--no-report")
    ran = run(*args, "--given", "waiting", "--out", "m.kb")
    assert ran.code == 0
    assert "E_p[log q(eruptions | waiting)]" in " ".join(ran.out.split())
    assert "mutual information" in ran.out
    scored = run("score", "m.kb", "faithful.csv", "--json").json
    answer = run(*args, "--given", "waiting", "--json").json
    assert scored["mean"]["value"] == pytest.approx(-answer["divergence"]["value"])
    assert answer["conditional"]["given"] == ["waiting"]
    refused = run(*args[:3], "gamma", *args[4:], "--columns", "waiting", "--given", "waiting")
    assert refused.code == 2
    assert "leave given out" in refused.err


def test_a_fit_that_keeps_nothing_on_the_way_is_written_all_the_same(run):
    args = ("fit", "faithful.csv", "--columns", "waiting", "--family", "gamma")
    args += ("--direction", "forward", "--no-report", "--out", "m.kb")
    assert run(*args).code == 0
    refused = run(*args, "--checkpoint", "kept")
    assert refused.code == 2
    assert "leave checkpoint out" in refused.err
