"""kullback fit FILE.py:NAME: the verdict first, the exit code, the user's own words."""

import pytest

pytest.importorskip("jax")

import contextlib
import io
import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import jax  # noqa: F401 - once it is loaded, the command leaves the user's cache alone

from kullback.cli.app import main

EXAMPLE = Path(__file__).parents[2] / "examples" / "eight_schools.py"

CORRELATED = """
import jax.numpy as jnp
import numpy as np

from scales import SCALE

print("said while it is executed")
example = {"a": 0.0, "scale": 1.0}
support = {"scale": "positive"}


def log_posterior(x):
    b = jnp.log(x["scale"]) / SCALE
    return -0.5 * (x["a"] ** 2 - 1.8 * x["a"] * b + b**2) / 0.19 - jnp.log(x["scale"])
"""

TWO_MODES = """
import jax.numpy as jnp
import numpy as np

import kullback as kb

target = kb.LogDensity(
    lambda x: jnp.logaddexp(-0.5 * jnp.sum((x - 4.0) ** 2), -0.5 * jnp.sum((x + 4.0) ** 2)),
    np.zeros(2),
)
"""


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str
    place: Path

    @property
    def json(self) -> dict:
        return json.loads(self.out)


def _ran(place: Path, *args: str) -> Ran:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.chdir(place), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(["fit", *args, "--direction", "reverse"])
    return Ran(code, out.getvalue(), err.getvalue(), place)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    where = tmp_path_factory.mktemp("models")
    (where / "scales.py").write_text("SCALE = 0.5\n")
    (where / "correlated.py").write_text(CORRELATED)
    (where / "modes.py").write_text(TWO_MODES)
    return where


@pytest.fixture(scope="module")
def climbed(place):
    """The default family, on a Gaussian that mean field does not fit."""
    return _ran(place, "correlated.py:log_posterior")


@pytest.fixture(scope="module")
def missed(place):
    args = ("modes.py:target", "--family", "full_rank", "--units", "bits", "--json")
    return _ran(place, *args, "--report", "modes.html")


def test_the_verdict_comes_first(climbed):
    assert climbed.code == 0
    first, blank, p, q, *_ = climbed.out.splitlines()
    assert first.startswith("trust: none of ")
    assert blank == ""
    assert p == "p: correlated.py:log_posterior, 2 parameters"
    assert q.startswith("q: a full-rank Gaussian, by minimising KL(q||p)")


def test_the_numbers_have_errors_and_methods(climbed):
    rows = {line.strip().split("  ")[0]: line for line in climbed.out.splitlines()}
    for name in (
        "ELBO",
        "= E_q[log p]",
        "log evidence",
        "importance sampling from q",
        "tempered SMC, independent of q",
        "KL(q||p), minimised",
        "KL(p||q), of the same q",
        "KL(q||p) + KL(p||q)",
        "mass of p outside q",
    ):
        assert re.search(r"± .* n = \d+$", rows[name]), rows[name]
    assert "closed form" in rows["+ H(q)"]
    assert "a few steps from q" in " ".join(climbed.out.split())


def test_the_parameters_have_their_names(climbed):
    rows = [line.split() for line in climbed.out.splitlines()]
    a = next(r for r in rows if r[:1] == ["a"])
    assert float(a[2]) == pytest.approx(1.0, abs=0.05)
    assert any(r[:1] == ["scale"] for r in rows)


def test_the_default_family_climbs_and_says_what_was_gained(climbed):
    rows = [
        line for line in climbed.out.splitlines() if line.startswith(("mean field ", "full rank "))
    ]
    assert len(rows) == 2
    assert "+0." in rows[1]
    assert "trust" in rows[1]


def test_findings_error_of_the_fit_and_what_cannot_be_known_are_printed(climbed):
    for words in ("Findings", "mass outside q", "error of the optimisation: ", "gradient evaluations: ",
                  "note: limitation: 32,768 looks", "a narrower one that", "example = ... in the file"):  # fmt: skip
        assert words in " ".join(climbed.out.split())
    assert "example=" not in climbed.out


def test_what_the_file_prints_goes_to_stderr_and_its_neighbours_are_found(climbed):
    assert "said while it is executed" not in climbed.out
    assert "said while it is executed" in climbed.err
    assert str(climbed.place) not in sys.path


def test_the_report_is_written(climbed):
    assert climbed.out.endswith("report: ./kullback-fit.html\n")
    assert "✓ trust" in (climbed.place / "kullback-fit.html").read_text()


def test_a_missed_mode_has_exit_code_3_and_a_remedy_to_type(missed):
    assert missed.code == 3
    body = missed.json
    assert (body["schema"], body["command"], body["data"]) == (2, "fit", "modes.py:target")
    assert body["verdict"] == "do not use"
    assert body["decided_by"] in [f["name"] for f in body["posterior"]["diagnosis"]["findings"]]
    assert body["remedy"].startswith("try --family mixture:auto")
    assert body["posterior"]["outside"]["value"] == pytest.approx(0.5, abs=0.2)
    assert body["report"] == "modes.html"
    assert "do not use" in (missed.place / "modes.html").read_text()


def test_json_has_q_and_one_unit(missed):
    body = missed.json
    gaussians = body["gaussians"]
    assert gaussians["unconstrained_coordinates"] == ["x[0]", "x[1]"]
    assert abs(gaussians["means"][0][0]) == pytest.approx(4.0, abs=0.05)
    found = body["posterior"]
    units = {found[k]["unit"] for k in ("elbo", "entropy", "energy", "log_evidence", "jeffreys")}
    assert units | {body["divergence"]["unit"], body["forward_kl"]["unit"]} == {"bits"}
    assert found["trace"][-1][1] == pytest.approx(found["elbo"]["value"], abs=0.3)
    assert body["seconds"] > 0.0


