"""Drawing: finite coordinates inside the picture, labels that do not cover each other."""

import itertools
import math
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from kullback.render.axes import frame, label_span, text_width
from kullback.render.document import Axis, Band, Figure, Series
from kullback.render.svg import SIZES, draw, polyline
from kullback.views.planes import contour, levels

X = np.linspace(-3.0, 3.0, 201)
BAD = np.array([0.0, np.nan, 1.0, np.inf, -np.inf, 2.0])


class _Texts(HTMLParser):
    def __init__(self):
        super().__init__()
        self.sizes, self.tags = [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)


def _figure(*series, **more):
    return Figure(
        "title", "caption", Axis("x"), Axis("y", log=more.pop("log", False)), series, **more
    )


def _numbers(svg):
    found = re.findall(r' (?:d|x|y|width|height)="([^"]*)"', svg)
    return [float(v) for text in found for v in re.findall(r"-?\d+\.?\d*", text)]


@pytest.mark.parametrize("style", ["area", "line", "dashed", "signed", "bars", "dots", "cloud"])
@pytest.mark.parametrize(
    "y", [np.exp(-(X**2)), np.resize(BAD, 201), np.full(201, np.nan), X * 1e300]
)
def test_every_style_gives_finite_numbers(style, y):
    svg = draw(_figure(Series("s", X, y, "p", style)), "f1")
    assert not re.search(r'"[^"]*(nan|inf)[^"]*"', svg)
    assert all(abs(v) < 5000.0 for v in _numbers(svg))


@pytest.mark.parametrize("size", list(SIZES))
def test_names_are_escaped(size):
    svg = draw(_figure(Series("<script>", X, X, "p"), size=size), "f1")
    assert "<script>" not in svg
    assert "&lt;script&gt;" in svg


def test_log_axis_leaves_out_what_is_not_positive():
    svg = draw(_figure(Series("s", X, X, "p"), log=True), "f1")
    assert "nan" not in svg


def test_nothing_to_draw_is_drawn():
    assert draw(_figure(), "f1").startswith("<svg")
    one = np.array([1e9])
    assert draw(_figure(Series("s", one, one, "p", "dots")), "f1")


def test_legend_rows_do_not_run_out_of_the_picture():
    series = [Series(f"a rather long name {i}", X, X, "p") for i in range(9)]
    f = frame(_figure(*series), *SIZES["half"])
    ends = {}
    for s, x, y in f.legend:
        assert x >= ends.get(y, 0.0)
        ends[y] = x + 28.0 + text_width(s.name)
    assert max(ends.values()) <= SIZES["half"][0]
    assert f.y.stop > max(ends)


def test_band_labels_do_not_cover_each_other():
    bands = tuple(Band(i * 0.2 - 1, i * 0.2 - 0.8, f"+{i}.123") for i in range(6))
    f = frame(_figure(Series("s", X, X, "p"), bands=bands), *SIZES["half"])
    for row in range(3):
        spans = [label_span(b, f.x) for b, r in zip(bands, f.shelves, strict=True) if r == row]
        assert all(a[1] <= b[0] for a, b in itertools.pairwise(spans))


def test_tick_labels_have_room():
    for scale in (1.0, 1e-9, 1e12):
        f = frame(_figure(Series("s", X * scale, X, "p")), *SIZES["small"])
        places = [(f.x.one(v), text_width(n)) for v, n in f.x_ticks]
        for (a, u), (b, v) in itertools.pairwise(places):
            assert b - a > 0.5 * (u + v)


def test_straight_lines_need_two_points():
    x = np.linspace(0.0, 100.0, 1001)
    assert polyline(x, 2.0 * x) == "M0.0,0.0 100.0,200.0"
    assert (
        polyline(np.array([1.0, 2.0, 3.0]), np.array([1.0, np.nan, 3.0])) == "M1.0,1.0h0M3.0,3.0h0"
    )


def test_simplified_curves_stay_where_they_were():
    x = np.linspace(0.0, 400.0, 2001)
    y = 100.0 + 80.0 * np.sin(x / 15.0)
    points = np.array(re.findall(r"([\d.]+),([\d.]+)", polyline(x, y)), dtype=float)
    assert len(points) < 700
    assert np.abs(np.interp(x, *points.T) - y).max() < 0.5


def test_contour_of_a_cone_is_a_circle():
    axis = np.linspace(-2.0, 2.0, 81)
    z = -np.hypot(*np.meshgrid(axis, axis))
    x, y = contour(axis, axis, z, -1.0)
    assert np.isnan(x).sum() == 1
    assert np.nanmax(np.abs(np.hypot(x, y) - 1.0)) < 2e-3
    assert x[0] == x[-2]


def test_levels_hold_their_mass():
    axis = np.linspace(-5.0, 5.0, 201)
    x, y = np.meshgrid(axis, axis)
    (level,) = levels(np.exp(-0.5 * (x * x + y * y)), (0.9,))
    assert -2.0 * math.log(level) == pytest.approx(-2.0 * math.log(0.1), rel=0.01)
