"""One exact value recomputed on this machine."""

from dataclasses import dataclass
from typing import final

from kullback.results._estimate import Estimate


@final
@dataclass(frozen=True)
class Check:
    """A known value, what this installation finds, and whether they agree."""

    name: str
    expected: float
    found: Estimate | None
    passed: bool
    detail: str
