"""Pure functions of parts of the data on whatever workers there are, whose results meet in a fixed order.

An executor is anything with `map` as `concurrent.futures` has it: a pool of processes, Dask's
`client.get_executor(retries=2)`, Ray's, MPI's. Scheduling, transport and retries are its business.
"""

import pickle
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Protocol, TypeVar, final, runtime_checkable

from kullback.core.errors import InputError, WorkerError

T = TypeVar("T")
#: Seconds of a pass between two words about how far it is.
_SAY = 2.0
#: How pickle and Dask begin to say that something has no form in which it could be sent.
_UNSENT = ("pickle", "serialize")


@runtime_checkable
class Executor(Protocol):
    """What calls a function on other processes or machines."""

    def map(self, fn: Callable[..., Any], /, *iterables: Any) -> Iterator[Any]:
        """Yields the results in the order of the arguments."""
        ...


def check_executor(executor: object) -> None:
    """Raises InputError for what cannot map; None is no executor."""
    if executor is not None and (isinstance(executor, type) or not isinstance(executor, Executor)):
        raise InputError(
            f"executor={executor!r}: give what has map(fn, items), such as "
            "concurrent.futures.ProcessPoolExecutor(2, mp_context=multiprocessing.get_context('spawn')) or, of Dask, "
            "client.get_executor(retries=2)"
        )


@final
@dataclass(frozen=True, eq=False)
class Workers:
    """An executor, and someone to tell how far a pass is.

    Attributes:
        executor: what calls functions elsewhere.
        watch: told how many parts of a pass that takes long are done.
    """

    executor: Executor
    watch: Callable[[str], None]

    def map(self, function: Callable[[Any], T], tasks: Sequence[Any]) -> Iterator[T]:
        """Yields function(task) in the order of the tasks.

        Raises:
            WorkerError: a worker is gone, and what it was to do with it.
            InputError: the function cannot be sent to another process.
        """
        told = time.monotonic()
        try:
            for done, result in enumerate(self.executor.map(function, tasks), 1):
                yield result
                if time.monotonic() - told > _SAY:
                    told = time.monotonic()
                    self.watch(f"{done:,} of {len(tasks):,} parts of a pass")
        except Exception as error:
            explained = _explained(error)
            if explained is error:
                raise
            raise explained from error


def _explained(error: Exception) -> Exception:
    """The error as who began the work understands it; what the function itself raised as it is."""
    first = str(error).strip().partition("\n")[0]
    unsent = isinstance(error, (AttributeError, TypeError)) and any(w in first for w in _UNSENT)
    if unsent or isinstance(error, pickle.PicklingError):
        return InputError(f"this cannot be sent to another process ({first}): leave executor out")
    if isinstance(error, RuntimeError) and "after shutdown" in first:
        return InputError("executor= was shut down before its work was done: begin another")
    lost = isinstance(error, BrokenExecutor) or type(error).__module__.startswith("distributed.")
    if not lost:
        return error
    return WorkerError(
        f"a worker ended before its work was done, perhaps for want of memory, and there is no answer ({first}); "
        "begin anew, with fewer workers or with a checkpoint to go on from"
    )


class Pairwise:
    """A sum over units in a fixed binary tree: parts of 2^j units may be summed elsewhere, with the same bits.

    Args:
        combine: adds two sums, the left one of earlier units.
    """

    def __init__(self, combine: Callable[[Any, Any], Any]) -> None:
        self._combine = combine
        self.held: list[tuple[int, Any]] = []

    def add(self, value: Any, level: int = 0) -> None:
        """Adds the sum of the next 2^level units."""
        while self.held and self.held[-1][0] == level:
            value, level = self._combine(self.held.pop()[1], value), level + 1
        self.held.append((level, value))

    def total(self) -> Any:
        """Returns the sum over all; None over nothing."""
        if not self.held:
            return None
        *before, (_, value) = self.held
        for _, left in reversed(before):
            value = self._combine(left, value)
        return value


@cache
def alone() -> object:
    """Keeps linear algebra of this process, a worker, on one thread: workers are as many as there are cores."""
    from threadpoolctl import ThreadpoolController  # noqa: PLC0415 - loaded on workers, for good

    return ThreadpoolController().limit(limits=1, user_api="blas")


def readable_there(table: object) -> str:
    """Returns the path of .parquet files from which a worker reads for itself.

    Raises:
        InputError: it is something else.
    """
    if isinstance(table, (str, Path)) and (
        Path(table).suffix == ".parquet" or Path(table).is_dir()
    ):
        return str(Path(table).absolute())
    raise InputError(
        "executor=: a worker reads the columns of .parquet files for itself: give their path, or leave executor out"
    )
