"""Results of the stages of a long computation, kept so that a killed run can go on with the same bits."""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar, final, runtime_checkable

import numpy as np

from kullback.core.errors import InputError
from kullback.core.executor import Executor, Workers

#: Seconds between writes within a stage, and the largest share of the time spent on them.
_EVERY, _SHARE = 2.0, 0.05


@final
class Checkpoint:
    """What is known of earlier stages, and where new results go.

    Args:
        stored: results by name, as read from a file.
        write: puts all results into a file; None to keep nothing.
    """

    def __init__(
        self,
        stored: dict[str, Any] | None = None,
        write: Callable[[dict[str, Any]], None] | None = None,
    ) -> None:
        self._results = dict(stored or {})
        self._write = write
        self._last = self._spent = 0.0

    def get(self, name: str) -> Any | None:
        """Returns the result of a stage; None if it is not known."""
        return self._results.get(name)

    def put(self, name: str, result: Any) -> None:
        """Keeps the result of a stage that is done."""
        self._results[name] = result
        self._save()

    def on_the_way(self, name: str, state: Any) -> None:
        """Keeps how far a stage is; written at most every other second, less often if that takes long."""
        if self._write is None:
            return
        self._results[name] = state
        if time.monotonic() - self._last > max(_EVERY, self._spent / _SHARE):
            self._save()

    def _save(self) -> None:
        if self._write is not None:
            began = time.monotonic()
            self._write(self._results)
            self._last = time.monotonic()
            self._spent = self._last - began


#: Told what is being done, in words, or how many descents are done.
Watch = Callable[[int | str], None]


# Randomness enters by `key`, explicitly: same key, same number.


def generator(key: object) -> np.random.Generator:
    """Returns a NumPy generator for an int or a JAX key.

    Raises:
        InputError: the key is neither.
    """
    return np.random.default_rng(np.random.SeedSequence(_entropy(key)))


def split(key: object, n: int) -> list[np.random.Generator]:
    """Returns n independent generators."""
    return [np.random.default_rng(s) for s in np.random.SeedSequence(_entropy(key)).spawn(n)]


def named(key: object, name: str, index: int = 0) -> np.random.Generator:
    """Returns the generator of a stage of a computation, whatever other stages drew."""
    return np.random.default_rng(np.random.SeedSequence([*_entropy(key), *name.encode(), index]))


def _entropy(key: object) -> list[int]:
    if isinstance(key, (int, np.integer)) and not isinstance(key, bool):
        if key < 0:
            raise InputError(f"key={key}: a key is a non-negative integer, such as key=0")
        return [int(key)]
    if "key<" in str(getattr(key, "dtype", "")):
        key = sys.modules["jax"].random.key_data(key)
    words = np.asarray(key)
    if words.dtype.kind not in "ui" or words.size == 0:
        raise InputError(f"key={key!r} is not a key: give an int such as key=0, or a JAX key")
    return [int(w) for w in words.ravel()]


# What every stage of a fit is given: randomness by name, someone to tell, somewhere to keep results.

Result = TypeVar("Result")


@runtime_checkable
class Counted(Protocol):
    """What counts its evaluations, as a density does."""

    count: int


def silent(done: int | str) -> None:
    """Tells nobody."""
    del done


@final
@dataclass(frozen=True, eq=False)
class Run:
    """A run of a fit: randomness, someone to tell, somewhere to keep results, a clock.

    Attributes:
        key: of all randomness.
        watch: told what is being done, or how many descents are.
        checkpoint: where results of stages are kept.
        place: the file of the checkpoint; None to keep nothing.
        began: by `time.perf_counter`.
        executor: where passes over rows in files are made; None for this process.
    """

    key: object = 0
    watch: Watch = silent
    checkpoint: Checkpoint = field(default_factory=Checkpoint)
    place: Path | None = None
    began: float = field(default_factory=time.perf_counter)
    executor: Executor | None = None

    @property
    def workers(self) -> Workers | None:
        """The executor, with someone to tell; None for this process."""
        return None if self.executor is None else Workers(self.executor, self.watch)

    @property
    def seconds(self) -> float:
        """Wall time so far."""
        return time.perf_counter() - self.began

    def generator(self, name: str, index: int = 0) -> np.random.Generator:
        """Returns the randomness of a stage, whatever other stages drew."""
        return named(self.key, name, index)

    def told(self, gradients: int, elbo: float) -> None:
        """Says how far an ascent is."""
        self.watch(f"ELBO {elbo:.3f} on the draws of the fit, {gradients} gradients")

    def once(self, name: str, density: Counted, compute: Callable[[], Result]) -> Result:
        """Returns the result of a stage: the one kept from an earlier run, or a new one."""
        kept = self.checkpoint.get(name)
        if kept is not None:
            density.count = max(density.count, kept["gradients"])
            return kept["result"]
        result = compute()
        if getattr(result, "interrupted", False):
            return result
        self.checkpoint.put(name, {"result": result, "gradients": density.count})
        return result


# Passes over many rows, remembered: a fit that was killed goes through the same motions, without the rows.

_NAME = "passes"


@final
class Memo:
    """What passes returned.

    Args:
        checkpoint: where they are kept.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._checkpoint = checkpoint
        self._stored: tuple[Any, ...] = tuple(checkpoint.get(_NAME) or ())
        self._done: list[Any] = []

    def once(self, model: Any, compute: Callable[[], Any]) -> Any:
        """Returns the sums of the next pass: those kept from an earlier run, or new ones."""
        at = len(self._done)
        if at < len(self._stored):
            value, *arrays = self._stored[at]
            sums = model.restored(float(value), arrays)
        else:
            sums = compute()
        self._done.append((sums.log_likelihood, *sums.arrays))
        if at >= len(self._stored):
            self._checkpoint.on_the_way(_NAME, tuple(self._done))
        return sums
