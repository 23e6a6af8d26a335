"""Ctrl-C comes once, and after what cannot be interrupted."""

import signal
import subprocess
import sys
import threading

import pytest

from kullback.core.interrupts import deferred


@pytest.fixture
def handler():
    before = signal.getsignal(signal.SIGINT)
    yield lambda other: signal.signal(signal.SIGINT, other)
    signal.signal(signal.SIGINT, before)


def interrupt():
    signal.raise_signal(signal.SIGINT)


def test_it_comes_after_the_block_and_once():
    done = []

    def work():
        with deferred():
            interrupt()
            interrupt()
            done.append(True)

    with pytest.raises(KeyboardInterrupt):
        work()
    assert done
    with deferred():
        pass
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_who_answered_before_answers(handler):
    heard = []
    handler(lambda number, _: heard.append(number))
    with deferred():
        interrupt()
        assert not heard
    assert heard == [signal.SIGINT]
    handler(signal.SIG_IGN)
    with deferred():
        interrupt()
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def test_blocks_within_blocks():
    done = []

    def work():
        with deferred():
            with deferred():
                interrupt()
            done.append(True)

    with pytest.raises(KeyboardInterrupt):
        work()
    assert done


def test_an_error_in_the_block_is_kept_where_nothing_came():
    with pytest.raises(ZeroDivisionError), deferred():
        _ = 1 / 0


def test_other_threads_hold_nothing_back():
    seen = []

    def work():
        with deferred():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [signal.getsignal(signal.SIGINT)]


def test_the_default_of_the_system_ends_the_process():
    code = (
        "import signal; from kullback.core.interrupts import deferred\n"
        "signal.signal(signal.SIGINT, signal.SIG_DFL)\n"
        "with deferred(): signal.raise_signal(signal.SIGINT); print('done', flush=True)\n"
        "print('never')"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (ran.returncode, ran.stdout) == (-signal.SIGINT, "done\n")
