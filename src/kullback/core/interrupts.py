"""Ctrl-C while code runs that does not take it well."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def deferred() -> Iterator[None]:
    """Holds Ctrl-C back until its block has ended, and then lets it through once, to whoever answered it before.

    For calls of Polars: left alone, it answers Ctrl-C by a panic in each of its threads, some of which are
    printed, and raises KeyboardInterrupt beside the one that Python raises: the second one meets the
    `except` of the first. Where a block has been, Polars hears of Ctrl-C by Python only, when a call returns.

    In other threads than the main one, to which Python gives no signals, nothing is held back.

    Raises:
        KeyboardInterrupt: Ctrl-C came; the block is done, or raised another exception.
    """
    before = signal.getsignal(signal.SIGINT)
    if (
        threading.current_thread() is not threading.main_thread()
        or before is None  # it is not Python that answers
        or before is signal.SIG_IGN
    ):
        yield
        return
    came = threading.Event()
    signal.signal(signal.SIGINT, lambda *_: came.set())
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if came.is_set():
            signal.raise_signal(signal.SIGINT)
