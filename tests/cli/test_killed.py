"""kill -9 on the way: no file is half written, and --resume ends with the same bits."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import polars as pl
import pytest

from kullback.api.store import load

FIT = (
    "fit",
    "rows.parquet",
    "--family",
    "mixture:2",
    "--direction",
    "forward",
    "--out",
    "model.kb",
)


COMMAND = (sys.executable, "-m", "kullback", *FIT, "-q")


def _run(where, *more):
    return subprocess.run([*COMMAND, *more], cwd=where, capture_output=True, check=False).returncode


def _parameters(path):
    q = load(path).q
    return np.concatenate([q.weights, q.means.ravel(), q.covariances.ravel()])


@pytest.mark.slow
def test_a_killed_command_goes_on_with_the_same_bits(tmp_path):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(25_000, 2)) + 1.2 * rng.integers(2, size=25_000)[:, None]
    pl.DataFrame(x, schema=["a", "b"]).write_parquet(tmp_path / "rows.parquet")
    begun = {"rows.parquet", "model.kb.checkpoint"}
    child = subprocess.Popen(COMMAND, cwd=tmp_path, stdout=subprocess.DEVNULL)
    patience = time.monotonic() + 120.0
    while not (tmp_path / "model.kb.checkpoint").exists():
        assert child.poll() is None
        assert time.monotonic() < patience
        time.sleep(0.02)
    os.kill(child.pid, signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    assert {f.name for f in tmp_path.iterdir()} <= begun
    assert _run(tmp_path, "--resume") == 0
    resumed = _parameters(tmp_path / "model.kb")
    (tmp_path / "model.kb").unlink()
    assert _run(tmp_path) == 0
    np.testing.assert_array_equal(resumed, _parameters(tmp_path / "model.kb"))
