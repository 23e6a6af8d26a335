"""Which method would answer, and why the two directions differ, before anything is computed."""

from dataclasses import asdict, dataclass
from typing import final


@final
@dataclass(frozen=True)
class PlanRow:
    """A row of the table of methods.

    Attributes:
        method: its name, as in `method=`.
        applies: to what, in words.
        gives: the kinds of number it may return.
        forward, reverse: whether it is the one chosen for KL(p||q), for KL(q||p).
    """

    method: str
    applies: str
    gives: str
    forward: bool
    reverse: bool


@final
@dataclass(frozen=True)
class Cell:
    """What one direction needs and does.

    Attributes:
        direction: "KL(p||q)" or "KL(q||p)".
        name: "forward" or "reverse".
        method: the chosen method, or why there is none.
        expectation: under which distribution the mean is taken.
        needs: what must be known.
        does: what minimising it does.
    """

    direction: str
    name: str
    method: str
    expectation: str
    needs: str
    does: str


@final
@dataclass(frozen=True)
class Plan:
    """The table of methods with the chosen rows, and both directions side by side."""

    rows: tuple[PlanRow, ...]
    forward: Cell
    reverse: Cell

    def as_dict(self) -> dict[str, object]:
        """Returns plain JSON values."""
        return asdict(self)

    def __str__(self) -> str:
        lines = [
            f"{c.direction} ({c.name}): {c.method}; {c.expectation}; {c.does}"
            for c in (self.forward, self.reverse)
        ]
        return "\n".join(lines)
