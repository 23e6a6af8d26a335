"""A series as SVG: paths of numbers that are finite, to a tenth of a pixel."""

from html import escape

import numpy as np
from jaxtyping import Float

from kullback.reports._figures import Series
from kullback.reports._frame import Frame, Scale

#: Pixels by which a curve may be moved.
_UNSEEN = 0.08
Pixels = Float[np.ndarray, " n"]


def marks(s: Series, f: Frame) -> str:
    """Returns the elements of a series; how they look is for the style sheet."""
    body = _STYLES[s.style](s, f)
    fade = f' opacity="{s.strength:.2f}"' if s.strength < 1.0 else ""
    hint = f"<title>{escape(s.name)}</title>" if s.name else ""
    return f'<g class="r-{s.role}"{fade}>{hint}{body}</g>'


def swatch(s: Series, x: float, y: float) -> str:
    """Returns a sample of how a series looks, for the legend, 22 wide, centred on y."""
    if s.style in ("area", "bars", "signed"):
        shape = (
            f'<rect class="area key" x="{x:.1f}" y="{y - 6:.1f}" width="22" height="12" rx="2"/>'
        )
    elif s.style == "cloud":
        shape = f'<path class="cloud big" d="M{x + 11:.1f} {y:.1f}h0"/>'
    elif s.style == "dots":
        shape = f'<path class="line" d="M{x:.1f} {y:.1f}h22"/><path class="dots" d="M{x + 11:.1f} {y:.1f}h0"/>'
    else:
        shape = f'<path class="{s.style}" d="M{x:.1f} {y:.1f}h22"/>'
    fade = f' opacity="{s.strength:.2f}"' if s.strength < 1.0 else ""
    return f'<g class="r-{s.role}"{fade}>{shape}</g>'


def polyline(x: Pixels, y: Pixels) -> str:
    """Returns path data through the points, in pieces where one is not finite."""
    pieces = []
    for run in _runs(np.isfinite(x) & np.isfinite(y)):
        points = np.stack([x[run], y[run]], axis=1)
        kept = points[_telling(points)]
        texts = [f"{a:.1f},{b:.1f}" for a, b in kept]
        pieces.append("M" + " ".join(texts) + ("h0" if len(texts) == 1 else ""))
    return "".join(pieces)


def _telling(points: Float[np.ndarray, "n 2"]) -> np.ndarray:
    """Returns which points are needed: all others lie on the lines between them (Douglas, Peucker)."""
    needed = np.zeros(len(points), dtype=bool)
    needed[[0, -1]] = True
    open_ends = [(0, len(points) - 1)]
    while open_ends:
        start, stop = open_ends.pop()
        if stop - start < 2:
            continue
        along = points[stop] - points[start]
        moved = points[start + 1 : stop] - points[start]
        length = float(np.hypot(*along))
        off = np.hypot(*moved.T)
        if length > 0.0:
            off = np.abs(along[0] * moved[:, 1] - along[1] * moved[:, 0]) / length
        worst = int(np.argmax(off))
        if off[worst] > _UNSEEN:
            middle = start + 1 + worst
            needed[middle] = True
            open_ends += [(start, middle), (middle, stop)]
    return needed


def _runs(good: np.ndarray) -> list[slice]:
    edges = np.flatnonzero(np.diff(np.r_[False, good, False].astype(int)))
    return [slice(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def _line(s: Series, f: Frame) -> str:
    return f'<path class="{s.style}" d="{polyline(f.x(s.x), f.y(s.y))}"/>'


def _filled(x: Pixels, y: Pixels, base: float, style: str) -> str:
    """Returns the area between a curve and a base line, piece by piece."""
    pieces = []
    for run in _runs(np.isfinite(x) & np.isfinite(y)):
        a, b = x[run], y[run]
        d = polyline(np.r_[a[0], a, a[-1]], np.r_[base, b, base])
        pieces.append(d + "Z")
    return f'<path {style} d="{"".join(pieces)}"/>' if pieces else ""


def _area(s: Series, f: Frame) -> str:
    body = _filled(f.x(s.x), f.y(s.y), _base(f.y), 'class="area"')
    return body + f'<path class="line thin" d="{polyline(f.x(s.x), f.y(s.y))}"/>'


def _signed(s: Series, f: Frame) -> str:
    x, base = f.x(s.x), _base(f.y)
    above = _filled(x, f.y(np.maximum(s.y, 0.0)), base, 'class="area strong"')
    below = ""
    if (s.y < 0.0).any():
        below = _filled(x, f.y(np.minimum(s.y, 0.0)), base, 'class="below"')
    return above + below + f'<path class="line thin" d="{polyline(x, f.y(s.y))}"/>'


def _bars(s: Series, f: Frame) -> str:
    width = 0.8 * (f.x.stop - f.x.start)
    if len(s.x) > 1:
        width = max(0.8 * float(np.diff(f.x(s.x)).min()), 0.6)
    base = _base(f.y)

    def path(wanted: np.ndarray, style: str) -> str:
        seen = wanted & np.isfinite(s.y)
        pairs = zip(f.x(s.x[seen]), f.y(s.y[seen]), strict=True)
        d = "".join(
            f"M{x - 0.5 * width:.1f},{base:.1f}V{y:.1f}h{width:.1f}V{base:.1f}Z" for x, y in pairs
        )
        return f'<path {style} d="{d}"/>' if d else ""

    above = path(s.y > 0.0, 'class="area bar"')
    return above + path(s.y < 0.0, f'class="below{" bar" if width > 4.0 else ""}"')


def _dots(s: Series, f: Frame) -> str:
    return (
        f'<path class="line faint" d="{polyline(f.x(s.x), f.y(s.y))}"/>'
        f'<path class="dots" d="{_points(s, f)}"/>'
    )


def _cloud(s: Series, f: Frame) -> str:
    return f'<path class="cloud" d="{_points(s, f)}"/>'


def _points(s: Series, f: Frame) -> str:
    x, y = f.x(s.x), f.y(s.y)
    good = np.isfinite(x) & np.isfinite(y)
    return "".join(f"M{a:.1f},{b:.1f}h0" for a, b in zip(x[good], y[good], strict=True))


def _base(y: Scale) -> float:
    """Returns the pixel of 0, or of the edge where 0 is not shown."""
    return y.start if y.log else y.one(min(max(0.0, y.low), y.high))


_STYLES = {
    "area": _area,
    "line": _line,
    "dashed": _line,
    "signed": _signed,
    "bars": _bars,
    "dots": _dots,
    "cloud": _cloud,
}
