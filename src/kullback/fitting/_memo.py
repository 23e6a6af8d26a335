"""Passes over many rows, remembered: a fit that was killed goes through the same motions, without the rows.

A climb is a function of what its passes return. Kept in order, they bring a new run to where the old one
was with the same bits.
"""

from collections.abc import Callable
from typing import Any, final

from kullback._core.checkpoint import Checkpoint

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
