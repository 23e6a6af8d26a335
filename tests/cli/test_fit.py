import pytest

FAITHFUL = ("fit", "faithful.csv", "--family", "mixture:2", "--direction", "forward")


def test_old_faithful(run, tmp_path):
    ran = run(*FAITHFUL, "--starts", "3")
    assert ran.code == 0
    assert "272 rows of eruptions, waiting" in ran.out
    assert "minimised       H(p,q) = 4.155" in ran.out
    assert "rows held out   E_p[log q] = -4." in ran.out
    assert "±" in ran.out
    assert ran.out.endswith("report: ./kullback-fit.html\n")
    assert "<html" in (tmp_path / "kullback-fit.html").read_text()


def test_the_components_are_a_table_with_errors(run):
    out = run(*FAITHFUL, "--starts", "3", "--no-report").out
    rows = [" ".join(line.split()) for line in out.splitlines()]
    assert "component weight column mean sd" in rows
    first = next(row for row in rows if row.startswith("1 0.35"))
    assert "eruptions 2.036 ± 0.0" in first
    assert any(row.startswith("waiting 79.97 ± 0.") for row in rows)


def test_the_search_and_the_fit_are_judged(run):
    out = run(*FAITHFUL, "--starts", "3", "--no-report").out
    rows = [" ".join(line.split()) for line in out.splitlines()]
    assert "restarts that reached the best optimum 100 % 3 starts" in rows
    assert any(row.startswith("estimated remaining gain") for row in rows)
    assert "No marginal rejects q (p = " in out
    assert "E_q[log q] - E_p[log q] =" in out
    assert "of the same q   KL(p||q) = 0." in out


def test_json_has_what_is_known_of_the_maximum(run):
    args = ("--json", "--no-report", "--units", "bits")
    body = run(*FAITHFUL, "--starts", "2", *args).json
    likelihood = body["likelihood"]
    assert likelihood["parameters"] == 11
    assert likelihood["gap"]["unit"] == body["forward_kl"]["unit"] == "bits"
    assert [g["column"] for g in likelihood["goodness"]] == ["eruptions", "waiting"]
    assert body["selection"] is None


def test_json_has_the_fit(run, tmp_path):
    body = run(*FAITHFUL, "--starts", "2", "--json", "--no-report").json
    assert (body["schema"], body["command"], body["direction"]) == (2, "fit", "forward")
    assert body["divergence"]["quantity"] == "cross_entropy"
    assert body["held_out"]["value"] == pytest.approx(-4.2, abs=0.1)
    assert body["q"].startswith("0.35")
    assert body["report"] is None
    assert list(tmp_path.iterdir()) == []


def test_columns_are_chosen_by_name(run):
    args = ("fit", "faithful.csv", "--family", "full_rank", "--direction", "forward", "--no-report")
    out = run(*args, "--columns", "waiting").out
    assert "272 rows of waiting" in out
    assert "q = normal(70.8971, sd=13.5" in out


def test_the_density_of_an_expression(run):
    args = ("fit", "uniform(0, 1)", "--family", "full_rank", "--direction", "forward")
    ran = run(*args, "--no-report")
    assert ran.code == 0
    assert "q = normal(0.5, sd=0.288675)" in ran.out
    assert "minimised       KL(p||q) = 0.176485" in ran.out
    assert "of the same q   KL(q||p) = infinite" in ran.out


def test_units_reach_all_estimates(run):
    args = ("fit", "uniform(0, 1)", "--family", "full_rank", "--direction", "forward")
    body = run(*args, "--no-report", "--json", "--units", "bits").json
    units = {body[k]["unit"] for k in ("divergence", "forward_kl", "reverse_kl")}
    assert units | {o["divergence"]["unit"] for o in body["optima"]} == {"bits"}


def test_a_missing_direction_is_explained(run, tmp_path):
    ran = run("fit", "faithful.csv", "--family", "mixture:2")
    assert ran.code == 2
    assert ran.out == ""
    assert "--direction forward to minimise KL(p||q): q covers" in ran.err
    assert "--direction reverse to minimise KL(q||p): q seeks" in ran.err
    assert list(tmp_path.iterdir()) == []
