"""What a family, or a number of components, was chosen from: a table."""

import math
from collections.abc import Iterator

from rich.table import Table
from rich.text import Text

from kullback.cli import _output
from kullback.cli._numbers import figure
from kullback.results._estimate import Estimate
from kullback.results._selection import Candidate, Selection


def page(selection: Selection) -> Iterator[str | Text | Table]:
    """Yields the candidates, best first, what decided, and who could not take part."""
    rows = [_row(c, taken=i == selection.chosen) for i, c in enumerate(selection.candidates)]
    scored = next((c.held_out for c in selection.candidates if c.held_out is not None), None)
    unit = "nats" if scored is None else scored.unit
    names = ("family", "parameters", "BIC", f"held out, {unit} a row", "behind the best", "")
    yield f"chosen from {len(rows)} candidate(s)"
    yield _output.table(names, rows, right=(1, 2))
    yield _output.line(f"chosen by {selection.rule}", indent="  ")
    for reason in selection.skipped:
        yield _output.line(f"left out: {reason}", indent="  ")


def _row(candidate: Candidate, *, taken: bool) -> list[str]:
    return [
        candidate.family,
        str(candidate.parameters),
        f"{candidate.bic:.1f}" if math.isfinite(candidate.bic) else "infinite",
        _score(candidate.held_out),
        _score(candidate.behind),
        "chosen" if taken else "",
    ]


def _score(estimate: Estimate | None) -> str:
    if estimate is None:
        return ""
    if estimate.kind == "infinite":
        return "infinite" if estimate.value > 0.0 else "minus infinity"
    return figure(estimate, unit=False)
