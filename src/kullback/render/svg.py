"""Figures as SVG: axes, legend, bands, curves; nothing is fetched, colours come from the page."""

import math
from html import escape

import numpy as np
from jaxtyping import Float

from kullback.render.axes import (
    STANDING,
    Frame,
    Scale,
    frame,
    label_span,
    labels,
    log_ticks,
    shelf,
    text_width,
    ticks,
    top_of,
)
from kullback.render.document import Axis, Band, Corner, Figure, Series

#: Width and height in pixels, by size; a wide figure is drawn once more for narrow screens.
SIZES = {"wide": (940.0, 400.0), "half": (440.0, 310.0), "small": (300.0, 210.0)}
NARROW = (400.0, 330.0)


def draw(figure: Figure, name: str, *, narrow: bool = False) -> str:
    """Returns a figure as an SVG element.

    Args:
        figure: what to draw.
        name: a name of its own on the page, for labels that screen readers find.
        narrow: for narrow screens.
    """
    width, height = NARROW if narrow else SIZES[figure.size]
    f = frame(figure, width, height)
    parts = (
        f'<title id="{name}-title">{escape(figure.title)}</title>',
        f'<desc id="{name}-text">{escape(figure.caption)}</desc>',
        f'<clipPath id="{name}-clip">{_area(f)}</clipPath>',
        _bands(figure.bands, f),
        _grid(f),
        f'<g clip-path="url(#{name}-clip)">{"".join(marks(s, f) for s in figure.series)}</g>',
        _axes(figure, f),
        _labels(figure.bands, f),
        _notes(figure, f),
        _svg_legend(f),
    )
    return (
        f'<svg class="{"narrow" if narrow else figure.size}" viewBox="0 0 {width:g} {height:g}" '
        f'role="img" aria-labelledby="{name}-title {name}-text">{"".join(parts)}</svg>'
    )


def _area(f: Frame) -> str:
    left, top = f.x.start, f.y.stop - 4.0
    return (
        f'<rect x="{left:.1f}" y="{top:.1f}" width="{f.x.stop - left:.1f}" '
        f'height="{f.y.start - top + 1.0:.1f}"/>'
    )


def _bands(bands: tuple[Band, ...], f: Frame) -> str:
    top = top_of(f, len(bands))
    parts = []
    for band in bands:
        low, high = _ends(band, f)
        if high > low:
            parts.append(
                f'<rect class="band {band.tone}" x="{low:.1f}" y="{top:.1f}" '
                f'width="{high - low:.1f}" height="{f.y.start - top:.1f}"/>'
            )
    return "".join(parts)


def _ends(band: Band, f: Frame) -> tuple[float, float]:
    ends = np.array([band.low, band.high]).clip(f.x.low, f.x.high)
    low, high = (float(v) for v in f.x(ends))
    return low, high


def _labels(bands: tuple[Band, ...], f: Frame) -> str:
    parts = []
    for band, row in zip(bands, f.shelves, strict=True):
        low, high = _ends(band, f)
        if row < 0 or high <= low:
            continue
        start, stop = label_span(band, f.x)
        y = shelf(f, row, len(bands))
        parts.append(
            f'<text class="mid {band.tone}" x="{0.5 * (start + stop):.1f}" y="{y:.1f}">'
            f"{escape(band.label)}</text>"
        )
    return "".join(parts)


def _grid(f: Frame) -> str:
    lines = [f"M{f.x.start:.1f},{f.y.one(v):.1f}H{f.x.stop:.1f}" for v, _ in f.y_ticks]
    return f'<path class="grid" d="{"".join(lines)}"/>' if lines else ""


