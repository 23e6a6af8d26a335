"""The optima of a fit as a table and as small pictures; which of them are the same, or mirrored."""

import math
from dataclasses import dataclass, replace
from typing import final

import numpy as np
from jaxtyping import Float

from kullback.expressions.format import format_distribution
from kullback.render.document import Gallery, Lines, Table, heads
from kullback.results.fit import Fit, Optimum
from kullback.results.likelihood import ParameterError
from kullback.views.components import ComponentColumn, Gaussians, components, parts
from kullback.views.curves import Backdrop, Curve, densities
from kullback.views.lines import ceiling, density
from kullback.views.numbers import aligned, method_of, near, number, percent, value_of, with_error

#: Divergences closer than this are the same.
_SAME = 1e-6
#: Parameters closer than this share of the scale are the same.
_CLOSE = 1e-3
#: Coordinates of a mean that are written out, and up to which all of q is.
_MOST_COLUMNS = _WRITTEN = 3
#: Optima drawn.
_MOST_DRAWN = 6
#: Above the optima of a fit from several starts.
OPTIMA = (
    "Where an optimiser ends depends on where it starts; a fit from one start may be any of these."
)


@final
@dataclass(frozen=True)
class Group:
    """Optima of one value, such as mirror images; the first stands for them."""

    first: Optimum
    share: float
    note: str


def optima_table(fit: Fit, title: str) -> Table:
    """Returns the optima, best first, those of one value in one row.

    Each with its divergence, how many starts reached it, and its parameters.
    """
    best, optima = fit.divergence, groups(fit)
    gaussians = [c for g in optima if (c := components(g.first.q)) is not None]
    gaussian = len(gaussians) == len(optima) and not 1 < fit.q.support.dimension <= _WRITTEN
    names, parameters = ("q",), [(format_distribution(g.first.q, digits=4),) for g in optima]
    if gaussian:
        names, parameters = _parameters(gaussians)
    rows = []
    for i, (g, cells) in enumerate(zip(optima, parameters, strict=True)):
        gap = f"{g.first.divergence.value - best.value:+#.4g}" if i else ""
        reached = f"{round(g.share * fit.starts)} of {fit.starts}"
        rows.append((f"#{i + 1}", with_error(g.first.divergence), gap, reached, *cells, g.note))
    side = ">" if gaussian else ""
    columns = heads(
        "optimum", f">{best.direction}, {best.unit}".rstrip(", "), ">above the best", ">reached by",
        *(side + n for n in names), "",
    )  # fmt: skip
    return Table(title, columns, tuple(rows), _caption(fit))


def groups(fit: Fit) -> list[Group]:
    """Returns the optima of a fit, best first, those of one value together."""
    same: list[list[Optimum]] = []
    for optimum in fit.optima:
        value = optimum.divergence.value
        if same and abs(value - same[-1][0].divergence.value) <= _SAME * max(1.0, abs(value)):
            same[-1].append(optimum)
        else:
            same.append([optimum])
    return [Group(g[0], sum(o.share for o in g), _twins(g)) for g in same]


def _twins(group: list[Optimum]) -> str:
    """Returns what the others of one value are: mirror images, or just others."""
    if len(group) == 1:
        return ""
    centre = _mirror(components(group[0].q), components(group[1].q))
    if centre is None or len(group) > 2:
        return f"and {len(group) - 1} other of this value"
    return f"and its mirror image about x = {number(round(centre, 6), 4)}"


def optima_gallery(fit: Fit, backdrop: Backdrop) -> tuple[Gallery, ...]:
    """Returns the density of each optimum before the target; nothing if there is only one."""
    if len(fit.optima) < 2:
        return ()
    optima = groups(fit)
    shown = optima[:_MOST_DRAWN]
    tops = [ceiling(density(g.first.q), backdrop.line) for g in shown]
    unnamed = replace(backdrop.series, name="")
    behind = replace(backdrop, series=unnamed, top=max(backdrop.top, *tops))
    figures = tuple(
        densities(
            f"#{i + 1}: {value_of(g.first.divergence)}",
            f"{percent(g.share)} of the starts",
            behind,
            [Curve("", fit.direction, g.first.q)],
            size="small",
        )
        for i, g in enumerate(shown)
    )
    left = len(optima) - len(figures)
    more = f" {left} more are in the table." if left > 0 else ""
    caption = f"Each optimum before p, with its {fit.divergence.direction}.{more}"
    return (Gallery("", figures, caption),)


