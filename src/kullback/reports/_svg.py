"""A figure as SVG: axes, legend, bands, curves; nothing is fetched, colours come from the page."""

import math
from html import escape

import numpy as np

from kullback.reports._figures import Band, Figure
from kullback.reports._frame import (
    STANDING,
    Frame,
    frame,
    label_span,
    shelf,
    text_width,
    top_of,
)
from kullback.reports._marks import marks, swatch

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
        _legend(f),
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


def _legend(f: Frame) -> str:
    return "".join(
        f'{swatch(s, x, y - 4.5)}<text x="{x + 28:.1f}" y="{y:.1f}">{escape(s.name)}</text>'
        for s, x, y in f.legend
    )
