"""Draws of q beside draws of p, for the parameters in which they differ most."""

import math

import numpy as np
from jaxtyping import Float

from kullback.distributions._approximation import Approximation
from kullback.reports._figures import Axis, Corner, Figure, Role, Series
from kullback.results._diagnosis import Parameter, Posterior, columns
from kullback.results._fit import Fit

Values = Float[np.ndarray, " n"]

#: Parameters drawn, and points of each of p and q in all pairs together.
MOST_PARAMETERS, _POINTS = 5, 4500
#: What is left out of the picture at each end.
_TAIL = 0.003
#: The axis is logarithmic where the 97.5th percentile is so many times the 2.5th.
_SPREAD = 200.0
_GRID = 200


def pictures(fit: Fit, found: Posterior) -> Corner | Figure | None:
    """Returns plain draws of q before tempered draws of p; None if there is nothing to draw."""
    bare = isinstance(fit.q, Approximation) and fit.q.bare
    q, p = (columns(d, bare=bare) for d in (found.draws.plain, found.draws.tempered))
    names = [n for n in worst(found.parameters) if n in q and _varies(q[n]) and _varies(p[n])]
    if not names:
        return None
    axes = tuple(_axis(n, q[n], p[n]) for n in names)
    margins = tuple(_margins(a, q[a.label], p[a.label]) for a in axes)
    caption = _caption(found, len(names))
    title = "Draws of q and of p"
    if len(names) == 1:
        return Figure(title, caption, axes[0], Axis("density", (0.0, _top(margins[0]))), margins[0])
    pairs = len(names) * (len(names) - 1) // 2
    few = min(max(_POINTS // pairs, 250), len(q[names[0]]), len(p[names[0]]))
    clouds: list[tuple[str, Role, np.ndarray]] = [
        ("p: tempered draws", "p", _table(p, names, few)),
        ("q", "reverse", _table(q, names, few)),
    ]
    return Corner(title, caption, axes, margins, tuple(clouds))


def worst(parameters: tuple[Parameter, ...]) -> list[str]:
    """Returns the parameters in which p and q differ most, the worst first; all as they are if few."""
    if len(parameters) <= MOST_PARAMETERS:
        return [p.name for p in parameters]
    ranked = sorted(parameters, key=distance, reverse=True)
    return [p.name for p in ranked[:MOST_PARAMETERS]]


def distance(p: Parameter) -> float:
    """Returns how far a parameter is off: its shift in sds, or the log ratio of sds if that is more."""
    shift, ratio = abs(p.mean_shift.value), p.shrinkage.value
    log_ratio = abs(math.log(ratio)) if ratio > 0.0 else math.inf
    return math.inf if math.isnan(shift + log_ratio) else max(shift, log_ratio)


def _caption(found: Posterior, shown: int) -> str:
    total = len(found.parameters)
    left = (
        f"The {shown} of {total} parameters with the largest shift of a mean or ratio of sds, the worst first. "
        if shown < total
        else ""
    )
    arrived = found.routes[-1].kind != "unresolved"
    doubt = "" if arrived else " Tempering did not arrive: these are not yet draws of p."
    return (
        f"{left}Draws of p were tempered from afar and owe nothing to q.{doubt} The outermost draws lie "
        f"beyond the axes.{' A narrow screen shows the first three only.' if shown > 3 else ''}"
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
    return (
        _density("p: tempered draws", axis, p, "p"),
        _density("q", axis, q, "reverse"),
    )


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
