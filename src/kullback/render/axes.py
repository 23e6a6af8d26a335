"""From data to pixels: the ranges of a figure's axes, their marks, and the room around them."""

import itertools
import math
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float

from kullback.render.document import Axis, Band, Figure, Series

#: Pixels of a digit and of a line, at a text of 13.
_DIGIT, _LINE = 7.4, 18.0
#: Styles that stand on 0.
STANDING = ("area", "signed", "bars")
#: An axis of powers of ten shows so many of them.
_DECADES = 12.0
#: Larger numbers do not count.
_HUGE = 1e300


@final
@dataclass(frozen=True)
class Scale:
    """Maps [low, high] of the data to [start, stop] of the picture."""

    low: float
    high: float
    start: float
    stop: float
    log: bool = False

    def __call__(self, values: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        """Returns pixels, kept near the picture; NaN stays NaN."""
        low, high = self.low, self.high
        if self.log:
            with np.errstate(divide="ignore", invalid="ignore"):
                values = np.log10(values)
            low, high = math.log10(low), math.log10(high)
        share = np.clip((values - low) / (high - low), -4.0, 5.0)
        return self.start + share * (self.stop - self.start)

    def one(self, value: float) -> float:
        """Returns the pixel of one value."""
        return float(self(np.array([value]))[0])


@final
@dataclass(frozen=True)
class Frame:
    """The plotting area of a figure.

    Attributes:
        width, height: of the whole picture.
        x, y: from data to pixels.
        x_ticks, y_ticks: where the marks stand and what stands at them.
        legend: the names and where they stand.
        shelves: for each band, the row of its label at the top, -1 for none.
        bars: how many series of bars stand side by side.
    """

    width: float
    height: float
    x: Scale
    y: Scale
    x_ticks: tuple[tuple[float, str], ...]
    y_ticks: tuple[tuple[float, str], ...]
    legend: tuple[tuple[Series, float, float], ...]
    shelves: tuple[int, ...]
    bars: int = 1


def frame(figure: Figure, width: float, height: float) -> Frame:
    """Returns the frame of a figure drawn at this size."""
    legend, rows = _legend(figure.series, width)
    top = 10.0 + _LINE * rows + (_LINE if figure.y.label else 0.0)
    bottom = height - (44.0 if figure.x.label else 26.0)
    y_low, y_high = _y_range(figure)
    y_values = _values(figure.y, y_low, y_high, int((bottom - top) / 32.0))
    y_names = list(figure.y.names) or labels(y_values, log=figure.y.log)
    left = 14.0 + _DIGIT * max((len(n) for n in y_names), default=0)
    x_low, x_high = _x_range(figure)
    x = Scale(x_low, x_high, left, width - 12.0, figure.x.log)
    shelves = _shelves(figure.bands, x)
    room = _LINE * (max(shelves, default=-1) + 1)
    y = Scale(y_low, y_high, bottom, top + room + 4.0, figure.y.log)
    x_marks = _spread(figure.x, x)
    y_marks = tuple(zip(y_values, y_names, strict=True))
    bars = max(sum(s.style == "bars" for s in figure.series), 1)
    return Frame(width, height, x, y, x_marks, y_marks, legend, shelves, bars)


def top_of(f: Frame, bands: int) -> float:
    """Returns the pixel of the top of the plotting area, above the rows of band labels."""
    return f.y.stop - 4.0 - (_LINE * (max(f.shelves) + 1) if bands else 0.0)


def shelf(f: Frame, row: int, bands: int) -> float:
    """Returns the base line of a row of band labels."""
    return top_of(f, bands) + _LINE * row + 13.0


def text_width(text: str) -> float:
    """Returns about how many pixels a text takes."""
    return _DIGIT * len(text)


def _values(axis: Axis, low: float, high: float, most: int) -> list[float]:
    if axis.names:
        return [float(i) for i in range(len(axis.names))]
    make = log_ticks if axis.log else ticks
    found = make(low, high, max(2, most))
    return [v for v in found if v == round(v)] if axis.whole else found


def _spread(axis: Axis, x: Scale) -> tuple[tuple[float, str], ...]:
    """Returns as many marks of the x axis as leave room between what stands at them."""
    length = x.stop - x.start
    for most in range(max(4, int(length / 20.0)), 1, -1):
        values = _values(axis, x.low, x.high, most)
        names = list(axis.names) or labels(values, log=axis.log)
        apart = (
            max(max(text_width(n) for n in names) + 18.0, min(64.0, length / 6.0)) if names else 0.0
        )
        if len(values) < 2 or apart * (len(values) - 1) <= x.one(values[-1]) - x.one(values[0]):
            return tuple(zip(values, names, strict=True))
    return ()


def _legend(
    series: tuple[Series, ...], width: float
) -> tuple[tuple[tuple[Series, float, float], ...], int]:
    """Returns where the names stand, and in how many rows."""
    placed: list[tuple[Series, float, float]] = []
    x, row = 4.0, 0
    seen: set[str] = set()
    for s in series:
        if not s.name or s.name in seen:
            continue
        seen.add(s.name)
        wanted = 30.0 + text_width(s.name) + 14.0
        if x > 4.0 and x + wanted > width:
            x, row = 4.0, row + 1
        placed.append((s, x, 14.0 + _LINE * row))
        x += wanted
    return tuple(placed), row + 1 if placed else 0


def _shelves(bands: tuple[Band, ...], x: Scale) -> tuple[int, ...]:
    """Returns a row for each label such that none covers another."""
    ends: list[float] = []
    found = []
    for band in bands:
        start, stop = label_span(band, x)
        row = next((i for i, e in enumerate(ends) if e + 6.0 <= start), len(ends))
        if not band.label or row > 2:
            found.append(-1)
            continue
        ends[row:] = [stop]
        found.append(row)
    return tuple(found)


def label_span(band: Band, x: Scale) -> tuple[float, float]:
    """Returns where a band's label starts and stops: over its middle, within the axes."""
    low = min(max(x.one(band.low) if math.isfinite(band.low) else x.start, x.start), x.stop)
    high = min(max(x.one(band.high) if math.isfinite(band.high) else x.stop, x.start), x.stop)
    half = 0.5 * text_width(band.label)
    middle = min(max(0.5 * (low + high), x.start + half), x.stop - half)
    return middle - half, middle + half


def _x_range(figure: Figure) -> tuple[float, float]:
    if figure.x.span:
        return _proper(*figure.x.span)
    values = _finite([s.x for s in figure.series])
    pad = 0.03 if any(s.style in ("cloud", "dots") for s in figure.series) else 0.0
    return _proper(*_padded(values, pad))


def _y_range(figure: Figure) -> tuple[float, float]:
    if figure.y.span:
        low, high = _proper(*figure.y.span)
    elif figure.y.log:
        return _decades(_finite([s.y[s.y > 0.0] for s in figure.series]))
    else:
        values = _finite([s.y for s in figure.series])
        standing = any(s.style in STANDING for s in figure.series)
        low, high = _padded(np.append(values, 0.0) if standing else values, 0.05)
        if standing and not (values < 0.0).any():
            low = 0.0
    return _proper(low, high)


def _decades(values: Float[np.ndarray, " n"]) -> tuple[float, float]:
    if not len(values):
        return 0.1, 1.0
    high = math.log10(float(values.max())) + 0.15
    low = max(math.log10(float(values.min())) - 0.15, high - _DECADES)
    return 10.0**low, 10.0**high


def _padded(values: Float[np.ndarray, " n"], share: float) -> tuple[float, float]:
    if not len(values):
        return 0.0, 1.0
    low, high = float(values.min()), float(values.max())
    return low - share * (high - low), high + share * (high - low)


def _finite(parts: list[np.ndarray]) -> Float[np.ndarray, " n"]:
    values = np.concatenate(parts) if parts else np.empty(0)
    return values[np.abs(values) < _HUGE]


def _proper(low: float, high: float) -> tuple[float, float]:
    """Widens a range that rounding would close."""
    least = 1e-13 * max(abs(low), abs(high)) or 1e-300
    middle = 0.5 * (low + high)
    return (
        (low, high) if high - low > least else (middle - max(0.5, least), middle + max(0.5, least))
    )


# Where an axis has its marks, and what stands at them.

#: Marks stand at 1, 2 or 5 times a power of ten.
_STEPS = (1.0, 2.0, 5.0, 10.0)
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_MINUS = str.maketrans("-", "−")


def ticks(low: float, high: float, most: int) -> list[float]:
    """Returns at most so many round numbers in [low, high], a step of 1, 2 or 5 apart.

    Example:
        >>> ticks(-3.1, 3.2, 8)
        [-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0]
    """
    step = _step(low, high, most)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    places = max(0, 2 - math.floor(math.log10(step)))
    return [round(i * step, places) for i in range(first, last + 1)]


def log_ticks(low: float, high: float, most: int) -> list[float]:
    """Returns powers of ten in [low, high], every so many of them; with 2 and 5 if they are few.

    Example:
        >>> log_ticks(1e-3, 1.0, 5)
        [0.001, 0.01, 0.1, 1.0]
    """
    first = math.ceil(math.log10(low) - 1e-9)
    last = math.floor(math.log10(high) + 1e-9)
    if last - first < 1:
        decades = range(first - 1, last + 2)
        found = [float(f"{m}e{d}") for d in decades for m in (1, 2, 5)]
        return [v for v in found if low * (1 - 1e-9) <= v <= high * (1 + 1e-9)]
    every = max(1, math.ceil((last - first + 1) / most))
    return [float(f"1e{d}") for d in range(first, last + 1) if d % every == 0]


def labels(values: list[float], *, log: bool = False) -> list[str]:
    """Returns what stands at the marks, all to the same number of decimals.

    Example:
        >>> labels([0.0, 0.5, 1.0]), labels([-2e6, 0.0]), labels([0.001, 1.0], log=True)
        (['0.0', '0.5', '1.0'], ['−2·10⁶', '0'], ['0.001', '1'])
    """
    if log:
        plain = all(1e-4 < v < 1e4 for v in values)
        return [f"{v:g}" if plain else _power(v) for v in values]
    if not values:
        return []
    largest = max(abs(v) for v in values)
    step = min((b - a for a, b in itertools.pairwise(values)), default=largest)
    if largest >= 1e6 or 0.0 < largest < 1e-3:
        digits = max(0, math.ceil(math.log10(largest / step) - 1e-9)) if step else 0
        return [_scientific(v, min(digits, 12)) for v in values]
    places = next((n for n in range(13) if all(_fits(v, n) for v in values)), 12)
    return [f"{v:.{places}f}".translate(_MINUS) for v in values]


def _step(low: float, high: float, most: int) -> float:
    rough = (high - low) / max(most - 1, 1)
    power = 10.0 ** math.floor(math.log10(rough))
    return next(s * power for s in _STEPS if s * power >= rough * (1.0 - 1e-9))


def _fits(value: float, places: int) -> bool:
    return abs(round(value, places) - value) <= 1e-9 * max(abs(value), 10.0**-places)


def _power(value: float) -> str:
    exponent = math.floor(math.log10(value) + 1e-9)
    factor = value / 10.0**exponent
    raised = f"10{str(exponent).translate(_RAISED)}"
    return raised if abs(factor - 1.0) < 1e-6 else f"{factor:g}·{raised}"


def _scientific(value: float, digits: int) -> str:
    if value == 0.0:
        return "0"
    factor, exponent = f"{value:.{digits}e}".split("e")
    short = factor.rstrip("0").rstrip(".") if "." in factor else factor
    power = f"10{str(int(exponent)).translate(_RAISED)}"
    return {"1": power, "-1": f"−{power}"}.get(short, f"{short}·{power}").translate(_MINUS)
