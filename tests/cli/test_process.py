"""The command as a process of its own: what it imports, what it costs, closed pipes."""

import json
import os
import resource
import subprocess
import sys

import pytest

HEAVY = ("jax", "scipy", "polars", "numpy", "numpyro", "mpmath")

KULLBACK = (sys.executable, "-m", "kullback")


def _cpu_seconds(*args: str) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([*KULLBACK, *args], capture_output=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime + after.ru_stime) - (before.ru_utime + before.ru_stime)


def test_help_is_cheap():
    assert min(_cpu_seconds("--help") for _ in range(3)) < 0.7


@pytest.mark.parametrize(
    "args",
    [
        ["--help"],
        ["kl", "--help"],
        ["fit", "--help"],
        ["score", "--help"],
        ["logits", "--help"],
        ["explain", "direction"],
        ["kl", "a"],
    ],
)
def test_what_needs_no_numbers_imports_none(args):
    script = (
        "import json, sys\nfrom kullback.cli import main\nmain(sys.argv[1:])\n"
        f"print(json.dumps([m for m in {HEAVY!r} if m in sys.modules]), file=sys.stderr)"
    )
    ran = subprocess.run([sys.executable, "-c", script, *args], capture_output=True, text=True)
    assert json.loads(ran.stderr.splitlines()[-1]) == []


def test_kl_of_normals_loads_only_what_it_needs():
    others = ("jax", "torch", "polars", "pandas", "xarray", "arviz_stats", "sklearn", "narwhals")
    others += tuple(f"scipy.{part}" for part in ("stats", "optimize", "spatial", "sparse"))
    script = (
        "import sys\nfrom kullback.cli import main\n"
        "main(['kl', 'normal(0, sd=2)', 'normal(0, sd=3)'])\n"
        f"print([m for m in {others!r} if m in sys.modules], file=sys.stderr)"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert ran.stderr.strip() == "[]"


@pytest.mark.slow
def test_fits_of_tables_do_not_load_jax(tmp_path):
    (tmp_path / "a.csv").write_text("x\n" + "\n".join(f"{i % 7}.{i}" for i in range(60)) + "\n")
    script = (
        "import sys\nfrom kullback.cli import main\n"
        "main(['fit', 'a.csv', '--family', 'mixture:2', '--direction', 'forward', '-q'])\n"
        "print([m for m in ('jax', 'numpyro', 'xarray') if m in sys.modules], file=sys.stderr)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path
    )
    assert ran.stderr.strip() == "[]"


def test_help_lists_the_commands_and_the_exit_codes():
    ran = subprocess.run([*KULLBACK, "--help"], capture_output=True, text=True)
    assert ran.returncode == 0
    for word in (
        "demo",
        "kl",
        "fit",
        "score",
        "sample",
        "verify",
        "plan",
        "explain",
        "explore",
        "doctor",
        "Exit codes",
    ):
        assert word in ran.stdout


def test_ctrl_c_while_it_is_loaded(monkeypatch):
    from kullback.__main__ import main

    class Interrupted:
        def find_spec(self, name, path=None, target=None):
            if name == "kullback.cli.app":
                raise KeyboardInterrupt

    monkeypatch.delitem(sys.modules, "kullback.cli.app", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Interrupted(), *sys.meta_path])
    assert main() == 130


def test_version():
    from kullback._version import __version__

    ran = subprocess.run([*KULLBACK, "--version"], capture_output=True, text=True)
    assert (ran.returncode, ran.stdout.strip()) == (0, __version__)


@pytest.mark.parametrize("args", [["--help"], ["explain", "direction"], ["verify", "--list"]])
def test_a_closed_pipe_is_silent(args):
    read, write = os.pipe()
    os.close(read)
    ran = subprocess.run([*KULLBACK, *args], stdout=write, stderr=subprocess.PIPE, text=True)
    os.close(write)
    assert (ran.returncode, ran.stderr) == (0, "")


@pytest.mark.slow
def test_a_closed_pipe_does_not_hide_a_failed_gate():
    read, write = os.pipe()
    os.close(read)
    args = [*KULLBACK, "kl", "normal(0, sd=2)", "normal(0, sd=3)", "--max-kl", "0.1"]
    ran = subprocess.run(args, stdout=write, stderr=subprocess.PIPE, text=True)
    os.close(write)
    assert (ran.returncode, ran.stderr) == (1, "")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
@pytest.mark.parametrize("args", [["--help"], ["explain", "direction"]])
def test_a_full_disk_is_said_in_one_line(args):
    with open("/dev/full", "w") as full:
        ran = subprocess.run([*KULLBACK, *args], stdout=full, stderr=subprocess.PIPE, text=True)
    assert ran.returncode == 2
    assert ran.stderr.startswith("error: ")
    assert ran.stderr.count("\n") == 1


@pytest.mark.slow
def test_piped_output_has_no_colours_even_where_a_terminal_would():
    environment = {**os.environ, "FORCE_COLOR": "1"}
    args = [*KULLBACK, "doctor"]
    ran = subprocess.run(args, capture_output=True, text=True, env=environment)
    assert ran.returncode == 0
    assert "\x1b" not in ran.stdout
    assert ran.stderr == ""


def _on_a_terminal(environment: dict[str, str], *args: str) -> str:
    import pty

    lead, follow = pty.openpty()
    child = subprocess.Popen([*KULLBACK, *args], stdout=follow, stderr=follow, env=environment)
    os.close(follow)
    parts = []
    while True:
        try:
            part = os.read(lead, 65536)
        except OSError:
            break
        if not part:
            break
        parts.append(part)
    os.close(lead)
    assert child.wait() == 0
    return b"".join(parts).decode()


@pytest.mark.slow
def test_no_color_is_honoured_on_a_terminal():
    plain = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "FORCE_COLOR")}
    coloured = {**plain, "TERM": "xterm-256color", "COLUMNS": "100"}
    assert "\x1b[32m" in _on_a_terminal(coloured, "doctor")
    assert "\x1b[3" not in _on_a_terminal({**coloured, "NO_COLOR": "1"}, "doctor")


@pytest.mark.slow
def test_progress_is_for_terminals_and_can_be_switched_off():
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "100"}
    fit = ("fit", "uniform(0, 1)", "--family", "mixture:2", "--direction", "forward")
    fit += ("--no-report", "--starts", "6")
    assert "fitting" in _on_a_terminal(environment, *fit)
    assert "fitting" not in _on_a_terminal(environment, *fit, "--quiet")
    assert "fitting" not in _on_a_terminal(environment, *fit, "--json")
