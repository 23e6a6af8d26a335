import math

import numpy as np
import pytest

SHARP, WIDE = "normal(0, sd=2)", "normal(0, sd=3)"
FORWARD = math.log(1.5) + 2.0 / 9.0 - 0.5
REVERSE = -math.log(1.5) + 9.0 / 8.0 - 0.5


def test_both_directions_are_printed_side_by_side_in_nats_and_bits(run):
    ran = run("kl", SHARP, WIDE)
    assert ran.code == 0
    assert ran.err == ""
    assert "forward   KL(p||q) = 0.127687 nats (exact, closed form)" in ran.out
    assert "reverse   KL(q||p) = 0.219535 nats (exact, closed form)" in ran.out
    rows = {line[:19].strip(): line[19:].split() for line in ran.out.splitlines()}
    assert rows["in nats"] == ["0.127687", "0.219535"]
    assert rows["in bits"] == ["0.184214", "0.316722"]
    assert rows["mean of log-ratio"] == ["under", "p", "under", "q"]


def test_json_has_the_schema_and_the_values(run):
    ran = run("kl", SHARP, WIDE, "--json")
    body = ran.json
    assert (body["schema"], body["command"]) == (2, "kl")
    assert (body["p"], body["q"]) == (SHARP, WIDE)
    for side, value, direction in (
        ("forward", FORWARD, "KL(p||q)"),
        ("reverse", REVERSE, "KL(q||p)"),
    ):
        found = body[side]
        assert found["value"] == pytest.approx(value, rel=1e-12)
        assert found["direction"] == direction
        assert found["unit"] == "nats"


def test_the_split_is_the_divergence(run):
    body = run("kl", "laplace(1, scale=2)", WIDE, "--json").json
    for side in ("forward", "reverse"):
        found = body[side]
        split = found["split"]
        difference = split["cross_entropy"]["value"] - split["entropy"]["value"]
        assert difference == pytest.approx(found["value"], rel=1e-9)
    assert body["reverse"]["split"]["cross_entropy"]["direction"] == "H(q,p)"
    assert body["reverse"]["split"]["entropy"]["direction"] == "H(q)"


def test_units_change_every_estimate(run):
    body = run("kl", SHARP, WIDE, "--json", "--units", "bits").json
    assert body["forward"]["unit"] == "bits"
    assert body["forward"]["value"] == pytest.approx(FORWARD / math.log(2.0))
    assert body["forward"]["split"]["entropy"]["unit"] == "bits"
    assert "0.184214 bits" in run("kl", SHARP, WIDE, "--units", "bits").out


def test_an_infinite_value_is_null_with_its_reason(run):
    ran = run("kl", "normal(0, sd=1)", "uniform(0, 1)", "--json")
    assert ran.code == 0
    forward = ran.json["forward"]
    assert forward["value"] is None
    assert forward["reason"].startswith("support: q is 0 on")


def test_the_reverse_reason_names_p_and_q_as_given(run):
    """p is the uniform one: it is p, not q, that is 0 where the other has mass."""
    reason = run("kl", "uniform(0, 1)", "normal(0, sd=1)", "--json").json["reverse"]["reason"]
    assert reason.startswith("support: p is 0 on x < 0 where q has mass 0.5")


@pytest.mark.parametrize(
    ("limit", "code"), [("0.2", 0), ("0.13", 0), ("0.12", 1), ("0", 1), ("inf", 0)]
)
def test_max_kl_is_a_gate(run, limit, code):
    ran = run("kl", SHARP, WIDE, "--max-kl", limit)
    assert ran.code == code
    assert ran.out.startswith("gate passed: " if code == 0 else "gate failed: ")
    body = run("kl", SHARP, WIDE, "--max-kl", limit, "--json").json
    assert body["gate"]["passes"] == (code == 0)


def test_max_kl_is_in_the_unit_that_is_printed(run):
    assert run("kl", SHARP, WIDE, "--max-kl", "0.15").code == 0
    assert run("kl", SHARP, WIDE, "--max-kl", "0.15", "--units", "bits").code == 1


def test_max_kl_judges_the_upper_end_of_the_interval(run):
    args = ("kl", SHARP, WIDE, "--method", "monte-carlo", "--tolerance", "0.01")
    forward = run(*args, "--json").json["forward"]
    low, high = forward["interval"]
    assert forward["kind"] == "estimate"
    assert run(*args, "--max-kl", str(0.5 * (forward["value"] + high))).code == 1
    assert run(*args, "--max-kl", str(high + 1e-9)).code == 0
    assert run(*args, "--max-kl", str(low)).code == 1


