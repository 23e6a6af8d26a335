"""Figures of the plane: draws, ellipses of components, lines of equal density, margins."""

import itertools
import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from kullback.distributions.base import Distribution
from kullback.distributions.compound import Mixture
from kullback.distributions.real import Normal
from kullback.distributions.transported import Approximation
from kullback.render.document import Axis, Corner, Figure, Gallery, Role, Series, Size
from kullback.results.fit import Fit
from kullback.results.posterior import Coordinate, Posterior, columns
from kullback.views.components import Gaussians, components
from kullback.views.curves import Curve, densities, of_samples

Table2D = Float[np.ndarray, "n d"]
Box = tuple[tuple[float, float], tuple[float, float]]

_MOST_POINTS = 2000
#: Columns shown in pairs.
MOST_COLUMNS = 4
_SIDE = 180
#: A density of the plane is shown down to this many nats below its top.
_FAINT = 6.0
_TRIES = 8
_MASSES = (0.5, 0.9, 0.99)
_CIRCLE = np.linspace(0.0, 2.0 * math.pi, 73)


def thinned(
    samples: Table2D, weights: Float[np.ndarray, " n"] | None
) -> Float[np.ndarray, "few d"]:
    """Returns at most 2000 rows: the first drawn without return, in proportion to their weights."""
    n = len(samples)
    if n <= _MOST_POINTS and weights is None:
        return samples
    chance = None if weights is None else weights / weights.sum()
    size = min(n, _MOST_POINTS)
    picked = np.random.default_rng(0).choice(n, size, replace=weights is not None, p=chance)
    return samples[np.sort(picked)]


def pair(
    samples: Table2D, q: Distribution, role: Role, axes: tuple[int, int], names: tuple[str, str],
    *, title: str = "", size: Size = "half", caption: str = "",
) -> Figure:  # fmt: skip
    """Returns two columns of samples against each other, with the ellipses of q's components."""
    i, j = axes
    cloud = Series("samples of p", samples[:, i], samples[:, j], "sample", "cloud")
    gaussians = components(q)
    ellipses = () if gaussians is None else rings(gaussians, axes, role)
    return Figure(
        title, caption, Axis(names[0], _reach(samples[:, i])), Axis(names[1], _reach(samples[:, j])),
        (cloud, *ellipses), size=size,
    )  # fmt: skip


def rings(gaussians: Gaussians, axes: tuple[int, int], role: Role) -> tuple[Series, ...]:
    """Returns the ellipses one, two and three sds from the mean of every component."""
    unit = np.stack([np.cos(_CIRCLE), np.sin(_CIRCLE)])
    picked = np.array(axes)
    series = []
    for reach, strength in ((1.0, 1.0), (2.0, 0.7), (3.0, 0.45)):
        parts = []
        for mean, covariance in zip(gaussians.means, gaussians.covariances, strict=True):
            root = np.linalg.cholesky(covariance[np.ix_(picked, picked)])
            parts.append(mean[picked, None] + reach * root @ unit)
            parts.append(np.full((2, 1), np.nan))
        x, y = np.concatenate(parts, axis=1)
        name = "q: 1, 2, 3 sd" if reach == 1.0 else ""
        series.append(Series(name, x, y, role, "line", strength))
    return tuple(series)


def pairs(samples: Table2D, fit: Fit, columns: tuple[str, ...]) -> Gallery:
    """Returns all pairs of the first columns."""
    shown = range(min(len(columns), MOST_COLUMNS))
    figures = tuple(
        pair(
            samples, fit.q, fit.direction, (i, j), (columns[i], columns[j]),
            title=f"{columns[j]} against {columns[i]}",
        )
        for i, j in itertools.combinations(shown, 2)
    )  # fmt: skip
    left = len(columns) - len(shown)
    more = f" The first {len(shown)} of {len(columns)} columns." if left else ""
    return Gallery(
        "Columns in pairs", figures,
        f"{len(samples)} rows as points; ellipses 1, 2 and 3 sd around each component of q.{more}",
    )  # fmt: skip


def margins(
    samples: Table2D, weights: Float[np.ndarray, " n"] | None, fit: Fit, columns: tuple[str, ...]
) -> Gallery | None:
    """Returns the histogram of each of the first columns with the margin of q; None if not Gaussian."""
    gaussians = components(fit.q)
    if gaussians is None:
        return None
    figures = []
    for i, name in enumerate(columns[:MOST_COLUMNS]):
        margin = _margin(gaussians, i)
        behind = of_samples(samples[:, i], weights, [margin], points=200)
        curve = Curve("q", fit.direction, margin)
        figures.append(densities(name, "", behind, [curve], x_label=name, size="half"))
    return Gallery("Columns one by one", tuple(figures))


