"""kullback judge P Q: the verdict first, all numbers as JSON, the exit code."""

import re

import numpy as np
import pytest

from kullback.api.fit import fit
from kullback.api.store import save

P = "0.5*normal(-5, sd=1) + 0.5*normal(5, sd=1)"


def test_draws_of_one_mode(run, tmp_path):
    np.save(tmp_path / "draws.npy", np.random.default_rng(0).normal(-5.0, 1.0, (2, 500, 1)))
    ran = run("judge", P, "draws.npy", "--report", "page.html")
    assert ran.code == 3
    first = ran.out.splitlines()[0]
    share = re.match(r"do not use: misses mass: ([\d.]+) ± ([\d.]+) %", first)
    assert abs(float(share[1]) - 50.0) < 4.0 * float(share[2]) + 0.1
    assert "q: 1,000 draws in 2 chains, worth" in ran.out
    assert "start chains where p has mass too" in ran.out
    page = (tmp_path / "page.html").read_text("utf-8")
    assert "How far the draws are from p" in page
    assert "Log evidence, each way" in page


def test_json_and_units(run, tmp_path):
    rows = np.random.default_rng(1).normal(size=(400, 1)).cumsum(axis=1)
    table = "time,chain,x\n" + "\n".join(f"{i},a,{x}" for i, (x,) in enumerate(rows))
    (tmp_path / "draws.csv").write_text(table)
    asked = ("judge", "normal(0, sd=1)", "draws.csv", "--order", "time", "--cluster", "chain")
    nats, bits = (run(*asked, "--json", *unit).json for unit in ((), ("--units", "bits")))
    assert nats["command"] == "judge"
    assert nats["verdict"] == "trust"
    assert nats["judged"]["draws"] == 400
    assert nats["by_draws"]["direction"] == "log evidence by the draws"
    ratio = nats["log_evidence"]["value"] / bits["log_evidence"]["value"]
    assert ratio == pytest.approx(np.log(2.0))


def test_a_saved_fit_and_an_expression(run, tmp_path):
    save(fit("normal(1, sd=2)", "normal", direction="forward"), tmp_path / "fit.kb")
    for q in ("fit.kb", "normal(1, sd=2)"):
        ran = run("judge", "normal(0, sd=2)", q, "--json")
        found = ran.json
        assert found["judged"] is found["by_draws"] is None
        kl = found["reverse_kl"]
        assert abs(kl["value"] - 0.125) < 4.0 * kl["standard_error"] + 1e-9


def test_what_cannot_be_judged(run, tmp_path):
    np.save(tmp_path / "draws.npy", np.zeros((50, 3)))
    for q, words in (
        ("draws.npy", "draws have shape (50, 3), and p has 1 numbers"),
        ("model.py:q", "q is a file of draws, a saved fit (.kb) or an expression"),
        ("none.nc", "there is no such file"),
    ):
        ran = run("judge", "normal(0, sd=1)", q)
        assert ran.code == 2
        assert words in ran.err
    ran = run("judge", "normal(0, sd=1)", "draws.npy", "--order", "time")
    assert ran.code == 2
    assert "draws.npy has no columns by name" in ran.err
