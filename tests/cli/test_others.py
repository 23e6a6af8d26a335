"""verify, plan, explain, doctor."""

import pytest

SHARP, WIDE = "normal(0, sd=2)", "normal(0, sd=3)"

CLAIMS = """
title = "two claims"
source = "nowhere"
[[claim]]
what = "right"
quantity = "kl"
p = "normal(0, sd=2)"
q = "normal(0, sd=3)"
value = "0.1277"
[[claim]]
what = "wrong"
quantity = "kl"
p = "normal(0, sd=2)"
q = "normal(0, sd=3)"
value = "{wrong}"
"""


def test_verify_fails_on_a_refuted_claim(run, write):
    claims = write("claims.toml", CLAIMS.format(wrong="0.5"))
    ran = run("verify", claims)
    assert ran.code == 1
    rows = [line.split() for line in ran.out.splitlines()]
    assert any(row[:1] == ["right"] and row[-1] == "confirmed" for row in rows)
    assert any(row[:1] == ["wrong"] and row[-1] == "refuted" for row in rows)
    assert "1 confirmed, 1 refuted, 0 cannot tell" in ran.out
    body = run("verify", claims, "--json").json
    assert (body["schema"], body["command"], body["passes"]) == (2, "verify", False)


def test_verify_passes_where_nothing_is_refuted(run, write):
    ran = run("verify", write("claims.toml", CLAIMS.format(wrong="0.12769")))
    assert ran.code == 0
    assert "2 confirmed" in ran.out


def test_verify_shows_both_readings_of_a_bundled_example(run):
    out = " ".join(run("verify", "two-gaussians").out.split())
    assert "0.127687 nats" in out
    assert "0.0360659 nats" in out
    assert "0.0360659 nats KL(p||q)" in out


def test_verify_lists_the_examples(run):
    assert run("verify", "--list").out.split() == ["f-gan", "three-modes", "two-gaussians"]
    assert "f-gan" in run("verify", "--list", "--json").json["examples"]


def test_verify_writes_a_report(run, write, tmp_path):
    claims = write("claims.toml", CLAIMS.format(wrong="0.5"))
    ran = run("verify", claims, "--report", "claims.html")
    assert ran.code == 1
    assert "report: ./claims.html" in ran.out
    assert "<html" in (tmp_path / "claims.html").read_text()


def test_plan_marks_the_chosen_methods(run):
    ran = run("plan", "normal(0, sd=1)", "uniform(0, 1)")
    assert ran.code == 0
    rows = [line.split() for line in ran.out.splitlines()]
    assert any(row[:2] == ["forward", "support"] for row in rows)
    assert any(row[:3] == ["reverse", "closed", "form"] for row in rows)
    assert "…" not in ran.out
    body = run("plan", SHARP, WIDE, "--json").json
    assert (body["schema"], body["command"]) == (2, "plan")
    assert body["forward"]["method"] == "closed form"


def test_explain_adds_up(run):
    ran = run("explain", SHARP, "laplace(0, scale=3)")
    assert ran.code == 0
    assert "total             KL(p||q) =" in ran.out
    body = run("explain", SHARP, "laplace(0, scale=3)", "--json", "--units", "bits").json
    parts = [r["contribution"]["value"] for r in body["regions"]]
    assert sum(parts) == pytest.approx(body["total"]["value"], rel=1e-9)
    assert {r["contribution"]["unit"] for r in body["regions"]} == {"bits"}
    assert min(parts) < 0.0


def test_explain_says_what_it_does_not_know(run):
    mixed = "0.5*mvnormal([0, 0], sd=[1, 1]) + 0.5*mvnormal([3, 3], sd=[1, 1])"
    args = ("explain", mixed, "mvnormal([0, 0], sd=[2, 2])")
    ran = run(*args)
    assert ran.code == 0
    assert "nan" not in ran.out
    assert [r["mass_q"] for r in run(*args, "--json").json["regions"]] == [None, None]


