"""--workers and --scheduler: an executor for the length of a command. What a new process imports of this is light."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import resource_tracker
from typing import Any

from kullback.core.errors import InputError
from kullback.core.executor import Executor
from kullback.core.optional import need

#: More processes than any machine has cores, and seconds in which a scheduler answers.
_MOST, _PATIENCE = 1024, 10
#: Each worker is one of as many as there are cores: it reads and multiplies on one thread.
_THREADS = ("OPENBLAS_NUM_THREADS", "POLARS_MAX_THREADS")


@contextmanager
def opened(workers: int | None, scheduler: str | None) -> Iterator[Executor | None]:
    """Yields what was asked for, and ends it; None where nothing was.

    Args:
        workers: of this machine, processes.
        scheduler: the address of a scheduler of Dask.

    Raises:
        InputError: both, too many, or there is no such scheduler.
        MissingDependencyError: distributed is not installed.
    """
    if workers is not None and scheduler is not None:
        raise InputError(
            "--workers and --scheduler: say one of them, processes here or workers of Dask"
        )
    if workers is not None:
        if not 1 <= workers <= _MOST:
            raise InputError(f"--workers {workers}: give a number of processes, from 1 to {_MOST}")
        pool = _pool(workers)
        try:
            yield pool
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
    elif scheduler is not None:
        client = _client(scheduler)
        with client:
            yield client.get_executor(retries=2)
    else:
        yield None


def _pool(workers: int) -> ProcessPoolExecutor:
    """Processes that have begun: Ctrl-C, which goes to all of them, is the command's to answer."""
    spawn = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=spawn, initializer=_begin)
    try:
        with _shielded():
            for _ in range(workers):
                pool.submit(_nothing)
    except BaseException:
        pool.shutdown(wait=True, cancel_futures=True)
        raise
    return pool


@contextmanager
def _shielded() -> Iterator[None]:
    """Processes that are begun in it do not hear of Ctrl-C before they can ignore it; this one does, afterwards."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # which would let Ctrl-C through when it begins
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin() -> None:
    """Begins a worker: it ends with who began it, however that ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ.update(dict.fromkeys(_THREADS, "1"))
    threading.Thread(
        target=_end_with, args=(multiprocessing.parent_process(),), daemon=True
    ).start()


def _end_with(parent: Any) -> None:
    parent.join()
    os._exit(1)


def _nothing() -> None:
    pass


def _client(address: str) -> Any:
    distributed = need("distributed", "--scheduler", "kullback[dask]")
    try:
        client = distributed.Client(address, timeout=_PATIENCE, set_as_default=False)
    except (OSError, ValueError) as error:
        first = str(error).partition("\n")[0]
        raise InputError(f"--scheduler {address}: no scheduler of Dask answers ({first})") from None
    if not client.scheduler_info()["workers"]:
        client.close()
        raise InputError(
            f"--scheduler {address}: it has no workers; begin one with: dask worker {address}"
        )
    return client
