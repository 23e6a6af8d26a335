"""Marks of axes: round numbers, few enough, inside the range, with labels that tell them apart."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kullback.render.axes import labels, log_ticks, ticks


@given(low=st.floats(-1e6, 1e6), width=st.floats(1e-3, 1e6), most=st.integers(2, 12))
def test_ticks_are_few_and_inside(low, width, most):
    found = ticks(low, low + width, most)
    assert len(found) <= most
    assert all(low - 1e-6 * width <= v <= low + width * (1.0 + 1e-6) for v in found)


@given(low=st.floats(-1e3, 1e3), width=st.floats(1e-2, 1e3))
def test_steps_are_1_2_or_5(low, width):
    found = ticks(low, low + width, 8)
    for a, b in itertools.pairwise(found):
        assert f"{b - a:.3e}"[:5] in ("1.000", "2.000", "5.000")


@given(low=st.floats(-1e9, 1e9), width=st.floats(1e-2, 1e9))
def test_labels_differ(low, width):
    found = labels(ticks(low, low + width, 8))
    assert len(set(found)) == len(found)


def test_labels_share_their_decimals():
    assert labels([0.0, 0.5, 1.0]) == ["0.0", "0.5", "1.0"]
    assert labels([-2.0, 0.0, 2.0]) == ["−2", "0", "2"]


def test_zero_has_no_sign():
    assert ticks(-1.0, 1.0, 5)[2] == 0.0
    assert "−0" not in labels(ticks(-1.0, 1.0, 5))


@pytest.mark.parametrize(
    ("low", "high", "found"),
    [
        (1e-3, 1.0, [1e-3, 1e-2, 1e-1, 1.0]),
        (2.0, 30.0, [2.0, 5.0, 10.0, 20.0]),
        (1e-12, 1e3, [1e-12, 1e-8, 1e-4, 1e0]),
    ],
)
def test_log_ticks(low, high, found):
    assert log_ticks(low, high, 5) == pytest.approx(found)


def test_log_labels_are_all_plain_or_all_powers():
    assert labels([0.01, 1.0], log=True) == ["0.01", "1"]
    assert labels([1e-6, 1.0], log=True) == ["10⁻⁶", "10⁰"]
