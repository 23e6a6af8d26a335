"""Which method would answer, and why the two directions differ, before anything is computed."""

from dataclasses import dataclass
from typing import ClassVar, final

from kullback.results.serialise import Shown
from kullback.results.status import Status


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
        status: refused where there is no method.
    """

    direction: str
    name: str
    method: str
    expectation: str
    needs: str
    does: str
    status: Status = Status.DONE


@final
@dataclass(frozen=True)
class Plan(Shown):
    """The table of methods with the chosen rows, and both directions side by side.

    Attributes:
        rows: the methods that measure or, with a family, the routes that fit.
        forward, reverse: both directions.
        family: what would be fitted; "" for a plan of measuring.
    """

    derived: ClassVar[dict[str, str]] = {"status": "status"}

    rows: tuple[PlanRow, ...]
    forward: Cell
    reverse: Cell
    family: str = ""

    @property
    def status(self) -> Status:
        """Refused where no method answers in either direction."""
        return self.reverse.status if self.forward.status is Status.REFUSED else Status.DONE

    def __str__(self) -> str:
        lines = [
            f"{c.direction} ({c.name}): {c.method}; {c.expectation}; {c.does}"
            for c in (self.forward, self.reverse)
        ]
        return "\n".join(lines)
