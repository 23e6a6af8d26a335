"""The optima of a fit as a table and as small pictures; which of them are the same, or mirrored."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from kullback.distributions._base import Distribution
from kullback.reports._components import Components, components
from kullback.reports._densities import Backdrop, Curve, densities
from kullback.reports._figures import Column, Gallery, Table
from kullback.reports._line import ceiling, density
from kullback.reports._numbers import (
    aligned,
    full,
    method_of,
    number,
    percent,
    value_of,
    with_error,
)
from kullback.results._fit import Fit

#: Divergences closer than this are the same.
_SAME = 1e-6
#: Parameters closer than this share of the scale are the same.
_CLOSE = 1e-3
#: Coordinates written out.
_MOST_COLUMNS = 4
#: Optima drawn.
_MOST_DRAWN = 6


def optima_table(fit: Fit, describe: Callable[[Distribution], str], title: str) -> Table:
    """Returns the optima, best first: divergence, share of the starts, parameters, relations."""
    best = fit.divergence
    found = [components(o.q) for o in fit.optima]
    known = [c for c in found if c is not None and c.means.shape[1] == 1]
    flat = len(known) == len(found)
    parameters = _parameters(known) if flat else [[describe(o.q)] for o in fit.optima]
    rows = []
    for i, (o, cells, remark) in enumerate(
        zip(fit.optima, parameters, relations(fit), strict=True)
    ):
        above = o.divergence.value - best.value
        gap = "" if i == 0 else "0" if above < _SAME else f"+{full(above, 4)}"
        row = (f"#{i + 1}", with_error(o.divergence), gap, percent(o.share))
        rows.append((*row, *cells, remark))
    names = [Column(n, "right") for n in ("weight", "mean", "sd")] if flat else [Column("q")]
    columns = (
        Column("optimum"),
        Column(f"{best.direction}{f', {best.unit}' if best.unit else ''}", "right"),
        Column("above the best", "right"),
        Column("share of starts", "right"),
        *names,
        Column("note"),
    )
    return Table(title, columns, tuple(rows), _caption(fit))


def relations(fit: Fit) -> list[str]:
    """Returns a note for each optimum: the best, a mirror image of another, of the same value."""
    found = ["best"]
    for j, o in enumerate(fit.optima[1:], start=1):
        tie = next(
            (
                i
                for i in range(j)
                if abs(fit.optima[i].divergence.value - o.divergence.value) < _SAME
            ),
            None,
        )
        if tie is None:
            found.append("")
            continue
        centre = _mirror(components(fit.optima[tie].q), components(o.q))
        if centre is None:
            found.append(f"same value as #{tie + 1}")
        else:
            found.append(f"mirror image of #{tie + 1}\nabout x = {number(round(centre, 6), 4)}")
    return found


def optima_gallery(fit: Fit, backdrop: Backdrop, title: str) -> Gallery | None:
    """Returns the density of each optimum before the target; None if there is only one."""
    if len(fit.optima) < 2:
        return None
    behind = replace(backdrop, series=replace(backdrop.series, name=""))
    shown = fit.optima[:_MOST_DRAWN]
    tops = [ceiling(density(o.q), behind.line.x) for o in shown]
    behind = replace(behind, top=max(behind.top, *tops))
    figures = tuple(
        densities(
            f"#{i + 1}: {value_of(o.divergence)}",
            f"{percent(o.share)} of the starts",
            behind,
            [Curve("", fit.direction, o.q)],
            size="small",
        )
        for i, o in enumerate(shown)
    )
    left = len(fit.optima) - len(figures)
    more = f" {left} more are in the table." if left > 0 else ""
    caption = f"Each optimum before p, with its {fit.divergence.direction}.{more}"
    return Gallery(title, figures, caption)


def component_table(fit: Fit, columns: tuple[str, ...]) -> Table | None:
    """Returns weights, means and sds of the best q, one row to a component; None for others."""
    found = components(fit.q)
    if found is None:
        return None
    names = columns[:_MOST_COLUMNS]
    head = [Column("component"), Column("weight", "right")]
    head += [Column(f"{what} of {n}", "right") for what in ("mean", "sd") for n in names]
    values = [found.weights, *found.means.T[: len(names)], *found.sds.T[: len(names)]]
    cells = [aligned([float(v) for v in column]) for column in values]
    rows = tuple((str(i + 1), *row) for i, row in enumerate(zip(*cells, strict=True)))
    left = len(columns) - len(names)
    caption = f"The first {len(names)} of {len(columns)} columns." if left else ""
    return Table("The fitted q", tuple(head), rows, caption)


def _caption(fit: Fit) -> str:
    shown = sum(o.share for o in fit.optima)
    rest = (
        f" The other {percent(1.0 - shown)} of the starts ended elsewhere." if shown < 0.999 else ""
    )
    ways = {method_of(o.divergence) for o in fit.optima}
    return f"{fit.starts} starts. Each divergence was measured anew after the fit ({'; '.join(sorted(ways))}).{rest}"


def _parameters(found: list[Components]) -> list[list[str]]:
    """Returns weights, means and sds of each, one component to a line, digits under digits."""
    columns = []
    for values in (
        [c.weights for c in found],
        [c.means[:, 0] for c in found],
        [c.sds[:, 0] for c in found],
    ):
        texts = iter(aligned([round(float(v), 9) for part in values for v in part]))
        columns.append(["\n".join(next(texts) for _ in part) for part in values])
    return [list(row) for row in zip(*columns, strict=True)]


def _mirror(a: Components | None, b: Components | None) -> float | None:
    """Returns the point about which a and b are mirror images, if they are."""
    if a is None or b is None or a.means.shape[1] != 1 or a.means.shape != b.means.shape:
        return None
    sums = a.means[:, 0] + b.means[::-1, 0]
    scale = float(np.ptp(a.means) + a.sds.max())
    alike = (
        np.ptp(sums) < _CLOSE * scale
        and np.abs(a.sds[:, 0] - b.sds[::-1, 0]).max() < _CLOSE * scale
        and np.abs(a.weights - b.weights[::-1]).max() < _CLOSE
    )
    return 0.5 * float(sums.mean()) if alike else None