def _axes(figure: Figure, f: Frame) -> str:
    bottom = f.y.start
    parts = [f'<path class="axis" d="M{f.x.start:.1f},{bottom:.1f}H{f.x.stop:.1f}"/>']
    standing = any(s.style in STANDING for s in figure.series)
    if standing and f.y.low < 0.0 < f.y.high:
        parts.append(f'<path class="zero" d="M{f.x.start:.1f},{f.y.one(0.0):.1f}H{f.x.stop:.1f}"/>')
    for value, label in f.x_ticks:
        x = f.x.one(value)
        parts.append(f'<path class="axis" d="M{x:.1f},{bottom:.1f}v4"/>')
        at = min(max(x, 0.5 * text_width(label)), f.width - 0.5 * text_width(label))
        parts.append(f'<text class="mid" x="{at:.1f}" y="{bottom + 18:.1f}">{label}</text>')
    for value, label in f.y_ticks:
        y = f.y.one(value) + 4.5
        parts.append(f'<text class="end" x="{f.x.start - 6:.1f}" y="{y:.1f}">{label}</text>')
    if figure.x.label:
        middle = 0.5 * (f.x.start + f.x.stop)
        parts.append(
            f'<text class="mid label" x="{middle:.1f}" y="{f.height - 6:.1f}">{escape(figure.x.label)}</text>'
        )
    if figure.y.label:
        y = top_of(f, len(figure.bands)) - 7.0
        parts.append(f'<text class="label" x="4" y="{y:.1f}">{escape(figure.y.label)}</text>')
    return "".join(parts)


def _notes(figure: Figure, f: Frame) -> str:
    parts = []
    for note in figure.annotations:
        x, y = f.x.one(note.x), f.y.one(note.y)
        if not math.isfinite(x + y):
            continue
        half = 0.5 * text_width(note.text)
        x = min(max(x, f.x.start + half), f.x.stop - half)
        parts.append(
            f'<text class="mid note" x="{x:.1f}" y="{y - 6:.1f}">{escape(note.text)}</text>'
        )
    return "".join(parts)


def _svg_legend(f: Frame) -> str:
    return "".join(
        f'{swatch(s, x, y - 4.5)}<text x="{x + 28:.1f}" y="{y:.1f}">{escape(s.name)}</text>'
        for s, x, y in f.legend
    )


# A series as SVG: paths of numbers that are finite, to a tenth of a pixel.

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


def _area_mark(s: Series, f: Frame) -> str:
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
        width = max(0.8 * float(np.diff(f.x(s.x)).min()) / f.bars, 0.6)
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
    "area": _area_mark,
    "line": _line,
    "dashed": _line,
    "signed": _signed,
    "bars": _bars,
    "dots": _dots,
    "cloud": _cloud,
}


# A corner: each column's densities on the diagonal, all pairs below it, one axis to a column.

#: Pixels: the widest picture and the one for narrow screens, the largest cell, between cells.
_WIDE, _NARROW_WIDTH, _LARGEST, _GAP = 940.0, 400.0, 300.0, 10.0
#: Columns on a narrow screen.
_FEW = 3
#: Room for the marks of the y axes and for those of the x axes with the names below them.
_LEFT, _BELOW, _ABOVE = 58.0, 42.0, 24.0
_MARKS = 5
#: As high as a line of the legend.
_LEGEND_LINE = 20.0


def draw_corner(corner: Corner, name: str, *, narrow: bool = False) -> str:
    """Returns a corner as an SVG element.

    Args:
        corner: what to draw.
        name: a name of its own on the page.
        narrow: for narrow screens: the first columns only.
    """
    k = min(len(corner.axes), _FEW) if narrow else len(corner.axes)
    whole = _NARROW_WIDTH if narrow else _WIDE
    side = min(_LARGEST, (whole - _LEFT - _GAP * k) / k)
    width, height = _LEFT + k * (side + _GAP), _ABOVE + k * (side + _GAP) + _BELOW
    cells = "".join(_corner_cell(corner, i, j, side, name) for i in range(k) for j in range(i + 1))
    ends = "".join(_below(corner.axes[i], i, k, side) + _beside(corner, i, side) for i in range(k))
    kind = "narrow" if narrow else "broad"
    return (
        f'<svg class="corner {kind}" style="max-width:{width:.0f}px" viewBox="0 0 {width:.0f} {height:.0f}" '
        f'role="img" aria-labelledby="{name}-title {name}-text">'
        f'<title id="{name}-title">{escape(corner.title)}</title>'
        f'<desc id="{name}-text">{escape(corner.caption)}</desc>'
        f"{cells}{ends}{_corner_legend(corner, width)}</svg>"
    )


def _place(index: int, side: float) -> float:
    return index * (side + _GAP)


