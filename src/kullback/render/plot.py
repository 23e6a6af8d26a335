"""Figures drawn with matplotlib: the same data as the SVG of reports, as Axes that one can go on working with."""

import re
from collections.abc import Iterator
from typing import Any

import numpy as np

from kullback.core.errors import InputError, UnsupportedError
from kullback.core.optional import need
from kullback.render.document import Block, Corner, Detail, Document, Figure, Gallery, Series
from kullback.render.explore import LIGHT

#: The colours of reports, by role and tone.
_COLOURS = dict(re.findall(r"--([\w-]+):(#\w+)", LIGHT))
#: Inches, by size.
_SIZES = {"wide": (9.4, 4.0), "half": (5.6, 3.9), "small": (4.0, 2.8)}
#: Inches of a cell of a corner, and of the largest.
_CELL, _LARGEST = 2.2, 12.0


def plot(document: Document, ax: Any, which: int | str) -> Any:
    """Returns the Axes of a figure of a document, an array of them for a corner.

    Args:
        document: whose figure it is.
        ax: Axes to draw in; None for new ones.
        which: its number, or a part of its title.

    Raises:
        UnsupportedError: there is no such figure.
        MissingDependencyError: matplotlib is not installed.
    """
    figure = _chosen(list(figures(document)), document.title, which)
    pyplot = need("matplotlib.pyplot", "plot", "kullback[plot]")
    if isinstance(figure, Corner):
        if ax is not None:
            raise InputError(f"plot(ax=...): “{figure.title}” has several axes; leave out ax")
        return _draw_corner(pyplot, figure)
    if ax is None:
        ax = pyplot.subplots(figsize=_SIZES[figure.size], layout="constrained")[1]
    draw(figure, ax)
    return ax


def figures(document: Document) -> Iterator[Figure | Corner]:
    """Yields the figures of a document in reading order."""
    for section in document.sections:
        for block in section.blocks:
            yield from _within(block)


def _within(block: Block) -> Iterator[Figure | Corner]:
    match block:
        case Figure() | Corner():
            yield block
        case Gallery(items=items):
            for item in items:
                yield from _within(item)
        case Detail(make):
            for part in make():
                yield from _within(part)


def _chosen(found: list[Figure | Corner], title: str, which: int | str) -> Figure | Corner:
    if not found:
        raise UnsupportedError(f"“{title}” has no figure; its numbers are in to_frame()")
    if isinstance(which, int):
        if -len(found) <= which < len(found):
            return found[which]
    else:
        named = [f for f in found if which.lower() in f.title.lower()]
        if named:
            return named[0]
    titles = "; ".join(f"{i}: {f.title}" for i, f in enumerate(found))
    raise UnsupportedError(f"there is no figure {which!r} of “{title}”; there are {titles}")


def draw(figure: Figure, ax: Any) -> None:
    """Draws a figure in matplotlib's Axes."""
    for band in figure.bands:
        _band(band, ax)
    bars = [s for s in figure.series if s.style == "bars"]
    for s in figure.series:
        _series(s, ax, bars)
    for note in figure.annotations:
        at = (note.x, note.y)
        ax.annotate(note.text, at, textcoords="offset points", xytext=(0, 4), ha="center")
    _axes(figure, ax)
    if any(s.name for s in figure.series):
        handles, names = ax.get_legend_handles_labels()
        once = dict(zip(names, handles, strict=True))  # two fits in one Axes have the same p
        ax.legend(once.values(), once.keys(), frameon=False, fontsize="small")
    ax.set_title(figure.title, fontsize="medium", loc="left")


def _axes(figure: Figure, ax: Any) -> None:
    for name, axis in (("x", figure.x), ("y", figure.y)):
        getattr(ax, f"set_{name}label")(axis.label)
        if axis.log:
            getattr(ax, f"set_{name}scale")("log")
        if axis.span is not None:
            getattr(ax, f"set_{name}lim")(*axis.span)
        if axis.names:
            getattr(ax, f"set_{name}ticks")(range(len(axis.names)), axis.names)
        elif axis.whole and not axis.log:
            getattr(ax, f"{name}axis").get_major_locator().set_params(integer=True)
    standing = any(s.style in ("area", "bars", "signed") for s in figure.series)
    above = not any((s.y < 0.0).any() for s in figure.series)
    if standing and above and figure.y.span is None and not figure.y.log:
        ax.set_ylim(bottom=0.0)
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)