@pytest.mark.parametrize("topic", ["direction", "negative KL", "k1", "k2", "k3", "beta"])
def test_explain_a_topic(run, topic):
    ran = run("explain", topic)
    assert ran.code == 0
    assert "KL(" in ran.out
    assert run("explain", topic, "--json").json["topic"] == topic


def test_a_topic_has_other_names(run):
    for other, topic in (
        ("negative", "negative KL"),
        ("NEGATIVE kl", "negative KL"),
        ("batchmean", "sum or mean"),
    ):
        assert run("explain", other, "--json").json["topic"] == topic


def test_doctor_finds_this_installation_right(run):
    ran = run("doctor")
    assert ran.code == 0
    assert "numpy 2" in ran.out
    assert "WRONG" not in ran.out
    body = run("doctor", "--json").json
    assert (body["schema"], body["command"], body["passes"]) == (2, "doctor", True)
    assert len(body["checks"]) >= 12
    assert set(body["versions"]) >= {"python", "kullback", "numpy", "scipy"}


def test_doctor_fails_on_a_wrong_value(run, monkeypatch):
    from dataclasses import replace

    from kullback.api import demo

    first, *rest = demo.doctor()
    monkeypatch.setattr(demo, "doctor", lambda: (replace(first, passed=False), *rest))
    ran = run("doctor")
    assert ran.code == 1
    assert "WRONG" in ran.out


def test_plan_of_a_fit_names_the_route_of_each_direction(run):
    ran = run("plan", "faithful.csv", "--family", "mixture:2")
    assert ran.code == 0
    rows = [line.split() for line in ran.out.splitlines()]
    assert ["method", "em", "plug_in"] in rows
    assert any(row[:2] == ["forward", "em"] for row in rows)
    body = run("plan", "faithful.csv", "--family", "mixture:2", "--json").json
    assert (body["forward"]["method"], body["reverse"]["method"]) == ("em", "plug_in")
    assert body["family"].startswith("Mixture(k=2")
    assert "q" not in body


def test_plan_of_a_fit_that_cannot_be(run):
    ran = run("plan", SHARP, "--family", "kde", "--json")
    assert ran.code == 3
    assert {ran.json[side]["status"] for side in ("forward", "reverse")} == {"refused"}


@pytest.mark.parametrize("args", [[SHARP], [SHARP, WIDE, "--family", "gamma"]])
def test_plan_takes_q_or_a_family(run, args):
    ran = run("plan", *args)
    assert (ran.code, ran.out) == (2, "")
    assert "one of them" in ran.err


def test_a_plan_reads_the_columns_that_are_named(run):
    args = ("plan", "faithful.csv", "--family", "gamma", "--columns", "waiting")
    assert run(*args).code == 0


def test_explore_writes_a_page(run, tmp_path):
    ran = run("explore", SHARP, WIDE, "--units", "bits")
    assert ran.code == 0
    assert "page: ./kullback-explore.html" in ran.out
    text = (tmp_path / "kullback-explore.html").read_text()
    assert '"q": "normal(0, sd=3)"' in text
    assert '"unit": "bits"' in text
    assert run("explore", SHARP, "--json", "--out", "b.html").json["page"] == "b.html"
    refused = run("explore", "gamma(2, rate=1)")
    assert refused.code == 2
    assert "the page has mixtures" in refused.err


@pytest.mark.slow
def test_explore_takes_the_file_of_a_fit(run, write, tmp_path):
    write("a.csv", "x\n" + "\n".join(f"{i % 7}.{i}" for i in range(60)) + "\n")
    assert (
        run(
            "fit",
            "a.csv",
            "--family",
            "full_rank",
            "--direction",
            "forward",
            "--out",
            "f.kb",
            "--no-report",
        ).code
        == 0
    )
    ran = run("explore", SHARP, "f.kb", "--json")
    assert ran.json["q"].startswith("normal(3.")
