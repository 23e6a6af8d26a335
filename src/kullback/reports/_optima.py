"""The optima of a fit as a table and as small pictures; which of them are the same, or mirrored."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from jaxtyping import Float

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
#: Coordinates of a mean, and variables of a component, written out.
_MOST_COLUMNS, _MOST_ROWS = 3, 12
#: Optima drawn.
_MOST_DRAWN = 6


def optima_table(fit: Fit, describe: Callable[[Distribution], str], title: str) -> Table:
    """Returns the optima, best first: divergence, share of the starts, parameters, relations."""
    best = fit.divergence
    known = [c for c in (components(o.q) for o in fit.optima) if c is not None]
    gaussian = len(known) == len(fit.optima)
    names, parameters = (
        _parameters(known) if gaussian else (("q",), [(describe(o.q),) for o in fit.optima])
    )
    rows = []
    for i, (o, cells, remark) in enumerate(
        zip(fit.optima, parameters, relations(fit), strict=True)
    ):
        above = o.divergence.value - best.value
        gap = "" if i == 0 else "0" if above < _SAME else f"+{full(above, 4)}"
        row = (f"#{i + 1}", with_error(o.divergence), gap, percent(o.share))
        rows.append((*row, *cells, remark))
    columns = (
        Column("optimum"),
        Column(f"{best.direction}{f', {best.unit}' if best.unit else ''}", "right"),
        Column("above the best", "right"),
        Column("share of starts", "right"),
        *(Column(n, "right" if gaussian else "left") for n in names),
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
    tops = [ceiling(density(o.q), behind.line) for o in shown]
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
    names = columns[:_MOST_ROWS]
    means, sds = (
        [aligned([float(v) for v in column]) for column in table.T[: len(names)]]
        for table in (found.means, found.sds)
    )
    rows = tuple(
        (
            str(i + 1),
            weight,
            "\n".join(names),
            *("\n".join(c[i] for c in cells) for cells in (means, sds)),
        )
        for i, weight in enumerate(aligned([float(w) for w in found.weights]))
    )
    head = (
        Column("component"),
        Column("weight", "right"),
        Column("variable"),
        Column("mean", "right"),
        Column("sd", "right"),
    )
    left = len(columns) - len(names)
    caption = f"The first {len(names)} of {len(columns)} variables." if left else ""
    return Table("The fitted q", head, rows, caption)


def _caption(fit: Fit) -> str:
    shown = sum(o.share for o in fit.optima)
    rest = (
        f" The other {percent(1.0 - shown)} of the starts ended elsewhere." if shown < 0.999 else ""
    )
    what = "cross-entropy" if fit.divergence.quantity == "cross_entropy" else "divergence"
    ways = "; ".join(sorted({method_of(o.divergence) for o in fit.optima}))
    return f"{fit.starts} starts. Each {what} was measured anew after the fit ({ways}).{rest}"


def _parameters(found: list[Components]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Returns the names of the columns, and for each q one component to a line."""
    weights = _stacked([c.weights for c in found])
    if found[0].means.shape[1] == 1:
        tiny = _SAME * max(float(c.sds.max()) for c in found)
        means = [np.where(np.abs(c.means[:, 0]) < tiny, 0.0, c.means[:, 0]) for c in found]
        columns = (weights, _stacked(means), _stacked([c.sds[:, 0] for c in found]))
        return ("weight", "mean", "sd"), list(zip(*columns, strict=True))
    means = ["\n".join(_vector(m) for m in c.means) for c in found]
    return ("weight", "mean"), list(zip(weights, means, strict=True))


def _stacked(values: list[Float[np.ndarray, " k"]]) -> list[str]:
    texts = iter(aligned([float(v) for part in values for v in part]))
    return ["\n".join(next(texts) for _ in part) for part in values]


def _vector(mean: Float[np.ndarray, " d"]) -> str:
    more = ", …" if len(mean) > _MOST_COLUMNS else ""
    return f"({', '.join(number(float(v), 4) for v in mean[:_MOST_COLUMNS])}{more})"


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
