"""What a model says of rows: how probable they are."""

from dataclasses import dataclass
from typing import final

from kullback.results._estimate import Estimate


@final
@dataclass(frozen=True)
class Score:
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

    def as_dict(self) -> dict[str, object]:
        """Returns plain JSON values."""
        return {
            "mean": self.mean.as_dict(),
            "rows": self.rows,
            "outside": self.outside,
            "left_out": self.left_out,
        }
