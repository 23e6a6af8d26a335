"""--workers and --scheduler: what is refused, the same answer, and how a command ends when something is killed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from kullback.api.store import load
from kullback.cli.app import main

FIT = ("fit", "rows", "--family", "full_rank", "--direction", "forward", "--no-report")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """300,000 rows in three files."""
    where, rng = tmp_path_factory.mktemp("cli"), np.random.default_rng(0)
    (where / "rows").mkdir()
    for i in range(3):
        x = pl.DataFrame(rng.normal(size=(100_000, 2)), schema=["a", "b"])
        x.write_parquet(where / "rows" / f"{i}.parquet")
    pl.DataFrame({"a": [1.0, 2.0, 4.0]}).write_csv(where / "few.csv")
    return where


@pytest.fixture(autouse=True)
def here(place, monkeypatch):
    monkeypatch.chdir(place)
    return place


@pytest.mark.slow
def test_the_answers_are_those_of_one_process(capsys):
    fits, shown = [], []
    for name, more in (("one.kb", ()), ("two.kb", ("--workers", "2"))):
        assert main([*FIT, *more, "--out", name, "-q"]) == 0
        fits.append(load(name))
        capsys.readouterr()
        assert main(["score", "one.kb", "rows", *more, "-q"]) == 0
        assert main(["profile", "rows", "-o", f"{name}.json", *more, "-q"]) == 0
        assert main(["diff", "rows/0.parquet", "rows/1.parquet", *more, "-q"]) == 0
        shown.append(capsys.readouterr().out.replace(f"{name}.json", ""))
    assert shown[0] == shown[1]
    np.testing.assert_array_equal(fits[0].q.covariance, fits[1].q.covariance)
    assert fits[0].divergence == fits[1].divergence
    assert Path("one.kb.json").read_bytes() == Path("two.kb.json").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((*FIT, "--workers", "0"), "--workers 0: give a number of processes"),
        ((*FIT, "--workers", "2", "--scheduler", "tcp://h:1"), "say one of them"),
        (("fit", "few.csv", *FIT[2:], "--workers", "1"), "these rows are in memory"),
        (("diff", "few.csv", "rows", "--workers", "1"), "give their path"),
        (("fit", "normal(0, sd=1)", *FIT[2:], "--workers", "1"), "in one process: leave them out"),
        (("profile", "few.csv", "-o", "p.json", "--workers", "1"), "of .parquet files"),
    ],
)
def test_what_is_not_used_is_refused(arguments, message, capsys):
    assert main([*arguments, "-q"]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1


def test_dask_that_is_not_there_is_a_line_that_installs_it(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "distributed", None)
    assert main([*FIT, "--scheduler", "tcp://127.0.0.1:9"]) == 2
    assert "--scheduler needs distributed: pip install 'kullback[dask]'" in capsys.readouterr().err


def _workers(parent: int) -> list[int]:
    """The worker processes of a process."""
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return [int(c) for c in children if b"spawn_main" in Path(f"/proc/{c}/cmdline").read_bytes()]


def _until(found, seconds=60.0):
    patience = time.monotonic() + seconds
    while not (answer := found()):
        assert time.monotonic() < patience
        time.sleep(0.02)
    return answer


def _running(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="children are looked for in /proc")
@pytest.mark.parametrize(
    ("struck", "number", "code", "said"),
    [
        ("worker", signal.SIGKILL, 2, "error: a worker ended before its work was done"),
        ("group", signal.SIGINT, 130, "error: interrupted"),
        ("command", signal.SIGKILL, -signal.SIGKILL, ""),
    ],
)
def test_nothing_runs_on_and_nothing_is_said_twice(struck, number, code, said):
    command = [sys.executable, "-m", "kullback", *FIT, "-q", "--workers", "2"]
    child = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    workers = _until(lambda: found if len(found := _workers(child.pid)) == 2 else [])
    if struck == "group":
        os.killpg(child.pid, number)
    else:
        os.kill(workers[0] if struck == "worker" else child.pid, number)
    _, errors = child.communicate(timeout=120)
    assert child.returncode == code
    if struck != "command":  # of which Python's tracker of semaphores speaks, that cleans up
        assert errors.startswith(said)
        assert errors.count("\n") == 1, errors
    _until(lambda: not any(map(_running, workers)))
