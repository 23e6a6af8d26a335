"""kullback calibrate FILE.py:NAME: the verdict first, all numbers as JSON, the exit code."""

import pytest

pytest.importorskip("jax")

MODEL = """
import numpy as np
import jax.numpy as jnp
from kullback import LogDensity

def prior_draws(rng):
    mean = rng.normal(size=2)
    return mean, rng.normal(mean.sum(), 0.5)

def log_posterior(mean, y):
    return -0.5 * jnp.sum(mean**2) - 0.5 * ((y - jnp.sum(mean)) / 0.5) ** 2

def make_target(y):
    return LogDensity(log_posterior, np.zeros(2), data=y)

def exact(y, rng):
    cov = np.linalg.inv(np.eye(2) + 4.0)
    return rng.multivariate_normal(cov @ np.full(2, 4.0 * y), cov, 100)

def broken(rng):
    return 1 / 0
"""


@pytest.fixture
def model(tmp_path):
    (tmp_path / "model.py").write_text(MODEL)


@pytest.mark.slow
def test_a_family(run, model, tmp_path):
    ran = run("calibrate", "model.py:make_target", "--family", "mean_field", "-n", "60", "--report", "page.html")  # fmt: skip
    assert ran.code == 3
    assert ran.out.startswith("miscalibrated: x[")
    assert "too narrow" in ran.out
    assert "q: reverse fits of mean_field, 1,000 draws each" in ran.out
    assert "Distribution of ranks" in (tmp_path / "page.html").read_text("utf-8")


def test_a_sampler_as_json(run, model):
    ran = run("calibrate", "model.py:make_target", "--sampler", "exact", "-n", "40", "--json")
    assert ran.code == 0
    assert ran.json["command"] == "calibrate"
    assert ran.json["verdict"] == "no miscalibration found"
    assert [q["name"] for q in ran.json["quantities"]] == ["x[0]", "x[1]", "log density of p"]


@pytest.mark.slow
def test_it_goes_on_and_workers_have_the_same_bits(run, model, tmp_path):
    how = ("calibrate", "model.py:make_target", "--sampler", "exact", "--json")
    first = run(*how, "-n", "30", "--checkpoint", "kept")
    assert first.code == 0
    whole = run(*how, "-n", "45")
    assert (
        run(*how, "-n", "45", "--checkpoint", "kept").json["quantities"] == whole.json["quantities"]
    )
    there = run(*how, "-n", "45", "--workers", "1")
    assert there.json["quantities"] == whole.json["quantities"]
    other = run(*how, "-n", "45", "--checkpoint", "kept", "--key", "1")
    assert other.code == 2
    assert "another density, family or key" in other.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("model.py:make_target",), "say what is calibrated"),
        (("model.py:none", "--family", "full_rank"), "has no name 'none'"),
        (("model.py:make_target", "--sampler", "nuts"), "has no name 'nuts'"),
        (("model.py:make_target", "--family", "full_rank", "--prior", "broken"), "ZeroDivisionError"),
        (("model.py", "--family", "full_rank"), "say module:function or FILE.py:function"),
    ],
)  # fmt: skip
def test_what_cannot_be(run, model, words, message):
    ran = run("calibrate", *words, "-n", "20")
    assert ran.code == 2
    assert message in ran.err
