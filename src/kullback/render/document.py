"""What is shown of a result, as data: before it is a page, lines of a terminal, JSON or a picture."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, final

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Float

    Points = Float[np.ndarray, " n"]
    Draws = Float[np.ndarray, "n d"]
else:  # what prints a text, or --help, waits for no NumPy
    Points = Draws = object

#: Whose curve it is; fixes the colour everywhere.
Role = Literal["p", "q", "forward", "reverse", "sample", "neutral"]
#: "signed" fills towards 0, with a tint of its own below it; "bars" are of masses.
Style = Literal["area", "line", "dashed", "signed", "bars", "dots", "cloud"]
#: What a colour says: good, bad, neither.
Tone = Literal["good", "bad", "unsure"]
Size = Literal["wide", "half", "small"]


@final
@dataclass(frozen=True, eq=False)
class Series:
    """One curve, or one set of points.

    Attributes:
        name: for the legend; "" keeps it out of it.
        x, y: the points; the curve breaks where y is NaN or infinite.
        role, style: as above.
        strength: 1 is the full colour, towards 0 it fades.
    """

    name: str
    x: Points
    y: Points
    role: Role
    style: Style = "line"
    strength: float = 1.0


@final
@dataclass(frozen=True)
class Band:
    """A range of x, tinted, with words at its top; its ends may be infinite."""

    low: float
    high: float
    label: str
    tone: Tone = "unsure"


@final
@dataclass(frozen=True)
class Annotation:
    """Words at a point."""

    x: float
    y: float
    text: str


@final
@dataclass(frozen=True)
class Axis:
    """A label, a scale and, where the data should not choose it, a range.

    Attributes:
        label: what is measured.
        span: the range.
        log: powers of ten.
        whole: counts.
        names: what stands at 0, 1, 2 ... instead of numbers.
    """

    label: str
    span: tuple[float, float] | None = None
    log: bool = False
    whole: bool = False
    names: tuple[str, ...] = ()


@final
@dataclass(frozen=True, eq=False)
class Figure:
    """One pair of axes with what is drawn in them."""

    title: str
    caption: str
    x: Axis
    y: Axis
    series: tuple[Series, ...]
    bands: tuple[Band, ...] = ()
    annotations: tuple[Annotation, ...] = ()
    size: Size = "half"


@final
@dataclass(frozen=True, eq=False)
class Corner:
    """Columns one by one along the diagonal, and in pairs below it.

    Attributes:
        title, caption: as of a figure.
        axes: of each column, with its name and its range.
        margins: densities of each column.
        clouds: the draws, which are columns of points: name, role, and (n, columns).
    """

    title: str
    caption: str
    axes: tuple[Axis, ...]
    margins: tuple[tuple[Series, ...], ...]
    clouds: tuple[tuple[str, Role, Draws], ...]


@final
@dataclass(frozen=True)
class Banner:
    """The one thing to know before reading on: a word, why, and what to do."""

    word: str
    tone: Tone
    text: str
    remedy: str = ""


@final
@dataclass(frozen=True)
class Badge:
    """A word with a colour and, for those who do not see it, a sign."""

    text: str
    tone: Tone


@final
@dataclass(frozen=True)
class Bar:
    """A number with a bar: `share` of the cell's width, to the left where negative."""

    text: str
    share: float


@final
class Lines(str):
    """Texts under each other in a cell; a line break within one of them, in a name say, is none."""

    __slots__ = ()

    @classmethod
    def of(cls, parts: Iterable[str]) -> "Lines":
        """Returns a cell with a line for each part."""
        return cls("\n".join(part.replace("\n", " ") for part in parts))


Cell = str | Badge | Bar


@final
@dataclass(frozen=True)
class Head:
    """The head of a column; numbers stand to the right. A terminal leaves out what is `detail`."""

    name: str
    align: Literal["left", "right"] = "left"
    detail: bool = False


def heads(*names: str) -> tuple[Head, ...]:
    """Returns the heads of a table; ">" before a name says that numbers stand below it, to the right."""
    return tuple(Head(n.lstrip(">"), "right" if n.startswith(">") else "left") for n in names)


@final
@dataclass(frozen=True)
class Table:
    """Rows of cells; a newline in a cell starts a new line.

    Attributes:
        title, caption: above and below it.
        columns, rows: the heads, and the cells below them.
        brief: rows that a terminal shows; all by default.
    """

    title: str
    columns: tuple[Head, ...]
    rows: tuple[tuple[Cell, ...], ...]
    caption: str = ""
    brief: int | None = None


@final
@dataclass(frozen=True, eq=False)
class Gallery:
    """Figures or tables side by side, of one size, under one title."""

    title: str
    items: tuple[Figure | Table, ...]
    caption: str = ""


@final
@dataclass(frozen=True)
class Fact:
    """A number that a reader should take away, with its error and kind.

    Attributes:
        label: what it is here, such as "minimised".
        name: of the quantity, such as "KL(p||q)".
        value, detail: the number with its unit; its error, interval and kind.
        line: all of it in one line, for a terminal.
        role: its colour.
        repeated: a table below has it too, so that a terminal leaves it out here.
    """

    label: str
    name: str
    value: str
    detail: str
    line: str
    role: Role | Tone = "neutral"
    repeated: bool = False


@final
@dataclass(frozen=True)
class Notes:
    """Sentences, one to a line, each with its label ("note", "fix") where lines have no bullets."""

    items: tuple[str, ...]
    label: str = ""


@final
@dataclass(frozen=True, eq=False)
class Detail:
    """Blocks that a terminal leaves to the page; they are made when a page is."""

    make: "Callable[[], tuple[Block, ...]]"


Block = Figure | Corner | Gallery | Table | Notes | Detail


@final
@dataclass(frozen=True, eq=False)
class Section:
    """A heading, a sentence or two, and blocks. One with nothing to show is left out."""

    title: str
    lead: str
    blocks: tuple[Block, ...]


@final
@dataclass(frozen=True)
class Live:
    """Two expressions that the live page can be set to, and the unit it begins with."""

    p: str
    q: str
    unit: str


@final
@dataclass(frozen=True, eq=False)
class Document:
    """All that is said of a result, once, for every way to say it.

    Attributes:
        title: what a page is called.
        values: plain values for machines; made when they are asked for.
        headline: lines that say what this is about; a terminal prints them first.
        facts: the numbers to take away.
        sections: in reading order.
        notes: what a careful reader should know.
        provenance: how it was made, as name and value.
        banner: the one thing to know before reading on.
        live: p and q, where they have a place on the live page.
    """

    title: str
    values: Callable[[], Mapping[str, object]]
    headline: tuple[str, ...] = ()
    facts: tuple[Fact, ...] = ()
    sections: tuple[Section, ...] = ()
    notes: tuple[str, ...] = ()
    provenance: tuple[tuple[str, str], ...] = ()
    banner: Banner | None = None
    live: Live | None = None