def test_max_kl_fails_where_the_kl_is_infinite(run):
    assert run("kl", "cauchy(0, scale=1)", WIDE, "--max-kl", "1e300").code == 1


def test_an_unresolved_answer_has_its_own_exit_code(run):
    args = ("kl", "cauchy(0, scale=1)", WIDE, "--method", "monte-carlo", "--n", "512")
    ran = run(*args)
    assert "unresolved" in ran.out
    assert ran.code == 3
    assert run(*args, "--max-kl", "1").code == 3


def test_the_same_key_gives_the_same_number(run):
    mixed = "0.5*mvnormal([0, 0], sd=[1, 1]) + 0.5*mvnormal([3, 0], sd=[1, 1])"
    args = ("kl", mixed, "mvnormal([1, 0], sd=[2, 1])", "--n", "2048", "--json")
    first, again, other = (run(*args, "--key", key).json for key in ("1", "1", "2"))
    assert first["forward"] == again["forward"]
    assert first["forward"]["value"] != other["forward"]["value"]


def test_one_column_of_a_file_is_a_probability_vector(run, write):
    half = write("half.csv", "p\n0.5\n0.5\n")
    np.save("nine.npy", np.array([0.9, 0.1]))
    body = run("kl", half, "nine.npy", "--json").json
    assert body["forward"]["value"] == pytest.approx(0.5 * math.log(25.0 / 9.0))


def test_weights_are_divided_by_their_sum_only_when_asked(run, write):
    half, weights = write("half.csv", "p\n0.5\n0.5\n"), write("w.csv", "w\n9\n1\n")
    ran = run("kl", half, weights)
    assert ran.code == 2
    assert "--normalize" in ran.err
    body = run("kl", half, weights, "--normalize", "--json").json
    assert body["forward"]["value"] == pytest.approx(0.5 * math.log(25.0 / 9.0))


def test_dx_makes_files_densities_on_a_grid(run):
    x = np.arange(-30.0, 30.0, 0.01)
    for name, sd in (("p.npy", 2.0), ("q.npy", 3.0)):
        np.save(name, np.exp(-0.5 * (x / sd) ** 2) / (sd * math.sqrt(2.0 * math.pi)))
    body = run("kl", "p.npy", "q.npy", "--dx", "0.01", "--json").json
    assert body["forward"]["value"] == pytest.approx(FORWARD, rel=1e-4)


def test_a_symmetric_divergence_is_printed_once(run):
    ran = run("kl", SHARP, WIDE, "--kind", "total-variation")
    assert ran.out.count("TV(p,q) =") == 1
    assert "note: half the integral of |p - q|" in ran.out
    assert "reverse" not in run("kl", SHARP, WIDE, "--kind", "jeffreys", "--json").json


def test_another_divergence_has_both_orders(run):
    body = run("kl", SHARP, WIDE, "--kind", "pearson_chi2", "--json").json
    assert body["forward"]["direction"] == "chi2(p||q)"
    assert body["reverse"]["direction"] == "chi2(q||p)"
    assert body["reverse"]["value"] is None


def test_a_negative_alpha_can_be_typed(run):
    ran = run("kl", SHARP, SHARP, "--kind", "alpha", "--alpha", "-1", "--json")
    assert ran.code == 0
    assert ran.json["forward"]["value"] == pytest.approx(0.0, abs=1e-12)


def test_a_direction_without_a_method_does_not_hide_the_other(run):
    args = ("kl", "student_t(3, 0, scale=1)", "normal(0, sd=1)", "--method", "closed form")
    ran = run(*args)
    assert ran.code == 0
    assert "forward   KL(p||q) = 0.645461 nats" in ran.out
    assert "reverse   not computed: KL(q||p)" in ran.out
    body = run(*args, "--json").json
    assert body["reverse"] is None
    assert "KL(q||p)" in body["reverse_reason"]


def test_a_report_is_written_and_named(run, tmp_path):
    ran = run("kl", SHARP, WIDE, "--report", "kl.html")
    assert ran.code == 0
    assert ran.out.endswith("report: ./kl.html\n")
    assert "<html" in (tmp_path / "kl.html").read_text()


def test_the_gate_is_the_status_of_the_answer(run):
    for limit, status in (("1", "done"), ("0.1", "failed")):
        assert run("kl", SHARP, WIDE, "--max-kl", limit, "--json").json["status"] == status
    args = ("cauchy(0, scale=1)", WIDE, "--method", "monte-carlo", "--n", "2000", "--max-kl", "1")
    ran = run("kl", *args)
    assert ran.code == 3
    assert ran.out.startswith("inconclusive: KL(p||q) is unresolved")
    assert run("kl", *args, "--json").json["status"] == "unresolved"