def _corner_cell(corner: Corner, row: int, column: int, side: float, name: str) -> str:
    left, top = _LEFT + _place(column, side), _ABOVE + _place(row, side)
    x = _scale(corner.axes[column], left, left + side)
    if row == column:
        series = corner.margins[row]
        highest = max((float(np.nanmax(s.y)) for s in series if len(s.y)), default=1.0)
        y = Scale(0.0, 1.06 * highest or 1.0, top + side, top)
    else:
        series = [_pairs(c, column, row) for c in corner.clouds]
        y = _scale(corner.axes[row], top + side, top)
    frame = Frame(side, side, x, y, (), (), (), ())
    clip = f"{name}-{row}-{column}"
    box = f'x="{left:.1f}" y="{top:.1f}" width="{side:.1f}" height="{side:.1f}"'
    return (
        f'<clipPath id="{clip}"><rect {box}/></clipPath><rect class="box" {box}/>'
        f'<g clip-path="url(#{clip})">{"".join(marks(s, frame) for s in series)}</g>'
    )


def _pairs(cloud: tuple, column: int, row: int) -> Series:
    name, role, values = cloud
    return Series(name, values[:, column], values[:, row], role, "cloud")


def _scale(axis: Axis, start: float, stop: float) -> Scale:
    assert axis.span is not None
    return Scale(*axis.span, start, stop, axis.log)


def _marked(axis: Axis, side: float) -> list[tuple[float, str]]:
    """Returns the marks of an axis, as many as have room beside each other."""
    assert axis.span is not None
    for most in range(_MARKS, 1, -1):
        values = (log_ticks if axis.log else ticks)(*axis.span, most)
        names = labels(values, log=axis.log)
        if sum(text_width(n) + 8.0 for n in names) <= side:
            return list(zip(values, names, strict=True))
    return []


def _below(axis: Axis, index: int, k: int, side: float) -> str:
    left, bottom = _LEFT + _place(index, side), _ABOVE + _place(k, side) - _GAP
    x = _scale(axis, left, left + side)
    parts = []
    for value, label in _marked(axis, side):
        at = x.one(value)
        held = min(max(at, left + 0.4 * text_width(label)), left + side - 0.4 * text_width(label))
        parts.append(f'<path class="axis" d="M{at:.1f},{bottom:.1f}v4"/>')
        parts.append(f'<text class="mid tick" x="{held:.1f}" y="{bottom + 16:.1f}">{label}</text>')
    shown = _fitting(axis.label, side)
    parts.append(
        f'<text class="mid name" x="{left + 0.5 * side:.1f}" y="{bottom + 36:.1f}">'
        f"<title>{escape(axis.label)}</title>{escape(shown)}</text>"
    )
    return "".join(parts)


def _beside(corner: Corner, row: int, side: float) -> str:
    """Returns the name above the diagonal, and for pairs what stands to their left."""
    axis, top = corner.axes[row], _ABOVE + _place(row, side)
    middle = _LEFT + _place(row, side) + 0.5 * side
    shown = escape(_fitting(axis.label, side))
    if row == 0:
        return f'<text class="mid name" x="{middle:.1f}" y="{top - 8:.1f}">{shown}</text>'
    y = _scale(axis, top + side, top)
    parts = []
    for value, label in _marked(axis, side):
        at = y.one(value)
        parts.append(f'<path class="axis" d="M{_LEFT - 4:.1f},{at:.1f}h4"/>')
        parts.append(f'<text class="end tick" x="{_LEFT - 7:.1f}" y="{at + 4:.1f}">{label}</text>')
    at = top + 0.5 * side
    parts.append(
        f'<text class="mid name" transform="translate(13 {at:.1f}) rotate(-90)">{shown}</text>'
    )
    return "".join(parts)


def _corner_legend(corner: Corner, width: float) -> str:
    """Returns the names of the draws, in the empty half."""
    longest = max((text_width(name) for name, _, _ in corner.clouds), default=0.0)
    x = width - longest - 36.0
    parts = []
    for i, (name, role, _) in enumerate(corner.clouds):
        y = _ABOVE + 12.0 + _LEGEND_LINE * i
        sample = swatch(Series(name, np.empty(0), np.empty(0), role, "area"), x, y - 4.5)
        parts.append(f'{sample}<text x="{x + 28:.1f}" y="{y:.1f}">{escape(name)}</text>')
    return "".join(parts)


def _fitting(text: str, width: float) -> str:
    most = max(int(width / 8.0), 4)
    return text if len(text) <= most else f"{text[: most - 1]}…"
