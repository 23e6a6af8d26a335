"""The optima of a fit as a table and as small pictures; which of them are the same, or mirrored."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import final

import numpy as np
from jaxtyping import Float
from rich.table import Table as RichTable

from kullback.distributions.base import Distribution
from kullback.expressions.format import format_distribution
from kullback.render.document import Column, Gallery, Table
from kullback.render.terminal import print_table
from kullback.results.fit import Fit, Optimum, ParameterError
from kullback.views.components import Component, Components, components, print_components
from kullback.views.lines import Backdrop, Curve, ceiling, densities, density
from kullback.views.numbers import (
    aligned,
    figure,
    full,
    method_of,
    near,
    number,
    percent,
    value_of,
    with_error,
)

#: Divergences closer than this are the same.
_SAME = 1e-6
#: Parameters closer than this share of the scale are the same.
_CLOSE = 1e-3
#: Coordinates of a mean, and variables of a component, written out.
_MOST_COLUMNS, _MOST_ROWS = 3, 12
#: Optima drawn.
_MOST_DRAWN = 6


def optima_rows(fit: Fit, describe: Callable[[Distribution], str], title: str) -> Table:
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
    what = "cross-entropy" if fit.divergence.quantity.name == "cross_entropy" else "divergence"
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


# Local optima as a table: those of one value in one row.


@final
@dataclass(frozen=True)
class Group:
    """Optima of one value, such as mirror images; the first stands for them."""

    first: Optimum
    share: float
    size: int


def groups(fit: Fit) -> list[Group]:
    """Returns the optima of a fit, best first, those of one value together."""
    found: list[list[Optimum]] = []
    for optimum in fit.optima:
        value = optimum.divergence.value
        if found and abs(value - found[-1][0].divergence.value) <= _SAME * max(1.0, abs(value)):
            found[-1].append(optimum)
        else:
            found.append([optimum])
    return [Group(g[0], sum(o.share for o in g), len(g)) for g in found]


def print_optima(fit: Fit, *, twin: str = "other of this value") -> RichTable:
    """Returns the table of a fit's optima.

    Args:
        fit: in the unit that is printed.
        twin: what an optimum of the same value is, such as "mirror image".
    """
    found = groups(fit)
    divergence = fit.divergence
    scalar = all(len(c.means) == 1 for g in found for c in print_components(g.first.q)) and all(
        print_components(g.first.q) for g in found
    )
    headers = PARAMETERS if scalar else ("q",)
    rows = [
        [
            figure(g.first.divergence, unit=False),
            f"{round(g.share * fit.starts)} of {fit.starts}",
            *(parameters(print_components(g.first.q)) if scalar else [_expression(g.first)]),
            f"and {g.size - 1} {twin}" if g.size > 1 else "",
        ]
        for g in found
    ]
    names = (f"{divergence.direction}, {divergence.unit}", "reached by", *headers, "")
    return print_table(names, rows, right=(1,))


#: What `parameters` returns.
PARAMETERS = ("means", "sds", "weights")


def parameters(parts: list[Component]) -> list[str]:
    """Returns the parameters of Gaussians of the line, as near as their sds call for."""
    scale = min(c.sds[0] for c in parts)
    return [
        " ".join(near(c.means[0], scale) for c in parts),
        " ".join(near(c.sds[0], scale) for c in parts),
        " ".join(f"{c.weight:.3f}" for c in parts),
    ]


def _expression(optimum: Optimum) -> str:
    return format_distribution(optimum.q, digits=4)


# The parameters of a fitted mixture with their standard errors, one row to a component.

#: Columns of the data written out.
_MOST = 12


def parameter_table(fit: Fit, columns: tuple[str, ...]) -> Table | None:
    """Returns weights, means and sds with their errors; without these where they are not known."""
    found = () if fit.likelihood is None else fit.likelihood.errors
    if found:
        return _table(found, columns)
    return component_table(fit, columns)


def given(value: float, error: float) -> str:
    """Returns a number to the digits that its error leaves.

    Example:
        >>> given(3.14159, 0.012), given(1.5e9, 2.0e6), given(2.0, math.nan)
        ('3.142 ± 0.012', '1.500e+09 ± 2.0e+06', '2')
    """
    if not (math.isfinite(error) and error > 0.0):
        return number(value, 5)
    if error < 1e-5 or error >= 1e6 or abs(value) >= 1e8:
        digits = max(math.floor(math.log10(max(abs(value), error) / error)) + 1, 1)
        return f"{value:.{digits}e} ± {error:.1e}"
    places = max(0, 1 - math.floor(math.log10(error)))
    return f"{value:.{places}f} ± {error:.{places}f}"


def _with_errors(
    found: tuple[ParameterError, ...], columns: tuple[str, ...]
) -> list[tuple[str, ...]]:
    by = {(e.component, e.name, e.column): given(e.value, e.standard_error) for e in found}
    shown = columns[:_MOST]
    rows = []
    for i in sorted({e.component for e in found}):
        cells = ["\n".join(by.get((i, name, c), "") for c in shown) for name in ("mean", "sd")]
        rows.append((str(i), by.get((i, "weight", ""), ""), "\n".join(shown), *cells))
    return rows


def _table(found: tuple[ParameterError, ...], columns: tuple[str, ...]) -> Table:
    head = (
        Column("component"),
        Column("weight", "right"),
        Column("variable"),
        Column("mean", "right"),
        Column("sd", "right"),
    )
    more = f"The first {_MOST} of {len(columns)} variables. " if len(columns) > _MOST else ""
    caption = f"{more}± is one standard error, right where p is in the family."
    return Table("The fitted q", head, tuple(_with_errors(found, columns)), caption)
