"""How many threads linear algebra runs on."""

from contextlib import AbstractContextManager
from functools import cache

from threadpoolctl import ThreadpoolController


def one_thread() -> AbstractContextManager[object]:
    """Returns a context in which BLAS runs on one thread.

    Products of small matrices are slower on several: the threads wait for each other, and burn the time.
    """
    return _controller().limit(limits=1, user_api="blas")


@cache
def _controller() -> ThreadpoolController:
    # Looking for the libraries takes longer than a small fit.
    return ThreadpoolController()
