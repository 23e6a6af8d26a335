"""Passes on Dask: the same bits as here, also where a worker is killed in mid-pass."""

import os
import signal
import threading

import numpy as np
import polars as pl
import pytest

distributed = pytest.importorskip("distributed")

from kullback.cli.app import main
from kullback.core.errors import WorkerError
from kullback.core.executor import Workers
from kullback.core.run import Run
from kullback.families import Mixture
from kullback.inputs.stream import scan
from kullback.routes.samples_forward import fit_samples

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # of Dask's own


@pytest.fixture(scope="module")
def client():
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None, silence_logs=50
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


@pytest.fixture(scope="module")
def stream(tmp_path_factory):
    place, rng = tmp_path_factory.mktemp("rows"), np.random.default_rng(0)
    for i in range(8):
        x = rng.normal(size=(125_000, 2)) + 4.0 * rng.integers(2, size=(125_000, 1))
        pl.DataFrame(x, schema=["x", "y"]).write_parquet(place / f"{i}.parquet")
    return scan(place)


def test_a_fit_has_the_same_bits_though_a_worker_is_killed(client, stream):
    victim, killed = next(iter(client.run(os.getpid).values())), []

    def watch(words):
        # The pass that is told of is over: one of the next loses a worker in the middle.
        if "pass 2 over 1,000,000" in str(words) and not killed:
            killed.append(victim)
            threading.Timer(0.05, os.kill, (victim, signal.SIGKILL)).start()

    runs = (Run(), Run(executor=client.get_executor(retries=2), watch=watch))
    found = []
    for run in runs:
        q = fit_samples(stream, Mixture(2), starts=1, run=run, hold_out=False).q
        found.append(np.concatenate([q.weights, q.means.ravel(), q.covariances.ravel()]))
    assert killed
    np.testing.assert_array_equal(*found)


def _dies(_):
    os._exit(1)


def test_a_worker_that_always_dies_is_an_error(client):
    with pytest.raises(WorkerError, match="a worker ended before its work was done"):
        list(Workers(client.get_executor(retries=0), print).map(_dies, range(2)))


def test_the_command_says_the_same(client, stream, monkeypatch, capsys):
    """Though workers of Dask run in directories of their own."""
    place = stream.read.files[0].path.rpartition("/")[0]
    monkeypatch.chdir(place)
    said = []
    for more in ((), ("--scheduler", client.scheduler.address)):
        assert main(["profile", "*.parquet", "-o", "../p.json", "-q", *more]) == 0
        fit = ("fit", ".", "--family", "mean_field", "--direction", "forward", "--no-report", "-q")
        assert main([*fit, "--out", "../q.kb", *more]) == 0
        assert main(["score", "../q.kb", ".", "-q", *more]) == 0
        found = capsys.readouterr().out
        said.append("\n".join(line for line in found.splitlines() if "seconds" not in line))
    assert said[0] == said[1]
