"""log_prob, landmarks, quantile and support of every family against the textbook density."""

import math

import numpy as np
import pytest

from benchmarks import audit
from kullback.expressions.parse import parse
from tests import reference

EXPRESSIONS = sorted(
    {
        p
        for form, *values in audit.FAMILIES
        for p in (form.format(*map(audit._number, v)) for v in values)
    }
    | {p for (p,) in audit._lines(audit.ENTROPIES)}
)


def _points(d):
    if d.support.discrete:
        low = max(d.support.low, 0.0)
        return np.arange(low, min(d.support.high, low + 40.0) + 1.0)
    marks = d.landmarks()
    return marks[(marks > d.support.low) & (marks < d.support.high)]


@pytest.mark.parametrize("text", EXPRESSIONS)
def test_log_prob(text):
    ours, theirs = parse(text), reference.read(text)
    x = _points(ours)
    found = ours.log_prob(x)
    for at, value in zip(x, found, strict=True):
        point = int(at) if ours.support.discrete else reference.Point(reference.mp.mpf(float(at)))
        truth = float(theirs.at(point))
        assert value == pytest.approx(truth, rel=1e-9, abs=1e-9), at


@pytest.mark.parametrize("text", EXPRESSIONS)
def test_quantile_inverts_the_distribution(text):
    d = parse(text)
    if d.support.discrete or not hasattr(d, "quantile"):
        return
    low = d.quantile(np.array([0.1, 0.5, 0.9]))
    high = d.quantile(np.array([0.9, 0.5, 0.1]), upper=True)
    if np.isnan(low).any() or 0.0 <= low[0] < 1e-290:
        return  # not known, or below what a float64 can hold
    assert np.allclose(low, high, rtol=1e-4, atol=1e-9)
    from kullback.measure.support import mass

    for u, x in zip((0.1, 0.5, 0.9), low, strict=True):
        assert mass(d, -math.inf, float(x)) == pytest.approx(u, abs=2e-4)


@pytest.mark.parametrize("text", EXPRESSIONS)
def test_outside_the_support_there_is_nothing(text):
    d = parse(text)
    ends = [e for e in (d.support.low - 1.0, d.support.high + 1.0) if math.isfinite(e)]
    assert np.isneginf(d.log_prob(np.array(ends))).all()
