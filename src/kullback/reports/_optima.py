"""The optima of a fit as a table and as small pictures; which of them are the same, or mirrored."""

from collections.abc import Callable

import numpy as np

from kullback.distributions._base import Distribution
from kullback.reports._components import Components, components
from kullback.reports._densities import Backdrop, Curve, densities
from kullback.reports._figures import Cell, Column, Gallery, Table
from kullback.reports._numbers import kind_of, number, percent, value_of, with_error
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
    remarks = relations(fit)
    flat = all(_is_flat(components(o.q)) for o in fit.optima)
    rows = []
    for i, o in enumerate(fit.optima):
        above = o.divergence.value - fit.optima[0].divergence.value
        row: list[Cell] = [
            f"#{i + 1}",
            with_error(o.divergence),
            "" if i == 0 else f"+{number(max(above, 0.0), 4)}",
            percent(o.share),
        ]
        row += _parameters(components(o.q)) if flat else [describe(o.q)]
        rows.append((*row, remarks[i]))
    unit = f", {best.unit}" if best.unit else ""
    names = (
        [Column("weight", "right"), Column("mean", "right"), Column("sd", "right")]
        if flat
        else [Column("q")]
    )
    columns = (
        Column("optimum"),
        Column(f"{best.direction}{unit}", "right"),
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
            found.append(f"mirror image of #{tie + 1} about x = {number(round(centre, 6), 4)}")
    return found


def optima_gallery(fit: Fit, backdrop: Backdrop, title: str) -> Gallery | None:
    """Returns the density of each optimum before the target; None if there is only one."""
    if len(fit.optima) < 2:
        return None
    figures = []
    for i, o in enumerate(fit.optima[:_MOST_DRAWN]):
        head = f"#{i + 1}: {value_of(o.divergence)}"
        curve = Curve("", fit.direction, o.q)
        figures.append(
            densities(head, f"{percent(o.share)} of the starts", backdrop, [curve], size="small")
        )
    unnamed = tuple(_without_legend(f) for f in figures)
    left = len(fit.optima) - len(figures)
    more = f" {left} more are in the table." if left > 0 else ""
    return Gallery(
        title, unnamed, f"Each optimum before p, with its {fit.divergence.direction}.{more}"
    )


def component_table(fit: Fit, columns: tuple[str, ...]) -> Table | None:
    """Returns weights, means and sds of the best q, one row to a component; None for others."""
    found = components(fit.q)
    if found is None:
        return None
    names = columns[:_MOST_COLUMNS]
    head = [Column("component"), Column("weight", "right")]
    head += [Column(f"{what} of {n}", "right") for what in ("mean", "sd") for n in names]
    rows = tuple(
        (
            str(i + 1),
            number(float(found.weights[i]), 5),
            *(number(float(v), 5) for v in found.means[i, : len(names)]),
            *(number(float(v), 5) for v in found.sds[i, : len(names)]),
        )
        for i in range(len(found.weights))
    )
    left = len(columns) - len(names)
    caption = f"The first {len(names)} of {len(columns)} columns." if left else ""
    return Table("The fitted q", tuple(head), rows, caption)


def _caption(fit: Fit) -> str:
    shown = sum(o.share for o in fit.optima)
    rest = (
        f" The other {percent(1.0 - shown)} of the starts ended elsewhere." if shown < 0.999 else ""
    )
    ways = {kind_of(o.divergence).split(", n =")[0] for o in fit.optima}
    return f"{fit.starts} starts. Each divergence was measured anew after the fit ({'; '.join(sorted(ways))}).{rest}"


def _is_flat(c: Components | None) -> bool:
    return c is not None and c.means.shape[1] == 1


def _parameters(c: Components | None) -> list[Cell]:
    assert c is not None
    columns = (c.weights, c.means[:, 0], c.sds[:, 0])
    return ["\n".join(number(round(float(v), 6), 5) for v in column) for column in columns]


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
