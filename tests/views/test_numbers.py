"""Numbers in words: no digits that the error does not leave, a kind for each, p and q in their places."""

import math

import pytest

from kullback.results.estimate import Estimate
from kullback.results.quantity import FORWARD_KL
from kullback.views.numbers import (
    aligned,
    error_of,
    exchanged,
    interval_of,
    kind_of,
    number,
    percent,
    sentence,
    value_of,
    with_error,
)

WORDS = {"quantity": FORWARD_KL, "method": "m"}


def _estimate(value, error, kind="estimate"):
    ends = (value - 2 * error, value + 2 * error)
    return Estimate(value, error, ends, FORWARD_KL, kind, "Monte Carlo", n=100)


@pytest.mark.parametrize(
    ("value", "error", "written"),
    [
        (1.23456789, 0.0123, "1.235 ± 0.012"),
        (0.27020065, 9.8e-15, "0.270201 ± 9.8e-15"),
        (0.5033, 6e-14, "0.503300 ± 6.0e-14"),
        (123.4, 56.0, "123 ± 56"),
        (-1.736, 0.0217, "-1.736 ± 0.022"),
    ],
)
def test_value_and_error(value, error, written):
    assert with_error(_estimate(value, error)) == written


def test_exact_has_no_error():
    assert with_error(Estimate.exact(0.5, **WORDS)) == "0.500000"
    assert error_of(Estimate.exact(0.5, **WORDS)) == ""


def test_bounds_say_so():
    e = _estimate(1.0, 0.1, "lower_bound")
    assert value_of(e) == "≥ 1.00"
    assert sentence(e) == "KL(p||q) ≥ 1.00 ± 0.10 nats (lower bound)"


def test_infinite_and_unresolved_give_their_reason():
    infinite = Estimate.infinite("support: q is 0 on x < 1", **WORDS)
    assert value_of(infinite) == "∞"
    assert "q is 0 on x < 1" in sentence(infinite)
    unresolved = Estimate.unresolved(3.0, "the tail", **WORDS)
    assert with_error(unresolved) == "unresolved"
    assert "3" not in sentence(unresolved)


def test_interval_only_of_estimates():
    assert interval_of(_estimate(1.0, 0.1)) == "95 % interval 0.80 to 1.20"
    assert interval_of(_estimate(1.0, 0.1, "numeric")) == ""


def test_kind_names_the_method():
    assert kind_of(_estimate(1.0, 0.1)) == "estimate: Monte Carlo, n\u00a0=\u00a0100"


def test_exchanged_swaps_the_reason_too():
    e = exchanged(Estimate.infinite("q is 0 where p has mass 0.5; quadrature", **WORDS))
    assert e.direction == "KL(q||p)"
    assert e.reason == "p is 0 where q has mass 0.5; quadrature"


def test_numbers_that_are_none():
    assert number(math.nan) == "not known"
    assert number(-0.0) == "0"
    assert percent(math.nan) == "not known"


def test_aligned_digits_stand_under_digits():
    assert aligned([0.72658, 0.27342]) == ["0.72658", "0.27342"]
    assert aligned([-0.010044, 2.001, 0.0]) == ["-0.0100", "2.0010", "0.0000"]
    assert aligned([1e-12, -2e-12]) == ["1e-12", "-2e-12"]
