"""What a family, or a number of components, was chosen from: a table and, of numbers of components, figures."""

import re

import numpy as np

from kullback.reports._figures import (
    Axis,
    Badge,
    Block,
    Cell,
    Column,
    Figure,
    Gallery,
    Series,
    Table,
)
from kullback.reports._numbers import with_error
from kullback.reports._rungs import in_words
from kullback.results._estimate import Estimate
from kullback.results._selection import Candidate, Selection

_COMPONENTS = re.compile(r"Mixture\(k=(\d+)")


def selection_blocks(found: Selection) -> tuple[Block, ...]:
    """Returns the candidates as a table and, where they differ in their number of components, as figures."""
    table = _table(found)
    figures = _figures(found)
    return (table,) if figures is None else (table, figures)


def _table(found: Selection) -> Table:
    unit = next((c.held_out.unit for c in found.candidates if c.held_out is not None), "nats")
    columns = (
        Column("family"),
        Column("parameters", "right"),
        Column("log likelihood", "right"),
        Column("BIC", "right"),
        Column("ICL", "right"),
        Column(f"left out, {unit} a row", "right"),
        Column("behind the best", "right"),
    )
    rows = tuple(_row(c, taken=i == found.chosen) for i, c in enumerate(found.candidates))
    skipped = f" Left out: {'; '.join(found.skipped)}." if found.skipped else ""
    caption = (
        f"Taken (✓) by {found.rule}. BIC and ICL are better when smaller; ICL adds to BIC what the memberships leave "
        "open. How far a score is behind the best is measured row by row, so its error is smaller than those "
        f"of the scores.{skipped}"
    )
    return Table("", columns, rows, caption)


def _row(c: Candidate, *, taken: bool) -> tuple[Cell, ...]:
    name = in_words(c.family)
    return (
        Badge(name, "good") if taken else name,
        str(c.parameters),
        f"{c.log_likelihood:.2f}",
        f"{c.bic:.2f}",
        "" if c.icl is None else f"{c.icl:.2f}",
        "" if c.held_out is None else with_error(c.held_out),
        "" if c.behind is None else with_error(c.behind),
    )


def _figures(found: Selection) -> Gallery | None:
    """The score on rows left out, and BIC, against the number of components."""
    names = [_COMPONENTS.match(c.family) for c in found.candidates]
    known = [(int(m[1]), c) for m, c in zip(names, found.candidates, strict=True) if m is not None]
    if len(known) < max(2, len(found.candidates)) or len({k for k, _ in known}) < len(known):
        return None
    known.sort(key=lambda pair: pair[0])
    figures = [f for f in (_scores(known), _bic(known, found)) if f is not None]
    return Gallery("", tuple(figures))


def _scores(known: list[tuple[int, Candidate]]) -> Figure | None:
    scored = [(k, c.held_out, c.behind) for k, c in known if c.held_out is not None]
    if len(scored) < 2:
        return None
    x = np.array([float(k) for k, _, _ in scored])
    y = np.array([held.value for _, held, _ in scored])
    reach = np.array([1.96 * _error(behind) for _, _, behind in scored])
    bars = np.stack([y - reach, y + reach, np.full(len(y), np.nan)]).T.ravel()
    return Figure(
        "Score on rows left out",
        "The higher the better. Bars: 95 % intervals of the difference to the best, row by row.",
        _axis(x),
        Axis(f"{scored[0][1].unit} a row"),
        (
            Series("", x, y, "forward", "line", 0.5),
            Series("", np.repeat(x, 3), bars, "forward", "line"),
            Series("", x, y, "forward", "dots"),
        ),
    )


def _bic(known: list[tuple[int, Candidate]], found: Selection) -> Figure:
    x = np.array([float(k) for k, _ in known])
    bic = np.array([c.bic for _, c in known])
    icl = np.array([np.nan if c.icl is None else c.icl for _, c in known])
    best = next(k for k, c in known if c is found.best)
    series = [
        Series("BIC", x, bic - np.nanmin(bic), "q", "line"),
        Series("", x, bic - np.nanmin(bic), "q", "dots"),
    ]
    if np.isfinite(icl).any():
        least = np.nanmin(icl)
        series += [
            Series("ICL", x, icl - least, "neutral", "dashed"),
            Series("", x, icl - least, "neutral", "dots"),
        ]
    return Figure(
        "BIC and ICL above their lowest",
        f"The lower the better; {best} component(s) were taken.",
        _axis(x),
        Axis("above the lowest"),
        tuple(series),
    )


def _axis(x: np.ndarray) -> Axis:
    return Axis("components", (float(x.min()) - 0.3, float(x.max()) + 0.3), whole=True)


def _error(behind: Estimate | None) -> float:
    return 0.0 if behind is None else behind.standard_error
