"""A corner as SVG: each column's densities on the diagonal, all pairs below it, one axis to a column."""

from html import escape

import numpy as np

from kullback.render.document import Axis, Corner, Series
from kullback.render.svg import Frame, Scale, labels, log_ticks, marks, swatch, text_width, ticks

#: Pixels: the widest picture and the one for narrow screens, the largest cell, between cells.
_WIDE, _NARROW, _LARGEST, _GAP = 940.0, 400.0, 300.0, 10.0
#: Columns on a narrow screen.
_FEW = 3
#: Room for the marks of the y axes and for those of the x axes with the names below them.
_LEFT, _BELOW, _ABOVE = 58.0, 42.0, 24.0
_MARKS = 5
#: As high as a line of the legend.
_LINE = 20.0


def draw_corner(corner: Corner, name: str, *, narrow: bool = False) -> str:
    """Returns a corner as an SVG element.

    Args:
        corner: what to draw.
        name: a name of its own on the page.
        narrow: for narrow screens: the first columns only.
    """
    k = min(len(corner.axes), _FEW) if narrow else len(corner.axes)
    whole = _NARROW if narrow else _WIDE
    side = min(_LARGEST, (whole - _LEFT - _GAP * k) / k)
    width, height = _LEFT + k * (side + _GAP), _ABOVE + k * (side + _GAP) + _BELOW
    cells = "".join(_cell(corner, i, j, side, name) for i in range(k) for j in range(i + 1))
    ends = "".join(_below(corner.axes[i], i, k, side) + _beside(corner, i, side) for i in range(k))
    kind = "narrow" if narrow else "broad"
    return (
        f'<svg class="corner {kind}" style="max-width:{width:.0f}px" viewBox="0 0 {width:.0f} {height:.0f}" '
        f'role="img" aria-labelledby="{name}-title {name}-text">'
        f'<title id="{name}-title">{escape(corner.title)}</title>'
        f'<desc id="{name}-text">{escape(corner.caption)}</desc>'
        f"{cells}{ends}{_legend(corner, width)}</svg>"
    )


def _place(index: int, side: float) -> float:
    return index * (side + _GAP)


def _cell(corner: Corner, row: int, column: int, side: float, name: str) -> str:
    left, top = _LEFT + _place(column, side), _ABOVE + _place(row, side)
    x = _scale(corner.axes[column], left, left + side)
    if row == column:
        series = corner.margins[row]
        highest = max((float(np.nanmax(s.y)) for s in series if len(s.y)), default=1.0)
        y = Scale(0.0, 1.06 * highest or 1.0, top + side, top)
    else:
        series = [_points(c, column, row) for c in corner.clouds]
        y = _scale(corner.axes[row], top + side, top)
    frame = Frame(side, side, x, y, (), (), (), ())
    clip = f"{name}-{row}-{column}"
    box = f'x="{left:.1f}" y="{top:.1f}" width="{side:.1f}" height="{side:.1f}"'
    return (
        f'<clipPath id="{clip}"><rect {box}/></clipPath><rect class="box" {box}/>'
        f'<g clip-path="url(#{clip})">{"".join(marks(s, frame) for s in series)}</g>'
    )


def _points(cloud: tuple, column: int, row: int) -> Series:
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


def _legend(corner: Corner, width: float) -> str:
    """Returns the names of the draws, in the empty half."""
    longest = max((text_width(name) for name, _, _ in corner.clouds), default=0.0)
    x = width - longest - 36.0
    parts = []
    for i, (name, role, _) in enumerate(corner.clouds):
        y = _ABOVE + 12.0 + _LINE * i
        sample = swatch(Series(name, np.empty(0), np.empty(0), role, "area"), x, y - 4.5)
        parts.append(f'{sample}<text x="{x + 28:.1f}" y="{y:.1f}">{escape(name)}</text>')
    return "".join(parts)


def _fitting(text: str, width: float) -> str:
    most = max(int(width / 8.0), 4)
    return text if len(text) <= most else f"{text[: most - 1]}…"