def test_json_says_why_something_is_null(missed):
    found = missed.json["posterior"]
    assert found["pareto_k"] is not None or found["pareto_k_reason"]
    for e in (found["agreement"], *found["routes"]):
        assert e["standard_error"] is not None or e["reason"]


@pytest.mark.slow
def test_the_shipped_example(place):
    ran = _ran(place, f"{EXAMPLE}:log_posterior", "--family", "full_rank", "--json", "--no-report")
    assert ran.code == 0
    body = ran.json
    assert body["reverse_kl"]["value"] == pytest.approx(0.2, abs=0.06)
    assert body["posterior"]["log_evidence"]["value"] == pytest.approx(-31.32, abs=0.1)
    names = [p["name"] for p in body["posterior"]["parameters"]]
    assert names[:3] == ["mu", "tau", "eta[0]"]


BROKEN = [
    ("1 / 0", "f", "division by zero (ZeroDivisionError while broken.py was executed, at broken.py:1: `1 / 0`)"),
    ("import sys\nsys.exit(0)", "f", "it called sys.exit(0) (SystemExit"),
    ("def f(:\n", "f", "SyntaxError while broken.py was executed, at broken.py:1: `def f(:`"),
    ("import no_such_package_here", "f", "No module named 'no_such_package_here' (ModuleNotFoundError"),
    ("def log_posterior(x): ...", "log_posteror", "did you mean log_posterior?"),
    ("def f(x): ...", "f", "example = numpy.zeros(3)"),
    ("f = 3", "f", "f in broken.py is of type int: it must be a function"),
    ("f = dict", "f", "is of type type"),
    ("example = 0.0\ndef f(x):\n    raise ValueError('my own words')", "f", "my own words (ValueError raised by"),
    ("example = 0.0\nsupport = 'magic'\ndef f(x): return -(x**2)", "f", "magic"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "name", "message"), BROKEN, ids=[b[2][:30] for b in BROKEN])
def test_a_broken_file_is_one_message(tmp_path, text, name, message):
    (tmp_path / "broken.py").write_text(text)
    ran = _ran(tmp_path, f"broken.py:{name}")
    assert (ran.code, ran.out) == (2, "")
    assert message in ran.err
    assert ran.err.count("\n") == 1
    assert not list(tmp_path.glob("*.html"))


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("model.py",), "such as model.py:log_posterior"),
        (("missing.py:f",), "missing.py: no such file"),
        (("missing.py:f", "--columns", "a"), "not a file of rows"),
    ],
)
def test_bad_names_are_one_message(tmp_path, args, message):
    ran = _ran(tmp_path, *args)
    assert (ran.code, ran.out) == (2, "")
    assert message in ran.err


def test_ctrl_c_in_the_file_is_an_interruption(tmp_path):
    (tmp_path / "broken.py").write_text("raise KeyboardInterrupt")
    assert _ran(tmp_path, "broken.py:f").code == 130


def test_help_says_that_the_file_is_executed(run):
    out = " ".join(run("fit", "--help").out.split())
    assert "model.py:log_posterior" in out
    assert "That file is executed" in out


def test_what_jax_compiles_is_kept_by_the_command_only(tmp_path):
    script = (
        "import os, sys\nfrom kullback.cli import commands\n"
        "sys.argv[1:] and sys.modules.setdefault('jax', sys)\n"
        "commands.keep_compilations()\nprint(os.environ.get('JAX_COMPILATION_CACHE_DIR'))"
    )
    clean = {k: v for k, v in os.environ.items() if not k.startswith("JAX_")}

    def kept(*args: str, **more: str) -> str:
        environment = {**clean, "XDG_CACHE_HOME": str(tmp_path), **more}
        command = [sys.executable, "-c", script, *args]
        return subprocess.check_output(command, env=environment, text=True).strip()

    if sys.platform == "linux":
        assert kept() == str(tmp_path / "kullback" / "jax")
        assert (tmp_path / "kullback" / "jax").is_dir()
    assert kept(JAX_COMPILATION_CACHE_DIR="mine") == "mine"
    assert kept("jax is loaded") == "None"
    (tmp_path / "file").write_text("")
    assert kept(XDG_CACHE_HOME=str(tmp_path / "file")) == "None"


#: A model whose flow is interrupted: Ctrl-C comes when its program is loaded, while JAX compiles or steps are taken.
INTERRUPTED = """
import os, signal, sys, threading, time

import jax.numpy as jnp
import numpy as np

import kullback as kb

target = kb.LogDensity(
    lambda x: -0.5 * (x[0] ** 2 + 4.0 * (x[1] - 0.5 * x[0] ** 2) ** 2), np.zeros(2)
)


def interrupt():
    while not hasattr(sys.modules.get("kullback.fitting.flow"), "_log_prob"):
        time.sleep(0.01)
    time.sleep(0.3)
    os.kill(os.getpid(), signal.SIGINT)


threading.Thread(target=interrupt, daemon=True).start()
"""


@pytest.mark.slow
def test_ctrl_c_while_a_flow_is_fitted_keeps_what_there_is(tmp_path):
    pytest.importorskip("flowjax")
    (tmp_path / "model.py").write_text(INTERRUPTED)
    command = [sys.executable, "-m", "kullback", "fit", "model.py:target", "--family", "flow"]
    command += ["--direction", "reverse", "--out", "fit.kb", "--json"]
    ran = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert ran.returncode == 130, ran.stderr
    written = json.loads(ran.stdout)
    assert any("interrupted during the fit" in note for note in written["notes"])
    assert (tmp_path / "fit.kb").exists()
    assert "Traceback" not in ran.stderr