def contours(shown: Sequence[tuple[str, Role, Distribution]], box: Box) -> tuple[Series, ...]:
    """Returns, for each density, the lines that hold 50, 90 and 99 % of its mass in the box."""
    x, y = (np.linspace(*ends, _SIDE) for ends in box)
    grid = np.stack(np.meshgrid(x, y), axis=-1)
    series = []
    for name, role, d in shown:
        log_z = d.log_prob(grid.reshape(-1, 2)).reshape(_SIDE, _SIDE)
        z = np.exp(log_z - log_z.max())
        for level, strength in zip(levels(z, _MASSES), (1.0, 0.7, 0.45), strict=True):
            lines = contour(x, y, z, level)
            series.append(Series(name if strength == 1.0 else "", *lines, role, "line", strength))
    return tuple(series)


def plane(
    title: str, shown: Sequence[tuple[str, Role, Distribution]], box: Box, names: tuple[str, str]
) -> Figure:
    """Returns densities of the plane by their contours."""
    return Figure(
        title, "Lines of equal density that hold 50, 90 and 99 % of the mass.",
        Axis(names[0], box[0]), Axis(names[1], box[1]), contours(shown, box), size="wide",
    )  # fmt: skip


def box_of(*distributions: Distribution) -> Box | None:
    """Returns the rectangle that holds densities of the plane; None where it is not known."""
    corners = [c for d in distributions if (c := _hull(d)) is not None]
    if not corners:
        return None
    low = np.min([c[0] for c in corners], axis=0)
    high = np.max([c[1] for c in corners], axis=0)
    if len(corners) < len(distributions):
        low, high = _grown(distributions, low, high)
    pad = 0.03 * (high - low)
    (a, c), (b, d) = (low - pad).tolist(), (high + pad).tolist()
    return (a, b), (c, d)


def _hull(d: Distribution) -> tuple[np.ndarray, np.ndarray] | None:
    gaussians = components(d)
    if gaussians is not None:
        reach = 3.3 * gaussians.sds
        return (gaussians.means - reach).min(axis=0), (gaussians.means + reach).max(axis=0)
    pieces = d.strata()
    if not pieces:
        return None
    rng = np.random.default_rng(0)
    x = np.concatenate([s.transport(rng.standard_normal((4000, s.dimension))) for s in pieces])
    return np.quantile(x, 0.0005, axis=0), np.quantile(x, 0.9995, axis=0)