def _band(band: Any, ax: Any) -> None:
    low, high = ax.get_xlim() if not np.isfinite(band.low + band.high) else (band.low, band.high)
    low = band.low if np.isfinite(band.low) else low
    high = band.high if np.isfinite(band.high) else high
    colour = _COLOURS["band"] if band.tone == "unsure" else _COLOURS[band.tone]
    ax.axvspan(low, high, color=colour, alpha=0.09, linewidth=0)
    if band.label:
        above = ax.get_xaxis_transform()
        style = {"ha": "center", "va": "top", "fontsize": "small", "clip_on": True}
        ax.text(0.5 * (low + high), 1.0, band.label, transform=above, **style)


def _series(s: Series, ax: Any, bars: list[Series]) -> None:
    """Draws one series; `bars` are those that stand side by side."""
    x, y, colour = s.x, np.where(np.isfinite(s.y), s.y, np.nan), _COLOURS[s.role]
    look: dict[str, Any] = {"color": colour, "alpha": s.strength}
    look["label"] = s.name or "_none"  # what starts with _ has no place in a legend
    match s.style:
        case "line" | "dashed":
            ax.plot(x, y, "--" if s.style == "dashed" else "-", **look)
        case "area":
            ax.fill_between(x, y, **look | {"alpha": 0.2 * s.strength, "linewidth": 0})
            ax.plot(x, y, color=colour, linewidth=1.0)
        case "signed":
            ax.fill_between(x, np.fmax(y, 0.0), **look | {"alpha": 0.34, "linewidth": 0})
            below = {"facecolor": "none", "edgecolor": _COLOURS["soft"], "hatch": "////"}
            ax.fill_between(x, np.fmin(y, 0.0), linewidth=0, **below)
            ax.plot(x, y, color=colour, linewidth=1.0)
            ax.axhline(0.0, color=_COLOURS["soft"], linewidth=0.8)
        case "bars":
            apart = float(np.diff(x).min()) if len(x) > 1 else 1.0
            width = 0.8 * apart / len(bars)
            shift = (bars.index(s) - 0.5 * (len(bars) - 1)) * width
            ax.bar(x + shift, y, width, **look | {"alpha": 0.5 * s.strength})
        case "dots":
            ax.plot(x, y, "o-", linewidth=0.8, markersize=4, **look)
        case "cloud":
            ax.plot(x, y, "o", markersize=2.5, markeredgewidth=0, **look | {"alpha": 0.4})


def _draw_corner(pyplot: Any, corner: Corner) -> Any:
    k = len(corner.axes)
    side = min(_CELL * k, _LARGEST)
    shared = {"squeeze": False, "sharex": "col", "layout": "constrained"}
    drawn, grid = pyplot.subplots(k, k, figsize=(side, side), **shared)
    for row in range(k):
        for column in range(k):
            _cell(corner, row, column, grid[row][column])
    drawn.suptitle(corner.title)
    return grid


def _cell(corner: Corner, row: int, column: int, ax: Any) -> None:
    if column > row:
        ax.set_visible(False)
        return
    x, y = corner.axes[column], corner.axes[row]
    if row == column:
        for s in corner.margins[row]:
            _series(s, ax, [s])
        ax.set_yticks([])
    else:
        for name, role, draws in corner.clouds:
            _series(Series(name, draws[:, column], draws[:, row], role, "cloud"), ax, [])
        if y.span is not None:
            ax.set_ylim(*y.span)
        if y.log:
            ax.set_yscale("log")
    if x.span is not None:
        ax.set_xlim(*x.span)
    if row == len(corner.axes) - 1:
        ax.set_xlabel(x.label)
    if column == 0 and row:
        ax.set_ylabel(y.label)