def _caption(fit: Fit) -> str:
    other = 1.0 - sum(o.share for o in fit.optima)
    rest = f" The other {percent(other)} of the starts ended elsewhere." if other > 0.001 else ""
    what = "cross-entropy" if fit.divergence.quantity.name == "cross_entropy" else "divergence"
    ways = "; ".join(sorted({method_of(o.divergence) for o in fit.optima}))
    starts = f"{fit.starts} start{'' if fit.starts == 1 else 's'}"
    return f"{starts}. Each {what} was measured again after the fit ({ways}).{rest}"


def _parameters(optima: list[Gaussians]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Returns the names of the columns, and for each q one component to a line."""
    if optima[0].means.shape[1] == 1:
        tiny = _SAME * max(float(c.sds.max()) for c in optima)
        firsts = [np.where(np.abs(c.means[:, 0]) < tiny, 0.0, c.means[:, 0]) for c in optima]
        means, sds = _stacked(firsts), _stacked([c.sds[:, 0] for c in optima])
    else:
        means, sds = (
            [Lines.of(_vector(v) for v in getattr(c, of)) for c in optima]
            for of in ("means", "sds")
        )
    weights = _stacked([c.weights for c in optima])
    return ("weight", "mean", "sd"), list(zip(weights, means, sds, strict=True))


def _stacked(values: list[Float[np.ndarray, " k"]]) -> list[str]:
    texts = iter(aligned([float(v) for part in values for v in part]))
    return [Lines.of(next(texts) for _ in part) for part in values]


def _vector(mean: Float[np.ndarray, " d"]) -> str:
    more = ", …" if len(mean) > _MOST_COLUMNS else ""
    return f"({', '.join(number(float(v), 4) for v in mean[:_MOST_COLUMNS])}{more})"


def _mirror(a: Gaussians | None, b: Gaussians | None) -> float | None:
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


# The parameters of a fitted mixture, with their standard errors where they are known.

_ERRORS = "± is one standard error; standard errors assume that the model is well specified."


def parameter_table(fit: Fit, columns: tuple[str, ...]) -> Table | None:
    """Returns weights, means and sds, one row to a component; None where q has no components."""
    errors = () if fit.likelihood is None else fit.likelihood.errors
    shown = parts(fit.q, columns, fit.labels)
    if errors:
        return _parameter_rows(_with_errors(errors), _ERRORS)
    if not shown:
        return None
    by: dict[int, list[ComponentColumn]] = {}
    for part in shown:
        by.setdefault(part.component, []).append(part)
    weights = aligned([found[0].weight for found in by.values()])
    rows = [
        (
            str(i), weight, Lines.of(p.column for p in found),
            Lines.of("" if p.mean is None or p.sd is None else near(p.mean, p.sd) for p in found),
            Lines.of("" if p.sd is None else near(p.sd, p.sd) for p in found),
            "" if math.isinf(found[0].df) else f"{found[0].df:.3g}",
            Lines.of(p.labels for p in found),
        )
        for (i, found), weight in zip(by.items(), weights, strict=True)
    ]  # fmt: skip
    return _parameter_rows(rows, "")


def _parameter_rows(rows: list[tuple[str, ...]], caption: str) -> Table:
    """Returns the table of parameters, without the columns in which nothing stands."""
    columns = heads("component", ">weight", "column", ">mean", ">sd", ">df", "labels")
    kept = [i for i in range(len(rows[0])) if any(row[i].strip() for row in rows)]
    cells = tuple(tuple(row[i] for i in kept) for row in rows)
    return Table("", tuple(columns[i] for i in kept), cells, caption)


def _with_errors(errors: tuple[ParameterError, ...]) -> list[tuple[str, ...]]:
    by = {(e.component, e.name, e.column): rounded(e.value, e.standard_error) for e in errors}
    columns = list(dict.fromkeys(e.column for e in errors if e.column))
    rows = []
    for i in sorted({e.component for e in errors}):
        cells = [Lines.of(by.get((i, name, c), "") for c in columns) for name in ("mean", "sd")]
        rows.append((str(i), by.get((i, "weight", ""), ""), Lines.of(columns), *cells))
    return rows


def rounded(value: float, error: float) -> str:
    """Returns a number to the digits that its error leaves.

    Example:
        >>> rounded(3.14159, 0.012), rounded(1.5e9, 2.0e6), rounded(2.0, math.nan)
        ('3.142 ± 0.012', '1.500e+09 ± 2.0e+06', '2')
    """
    if not (math.isfinite(error) and error > 0.0):
        return number(value, 5)
    if error < 1e-5 or error >= 1e6 or abs(value) >= 1e8:
        digits = max(math.floor(math.log10(max(abs(value), error) / error)) + 1, 1)
        return f"{value:.{digits}e} ± {error:.1e}"
    places = max(0, 1 - math.floor(math.log10(error)))
    return f"{value:.{places}f} ± {error:.{places}f}"