def _grown(
    distributions: Sequence[Distribution], low: np.ndarray, high: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the rectangle around all places where a density is more than faint."""
    for _ in range(_TRIES):
        reach = 0.6 * (high - low)
        wide = low - reach, high + reach
        axes = [np.linspace(a, b, _SIDE) for a, b in zip(*wide, strict=True)]
        grid = np.stack(np.meshgrid(*axes), axis=-1).reshape(-1, 2)
        logs = [d.log_prob(grid) for d in distributions]
        seen = grid[np.any([v > v.max() - _FAINT for v in logs], axis=0)]
        low, high = seen.min(axis=0), seen.max(axis=0)
        if (low > wide[0]).all() and (high < wide[1]).all():
            break
    return low, high


def _margin(gaussians: Gaussians, i: int) -> Distribution:
    parts = tuple(
        Normal(float(m), float(s))
        for m, s in zip(gaussians.means[:, i], gaussians.sds[:, i], strict=True)
    )
    return parts[0] if len(parts) == 1 else Mixture(gaussians.weights, parts)


def _reach(values: Float[np.ndarray, " n"]) -> tuple[float, float]:
    """Returns the range of the samples and a little more; ellipses beyond it are cut off."""
    low, high = float(values.min()), float(values.max())
    pad = 0.08 * (high - low)
    return low - pad, high + pad


# Draws of q beside draws of p, for the parameters in which they differ most.

Values = Float[np.ndarray, " n"]

#: Parameters drawn, and points of each of p and q in all pairs together.
MOST_PARAMETERS, _POINTS = 5, 4500
#: What is left out of the picture at each end.
_TAIL = 0.003
#: The axis is logarithmic where the 97.5th percentile is so many times the 2.5th.
_SPREAD = 200.0
_GRID = 200


def pictures(fit: Fit, posterior: Posterior) -> Corner | Figure | None:
    """Returns plain draws of q before tempered draws of p; None if there is nothing to draw."""
    bare = isinstance(fit.q, Approximation) and fit.q.bare
    q, p = (columns(d, bare=bare) for d in (posterior.draws.plain, posterior.draws.tempered))
    names = [n for n in worst(posterior.parameters) if n in q and _varies(q[n]) and _varies(p[n])]
    if not names:
        return None
    axes = tuple(_axis(n, q[n], p[n]) for n in names)
    margins = tuple(_margins(a, q[a.label], p[a.label]) for a in axes)
    caption = _caption(posterior, len(names))
    title = "Draws of q and of p"
    if len(names) == 1:
        return Figure(title, caption, axes[0], Axis("density", (0.0, _top(margins[0]))), margins[0])
    pairs = len(names) * (len(names) - 1) // 2
    few = min(max(_POINTS // pairs, 250), len(q[names[0]]), len(p[names[0]]))
    clouds: list[tuple[str, Role, np.ndarray]] = [
        ("p: tempered SMC", "p", _table(p, names, few)),
        ("q", "reverse", _table(q, names, few)),
    ]
    return Corner(title, caption, axes, margins, tuple(clouds))


def worst(parameters: tuple[Coordinate, ...]) -> list[str]:
    """Returns the parameters in which p and q differ most, the worst first; all as they are if few."""
    if len(parameters) <= MOST_PARAMETERS:
        return [p.name for p in parameters]
    ranked = sorted(parameters, key=distance, reverse=True)
    return [p.name for p in ranked[:MOST_PARAMETERS]]


def distance(p: Coordinate) -> float:
    """Returns how far a parameter is off: its shift in sds, or the log ratio of sds if that is more."""
    if p.fixed:
        return -math.inf
    shift, ratio = abs(p.mean_shift.value), p.shrinkage.value
    log_ratio = abs(math.log(ratio)) if ratio > 0.0 else math.inf
    return math.inf if math.isnan(shift + log_ratio) else max(shift, log_ratio)


def _caption(posterior: Posterior, shown: int) -> str:
    total = len(posterior.parameters)
    left = (
        f"The {shown} of {total} parameters with the largest shift of a mean or ratio of sds, the worst first. "
        if shown < total
        else ""
    )
    arrived = posterior.routes[-1].kind != "unresolved"
    doubt = "" if arrived else " SMC did not reach p: these are not yet draws of p."
    return (
        f"{left}Draws of p are by tempered SMC from an over-dispersed start, independent of q.{doubt} The "
        f"outermost draws lie beyond the axes.{' A narrow screen shows the first three only.' if shown > 3 else ''}"
    )


def _varies(x: Values) -> bool:
    return bool(np.isfinite(x).all() and np.ptp(x) > 1e-9 * np.abs(x).max())


def _axis(name: str, q: Values, p: Values) -> Axis:
    both = [np.quantile(x, [_TAIL, 0.025, 0.975, 1.0 - _TAIL]) for x in (q, p)]
    low, high = min(b[0] for b in both), max(b[3] for b in both)
    near, far = min(b[1] for b in both), max(b[2] for b in both)
    if low > 0.0 and far > _SPREAD * near:
        return Axis(name, (float(low), float(high)), log=True)
    pad = 0.04 * (high - low)
    return Axis(name, (float(low - pad), float(high + pad)))


def _margins(axis: Axis, q: Values, p: Values) -> tuple[Series, ...]:
    return (_density("p: tempered SMC", axis, p, "p"), _density("q", axis, q, "reverse"))


def _density(name: str, axis: Axis, x: Values, role: Role) -> Series:
    """Returns a kernel estimate of the density; of log x on a logarithmic axis."""
    assert axis.span is not None
    low, high = (math.log(v) for v in axis.span) if axis.log else axis.span
    place = np.log(x) if axis.log else x
    inside = place[(place >= low) & (place <= high)]
    if len(inside) < 2 or not np.ptp(inside) > 0.0:
        return Series(name, np.empty(0), np.empty(0), role, "area")
    grid, density = _kernel(inside)
    density = density * len(inside) / len(place)
    return Series(name, np.exp(grid) if axis.log else grid, density, role, "area")


def _kernel(x: Values) -> tuple[Values, Values]:
    """Returns a grid and a Gaussian kernel estimate there, mirrored at both ends so that none is lost.

    The width is Silverman's (1986, equation 3.31).
    """
    low, high = float(x.min()), float(x.max())
    quarters = np.quantile(x, [0.25, 0.75])
    spread = min(float(x.std()), float(np.diff(quarters)[0]) / 1.34) or float(x.std())
    width = max(0.9 * spread * len(x) ** -0.2, 1e-3 * (high - low))
    grid = np.linspace(low, high, _GRID)
    mirrored = np.concatenate([x, 2.0 * low - x, 2.0 * high - x])
    z = (grid[:, None] - mirrored) / width
    density = np.exp(-0.5 * z**2).sum(axis=1) / (len(x) * width * math.sqrt(2.0 * math.pi))
    return grid, density


def _top(margins: tuple[Series, ...]) -> float:
    return 1.05 * max((float(s.y.max()) for s in margins if len(s.y)), default=1.0)


def _table(of: dict[str, Values], names: list[str], few: int) -> Float[np.ndarray, "n d"]:
    return np.stack([of[n][:few] for n in names], axis=1)


# Lines of equal density: marching squares, and the levels that hold given masses.

#: The sides of a cell that the line joins, by which of its corners are high, which stay on its left.
#: Corners and sides count from the lower left, against the clock; a side starts at its corner.
_JOINS: dict[int, tuple[tuple[int, int], ...]] = {
    1: ((0, 3),), 2: ((1, 0),), 3: ((1, 3),), 4: ((2, 1),), 5: ((0, 3), (2, 1)), 6: ((2, 0),),
    7: ((2, 3),), 8: ((3, 2),), 9: ((0, 2),), 10: ((1, 0), (3, 2)), 11: ((1, 2),), 12: ((3, 1),),
    13: ((0, 1),), 14: ((3, 0),),
}  # fmt: skip
#: Row, column and whether it is upright.
Edge = tuple[int, int, int]
Points = tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]


def contour(
    x: Float[np.ndarray, " nx"],
    y: Float[np.ndarray, " ny"],
    z: Float[np.ndarray, "ny nx"],
    level: float,
) -> Points:
    """Returns the lines z = level, one after the other, NaN between them."""
    joins, places = _segments(x, y, z, level)
    parts = []
    for chain in _chains(joins):
        parts.append(np.array([places[e] for e in chain]))
        parts.append(np.full((1, 2), np.nan))
    if not parts:
        return np.empty(0), np.empty(0)
    joined = np.concatenate(parts)
    return joined[:, 0], joined[:, 1]


def levels(z: Float[np.ndarray, "ny nx"], masses: tuple[float, ...]) -> list[float]:
    """Returns the densities above which these shares of the whole lie."""
    values = np.sort(z.ravel())[::-1]
    total = np.cumsum(values)
    index = np.searchsorted(total, np.array(masses) * total[-1]).clip(max=len(values) - 1)
    return [float(values[i]) for i in index]


def _segments(
    x: Float[np.ndarray, " nx"],
    y: Float[np.ndarray, " ny"],
    z: Float[np.ndarray, "ny nx"],
    level: float,
) -> tuple[list[tuple[Edge, Edge]], dict[Edge, tuple[float, float]]]:
    """Returns which edges of the grid are joined, and where the level is crossed on each."""
    high = z > level
    kind = high[:-1, :-1] + 2 * high[:-1, 1:] + 4 * high[1:, 1:] + 8 * high[1:, :-1]
    joins, places = [], {}
    for i, j in np.argwhere((kind > 0) & (kind < 15)).tolist():
        for start, stop in _JOINS[int(kind[i, j])]:
            pair = _edge(i, j, start), _edge(i, j, stop)
            joins.append(pair)
            for edge in pair:
                if edge not in places:
                    places[edge] = _crossing(x, y, z, level, edge)
    return joins, places


def _edge(i: int, j: int, side: int) -> Edge:
    """Returns the edge of the grid that is this side of cell (i, j)."""
    return ((i, j, 0), (i, j + 1, 1), (i + 1, j, 0), (i, j, 1))[side]


def _crossing(
    x: Float[np.ndarray, " nx"],
    y: Float[np.ndarray, " ny"],
    z: Float[np.ndarray, "ny nx"],
    level: float,
    edge: Edge,
) -> tuple[float, float]:
    i, j, upright = edge
    k, m = (i + 1, j) if upright else (i, j + 1)
    share = float((level - z[i, j]) / (z[k, m] - z[i, j]))
    return float(x[j] + share * (x[m] - x[j])), float(y[i] + share * (y[k] - y[i]))


def _chains(joins: list[tuple[Edge, Edge]]) -> list[list[Edge]]:
    """Returns the lines that segments make up: each ends where it began or at the border."""
    after = dict(joins)
    starts = [a for a in after if a not in set(after.values())]
    chains = []
    for start in [*starts, *list(after)]:
        chain = [start]
        while chain[-1] in after:
            chain.append(after.pop(chain[-1]))
        if len(chain) > 1:
            chains.append(chain)
    return chains
