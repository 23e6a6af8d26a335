"""How probable a model says that rows are."""

import math
from dataclasses import dataclass
from typing import final

from kullback.results.estimate import Estimate
from kullback.results.serialise import Shown
from kullback.results.status import Status


@final
@dataclass(frozen=True)
class Score(Shown):
    """The log densities of rows, in short.

    Attributes:
        mean: E_p[log q] over the rows within the support of q.
        rows: how many there were.
        outside: rows of which q says that they cannot be: their log density is -inf.
        left_out: rows without a score, because cells in them were missing.
    """

    mean: Estimate
    rows: int
    outside: int
    left_out: int

    @property
    def status(self) -> Status:
        """Unresolved where no row has a score."""
        return Status.DONE if math.isfinite(self.mean.value) else Status.UNRESOLVED
