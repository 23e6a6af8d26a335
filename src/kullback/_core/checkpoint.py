"""Results of the stages of a long computation, kept so that a killed run can go on with the same bits."""

import time
from collections.abc import Callable
from typing import Any, final

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
