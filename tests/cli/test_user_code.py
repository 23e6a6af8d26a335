"""What the user's code raises or calls ends no gate with exit code 0: one line, exit code 2."""

import os
import subprocess
import sys

import pytest

from kullback.cli.app import main

LEAVING = """
import sys
import numpy as np
example = 0.0
class Odd(BaseException): pass
def deeper(): deeper()
def leave(*arguments):
    {}
def log_posterior(x):
    leave()
def loss(student_logits, teacher_logits):
    leave()
calls = []
def late(student_logits, teacher_logits):
    calls.append(1)
    if len(calls) > 40:
        leave()
    return np.mean((np.asarray(student_logits) - np.asarray(teacher_logits)) ** 2)
"""
WAYS = {
    "sys.exit(0)": "SystemExit",
    "sys.exit('not implemented')": "SystemExit",
    "raise SystemExit": "SystemExit",
    "raise GeneratorExit": "GeneratorExit",
    "raise Odd('odd')": "Odd",
    "raise BrokenPipeError(32, 'Broken pipe')": "BrokenPipeError",
    "raise StopIteration": "StopIteration",
    "raise MemoryError": "MemoryError",
    "raise FileNotFoundError(2, 'No such file', 'x')": "FileNotFoundError",
}


@pytest.mark.parametrize(
    "way", [w if i < 2 else pytest.param(w, marks=pytest.mark.slow) for i, w in enumerate(WAYS)]
)
def test_a_function_that_leaves(run, write, way):
    write("e.py", LEAVING.format(way))
    for args in (
        ("check-loss", "e.py:loss", "--expect", "forward"),
        ("check-loss", "e.py:late", "--expect", "forward"),
        ("fit", "e.py:log_posterior", "--direction", "reverse", "--no-report"),
    ):
        ran = run(*args)
        assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1), (args, ran)
        assert WAYS[way] in ran.err
    assert "log_posterior called sys.exit(" in ran.err or "SystemExit" not in ran.err


def test_a_function_without_an_end(run, write):
    write("e.py", LEAVING.format("deeper()"))
    ran = run("fit", "e.py:log_posterior", "--direction", "reverse", "--no-report")
    assert (ran.code, ran.out) == (2, "")
    assert "RecursionError raised by the log density of p" in ran.err


@pytest.mark.parametrize("way", ["import sys; sys.exit(0)", "raise GeneratorExit", "exit()"])
def test_a_module_that_leaves(run, write, way, monkeypatch):
    write("leaver.py", way)
    write("ghost.py", f"def __getattr__(name):\n    {way}\n")
    monkeypatch.delitem(sys.modules, "leaver", raising=False)
    for args in (
        ("check-loss", "leaver:f"),
        ("check-loss", "leaver.py:f"),
        ("fit", "leaver.py:f", "--direction", "reverse"),
        ("check-loss", "ghost.py:f"),
        ("fit", "ghost.py:f", "--direction", "reverse"),
    ):
        ran = run(*args)
        assert (ran.code, ran.out) == (2, ""), (args, ran)
        assert "Exit" in ran.err
        assert args[1].partition(":")[0].removesuffix(".py") in ran.err


@pytest.mark.parametrize("leaving", [SystemExit(0), GeneratorExit(), BrokenPipeError(32, "Broken")])
def test_whatever_else_leaves_is_no_success(capsys, monkeypatch, leaving):
    def left(*args, **kwargs):
        raise leaving

    monkeypatch.setattr("kullback.cli.plans.plan_of", left)
    monkeypatch.setattr("kullback.render.terminal.abandon_stdout", lambda: None)
    assert main(("plan", "normal(0, sd=1)", "normal(0, sd=2)")) == 2
    assert "error: " in capsys.readouterr().err


@pytest.mark.slow
def test_nobody_reads_the_message():
    read, write = os.pipe()
    os.close(read)
    args = [sys.executable, "-m", "kullback", "kl", "nothing", "nothing"]
    assert subprocess.run(args, stderr=write).returncode == 2
    os.close(write)
